/* SPDX-License-Identifier: MIT */
/*
 * Watermarks: who is told, when, how often and in which order, that a buffer holds much or little again.
 */
#include "api/support.h"

/* What handle_pressure was told. */
struct ear {
	struct sink *sink;
	pthread_mutex_t lock;
	unsigned highs, lows, inside;
	int last;
	size_t bytes;
	pthread_t thread;
	void (*also)(struct ear *ear, int high);
	databuffer *buf;
	_Atomic bool closed; /* calls wait inside */
};

static struct ear ear;

static void hear_pressure(int high, size_t bytes, void *meta)
{
	CHECK(meta == ear.sink);
	pthread_mutex_lock(&ear.lock);
	CHECK(high == 0 || high == 1);
	CHECK(ear.inside++ == 0);
	CHECK(ear.highs + ear.lows == 0 ? high == 1 : high != ear.last); /* they alternate */
	*(high ? &ear.highs : &ear.lows) += 1;
	ear.last = high;
	ear.bytes = bytes;
	ear.thread = pthread_self();
	pthread_mutex_unlock(&ear.lock);
	if (ear.also)
		ear.also(&ear, high);
	while (atomic_load(&ear.closed))
		pause_ms(1);
	pthread_mutex_lock(&ear.lock);
	ear.inside--;
	pthread_mutex_unlock(&ear.lock);
}

static unsigned heard(unsigned *count)
{
	pthread_mutex_lock(&ear.lock);
	unsigned n = *count;
	pthread_mutex_unlock(&ear.lock);
	return n;
}

static databuffer_options options_with_marks(struct sink *sink, int64_t low, int64_t high)
{
	databuffer_options o = sink_options(sink);
	ear = (struct ear){ .sink = sink, .lock = PTHREAD_MUTEX_INITIALIZER };
	o.pressure_high = high;
	o.pressure_low = low;
	o.handle_pressure = hear_pressure;
	return o;
}

static databuffer *start_with_marks(const databuffer_options *o)
{
	return ear.buf = start(o);
}

/* --- When ------------------------------------------------------------------------------------------ */

static void the_insert_that_reaches_the_high_mark_tells_of_it(void **state)
{
	(void)state;
	for (unsigned partitions = 1; partitions <= 4; partitions++) {
		struct sink *sink = sink_new();
		databuffer_options o = options_with_marks(sink, 80, 800);
		o.partitions = partitions;
		databuffer *buf = start_with_marks(&o);
		insert_numbers(buf, 0, 99);
		assert_int_equal(ear.highs, 0);
		assert_int_equal(databuffer_pressure(buf), 0);
		insert_number(buf, 99);
		/* Before it returns, on its own thread. */
		assert_int_equal(ear.highs, 1);
		assert_int_equal(ear.bytes, 800);
		assert_true(pthread_equal(ear.thread, pthread_self()));
		assert_int_equal(databuffer_pressure(buf), 1);
		insert_numbers(buf, 100, 200);
		assert_int_equal(ear.highs, 1);
		assert_int_equal(ear.lows, 0);
		flush_all(buf);
		WAIT_FOR(heard(&ear.lows) == 1);
		assert_int_equal(databuffer_pressure(buf), 0);
		stop_clean(buf);
		assert_int_equal(ear.highs, 1);
		assert_int_equal(ear.lows, 1);
		sink_free(sink);
	}
}

static void items_of_any_length_reach_the_mark(void **state)
{
	(void)state;
	uint64_t seed = test_seed();
	for (unsigned round = 0; round < 50; round++) {
		struct sink *sink = sink_new();
		int64_t high = 1000 + (int64_t)dice_below(&seed, 100000);
		databuffer_options o = options_with_marks(sink, 0, high);
		char bytes[600] = { 0 };
		o.partitions = 1 + (int64_t)dice_below(&seed, 3);
		databuffer *buf = start_with_marks(&o);
		for (int64_t held = 0; held < high;) {
			size_t len = 1 + dice_below(&seed, sizeof(bytes));
			assert_int_equal(ear.highs, 0);
			CHECK(databuffer_insert(buf, bytes, len) == 0);
			held += (int64_t)len;
		}
		/* With several partitions what is on lease in the others may be seen later. */
		for (unsigned late = 0; ear.highs == 0; late++) {
			assert_true(o.partitions > 1 && late < 10);
			CHECK(databuffer_insert(buf, bytes, 600) == 0);
		}
		stop_clean(buf);
		assert_int_equal(ear.lows, 1);
		sink_free(sink);
	}
}

