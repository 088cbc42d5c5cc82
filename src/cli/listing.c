/* SPDX-License-Identifier: MIT */
/*
 * listing.c: `databuffer sinks` and `databuffer options`. The options come as
 * plain text, for the manual page and for the README, so that these cannot say
 * anything else than the table does.
 */
#include "cli/listing.h"

#include <argp.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/console.h"
#include "cli/option.h"
#include "cli/sink.h"

/* --- Sinks ------------------------------------------------------------------------------ */

int listing_sinks(int argc, char **argv)
{
	static char name[] = "databuffer sinks";
	static const struct argp argp = {
		.args_doc = "[FILE.so...]",
		.doc = "Lists the sinks that are built in, or those in the shared objects named.",
	};
	databuffer_sentence why;
	int first;

	argv[0] = name;
	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, 0, &first, NULL) != 0)
		return EXIT_USAGE;
	for (int i = first; i < argc; i++) {
		const databuffer_sink *table = sink_load(argv[i], &why);

		if (!table) {
			console_say("%s", why.text);
			return EXIT_FAILURE;
		}
		sink_describe(table);
	}
	for (size_t i = 0; first == argc && sink_at(i); i++)
		sink_describe(sink_at(i));
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* --- Options ---------------------------------------------------------------------------- */

struct listed {
	char flag[64], range[160], initial[64];
};

static struct listed listing_row(const databuffer_option *row)
{
	struct listed listed;

	option_flag(row, listed.flag, sizeof(listed.flag));
	option_range(row, listed.range, sizeof(listed.range));
	option_default(row, listed.initial, sizeof(listed.initial));
	return listed;
}

static void print_text(const databuffer_option *row)
{
	struct listed listed = listing_row(row);

	printf("%-18s %s (%s; default %s)\n", row->name, row->help, listed.range, listed.initial);
}

static void print_mdoc(const databuffer_option *row)
{
	struct listed listed = listing_row(row);

	printf(".It Fl -%s Ns = Ns Ar %s\n%c%s\n.Pq %s; default %s .\n", listed.flag, option_word(row),
	       toupper((unsigned char)row->help[0]), row->help + 1, listed.range, listed.initial);
}

static void print_markdown(const databuffer_option *row)
{
	struct listed listed = listing_row(row);

	printf("| `%s` | %s | %s | %s |\n", row->name, row->help, listed.range, listed.initial);
}

enum {
	LISTING_TEXT,
	LISTING_MDOC = 256,
	LISTING_MARKDOWN
};

static error_t listing_parse(int key, char *text, struct argp_state *state)
{
	int *form = state->input;

	(void)text;
	if (key == LISTING_MDOC || key == LISTING_MARKDOWN)
		*form = key;
	else if (key == ARGP_KEY_ARG)
		argp_error(state, "it takes no arguments");
	else
		return ARGP_ERR_UNKNOWN;
	return 0;
}

int listing_options(int argc, char **argv)
{
	static const struct argp_option flags[] = {
		{ "mdoc", LISTING_MDOC, NULL, 0, "as items of a list of a manual page", 0 },
		{ "markdown", LISTING_MARKDOWN, NULL, 0, "as rows of a table", 0 },
		{ 0 },
	};
	static const struct argp argp = {
		.options = flags,
		.parser = listing_parse,
		.doc = "Lists the options of a buffer, each of which is a flag of `databuffer run'.",
	};
	void (*print)(const databuffer_option *row) = print_text;
	static char name[] = "databuffer options";
	int form = LISTING_TEXT;

	argv[0] = name;
	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(&argp, argc, argv, 0, NULL, &form) != 0)
		return EXIT_USAGE;
	if (form == LISTING_MDOC)
		print = print_mdoc;
	if (form == LISTING_MARKDOWN) {
		print = print_markdown;
		printf("| option | meaning | range | default |\n|---|---|---|---|\n");
	}
	for (size_t i = 0; databuffer_options_at(i); i++)
		print(databuffer_options_at(i));
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
