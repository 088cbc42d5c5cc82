/* SPDX-License-Identifier: MIT */
/* Start, find, stop: who gets a buffer, under which name, and where its items are when it is gone. */
#include "api/support.h"

/* --- Start and find ----------------------------------------------------------------------------------------------- */

static void a_buffer_starts_empty(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 3;
	databuffer *buf = start(&o);

	assert_int_equal(databuffer_size(buf), 0);
	assert_int_equal(databuffer_info(buf, NULL, 0), 3);
	databuffer_stats_t stats, zero;
	memset(&zero, 0, sizeof(zero));
	memset(&stats, 0x5a, sizeof(stats));
	assert_int_equal(databuffer_stats(buf, &stats), 0);
	assert_memory_equal(&stats, &zero, sizeof(stats));
	stop_clean(buf);
	assert_int_equal(sink_calls(sink), 0);
	sink_free(sink);
}

static void a_refused_start_leaves_the_handle_alone(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *const before = (databuffer *)(uintptr_t)0x1230, *buf = before;

	assert_int_equal(databuffer_start(&buf, NULL), DATABUFFER_EINVAL);
	assert_ptr_equal(buf, before);
	o.handle_flush = NULL;
	assert_int_equal(databuffer_start(&buf, &o), DATABUFFER_EINVAL);
	assert_ptr_equal(buf, before);
	assert_non_null(strstr(sink->error, "handle_flush"));
	o = sink_options(sink);
	o.partitions = 0;
	assert_int_equal(databuffer_start(&buf, &o), DATABUFFER_EINVAL);
	assert_ptr_equal(buf, before);
	sink->error[0] = '\0';
	o = sink_options(sink);
	assert_int_equal(databuffer_start(NULL, &o), DATABUFFER_EINVAL);
	assert_string_not_equal(sink->error, "");
	assert_int_equal(sink_lines(sink), 0);
	sink_free(sink);
}

static void without_a_place_for_it_the_sentence_goes_to_the_log(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = NULL;
	o.error = NULL;
	o.error_size = 0;
	o.max_size = -7;
	assert_int_equal(databuffer_start(&buf, &o), DATABUFFER_EINVAL);
	assert_null(buf);
	assert_int_equal(sink_lines(sink), 1);
	assert_non_null(strstr(sink->line, "max_size"));
	assert_non_null(strstr(sink->line, "-7"));
	sink_free(sink);
}

static void the_options_are_copied(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	char name[] = "copied";
	databuffer_options o = sink_options(sink);
	o.name = name;
	o.max_size = 3;
	databuffer *buf = start(&o);
	memset(name, 'x', sizeof(name) - 1);
	memset(&o, 0x5a, sizeof(o));

	assert_ptr_equal(databuffer_find("copied"), buf);
	assert_null(databuffer_find("xxxxxx"));
	insert_numbers(buf, 0, 3);
	WAIT_FOR(sink_flushed(sink) == 3);
	assert_string_equal(info_of(buf, 0).name, "copied");
	stop_clean(buf);
	sink_free(sink);
}

static void find_knows_the_running_and_nobody_else(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	assert_null(databuffer_find("found"));
	assert_null(databuffer_find(""));
	assert_null(databuffer_find(NULL));
	o.name = "found";
	databuffer *buf = start(&o);
	o.name = "found too";
	databuffer *other = start(&o);
	o.name = NULL;
	databuffer *nameless = start(&o), *nameless_too = start(&o);

	assert_ptr_equal(databuffer_find("found"), buf);
	assert_ptr_equal(databuffer_find("found too"), other);
	assert_null(databuffer_find("foun"));
	assert_null(databuffer_find("FOUND"));
	assert_null(databuffer_find(""));
	assert_null(databuffer_find(NULL));
	stop_clean(buf);
	assert_null(databuffer_find("found"));
	assert_ptr_equal(databuffer_find("found too"), other);
	stop_clean(other);
	stop_clean(nameless);
	stop_clean(nameless_too);
	sink_free(sink);
}

static void a_name_is_taken_until_its_buffer_has_stopped(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.name = "taken";
	databuffer *buf = start(&o), *second = NULL;

	assert_int_equal(databuffer_start(&second, &o), DATABUFFER_EEXIST);
	assert_null(second);
	assert_non_null(strstr(sink->error, "taken"));
	insert_numbers(buf, 0, 2); /* the first is none the worse */
	stop_clean(buf);
	assert_flushed(sink, 0, 2);
	second = start(&o);
	assert_ptr_equal(databuffer_find("taken"), second);
	stop_clean(second);
	sink_free(sink);
}

static _Atomic int winners, losers;

static void *start_the_same(void *arg)
{
	databuffer *buf = NULL;
	int rc = databuffer_start(&buf, arg);
	CHECK((rc == 0) == (buf != NULL));
	CHECK(rc == 0 || rc == DATABUFFER_EEXIST);
	atomic_fetch_add(rc == 0 ? &winners : &losers, 1);
	return buf;
}