static void it_is_told_once_however_often_the_mark_is_passed(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = options_with_marks(sink, 40, 400);
	o.max_size = 10;
	o.max_queued = 20;
	databuffer *buf = start_with_marks(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 60);
	assert_int_equal(ear.highs, 1);
	/* Down by one batch, up by one again, around the high mark and above the low one. */
	for (uint64_t i = 0; i < 10; i++) {
		sink_let_pass(sink, 1);
		WAIT_FOR(stats_of(buf).held == 50);
		insert_numbers(buf, 60 + 10 * i, 70 + 10 * i);
		assert_int_equal(databuffer_pressure(buf), 1);
	}
	assert_int_equal(heard(&ear.highs), 1);
	assert_int_equal(heard(&ear.lows), 0);
	/* 48 bytes are too many, and 40 few enough. */
	sink_let_pass(sink, 5);
	WAIT_FOR(stats_of(buf).held == 10);
	assert_int_equal(databuffer_pressure(buf), 1);
	insert_numbers(buf, 160, 165);
	sink_let_pass(sink, 1);
	WAIT_FOR(heard(&ear.lows) == 1);
	assert_int_equal(databuffer_pressure(buf), 0);
	assert_int_equal(ear.bytes, 40);
	sink_open(sink);
	stop_clean(buf);
	assert_int_equal(ear.highs, 1);
	assert_int_equal(ear.lows, 1);
	sink_free(sink);
}

static uint64_t key_of(databuffer *buf, unsigned partition)
{
	for (uint64_t key = 0, number = 0;; key++) {
		size_t before = info_of(buf, partition).size;
		CHECK(databuffer_insert_keyed(buf, key, &number, sizeof(number)) == 0);
		if (info_of(buf, partition).size > before)
			return key;
	}
}

static void leases_taken_above_the_mark_do_not_reach_it_again(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = options_with_marks(sink, 7000, 8000);
	o.partitions = 2;
	o.max_size = 1200;
	databuffer *buf = start_with_marks(&o);
	uint64_t keys[] = { key_of(buf, 0), key_of(buf, 1) }, number = 0;
	sink_close(sink);
	/* Partition 0 has a full batch, which is more than the mark; then the thread leases in partition 1. */
	while (info_of(buf, 0).size < 1200)
		CHECK(databuffer_insert_keyed(buf, keys[0], &number, sizeof(number)) == 0);
	WAIT_FOR(info_of(buf, 0).in_flight == 1);
	assert_int_equal(heard(&ear.highs), 1);
	while (info_of(buf, 1).size < 600)
		CHECK(databuffer_insert_keyed(buf, keys[1], &number, sizeof(number)) == 0);
	sink_open(sink);
	WAIT_FOR(heard(&ear.lows) == 1);

	while (stats_of(buf).held_bytes + sizeof(number) < 8000)
		CHECK(databuffer_insert_keyed(buf, keys[1], &number, sizeof(number)) == 0);
	assert_int_equal(heard(&ear.highs), 1);
	CHECK(databuffer_insert_keyed(buf, keys[1], &number, sizeof(number)) == 0);
	assert_int_equal(heard(&ear.highs), 2);
	stop_clean(buf);
	sink_free(sink);
}

static void what_is_committed_counts_and_what_is_reserved_does_not(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = options_with_marks(sink, 0, 24);
	databuffer *buf = start_with_marks(&o);
	databuffer_slot slots[4];
	for (unsigned i = 0; i < 4; i++) {
		CHECK(databuffer_reserve(buf, 8, &slots[i]) == 0);
		memset(slots[i].data, 0, 8);
	}
	CHECK(databuffer_abort(&slots[0]) == 0);
	CHECK(databuffer_commit(&slots[1]) == 0);
	CHECK(databuffer_commit(&slots[2]) == 0);
	assert_int_equal(ear.highs, 0);
	CHECK(databuffer_commit(&slots[3]) == 0);
	assert_int_equal(ear.highs, 1);
	stop_clean(buf);
	assert_int_equal(ear.lows, 1);
	sink_free(sink);
}

static void a_batch_that_reaches_beyond_the_mark_at_once_is_told(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = options_with_marks(sink, 0, 100);
	uint64_t numbers[50] = { 0 };
	databuffer *buf = start_with_marks(&o);
	CHECK(databuffer_insert_array(buf, numbers, 50, 8) == 0);
	assert_int_equal(ear.highs, 1);
	assert_int_equal(ear.bytes, 400);
	stop_clean(buf);
	sink_free(sink);
}

static void what_is_rejected_or_dropped_is_held_no_more(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = options_with_marks(sink, 16, 64);
	o.max_size = 4;
	o.overflow = DATABUFFER_OVERFLOW_DROP_OLDEST;
	databuffer *buf = start_with_marks(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 4);
	WAIT_FOR(sink_inside(sink) == 1);
	insert_numbers(buf, 4, 8);
	assert_int_equal(ear.highs, 1);
	/* One for one, it stays as it is. */
	insert_numbers(buf, 8, 100);
	assert_int_equal(ear.highs, 1);
	assert_int_equal(ear.lows, 0);
	assert_int_equal(stats_of(buf).held_bytes, 64);
	sink_open(sink);
	WAIT_FOR(heard(&ear.lows) == 1);
	stop_clean(buf);
	sink_free(sink);
}

