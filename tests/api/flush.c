/* SPDX-License-Identifier: MIT */
/* Asking for a flush, and waiting for it: what is waited for, for how long, and what is told at the end. */
#include "api/support.h"

/* A sync_flush on a thread of its own. */
struct sync {
	databuffer *buf;
	databuffer_result results[4];
	size_t n;
	int rc;
	_Atomic bool back;
};

static void *sync_flush(void *arg)
{
	struct sync *sync = arg;
	sync->rc = databuffer_sync_flush(sync->buf, sync->results, sync->n, PATIENCE_MS);
	sync->back = true;
	return NULL;
}

/* --- Flush ---------------------------------------------------------------------------------------------- */

static void flush_returns_at_once_and_flushes_every_partition(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 4;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 8);
	assert_int_equal(databuffer_flush(buf), 0); /* with all handlers held up */
	WAIT_FOR(sink_inside(sink) == 4);
	assert_int_equal(databuffer_flush(buf), 0);
	assert_int_equal(databuffer_size(buf), 8);
	sink_open(sink);
	WAIT_FOR(sink_flushed(sink) == 8);
	stop_clean(buf);
	ASSERT_CUTS(sink, 2, 2, 2, 2);
	assert_flushed_once(sink, 0, 8);
	sink_free(sink);
}

static void all_that_a_flush_found_is_flushed_without_another(void **state)
{
	(void)state;
	for (uint64_t n = 1; n <= 20; n++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.max_size = 100;
		databuffer *buf = start(&o);
		sink_close(sink);
		for (uint64_t i = 0; i < n; i++) { /* more flushes than there is memory for batches */
			insert_number(buf, i);
			assert_int_equal(databuffer_flush(buf), 0);
		}
		sink_open(sink);
		WAIT_FOR(sink_flushed(sink) == n);
		stop_clean(buf);
		assert_flushed(sink, 0, n);
		for (size_t i = 0; i < sink->call_count; i++)
			assert_int_equal(sink->calls[i].trigger, DATABUFFER_TRIGGER_FLUSH);
		sink_free(sink);
	}
}

/* Of the batch that begins with 0 the first attempts fail, as many as the test says. */
static int eio_at_first(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	databuffer_item first = databuffer_batch_at(batch, 0);
	return number_of(&first) == 0 && call->attempt <= *(unsigned *)sink->ctx ? -EIO : 0;
}

static void flush_cuts_a_backoff_short(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	unsigned failures = 5;
	sink->answer = eio_at_first;
	sink->ctx = &failures;
	databuffer_options o = sink_options(sink);
	o.retry_min = o.retry_max = 3600000;
	o.max_size = 10;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	for (size_t i = 1; i <= 5; i++) {
		WAIT_FOR(sink_calls(sink) == i && info_of(buf, 0).next_retry_ms > 0);
		insert_number(buf, 9 + i); /* which waits behind it */
		assert_int_equal(databuffer_flush(buf), 0);
	}
	WAIT_FOR(sink_flushed(sink) >= 10);
	flush_all(buf);
	assert_flushed(sink, 0, 15);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(sink_call(sink, i).attempt, i + 1);
		assert_int_equal(sink_call(sink, i).size, 10);
	}
	stop_clean(buf);
	sink_free(sink);
}

/* --- What sync_flush tells ------------------------------------------------------------------------------ */

static int value_of_partition[3];

static int take_a_while(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	if (call->partition == 1)
		pause_ms(30);
	if (call->partition < 2)
		databuffer_batch_set_result(batch, &value_of_partition[call->partition]);
	return 0;
}

static void results_come_in_the_order_of_partitions(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	sink->answer = take_a_while;
	databuffer_options o = sink_options(sink);
	o.partitions = 3;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 6);
	for (uint64_t key = 0; info_of(buf, 0).size < 3; key++) /* 3 in the first, whatever in the others */
		CHECK(databuffer_insert_keyed(buf, key, "12345678", 8) == 0);
	size_t size[3];
	for (unsigned i = 0; i < 3; i++)
		size[i] = info_of(buf, i).size;

	databuffer_result results[3];
	memset(results, 0x5a, sizeof(results));
	assert_int_equal(databuffer_sync_flush(buf, results, 3, PATIENCE_MS), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(results[i].partition, i);
		assert_int_equal(results[i].size, size[i]);
		assert_int_equal(results[i].status, 0);
		assert_ptr_equal(results[i].value, i < 2 ? &value_of_partition[i] : NULL);
	}
	assert_in_range(results[1].duration, 30, 30 + 10000);
	assert_in_range(results[0].duration, 0, 10000);
	assert_int_equal(databuffer_size(buf), 0);
	stop_clean(buf);
	sink_free(sink);
}

