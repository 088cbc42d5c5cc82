/* SPDX-License-Identifier: MIT */
/*
 * wfcqueue: the wait-free concurrent queue of liburcu (liburcu-dev), enqueued to
 * by all and spliced empty by the consumer at one go, as its documentation
 * recommends for many producers and one consumer; its functions inlined.
 *
 * It links nodes that the program owns. A malloc for each would measure malloc,
 * so every producer has its share of the bound as a circle of nodes, and takes
 * one again when the consumer has told that it is done with it. A call of many
 * links them privately and splices them in.
 */
#define _LGPL_SOURCE /* inline */
#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu/wfcqueue.h>

#include "harness/bench.h"

#define PEER_NAME  "wfcqueue"
#define PEER_ABOUT "liburcu's wait-free queue, spliced by the consumer"
#define PEER_CAN   BENCH_BULK

#define SIZE 64

struct node {
	struct cds_wfcq_node link;
	unsigned char record[SIZE];
};

/* One producer's. */
struct circle {
	uint64_t taken __attribute__((aligned(BENCH_LINE))); /* the consumer's */
	struct node *nodes __attribute__((aligned(BENCH_LINE)));
	uint64_t capacity;
};

struct queue {
	struct cds_wfcq_tail tail __attribute__((aligned(BENCH_LINE)));
	struct __cds_wfcq_head head __attribute__((aligned(BENCH_LINE)));
	unsigned producers;
	struct circle circles[BENCH_PRODUCERS_MAX];
};

struct producer {
	struct queue *queue;
	struct circle *circle;
	uint64_t put, end; /* what it has put, and may put as far as it knows */
};

static struct queue *peer_open(struct bench *bench)
{
	struct queue *queue = bench_alloc(sizeof(*queue));
	__cds_wfcq_init(&queue->head, &queue->tail);
	queue->producers = bench->producers;
	for (unsigned i = 0; i < bench->producers; i++) {
		struct circle *circle = &queue->circles[i];
		circle->capacity = BENCH_BOUND / bench->producers;
		circle->nodes = bench_alloc(circle->capacity * sizeof(*circle->nodes));
	}
	return queue;
}

static void peer_close(struct queue *queue, struct bench *bench)
{
	for (unsigned i = 0; i < bench->producers; i++)
		free(queue->circles[i].nodes);
	free(queue);
}

static void peer_join(struct queue *queue, struct producer *producer, unsigned id)
{
	struct circle *circle = &queue->circles[id];
	*producer = (struct producer){ queue, circle, 0, circle->capacity };
}

static void peer_leave(struct producer *producer)
{
	(void)producer;
}

static inline bool has_room(struct producer *producer, unsigned n)
{
	struct circle *circle = producer->circle;
	if (__builtin_expect(producer->put + n <= producer->end, 1))
		return true;
	producer->end = __atomic_load_n(&circle->taken, __ATOMIC_ACQUIRE) + circle->capacity;
	return producer->put + n <= producer->end;
}

static inline struct node *next_node(struct producer *producer, const void *data)
{
	struct node *node = &producer->circle->nodes[producer->put % producer->circle->capacity];
	producer->put++;
	cds_wfcq_node_init(&node->link);
	memcpy(node->record, data, SIZE);
	return node;
}

static inline bool peer_put(struct producer *producer, const void *data, size_t len)
{
	struct queue *queue = producer->queue;
	(void)len;
	if (!has_room(producer, 1))
		return false;
	cds_wfcq_enqueue(&queue->head, &queue->tail, &next_node(producer, data)->link);
	return true;
}

static inline unsigned peer_put_many(struct producer *producer, const void *base, unsigned n, size_t len)
{
	struct __cds_wfcq_head head;
	struct cds_wfcq_tail tail;
	(void)len;
	if (!has_room(producer, n))
		return 0;
	__cds_wfcq_init(&head, &tail);
	for (unsigned i = 0; i < n; i++)
		cds_wfcq_enqueue(&head, &tail, &next_node(producer, (const char *)base + i * SIZE)->link);
	__cds_wfcq_splice_blocking(&producer->queue->head, &producer->queue->tail, &head, &tail);
	return n;
}

static size_t peer_take(struct queue *queue, struct bench *bench)
{
	struct bench_check *check = bench_check_at(bench, 0);
	struct __cds_wfcq_head head;
	struct cds_wfcq_tail tail;
	struct cds_wfcq_node *link, *next;
	size_t taken = 0;
	__cds_wfcq_init(&head, &tail);
	if (__cds_wfcq_splice_blocking(&head, &tail, &queue->head, &queue->tail) == CDS_WFCQ_RET_SRC_EMPTY)
		return 0;
	__cds_wfcq_for_each_blocking_safe (&head, &tail, link, next) {
		bench_look(check, caa_container_of(link, struct node, link)->record, SIZE);
		taken++;
	}
	/* Each producer's come in their order, and count from 1. */
	for (unsigned i = 0; i < queue->producers; i++)
		__atomic_store_n(&queue->circles[i].taken, check->last[i], __ATOMIC_RELEASE);
	return taken;
}

#include "harness/drive.h"