static void of_threads_that_start_one_name_at_once_one_wins(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.name = "once";
	o.error = NULL; /* not for several threads */
	o.error_size = 0;
	for (int round = 0; round < 20; round++) {
		pthread_t threads[4];
		winners = losers = 0;
		for (int i = 0; i < 4; i++)
			threads[i] = thread_run(start_the_same, &o);
		databuffer *buf = NULL;
		for (int i = 0; i < 4; i++) {
			void *started;
			CHECK(pthread_join(threads[i], &started) == 0);
			if (started)
				buf = started;
		}
		assert_int_equal(winners, 1);
		assert_int_equal(losers, 3);
		assert_ptr_equal(databuffer_find("once"), buf);
		stop_clean(buf);
	}
	sink_free(sink);
}

/* --- Misuse ------------------------------------------------------------------------------------------------------- */

static int show_nothing(const databuffer_item *item, unsigned partition, void *ctx)
{
	(void)item;
	(void)partition;
	(void)ctx;
	return 0;
}

/* Every call that takes a buffer, on one that does not do; all outputs stay as they are. */
static void every_call_answers(databuffer *buf, int rc)
{
	databuffer_item item = { "12345678", 8 };
	databuffer_slot slot, slot_before;
	databuffer_result result, result_before;
	databuffer_partition_info info, info_before;
	databuffer_stats_t stats, stats_before;
	memset(&slot, 0x5a, sizeof(slot));
	memset(&result, 0x5a, sizeof(result));
	memset(&info, 0x5a, sizeof(info));
	memset(&stats, 0x5a, sizeof(stats));
	memcpy(&slot_before, &slot, sizeof(slot));
	memcpy(&result_before, &result, sizeof(result));
	memcpy(&info_before, &info, sizeof(info));
	memcpy(&stats_before, &stats, sizeof(stats));

	assert_int_equal(databuffer_insert(buf, item.data, item.len), rc);
	assert_int_equal(databuffer_insert(buf, "", 0), rc);
	assert_int_equal(databuffer_insert_timed(buf, item.data, item.len, 0), rc);
	assert_int_equal(databuffer_insert_timed(buf, item.data, item.len, 60000), rc);
	assert_int_equal(databuffer_insert_keyed(buf, 7, item.data, item.len), rc);
	assert_int_equal(databuffer_insert_keyed_timed(buf, 7, item.data, item.len, 60000), rc);
	assert_int_equal(databuffer_insert_batch(buf, &item, 1), rc);
	assert_int_equal(databuffer_insert_batch_timed(buf, &item, 1, 60000), rc);
	assert_int_equal(databuffer_insert_array(buf, item.data, 2, 4), rc);
	assert_int_equal(databuffer_insert_array_timed(buf, item.data, 2, 4, 60000), rc);
	assert_int_equal(databuffer_reserve(buf, 8, &slot), rc);
	assert_int_equal(databuffer_flush(buf), rc);
	assert_int_equal(databuffer_sync_flush(buf, &result, 1, 60000), rc);
	assert_int_equal(databuffer_dump(buf, show_nothing, NULL), rc);
	assert_int_equal(databuffer_size(buf), 0);
	assert_int_equal(databuffer_info(buf, &info, 1), rc);
	assert_int_equal(databuffer_info(buf, NULL, 0), rc);
	assert_int_equal(databuffer_stats(buf, &stats), rc);
	assert_int_equal(databuffer_work(buf, 1), rc);
	assert_true(databuffer_next_deadline(buf) == INT64_MAX);
	assert_int_equal(databuffer_stop(buf, 60000), rc);

	assert_memory_equal(&slot, &slot_before, sizeof(slot));
	assert_memory_equal(&result, &result_before, sizeof(result));
	assert_memory_equal(&info, &info_before, sizeof(info));
	assert_memory_equal(&stats, &stats_before, sizeof(stats));
}

static void null_is_an_error_everywhere(void **state)
{
	(void)state;
	every_call_answers(NULL, DATABUFFER_EINVAL);
}

static void null_where_there_must_be_something_is_an_error(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	databuffer_item nothing = { NULL, 3 }, items[2] = { { "abc", 3 }, { NULL, 3 } };

	for (int round = 0; round < 2; round++) { /* before and after this thread's first insert */
		assert_int_equal(databuffer_insert(buf, NULL, 1), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_insert_timed(buf, NULL, 1, 0), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_insert_keyed(buf, 1, NULL, 1), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_insert_keyed_timed(buf, 1, NULL, 1, 0), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_insert_batch(buf, NULL, 1), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_insert_batch(buf, &nothing, 1), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_insert_batch(buf, items, 2), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_insert_array(buf, NULL, 2, 4), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_reserve(buf, 8, NULL), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_sync_flush(buf, NULL, 1, 0), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_dump(buf, NULL, NULL), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_info(buf, NULL, 1), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_stats(buf, NULL), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_size(buf), (size_t)round);
		if (round == 0)
			insert_number(buf, 0);
	}
	assert_int_equal(databuffer_commit(NULL), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_abort(NULL), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_work(buf, 1), DATABUFFER_ENOTSUP);
	stop_clean(buf);
	every_call_answers(NULL, DATABUFFER_EINVAL); /* also with a dead buffer in this thread's memory */
	sink_free(sink);
}

