/* SPDX-License-Identifier: MIT */
/*
 * Options of a running buffer that change: what is refused and leaves all as it was, and what each one means for
 * the batch that is open, for those that wait, and for calls beside it.
 */
#include "api/support.h"

static int reconfigure(databuffer *buf, const databuffer_options *o)
{
	int rc = databuffer_reconfigure(buf, o);
	check(buf);
	return rc;
}

static void change(databuffer *buf, const databuffer_options *o)
{
	int rc = reconfigure(buf, o);
	if (rc != 0)
		fail_msg("reconfigure: %s: %s", databuffer_strerror(rc), o->error);
}

static databuffer_options running(databuffer *buf)
{
	databuffer_options o = databuffer_options_init();
	CHECK(databuffer_options_of(buf, &o) == 0);
	return o;
}

static databuffer_options manual_options(struct sink *sink)
{
	databuffer_options o = sink_options(sink);
	o.flusher = DATABUFFER_MANUAL;
	o.max_size = 10;
	return o;
}

/* --- What is refused --------------------------------------------------------------------------------- */

static void options_that_cannot_change_are_refused_by_name(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	const databuffer_option *row;
	o.name = "fixed";
	o.pressure_high = 1000;
	databuffer *buf = start(&o);
	unsigned fixed = 0, live = 0;
	for (size_t i = 0; (row = databuffer_options_at(i)) != NULL; i++) {
		databuffer_options wanted = o;
		char text[64], *choices = row->choices ? strchr(row->choices, '|') : NULL;
		databuffer_options before = running(buf);
		if (row->live) {
			live++;
			continue;
		}
		/* Something else that would do at start. */
		if (row->type == DATABUFFER_OPTION_TEXT)
			snprintf(text, sizeof(text), "other");
		else if (choices)
			snprintf(text, sizeof(text), "%.*s", (int)strcspn(choices + 1, "|"), choices + 1);
		else
			snprintf(text, sizeof(text), "%" PRId64, row->initial + (row->initial < row->max ? 1 : -1));
		wanted.max_size = 77; /* beside what would be fine */
		assert_int_equal(databuffer_options_set(&wanted, row->name, text), 0);
		sink->error[0] = '\0';
		assert_int_equal(reconfigure(buf, &wanted), DATABUFFER_EINVAL);
		if (!strstr(sink->error, row->name))
			fail_msg("%s: %s", row->name, sink->error);
		databuffer_options after = running(buf);
		assert_memory_equal(&before, &after, sizeof(before));
		fixed++;
	}
	assert_true(fixed >= 8 && live >= 10);
	/* The same name is no change, wherever it stands. */
	char name[] = "fixed";
	o.name = name;
	change(buf, &o);
	stop_clean(buf);
	sink_free(sink);
}

static int other_flush(databuffer_batch *batch, void *meta)
{
	return sink_flush(batch, meta);
}

