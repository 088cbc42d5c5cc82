/* SPDX-License-Identifier: MIT */
/*
 * DATABUFFER_MANUAL: a program's own loop does the work, on whatever clock it likes. Here the clock is a
 * number, so that hours of intervals and retries pass in no time, and to the millisecond.
 *
 * A `world` is a manual buffer, its sink, the time, and the times at which the handler was called.
 */
#include "api/support.h"

#define HOUR INT64_C(3600000)

struct world {
	struct sink *sink;
	databuffer *buf;
	int64_t now;
	int (*answer)(struct world *world, databuffer_batch *batch, const struct call *call);
	int64_t *times; /* of each call */
	size_t count, room;
	pthread_t worker;
	uint64_t seed;
};

static int note_time(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	struct world *world = sink->ctx;
	if (world->count == world->room) {
		world->room = world->room ? 2 * world->room : 64;
		world->times = realloc(world->times, world->room * sizeof(*world->times));
		CHECK(world->times);
	}
	world->times[world->count++] = world->now;
	world->worker = pthread_self();
	return world->answer ? world->answer(world, batch, call) : 0;
}

static struct world *world_new(void)
{
	struct world *world = calloc(1, sizeof(*world));
	CHECK(world);
	world->sink = sink_new();
	world->sink->answer = note_time;
	world->sink->ctx = world;
	return world;
}

static databuffer_options world_options(struct world *world)
{
	databuffer_options o = sink_options(world->sink);
	o.flusher = DATABUFFER_MANUAL;
	o.timeout = 0;
	return o;
}

static void world_start(struct world *world, const databuffer_options *o)
{
	world->buf = start(o);
	assert_int_equal(databuffer_work(world->buf, world->now), 0);
}

static void world_free(struct world *world)
{
	sink_free(world->sink);
	free(world->times);
	free(world);
}

static void world_stop(struct world *world)
{
	stop_clean(world->buf);
	world_free(world);
}

static int work_at(struct world *world, int64_t now)
{
	CHECK(now >= world->now);
	world->now = now;
	return databuffer_work(world->buf, now);
}

/* The loop of a program, up to some time: sleep as long as it may, then work. */
static void live_until(struct world *world, int64_t until)
{
	for (;;) {
		int64_t next = databuffer_next_deadline(world->buf);
		if (next > until)
			break;
		/* Never early, and never for nothing. */
		if (next > world->now + 1)
			assert_int_equal(work_at(world, next - 1), 0);
		size_t before = world->count;
		int handlers = work_at(world, next > world->now ? next : world->now);
		assert_true(handlers > 0);
		assert_int_equal(world->count, before + (size_t)handlers);
	}
	assert_int_equal(work_at(world, until), 0);
}

/* --- No threads ------------------------------------------------------------------------------- */

static void a_manual_buffer_has_no_threads(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	long before = proc_status("Threads");
	assert_in_range(before, 1, 1 + UNDER_TSAN);
	o.partitions = 4;
	o.max_size = 5;
	o.flush_interval = 1000;
	world_start(world, &o);
	assert_int_equal(proc_status("Threads"), before);
	insert_numbers(world->buf, 0, 23);
	assert_int_equal(proc_status("Threads"), before);
	assert_int_equal(work_at(world, 500), 4);
	assert_int_equal(databuffer_flush(world->buf), 0);
	assert_int_equal(proc_status("Threads"), before);
	assert_true(databuffer_next_deadline(world->buf) <= 500);
	assert_int_equal(work_at(world, 500), 3);
	assert_true(pthread_equal(world->worker, pthread_self()));
	insert_numbers(world->buf, 23, 33);
	stop_clean(world->buf);
	assert_true(pthread_equal(world->worker, pthread_self()));
	assert_int_equal(proc_status("Threads"), before);
	assert_flushed_once(world->sink, 0, 33);
	world_free(world);
}

