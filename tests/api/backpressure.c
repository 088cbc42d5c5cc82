/* SPDX-License-Identifier: MIT */
/* When handlers are slower than inserts: how much is held, who waits, how long, and what ends the wait. */
#include "api/support.h"

/* Inserts numbers from `from` on without waiting until one is refused; returns how many went in. */
static uint64_t fill_up(databuffer *buf, uint64_t from)
{
	uint64_t number = from;
	int rc;
	while ((rc = try_number(buf, number)) == 0)
		number++;
	assert_int_equal(rc, DATABUFFER_ETIMEDOUT);
	return number - from;
}

/* The same with items of len bytes. */
static uint64_t fill_up_with(databuffer *buf, size_t len)
{
	static const char item[1000];
	uint64_t count = 0;
	int rc;
	while ((rc = databuffer_insert_timed(buf, item, len, 0)) == 0)
		count++;
	assert_int_equal(rc, DATABUFFER_ETIMEDOUT);
	return count;
}

/* --- The bound of items --------------------------------------------------------------------------------- */

static void twenty_are_accepted_and_the_next_times_out(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	databuffer *buf = start(&o);
	sink_close(sink);
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(try_number(buf, i), 0);
	uint64_t refused = 77;
	int64_t begin = now_ms();
	assert_int_equal(databuffer_insert_timed(buf, &refused, 8, 60), DATABUFFER_ETIMEDOUT);
	assert_in_range(now_ms() - begin, 60, 60 + 10000);
	assert_int_equal(databuffer_size(buf), 20);
	assert_int_equal(stats_of(buf).inserted, 20);
	assert_int_equal(stats_of(buf).refused, 1);
	assert_int_equal(stats_of(buf).waits, 1);
	sink_open(sink);
	stop_clean(buf);
	assert_flushed(sink, 0, 20); /* the refused one is not among them */
	ASSERT_CUTS(sink, 10, 10);
	sink_free(sink);
}

static void an_insert_waits_for_the_timeout_option(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 2;
	o.timeout = 60;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 4);
	uint64_t numbers[2] = { 7, 8 };
	databuffer_item items[2] = { { &numbers[0], 8 }, { &numbers[1], 8 } };
	for (int call = 0; call < 5; call++) {
		int64_t begin = now_ms(), rc = 0;
		switch (call) {
		case 0:
			rc = databuffer_insert(buf, numbers, 8);
			break;
		case 1:
			rc = databuffer_insert_timed(buf, numbers, 8, -1);
			break;
		case 2:
			rc = databuffer_insert_keyed(buf, 1, numbers, 8);
			break;
		case 3:
			rc = databuffer_insert_batch(buf, items, 2);
			break;
		case 4:
			rc = databuffer_insert_array(buf, numbers, 2, 8);
			break;
		}
		assert_int_equal(rc, DATABUFFER_ETIMEDOUT);
		assert_in_range(now_ms() - begin, 60, 60 + 10000);
		assert_int_equal(databuffer_size(buf), 4);
	}
	sink_open(sink);
	stop_clean(buf);
	assert_flushed(sink, 0, 4);
	sink_free(sink);
}

static void a_timeout_of_nothing_does_not_wait(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 2;
	o.timeout = 3600000;
	databuffer *buf = start(&o);
	sink_close(sink);
	uint64_t numbers[2] = { 7, 8 };
	assert_int_equal(fill_up(buf, 0), 4);
	assert_int_equal(databuffer_insert_keyed_timed(buf, 1, numbers, 8, 0), DATABUFFER_ETIMEDOUT);
	assert_int_equal(databuffer_insert_array_timed(buf, numbers, 2, 8, 0), DATABUFFER_ETIMEDOUT);
	assert_int_equal(stats_of(buf).waits, 0);
	assert_int_equal(stats_of(buf).refused, 3);
	sink_open(sink);
	stop_clean(buf);
	assert_flushed(sink, 0, 4);
	sink_free(sink);
}

