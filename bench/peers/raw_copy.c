/* SPDX-License-Identifier: MIT */
/*
 * raw_copy: each producer copies its records into a ring of 1 MiB of its own and
 * nobody takes them: memcpy, and no hand-over at all. What is in the rings at
 * the end is looked at, outside the time. Written here.
 */
#include "harness/bench.h"

#define PEER_NAME  "raw_copy"
#define PEER_ABOUT "memcpy into a recycled 1 MiB a thread; nothing is handed over"
#define PEER_CAN   (BENCH_BULK | BENCH_COPY_ONLY)

#define SIZE 64
#define RING (1048576 / SIZE)

struct ring {
	uint64_t count __attribute__((aligned(BENCH_LINE)));
	unsigned char *records;
};

struct queue {
	struct ring rings[BENCH_PRODUCERS_MAX];
};

struct producer {
	struct ring *ring;
};

static struct queue *peer_open(struct bench *bench)
{
	struct queue *queue = bench_alloc(sizeof(*queue));
	for (unsigned i = 0; i < bench->producers; i++)
		queue->rings[i].records = bench_alloc((size_t)RING * SIZE);
	return queue;
}

static void peer_close(struct queue *queue, struct bench *bench)
{
	for (unsigned i = 0; i < bench->producers; i++)
		free(queue->rings[i].records);
	free(queue);
}

static void peer_join(struct queue *queue, struct producer *producer, unsigned id)
{
	producer->ring = &queue->rings[id];
}

static void peer_leave(struct producer *producer)
{
	(void)producer;
}

static inline bool peer_put(struct producer *producer, const void *data, size_t len)
{
	struct ring *ring = producer->ring;
	(void)len;
	memcpy(ring->records + ring->count % RING * SIZE, data, SIZE);
	/* As a statement to the compiler that each copy is wanted. */
	__atomic_store_n(&ring->count, ring->count + 1, __ATOMIC_RELEASE);
	return true;
}

static inline unsigned peer_put_many(struct producer *producer, const void *base, unsigned n, size_t len)
{
	struct ring *ring = producer->ring;
	uint64_t at = ring->count % RING;
	(void)len;
	if (n > RING - at)
		n = (unsigned)(RING - at);
	memcpy(ring->records + at * SIZE, base, (size_t)n * SIZE);
	__atomic_store_n(&ring->count, ring->count + n, __ATOMIC_RELEASE);
	return n;
}

/* Of each ring the last round, from its oldest record on; what it has overwritten is taken on trust. */
static size_t peer_take(struct queue *queue, struct bench *bench)
{
	struct bench_check *check = bench_check_at(bench, 0);
	size_t taken = 0;
	for (unsigned i = 0; i < bench->producers; i++) {
		struct ring *ring = &queue->rings[i];
		uint64_t oldest = ring->count > RING ? ring->count - RING : 0;
		for (uint64_t at = oldest; at < ring->count; at++)
			bench_look(check, ring->records + at % RING * SIZE, SIZE);
		check->count += oldest;
		check->bytes += oldest * SIZE;
		taken += ring->count;
	}
	return taken;
}

#include "harness/drive.h"
