/* SPDX-License-Identifier: MIT */
/*
 * vyukov_ring: Dmitry Vyukov's bounded queue for many producers, after
 * 1024cores.net, with the cells holding the records themselves. A producer takes
 * a place by a compare-and-swap and hands its cell over by the cell's own
 * sequence number; the one consumer takes cells in turn and needs no atomic
 * operation but loads and stores. Written here.
 */
#include "harness/bench.h"

#define PEER_NAME  "vyukov_ring"
#define PEER_ABOUT "Vyukov's bounded queue, many producers and one consumer"
#define PEER_CAN   0

#define SIZE 64
#define MOST 4096 /* records of one peer_take */

struct cell {
	uint64_t sequence;
	unsigned char record[SIZE];
};

struct queue {
	uint64_t tail __attribute__((aligned(BENCH_LINE)));
	uint64_t head __attribute__((aligned(BENCH_LINE)));
	struct cell *cells __attribute__((aligned(BENCH_LINE)));
};

struct producer {
	struct queue *queue;
};

static struct queue *peer_open(struct bench *bench)
{
	struct queue *queue = bench_alloc(sizeof(*queue));
	(void)bench;
	queue->cells = bench_alloc(BENCH_BOUND * sizeof(*queue->cells));
	for (uint64_t i = 0; i < BENCH_BOUND; i++)
		queue->cells[i].sequence = i;
	return queue;
}

static void peer_close(struct queue *queue, struct bench *bench)
{
	(void)bench;
	free(queue->cells);
	free(queue);
}

static void peer_join(struct queue *queue, struct producer *producer, unsigned id)
{
	(void)id;
	producer->queue = queue;
}

static void peer_leave(struct producer *producer)
{
	(void)producer;
}

static inline bool peer_put(struct producer *producer, const void *data, size_t len)
{
	struct queue *queue = producer->queue;
	uint64_t tail = __atomic_load_n(&queue->tail, __ATOMIC_RELAXED);
	struct cell *cell;
	(void)len;
	for (;;) {
		cell = &queue->cells[tail % BENCH_BOUND];
		int64_t ahead = (int64_t)(__atomic_load_n(&cell->sequence, __ATOMIC_ACQUIRE) - tail);
		if (ahead < 0)
			return false;
		if (ahead > 0)
			tail = __atomic_load_n(&queue->tail, __ATOMIC_RELAXED);
		else if (__atomic_compare_exchange_n(&queue->tail, &tail, tail + 1, true, __ATOMIC_RELAXED,
		                                     __ATOMIC_RELAXED))
			break;
	}
	memcpy(cell->record, data, SIZE);
	__atomic_store_n(&cell->sequence, tail + 1, __ATOMIC_RELEASE);
	return true;
}

static size_t peer_take(struct queue *queue, struct bench *bench)
{
	struct bench_check *check = bench_check_at(bench, 0);
	uint64_t head = queue->head, end = head + MOST;
	for (; head != end; head++) {
		struct cell *cell = &queue->cells[head % BENCH_BOUND];
		if (__atomic_load_n(&cell->sequence, __ATOMIC_ACQUIRE) != head + 1)
			break;
		bench_look(check, cell->record, SIZE);
		__atomic_store_n(&cell->sequence, head + BENCH_BOUND, __ATOMIC_RELEASE);
	}
	size_t taken = head - queue->head;
	queue->head = head;
	return taken;
}

#include "harness/drive.h"