static void handlers_cannot_change(void **state)
{
	(void)state;
	struct sink *sink = sink_new(), *other = sink_new();
	databuffer_options o = sink_options(sink), wanted;
	databuffer *buf = start(&o);
#define REFUSED(field, value)                                                                               \
	do {                                                                                                \
		wanted = o;                                                                                 \
		wanted.field = (value);                                                                     \
		sink->error[0] = '\0';                                                                      \
		assert_int_equal(reconfigure(buf, &wanted), DATABUFFER_EINVAL);                             \
		assert_non_null(strstr(sink->error, #field));                                               \
	} while (0)
	REFUSED(handle_flush, other_flush);
	REFUSED(handle_flush, NULL);
	REFUSED(flush_meta, other);
	REFUSED(handle_dead, NULL);
	REFUSED(handle_drop, NULL);
	REFUSED(handle_left, sink_dead);
	REFUSED(handle_log, NULL);
	assert_int_equal(sink_lines(sink), 0);
	stop_clean(buf);
	sink_free(sink);
	sink_free(other);
}

/* Below its range. The field is found by setting the option from text: it is what has changed. */
static int set_beyond(databuffer_options *o, const databuffer_option *row)
{
	databuffer_options low = *o, high = *o;
	char text[32];
	snprintf(text, sizeof(text), "%" PRId64, row->min);
	CHECK(databuffer_options_set(&low, row->name, text) == 0);
	snprintf(text, sizeof(text), "%" PRId64, row->max);
	CHECK(databuffer_options_set(&high, row->name, text) == 0);
	for (size_t at = sizeof(size_t); at < sizeof(*o); at += 8) {
		int64_t value = row->min - 1;
		if (memcmp((char *)&low + at, (char *)&high + at, 8) == 0)
			continue;
		memcpy((char *)o + at, &value, 8);
		return 0;
	}
	return -1;
}

/* Each live option beyond its range, beside others that would be fine. */
static void one_refused_value_changes_nothing(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink), wanted;
	databuffer *buf = start(&o);
	databuffer_options before = running(buf);
	const databuffer_option *row;
	for (size_t i = 0; (row = databuffer_options_at(i)) != NULL; i++) {
		char text[32];
		if (!row->live)
			continue;
		wanted = o;
		wanted.max_size = 100;
		wanted.flush_interval = 1;
		wanted.timeout = 1;
		wanted.retry_max = 200;
		assert_int_equal(set_beyond(&wanted, row), 0);
		sink->error[0] = '\0';
		assert_int_equal(reconfigure(buf, &wanted), DATABUFFER_EINVAL);
		snprintf(text, sizeof(text), "%" PRId64, row->min - 1);
		assert_non_null(strstr(sink->error, row->name));
		assert_non_null(strstr(sink->error, text));
		databuffer_options after = running(buf);
		assert_memory_equal(&before, &after, sizeof(before));
	}
	wanted = o;
	wanted.max_size = 100;
	wanted.retry_min = 3;
	wanted.retry_max = 2;
	assert_int_equal(reconfigure(buf, &wanted), DATABUFFER_EINVAL);
	assert_non_null(strstr(sink->error, "retry_max"));
	assert_int_equal(info_of(buf, 0).flush_interval, o.flush_interval);
	insert_numbers(buf, 0, 200);
	assert_int_equal(sink_calls(sink), 0);
	stop_clean(buf);
	sink_free(sink);
}

static void without_a_buffer_or_options_it_is_an_error(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink), empty = { .struct_size = 3 };
	assert_int_equal(databuffer_reconfigure(NULL, &o), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_options_of(NULL, &o), DATABUFFER_EINVAL);
	databuffer *buf = start(&o);
	assert_int_equal(databuffer_reconfigure(buf, NULL), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_reconfigure(buf, &empty), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_options_of(buf, NULL), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_options_of(buf, &empty), DATABUFFER_EINVAL);
	stop_clean(buf);
	assert_int_equal(databuffer_reconfigure(buf, &o), DATABUFFER_ESTOPPED);
	assert_int_equal(databuffer_options_of(buf, &o), DATABUFFER_ESTOPPED);
	sink_free(sink);
}

static void the_options_of_a_buffer_are_those_it_runs_with(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.name = "asked";
	o.partitions = 3;
	o.flush_timeout = 7;
	databuffer *buf = start(&o);
	databuffer_options found = running(buf);
	assert_string_equal(found.name, "asked");
	assert_ptr_not_equal(found.name, o.name);
	assert_null(found.error);
	found.name = o.name;
	found.error = o.error;
	found.error_size = o.error_size;
	assert_memory_equal(&found, &o, sizeof(o));
	/* They are a whole set, good for a change. */
	found = running(buf);
	found.max_size = 5;
	change(buf, &found);
	assert_int_equal(running(buf).max_size, 5);
	/* An older program's struct is filled in as far as it goes. */
	databuffer_options old = o;
	old.struct_size = offsetof(databuffer_options, max_bytes);
	old.max_size = 1;
	old.max_bytes = 1;
	assert_int_equal(databuffer_options_of(buf, &old), 0);
	assert_int_equal(old.struct_size, offsetof(databuffer_options, max_bytes));
	assert_int_equal(old.max_size, 5);
	assert_int_equal(old.max_bytes, 1);
	stop_clean(buf);
	sink_free(sink);
}

/* --- Size ------------------------------------------------------------------------------------------------ */

