/* SPDX-License-Identifier: MIT */
/* Looking into a running buffer: dump, size, info and stats see all that is there, and move nothing. */
#include "api/support.h"

/* What a dump showed. */
struct shown {
	uint64_t *numbers;
	unsigned *partitions;
	size_t count, room;
	size_t end_at; /* the visitor's answer is not 0 at that one */
	int answer;
};

static int show(const databuffer_item *item, unsigned partition, void *ctx)
{
	struct shown *shown = ctx;
	if (shown->count == shown->room) {
		shown->room = shown->room ? 2 * shown->room : 64;
		shown->numbers = realloc(shown->numbers, shown->room * sizeof(*shown->numbers));
		shown->partitions = realloc(shown->partitions, shown->room * sizeof(*shown->partitions));
		CHECK(shown->numbers && shown->partitions);
	}
	shown->numbers[shown->count] = number_of(item);
	shown->partitions[shown->count] = partition;
	return ++shown->count == shown->end_at ? shown->answer : 0;
}

static void shown_free(struct shown *shown)
{
	free(shown->numbers);
	free(shown->partitions);
}

/* The dump of a buffer of one partition shows exactly these numbers, in order. */
static void assert_dump(databuffer *buf, uint64_t from, uint64_t to)
{
	struct shown shown = { 0 };
	assert_int_equal(databuffer_dump(buf, show, &shown), 0);
	for (size_t i = 0; i < shown.count && from + i < to; i++)
		assert_int_equal(shown.numbers[i], from + i);
	assert_int_equal(shown.count, to - from);
	assert_int_equal(databuffer_size(buf), to - from);
	shown_free(&shown);
}

/* --- Dump ----------------------------------------------------------------------------------------------- */

static void dump_shows_what_is_open_queued_and_in_flight(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 4;
	o.max_queued = 2;
	databuffer *buf = start(&o);
	assert_dump(buf, 0, 0);
	sink_close(sink);
	for (uint64_t i = 0; i < 14; i++) {
		insert_number(buf, i);
		assert_dump(buf, 0, i + 1);
	}
	WAIT_FOR(sink_inside(sink) == 1);
	databuffer_partition_info info = info_of(buf, 0);
	assert_int_equal(info.in_flight, 1);
	assert_int_equal(info.queued, 2);
	assert_dump(buf, 0, 14);
	sink_let_pass(sink, 1);
	WAIT_FOR(sink_calls(sink) == 2);
	assert_dump(buf, 4, 14); /* the others are gone */
	sink_open(sink);
	stop_clean(buf);
	assert_flushed(sink, 0, 14); /* it moved none */
	ASSERT_CUTS(sink, 4, 4, 4, 2);
	sink_free(sink);
}

static void dump_goes_from_partition_to_partition(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 3;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 30);
	struct shown shown = { 0 };
	assert_int_equal(databuffer_dump(buf, show, &shown), 0);
	assert_int_equal(shown.count, 30);
	unsigned seen[30] = { 0 };
	for (size_t i = 0; i < 30; i++) {
		assert_int_equal(shown.partitions[i], i / 10);
		if (i % 10 > 0)
			assert_int_equal(shown.numbers[i], shown.numbers[i - 1] + 3);
		seen[shown.numbers[i]]++;
	}
	for (size_t i = 0; i < 30; i++)
		assert_int_equal(seen[i], 1);
	shown_free(&shown);
	stop_clean(buf);
	sink_free(sink);
}

static void the_visitor_ends_it_with_an_answer_of_its_own(void **state)
{
	(void)state;
	static const int answers[] = { 1, -1, 42, DATABUFFER_EINVAL };
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 2;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	for (size_t end_at = 1; end_at <= 10; end_at++) {
		struct shown shown = { .end_at = end_at, .answer = answers[end_at % 4] };
		assert_int_equal(databuffer_dump(buf, show, &shown), shown.answer);
		assert_int_equal(shown.count, end_at);
		shown_free(&shown);
	}
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 10);
	sink_free(sink);
}

static int eio_until_it_is_well(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)batch;
	(void)call;
	return *(_Atomic bool *)sink->ctx ? 0 : -EIO;
}

