/* SPDX-License-Identifier: MIT */
/* main.c: the `databuffer` command: which of its parts is asked for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/console.h"
#include "cli/listing.h"
#include "cli/run.h"

static int command_run(int argc, char **argv)
{
	struct arguments arguments;
	static char name[] = "databuffer run";

	argv[0] = name;
	arguments_parse(&arguments, argc, argv);
	return run_main(&arguments);
}

static const struct command {
	const char *name;
	const char *help;
	int (*main)(int argc, char **argv); /* from the command's own name on */
} commands[] = {
	{ "run", "stream records from files, or standard input, into a sink", command_run },
	{ "sinks", "list the sinks and their parameters", listing_sinks },
	{ "options", "list the options of the buffer", listing_options },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static int print_help(void)
{
	printf("Usage: databuffer COMMAND [OPTION...]\n"
	       "Gathers records in memory and hands them on in batches.\n\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		printf("  databuffer %-8s %s\n", commands[i].name, commands[i].help);
	printf("  databuffer --help, databuffer --version\n\n"
	       "    databuffer run --sink sqlite:events.db events.ndjson\n"
	       "    tail -f app.log | databuffer run --sink file:copy.log --flush-interval 1s\n\n");
	arguments_help(stdout);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL;

	if (!word) {
		console_say("say what to do: databuffer run, sinks or options; databuffer --help tells more");
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(word, commands[i].name) == 0)
			return commands[i].main(argc - 1, argv + 1);
	if (strcmp(word, "--help") == 0 || strcmp(word, "-?") == 0 || strcmp(word, "help") == 0)
		return print_help();
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
		printf("databuffer %s\n", databuffer_version());
		return EXIT_SUCCESS;
	}
	console_say("there is no command \"%s\"; there are run, sinks and options", word);
	return EXIT_USAGE;
}
