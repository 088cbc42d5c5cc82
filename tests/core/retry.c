/* SPDX-License-Identifier: MIT */
/* Batches that fail for now, in virtual time: how long they wait, and when they are given up. */
#include "core/bench.h"

/* The next attempt's batch, having lived until it is due. */
static struct segment *take_when_due(struct bench *bench)
{
	struct segment *segment;
	while (!(segment = take(bench))) {
		int64_t deadline = partition_deadline(&bench->partition);
		assert_true(deadline != PORT_NEVER && deadline > bench->now);
		bench->now = deadline;
		tick(bench);
	}
	return segment;
}

static void a_backoff_is_drawn_from_its_whole_range(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.retry_min = 100;
	o.retry_max = 1700;
	begin(&bench, &o);
	unsigned quarters[4][4] = { { 0 } };
	static const int64_t cap_ms[4] = { 200, 400, 800, 1600 };
	for (unsigned round = 0; round < 400; round++) {
		insert_all(&bench, 10);
		for (unsigned attempt = 0; attempt < 4; attempt++) {
			land(&bench, take_when_due(&bench), -EIO);
			int64_t wait_ms = (partition_deadline(&bench.partition) - bench.now) / MS;
			assert_in_range(wait_ms, 100, cap_ms[attempt]);
			quarters[attempt][(wait_ms - 100) * 4 / (cap_ms[attempt] - 100 + 1)]++;
		}
		land(&bench, take_when_due(&bench), 0);
	}
	for (unsigned attempt = 0; attempt < 4; attempt++)
		for (unsigned quarter = 0; quarter < 4; quarter++)
			assert_in_range(quarters[attempt][quarter], 60, 140);
	end(&bench);
}

static void without_a_limit_a_batch_is_tried_for_ever(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 10);
	for (unsigned attempt = 0; attempt < 3000; attempt++)
		land(&bench, take_when_due(&bench), -EIO);
	assert_int_equal(bench.partition.held, 10);
	assert_int_equal(bench.partition.dead, 0);
	assert_true(bench.now > 3600 * 1000 * MS);
	end(&bench);
}

static void an_item_is_dead_after_retry_limit_attempts(void **state)
{
	(void)state;
	for (int64_t limit = 1; limit <= 5; limit++) {
		struct bench bench;
		databuffer_options o = options();
		o.retry_limit = limit;
		o.max_size = 1;
		begin(&bench, &o);
		insert_all(&bench, 1);
		for (int64_t attempt = 1; attempt <= limit; attempt++) {
			assert_int_equal(bench.partition.dead, 0);
			struct segment *segment = take_when_due(&bench);
			assert_int_equal(databuffer_batch_attempt(&segment->batch), attempt);
			land(&bench, segment, -EIO);
		}
		assert_int_equal(bench.partition.dead, 1);
		assert_int_equal(bench.partition.held, 0);
		assert_int_equal(bench.partition.failures, limit);
		assert_int_equal(bench.partition.rejects, 0);
		end(&bench);
	}
}

static void the_last_attempt_is_made_when_retry_for_is_over(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.retry_min = 100;
	o.retry_max = 30000;
	o.retry_for = 7000;
	o.max_size = 1;
	for (int64_t seed = 0; seed < 50; seed++) {
		begin(&bench, &o);
		rng_seed(&bench.partition.rng, (uint64_t)seed);
		bench.now = 12345 * MS;
		insert_all(&bench, 1);
		struct segment *segment = take(&bench);
		bench.now += 2000 * MS; /* time runs from the failure, not from the call */
		int64_t failed = bench.now;
		land(&bench, segment, -EIO);
		while (bench.partition.held > 0) {
			segment = take_when_due(&bench);
			assert_true(bench.now <= failed + 7000 * MS);
			land(&bench, segment, -EIO);
		}
		assert_int_equal(bench.now, failed + 7000 * MS);
		assert_int_equal(bench.partition.dead, 1);
		end(&bench);
	}
}