static void a_stopped_buffer_answers_so_for_a_while(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	stop_clean(buf);
	every_call_answers(buf, DATABUFFER_ESTOPPED);
	/* Neither other buffers nor this thread's inserts into them bring it back. */
	databuffer *others[8];
	for (int i = 0; i < 8; i++) {
		others[i] = start(&o);
		insert_number(others[i], (uint64_t)i + 1);
	}
	every_call_answers(buf, DATABUFFER_ESTOPPED);
	for (int i = 0; i < 8; i++)
		stop_clean(others[i]);
	assert_flushed(sink, 0, 9);
	sink_free(sink);
}

/* --- Stop ------------------------------------------------------------------------------------------------------------ */

static void stop_flushes_what_is_held(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 13);
	stop_clean(buf);
	assert_flushed(sink, 0, 13);
	ASSERT_CUTS(sink, 10, 3);
	assert_int_equal(sink->calls[0].trigger, DATABUFFER_TRIGGER_SIZE);
	assert_int_equal(sink->calls[1].trigger, DATABUFFER_TRIGGER_STOP);
	sink_free(sink);
}

static void stop_flushes_every_partition(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 5;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 5);
	stop_clean(buf);
	assert_int_equal(sink->call_count, 5);
	unsigned seen = 0;
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(sink->calls[i].size, 1);
		seen |= 1u << sink->calls[i].partition;
	}
	assert_int_equal(seen, 31);
	sink_free(sink);
}

static int slowly(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)batch;
	(void)call;
	pause_ms(30);
	return 0;
}

static void stop_leaves_no_handler_running(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	sink->answer = slowly;
	databuffer_options o = sink_options(sink);
	o.partitions = 2;
	o.max_size = 1;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 6);
	stop_clean(buf);
	assert_int_equal(sink_inside(sink), 0);
	assert_int_equal(sink_flushed(sink), 6);
	assert_int_equal(sink_calls(sink), 6);
	sink_free(sink);
}

struct stop_call {
	databuffer *buf;
	int64_t timeout_ms, left;
};

static void *call_stop(void *arg)
{
	struct stop_call *call = arg;
	call->left = databuffer_stop(call->buf, call->timeout_ms);
	return NULL;
}

static void of_two_stops_one_stops_and_one_is_told(void **state)
{
	(void)state;
	for (int round = 0; round < 50; round++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		databuffer *buf = start(&o);
		insert_number(buf, 0);
		struct stop_call calls[3];
		pthread_t threads[3];
		for (int i = 0; i < 3; i++) {
			calls[i] = (struct stop_call){ .buf = buf, .timeout_ms = PATIENCE_MS };
			threads[i] = thread_run(call_stop, &calls[i]);
		}
		int stopped = 0;
		for (int i = 0; i < 3; i++) {
			thread_join(threads[i]);
			assert_true(calls[i].left == 0 || calls[i].left == DATABUFFER_ESTOPPED);
			stopped += calls[i].left == 0;
		}
		assert_int_equal(stopped, 1);
		assert_flushed(sink, 0, 1);
		sink_free(sink);
	}
}

static void while_a_stop_waits_all_else_is_refused(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.name = "stopping";
	databuffer *buf = start(&o), *second = NULL;
	sink_close(sink);
	insert_number(buf, 0);
	struct stop_call call = { .buf = buf, .timeout_ms = PATIENCE_MS };
	pthread_t thread = thread_run(call_stop, &call);
	WAIT_FOR(sink_inside(sink) == 1);

	assert_int_equal(try_number(buf, 1), DATABUFFER_ESTOPPED);
	assert_int_equal(databuffer_insert(buf, "1", 1), DATABUFFER_ESTOPPED);
	assert_int_equal(databuffer_insert_array(buf, "12", 2, 1), DATABUFFER_ESTOPPED);
	assert_int_equal(databuffer_stop(buf, 0), DATABUFFER_ESTOPPED);
	assert_null(databuffer_find("stopping"));
	assert_int_equal(databuffer_start(&second, &o), DATABUFFER_EEXIST);
	sink_open(sink);
	thread_join(thread);
	assert_int_equal(call.left, 0);
	assert_flushed(sink, 0, 1);
	sink_free(sink);
}