static void without_marks_nobody_is_told(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = options_with_marks(sink, 0, 0);
	databuffer *buf = start_with_marks(&o);
	insert_numbers(buf, 0, 10000);
	assert_int_equal(databuffer_pressure(buf), 0);
	stop_clean(buf);
	assert_int_equal(ear.highs + ear.lows, 0);
	assert_int_equal(databuffer_pressure(NULL), DATABUFFER_EINVAL);
	sink_free(sink);
}

static void a_manual_buffer_tells_in_work(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = options_with_marks(sink, 0, 80);
	o.flusher = DATABUFFER_MANUAL;
	o.max_size = 10;
	databuffer *buf = start_with_marks(&o);
	insert_numbers(buf, 0, 10);
	assert_int_equal(ear.highs, 1);
	assert_int_equal(ear.lows, 0);
	assert_int_equal(databuffer_work(buf, 0), 1);
	assert_int_equal(ear.lows, 1);
	stop_clean(buf);
	sink_free(sink);
}

/* --- Events ---------------------------------------------------------------------------------------- */

struct told {
	unsigned highs, lows;
	size_t bytes;
};

static void hear_event(const databuffer_event *event, void *ctx)
{
	struct told *told = ctx;
	CHECK(event->kind == DATABUFFER_PRESSURE_HIGH || event->kind == DATABUFFER_PRESSURE_LOW);
	CHECK(strcmp(event->buffer, "marked") == 0);
	CHECK(event->status == 0 && event->system_time_ns > 0);
	*(event->kind == DATABUFFER_PRESSURE_HIGH ? &told->highs : &told->lows) += 1;
	told->bytes = event->bytes;
}

static void the_marks_are_events_too_with_a_handler_or_without(void **state)
{
	(void)state;
	for (int with = 0; with <= 1; with++) {
		struct sink *sink = sink_new();
		databuffer_options o = options_with_marks(sink, 0, 800);
		struct told told = { 0 };
		o.name = "marked";
		if (!with)
			o.handle_pressure = NULL;
		assert_int_equal(databuffer_telemetry_attach("marks", DATABUFFER_PRESSURE_HIGH | DATABUFFER_PRESSURE_LOW,
		                                             hear_event, &told),
		                 0);
		databuffer *buf = start_with_marks(&o);
		insert_numbers(buf, 0, 100);
		assert_int_equal(told.highs, 1);
		assert_int_equal(told.bytes, 800);
		assert_int_equal(ear.highs, with);
		stop_clean(buf);
		assert_int_equal(told.lows, 1);
		assert_int_equal(told.bytes, 0);
		assert_int_equal(databuffer_telemetry_detach("marks"), 0);
		sink_free(sink);
	}
}

/* --- In the handler ---------------------------------------------------------------------------------- */

static void use_buffer(struct ear *e, int high)
{
	(void)high;
	CHECK(databuffer_insert(e->buf, "12345678", 8) == 0);
	CHECK(databuffer_size(e->buf) > 0);
	CHECK(databuffer_stop(e->buf, 0) == DATABUFFER_EDEADLK);
	CHECK(databuffer_sync_flush(e->buf, NULL, 0, 0) == DATABUFFER_EDEADLK);
	CHECK(databuffer_flush(e->buf) == 0);
}

static void the_handler_may_insert_and_ask_for_a_flush(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = options_with_marks(sink, 8, 800);
	databuffer *buf = start_with_marks(&o);
	ear.also = use_buffer;
	insert_numbers(buf, 0, 100);
	assert_int_equal(heard(&ear.highs), 1);
	WAIT_FOR(heard(&ear.lows) == 1);
	WAIT_FOR(stats_of(buf).inserted == 102);
	ear.also = NULL;
	stop_clean(buf);
	sink_free(sink);
}

static void *insert_a_hundred(void *arg)
{
	insert_numbers(arg, 0, 100);
	return NULL;
}

static void while_one_is_told_the_others_go_on_and_the_last_news_comes_last(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = options_with_marks(sink, 0, 800);
	databuffer *buf = start_with_marks(&o);
	atomic_store(&ear.closed, true);
	pthread_t thread = thread_run(insert_a_hundred, buf);
	WAIT_FOR(heard(&ear.highs) == 1);
	/* Nobody waits for the one who tells. */
	flush_all(buf);
	assert_int_equal(databuffer_pressure(buf), 0);
	insert_numbers(buf, 0, 100);
	assert_int_equal(databuffer_pressure(buf), 1);
	flush_all(buf);
	assert_int_equal(heard(&ear.highs), 1);
	assert_int_equal(heard(&ear.lows), 0);
	atomic_store(&ear.closed, false);
	thread_join(thread);
	/* What came and went meanwhile is not told; what is so in the end is. */
	assert_int_equal(ear.highs, 1);
	assert_int_equal(ear.lows, 1);
	stop_clean(buf);
	sink_free(sink);
}