static void dump_shows_what_waits_for_another_try(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	_Atomic bool well = false;
	databuffer_options o = sink_options(sink);
	sink->answer = eio_until_it_is_well;
	sink->ctx = &well;
	o.retry_min = o.retry_max = 3600000;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 7);
	databuffer_flush(buf);
	WAIT_FOR(info_of(buf, 0).next_retry_ms > 0);
	insert_numbers(buf, 7, 9);
	assert_dump(buf, 0, 9);
	well = true;
	stop_clean(buf);
	sink_free(sink);
}

static void dump_shows_what_is_with_a_late_handler(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.flush_timeout = 20;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 7);
	databuffer_flush(buf);
	WAIT_FOR(info_of(buf, 0).stuck == 1);
	insert_numbers(buf, 7, 9);
	assert_dump(buf, 0, 9);
	sink_open(sink);
	stop_clean(buf);
	sink_free(sink);
}

static int reject_ten(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)batch;
	return call->size == 10 ? DATABUFFER_REJECT : 0;
}

static void dump_leaves_out_the_half_that_has_its_outcome(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = reject_ten;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 10);
	databuffer_flush(buf);
	sink_let_pass(sink, 2); /* the whole, and the first half */
	WAIT_FOR(sink_calls(sink) == 3);
	assert_dump(buf, 5, 10);
	sink_open(sink);
	stop_clean(buf);
	assert_flushed(sink, 0, 10);
	sink_free(sink);
}

static void a_reserved_slot_is_not_held(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	databuffer_slot slot;
	uint64_t number = 3;
	insert_numbers(buf, 0, 2);
	assert_int_equal(databuffer_reserve(buf, 8, &slot), 0);
	insert_number(buf, 2);
	assert_dump(buf, 0, 3);
	assert_int_equal(info_of(buf, 0).bytes, 24);
	assert_int_equal(stats_of(buf).inserted, 3);
	flush_all(buf);
	memcpy(slot.data, &number, 8);
	assert_int_equal(databuffer_commit(&slot), 0);
	assert_dump(buf, 3, 4);
	stop_clean(buf);
	sink_free(sink);
}

/* A visitor that takes its time. */
struct slow {
	databuffer *buf;
	_Atomic bool looking, released;
	uint64_t numbers[20];
	size_t count;
};

static int look_slowly(const databuffer_item *item, unsigned partition, void *ctx)
{
	struct slow *slow = ctx;
	(void)partition;
	slow->looking = true;
	while (!slow->released)
		pause_ms(1);
	CHECK(item->len == 8 && slow->count < 20);
	slow->numbers[slow->count++] = number_of(item);
	return 0;
}

static void *dump_slowly(void *arg)
{
	struct slow *slow = arg;
	CHECK(databuffer_dump(slow->buf, look_slowly, slow) == 0);
	return NULL;
}

static void what_a_dump_shows_stays_there_while_it_is_looked_at(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 15); /* 10 in flight, 5 open */
	struct slow slow = { .buf = buf };
	pthread_t thread = thread_run(dump_slowly, &slow);
	WAIT_FOR(slow.looking);
	sink_open(sink);
	for (uint64_t i = 15; i < 215; i++) { /* all memory is used, again and again */
		insert_number(buf, i);
		if (i % 7 == 0)
			flush_all(buf);
	}
	slow.released = true;
	thread_join(thread);
	assert_int_equal(slow.count, 15);
	for (size_t i = 0; i < 15; i++)
		assert_int_equal(slow.numbers[i], i);
	stop_clean(buf);
	assert_flushed(sink, 0, 215);
	sink_free(sink);
}

static void dump_shows_more_batches_than_there_was_memory_for_at_first(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_stuck = 0;
	databuffer *buf = start(&o);
	databuffer_slot slots[8];
	/* Each holds the memory of a batch, and has other mapped in its place. */
	for (uint64_t i = 0; i < 8; i++) {
		assert_int_equal(databuffer_reserve(buf, 8, &slots[i]), 0);
		insert_number(buf, i);
		flush_all(buf);
	}
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(databuffer_abort(&slots[i]), 0);
	sink_close(sink);
	for (uint64_t i = 0; i < 30; i++) {
		insert_number(buf, 100 + i);
		databuffer_flush(buf);
		assert_dump(buf, 100, 100 + i + 1);
	}
	sink_open(sink);
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 38);
	sink_free(sink);
}

