/* SPDX-License-Identifier: MIT */
/* What a sink takes at once: by itself, and as a partition follows it. */
#include "core/bench.h"

#include "core/fit.h"

/* Lives through batches of up to `most` items with a sink that takes `limit`;
 * returns how many calls were too large. */
static unsigned live(struct fit *fit, uint32_t most, uint32_t limit, unsigned batches)
{
	unsigned refused = 0;
	for (unsigned i = 0; i < batches; i++) {
		uint32_t left = most;
		while (left > 0) {
			uint32_t count = fit->bound > 0 && fit->bound < left ? fit->bound : left;
			while (count > limit) {
				refused++;
				fit_too_large(fit, count);
				count -= count / 2;
			}
			fit_taken(fit, count, most);
			left -= count;
		}
	}
	return refused;
}

static void nothing_is_bounded_until_something_was_too_large(void **state)
{
	(void)state;
	struct fit fit = { 0 };
	for (unsigned i = 0; i < 100; i++)
		fit_taken(&fit, 100, 100);
	assert_int_equal(fit.bound, 0);
	fit_too_large(&fit, 100);
	assert_int_equal(fit.bound, 50);
	fit_too_large(&fit, 50);
	fit_too_large(&fit, 25);
	assert_int_equal(fit.bound, 13);
	fit_too_large(&fit, 2);
	assert_int_equal(fit.bound, 1);
}

static void a_limit_that_stays_costs_hardly_a_call(void **state)
{
	(void)state;
	for (uint32_t limit = 1; limit < 1000; limit = limit * 3 + 1) {
		struct fit fit = { 0 };
		live(&fit, 1000, limit, 10); /* finds it */
		assert_in_range(fit.known > 0 ? fit.known : fit.bound, (limit + 1) / 2, limit);
		/* 8 full batches before the first try, then twice as many each time: ten
		 * tries or so, and one of 1024 from then on. */
		unsigned batches = 20000, refused = live(&fit, 1000, limit, batches);
		assert_true(refused <= 10 + (uint64_t)batches * 1000 / ((limit + 1) / 2) / 1024);
	}
}

static void a_limit_that_is_lifted_is_seen_to_be(void **state)
{
	(void)state;
	struct fit fit = { 0 };
	live(&fit, 1000, 3, 1);
	assert_in_range(fit.known > 0 ? fit.known : fit.bound, 2, 3);
	live(&fit, 1000, UINT32_MAX, 100);
	assert_int_equal(fit.bound, 0);
	assert_int_equal(live(&fit, 1000, UINT32_MAX, 100), 0);
}

static void small_batches_say_nothing(void **state)
{
	(void)state;
	struct fit fit = { 0 };
	fit_too_large(&fit, 100);
	for (unsigned i = 0; i < 1000; i++)
		fit_taken(&fit, 49, 100);
	assert_int_equal(fit.bound, 50);
	assert_int_equal(fit.known, 0);
}

static void a_try_that_fails_leaves_what_is_known(void **state)
{
	(void)state;
	struct fit fit = { 0 };
	fit_too_large(&fit, 100);
	for (unsigned i = 0; i < 8; i++)
		fit_taken(&fit, 50, 1000);
	assert_int_equal(fit.bound, 100);
	fit_too_large(&fit, 60);
	assert_int_equal(fit.bound, 50);
	/* But if what was known to fit does not, that is halved. */
	for (unsigned i = 0; i < 16; i++)
		fit_taken(&fit, 50, 1000);
	assert_int_equal(fit.bound, 100);
	fit_too_large(&fit, 50);
	assert_int_equal(fit.bound, 25);
}

/* --- In a partition -------------------------------------------------------------------------------- */

