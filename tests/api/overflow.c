/* SPDX-License-Identifier: MIT */
/*
 * Inserts that find no room and do not wait: what each policy gives up, to whom it is told, and that every item
 * is accounted for.
 */
#include "api/support.h"

/* One partition of batches of four, with one flush in flight that stays there: four items are with the handler,
 * and four more have room. */
static databuffer *start_full(struct sink *sink, databuffer_options *o, int64_t policy)
{
	o->overflow = policy;
	o->max_size = 4;
	databuffer *buf = start(o);
	sink_close(sink);
	insert_numbers(buf, 0, 4);
	WAIT_FOR(sink_inside(sink) == 1);
	insert_numbers(buf, 4, 8);
	return buf;
}

static void assert_dropped(struct sink *sink, uint64_t from, uint64_t to)
{
	assert_int_equal(sink_dropped(sink), to - from);
	for (uint64_t i = 0; i < to - from; i++)
		assert_int_equal(sink->dropped[i].number, from + i);
}

static void open_and_stop(struct sink *sink, databuffer *buf)
{
	sink_open(sink);
	stop_clean(buf);
	assert_null(sink->left);
}

/* Any insert there is. */
typedef int64_t insert_fn(databuffer *buf, const uint64_t *numbers, size_t n);

static int64_t by_one(databuffer *buf, const uint64_t *numbers, size_t n)
{
	int64_t rc = 0;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = databuffer_insert_timed(buf, &numbers[i], 8, PATIENCE_MS);
	return rc;
}

static int64_t by_key(databuffer *buf, const uint64_t *numbers, size_t n)
{
	int64_t rc = 0;
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = databuffer_insert_keyed_timed(buf, numbers[i], &numbers[i], 8, PATIENCE_MS);
	return rc;
}

static int64_t by_batch(databuffer *buf, const uint64_t *numbers, size_t n)
{
	databuffer_item items[16];
	CHECK(n <= 16);
	for (size_t i = 0; i < n; i++)
		items[i] = (databuffer_item){ &numbers[i], 8 };
	return databuffer_insert_batch_timed(buf, items, n, PATIENCE_MS);
}

static int64_t by_array(databuffer *buf, const uint64_t *numbers, size_t n)
{
	return databuffer_insert_array_timed(buf, numbers, n, 8, PATIENCE_MS);
}

static insert_fn *const inserts[] = { by_one, by_key, by_batch, by_array };

#define INSERTS (sizeof(inserts) / sizeof(inserts[0]))

static const uint64_t eight[] = { 8, 9, 10, 11, 12, 13, 14, 15 };

/* --- fail ------------------------------------------------------------------------------------------ */

static void fail_answers_at_once_whatever_the_timeout(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.timeout = PATIENCE_MS;
	databuffer *buf = start_full(sink, &o, DATABUFFER_OVERFLOW_FAIL);
	int64_t begin = now_ms();
	for (size_t i = 0; i < INSERTS; i++) {
		assert_int_equal(inserts[i](buf, eight, 1), DATABUFFER_EFULL);
		assert_int_equal(inserts[i](buf, eight, 3), DATABUFFER_EFULL);
		check(buf);
	}
	databuffer_slot slot = { .len = 77 };
	assert_int_equal(databuffer_insert(buf, eight, 8), DATABUFFER_EFULL);
	assert_int_equal(try_number(buf, 8), DATABUFFER_EFULL);
	assert_int_equal(databuffer_reserve(buf, 8, &slot), DATABUFFER_EFULL);
	assert_int_equal(slot.len, 77);
	assert_true(now_ms() - begin < PATIENCE_MS);
	databuffer_stats_t s = stats_of(buf);
	assert_int_equal(s.inserted, 8);
	assert_int_equal(s.dropped, 0);
	assert_int_equal(s.waits, 0);
	assert_int_equal(s.refused, 2 * INSERTS + 3);
	sink_open(sink);
	flush_all(buf);
	insert_number(buf, 8);
	stop_clean(buf);
	assert_flushed(sink, 0, 9);
	assert_int_equal(sink_dropped(sink), 0);
	sink_free(sink);
}

static void what_fits_in_part_is_told_as_with_write(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start_full(sink, &o, DATABUFFER_OVERFLOW_FAIL);
	sink_open(sink);
	flush_all(buf);
	sink_close(sink);
	/* Twelve items are three batches, of which two have room at most. */
	const uint64_t more[12] = { 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19 };
	assert_int_equal(by_array(buf, more, 12), 8);
	open_and_stop(sink, buf);
	assert_flushed(sink, 0, 16);
	sink_free(sink);
}

