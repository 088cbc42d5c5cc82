/* SPDX-License-Identifier: MIT */
/* Restart intensity, in virtual time. */
#include "core/restarts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS INT64_C(1000000)

static struct restarts fresh(unsigned max)
{
	struct restarts restarts;
	assert_true(restarts_init(&restarts, max, 1000 * MS, 100 * MS, 800 * MS, NULL));
	return restarts;
}

static void the_first_deaths_are_made_good_at_once(void **state)
{
	(void)state;
	struct restarts r = fresh(3);
	for (int i = 0; i < 3; i++) {
		restarts_note(&r, i * MS);
		assert_true(restarts_when(&r) <= i * MS);
	}
	assert_int_equal(r.total, 3);
	restarts_fini(&r);
}

static void one_too_many_in_the_period_waits(void **state)
{
	(void)state;
	struct restarts r = fresh(3);
	for (int i = 0; i < 4; i++)
		restarts_note(&r, 10 * MS);
	assert_int_equal(restarts_when(&r), 110 * MS);
	restarts_fini(&r);
}

static void deaths_that_are_far_apart_never_wait(void **state)
{
	(void)state;
	struct restarts r = fresh(3);
	for (int i = 0; i < 100; i++) {
		restarts_note(&r, i * 334 * MS); /* 3 in any period of 1000 */
		assert_true(restarts_when(&r) <= i * 334 * MS);
	}
	restarts_fini(&r);
}

static void each_wait_is_twice_the_last_up_to_the_most(void **state)
{
	(void)state;
	const int64_t waits[] = { 100, 200, 400, 800, 800, 800 };
	struct restarts r = fresh(1);
	int64_t now = 0;
	restarts_note(&r, now);
	for (int i = 0; i < 6; i++) {
		restarts_note(&r, now);
		assert_int_equal(restarts_when(&r) - now, waits[i] * MS);
		now = restarts_when(&r); /* started, and dead at once */
	}
	restarts_fini(&r);
}

static void a_quiet_period_ends_the_trouble(void **state)
{
	(void)state;
	struct restarts r = fresh(1);
	restarts_note(&r, 0);
	restarts_note(&r, 0);
	restarts_note(&r, 0);
	int64_t started = restarts_when(&r), now = started + 1000 * MS;
	restarts_note(&r, now);
	assert_true(restarts_when(&r) <= now);
	restarts_note(&r, now);
	assert_int_equal(restarts_when(&r), now + 100 * MS); /* from the beginning */
	restarts_fini(&r);
}

static void quiet_counts_from_the_start_and_not_from_the_death(void **state)
{
	(void)state;
	struct restarts r = fresh(1);
	restarts_note(&r, 0);
	for (int i = 0; i < 5; i++)
		restarts_note(&r, 0); /* waits 800 ms by now, and so does the next */
	int64_t now = restarts_when(&r) + 999 * MS;
	restarts_note(&r, now);
	assert_int_equal(restarts_when(&r), now + 800 * MS);
	restarts_fini(&r);
}

static void with_none_allowed_every_death_waits(void **state)
{
	(void)state;
	struct restarts r = fresh(0);
	restarts_note(&r, 5 * MS);
	assert_int_equal(restarts_when(&r), 105 * MS);
	restarts_fini(&r);
}

static void what_is_forgotten_counts_in_the_total_only(void **state)
{
	(void)state;
	struct restarts r = fresh(1);
	restarts_note(&r, 0);
	restarts_note(&r, 0);
	restarts_forget(&r);
	restarts_note(&r, 0);
	assert_true(restarts_when(&r) <= 0);
	assert_int_equal(r.total, 3);
	restarts_fini(&r);
}

/* However they die: no more than max in a period, and one for each wait besides. */
static void there_never_is_a_storm(void **state)
{
	(void)state;
	struct restarts r = fresh(5);
	int64_t now = 0, end = 60000 * MS;
	unsigned started = 0;
	while (now < end) {
		restarts_note(&r, now);
		now = restarts_when(&r) > now ? restarts_when(&r) : now;
		started++;
	}
	assert_in_range(started, 5 + 60000 / 800, 5 + 4 + 60000 / 800 + 1);
	restarts_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_deaths_are_made_good_at_once),
		cmocka_unit_test(one_too_many_in_the_period_waits),
		cmocka_unit_test(deaths_that_are_far_apart_never_wait),
		cmocka_unit_test(each_wait_is_twice_the_last_up_to_the_most),
		cmocka_unit_test(a_quiet_period_ends_the_trouble),
		cmocka_unit_test(quiet_counts_from_the_start_and_not_from_the_death),
		cmocka_unit_test(with_none_allowed_every_death_waits),
		cmocka_unit_test(what_is_forgotten_counts_in_the_total_only),
		cmocka_unit_test(there_never_is_a_storm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