static void an_open_batch_that_has_reached_the_new_size_is_cut(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 100;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 7);
	o.max_size = 8;
	change(buf, &o);
	assert_int_equal(sink_calls(sink), 0);
	assert_int_equal(info_of(buf, 0).flush_size, 8);
	insert_number(buf, 7);
	WAIT_FOR(sink_flushed(sink) == 8);
	insert_numbers(buf, 8, 13);
	o.max_size = 5;
	change(buf, &o);
	WAIT_FOR(sink_flushed(sink) == 13);
	insert_numbers(buf, 13, 20);
	o.max_size = 1;
	change(buf, &o);
	insert_numbers(buf, 20, 22);
	stop_clean(buf);
	ASSERT_CUTS(sink, 8, 5, 5, 2, 1, 1);
	assert_int_equal(sink->calls[1].trigger, DATABUFFER_TRIGGER_SIZE);
	assert_flushed(sink, 0, 22);
	sink_free(sink);
}

static void batches_may_become_larger_than_any_before(void **state)
{
	(void)state;
	for (unsigned partitions = 1; partitions <= 3; partitions += 2) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		uint64_t next = 0;
		o.partitions = partitions;
		o.max_size = 2;
		databuffer *buf = start(&o);
		for (int64_t size = 2; size <= 20000; size *= 3) {
			o.max_size = size;
			change(buf, &o);
			size_t calls = sink_calls(sink);
			uint64_t from = next;
			next += (uint64_t)size * partitions * 3;
			insert_numbers(buf, from, next);
			/* One partition's batches are exact; of several some are. */
			if (partitions == 1)
				WAIT_FOR(sink_flushed(sink) == next);
			flush_all(buf);
			size_t full = 0;
			for (size_t i = calls; i < sink_calls(sink); i++) {
				assert_in_range(sink_call(sink, i).size, 1, size);
				full += sink_call(sink, i).size == (size_t)size;
			}
			assert_true(partitions == 1 ? full == 3 : full >= 1);
		}
		stop_clean(buf);
		assert_flushed_once(sink, 0, next);
		sink_free(sink);
	}
}

static int stay_a_moment(const databuffer_item *item, unsigned partition, void *ctx)
{
	(void)item, (void)partition;
	_Atomic int *stage = ctx;
	if (atomic_load(stage) == 0)
		atomic_store(stage, 1);
	while (atomic_load(stage) == 1)
		pause_ms(1);
	return 0;
}

struct dump {
	databuffer *buf;
	_Atomic int stage;
};

static void *dump_slowly(void *arg)
{
	struct dump *dump = arg;
	CHECK(databuffer_dump(dump->buf, stay_a_moment, &dump->stage) == 0);
	return NULL;
}

/* The memory that is in use moves when it is free again; until then it is read where it is. */
static void what_is_held_read_and_reserved_stays_where_it_is(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 4;
	o.max_queued = 2;
	databuffer *buf = start(&o);
	databuffer_slot slots[3];
	sink_close(sink);
	for (uint64_t i = 0; i < 3; i++) {
		insert_numbers(buf, 4 * i, 4 * i + 3);
		CHECK(databuffer_reserve(buf, 8, &slots[i]) == 0);
		CHECK(databuffer_flush(buf) == 0);
	}
	WAIT_FOR(sink_inside(sink) == 1);
	insert_numbers(buf, 12, 14);
	struct dump dump = { .buf = buf };
	pthread_t thread = thread_run(dump_slowly, &dump);
	WAIT_FOR(atomic_load(&dump.stage) == 1);
	for (int64_t size = 40; size <= 4000; size *= 10) {
		o.max_size = size;
		change(buf, &o);
	}
	for (uint64_t i = 0; i < 3; i++)
		memcpy(slots[i].data, &(uint64_t){ 100 + i }, 8);
	insert_numbers(buf, 14, 16);
	sink_open(sink);
	flush_all(buf);
	insert_numbers(buf, 200, 200 + 2 * 4000);
	WAIT_FOR(sink_call(sink, sink_calls(sink) - 1).size == 4000);
	for (uint64_t i = 0; i < 3; i++)
		CHECK(databuffer_commit(&slots[i]) == 0);
	check(buf);
	atomic_store(&dump.stage, 2);
	thread_join(thread);
	insert_numbers(buf, 9000, 9000 + 10 * 4000);
	stop_clean(buf);
	assert_int_equal(sink_flushed(sink), 9 + 4 + 8000 + 3 + 40000);
	sink_free(sink);
}

