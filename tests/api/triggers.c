/* SPDX-License-Identifier: MIT */
/* What cuts a batch: the item that fills it, its bytes, its time, being asked, the end; and nothing else. */
#include "api/support.h"

/* How many batches are cut while the sink's gate is closed, and so still there. */
static unsigned batches_cut(databuffer *buf)
{
	databuffer_partition_info info = info_of(buf, 0);
	return info.queued + info.in_flight;
}

/* --- Size ----------------------------------------------------------------------------------------------- */

static void a_batch_is_cut_by_the_insert_that_fills_it(void **state)
{
	(void)state;
	static const unsigned sizes[] = { 1, 2, 3, 7, 64, 100, 1000 };
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.max_size = sizes[i];
		databuffer *buf = start(&o);
		sink_close(sink);
		insert_numbers(buf, 0, sizes[i] - 1);
		assert_int_equal(batches_cut(buf), 0);
		insert_number(buf, sizes[i] - 1);
		assert_int_equal(batches_cut(buf), 1); /* no sooner, and no later */
		WAIT_FOR(sink_calls(sink) == 1);
		assert_int_equal(sink_call(sink, 0).size, sizes[i]);
		assert_int_equal(sink_call(sink, 0).trigger, DATABUFFER_TRIGGER_SIZE);
		sink_open(sink);
		stop_clean(buf);
		assert_flushed(sink, 0, sizes[i]);
		assert_int_equal(sink_calls(sink), 1);
		sink_free(sink);
	}
}

static void one_thread_makes_the_same_batches_every_time(void **state)
{
	(void)state;
	for (int round = 0; round < 20; round++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.max_size = 7;
		databuffer *buf = start(&o);
		insert_numbers(buf, 0, 1000);
		stop_clean(buf);
		assert_flushed(sink, 0, 1000);
		assert_int_equal(sink->call_count, 143);
		for (size_t i = 0; i < 143; i++) {
			assert_int_equal(sink->calls[i].size, i < 142 ? 7 : 6);
			assert_int_equal(sink->calls[i].trigger,
			                 i < 142 ? DATABUFFER_TRIGGER_SIZE : DATABUFFER_TRIGGER_STOP);
		}
		sink_free(sink);
	}
}

struct share {
	databuffer *buf;
	uint64_t from, to;
};

static void *insert_share(void *arg)
{
	struct share *share = arg;
	insert_numbers(share->buf, share->from, share->to);
	return NULL;
}

struct looker {
	databuffer *buf;
	_Atomic bool done;
};

static int show_nothing(const databuffer_item *item, unsigned partition, void *ctx)
{
	(void)item;
	(void)partition;
	(void)ctx;
	return 0;
}

static void *look(void *arg)
{
	struct looker *looker = arg;
	while (!looker->done) {
		CHECK(databuffer_dump(looker->buf, show_nothing, NULL) == 0);
		databuffer_size(looker->buf);
	}
	return NULL;
}

/* Threads insert numbers 0 to n, divided among them at random; a dump, which takes their room back, may look
 * on. */
static void insert_together(databuffer *buf, uint64_t n, uint64_t *seed, bool looked_at)
{
	struct share shares[5];
	pthread_t threads[5], looking;
	struct looker looker = { .buf = buf };
	unsigned count = 2 + (unsigned)dice_below(seed, 4);
	if (looked_at)
		looking = thread_run(look, &looker);
	uint64_t next = 0;
	for (unsigned i = 0; i < count; i++) {
		uint64_t to = i + 1 == count ? n : next + dice_below(seed, n - next + 1);
		shares[i] = (struct share){ buf, next, to };
		threads[i] = thread_run(insert_share, &shares[i]);
		next = to;
	}
	for (unsigned i = 0; i < count; i++)
		thread_join(threads[i]);
	looker.done = true;
	if (looked_at)
		thread_join(looking);
}

