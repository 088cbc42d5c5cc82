/* SPDX-License-Identifier: MIT */
/* A handler past flush_timeout: how it is told, how its partition goes on, and what its answer counts when it
 * comes. What is not held up on purpose may be late, too, on a busy machine; no test minds. */
#include "api/support.h"

static uint64_t first_number(const databuffer_batch *batch)
{
	databuffer_item first = databuffer_batch_at(batch, 0);
	return number_of(&first);
}

/* Holds up the batch that begins with 0, at its first attempt, and lets all others by. */
struct trap {
	_Atomic bool entered, released;
	int answer; /* in the end */
};

static int trap_the_first(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	struct trap *trap = sink->ctx;
	if (first_number(batch) != 0 || call->attempt > 1 || trap->released)
		return 0;
	trap->entered = true;
	while (!trap->released)
		pause_ms(1);
	return trap->answer;
}

static databuffer_options trap_options(struct sink *sink, struct trap *trap)
{
	databuffer_options options = sink_options(sink);
	sink->answer = trap_the_first;
	sink->ctx = trap;
	options.flush_timeout = 30;
	options.retry_min = options.retry_max = 1;
	return options;
}

/* --- How it is told ------------------------------------------------------------------------------------- */

static int run_into_the_deadline(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	CHECK(databuffer_batch_deadline(batch) == call->deadline_ms);
	while (!databuffer_batch_cancelled(batch))
		pause_ms(1);
	CHECK(now_ms() >= call->deadline_ms);
	return 0;
}

static void the_batch_has_a_deadline_and_is_cancelled_after_it(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = run_into_the_deadline;
	o.flush_timeout = 40;
	databuffer *buf = start(&o);
	int64_t before = now_ms();
	insert_numbers(buf, 0, 3);
	databuffer_flush(buf);
	WAIT_FOR(sink_flushed(sink) == 3);
	struct call call = sink_call(sink, 0);
	assert_in_range(call.deadline_ms, before + 40, call.begin_ms + 40);
	assert_int_equal(stats_of(buf).timeouts, 1);
	stop_clean(buf);
	assert_true(sink->calls[0].cancelled);
	sink_free(sink);
}

static void without_flush_timeout_nothing_is_late(void **state)
{
	(void)state;
	struct sink *sink = sink_new(), *clock = sink_new();
	databuffer_options o = sink_options(sink);
	o.flush_timeout = 0;
	databuffer *buf = start(&o);
	o.flush_meta = clock;
	o.flush_timeout = 20;
	databuffer *timed = start(&o);
	sink_close(sink);
	sink_close(clock);
	insert_number(buf, 0);
	databuffer_flush(buf);
	WAIT_FOR(sink_inside(sink) == 1);
	insert_number(timed, 0);
	databuffer_flush(timed);
	WAIT_FOR(stats_of(timed).timeouts == 1); /* long after it would have been */
	assert_int_equal(stats_of(buf).timeouts, 0);
	sink_open(sink);
	sink_open(clock);
	stop_clean(buf);
	stop_clean(timed);
	assert_false(sink->calls[0].cancelled);
	assert_true(sink->calls[0].deadline_ms == INT64_MAX);
	assert_true(clock->calls[0].cancelled);
	sink_free(sink);
	sink_free(clock);
}

struct heard {
	pthread_mutex_t lock;
	databuffer_event events[8];
	unsigned count;
};

static void hear(const databuffer_event *event, void *ctx)
{
	struct heard *heard = ctx;
	if (strcmp(event->buffer, "late") != 0)
		return;
	pthread_mutex_lock(&heard->lock);
	CHECK(heard->count < 8);
	heard->events[heard->count++] = *event;
	pthread_mutex_unlock(&heard->lock);
}

static unsigned heard_count(struct heard *heard)
{
	pthread_mutex_lock(&heard->lock);
	unsigned count = heard->count;
	pthread_mutex_unlock(&heard->lock);
	return count;
}

