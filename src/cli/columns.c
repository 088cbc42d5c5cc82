/* SPDX-License-Identifier: MIT */
/* columns.c: names of columns, and what is wrong with them. */
#include "cli/columns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/memory.h"
#include "cli/utf8.h"

static const char *columns_find(const struct columns *columns, const char *name, size_t len)
{
	const char *other = columns->names;

	for (size_t i = 0; i < columns->count; i++, other += strlen(other) + 1)
		if (strlen(other) == len && strncasecmp(other, name, len) == 0)
			return other;
	return NULL;
}

void columns_add(struct columns *columns, const char *name, size_t len)
{
	const char *twin;
	char place[32];

	if (len == 0) {
		len = (size_t)snprintf(place, sizeof(place), "column%zu", columns->count + 1);
		name = place;
	}
	twin = columns_find(columns, name, len);
	if (columns->fault[0] == '\0' && (memchr(name, '\0', len) || utf8_valid(name, len) < len))
		snprintf(columns->fault, sizeof(columns->fault), "the name of column %zu is not UTF-8 text",
		         columns->count + 1);
	else if (columns->fault[0] == '\0' && twin)
		snprintf(columns->fault, sizeof(columns->fault), "the column \"%.100s\" is there twice", twin);
	memory_grow(&columns->names, &columns->capacity, columns->len + len + 1, 1);
	memcpy(columns->names + columns->len, name, len);
	columns->names[columns->len + len] = '\0';
	columns->len += len + 1;
	columns->count++;
}

void columns_add_list(struct columns *columns, const char *list)
{
	for (;; list++) {
		size_t len = strcspn(list, ",");

		columns_add(columns, list, len);
		list += len;
		if (*list == '\0')
			break;
	}
	columns->known = true;
}

void columns_fail(struct columns *columns, const char *reason)
{
	columns_forget(columns);
	snprintf(columns->fault, sizeof(columns->fault), "%s", reason);
	columns->known = true;
}

void columns_forget(struct columns *columns)
{
	columns->len = columns->count = 0;
}

void columns_fini(struct columns *columns)
{
	free(columns->names);
}

const char *columns_check(const char *list)
{
	static char fault[sizeof(((struct columns *)NULL)->fault)];
	struct columns columns = { .count = 0 };

	columns_add_list(&columns, list);
	memcpy(fault, columns.fault, sizeof(fault));
	columns_fini(&columns);
	return fault[0] ? fault : NULL;
}
