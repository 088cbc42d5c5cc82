/* SPDX-License-Identifier: MIT */
/* arguments.h: what `databuffer run` was asked to do. */
#ifndef DATABUFFER_CLI_ARGUMENTS_H
#define DATABUFFER_CLI_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <databuffer.h>

#include "cli/format.h"

#define EXIT_USAGE 2

enum arguments_progress {
	PROGRESS_AUTO, /* where standard error is a terminal */
	PROGRESS_ALWAYS,
	PROGRESS_NEVER
};

struct arguments {
	databuffer_options options;
	const char *sink, *columns, *rejects;
	const struct format *format; /* NULL: by each file's ending */
	enum arguments_progress progress;
	bool json, summary;
	int64_t max_line, stop_timeout, stall_timeout;
	char **files;
	size_t file_count;
};

/* Reads the command line after `run`. What is wrong is said, and ends the
 * command with EXIT_USAGE; so does, with success, --help. */
void arguments_parse(struct arguments *arguments, int argc, char **argv);

/* Prints the help of `databuffer run`. */
void arguments_help(FILE *to);

/* Row i of the numbers that are the command's own, NULL beyond the last. */
const databuffer_option *arguments_own_at(size_t i);

#endif
