/* SPDX-License-Identifier: MIT */
/*
 * mutex_buffer.h: a mutex and two arrays, in 4 partitions: what one writes in an
 * afternoon, and what most batching libraries are inside. Producers append to
 * one array of a partition under its lock, one partition after the other; the
 * consumer swaps the arrays under the lock and reads at leisure.
 *
 * Used by two programs: mutex_buffer, and broken, whose consumer cheats.
 */
#ifndef BENCH_MUTEX_BUFFER_H
#define BENCH_MUTEX_BUFFER_H

#include <pthread.h>

#include "harness/bench.h"

#define PARTITIONS 4
#define SIZE       64
#define HALF       (BENCH_BOUND / PARTITIONS / 2) /* records in one array */
#define SPARE      1 /* behind them, for broken's sake */

struct partition {
	pthread_mutex_t lock __attribute__((aligned(BENCH_LINE)));
	unsigned count;
	unsigned char *open;  /* what producers append to, under the lock */
	unsigned char *taken; /* the consumer's */
};

struct queue {
	struct partition partitions[PARTITIONS];
};

struct producer {
	struct queue *queue;
	unsigned next;
};

static struct queue *peer_open(struct bench *bench)
{
	struct queue *queue = bench_alloc(sizeof(*queue));
	(void)bench;
	for (unsigned i = 0; i < PARTITIONS; i++) {
		struct partition *partition = &queue->partitions[i];
		pthread_mutex_init(&partition->lock, NULL);
		partition->open = bench_alloc((size_t)(HALF + SPARE) * SIZE);
		partition->taken = bench_alloc((size_t)(HALF + SPARE) * SIZE);
	}
	return queue;
}

static void peer_close(struct queue *queue, struct bench *bench)
{
	(void)bench;
	for (unsigned i = 0; i < PARTITIONS; i++) {
		free(queue->partitions[i].open);
		free(queue->partitions[i].taken);
	}
	free(queue);
}

static void peer_join(struct queue *queue, struct producer *producer, unsigned id)
{
	producer->queue = queue;
	producer->next = id % PARTITIONS;
}

static void peer_leave(struct producer *producer)
{
	(void)producer;
}

/* All n into one partition, the next that has room for them, or none. */
static inline unsigned append(struct producer *producer, const void *base, unsigned n)
{
	for (unsigned tries = 0; tries < PARTITIONS; tries++) {
		struct partition *partition = &producer->queue->partitions[producer->next];
		producer->next = (producer->next + 1) % PARTITIONS;
		pthread_mutex_lock(&partition->lock);
		bool room = partition->count + n <= HALF;
		if (room) {
			memcpy(partition->open + (size_t)partition->count * SIZE, base, (size_t)n * SIZE);
			partition->count += n;
		}
		pthread_mutex_unlock(&partition->lock);
		if (room)
			return n;
	}
	return 0;
}

static inline bool peer_put(struct producer *producer, const void *data, size_t len)
{
	(void)len;
	return append(producer, data, 1) == 1;
}

static inline unsigned peer_put_many(struct producer *producer, const void *base, unsigned n, size_t len)
{
	(void)len;
	return append(producer, base, n);
}

/* The partition's records, which are the consumer's until it swaps again. */
static inline unsigned swap_arrays(struct partition *partition)
{
	pthread_mutex_lock(&partition->lock);
	unsigned n = partition->count;
	unsigned char *full = partition->open;
	partition->open = partition->taken;
	partition->taken = full;
	partition->count = 0;
	pthread_mutex_unlock(&partition->lock);
	return n;
}

#endif