struct producer {
	databuffer *buf;
	uint64_t number, n;
	_Atomic bool done;
};

static void *produce(void *arg)
{
	struct producer *producer = arg;
	for (uint64_t i = 0; i < producer->n; i++) {
		uint64_t number = producer->number << 32 | i;
		CHECK(databuffer_insert_timed(producer->buf, &number, 8, PATIENCE_MS) == 0);
	}
	producer->done = true;
	return NULL;
}

static void a_dump_beside_inserts_shows_one_moment(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 300;
	o.max_queued = 2;
	databuffer *buf = start(&o);
	struct producer producers[3];
	pthread_t threads[3];
	uint64_t n = scaled(200000) / 100 * 100 + 1; /* so that there is something to see at the end, too */
	uint64_t dumps = 0, sum = 0;
	for (unsigned i = 0; i < 3; i++) {
		producers[i] = (struct producer){ .buf = buf, .number = i, .n = n };
		threads[i] = thread_run(produce, &producers[i]);
	}
	uint64_t begin[3] = { 0 }, end[3] = { 0 };
	while (!producers[0].done || !producers[1].done || !producers[2].done || dumps < 10 || sum == 0) {
		struct shown shown = { 0 };
		uint64_t next[3] = { UINT64_MAX, UINT64_MAX, UINT64_MAX };
		assert_int_equal(databuffer_dump(buf, show, &shown), 0);
		/* Of each thread one run of its numbers; it neither begins nor ends before that of an earlier dump. */
		for (size_t i = 0; i < shown.count; i++) {
			uint64_t who = shown.numbers[i] >> 32, number = (uint32_t)shown.numbers[i];
			assert_true(who < 3);
			if (next[who] == UINT64_MAX) {
				assert_true(number >= begin[who]);
				begin[who] = number;
			} else {
				assert_int_equal(number, next[who]);
			}
			next[who] = number + 1;
		}
		for (int i = 0; i < 3; i++) {
			if (next[i] == UINT64_MAX)
				continue;
			assert_true(next[i] >= end[i]);
			end[i] = next[i];
		}
		assert_in_range(shown.count, 0, 4 * 300);
		sum += shown.count;
		dumps++;
		shown_free(&shown);
	}
	for (unsigned i = 0; i < 3; i++)
		thread_join(threads[i]);
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 3 * n);
	sink_free(sink);
}

/* --- Size and info -------------------------------------------------------------------------------------- */

static void size_counts_items_of_whatever_length(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 2;
	databuffer *buf = start(&o);
	assert_int_equal(databuffer_size(NULL), 0);
	char item[100] = { 0 };
	for (size_t i = 0; i < 100; i++) {
		assert_int_equal(databuffer_size(buf), i);
		assert_int_equal(databuffer_insert(buf, item, i), 0); /* nothing is something */
	}
	assert_int_equal(databuffer_size(buf), 100);
	assert_int_equal(info_of(buf, 0).bytes + info_of(buf, 1).bytes, 99 * 100 / 2);
	flush_all(buf);
	assert_int_equal(databuffer_size(buf), 0);
	assert_int_equal(info_of(buf, 0).bytes + info_of(buf, 1).bytes, 0);
	stop_clean(buf);
	sink_free(sink);
}

static void info_fills_in_as_many_as_there_is_room_for(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 3;
	databuffer *buf = start(&o);
	databuffer_partition_info infos[5], untouched;
	memset(&untouched, 0x5a, sizeof(untouched));
	for (size_t n = 0; n <= 5; n++) {
		memset(infos, 0x5a, sizeof(infos));
		assert_int_equal(databuffer_info(buf, n > 0 ? infos : NULL, n), 3);
		for (size_t i = 0; i < 5; i++) {
			if (i < n && i < 3)
				assert_int_equal(infos[i].partition, i);
			else
				assert_memory_equal(&infos[i], &untouched, sizeof(untouched));
		}
	}
	stop_clean(buf);
	sink_free(sink);
}