static void a_stop_waits_for_the_handler_up_to_its_deadline(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = options_with_marks(sink, 0, 800);
	databuffer *buf = start_with_marks(&o);
	atomic_store(&ear.closed, true);
	pthread_t thread = thread_run(insert_a_hundred, buf);
	WAIT_FOR(heard(&ear.highs) == 1);
	int64_t begin = now_ms();
	assert_int_equal(databuffer_stop(buf, 50), 0);
	assert_true(now_ms() - begin >= 50);
	atomic_store(&ear.closed, false);
	thread_join(thread);
	/* Nothing begins after it. */
	assert_int_equal(ear.highs, 1);
	assert_int_equal(ear.lows, 0);
	sink_free(sink);
}

static void what_is_left_at_a_stop_is_held_no_more(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = options_with_marks(sink, 0, 800);
	databuffer *buf = start_with_marks(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 100);
	assert_int_equal(ear.highs, 1);
	assert_int_equal(databuffer_stop(buf, 0), 100);
	assert_int_equal(ear.lows, 1);
	sink_open(sink);
	sink_keep(sink);
}

/* --- Beside each other --------------------------------------------------------------------------------- */

struct crowd {
	databuffer *buf;
	uint64_t each;
	_Atomic bool paused;
	_Atomic uint64_t pauses;
};

static struct crowd crowd;

/* What it is for: producers pause while the buffer holds much. */
static void pause_producers(struct ear *e, int high)
{
	(void)e;
	atomic_store(&crowd.paused, high);
}

static void *insert_unless_paused(void *arg)
{
	(void)arg;
	for (uint64_t i = 0; i < crowd.each; i++) {
		int64_t until = now_ms() + PATIENCE_MS;
		if (atomic_load(&crowd.paused))
			atomic_fetch_add(&crowd.pauses, 1);
		while (atomic_load(&crowd.paused)) {
			CHECK(now_ms() < until); /* the low mark is told, or this would be for ever */
			pause_ms(1);
		}
		insert_number(crowd.buf, i);
	}
	return NULL;
}

static void no_news_is_lost_among_many_threads(void **state)
{
	(void)state;
	for (unsigned partitions = 1; partitions <= 3; partitions += 2) {
		struct sink *sink = sink_new();
		databuffer_options o = options_with_marks(sink, 400, 4000);
		pthread_t threads[4];
		o.partitions = partitions;
		o.max_size = 40;
		o.max_queued = 30;
		o.flush_interval = 1;
		ear.also = pause_producers;
		crowd = (struct crowd){ .buf = start_with_marks(&o), .each = scaled(50000) };
		for (unsigned i = 0; i < 4; i++)
			threads[i] = thread_run(insert_unless_paused, NULL);
		for (unsigned i = 0; i < 4; i++)
			thread_join(threads[i]);
		stop_clean(crowd.buf);
		assert_int_equal(ear.highs, ear.lows);
		assert_int_equal(sink_flushed(sink), 4 * crowd.each);
		print_message("%u times high and low, %" PRIu64 " pauses\n", ear.highs, atomic_load(&crowd.pauses));
		sink_free(sink);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_insert_that_reaches_the_high_mark_tells_of_it),
		cmocka_unit_test(items_of_any_length_reach_the_mark),
		cmocka_unit_test(it_is_told_once_however_often_the_mark_is_passed),
		cmocka_unit_test(leases_taken_above_the_mark_do_not_reach_it_again),
		cmocka_unit_test(what_is_committed_counts_and_what_is_reserved_does_not),
		cmocka_unit_test(a_batch_that_reaches_beyond_the_mark_at_once_is_told),
		cmocka_unit_test(what_is_rejected_or_dropped_is_held_no_more),
		cmocka_unit_test(without_marks_nobody_is_told),
		cmocka_unit_test(a_manual_buffer_tells_in_work),
		cmocka_unit_test(the_marks_are_events_too_with_a_handler_or_without),
		cmocka_unit_test(the_handler_may_insert_and_ask_for_a_flush),
		cmocka_unit_test(while_one_is_told_the_others_go_on_and_the_last_news_comes_last),
		cmocka_unit_test(a_stop_waits_for_the_handler_up_to_its_deadline),
		cmocka_unit_test(what_is_left_at_a_stop_is_held_no_more),
		cmocka_unit_test(no_news_is_lost_among_many_threads),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
