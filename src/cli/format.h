/* SPDX-License-Identifier: MIT */
/*
 * format.h: how an input is cut into records. One constant table for each
 * format, in a file of its own.
 */
#ifndef DATABUFFER_CLI_FORMAT_H
#define DATABUFFER_CLI_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/reader.h"
#include "cli/record.h"

enum format_answer {
	FORMAT_RECORD, /* one more record is finished */
	FORMAT_REJECT, /* *reject has what does not fit */
	FORMAT_LONG,   /* the line at the reader's beginning is over the limit: the caller takes it */
	FORMAT_MORE,   /* fill the reader and ask again */
	FORMAT_END
};

/* A piece of the input that is no record. */
struct format_reject {
	char reason[320]; /* a sentence's end, no full stop */
	uint64_t line;
	const char *text; /* valid until the next call */
	size_t len;
};

struct format {
	const char *name;
	const char *endings; /* of file names: words separated by blanks */
	bool has_columns;    /* --columns may name them */

	/* A state for one input. `columns` is --columns or NULL, and has been checked. */
	void *(*open)(const char *columns);
	/* The next step through the input. */
	enum format_answer (*next)(void *state, struct reader *reader, struct records *records,
	                           struct format_reject *reject);
	void (*close)(void *state);
};

extern const struct format format_lines, format_ndjson, format_csv, format_tsv;

/* The format of that name, or NULL. */
const struct format *format_find(const char *name);

/* The format that the ending of a file's name stands for; `lines` for others. */
const struct format *format_of_file(const char *path);

/* All names, as "lines, ndjson, ...". */
const char *format_names(void);

#endif
