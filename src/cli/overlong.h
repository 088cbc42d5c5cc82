/* SPDX-License-Identifier: MIT */
/*
 * overlong.h: a line over the limit. It is a reject like others and kept whole,
 * but not in memory, whose bound is what the limit is for: it is spooled into a
 * temporary file until its end comes.
 */
#ifndef DATABUFFER_CLI_OVERLONG_H
#define DATABUFFER_CLI_OVERLONG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/reader.h"

struct overlong {
	bool active; /* a line has begun and not ended */
	uint64_t line;
	uint64_t size; /* without its end */
	FILE *spool;   /* NULL: nobody will ask for the text, or it cannot be kept */
};

/* Begins with the line at the reader's beginning. */
void overlong_begin(struct overlong *overlong, const struct reader *reader, bool keep);

/* Takes what the reader has of the line: true when it is ended. */
bool overlong_take(struct overlong *overlong, struct reader *reader);

/* The text, mapped; NULL if it was not kept. */
const char *overlong_text(struct overlong *overlong);

/* Ends it; the text is gone. */
void overlong_end(struct overlong *overlong, const char *text);

#endif