static void every_field_of_info_says_what_it_should(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	_Atomic bool well = false;
	databuffer_options o = sink_options(sink);
	sink->answer = eio_until_it_is_well;
	sink->ctx = &well;
	o.name = "watched";
	o.max_size = 10;
	o.max_size_jitter = 5;
	o.max_queued = 2;
	o.max_in_flight = 2;
	o.flush_interval = 3000000;
	o.flush_jitter = 50000;
	o.flush_timeout = 70000;
	o.retry_min = o.retry_max = 900000;
	databuffer *buf = start(&o);

	databuffer_partition_info info = info_of(buf, 0);
	size_t first = info.flush_size;
	assert_string_equal(info.name, "watched");
	assert_int_equal(info.partition, 0);
	assert_int_equal(info.size, 0);
	assert_int_equal(info.bytes, 0);
	assert_in_range(info.flush_size, 10, 15);
	assert_int_equal(info.flush_interval, 3000000);
	assert_int_equal(info.flush_jitter, 50000);
	assert_int_equal(info.flush_timeout, 70000);
	assert_int_equal(info.in_flight, 0);
	assert_int_equal(info.stuck, 0);
	assert_int_equal(info.queued, 0);
	assert_int_equal(info.attempt, 0);
	assert_int_equal(info.last_status, 0);
	assert_in_range(info.next_flush_ms, 1, 3050000);
	assert_int_equal(info.next_retry_ms, -1);

	sink_close(sink);
	insert_numbers(buf, 0, first + 3);
	WAIT_FOR(sink_inside(sink) == 1);
	info = info_of(buf, 0);
	assert_int_equal(info.size, first + 3);
	assert_int_equal(info.bytes, 8 * (first + 3));
	assert_in_range(info.flush_size, 10, 15);
	assert_int_equal(info.in_flight, 1);
	assert_int_equal(info.queued, 0);
	assert_int_equal(info.attempt, 0);

	for (uint64_t i = 0; i < 3; i++) { /* one more flies, and two wait */
		databuffer_flush(buf);
		insert_number(buf, i);
	}
	WAIT_FOR(sink_inside(sink) == 2);
	info = info_of(buf, 0);
	assert_int_equal(info.in_flight, 2);
	assert_int_equal(info.queued, 2);
	assert_int_equal(info.size, first + 6);

	sink_open(sink);
	WAIT_FOR(info_of(buf, 0).next_retry_ms > 0 && info_of(buf, 0).in_flight == 0);
	info = info_of(buf, 0);
	assert_int_equal(info.size, first + 6);
	assert_int_equal(info.last_status, -EIO);
	assert_int_equal(info.attempt, 1);
	assert_in_range(info.next_retry_ms, 1, 900000);
	well = true;
	flush_all(buf);
	info = info_of(buf, 0);
	assert_int_equal(info.size, 0);
	assert_int_equal(info.queued, 0);
	assert_int_equal(info.last_status, 0);
	assert_int_equal(info.attempt, 0);
	assert_int_equal(info.next_retry_ms, -1);
	stop_clean(buf);
	sink_free(sink);
}

/* --- Stats ---------------------------------------------------------------------------------------------- */

/* By the hundred that a batch begins with: transient, rejected, named, or none of it. */
static int by_the_book(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	databuffer_item first = databuffer_batch_at(batch, 0);
	(void)sink;
	switch (number_of(&first) / 100) {
	case 0: /* 10 items, twice in vain */
		return call->attempt < 3 ? -EIO : 0;
	case 1: /* 10 items of which the first is never taken */
		return number_of(&first) == 100 ? DATABUFFER_REJECT : 0;
	case 2: /* 10 items of which two are named */
		if (call->size == 10) {
			CHECK(databuffer_batch_fail(batch, 2, NULL) == 0);
			CHECK(databuffer_batch_fail(batch, 3, NULL) == 0);
		}
		return 0;
	default:
		return 0;
	}
}