static void it_is_logged_and_emitted(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct heard heard = { .lock = PTHREAD_MUTEX_INITIALIZER };
	databuffer_options o = sink_options(sink);
	o.name = "late";
	o.flush_timeout = 30;
	databuffer *buf = start(&o);
	assert_int_equal(databuffer_telemetry_attach("late", DATABUFFER_EVENTS_ALL & ~0x7u, hear, &heard), 0);
	sink_close(sink);
	insert_numbers(buf, 0, 17);
	databuffer_flush(buf);
	WAIT_FOR(heard_count(&heard) == 3);
	WAIT_FOR(sink_lines(sink) == 1);
	assert_non_null(strstr(sink->line, "late"));
	assert_non_null(strstr(sink->line, "17"));
	sink_open(sink);
	WAIT_FOR(heard_count(&heard) == 4); /* the end is told as well */
	stop_clean(buf);
	assert_int_equal(databuffer_telemetry_detach("late"), 0);

	static const databuffer_event_kind kinds[] = { DATABUFFER_FLUSH_START, DATABUFFER_FLUSH_EXCEPTION,
		                                       DATABUFFER_FLUSH_STUCK, DATABUFFER_FLUSH_STOP };
	static const int statuses[] = { 0, DATABUFFER_ETIMEDOUT, DATABUFFER_ETIMEDOUT, 0 };
	assert_int_equal(heard.count, 4);
	for (int i = 0; i < 4; i++) {
		databuffer_event *event = &heard.events[i];
		assert_int_equal(event->kind, kinds[i]);
		assert_int_equal(event->status, statuses[i]);
		assert_int_equal(event->size, 17);
		assert_int_equal(event->bytes, 17 * 8);
		assert_int_equal(event->partition, 0);
		assert_int_equal(event->attempt, 1);
		assert_int_equal(event->trigger, DATABUFFER_TRIGGER_FLUSH);
		assert_true(event->duration_ns >= (i == 1 ? 30000000 : 0));
		assert_true(event->system_time_ns > INT64_C(1600000000) * 1000000000);
	}
	struct call *call = &sink->calls[0];
	assert_true(heard.events[3].duration_ns >= (call->end_ms - call->begin_ms - 1) * 1000000);
	sink_free(sink);
}

/* --- How its partition goes on -------------------------------------------------------------------------- */

static int read_again(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	int answer = trap_the_first(sink, batch, call);
	for (size_t i = 0; i < call->size; i++) { /* nobody has touched them meanwhile */
		databuffer_item item = databuffer_batch_at(batch, i);
		CHECK(item.len == 8 && number_of(&item) == first_number(batch) + i);
	}
	return answer;
}

static void the_partition_goes_on_with_other_memory(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct trap trap = { 0 };
	databuffer_options o = trap_options(sink, &trap);
	sink->answer = read_again;
	o.max_size = 10;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 300); /* has room, and comes through, beside the first ten */
	WAIT_FOR(sink_flushed(sink) == 290);
	assert_true(trap.entered && !trap.released);
	WAIT_FOR(databuffer_size(buf) == 10); /* held all the same */
	assert_int_equal(stats_of(buf).held_bytes, 80);
	databuffer_partition_info info = info_of(buf, 0);
	assert_int_equal(info.stuck, 1);
	assert_int_equal(info.size, 10);
	trap.released = true;
	WAIT_FOR(stats_of(buf).flushed == 300);
	assert_int_equal(info_of(buf, 0).stuck, 0);
	stop_clean(buf);
	assert_int_equal(sink->call_count, 30);
	assert_flushed_once(sink, 0, 300);
	assert_true(sink->calls[0].cancelled);
	sink_free(sink);
}

static void a_late_flush_gives_room_to_an_insert_that_waits(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	o.flush_timeout = 30;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 21); /* two batches, and one that has to wait */
	assert_true(stats_of(buf).timeouts >= 1);
	assert_int_equal(stats_of(buf).waits, 1);
	sink_open(sink);
	stop_clean(buf);
	assert_flushed_once(sink, 0, 21);
	sink_free(sink);
}

static int refuse(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)batch;
	return call->attempt == 1 && call->size == 10 ? -EIO : 0;
}