static void threads_that_fill_a_batch_together_have_it_cut(void **state)
{
	(void)state;
	uint64_t seed = test_seed();
	for (uint64_t round = 0; round < scaled(600); round++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		uint64_t size = 2 + dice_below(&seed, 100);
		bool by_bytes = round % 4 > 1;
		if (by_bytes)
			o.max_bytes = (int64_t)size * 8;
		else
			o.max_size = (int64_t)size;
		databuffer *buf = start(&o);
		sink_close(sink);
		insert_together(buf, size, &seed, round % 2 == 0);
		assert_int_equal(batches_cut(buf), 1);
		assert_int_equal(info_of(buf, 0).size, size);
		sink_open(sink);
		stop_clean(buf);
		ASSERT_CUTS(sink, size);
		assert_int_equal(sink->calls[0].trigger,
		                 by_bytes ? DATABUFFER_TRIGGER_BYTES : DATABUFFER_TRIGGER_SIZE);
		assert_flushed_once(sink, 0, size);
		sink_free(sink);
	}
}

static void threads_that_fill_many_batches_leave_none_half_full(void **state)
{
	(void)state;
	uint64_t seed = test_seed();
	for (int round = 0; round < 6; round++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		uint64_t size = 1 + dice_below(&seed, 200), batches = 1 + scaled(20000) / size;
		o.max_size = (int64_t)size;
		databuffer *buf = start(&o);
		insert_together(buf, batches * size, &seed, round % 2 == 0);
		WAIT_FOR(sink_flushed(sink) == batches * size); /* without a flush, or a stop */
		assert_int_equal(sink_calls(sink), batches);
		for (size_t i = 0; i < batches; i++)
			assert_int_equal(sink_call(sink, i).size, size);
		stop_clean(buf);
		assert_flushed_once(sink, 0, batches * size);
		assert_int_equal(sink_calls(sink), batches);
		sink_free(sink);
	}
}

static void a_batch_insert_that_needs_the_room_cuts_what_there_is(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 7);
	uint64_t numbers[4] = { 7, 8, 9, 10 };
	assert_int_equal(databuffer_insert_array(buf, numbers, 4, 8), 0);
	stop_clean(buf);
	ASSERT_CUTS(sink, 7, 4);
	assert_int_equal(sink->calls[0].trigger, DATABUFFER_TRIGGER_SIZE);
	assert_int_equal(sink->calls[1].trigger, DATABUFFER_TRIGGER_STOP);
	assert_flushed(sink, 0, 11);
	sink_free(sink);
}

/* --- Jitter of the size --------------------------------------------------------------------------------- */

/* The sizes of 200 batches of 10 to 20 items, one after the other; each as info tells it beforehand. */
static void draw_sizes(int64_t seed, size_t *sizes)
{
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	o.max_size_jitter = 10;
	o.seed = seed;
	databuffer *buf = start(&o);
	for (size_t i = 0; i < 200; i++) {
		size_t size = info_of(buf, 0).flush_size;
		insert_numbers(buf, 0, size);
		WAIT_FOR(sink_calls(sink) == i + 1);
		sizes[i] = sink_call(sink, i).size;
		assert_int_equal(sizes[i], size);
	}
	stop_clean(buf);
	assert_int_equal(sink->call_count, 200);
	sink_free(sink);
}

static void jitter_is_drawn_anew_for_every_batch_within_its_bounds(void **state)
{
	(void)state;
	size_t sizes[200];
	unsigned seen[21] = { 0 };
	draw_sizes(7, sizes);
	for (size_t i = 0; i < 200; i++) {
		assert_in_range(sizes[i], 10, 20);
		seen[sizes[i]]++;
	}
	for (size_t size = 10; size <= 20; size++)
		assert_in_range(seen[size], 5, 50); /* 18 each, more or less */
}