static void nothing_is_flushed_but_by_work(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.max_size = 3;
	world_start(world, &o);
	insert_numbers(world->buf, 0, 6); /* two whole batches */
	assert_int_equal(databuffer_flush(world->buf), 0);
	assert_int_equal(databuffer_size(world->buf), 6);
	assert_int_equal(world->count, 0);
	assert_int_equal(try_number(world->buf, 6), DATABUFFER_ETIMEDOUT);
	assert_int_equal(work_at(world, 0), 2);
	assert_flushed(world->sink, 0, 6);
	assert_int_equal(work_at(world, 0), 0);
	assert_int_equal(world->sink->calls[0].trigger, DATABUFFER_TRIGGER_SIZE);
	insert_number(world->buf, 6);
	assert_int_equal(databuffer_flush(world->buf), 0);
	assert_int_equal(work_at(world, 0), 1);
	assert_int_equal(world->sink->calls[2].trigger, DATABUFFER_TRIGGER_FLUSH);
	world_stop(world);
}

static void a_threaded_buffer_has_no_work_to_do(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	assert_int_equal(databuffer_work(buf, 0), DATABUFFER_ENOTSUP);
	insert_number(buf, 0);
	assert_int_equal(databuffer_work(buf, now_ms()), DATABUFFER_ENOTSUP);
	assert_int_equal(sink_calls(sink), 0);
	stop_clean(buf);
	assert_flushed(sink, 0, 1);
	assert_int_equal(databuffer_work(buf, 0), DATABUFFER_ESTOPPED);
	assert_int_equal(databuffer_work(NULL, 0), DATABUFFER_EINVAL);
	assert_true(databuffer_next_deadline(NULL) == INT64_MAX);
	sink_free(sink);
}

/* --- The next deadline ------------------------------------------------------------------------ */

static void the_next_deadline_is_when_there_is_something_to_do(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.max_size = 3;
	o.flush_interval = 1000;
	world_start(world, &o);
	databuffer *buf = world->buf;
	assert_true(databuffer_next_deadline(buf) == INT64_MAX); /* nothing is held */
	insert_number(buf, 0);
	assert_true(databuffer_next_deadline(buf) == 1000);
	assert_int_equal(info_of(buf, 0).next_flush_ms, 1000);
	assert_int_equal(work_at(world, 999), 0);
	assert_true(databuffer_next_deadline(buf) == 1000);
	assert_int_equal(info_of(buf, 0).next_flush_ms, 1);
	assert_int_equal(work_at(world, 1000), 1);
	assert_true(databuffer_next_deadline(buf) == INT64_MAX);

	assert_int_equal(work_at(world, 1200), 0);
	insert_numbers(buf, 1, 4); /* a whole batch */
	assert_true(databuffer_next_deadline(buf) <= 1200);
	assert_int_equal(work_at(world, 1200), 1);
	insert_number(buf, 4);
	assert_true(databuffer_next_deadline(buf) == 1200 + 1000); /* since the last cut */
	assert_int_equal(databuffer_flush(buf), 0);
	assert_true(databuffer_next_deadline(buf) <= 1200);
	assert_int_equal(work_at(world, 1300), 1);
	assert_true(databuffer_next_deadline(buf) == INT64_MAX);
	assert_flushed(world->sink, 0, 5);
	world_stop(world);
}

static void without_an_interval_there_is_no_deadline(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	world_start(world, &o);
	insert_number(world->buf, 0);
	assert_true(databuffer_next_deadline(world->buf) == INT64_MAX);
	assert_int_equal(work_at(world, 1000 * HOUR), 0);
	assert_int_equal(databuffer_size(world->buf), 1);
	world_stop(world);
}

static void of_several_partitions_the_earliest_deadline_is_told(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.partitions = 3;
	o.flush_interval = 1000;
	world_start(world, &o);
	/* A partition's interval begins with its last cut. */
	for (int64_t i = 0; i < 3; i++) {
		assert_int_equal(work_at(world, 100 * i), 0);
		insert_number(world->buf, (uint64_t)i);
		assert_int_equal(databuffer_flush(world->buf), 0);
		assert_int_equal(work_at(world, 100 * i), 1);
	}
	insert_numbers(world->buf, 3, 6);
	for (int64_t i = 0; i < 3; i++) {
		assert_true(databuffer_next_deadline(world->buf) == 1000 + 100 * i);
		assert_int_equal(work_at(world, 1000 + 100 * i), 1);
	}
	assert_true(databuffer_next_deadline(world->buf) == INT64_MAX);
	world_stop(world);
}