static void every_counter_counts(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = by_the_book;
	o.max_size = 10;
	o.retry_min = o.retry_max = 1;
	databuffer *buf = start(&o);

	insert_numbers(buf, 0, 10);
	flush_all(buf);
	databuffer_stats_t stats = stats_of(buf);
	assert_int_equal(stats.inserted, 10);
	assert_int_equal(stats.flushed, 10);
	assert_int_equal(stats.flushed_bytes, 80);
	assert_int_equal(stats.batches, 1);
	assert_int_equal(stats.attempts, 3);
	assert_int_equal(stats.failures, 2);
	assert_int_equal(stats.rejects, 0);

	insert_numbers(buf, 100, 110);
	flush_all(buf);
	stats = stats_of(buf);
	assert_int_equal(stats.inserted, 20);
	assert_int_equal(stats.flushed, 19);
	assert_int_equal(stats.flushed_bytes, 8 * 19);
	assert_int_equal(stats.dead, 1);
	assert_int_equal(stats.batches, 2);
	assert_int_equal(stats.attempts, sink_calls(sink));
	assert_int_equal(stats.failures, 2);
	size_t rejects = 0;
	for (size_t i = 0; i < sink_calls(sink); i++)
		rejects += sink_call(sink, i).answer == DATABUFFER_REJECT;
	assert_int_equal(stats.rejects, rejects);

	insert_numbers(buf, 200, 210);
	flush_all(buf);
	stats = stats_of(buf);
	assert_int_equal(stats.flushed, 27);
	assert_int_equal(stats.dead, 3);
	assert_int_equal(stats.batches, 3);
	assert_int_equal(stats.rejects, rejects);

	sink_close(sink);
	insert_numbers(buf, 300, 320);
	assert_int_equal(try_number(buf, 320), DATABUFFER_ETIMEDOUT);
	assert_int_equal(databuffer_insert_timed(buf, "too late", 8, 20), DATABUFFER_ETIMEDOUT);
	stats = stats_of(buf);
	assert_int_equal(stats.inserted, 50);
	assert_int_equal(stats.held, 20);
	assert_int_equal(stats.held_bytes, 160);
	assert_int_equal(stats.refused, 2);
	assert_int_equal(stats.waits, 1);
	sink_open(sink);
	flush_all(buf);
	stats = stats_of(buf);
	assert_int_equal(stats.held, 0);
	assert_int_equal(stats.held_bytes, 0);
	assert_int_equal(stats.flushed, 47);
	assert_int_equal(stats.batches, 5);
	assert_int_equal(stats.timeouts, 0);
	assert_int_equal(stats.dropped, 0);
	assert_int_equal(stats.left, 0);
	assert_int_equal(stats.attempts, sink_calls(sink));
	assert_int_equal(stats.flush.count, stats.attempts);
	stop_clean(buf);
	sink_free(sink);
}

static void *insert_thirty(void *arg)
{
	uint64_t numbers[30];
	for (uint64_t i = 0; i < 30; i++)
		numbers[i] = 20 + i;
	CHECK(databuffer_insert_array_timed(arg, numbers, 30, 8, PATIENCE_MS) == 0);
	return NULL;
}

static void an_insert_that_waits_for_each_of_its_pieces_waited_once(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 20);
	pthread_t thread = thread_run(insert_thirty, buf);
	for (size_t calls = 1; calls <= 3; calls++) {
		/* It looks for room, finds none, and waits again. */
		WAIT_FOR(stats_of(buf).inserted == 10 + 10 * calls && stats_of(buf).waits >= 1);
		sink_let_pass(sink, 1);
		WAIT_FOR(sink_calls(sink) == calls + 1);
	}
	thread_join(thread);
	assert_int_equal(stats_of(buf).inserted, 50);
	assert_int_equal(stats_of(buf).waits, 1);
	assert_int_equal(stats_of(buf).refused, 0);
	sink_open(sink);
	stop_clean(buf);
	assert_flushed(sink, 0, 50);
	sink_free(sink);
}

static int take_thirty_ms_once(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	databuffer_item first = databuffer_batch_at(batch, 0);
	(void)call;
	if (number_of(&first) == 49)
		pause_ms(30);
	return 0;
}

static void the_latencies_are_those_of_the_handler(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = take_thirty_ms_once;
	databuffer *buf = start(&o);
	int64_t begin = now_ns();
	for (uint64_t i = 0; i < 50; i++) {
		insert_number(buf, i);
		flush_all(buf);
	}
	uint64_t total = (uint64_t)(now_ns() - begin);
	databuffer_latency latency = stats_of(buf).flush;
	assert_int_equal(latency.count, 50);
	assert_true(latency.p50_ns <= latency.p90_ns && latency.p90_ns <= latency.p99_ns);
	assert_true(latency.p99_ns <= latency.p999_ns && latency.p999_ns <= latency.max_ns);
	assert_true(latency.max_ns >= 30000000 / 16 * 15);
	assert_true(latency.max_ns <= total / 16 * 17);
	assert_true(latency.mean_ns >= 30000000 / 50 / 16 * 15);
	assert_true(latency.mean_ns <= total / 50 / 16 * 17);
	assert_true(latency.p999_ns >= 30000000 / 16 * 15);
	stop_clean(buf);
	sink_free(sink);
}