static void a_seed_brings_the_same_jitter_back(void **state)
{
	(void)state;
	size_t first[200], again[200], other[200];
	draw_sizes(1, first);
	draw_sizes(1, again);
	draw_sizes(2, other);
	assert_memory_equal(first, again, sizeof(first));
	assert_memory_not_equal(first, other, sizeof(first));
}

/* --- Bytes ---------------------------------------------------------------------------------------------- */

static void a_batch_is_cut_by_the_insert_that_fills_its_bytes(void **state)
{
	(void)state;
	static const size_t lengths[] = { 1, 4, 5, 8, 16, 20, 80, 160 };
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		char item[160] = { 0 };
		o.max_bytes = 160;
		databuffer *buf = start(&o);
		sink_close(sink);
		for (size_t bytes = lengths[i]; bytes < 160; bytes += lengths[i])
			assert_int_equal(databuffer_insert(buf, item, lengths[i]), 0);
		assert_int_equal(batches_cut(buf), 0);
		assert_int_equal(databuffer_insert(buf, item, lengths[i]), 0);
		assert_int_equal(batches_cut(buf), 1);
		sink_open(sink);
		WAIT_FOR(sink_calls(sink) == 1);
		assert_int_equal(sink_call(sink, 0).bytes, 160);
		assert_int_equal(sink_call(sink, 0).trigger, DATABUFFER_TRIGGER_BYTES);
		stop_clean(buf);
		assert_int_equal(sink->call_count, 1);
		sink_free(sink);
	}
}

static void an_item_that_does_not_fit_cuts_what_there_is(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	char item[100] = { 0 };
	o.max_bytes = 100;
	databuffer *buf = start(&o);
	sink_close(sink);
	assert_int_equal(databuffer_insert(buf, item, 60), 0);
	assert_int_equal(databuffer_insert(buf, item, 39), 0);
	assert_int_equal(batches_cut(buf), 0);
	assert_int_equal(databuffer_insert(buf, item, 2), 0);
	assert_int_equal(batches_cut(buf), 1);
	assert_int_equal(info_of(buf, 0).size, 3);
	sink_open(sink);
	stop_clean(buf);
	ASSERT_CUTS(sink, 2, 1);
	assert_int_equal(sink->calls[0].bytes, 99);
	assert_int_equal(sink->calls[0].trigger, DATABUFFER_TRIGGER_BYTES);
	assert_int_equal(sink->calls[1].trigger, DATABUFFER_TRIGGER_STOP);
	sink_free(sink);
}

/* The cuts that size and bytes make of a row of lengths, worked out by hand. */
struct cuts {
	size_t count, sizes[600], bytes[600];
	bool full[600], heavy[600]; /* by size; by bytes */
};

static void cut_by_hand(struct cuts *cuts, bool full, bool heavy)
{
	cuts->full[cuts->count] = full;
	cuts->heavy[cuts->count++] = heavy;
	cuts->sizes[cuts->count] = cuts->bytes[cuts->count] = 0;
}

static void add_by_hand(struct cuts *cuts, size_t len, size_t max_size, size_t max_bytes)
{
	if (cuts->bytes[cuts->count] + len > max_bytes)
		cut_by_hand(cuts, false, true);
	size_t size = ++cuts->sizes[cuts->count], bytes = cuts->bytes[cuts->count] += len;
	if (size == max_size || bytes == max_bytes)
		cut_by_hand(cuts, size == max_size, bytes == max_bytes);
}

