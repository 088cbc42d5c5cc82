/* SPDX-License-Identifier: MIT */
/*
 * private_buffer: a private buffer for each producer, called as DataBuffer is:
 * through a shared library, the length at run time, an arena and a dense index
 * of offset and length (private_buffer_lib.c). Written here.
 *
 *      (default)  the thread's own buffer is found by a thread-local, so that the
 *                 call has the three arguments that databuffer_insert has
 *      handle     the caller has its own buffer at hand; no thread-local
 */
#include "harness/bench.h"
#include "peers/private_buffer.h"

#define PEER_NAME  "private_buffer"
#define PEER_ABOUT "a buffer a thread, called through a shared library, arena and dense index"
#define PEER_CAN   (BENCH_BULK | BENCH_VARIABLE)

struct queue {
	struct private_buffers *buffers;
	unsigned count;
	bool handle;
};

struct producer {
	struct private_buffers *buffers;
	struct private_buffer *mine; /* only with `handle` */
};

static struct queue *peer_open(struct bench *bench)
{
	struct queue *queue = bench_alloc(sizeof(*queue));
	size_t items = BENCH_BOUND / bench->producers;
	queue->count = bench->producers;
	queue->handle = strcmp(bench->variant, "handle") == 0;
	/* Of mixed lengths so many as fit, to within a factor of two. */
	queue->buffers = private_open(queue->count, items, items * bench->size_max);
	return queue;
}

static void peer_close(struct queue *queue, struct bench *bench)
{
	(void)bench;
	private_close(queue->buffers);
	free(queue);
}

static void peer_join(struct queue *queue, struct producer *producer, unsigned id)
{
	producer->buffers = queue->buffers;
	producer->mine = queue->handle ? private_at(queue->buffers, id) : NULL;
	private_join(queue->buffers, id);
}

static void peer_leave(struct producer *producer)
{
	(void)producer;
}

static inline bool peer_put(struct producer *producer, const void *data, size_t len)
{
	if (producer->mine)
		return private_insert_into(producer->mine, data, len) == 0;
	return private_insert(producer->buffers, data, len) == 0;
}

static inline unsigned peer_put_many(struct producer *producer, const void *base, unsigned n, size_t len)
{
	return private_insert_array(producer->buffers, base, n, len);
}

static size_t peer_take(struct queue *queue, struct bench *bench)
{
	struct bench_check *check = bench_check_at(bench, 0);
	size_t taken = 0;
	for (unsigned i = 0; i < queue->count; i++) {
		struct private_buffer *buffer = private_at(queue->buffers, i);
		struct private_run run = private_look(buffer);
		for (size_t k = 0; k < run.n; k++)
			bench_look(check, run.arena + run.entries[k].offset, run.entries[k].len);
		private_release(buffer, &run);
		taken += run.n;
	}
	return taken;
}

#include "harness/drive.h"
