/* SPDX-License-Identifier: MIT */
/*
 * databuffer: this library, through its shared library as a program has it, with
 * its default options and 4 partitions. Its bound is its own: of each partition
 * one batch of 5,000 fills while one is flushed, 40,000 records together.
 *
 * One call of databuffer_insert a record; calls of many are databuffer_insert_array.
 * The handler walks a databuffer_batch_view. Variants, several with commas:
 *
 *      batch   calls of many are databuffer_insert_batch
 *      next    the handler walks with databuffer_batch_next
 */
#include <databuffer.h>

#include "harness/bench.h"

#define PEER_NAME  "databuffer"
#define PEER_ABOUT "this library, default options, 4 partitions"
#define PEER_CAN   (BENCH_BULK | BENCH_VARIABLE | BENCH_PUSH)
#define PEER_FINISH
#define PEER_TRY

#define PARTITIONS 4

struct queue {
	databuffer *buffer;
	struct bench *bench;
	bool batch, next;
};

struct producer {
	databuffer *buffer;
	bool batch;
};

static int flush(databuffer_batch *batch, void *meta)
{
	struct queue *queue = meta;
	struct bench_check *check = bench_check_at(queue->bench, databuffer_batch_partition(batch));
	size_t n = databuffer_batch_size(batch);
	bench_gate(queue->bench);
	if (queue->next) {
		databuffer_item item;
		while (databuffer_batch_next(batch, &item))
			bench_look(check, item.data, item.len);
	} else {
		databuffer_view view = databuffer_batch_view(batch);
		for (size_t i = 0; i < n; i++) {
			databuffer_item item = databuffer_view_at(&view, i);
			bench_look(check, item.data, item.len);
		}
	}
	bench_consumed(queue->bench, n);
	return 0;
}

static struct queue *peer_open(struct bench *bench)
{
	struct queue *queue = bench_alloc(sizeof(*queue));
	databuffer_options options = databuffer_options_init();
	queue->bench = bench;
	queue->batch = strstr(bench->variant, "batch") != NULL;
	queue->next = strstr(bench->variant, "next") != NULL;
	options.partitions = PARTITIONS;
	options.handle_flush = flush;
	options.flush_meta = queue;
	int rc = databuffer_start(&queue->buffer, &options);
	if (rc < 0)
		bench_fail("databuffer_start: %s", databuffer_strerror(rc));
	return queue;
}

static void peer_close(struct queue *queue, struct bench *bench)
{
	databuffer_stats_t stats;
	if (databuffer_stats(queue->buffer, &stats) == 0)
		bench->waits += stats.waits;
	int64_t left = databuffer_stop(queue->buffer, 5000);
	if (left != 0)
		bench_fail("databuffer_stop: %lld", (long long)left);
	free(queue);
}

static void peer_finish(struct queue *queue)
{
	int rc = databuffer_sync_flush(queue->buffer, NULL, 0, 10000);
	if (rc < 0)
		bench_fail("databuffer_sync_flush: %s", databuffer_strerror(rc));
}

static void peer_join(struct queue *queue, struct producer *producer, unsigned id)
{
	(void)id;
	producer->buffer = queue->buffer;
	producer->batch = queue->batch;
}

static void peer_leave(struct producer *producer)
{
	(void)producer;
}

/* Waits by itself until there is room. */
static inline bool peer_put(struct producer *producer, const void *data, size_t len)
{
	return databuffer_insert(producer->buffer, data, len) == 0;
}

static inline bool peer_try(struct producer *producer, const void *data, size_t len)
{
	return databuffer_insert_timed(producer->buffer, data, len, 0) == 0;
}

static inline unsigned peer_put_many(struct producer *producer, const void *base, unsigned n, size_t len)
{
	databuffer_item items[BENCH_BATCH_MAX];
	if (!producer->batch)
		return databuffer_insert_array(producer->buffer, base, n, len) == 0 ? n : 0;
	for (unsigned i = 0; i < n; i++) {
		items[i].data = (const unsigned char *)base + i * len;
		items[i].len = len;
	}
	return databuffer_insert_batch(producer->buffer, items, n) == 0 ? n : 0;
}

#include "harness/drive.h"
