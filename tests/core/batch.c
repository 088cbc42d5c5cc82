/* SPDX-License-Identifier: MIT */
/*
 * How answers are judged: who is flushed, who is dead, in what order, and in how
 * many calls a rejected batch comes down to the items that the sink cannot take.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "core/segment.h"

#define MOST 5000

/* A sealed segment of n numbers, and what came of each. */
struct trial {
	struct segment *segment;
	unsigned char *memory;
	uint32_t n;
	bool poison[MOST];
	uint32_t next;    /* the number that must have its outcome next */
	uint32_t flushed, dead, calls;
};

static struct trial *create(uint32_t n)
{
	struct trial *trial = calloc(1, sizeof(*trial));
	struct lane *lane = aligned_alloc(PORT_CACHE_LINE, sizeof(*lane));
	trial->n = n;
	trial->memory = aligned_alloc(4096, segment_footprint(n, n * 4));
	trial->segment = calloc(1, sizeof(*trial->segment));
	segment_init(trial->segment, trial->memory, n, n * 4, !port_has_barrier());
	segment_open(trial->segment, n, n * 4, 1, false);
	lane_init(lane, NULL, lane, !port_has_barrier());
	struct lease_request request = { .item_size = 4, .n = n, .payload = (uint64_t)n * 4 };
	assert_int_equal(segment_lease(trial->segment, lane, &request), LEASE_GRANTED);
	for (uint32_t i = 0; i < n; i++)
		assert_int_not_equal(lane_put(lane, &i, sizeof(i)), LANE_REFUSED);
	assert_int_equal(segment_seal(trial->segment, DATABUFFER_TRIGGER_SIZE), n);
	free(lane);
	return trial;
}

static void destroy(struct trial *trial)
{
	batch_finish(&trial->segment->batch);
	free(trial->segment);
	free(trial->memory);
	free(trial);
}

static uint32_t number(databuffer_item item)
{
	return *(const uint32_t *)item.data;
}

/* The handler takes the batch unless it has poison in it. */
static int answer(struct trial *trial)
{
	databuffer_item item;
	int rc = 0;
	while (databuffer_batch_next(&trial->segment->batch, &item))
		if (trial->poison[number(item)])
			rc = DATABUFFER_REJECT;
	return rc;
}

/* Calls the handler until all is settled; each settled item is the next one. */
static void run(struct trial *trial)
{
	struct databuffer_batch *batch = &trial->segment->batch;
	while (!batch_is_done(batch)) {
		batch_begin(batch, PORT_NEVER);
		assert_int_equal(databuffer_batch_attempt(batch), 1);
		trial->calls++;
		size_t size = databuffer_batch_size(batch);
		struct verdict verdict = batch_judge(batch, answer(trial), NULL);
		assert_false(verdict.transient);
		trial->flushed += verdict.flushed;
		trial->dead += verdict.dead;
		assert_true(verdict.flushed == size || verdict.flushed == 0);
		assert_true(verdict.dead <= 1);
		for (uint32_t i = 0; i < verdict.flushed; i++)
			assert_false(trial->poison[trial->next++]);
		for (uint32_t i = 0; i < verdict.dead; i++) {
			assert_int_equal(batch->dead[i].entry >> 32, 4);
			assert_true(trial->poison[trial->next++]);
		}
		batch_finish(batch);
	}
	assert_int_equal(trial->next, trial->n);
}

/* To within 1/64; so no libm for one logarithm. */
static double log2_of(double x)
{
	double log = 0;
	for (; x >= 2; x /= 2)
		log += 1;
	for (double step = 0.5; step > 1.0 / 64; step /= 2) {
		x *= x;
		if (x >= 2) {
			x /= 2;
			log += step;
		}
	}
	return log;
}