static void in_flight_and_queued_batches_add_to_the_bound(void **state)
{
	(void)state;
	static const int64_t in_flight[] = { 1, 2, 1, 3, 5 }, queued[] = { 1, 0, 3, 2, 5 };
	for (int i = 0; i < 5; i++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.max_size = 10;
		o.max_in_flight = in_flight[i];
		o.max_queued = queued[i];
		databuffer *buf = start(&o);
		sink_close(sink);
		uint64_t bound = (uint64_t)(1 + in_flight[i] + queued[i]) * 10;
		assert_int_equal(fill_up(buf, 0), bound);
		WAIT_FOR(sink_inside(sink) == in_flight[i]);
		databuffer_partition_info info = info_of(buf, 0);
		assert_int_equal(info.in_flight, in_flight[i]);
		assert_int_equal(info.size, bound);
		sink_open(sink);
		stop_clean(buf);
		assert_int_equal(sink->most_inside, in_flight[i]);
		assert_flushed_once(sink, 0, bound);
		for (size_t k = 0; k < sink->call_count; k++)
			assert_int_equal(sink->calls[k].size, 10);
		sink_free(sink);
	}
}

static void jitter_widens_the_bound_no_further_than_itself(void **state)
{
	(void)state;
	for (int64_t seed = 1; seed < 20; seed++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.max_size = 10;
		o.max_size_jitter = 5;
		o.seed = seed;
		databuffer *buf = start(&o);
		sink_close(sink);
		uint64_t count = fill_up(buf, 0);
		assert_in_range(count, 20, 30);
		sink_open(sink);
		stop_clean(buf);
		assert_flushed(sink, 0, count);
		sink_free(sink);
	}
}

static void small_flushes_leave_room_for_a_batch(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	databuffer *buf = start(&o);
	sink_close(sink);
	uint64_t count = 0;
	while (try_number(buf, count) == 0) {
		count++;
		assert_int_equal(databuffer_flush(buf), 0);
	}
	assert_in_range(count, 11, 20); /* one is in flight */
	sink_open(sink);
	WAIT_FOR(sink_flushed(sink) == count); /* all of it was asked for */
	count += fill_up(buf, count);
	stop_clean(buf);
	assert_flushed(sink, 0, count);
	sink_free(sink);
}

struct filler {
	databuffer *buf;
	uint64_t accepted;
};

static void *fill_until_refused(void *arg)
{
	struct filler *filler = arg;
	int rc;
	while ((rc = try_number(filler->buf, 0)) == 0)
		filler->accepted++;
	CHECK(rc == DATABUFFER_ETIMEDOUT);
	return NULL;
}

static void several_threads_fill_it_to_the_last_place(void **state)
{
	(void)state;
	uint64_t seed = test_seed();
	for (uint64_t round = 0; round < scaled(400); round++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.max_size = 1 + (int64_t)dice_below(&seed, 40);
		o.partitions = 1 + (int64_t)dice_below(&seed, 3);
		databuffer *buf = start(&o);
		sink_close(sink);
		struct filler fillers[3];
		pthread_t threads[3];
		uint64_t total = 0;
		for (int i = 0; i < 3; i++) {
			fillers[i] = (struct filler){ .buf = buf };
			threads[i] = thread_run(fill_until_refused, &fillers[i]);
		}
		for (int i = 0; i < 3; i++) {
			thread_join(threads[i]);
			total += fillers[i].accepted;
		}
		assert_int_equal(total, 2 * o.max_size * o.partitions);
		assert_int_equal(databuffer_size(buf), total);
		sink_open(sink);
		stop_clean(buf);
		assert_int_equal(sink->flushed.count, total);
		sink_free(sink);
	}
}

static int eio_while_it_is_ill(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)batch;
	(void)call;
	return sink->ctx ? 0 : -EIO;
}

static void what_is_kept_for_another_try_counts(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	sink->answer = eio_while_it_is_ill;
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	o.retry_min = 1;
	o.retry_max = 2;
	databuffer *buf = start(&o);
	assert_int_equal(fill_up(buf, 0), 20);
	WAIT_FOR(sink_calls(sink) >= 5);
	assert_int_equal(try_number(buf, 20), DATABUFFER_ETIMEDOUT);
	assert_int_equal(databuffer_size(buf), 20);
	sink_close(sink);
	WAIT_FOR(sink_inside(sink) == 1);
	sink->ctx = sink; /* the sink is well again */
	sink_open(sink);
	stop_clean(buf);
	assert_flushed(sink, 0, 20);
	sink_free(sink);
}

/* --- The bound of bytes --------------------------------------------------------------------------------- */