/* --- drop_newest ----------------------------------------------------------------------------------- */

static void drop_newest_gives_up_what_is_inserted(void **state)
{
	(void)state;
	for (size_t i = 0; i < INSERTS; i++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		databuffer *buf = start_full(sink, &o, DATABUFFER_OVERFLOW_DROP_NEWEST);
		assert_int_equal(inserts[i](buf, eight, 8), 0);
		/* Before it returns, on its own thread, in order. */
		assert_dropped(sink, 8, 16);
		assert_true(pthread_equal(sink->dropped_thread, pthread_self()));
		for (size_t k = 0; k < 8; k++) {
			assert_int_equal(sink->dropped[k].status, 0);
			assert_int_equal(sink->dropped[k].attempts, 0);
			assert_non_null(strstr(sink->dropped[k].text, "drop_newest"));
		}
		databuffer_stats_t s = stats_of(buf);
		assert_int_equal(s.inserted, 16);
		assert_int_equal(s.dropped, 8);
		assert_int_equal(s.held, 8);
		assert_int_equal(s.refused, 0);
		open_and_stop(sink, buf);
		assert_flushed(sink, 0, 8);
		sink_free(sink);
	}
}

static void what_is_not_written_yet_cannot_be_dropped(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start_full(sink, &o, DATABUFFER_OVERFLOW_DROP_NEWEST);
	databuffer_slot slot;
	assert_int_equal(databuffer_reserve(buf, 8, &slot), DATABUFFER_EFULL);
	assert_int_equal(stats_of(buf).inserted, 8);
	open_and_stop(sink, buf);
	assert_flushed(sink, 0, 8);
	assert_int_equal(sink_dropped(sink), 0);
	sink_free(sink);
}

static void a_commit_that_has_to_move_on_drops_as_an_insert_does(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.overflow = DATABUFFER_OVERFLOW_DROP_NEWEST;
	o.max_size = 4;
	databuffer *buf = start(&o);
	sink_close(sink);
	databuffer_slot slot;
	insert_number(buf, 0);
	assert_int_equal(databuffer_reserve(buf, 8, &slot), 0);
	memcpy(slot.data, &(uint64_t){ 99 }, 8);
	CHECK(databuffer_flush(buf) == 0); /* without the slot */
	WAIT_FOR(sink_inside(sink) == 1);
	for (uint64_t number = 1; sink_dropped(sink) == 0; number++)
		insert_number(buf, number);
	uint64_t before = stats_of(buf).inserted;
	assert_int_equal(databuffer_commit(&slot), 0);
	databuffer_stats_t s = stats_of(buf);
	assert_int_equal(s.inserted, before + 1);
	assert_int_equal(s.dropped, 2);
	assert_int_equal(sink->dropped[1].number, 99);
	open_and_stop(sink, buf);
	sink_free(sink);
}

/* --- drop_oldest ----------------------------------------------------------------------------------- */

static void drop_oldest_gives_up_as_many_as_it_needs(void **state)
{
	(void)state;
	for (size_t i = 0; i < INSERTS; i++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		databuffer *buf = start_full(sink, &o, DATABUFFER_OVERFLOW_DROP_OLDEST);
		assert_int_equal(inserts[i](buf, eight, 3), 0);
		/* 0 to 4 are in flight, and 4 to 8 are the oldest that are not. */
		assert_dropped(sink, 4, 7);
		assert_true(pthread_equal(sink->dropped_thread, pthread_self()));
		for (size_t k = 0; k < 3; k++)
			assert_non_null(strstr(sink->dropped[k].text, "drop_oldest"));
		databuffer_stats_t s = stats_of(buf);
		assert_int_equal(s.inserted, 11);
		assert_int_equal(s.dropped, 3);
		assert_int_equal(s.held, 8);
		assert_int_equal(s.held_bytes, 8 * 8);
		assert_int_equal(s.waits + s.refused, 0);
		open_and_stop(sink, buf);
		const uint64_t flushed[] = { 0, 1, 2, 3, 7, 8, 9, 10 };
		assert_int_equal(sink->flushed.count, 8);
		for (size_t k = 0; k < 8; k++)
			assert_int_equal(sink->flushed.at[k], flushed[k]);
		sink_free(sink);
	}
}

