/* SPDX-License-Identifier: MIT */
/* rng.c: that a seed brings its numbers back, and that they are evenly spread. The
 * seeds are fixed, so that the bounds on chance hold always or never. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"

#define SEED 20240229

static void the_generator_is_xoshiro256_starstar(void **state)
{
	/* By hand from the paper's definition: the state 1, 2, 3, 4. */
	struct rng rng = { { 1, 2, 3, 4 } };

	(void)state;
	assert_int_equal(rng_next(&rng), 11520);
	assert_int_equal(rng_next(&rng), 0);
	assert_int_equal(rng_next(&rng), 1509978240);
	assert_int_equal(rng_next(&rng), UINT64_C(1215971899390074240));
}

static void the_seed_0_fills_the_state_as_splitmix64_does(void **state)
{
	struct rng rng;

	(void)state;
	rng_seed(&rng, 0);
	assert_int_equal(rng.word[0], UINT64_C(0xe220a8397b1dcdaf));
	assert_int_equal(rng.word[1], UINT64_C(0x6e789e6aa1b965f4));
	assert_int_equal(rng.word[2], UINT64_C(0x06c45d188009454f));
}

static void one_seed_gives_one_sequence(void **state)
{
	struct rng one, other;

	(void)state;
	print_message("seed %d\n", SEED);
	rng_seed(&one, SEED);
	rng_seed(&other, SEED);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(rng_next(&one), rng_next(&other));
}

static void neighbouring_seeds_share_no_number(void **state)
{
	struct rng one, other;

	(void)state;
	rng_seed(&one, 7);
	rng_seed(&other, 8);
	for (int i = 0; i < 1000; i++)
		assert_int_not_equal(rng_next(&one), rng_next(&other));
}

static void numbers_stay_within_their_bound_and_reach_both_ends(void **state)
{
	struct rng rng;

	(void)state;
	print_message("seed %d\n", SEED);
	rng_seed(&rng, SEED);
	for (uint64_t max = 0; max <= 40; max++) {
		uint64_t seen = 0;

		for (int i = 0; i < 2000; i++) {
			uint64_t answer = rng_below_inclusive(&rng, max);

			assert_true(answer <= max);
			seen |= UINT64_C(1) << answer;
		}
		assert_int_equal(seen, (UINT64_C(2) << max) - 1);
	}
}

static void the_widest_bounds_are_kept_too(void **state)
{
	struct rng rng;
	uint64_t ored = 0;

	(void)state;
	rng_seed(&rng, SEED);
	for (int i = 0; i < 1000; i++) {
		assert_true(rng_below_inclusive(&rng, UINT64_C(1) << 63) <= UINT64_C(1) << 63);
		ored |= rng_below_inclusive(&rng, UINT64_MAX);
	}
	assert_int_equal(ored, UINT64_MAX);
}

static void every_number_below_a_bound_is_as_likely_as_any_other(void **state)
{
	/* Chi-squared with 10 degrees of freedom exceeds 29.6 once in a thousand times. */
	enum { VALUES = 11, DRAWS = 110000 };
	unsigned counts[VALUES] = { 0 };
	double chi_squared = 0;
	struct rng rng;

	(void)state;
	print_message("seed %d\n", SEED);
	rng_seed(&rng, SEED);
	for (int i = 0; i < DRAWS; i++)
		counts[rng_below_inclusive(&rng, VALUES - 1)]++;
	for (int i = 0; i < VALUES; i++) {
		double off = counts[i] - (double)DRAWS / VALUES;

		chi_squared += off * off / ((double)DRAWS / VALUES);
	}
	assert_true(chi_squared < 29.6);
}

static void every_bit_is_set_half_the_time(void **state)
{
	enum { DRAWS = 100000 };
	unsigned counts[64] = { 0 };
	struct rng rng;

	(void)state;
	print_message("seed %d\n", SEED);
	rng_seed(&rng, SEED);
	for (int i = 0; i < DRAWS; i++) {
		uint64_t answer = rng_next(&rng);

		for (int bit = 0; bit < 64; bit++)
			counts[bit] += answer >> bit & 1;
	}
	for (int bit = 0; bit < 64; bit++)
		assert_in_range(counts[bit], DRAWS / 2 - 800, DRAWS / 2 + 800);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_generator_is_xoshiro256_starstar),
		cmocka_unit_test(the_seed_0_fills_the_state_as_splitmix64_does),
		cmocka_unit_test(one_seed_gives_one_sequence),
		cmocka_unit_test(neighbouring_seeds_share_no_number),
		cmocka_unit_test(numbers_stay_within_their_bound_and_reach_both_ends),
		cmocka_unit_test(the_widest_bounds_are_kept_too),
		cmocka_unit_test(every_number_below_a_bound_is_as_likely_as_any_other),
		cmocka_unit_test(every_bit_is_set_half_the_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