static void cuts_by_size_and_bytes_are_exact_whatever_the_lengths(void **state)
{
	(void)state;
	uint64_t seed = test_seed();
	static struct cuts cuts;
	for (int round = 0; round < 60; round++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		size_t max_size = 1 + dice_below(&seed, 12), max_bytes = 1 + dice_below(&seed, 90);
		o.max_size = (int64_t)max_size;
		o.max_bytes = (int64_t)max_bytes;
		databuffer *buf = start(&o);
		char item[100] = { 0 };
		memset(&cuts, 0, sizeof(cuts));
		for (unsigned i = 0; i < 500; i++) {
			size_t len = dice_below(&seed, dice_below(&seed, max_bytes + 1) + 1);
			assert_int_equal(databuffer_insert(buf, item, len), 0);
			add_by_hand(&cuts, len, max_size, max_bytes);
		}
		stop_clean(buf);
		for (size_t i = 0; i < cuts.count; i++) {
			struct call *call = &sink->calls[i];
			assert_int_equal(call->size, cuts.sizes[i]);
			assert_int_equal(call->bytes, cuts.bytes[i]);
			assert_true((call->trigger == DATABUFFER_TRIGGER_SIZE && cuts.full[i]) ||
			            (call->trigger == DATABUFFER_TRIGGER_BYTES && cuts.heavy[i]));
		}
		assert_int_equal(sink->call_count, cuts.count + (cuts.sizes[cuts.count] > 0));
		sink_free(sink);
	}
}

/* --- Time ----------------------------------------------------------------------------------------------- */

static void what_is_held_is_flushed_when_its_time_is_up(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.flush_interval = 30;
	o.partitions = 2;
	int64_t before = now_ms();
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 2);
	WAIT_FOR(sink_calls(sink) == 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(sink_call(sink, i).trigger, DATABUFFER_TRIGGER_INTERVAL);
		assert_true(sink_call(sink, i).begin_ms - before >= 30);
	}
	stop_clean(buf);
	sink_free(sink);
}

static void the_interval_runs_from_the_last_cut(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.flush_interval = 100000;
	o.max_size = 3;
	databuffer *buf = start(&o);
	for (unsigned i = 0; i < 10; i++) {
		int64_t until = now_ms() + 20;
		WAIT_FOR(now_ms() > until);
		assert_in_range(info_of(buf, 0).next_flush_ms, 1, 100000 - 20);
		int64_t before = now_ms();
		insert_numbers(buf, 0, i % 2 == 0 ? 3 : 1);
		flush_all(buf); /* every second time it finds what size has cut already */
		int64_t next = info_of(buf, 0).next_flush_ms, elapsed = now_ms() - before;
		assert_in_range(next, 100000 - elapsed - 1, 100000);
	}
	stop_clean(buf);
	sink_free(sink);
}

static void no_cut_by_time_comes_before_the_interval_after_another(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.flush_interval = 30;
	o.flush_jitter = 5;
	databuffer *buf = start(&o);
	for (int i = 0; i < 8; i++) {
		insert_number(buf, 0);
		int64_t before = now_ms();
		flush_all(buf);
		size_t calls = sink_calls(sink);
		insert_number(buf, 0);
		WAIT_FOR(sink_calls(sink) == calls + 1);
		struct call call = sink_call(sink, calls);
		assert_int_equal(call.trigger, DATABUFFER_TRIGGER_INTERVAL);
		/* The flush may have found its item gone, cut by time as this one is. */
		if (sink_call(sink, calls - 1).trigger == DATABUFFER_TRIGGER_FLUSH)
			assert_true(call.begin_ms - before >= 30);
	}
	stop_clean(buf);
	sink_free(sink);
}

static void the_jitter_of_the_interval_is_drawn_anew_within_its_bounds(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.flush_interval = 100000;
	o.flush_jitter = 50000;
	o.seed = 3;
	databuffer *buf = start(&o);
	unsigned early = 0, late = 0;
	int64_t last = 0;
	for (int i = 0; i < 60; i++) {
		insert_number(buf, 0);
		int64_t before = now_ms();
		flush_all(buf);
		int64_t next = info_of(buf, 0).next_flush_ms, elapsed = now_ms() - before;
		assert_in_range(next, 100000 - elapsed - 1, 150000);
		early += next < 125000 - elapsed;
		late += next > 125000;
		assert_int_not_equal(next, last);
		last = next;
	}
	assert_in_range(early, 15, 45);
	assert_in_range(late, 15, 45);
	stop_clean(buf);
	sink_free(sink);
}

