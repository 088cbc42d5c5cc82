/* SPDX-License-Identifier: MIT */
/* histogram.c: the readings against what a sorted array would say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/histogram.h"
#include "base/rng.h"

#define SEED 4711
#define SECOND UINT64_C(1000000000)

static databuffer_latency read_of(const struct histogram *histogram)
{
	databuffer_latency latency;

	memset(&latency, 0xff, sizeof(latency));
	histogram_read(histogram, &latency);
	return latency;
}

static void assert_within_a_sixteenth(uint64_t reading, uint64_t truth)
{
	uint64_t off = reading > truth ? reading - truth : truth - reading;

	assert_true(off <= truth / 16);
}

static void an_empty_one_reads_0_throughout(void **state)
{
	static const databuffer_latency zeros;
	struct histogram histogram;
	databuffer_latency latency;

	(void)state;
	histogram_init(&histogram);
	latency = read_of(&histogram);
	assert_memory_equal(&latency, &zeros, sizeof(zeros));
}

static void one_time_is_every_percentile_to_within_a_sixteenth(void **state)
{
	(void)state;
	for (unsigned power = 0; power < 47; power++) {
		for (int step = -1; step <= 1; step++) {
			uint64_t ns = (UINT64_C(1) << power) + (uint64_t)(int64_t)step;
			struct histogram histogram;
			databuffer_latency latency;

			histogram_init(&histogram);
			histogram_record(&histogram, ns);
			latency = read_of(&histogram);
			assert_int_equal(latency.count, 1);
			assert_int_equal(latency.mean_ns, ns);
			assert_int_equal(latency.max_ns, ns);
			assert_within_a_sixteenth(latency.p50_ns, ns);
			assert_within_a_sixteenth(latency.p999_ns, ns);
		}
	}
}

static void times_below_32_ns_are_exact(void **state)
{
	(void)state;
	for (uint64_t ns = 0; ns < 32; ns++) {
		struct histogram histogram;

		histogram_init(&histogram);
		histogram_record(&histogram, ns);
		histogram_record(&histogram, 1000);
		assert_int_equal(read_of(&histogram).p50_ns, ns);
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void percentiles_are_those_of_the_sorted_times(void **state)
{
	enum { TIMES = 5000 };
	static uint64_t times[TIMES];
	struct histogram histogram;
	databuffer_latency latency;
	struct rng rng;

	(void)state;
	print_message("seed %d\n", SEED);
	rng_seed(&rng, SEED);
	histogram_init(&histogram);
	for (int i = 0; i < TIMES; i++) {
		times[i] = rng_below_inclusive(&rng, UINT64_C(1) << rng_below_inclusive(&rng, 40));
		histogram_record(&histogram, times[i]);
	}
	qsort(times, TIMES, sizeof(times[0]), compare);
	latency = read_of(&histogram);
	assert_int_equal(latency.count, TIMES);
	assert_within_a_sixteenth(latency.p50_ns, times[TIMES * 50 / 100 - 1]);
	assert_within_a_sixteenth(latency.p90_ns, times[TIMES * 90 / 100 - 1]);
	assert_within_a_sixteenth(latency.p99_ns, times[TIMES * 99 / 100 - 1]);
	assert_within_a_sixteenth(latency.p999_ns, times[TIMES * 999 / 1000 - 1]);
	assert_int_equal(latency.max_ns, times[TIMES - 1]);
}

static void no_percentile_is_above_the_longest_time(void **state)
{
	struct histogram histogram;

	(void)state;
	histogram_init(&histogram);
	histogram_record(&histogram, 1024);
	assert_int_equal(read_of(&histogram).p50_ns, 1024);
}

static void a_day_and_more_is_counted_at_the_end_of_the_range(void **state)
{
	struct histogram histogram;
	databuffer_latency latency;

	(void)state;
	histogram_init(&histogram);
	histogram_record(&histogram, 86400 * SECOND);
	assert_within_a_sixteenth(read_of(&histogram).p50_ns, 86400 * SECOND);

	histogram_init(&histogram);
	histogram_record(&histogram, UINT64_MAX);
	histogram_record(&histogram, UINT64_MAX);
	latency = read_of(&histogram);
	assert_int_equal(latency.count, 2);
	assert_int_equal(latency.max_ns, UINT64_MAX);
	assert_int_equal(latency.mean_ns, UINT64_MAX / 2);
	assert_true(latency.p50_ns > 86400 * SECOND);
	assert_int_equal(histogram.buckets[HISTOGRAM_BUCKETS - 1], 2);
}

static void a_full_bucket_stops_and_the_readings_stay_sound(void **state)
{
	struct histogram histogram;
	databuffer_latency latency;

	(void)state;
	histogram_init(&histogram);
	histogram_record(&histogram, 20);
	histogram.buckets[20] = UINT32_MAX;
	histogram.count = UINT64_C(1) << 40;
	histogram_record(&histogram, 20);
	assert_int_equal(histogram.buckets[20], UINT32_MAX);
	latency = read_of(&histogram);
	assert_int_equal(latency.p999_ns, 20);
	assert_int_equal(latency.count, (UINT64_C(1) << 40) + 1);
}

static void it_stays_below_3_kilobytes(void **state)
{
	(void)state;
	assert_true(sizeof(struct histogram) < 3 * 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_one_reads_0_throughout),
		cmocka_unit_test(one_time_is_every_percentile_to_within_a_sixteenth),
		cmocka_unit_test(times_below_32_ns_are_exact),
		cmocka_unit_test(percentiles_are_those_of_the_sorted_times),
		cmocka_unit_test(no_percentile_is_above_the_longest_time),
		cmocka_unit_test(a_day_and_more_is_counted_at_the_end_of_the_range),
		cmocka_unit_test(a_full_bucket_stops_and_the_readings_stay_sound),
		cmocka_unit_test(it_stays_below_3_kilobytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