static void of_a_partition_without_items_it_tells_so(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	sink->answer = take_a_while;
	databuffer_options o = sink_options(sink);
	o.partitions = 2;
	databuffer *buf = start(&o);
	databuffer_result results[2];
	for (int round = 0; round < 3; round++) {
		memset(results, 0x5a, sizeof(results));
		/* There is nothing to wait for, nor is there after a flush. */
		assert_int_equal(databuffer_sync_flush(buf, results, 2, 0), 0);
		for (unsigned i = 0; i < 2; i++) {
			assert_int_equal(results[i].partition, i);
			assert_int_equal(results[i].size, 0);
			assert_int_equal(results[i].status, 0);
			assert_null(results[i].value);
			assert_int_equal(results[i].duration, 0);
		}
		insert_number(buf, 0);
		flush_all(buf);
	}
	stop_clean(buf);
	assert_int_equal(sink->call_count, 3);
	sink_free(sink);
}

static void as_many_results_are_written_as_there_is_room_for(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 3;
	databuffer *buf = start(&o);
	databuffer_result results[5], untouched;
	memset(&untouched, 0x5a, sizeof(untouched));
	for (size_t n = 0; n <= 5; n++) {
		memset(results, 0x5a, sizeof(results));
		insert_numbers(buf, 3 * n, 3 * n + 3);
		assert_int_equal(databuffer_sync_flush(buf, n > 0 ? results : NULL, n, PATIENCE_MS), 0);
		for (size_t i = 0; i < 5; i++) {
			if (i < n && i < 3)
				assert_int_equal(results[i].size, 1);
			else
				assert_memory_equal(&results[i], &untouched, sizeof(untouched));
		}
		assert_int_equal(sink_flushed(sink), 3 * n + 3); /* all partitions, whoever is told of */
	}
	stop_clean(buf);
	sink_free(sink);
}

static int poison_is_5(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	databuffer_item item;
	(void)sink;
	(void)call;
	databuffer_batch_rewind(batch);
	while (databuffer_batch_next(batch, &item))
		if (number_of(&item) == 5)
			return DATABUFFER_REJECT;
	return 0;
}

static void a_rejected_item_is_told_in_the_status_of_its_partition(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	sink->answer = poison_is_5;
	databuffer_options o = sink_options(sink);
	o.partitions = 2;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	databuffer_result results[2];
	assert_int_equal(databuffer_sync_flush(buf, results, 2, PATIENCE_MS), 0);
	assert_int_equal(sink_buried(sink), 1); /* that, too, is waited for */
	unsigned partition = sink->dead[0].partition;
	assert_int_equal(results[partition].status, DATABUFFER_REJECT);
	assert_int_equal(results[partition].size, 5);
	assert_int_equal(results[1 - partition].status, 0);
	assert_int_equal(results[1 - partition].size, 5);
	assert_int_equal(databuffer_sync_flush(buf, results, 2, PATIENCE_MS), 0);
	assert_int_equal(results[partition].status, 0); /* and not again */
	stop_clean(buf);
	sink_free(sink);
}

static int fail_slowly_at_first(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	pause_ms(20);
	databuffer_batch_set_result(batch, &value_of_partition[call->attempt]);
	return eio_at_first(sink, batch, call);
}

static void transient_failures_are_waited_out(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	unsigned failures = 1;
	sink->answer = fail_slowly_at_first;
	sink->ctx = &failures;
	databuffer_options o = sink_options(sink);
	o.retry_min = 10;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 4);
	databuffer_result result;
	assert_int_equal(databuffer_sync_flush(buf, &result, 1, PATIENCE_MS), 0);
	assert_int_equal(sink_calls(sink), 2);
	assert_int_equal(result.size, 4);
	assert_int_equal(result.status, 0);
	assert_ptr_equal(result.value, &value_of_partition[2]);
	assert_in_range(result.duration, 40, 40 + 20000); /* both times */
	stop_clean(buf);
	sink_free(sink);
}

static void sync_flush_cuts_a_backoff_short(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	unsigned failures = 1;
	sink->answer = eio_at_first;
	sink->ctx = &failures;
	databuffer_options o = sink_options(sink);
	o.retry_min = o.retry_max = 3600000;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 3);
	databuffer_flush(buf);
	WAIT_FOR(info_of(buf, 0).next_retry_ms > 0);
	flush_all(buf);
	assert_flushed(sink, 0, 3);
	stop_clean(buf);
	sink_free(sink);
}

/* --- The deadline of sync_flush ------------------------------------------------------------------------- */