static void the_counters_balance_at_every_moment(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = by_the_book;
	o.partitions = 2;
	o.max_size = 10;
	o.retry_min = o.retry_max = 1;
	databuffer *buf = start(&o);
	struct producer producers[3];
	pthread_t threads[3];
	uint64_t n = scaled(40000);
	for (unsigned i = 0; i < 3; i++) {
		producers[i] = (struct producer){ .buf = buf, .number = i, .n = n };
		threads[i] = thread_run(produce, &producers[i]);
	}
	databuffer_stats_t last = { 0 };
	while (!producers[0].done || !producers[1].done || !producers[2].done) {
		databuffer_stats_t stats = stats_of(buf); /* which checks that they balance */
		assert_true(stats.inserted >= last.inserted && stats.flushed >= last.flushed);
		assert_true(stats.dead >= last.dead && stats.attempts >= last.attempts);
		assert_true(stats.flushed_bytes == 8 * stats.flushed);
		assert_in_range(stats.held, 0, 2 * 20);
		last = stats;
	}
	for (unsigned i = 0; i < 3; i++)
		thread_join(threads[i]);
	flush_all(buf);
	databuffer_stats_t stats = stats_of(buf);
	assert_int_equal(stats.inserted, 3 * n);
	assert_int_equal(stats.flushed + stats.dead, 3 * n);
	assert_int_equal(stats.dead, sink_buried(sink));
	stop_clean(buf);
	sink_free(sink);
}

static int check_oneself(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)call;
	if (databuffer_batch_size(batch) > 1)
		return DATABUFFER_REJECT;
	CHECK(databuffer_check(sink->ctx) == 0);
	return 0;
}

static void check_finds_the_account_in_order_also_from_a_handler(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = check_oneself;
	o.max_size = 16;
	o.partitions = 3;
	databuffer *buf = start(&o);
	sink->ctx = buf;
	assert_int_equal(databuffer_check(buf), 0);
	for (uint64_t number = 0; number < 200; number++) {
		insert_number(buf, number);
		assert_int_equal(databuffer_check(buf), 0);
	}
	flush_all(buf);
	assert_int_equal(sink_lines(sink), 0);
	stop_clean(buf);
	assert_int_equal(databuffer_check(buf), DATABUFFER_ESTOPPED);
	assert_int_equal(databuffer_check(NULL), DATABUFFER_EINVAL);
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dump_shows_what_is_open_queued_and_in_flight),
		cmocka_unit_test(dump_goes_from_partition_to_partition),
		cmocka_unit_test(the_visitor_ends_it_with_an_answer_of_its_own),
		cmocka_unit_test(dump_shows_what_waits_for_another_try),
		cmocka_unit_test(dump_shows_what_is_with_a_late_handler),
		cmocka_unit_test(dump_leaves_out_the_half_that_has_its_outcome),
		cmocka_unit_test(a_reserved_slot_is_not_held),
		cmocka_unit_test(what_a_dump_shows_stays_there_while_it_is_looked_at),
		cmocka_unit_test(dump_shows_more_batches_than_there_was_memory_for_at_first),
		cmocka_unit_test(a_dump_beside_inserts_shows_one_moment),
		cmocka_unit_test(size_counts_items_of_whatever_length),
		cmocka_unit_test(info_fills_in_as_many_as_there_is_room_for),
		cmocka_unit_test(every_field_of_info_says_what_it_should),
		cmocka_unit_test(every_counter_counts),
		cmocka_unit_test(an_insert_that_waits_for_each_of_its_pieces_waited_once),
		cmocka_unit_test(the_latencies_are_those_of_the_handler),
		cmocka_unit_test(the_counters_balance_at_every_moment),
		cmocka_unit_test(check_finds_the_account_in_order_also_from_a_handler),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