static void halves_come_in_order_and_the_next_batches_in_pieces(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.max_queued = 2;
	begin(&bench, &o);
	insert_all(&bench, 30);
	struct segment *segment = take(&bench);
	expect_batch(segment, 0, 10, DATABUFFER_TRIGGER_SIZE);
	assert_int_equal(land(&bench, segment, DATABUFFER_TOO_LARGE), TODO_FLUSH); /* no backoff */
	for (uint32_t value = 0; value < 30; value += 5) {
		segment = take(&bench);
		expect_batch(segment, value, 5, DATABUFFER_TRIGGER_SIZE);
		assert_int_equal(databuffer_batch_attempt(&segment->batch), 1);
		land(&bench, segment, 0);
	}
	assert_int_equal(bench.partition.flushed, 30);
	assert_int_equal(bench.partition.batches, 3);
	assert_int_equal(bench.partition.too_large, 1);
	assert_int_equal(bench.partition.failures + bench.partition.rejects, 0);
	databuffer_partition_info info;
	partition_read_info(&bench.partition, &info, bench.now);
	assert_int_equal(info.size_bound, 5);
	assert_int_equal(info.last_status, 0);
	end(&bench);
}

static void halves_of_an_odd_number_are_two(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.max_size = 7;
	begin(&bench, &o);
	insert_all(&bench, 7);
	land(&bench, take(&bench), DATABUFFER_TOO_LARGE);
	struct segment *segment = take(&bench);
	expect_batch(segment, 0, 4, DATABUFFER_TRIGGER_SIZE);
	land(&bench, segment, 0);
	segment = take(&bench);
	expect_batch(segment, 4, 3, DATABUFFER_TRIGGER_SIZE);
	land(&bench, segment, 0);
	assert_int_equal(bench.partition.flushed, 7);
	end(&bench);
}

static void an_item_that_is_too_large_alone_is_dead(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 10);
	uint32_t next = 0;
	unsigned calls = 0;
	for (; bench.partition.held > 0; calls++) {
		struct segment *segment = take(&bench);
		databuffer_item item = databuffer_batch_at(&segment->batch, 0);
		size_t size = databuffer_batch_size(&segment->batch);
		assert_int_equal(*(const uint32_t *)item.data, next);
		bool has = next <= 6 && next + size > 6;
		if (!has || size == 1)
			next += (uint32_t)size;
		land(&bench, segment, has ? DATABUFFER_TOO_LARGE : 0);
	}
	assert_int_equal(bench.partition.dead, 1);
	assert_int_equal(bench.partition.flushed, 9);
	assert_int_equal(bench.partition.fit.bound, 1);
	end(&bench);
}

/* Poison, too, is searched for in pieces that fit. */
static void a_search_stays_within_the_bound(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.max_size = 1000;
	begin(&bench, &o);
	for (unsigned round = 0; round < 5; round++) {
		uint32_t first = bench.next_value;
		unsigned too_large = 0;
		insert_all(&bench, 1000);
		while (bench.partition.held > 0) {
			struct segment *segment = take(&bench);
			databuffer_item item;
			int answer = 0;
			while (databuffer_batch_next(&segment->batch, &item)) {
				assert_true(*(const uint32_t *)item.data >= first);
				if (*(const uint32_t *)item.data % 300 == 77)
					answer = DATABUFFER_REJECT;
			}
			if (databuffer_batch_size(&segment->batch) > 100) {
				answer = DATABUFFER_TOO_LARGE;
				too_large++;
			}
			land(&bench, segment, answer);
		}
		assert_true(too_large <= 6);
	}
	assert_int_equal(bench.partition.dead, 17);
	assert_int_equal(bench.partition.flushed, 5000 - 17);
	end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_bounded_until_something_was_too_large),
		cmocka_unit_test(a_limit_that_stays_costs_hardly_a_call),
		cmocka_unit_test(a_limit_that_is_lifted_is_seen_to_be),
		cmocka_unit_test(small_batches_say_nothing),
		cmocka_unit_test(a_try_that_fails_leaves_what_is_known),
		cmocka_unit_test(halves_come_in_order_and_the_next_batches_in_pieces),
		cmocka_unit_test(halves_of_an_odd_number_are_two),
		cmocka_unit_test(an_item_that_is_too_large_alone_is_dead),
		cmocka_unit_test(a_search_stays_within_the_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
