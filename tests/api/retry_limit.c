/* SPDX-License-Identifier: MIT */
/* An end to retrying: what fails for now too often or too long is given up, item by item, and nothing beside it. */
#include "api/support.h"

#include <limits.h>

struct fault {
	uint64_t from, to; /* a batch with any of these fails */
	int answer;
};

static int fail_some(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	const struct fault *fault = sink->ctx;
	for (size_t i = 0; i < call->size; i++) {
		databuffer_item item = databuffer_batch_at(batch, i);
		if (number_of(&item) >= fault->from && number_of(&item) < fault->to)
			return fault->answer;
	}
	return 0;
}

static databuffer_options limit_options(struct sink *sink, struct fault *fault)
{
	databuffer_options options = sink_options(sink);
	sink->answer = fail_some;
	sink->ctx = fault;
	options.retry_min = options.retry_max = 1;
	return options;
}

static void assert_dead(struct sink *sink, uint64_t from, uint64_t to, int status)
{
	assert_int_equal(sink_buried(sink), to - from);
	for (size_t i = 0; i < sink->dead_count; i++) {
		assert_int_equal(sink->dead[i].number, from + i);
		assert_int_equal(sink->dead[i].status, status);
		assert_int_equal(sink->dead[i].len, 8);
	}
}

static void an_item_is_dead_after_that_many_attempts(void **state)
{
	(void)state;
	static const int answers[] = { DATABUFFER_RETRY, -EIO, -1, 77, INT_MIN, DATABUFFER_ETIMEDOUT };
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct sink *sink = sink_new();
		struct fault fault = { 0, 1, answers[i] };
		databuffer_options o = limit_options(sink, &fault);
		o.retry_limit = 3;
		databuffer *buf = start(&o);
		insert_number(buf, 0);
		databuffer_result result;
		assert_int_equal(databuffer_sync_flush(buf, &result, 1, PATIENCE_MS), 0);
		assert_int_equal(result.status, DATABUFFER_REJECT);
		assert_int_equal(result.size, 1);
		assert_int_equal(sink_calls(sink), 3);
		assert_dead(sink, 0, 1, answers[i]);
		assert_int_equal(sink->dead[0].attempts, 3);
		assert_non_null(strstr(sink->dead[0].text, "retry_limit"));
		databuffer_stats_t stats = stats_of(buf);
		assert_int_equal(stats.dead, 1);
		assert_int_equal(stats.failures, 3);
		assert_int_equal(stats.rejects, 0);
		stop_clean(buf);
		sink_free(sink);
	}
}

static void the_first_attempt_may_be_the_last(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct fault fault = { 0, 1, -EIO };
	databuffer_options o = limit_options(sink, &fault);
	o.retry_limit = 1;
	o.retry_min = o.retry_max = 3600000;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	flush_all(buf);
	assert_int_equal(sink_calls(sink), 1);
	assert_dead(sink, 0, 1, -EIO);
	stop_clean(buf);
	sink_free(sink);
}

static void what_stands_beside_the_culprits_is_flushed_once_and_in_order(void **state)
{
	(void)state;
	for (uint64_t from = 0; from < 100; from += 9) {
		struct sink *sink = sink_new();
		struct fault fault = { from, from + 2, -EIO };
		databuffer_options o = limit_options(sink, &fault);
		o.retry_limit = 2;
		o.max_size = 100;
		databuffer *buf = start(&o);
		insert_numbers(buf, 0, 100);
		flush_all(buf);
		uint64_t to = from + 2 < 100 ? from + 2 : 100;
		assert_dead(sink, from, to, -EIO);
		for (size_t i = 0; i < sink->dead_count; i++)
			assert_true(sink->dead[i].attempts >= 2);
		assert_int_equal(sink_flushed(sink), 100 - (to - from));
		for (size_t i = 0; i < sink->flushed.count; i++)
			assert_int_equal(sink->flushed.at[i], i < from ? i : i + (to - from));
		/* About k * log2(n / k) + 2k, and the attempts before. */
		assert_true(sink_calls(sink) <= 2 + 15 + 4);
		stop_clean(buf);
		sink_free(sink);
	}
}

static void a_sink_that_is_down_costs_few_calls_a_batch_and_everything_is_handed_over(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct fault fault = { 0, UINT64_MAX, -ECONNREFUSED };
	databuffer_options o = limit_options(sink, &fault);
	o.retry_limit = 2;
	o.max_size = 1000;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 3000);
	flush_all(buf);
	assert_dead(sink, 0, 3000, -ECONNREFUSED);
	assert_true(sink_calls(sink) <= 3 * 100);
	stop_clean(buf);
	sink_free(sink);
}

static void retry_for_ends_it_by_time(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct fault fault = { 0, 1, -EIO };
	databuffer_options o = limit_options(sink, &fault);
	o.retry_for = 60;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 2);
	flush_all(buf);
	assert_dead(sink, 0, 1, -EIO);
	assert_non_null(strstr(sink->dead[0].text, "given up"));
	size_t first = 0;
	while (first < sink_calls(sink) && sink_call(sink, first).size == 2)
		first++;
	/* The last call for both is no earlier than 60 ms after the end of the first. */
	assert_true(first > 1);
	assert_true(sink_call(sink, first - 1).end_ms >= sink_call(sink, 0).end_ms + 59);
	assert_int_equal(sink_flushed(sink), 1);
	stop_clean(buf);
	sink_free(sink);
}

static void a_long_backoff_does_not_outlast_retry_for(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct fault fault = { 0, 1, -EIO };
	databuffer_options o = limit_options(sink, &fault);
	o.retry_min = o.retry_max = 3600000;
	o.retry_for = 30;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	databuffer_flush(buf); /* and no other, which would cut it short */
	WAIT_FOR(sink_buried(sink) == 1);
	assert_int_equal(sink_calls(sink), 2);
	stop_clean(buf);
	sink_free(sink);
}

static void what_is_given_up_without_handle_dead_is_logged(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct fault fault = { 0, 1, -EIO };
	databuffer_options o = limit_options(sink, &fault);
	o.handle_dead = NULL;
	o.retry_limit = 1;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	flush_all(buf);
	assert_int_equal(stats_of(buf).dead, 1);
	assert_int_equal(sink_lines(sink), 2); /* of the failure, then of the item */
	assert_non_null(strstr(sink->line, "retry_limit"));
	assert_non_null(strstr(sink->line, "handle_dead"));
	stop_clean(buf);
	sink_free(sink);
}

static void a_stop_uses_the_attempts_up_without_waiting(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct fault fault = { 0, 1, -EIO };
	databuffer_options o = limit_options(sink, &fault);
	o.retry_min = 1;
	o.retry_max = 3600000;
	o.retry_limit = 10;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 2);
	databuffer_flush(buf);
	WAIT_FOR(sink_calls(sink) >= 1);
	stop_clean(buf);
	assert_dead(sink, 0, 1, -EIO);
	assert_int_equal(sink_flushed(sink), 1);
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_item_is_dead_after_that_many_attempts),
		cmocka_unit_test(the_first_attempt_may_be_the_last),
		cmocka_unit_test(what_stands_beside_the_culprits_is_flushed_once_and_in_order),
		cmocka_unit_test(a_sink_that_is_down_costs_few_calls_a_batch_and_everything_is_handed_over),
		cmocka_unit_test(retry_for_ends_it_by_time),
		cmocka_unit_test(a_long_backoff_does_not_outlast_retry_for),
		cmocka_unit_test(what_is_given_up_without_handle_dead_is_logged),
		cmocka_unit_test(a_stop_uses_the_attempts_up_without_waiting),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