static void without_an_interval_nothing_is_cut_by_time(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.flush_jitter = 1;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	assert_int_equal(info_of(buf, 0).next_flush_ms, -1);
	stop_clean(buf);
	ASSERT_CUTS(sink, 1);
	assert_int_equal(sink->calls[0].trigger, DATABUFFER_TRIGGER_STOP);
	sink_free(sink);
}

/* --- Nothing to flush ----------------------------------------------------------------------------------- */

static void an_empty_partition_is_never_flushed(void **state)
{
	(void)state;
	struct sink *sink = sink_new(), *clock = sink_new();
	databuffer_options o = sink_options(sink);
	o.flush_interval = 2;
	o.flush_jitter = 1;
	databuffer *buf = start(&o);
	o.flush_meta = clock;
	o.flush_empty = 1;
	databuffer *ticks = start(&o); /* shows that the time has come, again and again */
	databuffer_flush(ticks);
	WAIT_FOR(sink_calls(clock) >= 20);
	assert_int_equal(sink_calls(sink), 0);
	databuffer_flush(buf);
	flush_all(buf);
	assert_int_equal(sink_calls(sink), 0);
	insert_number(buf, 0);
	WAIT_FOR(sink_calls(sink) == 1);
	size_t calls = sink_calls(clock);
	WAIT_FOR(sink_calls(clock) >= calls + 20);
	assert_int_equal(sink_calls(sink), 1);
	stop_clean(buf);
	stop_clean(ticks);
	ASSERT_CUTS(sink, 1);
	sink_free(sink);
	sink_free(clock);
}

static void flush_empty_flushes_nothing_when_asked(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.flush_empty = 1;
	databuffer *buf = start(&o);
	flush_all(buf);
	WAIT_FOR(sink_calls(sink) == 1);
	databuffer_flush(buf);
	WAIT_FOR(sink_calls(sink) == 2);
	insert_number(buf, 0);
	flush_all(buf);
	stop_clean(buf); /* with nothing held, which is no reason to call anybody */
	ASSERT_CUTS(sink, 0, 0, 1);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(sink->calls[i].trigger, DATABUFFER_TRIGGER_FLUSH);
	assert_flushed(sink, 0, 1);
	sink_free(sink);
}

static void flush_empty_calls_the_handler_at_every_interval_from_the_start_on(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.flush_empty = 1;
	o.flush_interval = 2;
	databuffer *buf = start(&o);
	WAIT_FOR(sink_calls(sink) >= 5);
	stop_clean(buf);
	for (size_t i = 0; i < sink->call_count; i++) {
		assert_int_equal(sink->calls[i].size, 0);
		assert_int_equal(sink->calls[i].trigger, DATABUFFER_TRIGGER_INTERVAL);
	}
	sink_free(sink);
}

/* --- How it is told ------------------------------------------------------------------------------------- */

static _Atomic int told_at_start, told_at_stop;

static void hear(const databuffer_event *event, void *ctx)
{
	(void)ctx;
	if (strcmp(event->buffer, "told") != 0)
		return;
	if (event->kind == DATABUFFER_FLUSH_START)
		told_at_start = (int)event->trigger;
	else
		told_at_stop = (int)event->trigger;
}

static void cut_by(databuffer_trigger trigger, databuffer *buf)
{
	switch (trigger) {
	case DATABUFFER_TRIGGER_SIZE:
		insert_numbers(buf, 0, 3);
		break;
	case DATABUFFER_TRIGGER_BYTES:
		CHECK(databuffer_insert(buf, "this and the numbers are ", 25) == 0);
		insert_numbers(buf, 0, 1);
		break;
	case DATABUFFER_TRIGGER_FLUSH:
		insert_number(buf, 0);
		databuffer_flush(buf);
		break;
	default:
		insert_number(buf, 0);
		break;
	}
}