static void the_newest_are_what_stays(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_queued = 2;
	databuffer *buf = start_full(sink, &o, DATABUFFER_OVERFLOW_DROP_OLDEST);
	uint64_t many = scaled(20000);
	insert_numbers(buf, 8, many);
	/* Four in flight; of the others the last twelve. */
	assert_int_equal(stats_of(buf).held, 4 + 12);
	assert_dropped(sink, 4, many - 12);
	open_and_stop(sink, buf);
	assert_int_equal(sink->flushed.count, 16);
	for (size_t k = 0; k < 4; k++)
		assert_int_equal(sink->flushed.at[k], k);
	for (size_t k = 0; k < 12; k++)
		assert_int_equal(sink->flushed.at[4 + k], many - 12 + k);
	sink_free(sink);
}

static void what_is_open_is_given_up_when_nothing_waits(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 100;
	o.overflow = DATABUFFER_OVERFLOW_DROP_OLDEST;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 100);
	WAIT_FOR(sink_inside(sink) == 1);
	insert_numbers(buf, 100, 190);
	assert_int_equal(info_of(buf, 0).queued, 0);
	/* Together, in one batch: there is room for ten of these. */
	uint64_t more[30];
	for (size_t i = 0; i < 30; i++)
		more[i] = 190 + i;
	assert_int_equal(by_array(buf, more, 30), 0);
	assert_dropped(sink, 100, 120);
	open_and_stop(sink, buf);
	assert_int_equal(sink->calls[sink->call_count - 1].size, 30);
	assert_int_equal(sink->flushed.count, 200);
	sink_free(sink);
}

static void it_is_the_bytes_that_count_where_they_are_short(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	char text[64] = { 0 };
	o.max_bytes = 64;
	o.overflow = DATABUFFER_OVERFLOW_DROP_OLDEST;
	databuffer *buf = start(&o);
	sink_close(sink);
	CHECK(databuffer_insert(buf, text, 64) == 0);
	WAIT_FOR(sink_inside(sink) == 1);
	for (uint64_t i = 0; i < 4; i++)
		CHECK(databuffer_insert(buf, memcpy(text, &i, 8), 16) == 0);
	check(buf);
	assert_int_equal(sink_dropped(sink), 0);
	/* 20 bytes take the room of two of them. */
	CHECK(databuffer_insert(buf, text, 20) == 0);
	check(buf);
	assert_dropped(sink, 0, 2);
	assert_int_equal(stats_of(buf).held_bytes, 64 + 2 * 16 + 20);
	/* And 64 that of all. */
	CHECK(databuffer_insert(buf, text, 64) == 0);
	assert_int_equal(sink_dropped(sink), 5);
	assert_int_equal(stats_of(buf).held_bytes, 64 + 64);
	open_and_stop(sink, buf);
	sink_free(sink);
}

static int fail_the_first_call(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)batch, (void)call;
	return sink_calls(sink) == 1 ? DATABUFFER_RETRY : 0;
}

static void what_waits_for_another_try_is_not_in_flight(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	sink->answer = fail_the_first_call;
	databuffer_options o = sink_options(sink);
	o.max_size = 4;
	o.retry_min = o.retry_max = 3600000;
	o.overflow = DATABUFFER_OVERFLOW_DROP_OLDEST;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 4);
	WAIT_FOR(info_of(buf, 0).next_retry_ms > 0);
	insert_numbers(buf, 4, 11);
	assert_dropped(sink, 0, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(sink->dropped[i].status, DATABUFFER_RETRY);
		assert_int_equal(sink->dropped[i].attempts, 1);
	}
	/* What is left of it keeps its place and its backoff, */
	assert_int_equal(info_of(buf, 0).attempt, 1);
	assert_true(info_of(buf, 0).next_retry_ms > 3000000);
	/* and the batch behind it has that after it. */
	insert_numbers(buf, 11, 13);
	assert_dropped(sink, 0, 5);
	assert_true(info_of(buf, 0).next_retry_ms > 3000000);
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 8);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(sink->flushed.at[i], 5 + i);
	sink_free(sink);
}

static void a_reserved_slot_takes_the_place_of_the_oldest(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start_full(sink, &o, DATABUFFER_OVERFLOW_DROP_OLDEST);
	databuffer_slot slots[8];
	for (uint64_t i = 0; i < 8; i++) {
		assert_int_equal(databuffer_reserve(buf, 8, &slots[i]), 0);
		memcpy(slots[i].data, &(uint64_t){ 8 + i }, 8);
		check(buf);
	}
	for (uint64_t i = 0; i < 8; i++) {
		assert_int_equal(databuffer_commit(&slots[i]), 0);
		check(buf);
	}
	databuffer_stats_t s = stats_of(buf);
	assert_int_equal(s.inserted, 16);
	assert_int_equal(s.held, 16 - s.dropped);
	open_and_stop(sink, buf);
	assert_int_equal(sink->flushed.count + sink->dropped_count, 16);
	/* In order, and none of them twice. */
	for (size_t i = 0; i < sink->dropped_count; i++)
		assert_int_equal(sink->dropped[i].number, 4 + i);
	sink_free(sink);
}

