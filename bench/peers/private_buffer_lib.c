/* SPDX-License-Identifier: MIT */
/*
 * private_buffer_lib.c: libprivate_buffer.so. Each buffer is two circles: the
 * items' bytes, and a dense index of where they stand.
 *
 *      index   ...│{offset,len}│{offset,len}│{offset,len}│...
 *                  ^ head: taken                          ^ tail: there
 *      arena   ...│bytes│bytes│bytes│...       an item never wraps
 *                  ^ bytes_head            ^ bytes_tail
 */
#include "peers/private_buffer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define LINE   64
#define PUBLIC __attribute__((visibility("default")))

struct private_buffer {
	/* The producer's. */
	_Alignas(LINE) _Atomic uint64_t tail;
	uint64_t bytes_tail;
	uint64_t room, bytes_room; /* where it would run into what is not taken, as last seen */
	uint64_t mask, bytes_mask;
	struct private_entry *index;
	unsigned char *arena;
	/* The consumer's. */
	_Alignas(LINE) _Atomic uint64_t head;
	_Atomic uint64_t bytes_head;
};

struct private_buffers {
	unsigned count;
	struct private_buffer *each;
};

/* As in the library that this is the floor of. */
static _Thread_local struct {
	struct private_buffers *of;
	struct private_buffer *buffer;
} own;

static void *zeroed(size_t size)
{
	size = (size + LINE - 1) / LINE * LINE;
	void *memory = aligned_alloc(LINE, size);
	if (!memory)
		abort();
	return memset(memory, 0, size);
}

static uint64_t power_of_two(uint64_t most)
{
	uint64_t power = 1;
	while (power * 2 <= most)
		power *= 2;
	return power;
}

PUBLIC struct private_buffers *private_open(unsigned count, size_t items, size_t bytes)
{
	struct private_buffers *buffers = zeroed(sizeof(*buffers));
	buffers->count = count;
	buffers->each = zeroed(count * sizeof(*buffers->each));
	for (unsigned i = 0; i < count; i++) {
		struct private_buffer *buffer = &buffers->each[i];
		buffer->mask = power_of_two(items) - 1;
		buffer->bytes_mask = power_of_two(bytes) - 1;
		buffer->room = buffer->mask + 1;
		buffer->bytes_room = buffer->bytes_mask + 1;
		buffer->index = zeroed((buffer->mask + 1) * sizeof(*buffer->index));
		buffer->arena = zeroed(buffer->bytes_mask + 1);
	}
	return buffers;
}

PUBLIC void private_close(struct private_buffers *buffers)
{
	for (unsigned i = 0; i < buffers->count; i++) {
		free(buffers->each[i].index);
		free(buffers->each[i].arena);
	}
	free(buffers->each);
	free(buffers);
}

PUBLIC struct private_buffer *private_at(struct private_buffers *buffers, unsigned i)
{
	return &buffers->each[i];
}

PUBLIC void private_join(struct private_buffers *buffers, unsigned i)
{
	own.of = buffers;
	own.buffer = &buffers->each[i];
}

/* --- The producer -------------------------------------------------------------------- */

static __attribute__((noinline)) bool has_room(struct private_buffer *buffer, uint64_t tail,
                                               uint64_t bytes_end)
{
	buffer->room = atomic_load_explicit(&buffer->head, memory_order_acquire) + buffer->mask + 1;
	buffer->bytes_room =
		atomic_load_explicit(&buffer->bytes_head, memory_order_relaxed) + buffer->bytes_mask + 1;
	return tail != buffer->room && bytes_end <= buffer->bytes_room;
}

/* Where len bytes go: at the next multiple of 8, or, if they would wrap, of the circle. */
static inline uint64_t place(const struct private_buffer *buffer, size_t len)
{
	uint64_t at = (buffer->bytes_tail + 7) & ~UINT64_C(7);
	if ((at & buffer->bytes_mask) + len > buffer->bytes_mask + 1)
		at = (at + buffer->bytes_mask) & ~buffer->bytes_mask;
	return at;
}

