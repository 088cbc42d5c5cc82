/* SPDX-License-Identifier: MIT */
/*
 * Inserts that handlers make: into another buffer, into their own, in a ring of buffers. They go in or are refused
 * in time, and nobody waits for ever for himself.
 */
#include "api/support.h"

#define ROUNDS 3

/* What the handler of each buffer passes on, and to whom. */
struct stage {
	struct sink *sink;
	databuffer *buf, *next;
	int64_t timeout;
	_Atomic uint64_t passed, refused;
};

/* Each item once more, up to a bound that the item carries. */
static int pass_on(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	struct stage *stage = sink->ctx;
	for (size_t i = 0; i < call->size; i++) {
		databuffer_item item = databuffer_batch_at(batch, i);
		uint64_t number = number_of(&item);
		if (number >= 1000 * ROUNDS)
			continue;
		number += 1000;
		int rc = databuffer_insert_timed(stage->next, &number, 8, stage->timeout);
		CHECK(rc == 0 || rc == DATABUFFER_ETIMEDOUT);
		atomic_fetch_add(rc == 0 ? &stage->passed : &stage->refused, 1);
	}
	return 0;
}

static struct stage *stage_new(const databuffer_options *options)
{
	struct stage *stage = calloc(1, sizeof(*stage));
	CHECK(stage);
	stage->sink = sink_new();
	databuffer_options o = sink_options(stage->sink);
	o.max_size = options->max_size;
	o.partitions = options->partitions;
	o.max_in_flight = options->max_in_flight;
	o.overflow = options->overflow;
	stage->sink->ctx = stage;
	stage->sink->answer = pass_on;
	stage->buf = start(&o);
	stage->next = stage->buf;
	return stage;
}

static void stage_free(struct stage *stage)
{
	sink_free(stage->sink);
	free(stage);
}

static bool is_idle(databuffer *buf)
{
	CHECK(databuffer_flush(buf) == 0);
	return databuffer_size(buf) == 0;
}

static void inserts_into_another_buffer_arrive(void **state)
{
	(void)state;
	databuffer_options o = databuffer_options_init();
	o.max_size = 10;
	struct stage *one = stage_new(&o), *other = stage_new(&o);
	one->next = other->buf;
	one->timeout = PATIENCE_MS;
	other->sink->answer = NULL;
	insert_numbers(one->buf, 0, 1000);
	stop_clean(one->buf);
	stop_clean(other->buf);
	assert_flushed(one->sink, 0, 1000);
	assert_flushed(other->sink, 1000, 2000);
	stage_free(one);
	stage_free(other);
}

/* With room for twice what is in flight there is always some for a handler alone. */
static void inserts_into_the_handlers_own_buffer_go_in_while_there_is_room(void **state)
{
	(void)state;
	for (int64_t partitions = 1; partitions <= 3; partitions += 2) {
		databuffer_options o = databuffer_options_init();
		o.max_size = 100;
		o.partitions = partitions;
		struct stage *stage = stage_new(&o);
		stage->timeout = PATIENCE_MS;
		insert_numbers(stage->buf, 0, 80);
		WAIT_FOR(is_idle(stage->buf));
		assert_int_equal(atomic_load(&stage->passed), 80 * ROUNDS);
		assert_int_equal(atomic_load(&stage->refused), 0);
		assert_int_equal(sink_flushed(stage->sink), 80 * (ROUNDS + 1));
		stop_clean(stage->buf);
		stage_free(stage);
	}
}

static void a_handler_that_fills_its_own_buffer_is_refused_in_time(void **state)
{
	(void)state;
	for (int64_t timeout = 0; timeout <= 20; timeout += 20) {
		databuffer_options o = databuffer_options_init();
		o.max_size = 4;
		struct stage *stage = stage_new(&o);
		stage->timeout = timeout;
		sink_close(stage->sink);
		insert_numbers(stage->buf, 0, 8);
		WAIT_FOR(sink_inside(stage->sink) == 1);
		int64_t begin = now_ms();
		sink_open(stage->sink); /* there is no room, and none comes while this one runs */
		WAIT_FOR(is_idle(stage->buf));
		assert_true(atomic_load(&stage->refused) >= 4);
		assert_true(now_ms() - begin >= 4 * timeout);
		databuffer_stats_t s = stats_of(stage->buf);
		assert_int_equal(s.inserted, 8 + atomic_load(&stage->passed));
		assert_int_equal(s.refused, atomic_load(&stage->refused));
		stop_clean(stage->buf);
		stage_free(stage);
	}
}

static void a_handler_may_drop_the_oldest_of_its_own_buffer(void **state)
{
	(void)state;
	databuffer_options o = databuffer_options_init();
	o.max_size = 4;
	o.overflow = DATABUFFER_OVERFLOW_DROP_OLDEST;
	struct stage *stage = stage_new(&o);
	stage->timeout = PATIENCE_MS;
	sink_close(stage->sink);
	insert_numbers(stage->buf, 0, 8);
	WAIT_FOR(sink_inside(stage->sink) == 1);
	sink_open(stage->sink);
	WAIT_FOR(is_idle(stage->buf));
	assert_int_equal(atomic_load(&stage->refused), 0);
	databuffer_stats_t s = stats_of(stage->buf);
	assert_int_equal(s.inserted, s.flushed + s.dropped);
	assert_true(s.dropped >= 4);
	stop_clean(stage->buf);
	stage_free(stage);
}

struct pump {
	databuffer *buf;
	uint64_t refused;
};

