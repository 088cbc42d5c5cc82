/* SPDX-License-Identifier: MIT */
/* Asking the program's allocator, or malloc. */
#include "core/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "port/port.h"

void *memory_get(const databuffer_allocator *allocator, size_t size)
{
	return allocator ? allocator->alloc(size, allocator->ctx) : malloc(size);
}

void *memory_get_zeroed(const databuffer_allocator *allocator, size_t count, size_t size)
{
	size_t bytes;
	void *memory = __builtin_mul_overflow(count, size, &bytes) ? NULL : memory_get(allocator, bytes);
	return memory ? memset(memory, 0, bytes) : NULL;
}

void *memory_grow(const databuffer_allocator *allocator, void *memory, size_t old_size, size_t size)
{
	void *larger = memory_get(allocator, size);
	if (!larger)
		return NULL;
	if (old_size > 0)
		memcpy(larger, memory, old_size);
	memory_free(allocator, memory);
	return larger;
}

void memory_free(const databuffer_allocator *allocator, void *memory)
{
	if (!memory)
		return;
	if (allocator)
		allocator->free(memory, allocator->ctx);
	else
		free(memory);
}

/* What was got stands before what is given. */
void *memory_get_line(const databuffer_allocator *allocator, size_t size)
{
	char *got = memory_get(allocator, size + PORT_CACHE_LINE + sizeof(void *));
	if (!got)
		return NULL;
	uintptr_t at = (uintptr_t)got + sizeof(void *);
	at = (at + PORT_CACHE_LINE - 1) & ~(uintptr_t)(PORT_CACHE_LINE - 1);
	char *given = got + (at - (uintptr_t)got);
	memcpy(given - sizeof(void *), &got, sizeof(void *));
	return given;
}

void memory_free_line(const databuffer_allocator *allocator, void *memory)
{
	void *got = NULL;
	if (memory)
		memcpy(&got, (char *)memory - sizeof(void *), sizeof(void *));
	memory_free(allocator, got);
}
