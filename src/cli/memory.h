/* SPDX-License-Identifier: MIT */
/*
 * memory.h: memory that is there, or the command ends with a sentence. It is
 * asked for at the start and when a longer record comes than any before, so
 * there is nothing wiser to do than to end.
 */
#ifndef DATABUFFER_CLI_MEMORY_H
#define DATABUFFER_CLI_MEMORY_H

#include <stddef.h>

void *memory_new(size_t size);    /* zeroed */
char *memory_copy(const char *text, size_t len); /* ended by a NUL */
char *memory_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Makes room for `needed` elements in *array of *capacity, by doubling. */
void memory_grow(void *array, size_t *capacity, size_t needed, size_t element);

#endif