struct waiter {
	databuffer *buf;
	int rc;
	int64_t took_ms;
	_Atomic bool begun;
};

static void *insert_and_wait(void *arg)
{
	struct waiter *waiter = arg;
	int64_t begin = now_ms();
	waiter->begun = true;
	waiter->rc = databuffer_insert_timed(waiter->buf, "waiting!", 8, 600000);
	waiter->took_ms = now_ms() - begin;
	return NULL;
}

static void *sync_flush_and_wait(void *arg)
{
	struct waiter *waiter = arg;
	int64_t begin = now_ms();
	waiter->begun = true;
	waiter->rc = databuffer_sync_flush(waiter->buf, NULL, 0, 600000);
	waiter->took_ms = now_ms() - begin;
	return NULL;
}

static void stop_ends_the_waits_of_others(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 1;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 2);
	assert_int_equal(try_number(buf, 2), DATABUFFER_ETIMEDOUT);
	struct waiter inserting = { .buf = buf }, flushing = { .buf = buf };
	pthread_t one = thread_run(insert_and_wait, &inserting), two = thread_run(sync_flush_and_wait, &flushing);
	WAIT_FOR(stats_of(buf).waits == 1 && flushing.begun);
	pause_ms(20);

	int64_t begin = now_ms();
	assert_int_equal(databuffer_stop(buf, 50), 2);
	assert_in_range(now_ms() - begin, 50, 50 + 10000);
	thread_join(one);
	thread_join(two);
	assert_int_equal(inserting.rc, DATABUFFER_ESTOPPED);
	assert_int_equal(flushing.rc, DATABUFFER_ESTOPPED);
	sink_open(sink);
	WAIT_FOR(sink_inside(sink) == 0);
	assert_int_equal(sink_left_over(sink), 2);
	sink_free(sink);
}

static void a_hung_handler_holds_stop_up_to_its_deadline_and_no_longer(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 4;
	o.max_queued = 3;
	o.name = "hung";
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 10); /* 4 in flight, 4 queued, 2 open */
	WAIT_FOR(sink_inside(sink) == 1);

	int64_t begin = now_ms();
	assert_int_equal(databuffer_stop(buf, 100), 10);
	assert_in_range(now_ms() - begin, 100, 100 + 10000);
	assert_null(databuffer_find("hung"));
	assert_int_equal(sink_left_over(sink), 10);
	assert_true(pthread_equal(sink->left_thread, pthread_self()));
	for (size_t i = 0; i < 10; i++) {
		assert_int_equal(sink->left[i].number, i); /* oldest first */
		assert_int_equal(sink->left[i].len, 8);
		assert_int_equal(sink->left[i].partition, 0);
		assert_int_equal(sink->left[i].attempts, i < 4 ? 1 : 0);
		assert_int_equal(sink->left[i].status == 0, i >= 4);
	}

	/* The late handler finds its batch whole, is told, and harms nobody. */
	databuffer *next = start(&o);
	sink_open(sink);
	WAIT_FOR(sink_inside(sink) == 0);
	assert_true(sink->calls[0].cancelled);
	insert_number(next, 77);
	stop_clean(next);
	assert_int_equal(sink_left_over(sink), 10);
	ASSERT_CUTS(sink, 4, 1);
	sink_free(sink);
}

static int read_again(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	/* Behind the gate, when the buffer is gone, the batch is still the handler's. */
	CHECK(databuffer_batch_size(batch) == call->size);
	databuffer_batch_rewind(batch);
	databuffer_item item;
	uint64_t number = 0;
	while (databuffer_batch_next(batch, &item))
		CHECK(number_of(&item) == number++);
	CHECK(number == call->size);
	CHECK(databuffer_batch_array(batch) && databuffer_batch_iovec(batch));
	CHECK(strcmp(databuffer_batch_name(batch), "outlived") == 0);
	databuffer_batch_fail(batch, 0, "too late");
	return DATABUFFER_REJECT;
}

static void a_handler_that_outlives_its_buffer_still_has_its_batch(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	sink->answer = read_again;
	databuffer_options o = sink_options(sink);
	o.name = "outlived";
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 1000);
	databuffer_flush(buf);
	WAIT_FOR(sink_inside(sink) == 1);
	assert_int_equal(databuffer_stop(buf, 0), 1000);
	assert_int_equal(sink_left_over(sink), 1000);
	sink_open(sink);
	WAIT_FOR(sink_inside(sink) == 0);
	pause_ms(20);
	assert_int_equal(sink_calls(sink), 1);
	assert_int_equal(sink_buried(sink), 0); /* they are left over already */
	sink_free(sink);
}