static void bytes_are_bounded_as_items_are(void **state)
{
	(void)state;
	static const size_t lengths[] = { 1, 10, 30, 50, 51, 100 }, accepted[] = { 200, 20, 6, 4, 3, 2 };
	for (int i = 0; i < 6; i++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.max_bytes = 100;
		databuffer *buf = start(&o);
		sink_close(sink);
		assert_int_equal(fill_up_with(buf, lengths[i]), accepted[i]);
		assert_int_equal(stats_of(buf).held_bytes, accepted[i] * lengths[i]);
		sink_open(sink);
		stop_clean(buf);
		assert_int_equal(sink->flushed.count, accepted[i]);
		sink_free(sink);
	}
}

static void whatever_their_lengths_the_bytes_stay_in_their_bound(void **state)
{
	(void)state;
	uint64_t seed = test_seed();
	static const char item[1000];
	for (int round = 0; round < 100; round++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		size_t max = 10 + dice_below(&seed, 990);
		o.max_bytes = (int64_t)max;
		o.max_queued = (int64_t)dice_below(&seed, 3);
		databuffer *buf = start(&o);
		sink_close(sink);
		size_t bytes = 0, bound = max * (2 + (size_t)o.max_queued);
		for (;;) {
			size_t len = 1 + dice_below(&seed, max);
			int rc = databuffer_insert_timed(buf, item, len, 0);
			if (rc == 0) {
				bytes += len;
				continue;
			}
			assert_int_equal(rc, DATABUFFER_ETIMEDOUT);
			assert_true(bytes + len > max); /* a whole batch of room there always is */
			break;
		}
		assert_in_range(bytes, 1, bound);
		databuffer_partition_info info = info_of(buf, 0);
		assert_int_equal(info.bytes, bytes);
		sink_open(sink);
		stop_clean(buf);
		size_t flushed = 0;
		for (size_t i = 0; i < sink->call_count; i++) {
			assert_in_range(sink->calls[i].bytes, 1, max);
			flushed += sink->calls[i].bytes;
		}
		assert_int_equal(flushed, bytes);
		sink_free(sink);
	}
}

/* --- The other partitions ------------------------------------------------------------------------------- */

static void other_partitions_are_tried_before_anybody_waits(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 3;
	o.max_size = 5;
	databuffer *buf = start(&o);
	sink_close(sink);
	/* One partition is full by keyed inserts; round-robin comes by it every third time. */
	uint64_t number = 0;
	while (databuffer_insert_keyed_timed(buf, 1, &number, 8, 0) == 0)
		number++;
	assert_int_equal(number, 10);
	assert_int_equal(fill_up(buf, 10), 20);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(info_of(buf, i).size, 10);
	assert_int_equal(stats_of(buf).waits, 0);
	sink_open(sink);
	stop_clean(buf);
	assert_flushed_once(sink, 0, 30);
	sink_free(sink);
}

/* Handlers of all partitions but one hang. */
static int only_partition_1_answers(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	_Atomic bool *released = sink->ctx;
	(void)batch;
	while (call->partition != 1 && !*released)
		pause_ms(1);
	return 0;
}

static void one_partition_that_flows_is_enough(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	_Atomic bool released = false;
	sink->answer = only_partition_1_answers;
	sink->ctx = &released;
	databuffer_options o = sink_options(sink);
	o.partitions = 4;
	o.max_size = 5;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	uint64_t n = 30 + scaled(2000) / 5 * 5;
	insert_numbers(buf, 0, n); /* none fails */
	for (unsigned i = 0; i < 4; i++)
		if (i != 1)
			assert_int_equal(info_of(buf, i).size, 10);
	WAIT_FOR(sink_flushed(sink) == n - 30);
	released = true;
	stop_clean(buf);
	assert_flushed_once(sink, 0, n);
	sink_free(sink);
}

/* --- Waiting -------------------------------------------------------------------------------------------- */

struct waiter {
	databuffer *buf;
	uint64_t numbers[3];
	size_t n; /* of them, in one insert */
	int64_t rc;
	_Atomic bool back;
};

static void *wait_for_room(void *arg)
{
	struct waiter *waiter = arg;
	waiter->rc = databuffer_insert_array_timed(waiter->buf, waiter->numbers, waiter->n, 8, 3600000);
	waiter->back = true;
	return NULL;
}