static void it_goes_on_without_max_stuck_of_them_and_no_more(void **state)
{
	(void)state;
	for (unsigned max_stuck = 0; max_stuck <= 3; max_stuck++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.max_size = 10;
		o.max_stuck = max_stuck;
		o.flush_timeout = 20;
		o.timeout = PATIENCE_MS;
		o.retry_min = o.retry_max = 1;
		databuffer *buf = start(&o);
		sink_close(sink);
		uint64_t bound = (2 + max_stuck) * 10;
		insert_numbers(buf, 0, bound);
		WAIT_FOR(stats_of(buf).timeouts == max_stuck + 1);
		WAIT_FOR(sink_inside(sink) == max_stuck + 1);
		assert_int_equal(try_number(buf, bound), DATABUFFER_ETIMEDOUT);
		assert_int_equal(databuffer_size(buf), bound);

		/* Any one that comes back makes room for another, which is late in its turn. */
		for (unsigned i = 1; i <= 3; i++) {
			sink_let_pass(sink, 1);
			WAIT_FOR(stats_of(buf).timeouts >= max_stuck + 1 + i);
			WAIT_FOR(sink_inside(sink) == max_stuck + 1);
			insert_numbers(buf, bound, bound + 10);
			bound += 10;
			assert_int_equal(try_number(buf, bound), DATABUFFER_ETIMEDOUT);
		}
		if (max_stuck % 2 == 1)
			sink->answer = refuse; /* all are inside and have not asked yet */
		sink_open(sink);
		stop_clean(buf);
		assert_int_equal(sink->most_inside, max_stuck + 1);
		assert_flushed_once(sink, 0, bound);
		sink_free(sink);
	}
}

static void info_counts_all_that_are_late(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	o.max_stuck = 1;
	o.flush_timeout = 20;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 30);
	WAIT_FOR(stats_of(buf).timeouts == 2);
	databuffer_partition_info info = info_of(buf, 0);
	assert_int_equal(info.stuck, 2);
	assert_int_equal(info.in_flight, 0); /* in time */
	sink_open(sink);
	stop_clean(buf);
	sink_free(sink);
}

/* Holds up all batches from item `*ctx` on. */
static int hold_from(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	_Atomic uint64_t *from = sink->ctx;
	(void)call;
	while (first_number(batch) >= *from)
		pause_ms(1);
	return 0;
}

/* Two late flushes where the partition goes on without one: that is told of the first at once, and of the second when
 * the first has come back.. */
static void it_is_told_of_which_the_partition_goes_on_without(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct heard heard = { .lock = PTHREAD_MUTEX_INITIALIZER };
	_Atomic uint64_t held_from = 0;
	databuffer_options o = sink_options(sink);
	sink->answer = hold_from;
	sink->ctx = &held_from;
	o.name = "late";
	o.max_size = 10;
	o.max_stuck = 1;
	o.flush_timeout = 20;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	assert_int_equal(databuffer_telemetry_attach("late", DATABUFFER_FLUSH_STUCK, hear, &heard), 0);
	insert_numbers(buf, 0, 30);
	WAIT_FOR(stats_of(buf).timeouts == 2 && sink_lines(sink) == 2);
	assert_int_equal(heard_count(&heard), 1);
	assert_int_equal(heard.events[0].kind, DATABUFFER_FLUSH_STUCK);
	assert_int_equal(heard.events[0].status, DATABUFFER_ETIMEDOUT);
	assert_int_equal(heard.events[0].attempt, 1);
	assert_int_equal(heard.events[0].size, 10);
	assert_true(heard.events[0].duration_ns >= 20000000);
	assert_non_null(strstr(sink->line, "max_stuck"));
	assert_int_equal(info_of(buf, 0).stuck, 2);
	assert_int_equal(try_number(buf, 30), DATABUFFER_ETIMEDOUT);

	held_from = 10;
	WAIT_FOR(heard_count(&heard) >= 2);
	assert_int_equal(databuffer_insert_timed(buf, "in time", 8, PATIENCE_MS), 0);
	held_from = UINT64_MAX;
	stop_clean(buf);
	assert_int_equal(databuffer_telemetry_detach("late"), 0);
	sink_free(sink);
}

