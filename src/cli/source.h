/* SPDX-License-Identifier: MIT */
/*
 * source.h: the inputs, in the order in which they were given. All are tried
 * before the first is read; each is opened when its turn comes.
 */
#ifndef DATABUFFER_CLI_SOURCE_H
#define DATABUFFER_CLI_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/format.h"

struct source {
	const char *name; /* as it is shown: "standard input" for "-" */
	const char *path; /* NULL: standard input */
	const struct format *format;
	bool regular; /* a file whose size is known and that can be read again */
	uint64_t size;
};

struct sources {
	struct source *list;
	size_t count;
	uint64_t size; /* of all together; 0 unless all are regular */
};

/* Finds out what they are. `format` is the one asked for, or NULL to go by the
 * file's ending. 0, or -1 after saying what cannot be read. */
int sources_init(struct sources *sources, char *const *files, size_t count, const struct format *format);
void sources_fini(struct sources *sources);

/* Opens one: its descriptor, or -1 after saying why not. */
int source_open(const struct source *source);
void source_close(const struct source *source, int fd);

#endif
