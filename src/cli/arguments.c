/* SPDX-License-Identifier: MIT */
/*
 * arguments.c: the command line of `databuffer run`. The flags that are numbers
 * are made at run time from the library's table of options and our own, which is
 * of the same kind: none is listed by hand.
 */
#include "cli/arguments.h"

#include <argp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/columns.h"
#include "cli/console.h"
#include "cli/memory.h"
#include "cli/option.h"

enum {
	KEY_SINK = 's',
	KEY_FORMAT = 'f',
	KEY_COLUMNS = 'c',
	KEY_REJECTS = 'r',
	KEY_JSON = 256,
	KEY_SUMMARY,
	KEY_PROGRESS,
	KEY_OWN = 1000,     /* and the row's place in own_rows */
	KEY_LIBRARY = 2000, /* and the row's place in the library's table */
};

static const struct own_row {
	databuffer_option row;
	size_t offset;
} own_rows[] = {
	{
		.row = {
			.name = "max_line",
			.unit = "bytes",
			.initial = 1 << 20,
			.min = 1,
			.max = 1 << 28,
			.help = "the longest record that is read; longer ones are rejected",
		},
		.offset = offsetof(struct arguments, max_line),
	},
	{
		.row = {
			.name = "stop_timeout",
			.unit = "ms",
			.initial = 5000,
			.min = 0,
			.max = 86400000,
			.help = "how long the end may take after a signal or a stall",
		},
		.offset = offsetof(struct arguments, stop_timeout),
	},
	{
		.row = {
			.name = "stall_timeout",
			.unit = "ms",
			.initial = 30000,
			.min = 0,
			.max = 31536000000,
			.help = "give up when the sink fails for so long; 0: never",
		},
		.offset = offsetof(struct arguments, stall_timeout),
	},
};

#define OWN_COUNT (sizeof(own_rows) / sizeof(own_rows[0]))

static const struct argp_option word_options[] = {
	{ "sink", KEY_SINK, "NAME:TARGET", 0,
	  "where records go, as sqlite:FILE?table=NAME; `databuffer sinks' lists them", 1 },
	{ "format", KEY_FORMAT, "FORMAT", 0,
	  "lines, ndjson, csv or tsv (default by each file's ending, else lines)", 1 },
	{ "columns", KEY_COLUMNS, "A,B,C", 0,
	  "names of the columns of csv and tsv that have no header", 1 },
	{ "rejects", KEY_REJECTS, "FILE", 0,
	  "append the records that do not fit, or could not be flushed, to FILE", 1 },
	{ "progress", KEY_PROGRESS, "auto|always|never", 0,
	  "the line that shows how far it is (default auto: on a terminal)", 1 },
	{ "summary", KEY_SUMMARY, NULL, 0,
	  "print the summary on standard error also where that is no terminal", 1 },
	{ "json", KEY_JSON, NULL, 0,
	  "print the summary as a JSON object on standard output", 1 },
};

#define WORD_COUNT (sizeof(word_options) / sizeof(word_options[0]))

static const char arguments_doc[] =
	"Reads records from files, or standard input, and flushes them in batches to a sink.\v"
	"A number may have a suffix that fits its unit: k, M, G for items and bytes; ms, s, m, h, d for times.\n\n"
	"Exit status: 0 if every record was flushed or written to the file of --rejects; 1 if not, or if "
	"something failed; 2 if the command line is wrong.";

const databuffer_option *arguments_own_at(size_t i)
{
	return i < OWN_COUNT ? &own_rows[i].row : NULL;
}

static int64_t *own_value(struct arguments *arguments, size_t i)
{
	return (int64_t *)(void *)((char *)arguments + own_rows[i].offset);
}

/* --- Errors ----------------------------------------------------------------------- */

static void __attribute__((noreturn, format(printf, 1, 2))) usage_error(const char *format, ...)
{
	va_list arguments;
	char text[1024];

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	console_say("%s", text);
	exit(EXIT_USAGE);
}

/* --- The parser --------------------------------------------------------------------- */

static enum arguments_progress parse_progress(const char *text)
{
	if (strcmp(text, "always") == 0)
		return PROGRESS_ALWAYS;
	if (strcmp(text, "never") == 0)
		return PROGRESS_NEVER;
	if (strcmp(text, "auto") != 0)
		usage_error("--progress must be auto, always or never, not \"%s\"", text);
	return PROGRESS_AUTO;
}

static void parse_own(struct arguments *arguments, size_t i, const char *text)
{
	char wrong[320], flag[64];

	option_flag(&own_rows[i].row, flag, sizeof(flag));
	if (option_parse(&own_rows[i].row, text, own_value(arguments, i), wrong, sizeof(wrong)) < 0)
		usage_error("--%s %s", flag, wrong);
}

