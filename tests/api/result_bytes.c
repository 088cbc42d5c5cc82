/* SPDX-License-Identifier: MIT */
/* databuffer_batch_set_result_bytes, and the bytes that databuffer_sync_flush hands out. */
#include "api/support.h"

/* Says "partition P, N items", and fails as often as the test's counter says. */
static int say_what_it_was(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	char text[64];
	_Atomic int *failures = sink->ctx;
	int len = snprintf(text, sizeof(text), "partition %u, %zu items", call->partition, call->size);
	CHECK(databuffer_batch_set_result_bytes(batch, text, (size_t)len) == 0);
	memset(text, '?', sizeof(text)); /* it was copied */
	return failures && atomic_fetch_sub(failures, 1) > 0 ? -EIO : 0;
}

static void assert_says(const databuffer_result *result, const char *text)
{
	assert_int_equal(result->bytes_len, strlen(text));
	assert_memory_equal(result->bytes, text, strlen(text));
}

static void each_partition_returns_its_own_bytes(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer_result results[4];
	sink->answer = say_what_it_was;
	o.partitions = 3;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 6);
	memset(results, 0xff, sizeof(results));
	assert_int_equal(databuffer_sync_flush(buf, results, 4, PATIENCE_MS), 0);
	for (unsigned i = 0; i < 3; i++) {
		char text[64];
		snprintf(text, sizeof(text), "partition %u, 2 items", i);
		assert_says(&results[i], text);
	}
	databuffer_results_free(results, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_null(results[i].bytes);
		assert_int_equal(results[i].bytes_len, 0);
	}
	databuffer_results_free(results, 3); /* there is nothing left to free */
	databuffer_results_free(NULL, 3);
	stop_clean(buf);
	sink_free(sink);
}

static void two_who_wait_have_a_copy_each(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer_result first, second;
	sink->answer = say_what_it_was;
	databuffer *buf = start(&o);
	insert_number(buf, 1);
	assert_int_equal(databuffer_sync_flush(buf, &first, 1, PATIENCE_MS), 0);
	insert_numbers(buf, 0, 2);
	assert_int_equal(databuffer_sync_flush(buf, &second, 1, PATIENCE_MS), 0);
	assert_says(&first, "partition 0, 1 items");
	assert_says(&second, "partition 0, 2 items");
	stop_clean(buf);
	assert_says(&first, "partition 0, 1 items"); /* they outlive the buffer */
	databuffer_results_free(&first, 1);
	databuffer_results_free(&second, 1);
	sink_free(sink);
}

static void nothing_said_is_nothing_returned(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer_result result;
	databuffer *buf = start(&o);
	insert_number(buf, 1);
	memset(&result, 0xff, sizeof(result));
	assert_int_equal(databuffer_sync_flush(buf, &result, 1, PATIENCE_MS), 0);
	assert_null(result.bytes);
	assert_int_equal(result.bytes_len, 0);
	stop_clean(buf);
	sink_free(sink);
}

static void the_attempt_that_succeeds_has_the_last_word(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	_Atomic int failures = 3;
	databuffer_options o = sink_options(sink);
	databuffer_result result;
	sink->answer = say_what_it_was;
	sink->ctx = &failures;
	o.retry_min = o.retry_max = 1;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 5);
	assert_int_equal(databuffer_sync_flush(buf, &result, 1, PATIENCE_MS), 0);
	assert_says(&result, "partition 0, 5 items");
	databuffer_results_free(&result, 1);
	stop_clean(buf);
	sink_free(sink);
}

/* Tries the bounds, and says the most that is allowed. */
static int say_as_much_as_may_be(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	static char much[DATABUFFER_RESULT_MAX + 1];
	(void)sink;
	(void)call;
	memset(much, 'x', sizeof(much));
	CHECK(databuffer_batch_set_result_bytes(batch, much, DATABUFFER_RESULT_MAX) == 0);
	CHECK(databuffer_batch_set_result_bytes(batch, much, DATABUFFER_RESULT_MAX + 1) == DATABUFFER_EINVAL);
	CHECK(databuffer_batch_set_result_bytes(batch, NULL, 1) == DATABUFFER_EINVAL);
	CHECK(databuffer_batch_set_result_bytes(NULL, much, 1) == DATABUFFER_EINVAL);
	return 0;
}

static void four_kibibytes_are_taken_and_no_more(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer_result result;
	sink->answer = say_as_much_as_may_be;
	databuffer *buf = start(&o);
	insert_number(buf, 1);
	assert_int_equal(databuffer_sync_flush(buf, &result, 1, PATIENCE_MS), 0);
	assert_int_equal(result.bytes_len, 4096);
	for (size_t i = 0; i < 4096; i++)
		assert_int_equal(((char *)result.bytes)[i], 'x');
	databuffer_results_free(&result, 1);
	stop_clean(buf);
	sink_free(sink);
}

static int say_and_take_back(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)call;
	CHECK(databuffer_batch_set_result_bytes(batch, "word", 4) == 0);
	CHECK(databuffer_batch_set_result_bytes(batch, NULL, 0) == 0);
	return 0;
}

static void no_bytes_take_it_back(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer_result result;
	sink->answer = say_and_take_back;
	databuffer *buf = start(&o);
	insert_number(buf, 1);
	assert_int_equal(databuffer_sync_flush(buf, &result, 1, PATIENCE_MS), 0);
	assert_null(result.bytes);
	stop_clean(buf);
	sink_free(sink);
}

/* Who does not wait is told nothing, and nothing is kept. */
static void bytes_that_nobody_waits_for_are_freed(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = say_what_it_was;
	o.max_size = 2;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 100);
	WAIT_FOR(sink_flushed(sink) == 100);
	insert_number(buf, 100);
	assert_int_equal(databuffer_sync_flush(buf, NULL, 0, PATIENCE_MS), 0);
	stop_clean(buf);
	sink_free(sink);
}

/* Over a stop, too, whose items are left over. */
static void bytes_of_a_late_handler_are_freed(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = say_what_it_was;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_number(buf, 1);
	assert_int_equal(databuffer_flush(buf), 0);
	WAIT_FOR(sink_inside(sink) == 1);
	assert_int_equal(databuffer_stop(buf, 1), 1);
	sink_open(sink);
	WAIT_FOR(sink_inside(sink) == 0);
	sink_keep(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_partition_returns_its_own_bytes),
		cmocka_unit_test(two_who_wait_have_a_copy_each),
		cmocka_unit_test(nothing_said_is_nothing_returned),
		cmocka_unit_test(the_attempt_that_succeeds_has_the_last_word),
		cmocka_unit_test(four_kibibytes_are_taken_and_no_more),
		cmocka_unit_test(no_bytes_take_it_back),
		cmocka_unit_test(bytes_that_nobody_waits_for_are_freed),
		cmocka_unit_test(bytes_of_a_late_handler_are_freed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