/* Everything but the publishing. */
static inline bool put(struct private_buffer *buffer, uint64_t tail, const void *data, size_t len)
{
	uint64_t at = place(buffer, len);
	if (__builtin_expect(tail == buffer->room || at + len > buffer->bytes_room, 0)) {
		if (!has_room(buffer, tail, at + len))
			return false;
	}
	memcpy(buffer->arena + (at & buffer->bytes_mask), data, len);
	buffer->index[tail & buffer->mask] =
		(struct private_entry){ (uint32_t)(at & buffer->bytes_mask), (uint32_t)len };
	buffer->bytes_tail = at + len;
	return true;
}

static inline int insert(struct private_buffer *buffer, const void *data, size_t len)
{
	uint64_t tail = atomic_load_explicit(&buffer->tail, memory_order_relaxed);
	if (!put(buffer, tail, data, len))
		return -1;
	atomic_store_explicit(&buffer->tail, tail + 1, memory_order_release);
	return 0;
}

PUBLIC int private_insert(struct private_buffers *buffers, const void *data, size_t len)
{
	return __builtin_expect(own.of == buffers, 1) ? insert(own.buffer, data, len) : -1;
}

PUBLIC int private_insert_into(struct private_buffer *buffer, const void *data, size_t len)
{
	return insert(buffer, data, len);
}

/* All n at once, if they stand side by side in the arena as they do in the array. */
static inline bool put_run(struct private_buffer *buffer, uint64_t tail, const void *base, unsigned n,
                           size_t len)
{
	uint64_t at = place(buffer, n * len);
	if (len % 8 != 0 || at + n * len > buffer->bytes_room || tail + n > buffer->room)
		return false;
	uint32_t offset = (uint32_t)(at & buffer->bytes_mask);
	memcpy(buffer->arena + offset, base, n * len);
	for (unsigned i = 0; i < n; i++, offset += (uint32_t)len)
		buffer->index[(tail + i) & buffer->mask] = (struct private_entry){ offset, (uint32_t)len };
	buffer->bytes_tail = at + n * len;
	return true;
}

PUBLIC unsigned private_insert_array(struct private_buffers *buffers, const void *base, unsigned n,
                                     size_t len)
{
	if (own.of != buffers)
		return 0;
	struct private_buffer *buffer = own.buffer;
	uint64_t tail = atomic_load_explicit(&buffer->tail, memory_order_relaxed);
	unsigned done = n;
	if (!put_run(buffer, tail, base, n, len)) {
		done = 0;
		while (done < n && put(buffer, tail + done, (const char *)base + done * len, len))
			done++;
	}
	atomic_store_explicit(&buffer->tail, tail + done, memory_order_release);
	return done;
}

/* --- The consumer ----------------------------------------------------------------------- */

PUBLIC struct private_run private_look(struct private_buffer *buffer)
{
	uint64_t head = atomic_load_explicit(&buffer->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&buffer->tail, memory_order_acquire);
	uint64_t to_end = buffer->mask + 1 - (head & buffer->mask);
	uint64_t n = tail - head < to_end ? tail - head : to_end;
	return (struct private_run){ &buffer->index[head & buffer->mask], buffer->arena, n };
}

PUBLIC void private_release(struct private_buffer *buffer, const struct private_run *run)
{
	if (run->n == 0)
		return;
	struct private_entry last = run->entries[run->n - 1];
	/* The last item's end, as a position that only grows. */
	uint64_t bytes_head = atomic_load_explicit(&buffer->bytes_head, memory_order_relaxed);
	uint64_t end = (uint64_t)last.offset + last.len;
	uint64_t ahead = (end - bytes_head) & buffer->bytes_mask;
	if (ahead == 0)
		ahead = buffer->bytes_mask + 1;
	atomic_store_explicit(&buffer->bytes_head, bytes_head + ahead, memory_order_relaxed);
	atomic_store_explicit(&buffer->head,
	                      atomic_load_explicit(&buffer->head, memory_order_relaxed) + run->n,
	                      memory_order_release);
}
