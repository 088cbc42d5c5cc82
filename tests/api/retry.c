/* SPDX-License-Identifier: MIT */
/* What a handler could not take for now: it is kept as it is, in its place, and given again after a while. */
#include "api/support.h"

#include <limits.h>

/* Answers to the first attempts at a batch; 0 to those after. */
struct answers {
	const int *at;
	unsigned n;
};

static int from_the_list(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	const struct answers *answers = sink->ctx;
	(void)batch;
	return call->attempt <= answers->n ? answers->at[call->attempt - 1] : 0;
}

static const int eios[20] = { -EIO, -EIO, -EIO, -EIO, -EIO, -EIO, -EIO, -EIO, -EIO, -EIO,
	                      -EIO, -EIO, -EIO, -EIO, -EIO, -EIO, -EIO, -EIO, -EIO, -EIO };

static databuffer_options retry_options(struct sink *sink, struct answers *answers)
{
	databuffer_options options = sink_options(sink);
	sink->answer = from_the_list;
	sink->ctx = answers;
	options.retry_min = options.retry_max = 1;
	return options;
}

/* --- What is kept --------------------------------------------------------------------------------------- */

static void a_batch_is_given_again_as_it_was(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct answers answers = { eios, 4 };
	databuffer_options o = retry_options(sink, &answers);
	o.max_size = 10;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	WAIT_FOR(sink_flushed(sink) == 10);
	assert_int_equal(sink_calls(sink), 5);
	for (size_t i = 0; i < 5; i++) {
		struct call *call = &sink->calls[i];
		assert_int_equal(call->attempt, i + 1);
		assert_int_equal(call->size, 10);
		assert_int_equal(call->bytes, 80);
		assert_int_equal(call->trigger, DATABUFFER_TRIGGER_SIZE);
		for (size_t k = 0; k < 10; k++)
			assert_int_equal(sink->shown.at[call->shown + k], k);
	}
	databuffer_stats_t stats;
	WAIT_FOR((stats = stats_of(buf)).flushed == 10);
	assert_int_equal(stats.attempts, 5);
	assert_int_equal(stats.failures, 4);
	assert_int_equal(stats.rejects, 0);
	assert_int_equal(stats.batches, 1);
	stop_clean(buf);
	assert_flushed(sink, 0, 10);
	sink_free(sink);
}

static void whatever_is_no_other_answer_is_transient(void **state)
{
	(void)state;
	static const int odd[] = {
		DATABUFFER_RETRY, -1, -EIO, -EAGAIN, -ENOSPC, -100000, INT_MIN, INT_MIN + 1,
		DATABUFFER_ETIMEDOUT, DATABUFFER_ESTOPPED, DATABUFFER_EINVAL,
		4, 5, 42, 1000, INT_MAX,
	};
	enum { ODD = sizeof(odd) / sizeof(odd[0]) };
	struct sink *sink = sink_new();
	struct answers answers = { odd, ODD };
	databuffer_options o = retry_options(sink, &answers);
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 3);
	flush_all(buf);
	assert_int_equal(sink_calls(sink), ODD + 1);
	assert_flushed(sink, 0, 3);
	assert_int_equal(sink_buried(sink), 0);
	assert_int_equal(stats_of(buf).failures, ODD);
	stop_clean(buf);
	sink_free(sink);
}

static void what_comes_meanwhile_stays_behind_it(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct answers answers = { eios, 3 };
	databuffer_options o = retry_options(sink, &answers);
	o.max_size = 4;
	o.max_queued = 3;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 18);
	sink_open(sink);
	stop_clean(buf); /* which tries as often, batch by batch */
	assert_flushed(sink, 0, 18);
	ASSERT_CUTS(sink, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 2, 2, 2, 2);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(sink->calls[i].attempt, i % 4 + 1);
	sink_free(sink);
}

static void a_batch_that_waits_takes_no_more_items(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct answers answers = { eios, 1 };
	databuffer_options o = retry_options(sink, &answers);
	o.max_size = 10;
	o.retry_min = o.retry_max = 3600000;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 2);
	databuffer_flush(buf);
	WAIT_FOR(info_of(buf, 0).next_retry_ms > 0);
	insert_numbers(buf, 2, 5);
	databuffer_flush(buf);
	WAIT_FOR(sink_flushed(sink) == 2); /* the second waits out its own failure now */
	WAIT_FOR(info_of(buf, 0).next_retry_ms > 0);
	flush_all(buf);
	ASSERT_CUTS(sink, 2, 2, 3, 3);
	assert_flushed(sink, 0, 5);
	stop_clean(buf);
	sink_free(sink);
}

/* --- The backoff ---------------------------------------------------------------------------------------- */

