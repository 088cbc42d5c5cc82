/* SPDX-License-Identifier: MIT */
/* memory.c: memory that is there, or the end. */
#include "cli/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/console.h"

static void *memory_or_end(void *memory)
{
	if (!memory) {
		console_say("memory ran out");
		_exit(EXIT_FAILURE);
	}
	return memory;
}

void *memory_new(size_t size)
{
	return memory_or_end(calloc(1, size));
}

char *memory_copy(const char *text, size_t len)
{
	char *copy = memory_new(len + 1);

	memcpy(copy, text, len);
	return copy;
}

char *memory_format(const char *format, ...)
{
	va_list arguments;
	char *text;
	int len;

	va_start(arguments, format);
	len = vasprintf(&text, format, arguments);
	va_end(arguments);
	return memory_or_end(len < 0 ? NULL : text);
}

void memory_grow(void *array, size_t *capacity, size_t needed, size_t element)
{
	size_t larger = *capacity ? *capacity : 64;
	void *memory;

	if (needed <= *capacity)
		return;
	while (larger < needed)
		larger *= 2;
	memcpy(&memory, array, sizeof(memory));
	memory = memory_or_end(reallocarray(memory, larger, element));
	memcpy(array, &memory, sizeof(memory));
	*capacity = larger;
}