static void a_sync_flush_that_times_out_leaves_its_results_alone(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 2;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 4);
	databuffer_result results[2], before[2];
	memset(results, 0x5a, sizeof(results));
	memset(before, 0x5a, sizeof(before));
	int64_t begin = now_ms();
	assert_int_equal(databuffer_sync_flush(buf, results, 2, 0), DATABUFFER_ETIMEDOUT);
	assert_true(now_ms() - begin < 5000);
	begin = now_ms();
	assert_int_equal(databuffer_sync_flush(buf, results, 2, 50), DATABUFFER_ETIMEDOUT);
	assert_in_range(now_ms() - begin, 50, 50 + 10000);
	WAIT_FOR(sink_inside(sink) == 2);
	sink_let_pass(sink, 1);
	WAIT_FOR(sink_flushed(sink) == 2);
	/* One of them is not enough. */
	assert_int_equal(databuffer_sync_flush(buf, results, 2, 10), DATABUFFER_ETIMEDOUT);
	assert_memory_equal(results, before, sizeof(results));
	sink_open(sink);
	WAIT_FOR(sink_flushed(sink) == 4); /* they went on */
	stop_clean(buf);
	ASSERT_CUTS(sink, 2, 2);
	sink_free(sink);
}

/* --- What sync_flush waits for -------------------------------------------------------------------------- */

static void what_comes_after_the_call_is_not_waited_for(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 5;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 3);
	struct sync sync = { .buf = buf, .n = 1 };
	pthread_t thread = thread_run(sync_flush, &sync);
	WAIT_FOR(sink_inside(sink) == 1);
	insert_numbers(buf, 3, 9); /* one whole batch of them, and one begun */
	assert_false(sync.back);
	sink_let_pass(sink, 1);
	WAIT_FOR(sync.back);
	thread_join(thread);
	assert_int_equal(sync.rc, 0);
	assert_int_equal(sync.results[0].size, 3);
	assert_int_equal(sink_flushed(sink), 3);
	assert_int_equal(databuffer_size(buf), 6);
	sink_open(sink);
	stop_clean(buf);
	assert_flushed(sink, 0, 9);
	ASSERT_CUTS(sink, 3, 5, 1);
	sink_free(sink);
}

static void what_is_in_flight_and_queued_is_waited_for(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 2;
	o.max_queued = 2;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 7); /* 2 in flight, twice 2 queued, 1 open */
	WAIT_FOR(sink_inside(sink) == 1);
	struct sync sync = { .buf = buf, .n = 1 };
	pthread_t thread = thread_run(sync_flush, &sync);
	WAIT_FOR(info_of(buf, 0).queued == 3);
	for (unsigned pass = 1; pass <= 3; pass++) {
		sink_let_pass(sink, 1);
		WAIT_FOR(sink_calls(sink) == pass + 1);
		assert_false(sync.back);
	}
	sink_let_pass(sink, 1);
	WAIT_FOR(sync.back);
	thread_join(thread);
	assert_int_equal(sync.rc, 0);
	assert_int_equal(sync.results[0].size, 7);
	assert_flushed(sink, 0, 7);
	sink_open(sink);
	stop_clean(buf);
	sink_free(sink);
}

struct feeder {
	databuffer *buf;
	_Atomic bool done;
	uint64_t count;
};

static void *feed(void *arg)
{
	struct feeder *feeder = arg;
	while (!feeder->done)
		insert_number(feeder->buf, feeder->count++);
	return NULL;
}

static void a_stream_of_inserts_does_not_keep_it_waiting(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 100;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	struct feeder feeder = { .buf = buf };
	pthread_t thread = thread_run(feed, &feeder);
	uint64_t sum = 0;
	for (int i = 0; i < 100; i++) {
		databuffer_result result;
		WAIT_FOR(databuffer_size(buf) > 0);
		uint64_t inserted = stats_of(buf).inserted;
		assert_int_equal(databuffer_sync_flush(buf, &result, 1, PATIENCE_MS), 0);
		assert_true(sink_flushed(sink) >= inserted); /* what was there before has gone */
		assert_in_range(result.size, 0, 200);
		sum += result.size;
	}
	feeder.done = true;
	thread_join(thread);
	assert_int_not_equal(sum, 0);
	stop_clean(buf);
	assert_flushed(sink, 0, feeder.count);
	sink_free(sink);
}

struct committer {
	databuffer *buf;
	struct sink *sink;
	uint64_t number, n;
};

static bool is_flushed(struct sink *sink, uint64_t number)
{
	bool found = false;
	pthread_mutex_lock(&sink->lock);
	for (size_t i = sink->flushed.count; i-- > 0 && !found;)
		found = sink->flushed.at[i] == number;
	pthread_mutex_unlock(&sink->lock);
	return found;
}