static void info_counts_a_late_attempt_as_failed(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.flush_timeout = 20;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_number(buf, 0);
	databuffer_flush(buf);
	WAIT_FOR(stats_of(buf).timeouts == 1);
	assert_int_equal(info_of(buf, 0).attempt, 1);
	sink_open(sink);
	stop_clean(buf);
	sink_free(sink);
}

/* The first batch fails late; the second, which went on without it, does not come back. */
static int trap_two(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	struct trap *traps = sink->ctx, *trap = &traps[first_number(batch)];
	if (call->attempt > 1)
		return 0;
	trap->entered = true;
	while (!trap->released)
		pause_ms(1);
	return trap->answer;
}

static void info_tells_of_the_oldest_batch(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct trap traps[2] = { { .answer = -EIO }, { .answer = 0 } };
	databuffer_options o = sink_options(sink);
	sink->answer = trap_two;
	sink->ctx = traps;
	o.flush_timeout = 20;
	o.retry_min = o.retry_max = 3600000;
	databuffer *buf = start(&o);
	for (uint64_t i = 0; i < 2; i++) {
		insert_number(buf, i);
		databuffer_flush(buf);
		WAIT_FOR(traps[i].entered);
	}
	traps[0].released = true;
	WAIT_FOR(info_of(buf, 0).next_retry_ms > 0);
	databuffer_partition_info info = info_of(buf, 0);
	assert_int_equal(info.attempt, 1);
	assert_int_equal(info.last_status, -EIO);
	assert_int_equal(info.queued, 1);
	traps[1].released = true;
	stop_clean(buf);
	assert_flushed_once(sink, 0, 2);
	sink_free(sink);
}

/* --- What is not a late flush --------------------------------------------------------------------------- */

static _Atomic int64_t deadline;
static _Atomic bool buried, in_time, dig;

static int name_the_first(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	deadline = call->deadline_ms;
	return databuffer_batch_fail(batch, 0, "named");
}

static void bury_slowly(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	in_time = now_ms() < deadline;
	buried = true;
	while (!dig)
		pause_ms(1);
	sink_dead(item, reason, meta);
}

/* False if the handler itself was late, on a busy machine, so that nothing is shown. */
static bool bury_beside_a_clock(struct heard *heard)
{
	struct sink *sink = sink_new(), *clock = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = name_the_first;
	o.handle_dead = bury_slowly;
	o.flush_timeout = 100;
	o.name = "late";
	databuffer *buf = start(&o);
	o.flush_meta = clock;
	o.name = NULL;
	databuffer *timed = start(&o);
	heard->count = 0;
	buried = dig = false;
	sink_close(clock);
	insert_numbers(buf, 0, 3);
	databuffer_flush(buf);
	WAIT_FOR(buried);
	insert_number(timed, 0);
	databuffer_flush(timed);
	WAIT_FOR(stats_of(timed).timeouts == 1);
	databuffer_stats_t stats = stats_of(buf);
	dig = true;
	sink_open(clock);
	stop_clean(buf);
	stop_clean(timed);
	assert_int_equal(stats.flushed, 2);
	assert_int_equal(stats.dead, 1);
	assert_int_equal(sink->dead_count, 1);
	if (in_time) {
		assert_int_equal(stats.timeouts, 0);
		assert_int_equal(heard->count, 0);
	}
	sink_free(sink);
	sink_free(clock);
	return in_time;
}

static void handle_dead_may_take_its_time(void **state)
{
	(void)state;
	static struct heard heard = { .lock = PTHREAD_MUTEX_INITIALIZER };
	assert_int_equal(databuffer_telemetry_attach("slow", DATABUFFER_FLUSH_EXCEPTION, hear, &heard), 0);
	for (int i = 0; i < 20 && !bury_beside_a_clock(&heard); i++)
		;
	assert_int_equal(databuffer_telemetry_detach("slow"), 0);
}

/* --- From a handler ------------------------------------------------------------------------------------- */

static databuffer *own;
static _Atomic unsigned told;
static _Atomic int told_of_flush, told_of_stop;