/* The clock of a program mostly does not begin at 0 when a buffer starts. */
#define ANY_TIME INT64_C(1700000000123)

static void the_first_work_tells_the_buffer_what_time_it_is(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.flush_interval = 1000;
	world->now = ANY_TIME;
	world_start(world, &o);
	insert_number(world->buf, 0);
	assert_true(databuffer_next_deadline(world->buf) == ANY_TIME + 1000);
	assert_int_equal(work_at(world, ANY_TIME + 999), 0);
	assert_int_equal(work_at(world, ANY_TIME + 1000), 1);
	world_stop(world);
}

static void what_is_inserted_before_the_first_work_has_its_interval_too(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.flush_interval = 1000;
	world->buf = start(&o);
	insert_number(world->buf, 0);
	assert_true(databuffer_next_deadline(world->buf) <= ANY_TIME); /* to be told the time */
	assert_int_equal(work_at(world, ANY_TIME), 0);
	assert_true(databuffer_next_deadline(world->buf) == ANY_TIME + 1000);
	assert_int_equal(work_at(world, ANY_TIME + 1000), 1);
	world_stop(world);
}

static void a_deadline_told_before_the_first_work_is_kept(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.flush_interval = 1000;
	world->buf = start(&o);
	insert_number(world->buf, 0);
	int64_t next = databuffer_next_deadline(world->buf);
	/* Either it is to be called at once, or then there is something to do. */
	if (next > 0)
		assert_int_equal(work_at(world, next), 1);
	world_stop(world);
}

/* --- Hours ------------------------------------------------------------------------------------ */

static void an_hour_of_intervals_passes_in_no_time(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	int64_t begin = now_ms();
	o.flush_interval = 1000;
	world_start(world, &o);
	for (uint64_t i = 0; i < 36000; i++) { /* one every 100 ms, from 50 on */
		live_until(world, 50 + 100 * (int64_t)i);
		insert_number(world->buf, i);
	}
	live_until(world, HOUR);
	assert_int_equal(world->count, 3600);
	for (size_t i = 0; i < 3600; i++) {
		assert_true(world->times[i] == 1000 * ((int64_t)i + 1));
		assert_int_equal(world->sink->calls[i].size, 10);
		assert_int_equal(world->sink->calls[i].trigger, DATABUFFER_TRIGGER_INTERVAL);
	}
	assert_flushed(world->sink, 0, 36000);
	assert_int_equal(databuffer_size(world->buf), 0);
	world_stop(world);
	assert_true(now_ms() - begin < PATIENCE_MS);
}

static void jitter_is_drawn_anew_for_every_interval(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.flush_interval = 1000;
	o.flush_jitter = 400;
	world->seed = test_seed();
	o.seed = (int64_t)(world->seed >> 2) + 1;
	world_start(world, &o);
	for (uint64_t i = 0; i < 1000; i++) {
		insert_number(world->buf, i); /* at once after the cut */
		int64_t next = databuffer_next_deadline(world->buf);
		live_until(world, next);
		assert_int_equal(world->count, i + 1);
	}
	unsigned short_ones = 0, long_ones = 0;
	for (size_t i = 1; i < world->count; i++) {
		int64_t gap = world->times[i] - world->times[i - 1];
		assert_in_range(gap, 1000, 1400);
		short_ones += gap < 1100;
		long_ones += gap >= 1300;
	}
	assert_in_range(short_ones, 150, 350); /* a quarter of all, and 7 sigma */
	assert_in_range(long_ones, 150, 350);
	world_stop(world);
}

static void empty_flushes_come_at_each_interval_if_they_are_wanted(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.flush_interval = 60000;
	o.flush_empty = 1;
	world_start(world, &o);
	live_until(world, HOUR);
	assert_int_equal(world->count, 60);
	for (size_t i = 0; i < 60; i++) {
		assert_true(world->times[i] == 60000 * ((int64_t)i + 1));
		assert_int_equal(world->sink->calls[i].size, 0);
	}
	world_stop(world);
}

/* --- Failing ---------------------------------------------------------------------------------- */