struct waiting {
	databuffer *buf;
	databuffer_result result;
	_Atomic bool done;
};

static void *wait_for_flush(void *arg)
{
	struct waiting *waiting = arg;
	CHECK(databuffer_sync_flush(waiting->buf, &waiting->result, 1, PATIENCE_MS) == 0);
	atomic_store(&waiting->done, true);
	return NULL;
}

static void a_sync_flush_says_that_items_it_waited_for_were_given_up(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 4;
	o.overflow = DATABUFFER_OVERFLOW_DROP_OLDEST;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 4);
	WAIT_FOR(sink_inside(sink) == 1);
	insert_numbers(buf, 4, 6);
	struct waiting waiting = { .buf = buf };
	pthread_t waiter = thread_run(wait_for_flush, &waiting);
	WAIT_FOR(info_of(buf, 0).queued == 1);
	insert_numbers(buf, 6, 9); /* for the third of them one goes */
	assert_dropped(sink, 4, 5);
	sink_open(sink);
	thread_join(waiter);
	assert_int_equal(waiting.result.size, 6);
	assert_int_equal(waiting.result.status, DATABUFFER_EFULL);
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 8);
	sink_free(sink);
}

static void a_sync_flush_ends_when_all_it_waited_for_is_given_up(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	sink->answer = fail_the_first_call;
	databuffer_options o = sink_options(sink);
	o.max_size = 4;
	o.retry_min = o.retry_max = 3600000;
	o.overflow = DATABUFFER_OVERFLOW_DROP_OLDEST;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 2);
	struct waiting waiting = { .buf = buf };
	pthread_t waiter = thread_run(wait_for_flush, &waiting);
	WAIT_FOR(info_of(buf, 0).next_retry_ms > 0);
	assert_false(atomic_load(&waiting.done));
	insert_numbers(buf, 2, 10);
	assert_dropped(sink, 0, 2);
	thread_join(waiter);
	assert_int_equal(waiting.result.size, 2);
	assert_int_equal(waiting.result.status, DATABUFFER_EFULL);
	stop_clean(buf);
	assert_flushed(sink, 2, 10);
	sink_free(sink);
}

/* --- Which partition ------------------------------------------------------------------------------------ */

static void an_insert_without_a_key_tries_the_others_before_anything_is_dropped(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 3;
	o.max_size = 4;
	o.overflow = DATABUFFER_OVERFLOW_DROP_OLDEST;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 3 * 4);
	WAIT_FOR(sink_inside(sink) == 3);
	insert_numbers(buf, 3 * 4, 3 * 8);
	assert_int_equal(sink_dropped(sink), 0);
	assert_int_equal(stats_of(buf).held, 3 * 8);
	/* From now on in turn: none is emptied while the others are left alone. */
	insert_numbers(buf, 24, 24 + 9);
	assert_int_equal(sink_dropped(sink), 9);
	for (unsigned p = 0; p < 3; p++) {
		unsigned of_this = 0;
		for (size_t i = 0; i < 9; i++)
			of_this += sink->dropped[i].partition == p;
		assert_int_equal(of_this, 3);
		assert_int_equal(info_of(buf, p).size, 8);
	}
	open_and_stop(sink, buf);
	sink_free(sink);
}

static void an_insert_with_a_key_drops_in_its_own_partition_only(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 2;
	o.max_size = 4;
	o.overflow = DATABUFFER_OVERFLOW_DROP_OLDEST;
	databuffer *buf = start(&o);
	sink_close(sink);
	for (uint64_t i = 0; i < 20; i++)
		CHECK(databuffer_insert_keyed(buf, 7, &i, 8) == 0);
	check(buf);
	assert_true(sink_dropped(sink) >= 20 - 8);
	unsigned partition = sink->dropped[0].partition;
	for (size_t i = 0; i < sink->dropped_count; i++)
		assert_int_equal(sink->dropped[i].partition, partition);
	assert_int_equal(info_of(buf, 1 - partition).size, 0);
	open_and_stop(sink, buf);
	sink_free(sink);
}