static void log_and_wait(databuffer_log_level level, const char *line, void *meta)
{
	(void)level;
	(void)line;
	(void)meta;
	told_of_flush = databuffer_sync_flush(own, NULL, 0, 0);
	told_of_stop = (int)databuffer_stop(own, 0);
	told++;
}

static void the_log_of_a_late_flush_cannot_wait_for_it(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.handle_log = log_and_wait;
	o.flush_timeout = 20;
	own = start(&o);
	sink_close(sink);
	insert_numbers(own, 0, 3);
	databuffer_flush(own);
	WAIT_FOR(told == 1);
	sink_open(sink);
	assert_int_equal(told_of_flush, DATABUFFER_EDEADLK);
	assert_int_equal(told_of_stop, DATABUFFER_EDEADLK);
	stop_clean(own);
	assert_flushed(sink, 0, 3);
	sink_free(sink);
}

/* --- After a stop --------------------------------------------------------------------------------------- */

/* Logs of buffers whose handlers are late; each holds the thread up that times all flushes. */
static struct sink *log_gate;
static _Atomic bool stopped;
static _Atomic unsigned after_the_stop;

static void log_and_hold(databuffer_log_level level, const char *line, void *meta)
{
	(void)level;
	(void)line;
	(void)meta;
	if (stopped)
		after_the_stop++;
	pthread_mutex_lock(&log_gate->lock);
	log_gate->inside++;
	while (log_gate->closed && log_gate->passes == 0)
		pthread_cond_wait(&log_gate->gate, &log_gate->lock);
	if (log_gate->closed)
		log_gate->passes--;
	log_gate->inside--;
	pthread_mutex_unlock(&log_gate->lock);
}

static void no_late_flush_is_logged_after_the_stop(void **state)
{
	(void)state;
	log_gate = sink_new();
	sink_close(log_gate);
	struct sink *first = sink_new(), *sink = sink_new(), *ticks = sink_new();
	databuffer_options o = sink_options(first);
	o.handle_log = log_and_hold;
	o.flush_timeout = 20;
	databuffer *holder = start(&o);
	sink_close(first);
	insert_number(holder, 0);
	databuffer_flush(holder);
	WAIT_FOR(sink_inside(log_gate) == 1);

	/* Of another buffer two handlers become late meanwhile, to be told of one after the other. */
	o.flush_meta = sink;
	o.max_in_flight = 2;
	databuffer *buf = start(&o);
	sink_close(sink);
	for (uint64_t i = 0; i < 2; i++) {
		insert_number(buf, i);
		databuffer_flush(buf);
		WAIT_FOR(sink_inside(sink) == i + 1);
	}
	WAIT_FOR(now_ms() > sink_call(sink, 1).deadline_ms);
	sink_let_pass(log_gate, 1);
	WAIT_FOR(stats_of(buf).timeouts == 2 && sink_inside(log_gate) == 1);
	sink_open(sink);
	WAIT_FOR(stats_of(buf).flushed == 2);
	after_the_stop = 0;
	assert_int_equal(databuffer_stop(buf, 200), 0);
	stopped = true;
	sink_open(log_gate);

	/* The thread has come so far that it is there for others. */
	o = sink_options(ticks);
	o.flush_interval = 1;
	databuffer *ticking = start(&o);
	insert_number(ticking, 0);
	WAIT_FOR(sink_flushed(ticks) == 1);
	assert_int_equal(after_the_stop, 0);
	stopped = false;
	sink_open(first);
	stop_clean(holder);
	stop_clean(ticking);
	sink_free(first);
	sink_free(ticks);
	sink_keep(sink);
	sink_keep(log_gate);
}

static int always_eio(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)batch;
	(void)call;
	return -EIO;
}

static void no_failure_is_logged_after_the_stop(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	log_gate = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = always_eio;
	o.handle_log = log_and_hold;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_number(buf, 0);
	databuffer_flush(buf);
	WAIT_FOR(sink_inside(sink) == 1);
	after_the_stop = 0;
	assert_int_equal(databuffer_stop(buf, 0), 1);
	stopped = true;
	sink_open(sink);
	WAIT_FOR(sink_inside(sink) == 0);
	pause_ms(30);
	assert_int_equal(after_the_stop, 0);
	stopped = false;
	sink_keep(sink);
	sink_keep(log_gate);
}