static int fail_for_an_hour(struct world *world, databuffer_batch *batch, const struct call *call)
{
	(void)batch;
	/* It is the same batch until it is taken, each time one attempt more. */
	const struct call *last = world->count > 1 ? &world->sink->calls[world->count - 2] : NULL;
	if (last && world->times[world->count - 2] < HOUR)
		CHECK(call->attempt == last->attempt + 1 && call->size == last->size);
	return world->now < HOUR ? DATABUFFER_RETRY : 0;
}

static void an_hour_without_a_sink_loses_nothing_and_passes_in_no_time(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.max_size = 10;
	o.flush_interval = 1000;
	o.retry_min = 100;
	o.retry_max = 30000;
	world->answer = fail_for_an_hour;
	world_start(world, &o);
	uint64_t accepted = 0, refused = 0;
	for (int64_t now = 0; now < HOUR + 60000; now += 1000) {
		live_until(world, now);
		int rc = try_number(world->buf, accepted);
		if (rc == 0)
			accepted++;
		else
			assert_int_equal(rc, DATABUFFER_ETIMEDOUT);
		refused += rc != 0;
		if (now < HOUR) /* one batch that is tried, and one open */
			assert_in_range(databuffer_size(world->buf), 0, 20);
		if (world->count > 0 && world->times[world->count - 1] < HOUR) {
			int64_t next = databuffer_next_deadline(world->buf);
			next = next > now ? next : now;
			assert_int_equal(info_of(world->buf, 0).next_retry_ms, next - now);
		}
	}
	live_until(world, 2 * HOUR);
	assert_flushed(world->sink, 0, accepted);
	assert_true(refused > 3000);

	/* Each wait from retry_min on up to twice the last bound, and at most retry_max. */
	int64_t most = 100, long_waits = 0;
	for (size_t i = 1; i < world->count && world->times[i - 1] < HOUR; i++) {
		most = 2 * most > 30000 ? 30000 : 2 * most;
		int64_t wait = world->times[i] - world->times[i - 1];
		assert_in_range(wait, 100, most);
		long_waits += wait > 15000;
	}
	assert_true(long_waits > 20); /* and does grow */
	databuffer_stats_t s = stats_of(world->buf);
	assert_int_equal(s.refused, refused);
	assert_int_equal(s.attempts, s.batches + s.failures);
	assert_int_equal(s.timeouts, 0);
	world_stop(world);
}

static int reject_sevens(struct world *world, databuffer_batch *batch, const struct call *call)
{
	(void)world;
	for (size_t i = 0; i < call->size; i++) {
		databuffer_item item = databuffer_batch_at(batch, i);
		if (number_of(&item) % 10 == 7)
			return DATABUFFER_REJECT;
	}
	return 0;
}

static void what_is_rejected_comes_down_to_its_poison_without_time_passing(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.flush_interval = 1000;
	world->answer = reject_sevens;
	world_start(world, &o);
	insert_numbers(world->buf, 0, 100);
	live_until(world, 1000);
	assert_int_equal(world->sink->dead_count, 10);
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(world->sink->dead[i].number, 10 * i + 7);
	assert_int_equal(world->sink->flushed.count, 90);
	for (size_t i = 0; i < world->count; i++)
		assert_true(world->times[i] == 1000);
	assert_true(databuffer_next_deadline(world->buf) == INT64_MAX);
	world_stop(world);
}

static int take_a_while(struct world *world, databuffer_batch *batch, const struct call *call)
{
	CHECK(call->deadline_ms == world->now + 5);
	for (int64_t until = now_ms() + 20; now_ms() < until; pause_ms(1))
		CHECK(!databuffer_batch_cancelled(batch));
	return 0;
}

/* The deadline is of the program's clock, and that stands still while its one thread is in the handler. */
static void a_handler_that_takes_its_time_is_not_late(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.flush_timeout = 5;
	world->answer = take_a_while;
	world->now = ANY_TIME;
	world_start(world, &o);
	insert_number(world->buf, 0);
	databuffer_flush(world->buf);
	assert_int_equal(work_at(world, ANY_TIME + 10), 1);
	assert_int_equal(work_at(world, ANY_TIME + 1000), 0);
	assert_int_equal(stats_of(world->buf).timeouts, 0);
	assert_int_equal(stats_of(world->buf).flushed, 1);
	assert_int_equal(sink_lines(world->sink), 0);
	world_stop(world);

	world = world_new();
	o = world_options(world);
	o.flush_timeout = 0;
	world_start(world, &o);
	insert_number(world->buf, 0);
	databuffer_flush(world->buf);
	assert_int_equal(work_at(world, 1), 1);
	assert_true(world->sink->calls[0].deadline_ms == INT64_MAX);
	world_stop(world);
}