static void what_is_left_comes_partition_by_partition(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 4;
	o.max_size = 3;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 20); /* 5 each: 3 in flight, 2 open */
	WAIT_FOR(sink_inside(sink) == 4);
	assert_int_equal(databuffer_stop(buf, 0), 20);
	uint64_t last[4];
	unsigned count[4] = { 0 };
	for (size_t i = 0; i < 20; i++) {
		struct gone *gone = &sink->left[i];
		assert_int_equal(gone->partition, i / 5);
		if (count[gone->partition]++ > 0)
			assert_int_equal(gone->number, last[gone->partition] + 4);
		last[gone->partition] = gone->number;
	}
	sink_open(sink);
	WAIT_FOR(sink_inside(sink) == 0);
	sink_free(sink);
}

static int always_eio(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)batch;
	(void)call;
	return -EIO;
}

static void what_a_sink_refused_to_the_end_is_left_with_its_last_answer(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	sink->answer = always_eio;
	databuffer_options o = sink_options(sink);
	o.retry_min = 1;
	o.retry_max = 1;
	o.max_size = 2;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 4);
	WAIT_FOR(sink_calls(sink) >= 3);
	assert_int_equal(databuffer_stop(buf, 30), 4);
	size_t calls = sink_calls(sink);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(sink->left[i].number, i);
		assert_int_equal(sink->left[i].status, i < 2 ? -EIO : 0);
		if (i < 2)
			assert_in_range(sink->left[i].attempts, 3, calls);
		else
			assert_int_equal(sink->left[i].attempts, 0);
	}
	sink_keep(sink);
}

static int first_eio(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)batch;
	return call->attempt == 1 ? -EIO : 0;
}

static void stop_cuts_a_backoff_short(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	sink->answer = first_eio;
	databuffer_options o = sink_options(sink);
	o.retry_min = 3600000;
	o.retry_max = 3600000;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 3);
	databuffer_flush(buf);
	WAIT_FOR(sink_calls(sink) == 1 && info_of(buf, 0).next_retry_ms > 3000000);
	stop_clean(buf);
	assert_flushed(sink, 0, 3);
	ASSERT_CUTS(sink, 3, 3);
	sink_free(sink);
}

static void a_negative_timeout_is_the_timeout_option(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.timeout = 60;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 3);
	int64_t begin = now_ms();
	assert_int_equal(databuffer_sync_flush(buf, NULL, 0, -1), DATABUFFER_ETIMEDOUT);
	assert_in_range(now_ms() - begin, 60, 60 + 10000);
	WAIT_FOR(sink_inside(sink) == 1);
	begin = now_ms();
	assert_int_equal(databuffer_stop(buf, -1), 3);
	assert_in_range(now_ms() - begin, 60, 60 + 10000);
	sink_open(sink);
	WAIT_FOR(sink_inside(sink) == 0);
	sink_free(sink);
}

static void without_handle_left_what_is_left_is_counted_and_logged(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.handle_left = NULL;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 12);
	databuffer_flush(buf);
	WAIT_FOR(sink_inside(sink) == 1);
	assert_int_equal(databuffer_stop(buf, 0), 12);
	assert_int_equal(sink_lines(sink), 1);
	assert_non_null(strstr(sink->line, "12"));
	sink_open(sink);
	WAIT_FOR(sink_inside(sink) == 0);
	sink_free(sink);
}

/* A handler of what is left that uses the buffer while it stops. */
static databuffer *leaving;
static unsigned left_calls;

static void use_the_leaving(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	(void)item;
	(void)reason;
	(void)meta;
	left_calls++;
	CHECK(databuffer_insert_timed(leaving, "again", 5, 600000) == DATABUFFER_ESTOPPED);
	CHECK(databuffer_stop(leaving, 600000) == DATABUFFER_ESTOPPED);
	CHECK(databuffer_sync_flush(leaving, NULL, 0, 600000) == DATABUFFER_ESTOPPED);
	databuffer_stats_t stats = stats_of(leaving); /* which balance */
	CHECK(stats.inserted == 6);
	CHECK(stats.left + stats.held == 6);
	(void)databuffer_size(leaving);
}

static void handle_left_may_look_and_cannot_insert(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.handle_left = use_the_leaving;
	o.partitions = 2;
	leaving = start(&o);
	sink_close(sink);
	insert_numbers(leaving, 0, 6);
	databuffer_flush(leaving);
	WAIT_FOR(sink_inside(sink) == 2);
	assert_int_equal(databuffer_stop(leaving, 0), 6);
	assert_int_equal(left_calls, 6);
	sink_open(sink);
	WAIT_FOR(sink_inside(sink) == 0);
	sink_free(sink);
}

/* Holds the stop up that gives items back, until the test has seen what others were answered meanwhile. */
static _Atomic bool giving_back, may_give_back;

static void left_slowly(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	sink_left(item, reason, meta);
	giving_back = true;
	while (!may_give_back)
		pause_ms(1);
}