static void the_trigger_is_told_in_the_batch_and_in_its_events(void **state)
{
	(void)state;
	unsigned events = DATABUFFER_FLUSH_START | DATABUFFER_FLUSH_STOP;
	assert_int_equal(databuffer_telemetry_attach("told", events, hear, NULL), 0);
	for (int trigger = 0; trigger < DATABUFFER_TRIGGER_COUNT; trigger++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.name = "told";
		o.max_size = 3;
		o.max_bytes = 33;
		o.flush_interval = trigger == DATABUFFER_TRIGGER_INTERVAL ? 1 : 0;
		told_at_start = told_at_stop = -1;
		databuffer *buf = start(&o);
		cut_by((databuffer_trigger)trigger, buf);
		if (trigger != DATABUFFER_TRIGGER_STOP)
			WAIT_FOR(sink_calls(sink) == 1);
		stop_clean(buf);
		assert_int_equal(sink->call_count, 1);
		assert_int_equal(sink->calls[0].trigger, trigger);
		assert_int_equal(told_at_start, trigger);
		assert_int_equal(told_at_stop, trigger);
		sink_free(sink);
	}
	assert_int_equal(databuffer_telemetry_detach("told"), 0);
}

static void every_trigger_has_its_name(void **state)
{
	(void)state;
	assert_string_equal(databuffer_trigger_name(DATABUFFER_TRIGGER_SIZE), "size");
	assert_string_equal(databuffer_trigger_name(DATABUFFER_TRIGGER_BYTES), "bytes");
	assert_string_equal(databuffer_trigger_name(DATABUFFER_TRIGGER_INTERVAL), "interval");
	assert_string_equal(databuffer_trigger_name(DATABUFFER_TRIGGER_FLUSH), "flush");
	assert_string_equal(databuffer_trigger_name(DATABUFFER_TRIGGER_STOP), "stop");
	assert_string_equal(databuffer_trigger_name(DATABUFFER_TRIGGER_COUNT), "unknown");
	assert_string_equal(databuffer_trigger_name((databuffer_trigger)-1), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_is_cut_by_the_insert_that_fills_it),
		cmocka_unit_test(one_thread_makes_the_same_batches_every_time),
		cmocka_unit_test(threads_that_fill_a_batch_together_have_it_cut),
		cmocka_unit_test(threads_that_fill_many_batches_leave_none_half_full),
		cmocka_unit_test(a_batch_insert_that_needs_the_room_cuts_what_there_is),
		cmocka_unit_test(jitter_is_drawn_anew_for_every_batch_within_its_bounds),
		cmocka_unit_test(a_seed_brings_the_same_jitter_back),
		cmocka_unit_test(a_batch_is_cut_by_the_insert_that_fills_its_bytes),
		cmocka_unit_test(an_item_that_does_not_fit_cuts_what_there_is),
		cmocka_unit_test(cuts_by_size_and_bytes_are_exact_whatever_the_lengths),
		cmocka_unit_test(what_is_held_is_flushed_when_its_time_is_up),
		cmocka_unit_test(the_interval_runs_from_the_last_cut),
		cmocka_unit_test(no_cut_by_time_comes_before_the_interval_after_another),
		cmocka_unit_test(the_jitter_of_the_interval_is_drawn_anew_within_its_bounds),
		cmocka_unit_test(without_an_interval_nothing_is_cut_by_time),
		cmocka_unit_test(an_empty_partition_is_never_flushed),
		cmocka_unit_test(flush_empty_flushes_nothing_when_asked),
		cmocka_unit_test(flush_empty_calls_the_handler_at_every_interval_from_the_start_on),
		cmocka_unit_test(the_trigger_is_told_in_the_batch_and_in_its_events),
		cmocka_unit_test(every_trigger_has_its_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