static void *insert_or_be_refused(void *arg)
{
	struct pump *pump = arg;
	for (uint64_t i = 0; i < 200; i++) {
		int rc = databuffer_insert_timed(pump->buf, &(uint64_t){ i }, 8, 20);
		CHECK(rc == 0 || rc == DATABUFFER_ETIMEDOUT);
		pump->refused += rc != 0;
	}
	return NULL;
}

/* No buffer holds anything, and none did while the others were looked at: what goes from one to the next is an
 * insert more. */
static bool are_idle(struct stage *const stages[3])
{
	uint64_t inserted = 0;
	bool idle = true;
	for (int look = 0; look < 2; look++)
		for (unsigned i = 0; i < 3; i++) {
			idle = idle && is_idle(stages[i]->buf);
			uint64_t now = stats_of(stages[i]->buf).inserted;
			inserted = look == 0 ? inserted + now : inserted - now;
		}
	return idle && inserted == 0;
}

/* Each full, and each one's handler waiting for the other: for as long as they said, and no longer. */
static void buffers_that_feed_each_other_come_to_an_end(void **state)
{
	(void)state;
	databuffer_options o = databuffer_options_init();
	o.max_size = 8;
	struct stage *stages[3];
	struct pump pumps[3];
	pthread_t threads[3];
	uint64_t inserted = 0, passed = 0, refused = 0;
	for (unsigned i = 0; i < 3; i++)
		stages[i] = stage_new(&o);
	for (unsigned i = 0; i < 3; i++) {
		stages[i]->next = stages[(i + 1) % 3]->buf;
		stages[i]->timeout = 5;
		pumps[i] = (struct pump){ .buf = stages[i]->buf };
	}
	for (unsigned i = 0; i < 3; i++)
		threads[i] = thread_run(insert_or_be_refused, &pumps[i]);
	for (unsigned i = 0; i < 3; i++)
		thread_join(threads[i]);
	WAIT_FOR(are_idle(stages));
	for (unsigned i = 0; i < 3; i++) {
		databuffer_stats_t s = stats_of(stages[i]->buf);
		inserted += s.inserted;
		assert_int_equal(s.inserted, s.flushed);
		passed += atomic_load(&stages[i]->passed);
		refused += pumps[i].refused;
	}
	assert_int_equal(inserted, 3 * 200 - refused + passed);
	for (unsigned i = 0; i < 3; i++) {
		stop_clean(stages[i]->buf);
		stage_free(stages[i]);
	}
}

/* --- The other handlers ----------------------------------------------------------------------------------- */

static databuffer *notes;

static void note(void)
{
	CHECK(databuffer_insert_timed(notes, "12345678", 8, PATIENCE_MS) == 0);
}

static void note_dead(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	sink_dead(item, reason, meta);
	note();
}

static void note_left(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	sink_left(item, reason, meta);
	note();
}

static void note_log(databuffer_log_level level, const char *line, void *meta)
{
	sink_log(level, line, meta);
	note();
}

static void note_event(const databuffer_event *event, void *ctx)
{
	(void)ctx;
	if (strcmp(event->buffer, "noted") == 0)
		note();
}

static int note_visit(const databuffer_item *item, unsigned partition, void *ctx)
{
	(void)item, (void)partition, (void)ctx;
	note();
	return 0;
}

static int reject_the_first(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)batch, (void)call;
	return sink_calls(sink) == 1 ? DATABUFFER_REJECT : sink_calls(sink) == 2 ? 0 : DATABUFFER_RETRY;
}

static void every_handler_may_insert_into_another_buffer(void **state)
{
	(void)state;
	struct sink *sink = sink_new(), *kept = sink_new();
	databuffer_options o = sink_options(sink), other = sink_options(kept);
	other.max_size = 2;
	notes = start(&other);
	o.name = "noted";
	o.handle_dead = note_dead;
	o.handle_left = note_left;
	o.handle_log = note_log;
	o.retry_min = o.retry_max = 3600000;
	sink->answer = reject_the_first;
	databuffer *buf = start(&o);
	CHECK(databuffer_telemetry_attach("notes", DATABUFFER_EVENTS_ALL, note_event, NULL) == 0);
	insert_number(buf, 0); /* two events */
	flush_all(buf);        /* dead: two events and a note */
	assert_int_equal(sink_buried(sink), 1);
	insert_number(buf, 1); /* two events */
	flush_all(buf);        /* flushed: two events */
	insert_number(buf, 2); /* two events */
	CHECK(databuffer_flush(buf) == 0);
	WAIT_FOR(info_of(buf, 0).next_retry_ms > 0); /* fails: two events and a line */
	CHECK(databuffer_dump(buf, note_visit, NULL) == 0);
	assert_int_equal(databuffer_stop(buf, 0), 1); /* fails once more or not at all; left: a note */
	CHECK(databuffer_telemetry_detach("notes") == 0);
	uint64_t inserted = stats_of(notes).inserted;
	assert_true(inserted >= 2 + 3 + 2 + 2 + 2 + 3 + 1 + 1);
	stop_clean(notes);
	assert_int_equal(sink_flushed(kept), inserted);
	sink_free(kept);
	sink_keep(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inserts_into_another_buffer_arrive),
		cmocka_unit_test(inserts_into_the_handlers_own_buffer_go_in_while_there_is_room),
		cmocka_unit_test(a_handler_that_fills_its_own_buffer_is_refused_in_time),
		cmocka_unit_test(a_handler_may_drop_the_oldest_of_its_own_buffer),
		cmocka_unit_test(buffers_that_feed_each_other_come_to_an_end),
		cmocka_unit_test(every_handler_may_insert_into_another_buffer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