/* --- What its answer counts ----------------------------------------------------------------------------- */

static void a_late_success_is_a_success(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct trap trap = { .answer = 0 };
	databuffer_options o = trap_options(sink, &trap);
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	databuffer_flush(buf);
	WAIT_FOR(stats_of(buf).timeouts == 1);
	trap.released = true;
	WAIT_FOR(stats_of(buf).flushed == 10);
	stop_clean(buf);
	ASSERT_CUTS(sink, 10);
	assert_flushed(sink, 0, 10);
	sink_free(sink);
}

static void a_late_failure_is_tried_again_after_its_end(void **state)
{
	(void)state;
	static const int answers[] = { -EIO, DATABUFFER_RETRY, 5, DATABUFFER_ETIMEDOUT };
	for (int k = 0; k < 4; k++) {
		struct sink *sink = sink_new();
		struct trap trap = { .answer = answers[k] };
		databuffer_options o = trap_options(sink, &trap);
		databuffer *buf = start(&o);
		insert_numbers(buf, 0, 10);
		databuffer_flush(buf);
		WAIT_FOR(stats_of(buf).timeouts == 1);
		for (uint64_t i = 10; i < 20; i++) { /* time for a second attempt, if there were one */
			insert_number(buf, i);
			databuffer_flush(buf);
			WAIT_FOR(sink_flushed(sink) == i - 9);
		}
		assert_int_equal(sink_calls(sink), 11);
		trap.released = true;
		WAIT_FOR(sink_flushed(sink) == 20);
		stop_clean(buf);
		assert_flushed_once(sink, 0, 20);
		assert_int_equal(sink->call_count, 12);
		assert_int_equal(sink->calls[11].attempt, 2);
		assert_int_equal(sink->calls[11].size, 10);
		assert_true(sink->calls[11].begin_ms >= sink->calls[0].end_ms);
		assert_true(sink->calls[11].deadline_ms > sink->calls[0].deadline_ms);
		assert_true(sink->calls[0].cancelled);
		sink_free(sink);
	}
}

static int trap_then_reject_5(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	int answer = trap_the_first(sink, batch, call);
	for (size_t i = 0; i < call->size; i++) {
		databuffer_item item = databuffer_batch_at(batch, i);
		if (number_of(&item) == 5)
			return DATABUFFER_REJECT;
	}
	return answer;
}

static void a_late_rejection_is_searched_as_any(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct trap trap = { 0 };
	databuffer_options o = trap_options(sink, &trap);
	sink->answer = trap_then_reject_5;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	databuffer_flush(buf);
	WAIT_FOR(stats_of(buf).timeouts == 1);
	trap.released = true;
	WAIT_FOR(stats_of(buf).dead == 1 && stats_of(buf).flushed == 9);
	stop_clean(buf);
	assert_int_equal(sink->dead_count, 1);
	assert_int_equal(sink->dead[0].number, 5);
	assert_int_equal(sink->flushed.count, 9);
	sink_free(sink);
}

static int not_cancelled_at_first(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	/* Cancelled only after the deadline, at each attempt anew. */
	if (databuffer_batch_cancelled(batch))
		CHECK(now_ms() >= call->deadline_ms);
	if (call->attempt == 3)
		return 0;
	(void)run_into_the_deadline(sink, batch, call);
	return -EIO;
}

static void every_attempt_has_a_deadline_of_its_own(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = not_cancelled_at_first;
	o.flush_timeout = 20;
	o.retry_min = o.retry_max = 1;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 3);
	databuffer_flush(buf);
	WAIT_FOR(sink_flushed(sink) == 3);
	assert_int_equal(sink_calls(sink), 3);
	for (size_t i = 0; i < 3; i++) {
		struct call call = sink_call(sink, i);
		assert_true(call.deadline_ms <= call.begin_ms + 20);
		if (i > 0)
			assert_true(call.deadline_ms >= sink_call(sink, i - 1).end_ms + 20);
	}
	stop_clean(buf);
	sink_free(sink);
}