static void a_waiting_insert_goes_on_when_there_is_room(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	databuffer *buf = start(&o);
	sink_close(sink);
	assert_int_equal(fill_up(buf, 0), 20);
	struct waiter waiter = { .buf = buf, .numbers = { 20, 21, 22 }, .n = 3 };
	pthread_t thread = thread_run(wait_for_room, &waiter);
	WAIT_FOR(stats_of(buf).waits == 1);
	assert_false(waiter.back);
	assert_int_equal(databuffer_size(buf), 20);
	sink_let_pass(sink, 1);
	WAIT_FOR(waiter.back); /* of its hour it took a moment */
	thread_join(thread);
	assert_int_equal(waiter.rc, 0);
	assert_int_equal(databuffer_size(buf), 13);
	sink_open(sink);
	stop_clean(buf);
	assert_flushed(sink, 0, 23);
	sink_free(sink);
}

static void all_who_wait_get_in_as_room_comes(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 2;
	o.partitions = 2;
	databuffer *buf = start(&o);
	sink_close(sink);
	assert_int_equal(fill_up(buf, 0), 8);
	enum { WAITERS = 12 };
	struct waiter waiters[WAITERS];
	pthread_t threads[WAITERS];
	for (unsigned i = 0; i < WAITERS; i++) {
		waiters[i] = (struct waiter){ .buf = buf, .numbers = { 8 + i }, .n = 1 };
		threads[i] = thread_run(wait_for_room, &waiters[i]);
	}
	WAIT_FOR(stats_of(buf).waits == WAITERS);
	for (unsigned pass = 1; pass <= 3; pass++) { /* two items out, two of them in */
		sink_let_pass(sink, 1);
		WAIT_FOR(stats_of(buf).inserted == 8 + 2 * pass);
		assert_int_equal(databuffer_size(buf), 8);
	}
	sink_open(sink);
	for (unsigned i = 0; i < WAITERS; i++) {
		thread_join(threads[i]);
		assert_int_equal(waiters[i].rc, 0);
	}
	stop_clean(buf);
	assert_flushed_once(sink, 0, 8 + WAITERS);
	sink_free(sink);
}

/* The first batch is rejected; of its halves the second waits for a retry that will not come soon. */
static int reject_then_hang(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	if (sink->ctx)
		return 0;
	if (call->size == 10)
		return DATABUFFER_REJECT;
	databuffer_item first = databuffer_batch_at(batch, 0);
	return number_of(&first) < 5 ? 0 : -EIO;
}

static void half_a_batch_is_room(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	sink->answer = reject_then_hang;
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	o.retry_min = o.retry_max = 3600000;
	databuffer *buf = start(&o);
	sink_close(sink);
	assert_int_equal(fill_up(buf, 0), 20);
	struct waiter waiter = { .buf = buf, .numbers = { 20, 21, 22 }, .n = 3 };
	pthread_t thread = thread_run(wait_for_room, &waiter);
	WAIT_FOR(stats_of(buf).waits == 1);
	sink_open(sink);
	WAIT_FOR(sink_flushed(sink) == 5);
	WAIT_FOR(waiter.back);
	thread_join(thread);
	assert_int_equal(waiter.rc, 0);
	assert_int_equal(databuffer_size(buf), 18);
	/* Until its second half has failed: a batch that does so in a stop waits for retry_min. */
	WAIT_FOR(info_of(buf, 0).next_retry_ms > 0);
	sink->ctx = sink;
	stop_clean(buf);
	assert_flushed(sink, 0, 23);
	sink_free(sink);
}

static void a_batch_whose_memory_is_held_is_room_when_it_is_flushed(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	databuffer *buf = start(&o);
	databuffer_slot slot;
	assert_int_equal(databuffer_reserve(buf, 8, &slot), 0); /* in the memory of the first batch */
	sink_close(sink);
	insert_numbers(buf, 0, 5);
	databuffer_flush(buf);
	uint64_t count = 5 + fill_up(buf, 5);
	assert_int_equal(count, 20);
	struct waiter waiter = { .buf = buf, .numbers = { 20, 21, 22 }, .n = 3 };
	pthread_t thread = thread_run(wait_for_room, &waiter);
	WAIT_FOR(stats_of(buf).waits == 1);
	sink_let_pass(sink, 1);
	WAIT_FOR(waiter.back);
	thread_join(thread);
	assert_int_equal(waiter.rc, 0);
	assert_int_equal(databuffer_abort(&slot), 0);
	sink_open(sink);
	stop_clean(buf);
	assert_flushed(sink, 0, 23);
	sink_free(sink);
}

struct dumper {
	databuffer *buf;
	_Atomic bool looking, released;
};

static int look_on(const databuffer_item *item, unsigned partition, void *ctx)
{
	struct dumper *dumper = ctx;
	(void)item;
	(void)partition;
	dumper->looking = true;
	while (!dumper->released)
		pause_ms(1);
	return 1;
}