static void parse_library(struct arguments *arguments, size_t i, const char *text)
{
	const databuffer_option *row = databuffer_options_at(i);
	char flag[64];

	option_flag(row, flag, sizeof(flag));
	if (databuffer_options_set(&arguments->options, row->name, text) < 0)
		usage_error("--%s: %s", flag, arguments->options.error);
	if (arguments->options.flusher == DATABUFFER_MANUAL)
		usage_error("--%s: this command flushes with threads or processes; manual is for programs "
		            "with a loop of their own",
		            flag);
}

/* What the flags mean together. */
static void parse_end(struct arguments *arguments)
{
	const char *wrong;

	if (!arguments->sink)
		usage_error("--sink is missing: say where the records go, as --sink sqlite:FILE");
	if (!arguments->columns)
		return;
	if (arguments->format && !arguments->format->has_columns)
		usage_error("--columns is for csv and tsv, not for %s", arguments->format->name);
	if (arguments->columns[0] == '\0')
		usage_error("--columns is empty: name the columns, as --columns A,B,C");
	wrong = columns_check(arguments->columns);
	if (wrong)
		usage_error("--columns: %s", wrong);
}

static error_t parse_one(int key, char *text, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case KEY_SINK:
		arguments->sink = text;
		return 0;
	case KEY_FORMAT:
		arguments->format = format_find(text);
		if (!arguments->format)
			usage_error("--format must be %s, not \"%s\"", format_names(), text);
		return 0;
	case KEY_COLUMNS:
		arguments->columns = text;
		return 0;
	case KEY_REJECTS:
		arguments->rejects = text;
		return 0;
	case KEY_PROGRESS:
		arguments->progress = parse_progress(text);
		return 0;
	case KEY_SUMMARY:
		arguments->summary = true;
		return 0;
	case KEY_JSON:
		arguments->json = true;
		return 0;
	case ARGP_KEY_ARGS:
		arguments->files = state->argv + state->next;
		arguments->file_count = (size_t)(state->argc - state->next);
		return 0;
	case ARGP_KEY_END:
		parse_end(arguments);
		return 0;
	default:
		break;
	}
	if (key >= KEY_LIBRARY && databuffer_options_at((size_t)(key - KEY_LIBRARY)))
		parse_library(arguments, (size_t)(key - KEY_LIBRARY), text);
	else if (key >= KEY_OWN && arguments_own_at((size_t)(key - KEY_OWN)))
		parse_own(arguments, (size_t)(key - KEY_OWN), text);
	else
		return ARGP_ERR_UNKNOWN;
	return 0;
}

/* --- The table of flags ----------------------------------------------------------------- */

static struct argp_option row_flag(const databuffer_option *row, int key, int group)
{
	char range[160], initial[64], flag[64];
	struct argp_option option = { .key = key, .group = group, .arg = option_word(row) };

	option_range(row, range, sizeof(range));
	option_default(row, initial, sizeof(initial));
	option_flag(row, flag, sizeof(flag));
	option.name = memory_copy(flag, strlen(flag));
	option.doc = memory_format("%s (%s; default %s)", row->help, range, initial);
	return option;
}

/* Made once, kept for as long as the process. */
static const struct argp_option *all_flags(void)
{
	static struct argp_option *flags;
	size_t count = 0, at = 0;

	if (flags)
		return flags;
	while (databuffer_options_at(count))
		count++;
	flags = memory_new((WORD_COUNT + OWN_COUNT + count + 2) * sizeof(*flags));
	memcpy(flags, word_options, sizeof(word_options));
	at = WORD_COUNT;
	for (size_t i = 0; i < OWN_COUNT; i++)
		flags[at++] = row_flag(&own_rows[i].row, KEY_OWN + (int)i, 1);
	flags[at++] = (struct argp_option){ .doc = "Options of the buffer:", .group = 2 };
	for (size_t i = 0; i < count; i++)
		flags[at++] = row_flag(databuffer_options_at(i), KEY_LIBRARY + (int)i, 2);
	return flags;
}

static const struct argp *run_argp(void)
{
	static struct argp argp = { .parser = parse_one, .args_doc = "[FILE...]", .doc = arguments_doc };

	argp.options = all_flags();
	return &argp;
}

void arguments_parse(struct arguments *arguments, int argc, char **argv)
{
	static char error[512];

	*arguments = (struct arguments){ .options = databuffer_options_init() };
	arguments->options.error = error;
	arguments->options.error_size = sizeof(error);
	for (size_t i = 0; i < OWN_COUNT; i++)
		*own_value(arguments, i) = own_rows[i].row.initial;
	argp_err_exit_status = EXIT_USAGE;
	if (argp_parse(run_argp(), argc, argv, 0, NULL, arguments) != 0)
		exit(EXIT_USAGE);
}

void arguments_help(FILE *to)
{
	static char name[] = "databuffer run";

	argp_help(run_argp(), to, ARGP_HELP_STD_HELP & ~(unsigned)ARGP_HELP_EXIT_OK, name);
}
