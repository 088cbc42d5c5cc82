/* SPDX-License-Identifier: MIT */
/* A sink behind a quota: so many items and flushes a second, and no more. How the rate is kept to the nanosecond is
 * tested in virtual time (tests/core/pace.c). */
#include "api/support.h"

/* Up to each call no more was given than the rate allows since before the first, beside what the bucket holds or one
 * batch. (Spans that begin later say nothing: a handler may have started late.) */
static void assert_rate(struct sink *sink, int64_t begin_ms, double items_per_s, double calls_per_s)
{
	double items = 0;
	for (size_t i = 0; i < sink_calls(sink); i++) {
		struct call call = sink_call(sink, i);
		double seconds = (double)(call.begin_ms + 1 - begin_ms) / 1000;
		items += (double)call.size;
		double bucket = items_per_s / 10 > (double)call.size ? items_per_s / 10 : (double)call.size;
		if (items_per_s > 0 && items > items_per_s * seconds + bucket)
			fail_msg("%g items in %g s", items, seconds);
		if (calls_per_s > 0 && (double)(i + 1) > calls_per_s * (seconds + 0.1))
			fail_msg("%zu calls in %g s", i + 1, seconds);
	}
}

static void no_more_items_a_second_than_rate_limit_says(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	o.rate_limit = 400;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	int64_t begin = now_ms();
	insert_numbers(buf, 0, 300);
	flush_all(buf);
	assert_true(now_ms() - begin >= (300 - 40 - 10) * 1000 / 400);
	assert_rate(sink, begin, 400, 0);
	stop_clean(buf);
	assert_flushed(sink, 0, 300);
	sink_free(sink);
}

static void no_more_flushes_a_second_than_rate_limit_flushes_says(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	o.partitions = 3; /* which share it */
	o.rate_limit_flushes = 40;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	int64_t begin = now_ms();
	insert_numbers(buf, 0, 300);
	flush_all(buf);
	assert_true(now_ms() - begin >= (30 - 4 - 1) * 1000 / 40);
	assert_rate(sink, begin, 0, 40);
	stop_clean(buf);
	assert_flushed_once(sink, 0, 300);
	sink_free(sink);
}

static void a_batch_larger_than_the_rate_goes_all_the_same(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 1000;
	o.rate_limit = 2000;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	int64_t begin = now_ms();
	insert_numbers(buf, 0, 2000);
	flush_all(buf);
	ASSERT_CUTS(sink, 1000, 1000);
	assert_true(now_ms() - begin >= 499);
	stop_clean(buf);
	assert_flushed(sink, 0, 2000);
	sink_free(sink);
}

struct ear {
	pthread_mutex_t lock;
	databuffer_event event;
	unsigned count;
};

static void hear(const databuffer_event *event, void *ctx)
{
	struct ear *ear = ctx;
	pthread_mutex_lock(&ear->lock);
	ear->event = *event;
	ear->count++;
	pthread_mutex_unlock(&ear->lock);
}

static unsigned heard(struct ear *ear)
{
	pthread_mutex_lock(&ear->lock);
	unsigned count = ear->count;
	pthread_mutex_unlock(&ear->lock);
	return count;
}

static void info_and_an_event_tell_how_long_a_batch_has_to_wait(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ear ear = { .lock = PTHREAD_MUTEX_INITIALIZER };
	databuffer_options o = sink_options(sink);
	o.name = "paced";
	o.max_size = 10;
	o.rate_limit = 1;
	databuffer *buf = start(&o);
	assert_int_equal(databuffer_telemetry_attach("ear", DATABUFFER_RATE_LIMITED, hear, &ear), 0);
	assert_int_equal(info_of(buf, 0).rate_wait_ms, -1);
	insert_numbers(buf, 0, 10);
	WAIT_FOR(sink_flushed(sink) == 10);
	insert_numbers(buf, 10, 20);
	WAIT_FOR(heard(&ear) == 1);
	assert_string_equal(ear.event.buffer, "paced");
	assert_int_equal(ear.event.size, 10);
	assert_int_equal(ear.event.bytes, 80);
	assert_true(ear.event.duration_ns > 0 && ear.event.duration_ns <= INT64_C(10000000000));
	assert_in_range(info_of(buf, 0).rate_wait_ms, 1, 10000);
	assert_int_equal(info_of(buf, 0).next_retry_ms, -1);
	assert_int_equal(info_of(buf, 0).queued, 1);
	/* The quota is the sink's: no flush and no stop breaks it. */
	assert_int_equal(databuffer_flush(buf), 0);
	assert_int_equal(databuffer_sync_flush(buf, NULL, 0, 20), DATABUFFER_ETIMEDOUT);
	assert_int_equal(sink_calls(sink), 1);
	assert_int_equal(databuffer_stop(buf, 0), 10);
	assert_int_equal(sink_left_over(sink), 10);
	assert_int_equal(databuffer_telemetry_detach("ear"), 0);
	sink_keep(sink);
}

/* At one item a second the second batch waits for most of an hour, and what it would owe for longer. */
static void another_rate_holds_at_once(void **state)
{
	(void)state;
	static const int64_t rates[] = { 0, 1000000 };
	for (int i = 0; i < 2; i++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.max_size = 3000;
		o.partitions = 2;
		o.max_queued = 2;
		o.rate_limit = 1;
		o.rate_limit_flushes = 1;
		databuffer *buf = start(&o);
		insert_numbers(buf, 0, 3000);
		assert_int_equal(databuffer_flush(buf), 0);
		WAIT_FOR(sink_flushed(sink) > 0);
		insert_numbers(buf, 3000, 9000);
		assert_int_equal(databuffer_sync_flush(buf, NULL, 0, 20), DATABUFFER_ETIMEDOUT);
		assert_true(info_of(buf, 0).rate_wait_ms > 500000 || info_of(buf, 1).rate_wait_ms > 500000);
		o.rate_limit = o.rate_limit_flushes = rates[i];
		assert_int_equal(databuffer_reconfigure(buf, &o), 0);
		flush_all(buf);
		assert_flushed_once(sink, 0, 9000);
		stop_clean(buf);
		sink_free(sink);
	}
}

static void in_a_programs_own_loop_the_deadline_is_when_the_tokens_are_there(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.flusher = DATABUFFER_MANUAL;
	o.max_size = 10;
	o.max_queued = 10;
	o.rate_limit = 100;
	databuffer *buf = start(&o);
	assert_int_equal(databuffer_work(buf, 1000), 0);
	insert_numbers(buf, 0, 50);
	for (int64_t i = 0; i < 5; i++) {
		int64_t due = databuffer_next_deadline(buf);
		assert_int_equal(i == 0 ? due <= 1000 : due == 1000 + i * 100, 1);
		if (i > 0)
			assert_int_equal(databuffer_work(buf, due - 1), 0);
		assert_int_equal(databuffer_work(buf, 1000 + i * 100), 1);
	}
	assert_flushed(sink, 0, 50);
	stop_clean(buf);
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_more_items_a_second_than_rate_limit_says),
		cmocka_unit_test(no_more_flushes_a_second_than_rate_limit_flushes_says),
		cmocka_unit_test(a_batch_larger_than_the_rate_goes_all_the_same),
		cmocka_unit_test(info_and_an_event_tell_how_long_a_batch_has_to_wait),
		cmocka_unit_test(another_rate_holds_at_once),
		cmocka_unit_test(in_a_programs_own_loop_the_deadline_is_when_the_tokens_are_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
