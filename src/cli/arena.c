/* SPDX-License-Identifier: MIT */
/* arena.c: memory for one parsed document at a time. */
#include "cli/arena.h"

#include <stdint.h>
#include <stdlib.h>

static _Thread_local struct arena *arena_current;

void arena_enter(struct arena *arena)
{
	arena->used = 0;
	arena_current = arena;
}

void arena_leave(void)
{
	arena_current = NULL;
}

void *arena_malloc(size_t size)
{
	struct arena *arena = arena_current;
	size_t rounded = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
	void *memory;

	if (!arena || rounded < size || rounded > sizeof(arena->bytes) - arena->used)
		return malloc(size);
	memory = arena->bytes + arena->used;
	arena->used += rounded;
	return memory;
}

void arena_free(void *memory)
{
	struct arena *arena = arena_current;

	if (arena && (uintptr_t)memory - (uintptr_t)arena->bytes < sizeof(arena->bytes))
		return;
	free(memory);
}