static void no_attempt_comes_before_retry_min(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct answers answers = { eios, 5 };
	databuffer_options o = retry_options(sink, &answers);
	o.retry_min = 15;
	o.retry_max = 40;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	databuffer_flush(buf);
	WAIT_FOR(sink_flushed(sink) == 1);
	for (size_t i = 1; i < 6; i++)
		assert_true(sink_call(sink, i).begin_ms - sink_call(sink, i - 1).end_ms >= 15);
	stop_clean(buf);
	sink_free(sink);
}

/* The backoff after the last of so many calls, as info has it: from `least` to `most`, by how long ago that
 * was. */
static void read_backoff(databuffer *buf, struct sink *sink, size_t calls, int64_t *least, int64_t *most)
{
	int64_t next;
	WAIT_FOR(sink_calls(sink) == calls && sink_inside(sink) == 0 && info_of(buf, 0).next_retry_ms > 0);
	next = info_of(buf, 0).next_retry_ms;
	*least = next;
	*most = next + now_ms() - sink_call(sink, calls - 1).end_ms + 1;
}

static void the_backoff_doubles_between_its_bounds(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct answers answers = { eios, 20 };
	databuffer_options o = retry_options(sink, &answers);
	enum { BATCHES = 12, ATTEMPTS = 20, MIN = 100000, MAX = 30000000 };
	o.retry_min = MIN;
	o.retry_max = MAX;
	o.seed = 5;
	databuffer *buf = start(&o);
	int64_t least, most, longest[ATTEMPTS] = { 0 };
	for (size_t batch = 0; batch < BATCHES; batch++) {
		insert_number(buf, batch);
		databuffer_flush(buf);
		int64_t cap = MIN;
		for (size_t attempt = 0; attempt < ATTEMPTS; attempt++) {
			cap = 2 * cap < MAX ? 2 * cap : MAX;
			read_backoff(buf, sink, batch * (ATTEMPTS + 1) + attempt + 1, &least, &most);
			assert_true(most >= MIN);
			assert_true(least <= cap);
			if (least > longest[attempt])
				longest[attempt] = least;
			databuffer_flush(buf); /* does not wait for it */
		}
		WAIT_FOR(sink_flushed(sink) == batch + 1);
	}
	/* Drawn at random, but of twelve one comes near: it does grow, and does so to the end. */
	for (size_t attempt = 0; attempt < ATTEMPTS; attempt++)
		assert_true(longest[attempt] > (attempt < 8 ? MIN + ((MIN << attempt) - MIN) / 2 : MAX / 2));
	stop_clean(buf);
	sink_free(sink);
}

static void partitions_that_failed_together_do_not_come_back_together(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct answers answers = { eios, 1 };
	databuffer_options o = retry_options(sink, &answers);
	o.partitions = 16;
	o.retry_min = 1000000;
	o.retry_max = 3600000;
	o.seed = 1;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 16);
	databuffer_flush(buf);
	int64_t earliest = INT64_MAX, latest = 0;
	for (unsigned i = 0; i < 16; i++) {
		WAIT_FOR(info_of(buf, i).next_retry_ms > 0);
		int64_t next = info_of(buf, i).next_retry_ms;
		earliest = next < earliest ? next : earliest;
		latest = next > latest ? next : latest;
	}
	assert_true(latest - earliest > 300000);
	flush_all(buf);
	stop_clean(buf);
	sink_free(sink);
}

static void info_tells_of_the_backoff(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct answers answers = { eios, 3 };
	databuffer_options o = retry_options(sink, &answers);
	o.retry_min = o.retry_max = 3600000;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 3);
	assert_int_equal(info_of(buf, 0).next_retry_ms, -1);
	assert_int_equal(info_of(buf, 0).attempt, 0);
	databuffer_flush(buf);
	for (unsigned i = 1; i <= 3; i++) {
		WAIT_FOR(sink_calls(sink) == i && info_of(buf, 0).next_retry_ms > 0);
		databuffer_partition_info info = info_of(buf, 0);
		assert_int_equal(info.attempt, i);
		assert_int_equal(info.last_status, -EIO);
		assert_int_equal(info.queued, 1);
		assert_int_equal(info.in_flight, 0);
		assert_int_equal(info.size, 3);
		assert_in_range(info.next_retry_ms, 1, 3600000);
		databuffer_flush(buf);
	}
	WAIT_FOR(stats_of(buf).flushed == 3);
	assert_int_equal(info_of(buf, 0).attempt, 0);
	assert_int_equal(info_of(buf, 0).last_status, 0);
	assert_int_equal(info_of(buf, 0).next_retry_ms, -1);
	stop_clean(buf);
	sink_free(sink);
}

/* --- Who hears of it ------------------------------------------------------------------------------------ */

static void a_failure_is_logged(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct answers answers = { eios, 1 };
	databuffer_options o = retry_options(sink, &answers);
	o.name = "orders";
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 17);
	flush_all(buf);
	assert_int_equal(sink_lines(sink), 1);
	assert_non_null(strstr(sink->line, "orders"));
	assert_non_null(strstr(sink->line, "17"));
	assert_non_null(strstr(sink->line, databuffer_strerror(-EIO)));
	stop_clean(buf);
	sink_free(sink);
}