/* --- From inside ------------------------------------------------------------------------------ */

static int do_all_sorts(struct world *world, databuffer_batch *batch, const struct call *call)
{
	(void)batch, (void)call;
	CHECK(databuffer_work(world->buf, world->now + 1) == DATABUFFER_EDEADLK);
	CHECK(databuffer_sync_flush(world->buf, NULL, 0, 0) == DATABUFFER_EDEADLK);
	CHECK(databuffer_stop(world->buf, 0) == DATABUFFER_EDEADLK);
	CHECK(databuffer_flush(world->buf) == 0);
	CHECK(databuffer_size(world->buf) >= 1);
	CHECK(databuffer_next_deadline(world->buf) >= 0);
	if (world->count == 1) /* it goes with another batch */
		CHECK(try_number(world->buf, 1) == 0);
	return 0;
}

static void a_handler_may_insert_and_look_and_may_not_work(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.flush_interval = 1000;
	world->answer = do_all_sorts;
	world_start(world, &o);
	insert_number(world->buf, 0);
	live_until(world, 1000);
	live_until(world, 2000);
	assert_flushed(world->sink, 0, 2);
	assert_int_equal(world->count, 2);
	world_stop(world);
}

/* --- Beside other threads --------------------------------------------------------------------- */

struct helper {
	databuffer *buf;
	_Atomic int rc;
	_Atomic bool ended;
};

static void *insert_three(void *arg)
{
	struct helper *helper = arg;
	for (uint64_t i = 2; i < 5; i++)
		CHECK(databuffer_insert_timed(helper->buf, &i, sizeof(i), PATIENCE_MS) == 0);
	atomic_store(&helper->ended, true);
	return NULL;
}

static void an_insert_of_another_thread_waits_for_work(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.max_size = 1;
	world_start(world, &o);
	insert_numbers(world->buf, 0, 2);
	struct helper helper = { .buf = world->buf };
	pthread_t thread = thread_run(insert_three, &helper);
	WAIT_FOR(stats_of(world->buf).waits == 1);
	assert_int_equal(databuffer_size(world->buf), 2);
	for (int64_t until = now_ms() + PATIENCE_MS; !atomic_load(&helper.ended) && now_ms() < until;)
		work_at(world, world->now + 1);
	thread_join(thread);
	while (work_at(world, world->now + 1) > 0)
		continue;
	assert_flushed(world->sink, 0, 5);
	world_stop(world);
}

static void *sync_flush(void *arg)
{
	struct helper *helper = arg;
	databuffer_result results[2];
	insert_numbers(helper->buf, 10, 20); /* which nobody has asked for yet */
	int rc = databuffer_sync_flush(helper->buf, results, 2, PATIENCE_MS);
	CHECK(rc != 0 || results[0].size + results[1].size == 10);
	atomic_store(&helper->rc, rc);
	atomic_store(&helper->ended, true);
	return NULL;
}

static void a_sync_flush_of_another_thread_waits_for_work(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.partitions = 2;
	world_start(world, &o);
	insert_numbers(world->buf, 0, 10);
	/* The only thread would wait for itself, up to its deadline. */
	assert_int_equal(databuffer_sync_flush(world->buf, NULL, 0, 20), DATABUFFER_ETIMEDOUT);
	assert_int_equal(world->count, 0);
	assert_int_equal(work_at(world, 1), 2); /* it was asked for all the same */

	struct helper helper = { .buf = world->buf, .rc = 1 };
	pthread_t thread = thread_run(sync_flush, &helper);
	for (int64_t until = now_ms() + PATIENCE_MS; !atomic_load(&helper.ended) && now_ms() < until;)
		work_at(world, world->now + 1);
	thread_join(thread);
	assert_int_equal(atomic_load(&helper.rc), 0);
	assert_flushed_once(world->sink, 0, 20);
	world_stop(world);
}