static void *insert_and_flush(void *arg)
{
	struct committer *committer = arg;
	for (uint64_t i = 0; i < committer->n; i++) {
		databuffer_result results[2];
		uint64_t number = committer->number * committer->n + i;
		insert_number(committer->buf, number);
		CHECK(databuffer_sync_flush(committer->buf, results, 2, PATIENCE_MS) == 0);
		CHECK(results[0].status == 0 && results[1].status == 0);
		CHECK(is_flushed(committer->sink, number)); /* which is what it was called for */
	}
	return NULL;
}

static void everybody_who_flushes_finds_his_own_flushed(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 2;
	o.max_size = 7;
	databuffer *buf = start(&o);
	struct committer committers[6];
	pthread_t threads[6];
	uint64_t n = scaled(2000);
	for (unsigned i = 0; i < 6; i++) {
		committers[i] = (struct committer){ .buf = buf, .sink = sink, .number = i, .n = n };
		threads[i] = thread_run(insert_and_flush, &committers[i]);
	}
	for (unsigned i = 0; i < 6; i++)
		thread_join(threads[i]);
	assert_int_equal(databuffer_size(buf), 0);
	stop_clean(buf);
	assert_flushed_once(sink, 0, 6 * n);
	sink_free(sink);
}

static void two_who_wait_are_both_told(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	sink->answer = take_a_while;
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 3);
	struct sync first = { .buf = buf, .n = 1 }, second = { .buf = buf, .n = 1 };
	pthread_t one = thread_run(sync_flush, &first);
	WAIT_FOR(sink_inside(sink) == 1);
	insert_numbers(buf, 3, 5);
	pthread_t two = thread_run(sync_flush, &second);
	WAIT_FOR(info_of(buf, 0).queued == 1);
	sink_open(sink);
	thread_join(one);
	thread_join(two);
	assert_int_equal(first.rc, 0);
	assert_int_equal(second.rc, 0);
	assert_int_equal(first.results[0].size, 3);
	assert_int_equal(second.results[0].size, 5); /* the three were still there */
	assert_ptr_equal(first.results[0].value, &value_of_partition[0]);
	assert_ptr_equal(second.results[0].value, &value_of_partition[0]);
	stop_clean(buf);
	ASSERT_CUTS(sink, 3, 2);
	sink_free(sink);
}

/* --- From a handler ------------------------------------------------------------------------------------- */

static databuffer *own;
static _Atomic unsigned refused;

static void expect_deadlock(void)
{
	databuffer_result result, before;
	memset(&result, 0x5a, sizeof(result));
	memset(&before, 0x5a, sizeof(before));
	int64_t begin = now_ms();
	CHECK(databuffer_sync_flush(own, &result, 1, 3600000) == DATABUFFER_EDEADLK);
	CHECK(databuffer_sync_flush(own, NULL, 0, 0) == DATABUFFER_EDEADLK);
	CHECK(now_ms() - begin < PATIENCE_MS);
	CHECK(memcmp(&result, &before, sizeof(result)) == 0);
	CHECK(databuffer_flush(own) == 0);
	refused++;
}

static int reject_from_inside(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)batch;
	(void)call;
	expect_deadlock();
	return DATABUFFER_REJECT;
}

static void bury_from_inside(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	expect_deadlock();
	sink_dead(item, reason, meta);
}

static void from_a_handler_sync_flush_would_wait_for_itself(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	sink->answer = reject_from_inside;
	databuffer_options o = sink_options(sink);
	o.handle_dead = bury_from_inside;
	own = start(&o);
	insert_number(own, 5);
	flush_all(own);
	assert_int_equal(sink_buried(sink), 1);
	assert_int_equal(refused, 2);
	stop_clean(own);
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flush_returns_at_once_and_flushes_every_partition),
		cmocka_unit_test(all_that_a_flush_found_is_flushed_without_another),
		cmocka_unit_test(flush_cuts_a_backoff_short),
		cmocka_unit_test(results_come_in_the_order_of_partitions),
		cmocka_unit_test(of_a_partition_without_items_it_tells_so),
		cmocka_unit_test(as_many_results_are_written_as_there_is_room_for),
		cmocka_unit_test(a_rejected_item_is_told_in_the_status_of_its_partition),
		cmocka_unit_test(transient_failures_are_waited_out),
		cmocka_unit_test(sync_flush_cuts_a_backoff_short),
		cmocka_unit_test(a_sync_flush_that_times_out_leaves_its_results_alone),
		cmocka_unit_test(what_comes_after_the_call_is_not_waited_for),
		cmocka_unit_test(what_is_in_flight_and_queued_is_waited_for),
		cmocka_unit_test(a_stream_of_inserts_does_not_keep_it_waiting),
		cmocka_unit_test(everybody_who_flushes_finds_his_own_flushed),
		cmocka_unit_test(two_who_wait_are_both_told),
		cmocka_unit_test(from_a_handler_sync_flush_would_wait_for_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