static void *dump_slowly(void *arg)
{
	struct dumper *dumper = arg;
	CHECK(databuffer_dump(dumper->buf, look_on, dumper) == 1);
	return NULL;
}

static void a_batch_that_a_dump_looks_at_is_room_when_it_is_flushed(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	databuffer *buf = start(&o);
	sink_close(sink);
	assert_int_equal(fill_up(buf, 0), 20);
	WAIT_FOR(sink_inside(sink) == 1);
	struct dumper dumper = { .buf = buf };
	pthread_t looking = thread_run(dump_slowly, &dumper);
	WAIT_FOR(dumper.looking);
	struct waiter waiter = { .buf = buf, .numbers = { 20, 21, 22 }, .n = 3 };
	pthread_t thread = thread_run(wait_for_room, &waiter);
	WAIT_FOR(stats_of(buf).waits == 1);
	sink_let_pass(sink, 1);
	WAIT_FOR(waiter.back);
	thread_join(thread);
	assert_int_equal(waiter.rc, 0);
	dumper.released = true;
	thread_join(looking);
	sink_open(sink);
	stop_clean(buf);
	assert_flushed(sink, 0, 23);
	sink_free(sink);
}

/* --- All of it at once ---------------------------------------------------------------------------------- */

struct producer {
	databuffer *buf;
	uint64_t number, n;
};

static void *produce(void *arg)
{
	struct producer *producer = arg;
	for (uint64_t i = 0; i < producer->n; i++) {
		uint64_t number = producer->number * producer->n + i;
		CHECK(databuffer_insert_timed(producer->buf, &number, 8, PATIENCE_MS) == 0);
	}
	return NULL;
}

static void under_a_slow_sink_the_bound_holds_and_nothing_is_lost(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 16;
	o.max_queued = 1;
	databuffer *buf = start(&o);
	sink_close(sink);
	struct producer producers[3];
	pthread_t threads[3];
	uint64_t n = 100 + scaled(20000), total = 3 * n;
	for (unsigned i = 0; i < 3; i++) {
		producers[i] = (struct producer){ .buf = buf, .number = i, .n = n };
		threads[i] = thread_run(produce, &producers[i]);
	}
	WAIT_FOR(databuffer_size(buf) == 48);
	while (sink_flushed(sink) < total) {
		assert_in_range(databuffer_size(buf), 0, 48);
		if (stats_of(buf).inserted == total)
			databuffer_flush(buf);
		sink_let_pass(sink, 1);
	}
	for (unsigned i = 0; i < 3; i++)
		thread_join(threads[i]);
	sink_open(sink);
	stop_clean(buf);
	assert_flushed_once(sink, 0, total);
	uint64_t next[3] = { 0, n, 2 * n };
	for (size_t i = 0; i < total; i++) /* and each thread's in order */
		assert_int_equal(sink->flushed.at[i], next[sink->flushed.at[i] / n]++);
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(twenty_are_accepted_and_the_next_times_out),
		cmocka_unit_test(an_insert_waits_for_the_timeout_option),
		cmocka_unit_test(a_timeout_of_nothing_does_not_wait),
		cmocka_unit_test(in_flight_and_queued_batches_add_to_the_bound),
		cmocka_unit_test(jitter_widens_the_bound_no_further_than_itself),
		cmocka_unit_test(small_flushes_leave_room_for_a_batch),
		cmocka_unit_test(several_threads_fill_it_to_the_last_place),
		cmocka_unit_test(what_is_kept_for_another_try_counts),
		cmocka_unit_test(bytes_are_bounded_as_items_are),
		cmocka_unit_test(whatever_their_lengths_the_bytes_stay_in_their_bound),
		cmocka_unit_test(other_partitions_are_tried_before_anybody_waits),
		cmocka_unit_test(one_partition_that_flows_is_enough),
		cmocka_unit_test(a_waiting_insert_goes_on_when_there_is_room),
		cmocka_unit_test(all_who_wait_get_in_as_room_comes),
		cmocka_unit_test(half_a_batch_is_room),
		cmocka_unit_test(a_batch_whose_memory_is_held_is_room_when_it_is_flushed),
		cmocka_unit_test(a_batch_that_a_dump_looks_at_is_room_when_it_is_flushed),
		cmocka_unit_test(under_a_slow_sink_the_bound_holds_and_nothing_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
