/* SPDX-License-Identifier: MIT */
/*
 * columns.h: the names of the columns of an input, from its header or from --columns.
 */
#ifndef DATABUFFER_CLI_COLUMNS_H
#define DATABUFFER_CLI_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>

struct columns {
	char *names; /* one after the other, each ended by a NUL, as a record has them */
	size_t len, capacity, count;
	bool known;      /* no more will come */
	char fault[256]; /* what is wrong with them, and so with every record; or "" */
};

/* One more name. A column without one is called by its place. */
void columns_add(struct columns *columns, const char *name, size_t len);

/* All there are, with commas between them. */
void columns_add_list(struct columns *columns, const char *list);

/* They will never be known: for this reason no record fits. */
void columns_fail(struct columns *columns, const char *reason);

/* The header did not come to its end, and is read anew. */
void columns_forget(struct columns *columns);

void columns_fini(struct columns *columns);

/* What is wrong with the text of --columns, or NULL. */
const char *columns_check(const char *list);

#endif