/* --- Stopping --------------------------------------------------------------------------------- */

static int fail_twice(struct world *world, databuffer_batch *batch, const struct call *call)
{
	(void)world, (void)batch;
	return call->attempt <= 2 ? DATABUFFER_RETRY : 0;
}

static void stop_does_the_work_that_is_left(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.partitions = 3;
	o.max_size = 4;
	o.flush_interval = 1000;
	o.retry_min = 2;
	o.retry_max = 3;
	world->answer = fail_twice;
	world_start(world, &o);
	insert_numbers(world->buf, 0, 20);
	stop_clean(world->buf);
	assert_flushed_once(world->sink, 0, 20);
	assert_true(pthread_equal(world->worker, pthread_self()));
	assert_int_equal(databuffer_work(world->buf, world->now), DATABUFFER_ESTOPPED);
	world_free(world);
}

static int fail_first(struct world *world, databuffer_batch *batch, const struct call *call)
{
	(void)world, (void)batch;
	return call->attempt == 1 ? DATABUFFER_RETRY : 0;
}

static void stop_cuts_backoffs_short(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.retry_min = o.retry_max = HOUR;
	world->answer = fail_first;
	world_start(world, &o);
	insert_number(world->buf, 0);
	databuffer_flush(world->buf);
	assert_int_equal(work_at(world, 10), 1);
	assert_true(databuffer_next_deadline(world->buf) == 10 + HOUR);
	stop_clean(world->buf);
	assert_flushed(world->sink, 0, 1);
	world_free(world);
}

static int always_fail(struct world *world, databuffer_batch *batch, const struct call *call)
{
	(void)world, (void)batch, (void)call;
	return -EIO;
}

static void stop_gives_back_what_cannot_be_flushed_in_time(void **state)
{
	(void)state;
	/* On a machine that is busy there may be no time for a second attempt: then there is to be more of it. */
	unsigned attempts = 0;
	for (int64_t timeout_ms = 40; attempts < 2; timeout_ms *= 2) {
		assert_true(timeout_ms < PATIENCE_MS);
		struct world *world = world_new();
		databuffer_options o = world_options(world);
		o.max_size = 4;
		o.retry_min = o.retry_max = 1;
		world->answer = always_fail;
		world_start(world, &o);
		insert_numbers(world->buf, 0, 6);
		int64_t begin = now_ms();
		assert_int_equal(databuffer_stop(world->buf, timeout_ms), 6);
		assert_in_range(now_ms() - begin, timeout_ms, timeout_ms + PATIENCE_MS);
		assert_int_equal(world->sink->left_count, 6);
		for (size_t i = 0; i < 6; i++)
			assert_int_equal(world->sink->left[i].number, i);
		attempts = world->sink->left[0].attempts;
		assert_int_equal(world->sink->left[0].status, attempts > 0 ? -EIO : 0);
		world_free(world);
	}
}

static void *work_once(void *arg)
{
	struct world *world = arg;
	CHECK(databuffer_work(world->buf, world->now) == 1);
	return NULL;
}

static void a_hung_handler_in_work_holds_stop_up_to_its_deadline_and_no_longer(void **state)
{
	(void)state;
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	world_start(world, &o);
	insert_numbers(world->buf, 0, 3);
	databuffer_flush(world->buf);
	sink_close(world->sink);
	pthread_t thread = thread_run(work_once, world);
	WAIT_FOR(sink_inside(world->sink) == 1);
	insert_number(world->buf, 3);
	int64_t begin = now_ms();
	assert_int_equal(databuffer_stop(world->buf, 40), 4);
	assert_in_range(now_ms() - begin, 40, PATIENCE_MS);
	assert_int_equal(sink_left_over(world->sink), 4);
	sink_open(world->sink);
	thread_join(thread);
	assert_int_equal(world->sink->call_count, 1);
	assert_true(world->sink->calls[0].cancelled);
	world_free(world);
}

/* --- The same every time ---------------------------------------------------------------------- */