static void a_sync_flush_waits_for_the_late_one(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct trap trap = { 0 };
	databuffer_options o = trap_options(sink, &trap);
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	databuffer_flush(buf);
	WAIT_FOR(stats_of(buf).timeouts == 1);
	insert_number(buf, 10);
	assert_int_equal(databuffer_sync_flush(buf, NULL, 0, 20), DATABUFFER_ETIMEDOUT);
	WAIT_FOR(sink_flushed(sink) == 1); /* all but those */
	trap.released = true;
	flush_all(buf);
	assert_int_equal(sink_flushed(sink), 11);
	stop_clean(buf);
	sink_free(sink);
}

/* --- Never twice at once -------------------------------------------------------------------------------- */

struct race {
	uint64_t seed, n;
	_Atomic int *running;
	_Atomic unsigned late;
};

static int be_late_now_and_then(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	struct race *race = sink->ctx;
	uint64_t seed = race->seed + first_number(batch) * 100 + call->attempt;
	for (size_t i = 0; i < call->size; i++) {
		databuffer_item item = databuffer_batch_at(batch, i);
		CHECK(atomic_fetch_add(&race->running[number_of(&item)], 1) == 0);
	}
	pause_ms((int64_t)dice_below(&seed, 3) * 9);
	for (size_t i = 0; i < call->size; i++) {
		databuffer_item item = databuffer_batch_at(batch, i);
		CHECK(atomic_fetch_sub(&race->running[number_of(&item)], 1) == 1);
	}
	if (databuffer_batch_cancelled(batch))
		race->late++;
	return dice_below(&seed, 2) == 0 ? 0 : -EIO;
}

static void one_batch_never_runs_twice_at_once(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct race race = { .seed = test_seed(), .n = 300 };
	race.running = calloc(race.n, sizeof(*race.running));
	databuffer_options o = sink_options(sink);
	sink->answer = be_late_now_and_then;
	sink->ctx = &race;
	o.partitions = 3;
	o.max_size = 5;
	o.max_in_flight = 2;
	o.flush_timeout = 9;
	o.retry_min = o.retry_max = 1;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, race.n);
	flush_all(buf);
	databuffer_stats_t stats = stats_of(buf);
	assert_int_equal(stats.flushed, race.n);
	assert_true(stats.timeouts >= race.late);
	assert_int_not_equal(race.late, 0);
	stop_clean(buf);
	assert_flushed_once(sink, 0, race.n);
	free(race.running);
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_batch_has_a_deadline_and_is_cancelled_after_it),
		cmocka_unit_test(without_flush_timeout_nothing_is_late),
		cmocka_unit_test(it_is_logged_and_emitted),
		cmocka_unit_test(the_partition_goes_on_with_other_memory),
		cmocka_unit_test(a_late_flush_gives_room_to_an_insert_that_waits),
		cmocka_unit_test(it_goes_on_without_max_stuck_of_them_and_no_more),
		cmocka_unit_test(info_counts_all_that_are_late),
		cmocka_unit_test(it_is_told_of_which_the_partition_goes_on_without),
		cmocka_unit_test(info_counts_a_late_attempt_as_failed),
		cmocka_unit_test(info_tells_of_the_oldest_batch),
		cmocka_unit_test(handle_dead_may_take_its_time),
		cmocka_unit_test(the_log_of_a_late_flush_cannot_wait_for_it),
		cmocka_unit_test(no_late_flush_is_logged_after_the_stop),
		cmocka_unit_test(no_failure_is_logged_after_the_stop),
		cmocka_unit_test(a_late_success_is_a_success),
		cmocka_unit_test(a_late_failure_is_tried_again_after_its_end),
		cmocka_unit_test(a_late_rejection_is_searched_as_any),
		cmocka_unit_test(every_attempt_has_a_deadline_of_its_own),
		cmocka_unit_test(a_sync_flush_waits_for_the_late_one),
		cmocka_unit_test(one_batch_never_runs_twice_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
