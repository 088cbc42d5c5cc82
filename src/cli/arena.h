/* SPDX-License-Identifier: MIT */
/*
 * arena.h: memory for one parsed JSON document at a time, handed out by moving
 * a pointer and given back all at once. Parsing spends most of its time in
 * malloc otherwise.
 *
 * The library that parses has one pair of functions for all its memory, for
 * every thread of the process, so these serve any caller: whoever is not between
 * enter and leave on its own thread, and whatever does not fit, gets malloc's.
 */
#ifndef DATABUFFER_CLI_ARENA_H
#define DATABUFFER_CLI_ARENA_H

#include <stddef.h>

struct arena {
	size_t used;
	_Alignas(max_align_t) char bytes[64u << 10];
};

/* All that this thread allocates comes from the arena, until arena_leave. */
void arena_enter(struct arena *arena);
/* Nothing that came from the arena may be in use any more. */
void arena_leave(void);

void *arena_malloc(size_t size);
void arena_free(void *memory);

#endif