static void the_time_begins_anew_for_other_items(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.retry_min = o.retry_max = 600;
	o.retry_for = 1000;
	begin(&bench, &o);
	for (unsigned round = 0; round < 3; round++) {
		insert_all(&bench, 10);
		land(&bench, take(&bench), -EIO);
		struct segment *segment = take_when_due(&bench);
		land(&bench, segment, 0);
	}
	assert_int_equal(bench.partition.flushed, 30);
	end(&bench);
}

/* However the first attempt failed: here its worker died. */
static void the_time_begins_with_the_first_failure_of_any_kind(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.retry_min = o.retry_max = 400;
	o.retry_for = 1000;
	o.max_size = 1;
	o.kill_limit = 2;
	begin(&bench, &o);
	insert_all(&bench, 1);
	const struct worker_death death = { .text = "killed by SIGKILL", .counts = false };
	struct segment *segment = take(&bench);
	struct verdict verdict = partition_judge_death(&bench.partition, segment, &death, bench.now);
	batch_finish(&segment->batch);
	partition_land(&bench.partition, segment, &verdict, bench.now);
	bench.now = 300 * MS;
	while (bench.partition.held > 0)
		land(&bench, take_when_due(&bench), -EIO);
	assert_int_equal(bench.now, 1000 * MS);
	end(&bench);
}

/* --- Given up ------------------------------------------------------------------------------------ */

static uint32_t first_of(struct segment *segment)
{
	databuffer_item item = databuffer_batch_at(&segment->batch, 0);
	return *(const uint32_t *)item.data;
}

static bool has(struct segment *segment, uint32_t value)
{
	size_t size = databuffer_batch_size(&segment->batch);
	uint32_t first = first_of(segment);
	return value >= first && value < first + size;
}

/* One item that the sink fails on, in a batch of a thousand. */
static void of_a_batch_that_is_given_up_what_passes_is_flushed(void **state)
{
	(void)state;
	for (uint32_t poison = 0; poison < 1000; poison += 37) {
		struct bench bench;
		databuffer_options o = options();
		o.max_size = 1000;
		o.retry_limit = 3;
		begin(&bench, &o);
		insert_all(&bench, 1000);
		unsigned calls = 0;
		uint32_t next = 0;
		while (bench.partition.held > 0) {
			struct segment *segment = take_when_due(&bench);
			size_t size = databuffer_batch_size(&segment->batch);
			assert_int_equal(first_of(segment), next);
			bool fails = has(segment, poison);
			if (!fails || (size == 1 && calls >= 3))
				next += (uint32_t)size;
			int64_t before = bench.now;
			land(&bench, segment, fails ? -EIO : 0);
			if (++calls >= 3 && bench.partition.held > 0)
				assert_int_equal(partition_deadline(&bench.partition) <= before, true); /* no backoff */
		}
		assert_int_equal(bench.partition.dead, 1);
		assert_int_equal(bench.partition.flushed, 999);
		assert_in_range(calls, 3, 3 + 2 * 10 + 2);
		end(&bench);
	}
}

static void a_sink_that_is_down_is_not_called_for_every_item(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.max_size = 5000;
	o.retry_limit = 4;
	begin(&bench, &o);
	insert_all(&bench, 5000);
	unsigned calls = 0;
	for (; bench.partition.held > 0; calls++)
		land(&bench, take_when_due(&bench), -ECONNREFUSED);
	assert_int_equal(bench.partition.dead, 5000);
	assert_in_range(calls, 4 + BATCH_MISSES, 100);
	end(&bench);
}