static void a_storm_of_failures_is_not_a_storm_of_lines(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct answers answers = { eios, 20 };
	databuffer_options o = retry_options(sink, &answers);
	o.partitions = 4;
	databuffer *buf = start(&o);
	int64_t begin = now_ms();
	for (uint64_t i = 0; i < 10; i++) {
		insert_numbers(buf, 0, 4);
		flush_all(buf);
	}
	assert_int_equal(stats_of(buf).failures, 10 * 4 * 20);
	assert_in_range(sink_lines(sink), 1, (now_ms() - begin) / 1000 + 1); /* one a second */
	stop_clean(buf);
	sink_free(sink);
}

static int partition_0_is_ill(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	_Atomic bool *well = sink->ctx;
	(void)batch;
	return call->partition == 0 && !*well ? -EIO : 0;
}

static void one_partition_that_fails_holds_up_no_other(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	_Atomic bool well = false;
	databuffer_options o = sink_options(sink);
	sink->answer = partition_0_is_ill;
	sink->ctx = &well;
	o.partitions = 3;
	o.retry_min = 1;
	o.retry_max = 2;
	databuffer *buf = start(&o);
	for (uint64_t round = 0; round < 10; round++) {
		insert_numbers(buf, 3 * round, 3 * round + 3);
		databuffer_flush(buf);
		WAIT_FOR(sink_flushed(sink) == 2 * round + 2);
	}
	assert_int_equal(info_of(buf, 0).size, 10);
	well = true;
	stop_clean(buf);
	assert_flushed_once(sink, 0, 30);
	sink_free(sink);
}

/* --- At random ------------------------------------------------------------------------------------------ */

/* Fails a third of all calls, by a number drawn from batch and attempt alone. */
static int now_and_then(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	databuffer_item first = databuffer_batch_at(batch, 0);
	uint64_t seed = *(uint64_t *)sink->ctx + number_of(&first) * 64 + call->attempt;
	switch (dice_below(&seed, 9)) {
	case 0:
		return -EIO;
	case 1:
		return DATABUFFER_RETRY;
	case 2:
		return 4;
	default:
		return 0;
	}
}

struct producer {
	databuffer *buf;
	uint64_t number, n;
};

static void *produce(void *arg)
{
	struct producer *producer = arg;
	for (uint64_t i = 0; i < producer->n; i++) {
		uint64_t number = producer->number * producer->n + i;
		int rc = databuffer_insert_keyed_timed(producer->buf, producer->number, &number, 8, PATIENCE_MS);
		CHECK(rc == 0);
	}
	return NULL;
}

static void order_outlives_any_number_of_failures(void **state)
{
	(void)state;
	uint64_t seed = test_seed();
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = now_and_then;
	sink->ctx = &seed;
	o.partitions = 2;
	o.max_size = 50;
	o.max_queued = 2;
	o.retry_min = o.retry_max = 1;
	databuffer *buf = start(&o);
	struct producer producers[3];
	pthread_t threads[3];
	uint64_t n = 500 + scaled(10000), next[3] = { 0, n, 2 * n };
	for (unsigned i = 0; i < 3; i++) {
		producers[i] = (struct producer){ .buf = buf, .number = i, .n = n };
		threads[i] = thread_run(produce, &producers[i]);
	}
	for (unsigned i = 0; i < 3; i++)
		thread_join(threads[i]);
	stop_clean(buf);
	assert_flushed_once(sink, 0, 3 * n);
	unsigned failures = 0;
	for (size_t i = 0; i < sink->call_count; i++)
		failures += sink->calls[i].answer != 0;
	assert_int_not_equal(failures, 0);
	for (size_t i = 0; i < 3 * n; i++)
		assert_int_equal(sink->flushed.at[i], next[sink->flushed.at[i] / n]++);
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_is_given_again_as_it_was),
		cmocka_unit_test(whatever_is_no_other_answer_is_transient),
		cmocka_unit_test(what_comes_meanwhile_stays_behind_it),
		cmocka_unit_test(a_batch_that_waits_takes_no_more_items),
		cmocka_unit_test(no_attempt_comes_before_retry_min),
		cmocka_unit_test(the_backoff_doubles_between_its_bounds),
		cmocka_unit_test(partitions_that_failed_together_do_not_come_back_together),
		cmocka_unit_test(info_tells_of_the_backoff),
		cmocka_unit_test(a_failure_is_logged),
		cmocka_unit_test(a_storm_of_failures_is_not_a_storm_of_lines),
		cmocka_unit_test(one_partition_that_fails_holds_up_no_other),
		cmocka_unit_test(order_outlives_any_number_of_failures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