static void jitter_may_come_and_go(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = manual_options(sink);
	databuffer *buf = start(&o);
	o.max_size_jitter = 30;
	change(buf, &o);
	for (unsigned i = 0; i < 200; i++) {
		while (info_of(buf, 0).queued == 0)
			insert_number(buf, i);
		assert_int_equal(databuffer_work(buf, 1), 1);
	}
	bool large = false;
	for (size_t i = 0; i < 200; i++) {
		assert_in_range(sink->calls[i].size, 10, 40);
		large |= sink->calls[i].size > 30;
	}
	assert_true(large);
	o.max_size_jitter = 0;
	change(buf, &o);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(info_of(buf, 0).flush_size, 10);
		insert_numbers(buf, 0, 10);
		assert_int_equal(databuffer_work(buf, 2), 1);
	}
	stop_clean(buf);
	sink_free(sink);
}

struct big {
	databuffer *buf;
	uint64_t numbers[1000];
	int64_t answer;
	_Atomic bool done;
};

static void *insert_big(void *arg)
{
	struct big *big = arg;
	big->answer = databuffer_insert_array_timed(big->buf, big->numbers, 1000, 8, PATIENCE_MS);
	atomic_store(&big->done, true);
	return NULL;
}

/* Or it would wait for room that there never is. */
static void a_batch_insert_that_waits_is_cut_anew_for_smaller_batches(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	struct big big = { .answer = -1 };
	for (uint64_t i = 0; i < 1000; i++)
		big.numbers[i] = 2000 + i;
	o.max_size = 1000;
	big.buf = start(&o);
	sink_close(sink);
	insert_numbers(big.buf, 0, 2000);
	WAIT_FOR(sink_inside(sink) == 1);
	pthread_t thread = thread_run(insert_big, &big);
	WAIT_FOR(stats_of(big.buf).waits == 1);
	o.max_size = 10;
	change(big.buf, &o);
	assert_false(atomic_load(&big.done));
	sink_open(sink);
	thread_join(thread);
	assert_int_equal(big.answer, 0);
	assert_int_equal(stats_of(big.buf).waits, 1);
	stop_clean(big.buf);
	assert_flushed(sink, 0, 3000);
	for (size_t i = 2; i < sink->call_count; i++)
		assert_int_equal(sink->calls[i].size, 10);
	sink_free(sink);
}

static void *wait_for_room(void *arg)
{
	insert_number(arg, 4);
	return NULL;
}

static void larger_batches_are_room_for_those_that_wait(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 2;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 4);
	pthread_t thread = thread_run(wait_for_room, buf);
	WAIT_FOR(stats_of(buf).waits == 1);
	o.max_size = 100;
	change(buf, &o);
	thread_join(thread);
	sink_open(sink);
	stop_clean(buf);
	assert_flushed(sink, 0, 5);
	sink_free(sink);
}

/* --- Time ------------------------------------------------------------------------------------------------- */

static void the_time_of_a_batch_runs_from_the_last_cut_on(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = manual_options(sink);
	o.flush_interval = 1000;
	databuffer *buf = start(&o);
	CHECK(databuffer_work(buf, 5000) == 0);
	insert_number(buf, 0);
	assert_int_equal(databuffer_next_deadline(buf), 6000);
	CHECK(databuffer_work(buf, 5300) == 0);
	o.flush_interval = 2000;
	change(buf, &o);
	assert_int_equal(databuffer_next_deadline(buf), 7000);
	o.flush_interval = 400;
	change(buf, &o);
	assert_int_equal(databuffer_next_deadline(buf), 5400);
	/* However often something changes, no batch waits longer for it. */
	for (int64_t now = 5300; now < 5400; now += 10) {
		CHECK(databuffer_work(buf, now) == 0);
		o.max_size++;
		change(buf, &o);
		assert_int_equal(databuffer_next_deadline(buf), 5400);
	}
	o.flush_interval = 50;
	change(buf, &o);
	assert_int_equal(databuffer_work(buf, 5390), 1); /* that has passed already */
	insert_number(buf, 1);
	assert_int_equal(databuffer_next_deadline(buf), 5440);
	o.flush_interval = 0;
	change(buf, &o);
	assert_int_equal(databuffer_next_deadline(buf), INT64_MAX);
	CHECK(databuffer_work(buf, 1000000) == 0);
	o.flush_interval = 1;
	change(buf, &o);
	assert_int_equal(databuffer_work(buf, 1000000), 1);
	stop_clean(buf);
	assert_flushed(sink, 0, 2);
	sink_free(sink);
}