static void no_sync_flush_takes_what_is_left_for_flushed(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.handle_left = left_slowly;
	databuffer *buf = start(&o);
	giving_back = may_give_back = false;
	sink_close(sink);
	insert_numbers(buf, 0, 3);
	struct waiter before = { .buf = buf };
	pthread_t waiting = thread_run(sync_flush_and_wait, &before);
	WAIT_FOR(sink_inside(sink) == 1);

	struct stop_call call = { .buf = buf, .timeout_ms = 0 };
	pthread_t stopping = thread_run(call_stop, &call);
	WAIT_FOR(giving_back);
	databuffer_result result = { .size = 17 };
	assert_int_equal(databuffer_sync_flush(buf, &result, 1, PATIENCE_MS), DATABUFFER_ESTOPPED);
	assert_int_equal(result.size, 17);
	thread_join(waiting); /* its answer does not wait for handle_left */
	assert_int_equal(before.rc, DATABUFFER_ESTOPPED);

	may_give_back = true;
	thread_join(stopping);
	assert_int_equal(call.left, 3);
	sink_open(sink);
	WAIT_FOR(sink_inside(sink) == 0);
	sink_free(sink);
}

/* --- From its own handlers -------------------------------------------------------------------------------------------- */

static databuffer *own;
static _Atomic unsigned own_calls;

static void cannot_wait_for_itself(void)
{
	own_calls++;
	CHECK(databuffer_stop(own, 600000) == DATABUFFER_EDEADLK);
	CHECK(databuffer_sync_flush(own, NULL, 0, 600000) == DATABUFFER_EDEADLK);
	databuffer_partition_info info;
	CHECK(databuffer_flush(own) == 0);
	CHECK(databuffer_info(own, &info, 1) == 1);
	CHECK(databuffer_size(own) < 100);
	stats_of(own);
	CHECK(databuffer_dump(own, show_nothing, NULL) == 0);
}

static int reject_from_inside(databuffer_batch *batch, void *meta)
{
	(void)meta;
	cannot_wait_for_itself();
	if (databuffer_batch_size(batch) == 1)
		CHECK(databuffer_insert_timed(own, "more, from the handler", 8, 0) == 0 || own_calls > 20);
	return own_calls > 20 ? 0 : DATABUFFER_REJECT;
}

static void dead_from_inside(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	(void)item;
	(void)reason;
	(void)meta;
	cannot_wait_for_itself();
}

static void event_from_inside(const databuffer_event *event, void *ctx)
{
	(void)event;
	(void)ctx;
	cannot_wait_for_itself();
}

static void from_its_own_handlers_stop_and_sync_flush_are_refused(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.handle_flush = reject_from_inside;
	o.handle_dead = dead_from_inside;
	own = start(&o);
	own_calls = 0;
	assert_int_equal(databuffer_telemetry_attach("inside", DATABUFFER_FLUSH_START | DATABUFFER_FLUSH_STOP |
	                                             DATABUFFER_FLUSH_EXCEPTION, event_from_inside, NULL), 0);
	insert_numbers(own, 0, 3);
	flush_all(own);
	WAIT_FOR(own_calls > 20);
	flush_all(own);
	stop_clean(own);
	assert_int_equal(databuffer_telemetry_detach("inside"), 0);
	sink_free(sink);
}

static databuffer *other;

static int stops_another(databuffer_batch *batch, void *meta)
{
	struct sink *sink = meta;
	CHECK(databuffer_sync_flush(other, NULL, 0, PATIENCE_MS) == 0);
	CHECK(databuffer_stop(other, PATIENCE_MS) == 0);
	return sink_flush(batch, sink);
}

static void a_handler_may_stop_another_buffer(void **state)
{
	(void)state;
	struct sink *sink = sink_new(), *other_sink = sink_new();
	databuffer_options o = sink_options(other_sink);
	other = start(&o);
	o = sink_options(sink);
	o.handle_flush = stops_another;
	databuffer *buf = start(&o);
	insert_numbers(other, 0, 5);
	insert_numbers(buf, 0, 5);
	stop_clean(buf);
	assert_flushed(sink, 0, 5);
	assert_flushed(other_sink, 0, 5);
	sink_free(sink);
	sink_free(other_sink);
}

/* --- Beside each other --------------------------------------------------------------------------------------------------- */

struct racer {
	databuffer *buf;
	uint64_t accepted;
	unsigned number;
};

static void *insert_until_stopped(void *arg)
{
	struct racer *racer = arg;
	for (;;) {
		uint64_t number = (uint64_t)racer->number << 32 | racer->accepted;
		int rc = databuffer_insert_timed(racer->buf, &number, sizeof(number), 1);
		if (rc == DATABUFFER_ESTOPPED)
			return NULL;
		CHECK(rc == 0 || rc == DATABUFFER_ETIMEDOUT);
		racer->accepted += rc == 0;
	}
}

