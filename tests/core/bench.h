/* SPDX-License-Identifier: MIT */
/*
 * bench.h: one partition with one thread's lane, in virtual time. A test says
 * what happens and when, and looks at what the partition wants done.
 */
#ifndef DATABUFFER_TESTS_CORE_BENCH_H
#define DATABUFFER_TESTS_CORE_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/options.h"
#include "core/partition.h"

#define MS PORT_NS_PER_MS

static inline int never_called(databuffer_batch *batch, void *meta)
{
	(void)batch, (void)meta;
	fail();
	return 0;
}

static inline databuffer_options options(void)
{
	databuffer_options o = databuffer_options_init();
	o.handle_flush = never_called;
	o.max_size = 10;
	o.flush_interval = 1000;
	o.flush_jitter = 0;
	o.flush_timeout = 5000;
	return o;
}

/* A partition with one thread's lane, and its time. */
struct bench {
	databuffer_options options;
	struct partition partition;
	struct pace pace;
	struct lane lane;
	int64_t now;
	uint32_t next_value;
};

static inline void begin(struct bench *bench, const databuffer_options *o)
{
	memset(bench, 0, sizeof(*bench));
	bench->options = *o;
	assert_int_equal(partition_init(&bench->partition, NULL, 3, "bench", &bench->options, 1,
	                                !port_has_barrier(), 0), 0);
	pace_init(&bench->pace);
	bench->partition.pace = &bench->pace;
	lane_init(&bench->lane, &bench->partition, &bench->lane, !port_has_barrier());
}

static inline void end(struct bench *bench)
{
	assert_true(partition_is_valid(&bench->partition));
	partition_fini(&bench->partition);
}

/* Inserts n items, numbered on; returns how many went in before it was full. */
static inline unsigned insert(struct bench *bench, unsigned n, unsigned *todo)
{
	struct lease_request request = { .item_size = sizeof(uint32_t), .n = 1, .payload = sizeof(uint32_t) };
	for (unsigned i = 0; i < n; i++) {
		enum lane_put put = lane_put(&bench->lane, &bench->next_value, sizeof(uint32_t));
		if (put == LANE_REFUSED) {
			if (partition_lease(&bench->partition, &bench->lane, &request, true, bench->now, todo) != ROOM_LEASED)
				return i;
			put = lane_put(&bench->lane, &bench->next_value, sizeof(uint32_t));
			assert_int_not_equal(put, LANE_REFUSED);
		}
		if (put == LANE_EXHAUSTED)
			*todo |= partition_filled(&bench->partition, bench->now);
		bench->next_value++;
		assert_true(partition_is_valid(&bench->partition));
	}
	return n;
}

static inline void insert_all(struct bench *bench, unsigned n)
{
	unsigned todo = 0;
	assert_int_equal(insert(bench, n, &todo), n);
}

static inline unsigned tick(struct bench *bench)
{
	unsigned todo = partition_tick(&bench->partition, bench->now);
	bench->partition.news.count = 0; /* told */
	assert_true(partition_is_valid(&bench->partition));
	return todo;
}

static inline struct segment *take(struct bench *bench)
{
	return partition_take(&bench->partition, bench->now);
}

static inline unsigned land(struct bench *bench, struct segment *segment, int answer)
{
	struct verdict verdict = partition_judge(&bench->partition, segment, answer, bench->now);
	batch_finish(&segment->batch);
	unsigned todo = partition_land(&bench->partition, segment, &verdict, bench->now);
	assert_true(partition_is_valid(&bench->partition));
	return todo;
}

static inline void expect_batch(struct segment *segment, uint32_t first, size_t count, databuffer_trigger trigger)
{
	databuffer_item item;
	assert_non_null(segment);
	assert_int_equal(databuffer_batch_size(&segment->batch), count);
	assert_int_equal(databuffer_batch_trigger(&segment->batch), trigger);
	while (databuffer_batch_next(&segment->batch, &item))
		assert_int_equal(*(const uint32_t *)item.data, first++);
}

#endif