static void a_buffer_with_threads_follows_as_well(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	o.flush_interval = 10;
	change(buf, &o);
	WAIT_FOR(sink_flushed(sink) == 1);
	insert_number(buf, 1);
	WAIT_FOR(sink_flushed(sink) == 2);
	assert_int_equal(info_of(buf, 0).flush_interval, 10);
	stop_clean(buf);
	sink_free(sink);
}

static void attempts_that_begin_have_the_new_timeout(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = manual_options(sink);
	databuffer *buf = start(&o);
	CHECK(databuffer_work(buf, 1000) == 0);
	int64_t timeouts[] = { o.flush_timeout, 5, 0, 77 };
	for (size_t i = 0; i < 4; i++) {
		o.flush_timeout = timeouts[i];
		change(buf, &o);
		assert_int_equal(info_of(buf, 0).flush_timeout, timeouts[i]);
		insert_numbers(buf, 0, 10);
		assert_int_equal(databuffer_work(buf, 1000), 1);
		assert_int_equal(sink->calls[i].deadline_ms, timeouts[i] ? 1000 + timeouts[i] : INT64_MAX);
	}
	stop_clean(buf);
	sink_free(sink);
}

static void inserts_that_begin_wait_as_long_as_it_says_now(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 2;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 4);
	o.timeout = 0;
	change(buf, &o);
	int64_t begin = now_ms();
	uint64_t number = 4;
	assert_int_equal(databuffer_insert(buf, &number, 8), DATABUFFER_ETIMEDOUT);
	assert_true(now_ms() - begin < PATIENCE_MS);
	o.timeout = 30;
	change(buf, &o);
	begin = now_ms();
	assert_int_equal(databuffer_insert(buf, &number, 8), DATABUFFER_ETIMEDOUT);
	assert_true(now_ms() - begin >= 29);
	sink_open(sink);
	stop_clean(buf);
	sink_free(sink);
}

/* --- Retries ------------------------------------------------------------------------------------------------ */

static int fail_always(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink, (void)batch, (void)call;
	return DATABUFFER_RETRY;
}

static void a_backoff_ends_no_later_than_it_could_be_drawn_now(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = manual_options(sink);
	sink->answer = fail_always;
	o.retry_min = o.retry_max = 100000;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	assert_int_equal(databuffer_work(buf, 1000), 1);
	assert_int_equal(databuffer_next_deadline(buf), 101000);
	o.retry_min = o.retry_max = 20;
	change(buf, &o);
	assert_int_equal(databuffer_next_deadline(buf), 1020);
	assert_int_equal(databuffer_work(buf, 1020), 1);
	assert_int_equal(databuffer_next_deadline(buf), 1040);
	/* Later than that it does not become. */
	o.retry_min = o.retry_max = 5000;
	change(buf, &o);
	assert_int_equal(databuffer_next_deadline(buf), 1040);
	assert_int_equal(databuffer_work(buf, 1040), 1);
	assert_int_equal(databuffer_next_deadline(buf), 6040);
	/* And it may have had enough. */
	o.retry_limit = 4;
	change(buf, &o);
	assert_int_equal(stats_of(buf).dead, 0);
	databuffer_work(buf, 6040);
	for (int64_t now = 6041; stats_of(buf).dead < 10 && now < 100000; now++)
		databuffer_work(buf, now);
	assert_int_equal(stats_of(buf).dead, 10);
	stop_clean(buf);
	sink_free(sink);
}

static void an_open_breaker_probes_by_the_new_backoff_and_closes_when_it_is_not_wanted(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = manual_options(sink);
	sink->answer = fail_always;
	o.max_queued = 2;
	o.breaker_failures = 1;
	o.retry_min = o.retry_max = 100000;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 20);
	assert_int_equal(databuffer_work(buf, 1000), 1);
	assert_int_equal(info_of(buf, 0).breaker_open, 1);
	assert_int_equal(databuffer_next_deadline(buf), 101000);
	o.retry_min = o.retry_max = 50;
	change(buf, &o);
	assert_int_equal(databuffer_next_deadline(buf), 1050);
	assert_int_equal(databuffer_work(buf, 1050), 1);
	o.breaker_failures = 0;
	change(buf, &o);
	assert_int_equal(info_of(buf, 0).breaker_open, 0);
	sink->answer = NULL;
	assert_int_equal(databuffer_work(buf, 1100), 2);
	stop_clean(buf);
	assert_flushed(sink, 0, 20);
	sink_free(sink);
}

