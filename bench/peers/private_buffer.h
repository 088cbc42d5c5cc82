/* SPDX-License-Identifier: MIT */
/*
 * private_buffer.h: what a buffer would be if no thread shared it with another: a
 * private one for each producer, in a shared library of its own, taking items of
 * any length. The floor for any library that is called as DataBuffer is.
 */
#ifndef BENCH_PRIVATE_BUFFER_H
#define BENCH_PRIVATE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

struct private_buffers;
struct private_buffer;

/* Where an item stands in its buffer's arena. */
struct private_entry {
	uint32_t offset, len;
};

/* A run of items, in place: their entries side by side. */
struct private_run {
	const struct private_entry *entries;
	const unsigned char *arena;
	size_t n;
};

/* Room for `items` of `bytes` together in each of `count` buffers. */
struct private_buffers *private_open(unsigned count, size_t items, size_t bytes);
void private_close(struct private_buffers *buffers);

/* The buffer number i, for a caller that keeps its own at hand. */
struct private_buffer *private_at(struct private_buffers *buffers, unsigned i);
/* Makes it the calling thread's own. */
void private_join(struct private_buffers *buffers, unsigned i);

/* Copies an item into the calling thread's own. -1: full. */
int private_insert(struct private_buffers *buffers, const void *data, size_t len);
/* The same into one that the caller has at hand. */
int private_insert_into(struct private_buffer *buffer, const void *data, size_t len);
/* n items of len bytes, side by side; how many went in. */
unsigned private_insert_array(struct private_buffers *buffers, const void *base, unsigned n, size_t len);

/* The consumer's: what is there now, up to the end of the circle; and that it is done with. */
struct private_run private_look(struct private_buffer *buffer);
void private_release(struct private_buffer *buffer, const struct private_run *run);

#endif