/* --- handle_drop -------------------------------------------------------------------------------------------- */

struct visit {
	struct sink *sink;
	databuffer *buf, *other;
	unsigned calls;
};

static struct visit visit;

static void visit_buffers(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	sink_drop(item, reason, meta);
	visit.calls++;
	uint64_t number = number_of(item);
	/* There is no room, and what makes some is what runs here. */
	CHECK(databuffer_insert(visit.buf, &number, 8) == DATABUFFER_EFULL);
	CHECK(databuffer_insert(visit.other, &number, 8) == 0);
	CHECK(databuffer_stop(visit.buf, 0) == DATABUFFER_EDEADLK);
	CHECK(databuffer_sync_flush(visit.buf, NULL, 0, 0) == DATABUFFER_EDEADLK);
	CHECK(databuffer_size(visit.buf) == 8);
	check(visit.buf);
}

static void handle_drop_may_insert_elsewhere_and_look(void **state)
{
	(void)state;
	for (int64_t policy = DATABUFFER_OVERFLOW_DROP_NEWEST; policy <= DATABUFFER_OVERFLOW_DROP_OLDEST; policy++) {
		struct sink *sink = sink_new(), *kept = sink_new();
		databuffer_options o = sink_options(sink), other = sink_options(kept);
		visit = (struct visit){ .sink = sink, .other = start(&other) };
		o.handle_drop = visit_buffers;
		visit.buf = start_full(sink, &o, policy);
		insert_numbers(visit.buf, 8, 12);
		assert_int_equal(visit.calls, 4);
		uint64_t from = policy == DATABUFFER_OVERFLOW_DROP_NEWEST ? 8 : 4;
		assert_dropped(sink, from, from + 4);
		stop_clean(visit.other);
		assert_flushed(kept, from, from + 4);
		open_and_stop(sink, visit.buf);
		sink_free(sink);
		sink_free(kept);
	}
}

static void without_handle_drop_a_line_a_second_says_how_many(void **state)
{
	(void)state;
	for (int64_t policy = DATABUFFER_OVERFLOW_DROP_NEWEST; policy <= DATABUFFER_OVERFLOW_DROP_OLDEST; policy++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.name = "drops";
		o.handle_drop = NULL;
		databuffer *buf = start_full(sink, &o, policy);
		int64_t begin = now_ms();
		insert_numbers(buf, 8, 1008);
		unsigned lines = sink_lines(sink);
		assert_true(lines >= 1 && lines <= 1 + (now_ms() - begin) / 1000);
		assert_non_null(strstr(sink->line, "drops"));
		assert_non_null(strstr(sink->line, "handle_drop"));
		assert_int_equal(stats_of(buf).dropped, 1000);
		open_and_stop(sink, buf);
		sink_free(sink);
	}
}

/* --- Beside each other ---------------------------------------------------------------------------------------- */

#define PRODUCERS 4

struct crowd {
	databuffer *buf;
	uint64_t each, seed;
	_Atomic unsigned number;
	_Atomic uint64_t refused;
	_Atomic bool over;
};

static void *insert_all_kinds(void *arg)
{
	struct crowd *crowd = arg;
	uint64_t number = atomic_fetch_add(&crowd->number, 1);
	uint64_t seed = crowd->seed + number, next = number * crowd->each, end = next + crowd->each;
	while (next < end) {
		uint64_t numbers[4] = { next, next + 1, next + 2, next + 3 };
		size_t n = end - next < 4 ? 1 : 1 + dice_below(&seed, 4);
		databuffer_slot slot;
		int64_t rc = 0;
		switch (dice_below(&seed, 3)) {
		case 0:
			rc = databuffer_insert_array(crowd->buf, numbers, n, 8);
			break;
		case 1:
			n = 1;
			rc = databuffer_insert_keyed(crowd->buf, next, numbers, 8);
			break;
		default:
			n = 1;
			rc = databuffer_reserve(crowd->buf, 8, &slot);
			if (rc == 0) {
				memcpy(slot.data, numbers, 8);
				rc = databuffer_commit(&slot);
			}
		}
		CHECK(rc == 0 || rc == DATABUFFER_EFULL);
		if (rc == 0) {
			next += n;
		} else {
			atomic_fetch_add(&crowd->refused, 1);
			pause_ms(1);
		}
	}
	return NULL;
}

