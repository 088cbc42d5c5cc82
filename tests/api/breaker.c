/* SPDX-License-Identifier: MIT */
/* A sink that is down: after some failures in a row its partition tries one batch per backoff, until it is answered. */
#include "api/support.h"

static int down_while_told(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	_Atomic bool *down = sink->ctx;
	(void)batch;
	(void)call;
	return *down ? -ECONNREFUSED : 0;
}

struct ear {
	pthread_mutex_t lock;
	databuffer_event opened, closed;
	unsigned opens, closes;
};

static void hear(const databuffer_event *event, void *ctx)
{
	struct ear *ear = ctx;
	pthread_mutex_lock(&ear->lock);
	if (event->kind == DATABUFFER_BREAKER_OPEN) {
		ear->opened = *event;
		ear->opens++;
	} else {
		CHECK(event->kind == DATABUFFER_BREAKER_CLOSE);
		ear->closed = *event;
		ear->closes++;
	}
	pthread_mutex_unlock(&ear->lock);
}

static unsigned opens(struct ear *ear)
{
	pthread_mutex_lock(&ear->lock);
	unsigned count = ear->opens;
	pthread_mutex_unlock(&ear->lock);
	return count;
}

static unsigned closes(struct ear *ear)
{
	pthread_mutex_lock(&ear->lock);
	unsigned count = ear->closes;
	pthread_mutex_unlock(&ear->lock);
	return count;
}

static databuffer_options down_options(struct sink *sink, _Atomic bool *down)
{
	databuffer_options options = sink_options(sink);
	sink->answer = down_while_told;
	sink->ctx = down;
	options.max_size = 10;
	options.max_queued = 8;
	options.retry_min = options.retry_max = 1;
	options.breaker_failures = 3;
	return options;
}

static void it_is_told_when_it_opens_and_when_it_closes(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ear ear = { .lock = PTHREAD_MUTEX_INITIALIZER };
	_Atomic bool down = true;
	databuffer_options o = down_options(sink, &down);
	o.name = "down";
	databuffer *buf = start(&o);
	unsigned kinds = DATABUFFER_BREAKER_OPEN | DATABUFFER_BREAKER_CLOSE;
	assert_int_equal(databuffer_telemetry_attach("breaker", kinds, hear, &ear), 0);
	assert_int_equal(info_of(buf, 0).breaker_open, 0);
	insert_numbers(buf, 0, 50);
	WAIT_FOR(opens(&ear) == 1);
	assert_int_equal(info_of(buf, 0).breaker_open, 1);
	assert_true(info_of(buf, 0).failures >= 3);
	assert_string_equal(ear.opened.buffer, "down");
	assert_int_equal(ear.opened.status, -ECONNREFUSED);
	assert_int_equal(ear.opened.size, 10);
	assert_int_equal(ear.opened.attempt, 3);
	WAIT_FOR(sink_calls(sink) > 10); /* probes */
	assert_int_equal(closes(&ear), 0);
	down = false;
	WAIT_FOR(closes(&ear) == 1);
	flush_all(buf);
	assert_int_equal(ear.closed.status, 0);
	assert_true(ear.closed.duration_ns > 0);
	assert_int_equal(info_of(buf, 0).breaker_open, 0);
	assert_int_equal(info_of(buf, 0).failures, 0);
	assert_int_equal(opens(&ear), 1);
	WAIT_FOR(strstr(sink->line, "again"));
	stop_clean(buf);
	assert_int_equal(databuffer_telemetry_detach("breaker"), 0);
	assert_flushed(sink, 0, 50);
	sink_free(sink);
}

static void an_open_one_tries_one_batch_per_backoff(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	_Atomic bool down = true;
	databuffer_options o = down_options(sink, &down);
	o.max_in_flight = 4;
	o.retry_min = o.retry_max = 3600000;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 100);
	WAIT_FOR(sink_inside(sink) == 4);
	sink_open(sink);
	WAIT_FOR(stats_of(buf).failures == 4 && info_of(buf, 0).in_flight == 0);
	assert_int_equal(info_of(buf, 0).breaker_open, 1);
	assert_in_range(info_of(buf, 0).next_retry_ms, 1, 3600000);
	/* Each flush lets the oldest go, and no other beside it. */
	for (unsigned i = 1; i <= 5; i++) {
		sink_close(sink);
		assert_int_equal(databuffer_flush(buf), 0);
		WAIT_FOR(sink_inside(sink) == 1);
		assert_int_equal(databuffer_flush(buf), 0);
		assert_int_equal(sink_inside(sink), 1);
		assert_int_equal(info_of(buf, 0).in_flight, 1);
		sink_open(sink);
		WAIT_FOR(info_of(buf, 0).in_flight == 0 && info_of(buf, 0).next_retry_ms > 0);
	}
	size_t calls = sink_calls(sink);
	for (size_t i = 4; i < calls; i++)
		assert_int_equal(sink->shown.at[sink_call(sink, i).shown], 0);
	assert_int_equal(sink->most_inside, 4);
	down = false;
	flush_all(buf);
	stop_clean(buf);
	assert_flushed_once(sink, 0, 100);
	sink_free(sink);
}

static void each_partition_has_its_own(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	_Atomic bool down = true;
	databuffer_options o = down_options(sink, &down);
	o.partitions = 2;
	databuffer *buf = start(&o);
	uint64_t key = 0;
	do
		assert_int_equal(databuffer_insert_keyed(buf, key, &key, sizeof(key)), 0);
	while (info_of(buf, 0).size == 0 && ++key);
	/* What went into the other one before is flushed once the sink is there. */
	down = false;
	flush_all(buf);
	down = true;
	assert_int_equal(databuffer_insert_keyed(buf, key, &key, sizeof(key)), 0);
	databuffer_flush(buf);
	WAIT_FOR(info_of(buf, 0).breaker_open == 1);
	assert_int_equal(info_of(buf, 1).breaker_open, 0);
	assert_int_equal(info_of(buf, 1).failures, 0);
	down = false;
	stop_clean(buf);
	sink_free(sink);
}

static void a_stop_brings_out_what_the_sink_takes_again(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	_Atomic bool down = true;
	databuffer_options o = down_options(sink, &down);
	o.retry_max = 3600000;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 75);
	WAIT_FOR(info_of(buf, 0).breaker_open == 1);
	down = false;
	stop_clean(buf);
	assert_flushed(sink, 0, 75);
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_told_when_it_opens_and_when_it_closes),
		cmocka_unit_test(an_open_one_tries_one_batch_per_backoff),
		cmocka_unit_test(each_partition_has_its_own),
		cmocka_unit_test(a_stop_brings_out_what_the_sink_takes_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