static void *look_until_stopped(void *arg)
{
	databuffer *buf = arg;
	databuffer_stats_t stats;
	for (;;) {
		databuffer_size(buf);
		databuffer_flush(buf);
		int rc = databuffer_dump(buf, show_nothing, NULL);
		CHECK(rc == 0 || rc == DATABUFFER_ESTOPPED);
		rc = databuffer_sync_flush(buf, NULL, 0, 2);
		CHECK(rc == 0 || rc == DATABUFFER_ETIMEDOUT || rc == DATABUFFER_ESTOPPED);
		rc = databuffer_stats(buf, &stats);
		if (rc == DATABUFFER_ESTOPPED)
			return NULL;
		CHECK(rc == 0);
		CHECK(stats.inserted == stats.held + stats.flushed + stats.dead + stats.dropped + stats.left);
	}
}

static void what_was_accepted_beside_a_stop_is_flushed_or_left(void **state)
{
	(void)state;
	uint64_t seed = test_seed();
	for (int round = 0; round < 30; round++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.partitions = 1 + round % 3;
		o.max_size = 16;
		databuffer *buf = start(&o);
		struct racer racers[3];
		pthread_t threads[4];
		for (unsigned i = 0; i < 3; i++) {
			racers[i] = (struct racer){ .buf = buf, .number = i };
			threads[i] = thread_run(insert_until_stopped, &racers[i]);
		}
		threads[3] = thread_run(look_until_stopped, buf);
		pause_ms((int64_t)dice_below(&seed, 4));
		int64_t left = databuffer_stop(buf, round % 4 == 0 ? 0 : PATIENCE_MS);
		assert_true(left >= 0);
		if (round % 4 != 0)
			assert_int_equal(left, 0);
		for (int i = 0; i < 4; i++)
			thread_join(threads[i]);
		assert_int_equal(sink_left_over(sink), left);

		/* Each exactly once; what a late handler took or will take may have been left as well. */
		uint64_t total = 0;
		pthread_mutex_lock(&sink->lock);
		for (unsigned i = 0; i < 3; i++) {
			unsigned char *seen = calloc(racers[i].accepted + 1, 1);
			for (size_t k = 0; k < sink->flushed.count; k++)
				if (sink->flushed.at[k] >> 32 == i) {
					assert_true((uint32_t)sink->flushed.at[k] < racers[i].accepted);
					assert_int_equal(seen[(uint32_t)sink->flushed.at[k]], 0);
					seen[(uint32_t)sink->flushed.at[k]] |= 1;
				}
			for (size_t k = 0; k < sink->left_count; k++)
				if (sink->left[k].number >> 32 == i) {
					assert_true((uint32_t)sink->left[k].number < racers[i].accepted);
					assert_int_equal(seen[(uint32_t)sink->left[k].number] & 2, 0);
					seen[(uint32_t)sink->left[k].number] |= 2;
				}
			for (uint64_t k = 0; k < racers[i].accepted; k++)
				assert_int_not_equal(seen[k], 0);
			free(seen);
			total += racers[i].accepted;
		}
		if (left == 0)
			assert_int_equal(total, sink->flushed.count);
		pthread_mutex_unlock(&sink->lock);
		if (left == 0)
			sink_free(sink);
		else
			sink_keep(sink);
	}
}

/* Holds an insert up where it has begun and is not yet in. */
static void hold_up(const databuffer_event *event, void *ctx)
{
	(void)event;
	struct sink *sink = ctx;
	pthread_mutex_lock(&sink->lock);
	sink->inside++;
	while (sink->closed)
		pthread_cond_wait(&sink->gate, &sink->lock);
	sink->inside--;
	pthread_mutex_unlock(&sink->lock);
}

static void an_insert_that_a_stop_overtakes_is_refused(void **state)
{
	(void)state;
	struct sink *sink = sink_new(), *gate = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	sink_close(gate);
	assert_int_equal(databuffer_telemetry_attach("gate", DATABUFFER_INSERT_START, hold_up, gate), 0);
	struct waiter waiter = { .buf = buf };
	pthread_t thread = thread_run(insert_and_wait, &waiter); /* its first into this buffer */
	WAIT_FOR(sink_inside(gate) == 1);
	assert_int_equal(databuffer_stop(buf, PATIENCE_MS), 0);
	sink_open(gate);
	thread_join(thread); /* whose end must not touch the buffer that is gone */
	assert_int_equal(waiter.rc, DATABUFFER_ESTOPPED);
	assert_int_equal(databuffer_telemetry_detach("gate"), 0);
	assert_int_equal(sink_calls(sink), 0);
	sink_free(sink);
	sink_free(gate);
}

static databuffer *elsewhere;

static void insert_elsewhere(const databuffer_event *event, void *ctx)
{
	if (strcmp(event->buffer, "overtaken") != 0)
		return;
	hold_up(event, ctx);
	insert_number(elsewhere, 1);
}