static int fail_by_the_dice(struct world *world, databuffer_batch *batch, const struct call *call)
{
	(void)batch, (void)call;
	return dice_below(&world->seed, 5) == 0 ? DATABUFFER_RETRY : 0;
}

/* Hours of inserts, flushes and failures at random times. */
static struct world *live_at_random(uint64_t seed)
{
	struct world *world = world_new();
	databuffer_options o = world_options(world);
	o.partitions = 3;
	o.max_size = 20;
	o.max_size_jitter = 10;
	o.flush_interval = 5000;
	o.flush_jitter = 1000;
	o.seed = 7;
	world->seed = seed;
	world->answer = fail_by_the_dice;
	world_start(world, &o);
	uint64_t next = 0, steps = scaled(20000);
	for (uint64_t i = 0; i < steps; i++) {
		live_until(world, world->now + (int64_t)dice_below(&seed, 1000));
		for (uint64_t n = dice_below(&seed, 8); n > 0; n--)
			if (try_number(world->buf, next) == 0)
				next++;
		if (dice_below(&seed, 100) == 0)
			assert_int_equal(databuffer_flush(world->buf), 0);
		if (i % 100 == 0)
			assert_int_equal(stats_of(world->buf).inserted, next);
	}
	live_until(world, world->now + HOUR);
	assert_int_equal(databuffer_size(world->buf), 0);
	stop_clean(world->buf);
	assert_flushed_once(world->sink, 0, next);
	return world;
}

static void one_seed_and_one_clock_make_the_same_life(void **state)
{
	(void)state;
	uint64_t seed = test_seed();
	struct world *one = live_at_random(seed), *other = live_at_random(seed);
	assert_int_equal(one->count, other->count);
	for (size_t i = 0; i < one->count; i++) {
		const struct call *a = &one->sink->calls[i], *b = &other->sink->calls[i];
		assert_true(one->times[i] == other->times[i]);
		assert_true(a->size == b->size && a->partition == b->partition && a->attempt == b->attempt &&
		            a->trigger == b->trigger && a->answer == b->answer);
	}
	size_t bytes = one->sink->shown.count * sizeof(uint64_t);
	assert_memory_equal(one->sink->shown.at, other->sink->shown.at, bytes);
	print_message("%zu calls in %" PRId64 " hours\n", one->count, one->now / HOUR);
	world_free(one);
	world_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_manual_buffer_has_no_threads),
		cmocka_unit_test(nothing_is_flushed_but_by_work),
		cmocka_unit_test(the_next_deadline_is_when_there_is_something_to_do),
		cmocka_unit_test(without_an_interval_there_is_no_deadline),
		cmocka_unit_test(of_several_partitions_the_earliest_deadline_is_told),
		cmocka_unit_test(the_first_work_tells_the_buffer_what_time_it_is),
		cmocka_unit_test(what_is_inserted_before_the_first_work_has_its_interval_too),
		cmocka_unit_test(a_deadline_told_before_the_first_work_is_kept),
		cmocka_unit_test(an_hour_of_intervals_passes_in_no_time),
		cmocka_unit_test(jitter_is_drawn_anew_for_every_interval),
		cmocka_unit_test(empty_flushes_come_at_each_interval_if_they_are_wanted),
		cmocka_unit_test(an_hour_without_a_sink_loses_nothing_and_passes_in_no_time),
		cmocka_unit_test(what_is_rejected_comes_down_to_its_poison_without_time_passing),
		cmocka_unit_test(a_handler_that_takes_its_time_is_not_late),
		cmocka_unit_test(a_handler_may_insert_and_look_and_may_not_work),
		cmocka_unit_test(an_insert_of_another_thread_waits_for_work),
		cmocka_unit_test(a_sync_flush_of_another_thread_waits_for_work),
		cmocka_unit_test(stop_does_the_work_that_is_left),
		cmocka_unit_test(stop_cuts_backoffs_short),
		cmocka_unit_test(stop_gives_back_what_cannot_be_flushed_in_time),
		cmocka_unit_test(a_hung_handler_in_work_holds_stop_up_to_its_deadline_and_no_longer),
		cmocka_unit_test(one_seed_and_one_clock_make_the_same_life),
		cmocka_unit_test(a_threaded_buffer_has_no_work_to_do),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
