/* SPDX-License-Identifier: MIT */
/*
 * options_table.h: the table of options as options.c, which has it and checks
 * by it, shows it to options_text.c, which reads text by it, and to their test.
 */
#ifndef DATABUFFER_CORE_OPTIONS_TABLE_H
#define DATABUFFER_CORE_OPTIONS_TABLE_H

#include <stddef.h>

#include <databuffer.h>

/* A row as the public sees it, and where its field is. */
struct options_row {
	databuffer_option option;
	size_t offset, size;
};

/* Row i, NULL beyond the last. */
const struct options_row *options_row_at(size_t i);

/* What a value of this row must be, as the end of a sentence. */
struct options_range {
	char text[128];
};

struct options_range options_range(const databuffer_option *option);

/* Refuses a text for its length, which is told instead of the text: that may be
 * any bytes. Returns DATABUFFER_EINVAL. */
int options_refuse_length(const databuffer_options *given, const databuffer_option *option, size_t len);

/* The field of a row that is not a text. */
static inline int64_t *options_number(databuffer_options *options, const struct options_row *row)
{
	return (int64_t *)(void *)((char *)options + row->offset);
}

static inline size_t options_smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

#endif
