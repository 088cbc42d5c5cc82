/* SPDX-License-Identifier: MIT */
/*
 * ck_ring: Concurrency Kit's ring (libck-dev), made for records by value with
 * CK_RING_PROTOTYPE. With one producer it is used as the ring for one producer
 * and one consumer, with more as that for many and one: the cheapest of its kinds
 * that is right for the number. It has no operation on many at once.
 */
#include "harness/bench.h"

#include <ck_ring.h>

#define PEER_NAME  "ck_ring"
#define PEER_ABOUT "Concurrency Kit's ring, by value"
#define PEER_CAN   0

#define MOST 4096 /* records of one peer_take */

struct record {
	uint64_t words[8];
};

CK_RING_PROTOTYPE(records, record)

struct queue {
	ck_ring_t ring __attribute__((aligned(BENCH_LINE)));
	struct record *records;
	bool single;
};

struct producer {
	struct queue *queue;
	bool single;
};

static struct queue *peer_open(struct bench *bench)
{
	struct queue *queue = bench_alloc(sizeof(*queue));
	queue->records = bench_alloc(BENCH_BOUND * sizeof(*queue->records));
	queue->single = bench->producers == 1;
	ck_ring_init(&queue->ring, BENCH_BOUND);
	return queue;
}

static void peer_close(struct queue *queue, struct bench *bench)
{
	(void)bench;
	free(queue->records);
	free(queue);
}

static void peer_join(struct queue *queue, struct producer *producer, unsigned id)
{
	(void)id;
	producer->queue = queue;
	producer->single = queue->single;
}

static void peer_leave(struct producer *producer)
{
	(void)producer;
}

static inline bool peer_put(struct producer *producer, const void *data, size_t len)
{
	struct queue *queue = producer->queue;
	struct record *record = (struct record *)(uintptr_t)data; /* it is only read */
	(void)len;
	if (producer->single)
		return CK_RING_ENQUEUE_SPSC(records, &queue->ring, queue->records, record);
	return CK_RING_ENQUEUE_MPSC(records, &queue->ring, queue->records, record);
}

static size_t peer_take(struct queue *queue, struct bench *bench)
{
	struct bench_check *check = bench_check_at(bench, 0);
	struct record record;
	size_t n = 0;
	while (n < MOST && CK_RING_DEQUEUE_SPSC(records, &queue->ring, queue->records, &record)) {
		bench_look(check, &record, sizeof(record));
		n++;
	}
	return n;
}

#include "harness/drive.h"