/* --- The rate -------------------------------------------------------------------------------------------------- */

static void what_was_booked_at_a_slow_rate_is_not_owed_at_a_fast_one(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = manual_options(sink);
	o.max_queued = 3;
	o.rate_limit_flushes = 1;
	databuffer *buf = start(&o);
	CHECK(databuffer_work(buf, 1000) == 0);
	insert_numbers(buf, 0, 40);
	assert_int_equal(databuffer_work(buf, 1000), 1);
	assert_int_equal(databuffer_work(buf, 1900), 0);
	int64_t slow = databuffer_next_deadline(buf);
	assert_in_range(slow, 1901, 2000);
	/* The new rate begins with what it lets through at once, and keeps the rest back. */
	o.rate_limit_flushes = 2;
	change(buf, &o);
	int done = databuffer_work(buf, 1900);
	assert_in_range(done, 1, 2);
	assert_int_equal(databuffer_work(buf, 2300), 0);
	o.rate_limit_flushes = 0;
	change(buf, &o);
	assert_int_equal(databuffer_work(buf, 2300), 3 - done);
	/* One that begins limits what comes after it. */
	o.rate_limit = 10;
	change(buf, &o);
	insert_numbers(buf, 40, 60);
	assert_int_equal(databuffer_work(buf, 2300), 1);
	assert_int_equal(databuffer_work(buf, 2900), 0);
	o.rate_limit = 0;
	change(buf, &o);
	assert_int_equal(databuffer_work(buf, 2900), 1);
	stop_clean(buf);
	assert_flushed(sink, 0, 60);
	sink_free(sink);
}

/* --- Processes --------------------------------------------------------------------------------------------------- */

static void worker_processes_see_no_more_memory_than_at_start(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.flusher = DATABUFFER_PROCESSES;
	o.max_size = 20;
	databuffer *buf = start(&o);
	o.max_size = 21;
	assert_int_equal(reconfigure(buf, &o), DATABUFFER_EINVAL);
	assert_non_null(strstr(sink->error, "max_size"));
	assert_non_null(strstr(sink->error, "20"));
	o.max_size = 5;
	change(buf, &o);
	insert_numbers(buf, 0, 20);
	flush_all(buf);
	o.max_size = 15;
	o.max_size_jitter = 5;
	change(buf, &o);
	insert_numbers(buf, 20, 60);
	flush_all(buf);
	assert_int_equal(stats_of(buf).flushed, 60);
	assert_true(stats_of(buf).batches >= 4 + 2);
	stop_clean(buf);
	sink_free(sink);
}

/* --- Beside each other -------------------------------------------------------------------------------------- */

struct crowd {
	databuffer *buf;
	databuffer_options o;
	uint64_t each, seed;
	_Atomic unsigned number;
	_Atomic bool over;
	_Atomic uint64_t changes;
};

#define MOST 300

static void *insert_in_crowd(void *arg)
{
	struct crowd *crowd = arg;
	uint64_t number = atomic_fetch_add(&crowd->number, 1), numbers[200];
	uint64_t seed = crowd->seed + number, next = number * crowd->each, end = next + crowd->each;
	while (next < end) {
		size_t n = 1 + dice_below(&seed, dice_below(&seed, 4) == 0 ? 200 : 2);
		databuffer_slot slot;
		if (n > end - next)
			n = end - next;
		for (size_t i = 0; i < n; i++)
			numbers[i] = next + i;
		if (n == 1 && dice_below(&seed, 2) == 0) {
			CHECK(databuffer_reserve(crowd->buf, 8, &slot) == 0);
			memcpy(slot.data, numbers, 8);
			CHECK(databuffer_commit(&slot) == 0);
		} else {
			CHECK(databuffer_insert_array(crowd->buf, numbers, n, 8) == 0);
		}
		next += n;
	}
	return NULL;
}

