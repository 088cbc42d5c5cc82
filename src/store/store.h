/* SPDX-License-Identifier: MIT */
/*
 * Where the bytes of a partition's segments live. A store is one run of memory,
 * cut by its user; here it is anonymous memory of the process. Offsets within a
 * store, never pointers, are what the segments keep in it, so that a store
 * shared with another process or kept in a file reads the same.
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
void store_fini(struct store *store);

#endif