static void a_rejected_batch_comes_down_to_its_poison_in_few_calls(void **state)
{
	(void)state;
	const char *given = getenv("DATABUFFER_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : port_entropy();
	print_message("seed %llu (DATABUFFER_SEED to run it again)\n", (unsigned long long)seed);
	struct rng rng;
	rng_seed(&rng, seed);
	const uint32_t sizes[] = { 1, 2, 10, 1000, 1024, 5000 };
	for (unsigned s = 0; s < 6; s++) {
		uint32_t n = sizes[s];
		for (uint32_t k = 1; k <= n; k *= 4) {
			double bound = k * log2_of((double)n / k) + 2 * k;
			double total = 0;
			for (int round = 0; round < 20; round++) {
				struct trial *trial = create(n);
				for (uint32_t placed = 0; placed < k;) {
					uint32_t at = (uint32_t)rng_below_inclusive(&rng, n - 1);
					placed += !trial->poison[at];
					trial->poison[at] = true;
				}
				run(trial);
				assert_int_equal(trial->dead, k);
				assert_int_equal(trial->flushed, n - k);
				assert_true(trial->calls <= 1.25 * bound + 3);
				total += trial->calls;
				destroy(trial);
			}
			assert_true(total / 20 <= 1.15 * bound + 1);
		}
	}
}

static void poison_side_by_side_is_found_in_as_few_calls(void **state)
{
	(void)state;
	for (uint32_t k = 1; k <= 64; k *= 2) {
		for (uint32_t first = 0; first + k <= 1000; first += 41) {
			struct trial *trial = create(1000);
			memset(trial->poison + first, true, k);
			run(trial);
			assert_int_equal(trial->dead, k);
			assert_int_equal(trial->flushed, 1000 - k);
			assert_true(trial->calls <= 1.1 * (k * log2_of(1000.0 / k) + 2 * k) + 2);
			destroy(trial);
		}
	}
}

static void items_that_the_handler_names_are_dead_and_the_rest_is_flushed(void **state)
{
	(void)state;
	struct trial *trial = create(10);
	struct databuffer_batch *batch = &trial->segment->batch;
	batch_begin(batch, PORT_NEVER);
	assert_int_equal(databuffer_batch_fail(batch, 7, "seven"), 0);
	assert_int_equal(databuffer_batch_fail(batch, 3, NULL), 0);
	assert_int_equal(databuffer_batch_fail(batch, 7, "seven again"), 0);
	assert_int_equal(databuffer_batch_fail(batch, 10, "beyond"), DATABUFFER_EINVAL);
	struct verdict verdict = batch_judge(batch, 0, NULL);
	assert_int_equal(verdict.flushed, 8);
	assert_int_equal(verdict.flushed_bytes, 32);
	assert_int_equal(verdict.dead, 2);
	assert_int_equal(verdict.dead_bytes, 8);
	assert_int_equal(batch->dead[0].i, 3);
	assert_int_equal(batch->dead[1].i, 7);
	assert_string_equal(batch->dead[1].text, "seven again");
	assert_true(batch_is_done(batch));
	destroy(trial);
}

static void named_items_of_a_rejected_batch_are_dead_and_the_rest_is_given_again(void **state)
{
	(void)state;
	struct trial *trial = create(10);
	struct databuffer_batch *batch = &trial->segment->batch;
	batch_begin(batch, PORT_NEVER);
	databuffer_batch_fail(batch, 0, "first");
	databuffer_batch_fail(batch, 9, "last");
	databuffer_batch_fail(batch, 4, "middle");
	struct verdict verdict = batch_judge(batch, DATABUFFER_REJECT, NULL);
	assert_int_equal(verdict.flushed, 0);
	assert_int_equal(verdict.dead, 3);
	batch_finish(batch);
	assert_int_equal(batch_left(batch), 7);
	batch_begin(batch, PORT_NEVER);
	const uint32_t rest[] = { 1, 2, 3, 5, 6, 7, 8 };
	assert_int_equal(databuffer_batch_size(batch), 7);
	assert_int_equal(databuffer_batch_bytes(batch), 28);
	for (size_t i = 0; i < 7; i++)
		assert_int_equal(number(databuffer_batch_at(batch, i)), rest[i]);
	assert_int_equal(batch_judge(batch, 0, NULL).flushed, 7);
	assert_true(batch_is_done(batch));
	destroy(trial);
}

static void a_rejected_batch_whose_items_are_all_named_is_done(void **state)
{
	(void)state;
	struct trial *trial = create(3);
	struct databuffer_batch *batch = &trial->segment->batch;
	batch_begin(batch, PORT_NEVER);
	for (size_t i = 0; i < 3; i++)
		databuffer_batch_fail(batch, i, "bad");
	assert_int_equal(batch_judge(batch, DATABUFFER_REJECT, NULL).dead, 3);
	assert_true(batch_is_done(batch));
	destroy(trial);
}

static void names_are_forgotten_when_the_failure_is_transient(void **state)
{
	(void)state;
	struct trial *trial = create(3);
	struct databuffer_batch *batch = &trial->segment->batch;
	batch_begin(batch, PORT_NEVER);
	databuffer_batch_fail(batch, 1, "bad");
	assert_true(batch_judge(batch, -EIO, NULL).transient);
	batch_finish(batch);
	batch_begin(batch, PORT_NEVER);
	assert_int_equal(databuffer_batch_attempt(batch), 2);
	assert_int_equal(databuffer_batch_size(batch), 3);
	assert_int_equal(batch_judge(batch, 0, NULL).flushed, 3);
	destroy(trial);
}

static void an_array_is_the_items_in_place_while_they_stand_side_by_side(void **state)
{
	(void)state;
	struct trial *trial = create(100);
	struct databuffer_batch *batch = &trial->segment->batch;
	batch_begin(batch, PORT_NEVER);
	const uint32_t *array = databuffer_batch_array(batch);
	assert_ptr_equal(array, trial->segment->arena);
	databuffer_batch_fail(batch, 50, "a gap");
	batch_judge(batch, DATABUFFER_REJECT, NULL);
	batch_finish(batch);
	batch_begin(batch, PORT_NEVER);
	array = databuffer_batch_array(batch);
	assert_non_null(array);
	assert_ptr_equal(array, databuffer_batch_array(batch));
	for (uint32_t i = 0; i < 99; i++)
		assert_int_equal(array[i], i < 50 ? i : i + 1);
	destroy(trial);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rejected_batch_comes_down_to_its_poison_in_few_calls),
		cmocka_unit_test(poison_side_by_side_is_found_in_as_few_calls),
		cmocka_unit_test(items_that_the_handler_names_are_dead_and_the_rest_is_flushed),
		cmocka_unit_test(named_items_of_a_rejected_batch_are_dead_and_the_rest_is_given_again),
		cmocka_unit_test(a_rejected_batch_whose_items_are_all_named_is_done),
		cmocka_unit_test(names_are_forgotten_when_the_failure_is_transient),
		cmocka_unit_test(an_array_is_the_items_in_place_while_they_stand_side_by_side),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