/* As long as it takes or rejects an item now and then, it is not down. */
static void a_sink_that_answers_is_called_for_every_item(void **state)
{
	(void)state;
	for (int refusal = 0; refusal <= DATABUFFER_REJECT; refusal += DATABUFFER_REJECT) {
		struct bench bench;
		databuffer_options o = options();
		o.max_size = 200;
		o.retry_limit = 1;
		begin(&bench, &o);
		insert_all(&bench, 200);
		while (bench.partition.held > 0) {
			struct segment *segment = take_when_due(&bench);
			bool alone = databuffer_batch_size(&segment->batch) == 1;
			land(&bench, segment, alone && first_of(segment) % BATCH_MISSES == 0 ? refusal : -EIO);
		}
		unsigned answered = (200 + BATCH_MISSES - 1) / BATCH_MISSES;
		assert_int_equal(bench.partition.dead, 200 - (refusal == 0 ? answered : 0));
		assert_int_equal(bench.partition.flushed, refusal == 0 ? answered : 0);
		assert_true(bench.partition.attempts >= 200);
		end(&bench);
	}
}

/* A batch is rejected for item 2; then its first half, for now, until the limit. */
static void only_the_items_that_failed_are_given_up(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.max_size = 8;
	o.retry_limit = 2;
	begin(&bench, &o);
	insert_all(&bench, 8);
	struct segment *segment = take(&bench);
	land(&bench, segment, DATABUFFER_REJECT);
	for (unsigned attempt = 1; attempt <= 2; attempt++) {
		segment = take_when_due(&bench);
		expect_batch(segment, 0, 4, DATABUFFER_TRIGGER_SIZE);
		assert_int_equal(databuffer_batch_attempt(&segment->batch), attempt);
		land(&bench, segment, -EIO);
	}
	for (uint32_t value = 0; value < 4;) {
		segment = take(&bench);
		assert_int_equal(first_of(segment), value);
		assert_true(value + databuffer_batch_size(&segment->batch) <= 4);
		if (databuffer_batch_size(&segment->batch) == 1)
			value++;
		land(&bench, segment, -EIO);
	}
	assert_int_equal(bench.partition.dead, 4);
	/* Those of the other half have their own attempts. */
	segment = take(&bench);
	assert_int_equal(first_of(segment), 4);
	land(&bench, segment, -EIO);
	assert_int_equal(bench.partition.dead, 4);
	assert_null(take(&bench));
	while (bench.partition.held > 0)
		land(&bench, take_when_due(&bench), 0);
	assert_int_equal(bench.partition.flushed, 4);
	end(&bench);
}

/* --- Triggers -------------------------------------------------------------------------------------- */

static void while_a_partition_backs_off_its_triggers_rest(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.retry_min = o.retry_max = 60000;
	o.max_queued = 2;
	o.max_in_flight = 2;
	begin(&bench, &o);
	insert_all(&bench, 10);
	land(&bench, take(&bench), -EIO);
	unsigned todo = 0;
	insert(&bench, 25, &todo); /* the size is reached, twice */
	assert_int_equal(todo & TODO_FLUSH, 0);
	for (bench.now = 0; bench.now < 60000 * MS; bench.now += 500 * MS) {
		assert_int_equal(tick(&bench), 0); /* intervals pass */
		assert_null(take(&bench));
		assert_int_equal(partition_deadline(&bench.partition), 60000 * MS);
	}
	assert_int_equal(bench.partition.attempts, 1);
	assert_int_equal(tick(&bench), TODO_FLUSH);
	expect_batch(take(&bench), 0, 10, DATABUFFER_TRIGGER_SIZE);
	end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_backoff_is_drawn_from_its_whole_range),
		cmocka_unit_test(without_a_limit_a_batch_is_tried_for_ever),
		cmocka_unit_test(an_item_is_dead_after_retry_limit_attempts),
		cmocka_unit_test(the_last_attempt_is_made_when_retry_for_is_over),
		cmocka_unit_test(the_time_begins_anew_for_other_items),
		cmocka_unit_test(the_time_begins_with_the_first_failure_of_any_kind),
		cmocka_unit_test(of_a_batch_that_is_given_up_what_passes_is_flushed),
		cmocka_unit_test(a_sink_that_is_down_is_not_called_for_every_item),
		cmocka_unit_test(a_sink_that_answers_is_called_for_every_item),
		cmocka_unit_test(only_the_items_that_failed_are_given_up),
		cmocka_unit_test(while_a_partition_backs_off_its_triggers_rest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
