/* SPDX-License-Identifier: MIT */
/*
 * private_ring: a ring for each producer, inlined, of records of a fixed size:
 * the floor of any hand-over from thread to thread. Written here.
 *
 * The bound is shared out evenly. Each side keeps what it last saw of the
 * other's position and looks again only when that does not do. The consumer
 * reads in place and gives back a whole run at once.
 */
#include "harness/bench.h"

#define PEER_NAME  "private_ring"
#define PEER_ABOUT "a ring a thread, inlined, fixed size: the floor of any hand-over"
#define PEER_CAN   BENCH_BULK

#define SIZE 64

struct ring {
	uint64_t head __attribute__((aligned(BENCH_LINE))); /* the consumer's: below it all is taken */
	uint64_t tail __attribute__((aligned(BENCH_LINE))); /* the producer's: below it all is there */
	uint64_t seen;                                      /* what the producer knows of head */
	uint64_t mask;
	unsigned char *records;
};

struct queue {
	unsigned producers;
	struct ring rings[BENCH_PRODUCERS_MAX];
};

struct producer {
	struct ring *ring;
};

static struct queue *peer_open(struct bench *bench)
{
	struct queue *queue = bench_alloc(sizeof(*queue));
	uint64_t capacity = 1;
	queue->producers = bench->producers;
	while (capacity * 2 * bench->producers <= BENCH_BOUND)
		capacity *= 2;
	for (unsigned i = 0; i < bench->producers; i++) {
		queue->rings[i].mask = capacity - 1;
		queue->rings[i].records = bench_alloc(capacity * SIZE);
	}
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

/* How many of n have room now. */
static inline unsigned room(struct ring *ring, unsigned n)
{
	uint64_t capacity = ring->mask + 1;
	if (ring->tail + n - ring->seen > capacity) {
		ring->seen = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
		if (ring->tail + n - ring->seen > capacity)
			return (unsigned)(capacity - (ring->tail - ring->seen));
	}
	return n;
}

static inline bool peer_put(struct producer *producer, const void *data, size_t len)
{
	struct ring *ring = producer->ring;
	(void)len;
	if (__builtin_expect(room(ring, 1) == 0, 0))
		return false;
	memcpy(ring->records + (ring->tail & ring->mask) * SIZE, data, SIZE);
	__atomic_store_n(&ring->tail, ring->tail + 1, __ATOMIC_RELEASE);
	return true;
}

static inline unsigned peer_put_many(struct producer *producer, const void *base, unsigned n, size_t len)
{
	struct ring *ring = producer->ring;
	uint64_t at = ring->tail & ring->mask, to_end = ring->mask + 1 - at;
	(void)len;
	n = room(ring, n);
	if (n > to_end)
		n = (unsigned)to_end;
	memcpy(ring->records + at * SIZE, base, (size_t)n * SIZE);
	__atomic_store_n(&ring->tail, ring->tail + n, __ATOMIC_RELEASE);
	return n;
}

static size_t peer_take(struct queue *queue, struct bench *bench)
{
	struct bench_check *check = bench_check_at(bench, 0);
	size_t taken = 0;
	for (unsigned i = 0; i < queue->producers; i++) {
		struct ring *ring = &queue->rings[i];
		uint64_t head = ring->head, tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
		taken += tail - head;
		for (; head != tail; head++)
			bench_look(check, ring->records + (head & ring->mask) * SIZE, SIZE);
		__atomic_store_n(&ring->head, head, __ATOMIC_RELEASE);
	}
	return taken;
}

#include "harness/drive.h"
