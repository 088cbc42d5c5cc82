/* SPDX-License-Identifier: MIT */
/*
 * Where the bytes of a partition's segments live. A store is one run of memory,
 * cut by its user: anonymous memory of the process (memory.c), or memory that the
 * processes forked later share (shared.c). Offsets within a store, never pointers,
 * are what the segments keep in it, so that it reads the same from each of them.
 */
#ifndef DATABUFFER_STORE_STORE_H
#define DATABUFFER_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>

struct store {
	unsigned char *base;
	size_t size;
};

/* Zeroed, page-aligned, and resident only where it has been touched. False
 * without memory; then the store is unchanged. */
bool store_init_memory(struct store *store, size_t size);
bool store_init_shared(struct store *store, size_t size);
void store_fini(struct store *store);

/* Of a shared store, in a child after fork: from now on its memory is its own, and
 * reads as zero; or its memory may only be read. */
void store_part(struct store *store);
void store_read_only(struct store *store);

#endif