static void *change_in_crowd(void *arg)
{
	struct crowd *crowd = arg;
	uint64_t seed = crowd->seed + atomic_fetch_add(&crowd->changes, 1);
	databuffer_options o = crowd->o;
	while (!atomic_load(&crowd->over)) {
		o.max_size = 1 + (int64_t)dice_below(&seed, MOST - 50);
		o.max_size_jitter = (int64_t)dice_below(&seed, 50);
		o.flush_interval = (int64_t)dice_below(&seed, 3);
		o.flush_jitter = (int64_t)dice_below(&seed, 2);
		o.retry_max = 1 + (int64_t)dice_below(&seed, 3);
		CHECK(databuffer_reconfigure(crowd->buf, &o) == 0);
		check(crowd->buf);
		atomic_fetch_add(&crowd->changes, 1);
		pause_ms((int64_t)dice_below(&seed, 3));
	}
	return NULL;
}

static int fail_now_and_then(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	uint64_t *next = sink->ctx, seed = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED);
	(void)call;
	return dice_below(&seed, 4) == 0 && databuffer_batch_attempt(batch) < 3 ? DATABUFFER_RETRY : 0;
}

static void beside_inserts_flushes_and_failures_nothing_is_lost(void **state)
{
	(void)state;
	uint64_t seed = test_seed(), answers = seed;
	struct sink *sink = sink_new();
	struct crowd crowd = { .each = scaled(40000), .seed = seed, .o = sink_options(sink) };
	pthread_t threads[4], changers[2];
	sink->answer = fail_now_and_then;
	sink->ctx = &answers;
	crowd.o.partitions = 3;
	crowd.o.max_size = 2;
	crowd.o.max_queued = 2;
	crowd.o.retry_min = 1;
	crowd.o.retry_max = 2;
	crowd.o.timeout = PATIENCE_MS;
	crowd.buf = start(&crowd.o);
	for (unsigned i = 0; i < 4; i++)
		threads[i] = thread_run(insert_in_crowd, &crowd);
	for (unsigned i = 0; i < 2; i++)
		changers[i] = thread_run(change_in_crowd, &crowd);
	for (unsigned i = 0; i < 4; i++)
		thread_join(threads[i]);
	atomic_store(&crowd.over, true);
	for (unsigned i = 0; i < 2; i++)
		thread_join(changers[i]);
	assert_int_equal(stats_of(crowd.buf).inserted, 4 * crowd.each);
	stop_clean(crowd.buf);
	assert_flushed_once(sink, 0, 4 * crowd.each);
	for (size_t i = 0; i < sink->call_count; i++)
		assert_in_range(sink->calls[i].size, 1, MOST);
	print_message("%" PRIu64 " changes\n", atomic_load(&crowd.changes));
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_that_cannot_change_are_refused_by_name),
		cmocka_unit_test(handlers_cannot_change),
		cmocka_unit_test(one_refused_value_changes_nothing),
		cmocka_unit_test(without_a_buffer_or_options_it_is_an_error),
		cmocka_unit_test(the_options_of_a_buffer_are_those_it_runs_with),
		cmocka_unit_test(an_open_batch_that_has_reached_the_new_size_is_cut),
		cmocka_unit_test(batches_may_become_larger_than_any_before),
		cmocka_unit_test(what_is_held_read_and_reserved_stays_where_it_is),
		cmocka_unit_test(jitter_may_come_and_go),
		cmocka_unit_test(a_batch_insert_that_waits_is_cut_anew_for_smaller_batches),
		cmocka_unit_test(larger_batches_are_room_for_those_that_wait),
		cmocka_unit_test(the_time_of_a_batch_runs_from_the_last_cut_on),
		cmocka_unit_test(a_buffer_with_threads_follows_as_well),
		cmocka_unit_test(attempts_that_begin_have_the_new_timeout),
		cmocka_unit_test(inserts_that_begin_wait_as_long_as_it_says_now),
		cmocka_unit_test(a_backoff_ends_no_later_than_it_could_be_drawn_now),
		cmocka_unit_test(an_open_breaker_probes_by_the_new_backoff_and_closes_when_it_is_not_wanted),
		cmocka_unit_test(what_was_booked_at_a_slow_rate_is_not_owed_at_a_fast_one),
		cmocka_unit_test(worker_processes_see_no_more_memory_than_at_start),
		cmocka_unit_test(beside_inserts_flushes_and_failures_nothing_is_lost),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