static void *look_on(void *arg)
{
	struct crowd *crowd = arg;
	while (!atomic_load(&crowd->over)) {
		stats_of(crowd->buf);
		CHECK(databuffer_flush(crowd->buf) == 0);
		pause_ms(1);
	}
	return NULL;
}

static int fail_now_and_then(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)call;
	if (dice_below(sink->ctx, 3) == 0 && databuffer_batch_attempt(batch) < 3)
		return DATABUFFER_RETRY;
	return dice_below(sink->ctx, 40) == 0 ? DATABUFFER_REJECT : 0;
}

/* Each number once, wherever it went. */
static void assert_each_went_somewhere(struct sink *sink, uint64_t n)
{
	unsigned char *seen = calloc(n, 1);
	CHECK(seen);
	for (size_t i = 0; i < sink->flushed.count; i++)
		CHECK(sink->flushed.at[i] < n && seen[sink->flushed.at[i]]++ == 0);
	for (size_t i = 0; i < sink->dropped_count; i++)
		CHECK(sink->dropped[i].number < n && seen[sink->dropped[i].number]++ == 0);
	for (size_t i = 0; i < sink->dead_count; i++)
		CHECK(sink->dead[i].number < n && seen[sink->dead[i].number]++ == 0);
	assert_int_equal(sink->flushed.count + sink->dropped_count + sink->dead_count, n);
	free(seen);
}

static void beside_failures_and_looks_each_item_has_one_outcome(void **state)
{
	(void)state;
	uint64_t seed = test_seed();
	for (int64_t policy = DATABUFFER_OVERFLOW_FAIL; policy <= DATABUFFER_OVERFLOW_DROP_OLDEST; policy++) {
		struct sink *sink = sink_new();
		uint64_t answers = seed;
		databuffer_options o = sink_options(sink);
		sink->answer = fail_now_and_then;
		sink->ctx = &answers;
		o.max_size = 8;
		o.max_queued = 1;
		o.retry_min = 1;
		o.retry_max = 3;
		o.overflow = policy;
		struct crowd crowd = { .buf = start(&o), .each = scaled(5000), .seed = seed };
		pthread_t threads[PRODUCERS], looker = thread_run(look_on, &crowd);
		for (unsigned i = 0; i < PRODUCERS; i++)
			threads[i] = thread_run(insert_all_kinds, &crowd);
		for (unsigned i = 0; i < PRODUCERS; i++)
			thread_join(threads[i]);
		atomic_store(&crowd.over, true);
		thread_join(looker);
		databuffer_stats_t s = stats_of(crowd.buf);
		assert_int_equal(s.inserted, PRODUCERS * crowd.each);
		assert_int_equal(s.refused, atomic_load(&crowd.refused));
		assert_int_equal(s.dropped, sink_dropped(sink));
		stop_clean(crowd.buf);
		assert_each_went_somewhere(sink, PRODUCERS * crowd.each);
		if (policy == DATABUFFER_OVERFLOW_FAIL)
			assert_int_equal(s.dropped, 0);
		sink_free(sink);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fail_answers_at_once_whatever_the_timeout),
		cmocka_unit_test(what_fits_in_part_is_told_as_with_write),
		cmocka_unit_test(drop_newest_gives_up_what_is_inserted),
		cmocka_unit_test(what_is_not_written_yet_cannot_be_dropped),
		cmocka_unit_test(a_commit_that_has_to_move_on_drops_as_an_insert_does),
		cmocka_unit_test(drop_oldest_gives_up_as_many_as_it_needs),
		cmocka_unit_test(the_newest_are_what_stays),
		cmocka_unit_test(what_is_open_is_given_up_when_nothing_waits),
		cmocka_unit_test(it_is_the_bytes_that_count_where_they_are_short),
		cmocka_unit_test(what_waits_for_another_try_is_not_in_flight),
		cmocka_unit_test(a_reserved_slot_takes_the_place_of_the_oldest),
		cmocka_unit_test(a_sync_flush_says_that_items_it_waited_for_were_given_up),
		cmocka_unit_test(a_sync_flush_ends_when_all_it_waited_for_is_given_up),
		cmocka_unit_test(an_insert_without_a_key_tries_the_others_before_anything_is_dropped),
		cmocka_unit_test(an_insert_with_a_key_drops_in_its_own_partition_only),
		cmocka_unit_test(handle_drop_may_insert_elsewhere_and_look),
		cmocka_unit_test(without_handle_drop_a_line_a_second_says_how_many),
		cmocka_unit_test(beside_failures_and_looks_each_item_has_one_outcome),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