static void an_overtaken_insert_survives_what_its_telemetry_does_meanwhile(void **state)
{
	(void)state;
	struct sink *sink = sink_new(), *gate = sink_new();
	databuffer_options o = sink_options(sink);
	elsewhere = start(&o);
	o.name = "overtaken";
	databuffer *buf = start(&o);
	sink_close(gate);
	assert_int_equal(databuffer_telemetry_attach("gate", DATABUFFER_INSERT_START, insert_elsewhere, gate), 0);
	struct waiter waiter = { .buf = buf };
	pthread_t thread = thread_run(insert_and_wait, &waiter);
	WAIT_FOR(sink_inside(gate) == 1);
	assert_int_equal(databuffer_stop(buf, PATIENCE_MS), 0);
	sink_open(gate);
	thread_join(thread);
	assert_int_equal(waiter.rc, DATABUFFER_ESTOPPED);
	assert_int_equal(databuffer_telemetry_detach("gate"), 0);
	stop_clean(elsewhere);
	assert_flushed(sink, 1, 2);
	sink_free(sink);
	sink_free(gate);
}

static void *insert_once(void *arg)
{
	struct racer *racer = arg;
	int rc = try_number(racer->buf, racer->number);
	CHECK(rc == 0 || rc == DATABUFFER_ESTOPPED);
	racer->accepted = rc == 0;
	return NULL;
}

static void first_inserts_beside_a_stop_leave_nothing_behind(void **state)
{
	(void)state;
	for (uint64_t round = 0; round < scaled(2000); round++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		databuffer *buf = start(&o);
		struct racer racers[2];
		pthread_t threads[2];
		for (unsigned i = 0; i < 2; i++) {
			racers[i] = (struct racer){ .buf = buf, .number = i };
			threads[i] = thread_run(insert_once, &racers[i]);
		}
		stop_clean(buf);
		for (unsigned i = 0; i < 2; i++)
			thread_join(threads[i]);
		assert_int_equal(sink->flushed.count, racers[0].accepted + racers[1].accepted);
		sink_free(sink);
	}
}

static void buffers_come_and_go_by_the_hundred(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.name = "again";
	for (uint64_t i = 0; i < 700; i++) {
		databuffer *buf = start(&o);
		assert_int_equal(databuffer_size(buf), 0);
		insert_number(buf, i);
		stop_clean(buf);
	}
	assert_flushed(sink, 0, 700);
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_buffer_starts_empty),
		cmocka_unit_test(a_refused_start_leaves_the_handle_alone),
		cmocka_unit_test(without_a_place_for_it_the_sentence_goes_to_the_log),
		cmocka_unit_test(the_options_are_copied),
		cmocka_unit_test(find_knows_the_running_and_nobody_else),
		cmocka_unit_test(a_name_is_taken_until_its_buffer_has_stopped),
		cmocka_unit_test(of_threads_that_start_one_name_at_once_one_wins),
		cmocka_unit_test(null_is_an_error_everywhere),
		cmocka_unit_test(null_where_there_must_be_something_is_an_error),
		cmocka_unit_test(a_stopped_buffer_answers_so_for_a_while),
		cmocka_unit_test(stop_flushes_what_is_held),
		cmocka_unit_test(stop_flushes_every_partition),
		cmocka_unit_test(stop_leaves_no_handler_running),
		cmocka_unit_test(of_two_stops_one_stops_and_one_is_told),
		cmocka_unit_test(while_a_stop_waits_all_else_is_refused),
		cmocka_unit_test(stop_ends_the_waits_of_others),
		cmocka_unit_test(a_hung_handler_holds_stop_up_to_its_deadline_and_no_longer),
		cmocka_unit_test(a_handler_that_outlives_its_buffer_still_has_its_batch),
		cmocka_unit_test(what_is_left_comes_partition_by_partition),
		cmocka_unit_test(what_a_sink_refused_to_the_end_is_left_with_its_last_answer),
		cmocka_unit_test(stop_cuts_a_backoff_short),
		cmocka_unit_test(a_negative_timeout_is_the_timeout_option),
		cmocka_unit_test(without_handle_left_what_is_left_is_counted_and_logged),
		cmocka_unit_test(handle_left_may_look_and_cannot_insert),
		cmocka_unit_test(no_sync_flush_takes_what_is_left_for_flushed),
		cmocka_unit_test(from_its_own_handlers_stop_and_sync_flush_are_refused),
		cmocka_unit_test(a_handler_may_stop_another_buffer),
		cmocka_unit_test(what_was_accepted_beside_a_stop_is_flushed_or_left),
		cmocka_unit_test(an_insert_that_a_stop_overtakes_is_refused),
		cmocka_unit_test(an_overtaken_insert_survives_what_its_telemetry_does_meanwhile),
		cmocka_unit_test(first_inserts_beside_a_stop_leave_nothing_behind),
		cmocka_unit_test(buffers_come_and_go_by_the_hundred),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
