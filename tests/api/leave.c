/* SPDX-License-Identifier: MIT */
/* Handlers that do not return but leave their thread: by pthread_exit, or cancelled by another. That is a failed flush;
 * nothing is lost, no lock is left held, and another thread goes on. What C++ does is in throw.cpp. */
#include "api/support.h"

#include <sched.h>

/* How a handler's first calls end; those after them are the sink's. */
struct leaver {
	struct sink *sink;
	_Atomic unsigned leave; /* so many calls more */
	void (*how)(struct leaver *leaver);
	_Atomic unsigned left, cleaned, waiting;
	_Atomic pthread_t thread; /* of the last call that left */
	_Atomic bool stays;
};

static void exit_thread(struct leaver *leaver)
{
	(void)leaver;
	pthread_exit((void *)0x42);
}

/* Until somebody cancels it: in a sleep; but the thread sanitizer, which counts who is in one, would be one short. */
static void wait_to_be_cancelled(struct leaver *leaver)
{
	leaver->waiting++;
	for (;;) {
		if (UNDER_TSAN)
			pthread_testcancel();
		else
			pause_ms(1000);
	}
}

static void count_cleanup(void *arg)
{
	struct leaver *leaver = arg;
	leaver->cleaned++;
}

static int leave_or_flush(databuffer_batch *batch, void *meta)
{
	struct leaver *leaver = meta;
	if (leaver->leave > 0) {
		leaver->leave--;
		leaver->thread = pthread_self();
		leaver->left++;
		pthread_cleanup_push(count_cleanup, leaver);
		leaver->how(leaver);
		pthread_cleanup_pop(0);
	}
	return sink_flush(batch, leaver->sink);
}

static void leave_dead(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct leaver *leaver = meta;
	sink_dead(item, reason, leaver->sink);
	leaver->left++;
	pthread_exit(NULL);
}

static void pass_dead(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	sink_dead(item, reason, ((struct leaver *)meta)->sink);
}

static void pass_left(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	sink_left(item, reason, ((struct leaver *)meta)->sink);
}

static void pass_log(databuffer_log_level level, const char *line, void *meta)
{
	sink_log(level, line, ((struct leaver *)meta)->sink);
}

static databuffer_options leaver_options(struct leaver *leaver)
{
	databuffer_options options = sink_options(leaver->sink);
	options.handle_flush = leave_or_flush;
	options.handle_dead = pass_dead;
	options.handle_left = pass_left;
	options.handle_log = pass_log;
	options.flush_meta = leaver;
	options.retry_min = options.retry_max = 1;
	return options;
}

static void an_exit_of_its_thread_is_a_failed_flush(void **state)
{
	(void)state;
	struct leaver leaver = { .sink = sink_new(), .leave = 1, .how = exit_thread };
	databuffer_options o = leaver_options(&leaver);
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	flush_all(buf);
	assert_int_equal(leaver.left, 1);
	assert_int_equal(leaver.cleaned, 1); /* what the handler pushed has run */
	databuffer_stats_t stats = stats_of(buf);
	assert_int_equal(stats.attempts, 2);
	assert_int_equal(stats.failures, 1);
	assert_int_equal(stats.flushed, 10);
	assert_int_equal(sink_call(leaver.sink, 0).attempt, 2);
	assert_int_equal(sink_lines(leaver.sink), 1);
	assert_non_null(strstr(leaver.sink->line, "left its thread"));
	assert_non_null(strstr(leaver.sink->line, "tried again"));
	insert_numbers(buf, 10, 20);
	stop_clean(buf);
	assert_flushed(leaver.sink, 0, 20);
	sink_free(leaver.sink);
}

static void hear_status(const databuffer_event *event, void *ctx)
{
	_Atomic int *status = ctx;
	*status = event->status;
}

static void info_and_an_event_say_that_it_left(void **state)
{
	(void)state;
	struct leaver leaver = { .sink = sink_new(), .leave = 1, .how = exit_thread };
	_Atomic int status = 0;
	databuffer_options o = leaver_options(&leaver);
	o.retry_min = o.retry_max = 3600000;
	databuffer *buf = start(&o);
	assert_int_equal(databuffer_telemetry_attach("leave", DATABUFFER_FLUSH_EXCEPTION, hear_status, &status), 0);
	insert_numbers(buf, 0, 10);
	databuffer_flush(buf);
	WAIT_FOR(info_of(buf, 0).next_retry_ms > 0);
	assert_int_equal(status, DATABUFFER_ECANCELED);
	assert_int_equal(info_of(buf, 0).last_status, DATABUFFER_ECANCELED);
	assert_int_equal(info_of(buf, 0).in_flight, 0);
	assert_int_equal(info_of(buf, 0).size, 10);
	assert_int_equal(databuffer_telemetry_detach("leave"), 0);
	stop_clean(buf);
	assert_flushed(leaver.sink, 0, 10);
	sink_free(leaver.sink);
}

static void a_cancelled_handler_is_a_failed_flush(void **state)
{
	(void)state;
	struct leaver leaver = { .sink = sink_new(), .leave = 3, .how = wait_to_be_cancelled };
	databuffer_options o = leaver_options(&leaver);
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	databuffer_flush(buf);
	for (unsigned i = 1; i <= 3; i++) {
		WAIT_FOR(leaver.waiting == i);
		assert_int_equal(pthread_cancel(leaver.thread), 0);
	}
	flush_all(buf);
	assert_int_equal(leaver.cleaned, 3);
	assert_int_equal(stats_of(buf).failures, 3);
	stop_clean(buf);
	assert_flushed(leaver.sink, 0, 10);
	sink_free(leaver.sink);
}

/* Until the test lets it go on, without a point where it could be cancelled; then it sees to whether it was before. */
static void stay(struct leaver *leaver)
{
	while (leaver->stays)
		sched_yield();
}

static void meet_cancellation(struct leaver *leaver)
{
	(void)leaver;
	pthread_testcancel();
}

/* Not where it waits for work, with a lock, but in the next handler: there it leaves. */
static void a_flusher_that_is_cancelled_outside_of_a_handler_harms_nobody(void **state)
{
	(void)state;
	struct leaver leaver = { .sink = sink_new() };
	databuffer_options o = leaver_options(&leaver);
	databuffer *buf = start(&o);
	uint64_t n = 0;
	for (unsigned round = 0; round < 20; round++) {
		leaver.how = stay;
		leaver.stays = true;
		unsigned left = leaver.left;
		leaver.leave = 1;
		insert_numbers(buf, n, n + 10);
		databuffer_flush(buf);
		WAIT_FOR(leaver.left == left + 1);
		assert_int_equal(pthread_cancel(leaver.thread), 0);
		leaver.stays = false;
		flush_all(buf);
		assert_int_equal(stats_of(buf).failures, leaver.cleaned);

		leaver.how = meet_cancellation;
		leaver.leave = 1;
		insert_numbers(buf, n + 10, n + 20);
		flush_all(buf);
		n += 20;
	}
	assert_int_equal(stats_of(buf).failures, leaver.cleaned);
	assert_true(leaver.cleaned > 0);
	stop_clean(buf);
	assert_flushed(leaver.sink, 0, n);
	sink_free(leaver.sink);
}

static void many_may_leave_and_no_thread_is_lost(void **state)
{
	(void)state;
	unsigned many = (unsigned)scaled(400);
	struct leaver leaver = { .sink = sink_new(), .leave = many, .how = exit_thread };
	databuffer_options o = leaver_options(&leaver);
	o.partitions = 4;
	o.max_size = 10;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	long threads = proc_status("Threads:");
	for (unsigned i = 0; i < 500; i++)
		insert_numbers(buf, i * 10, i * 10 + 10);
	flush_all(buf);
	assert_int_equal(leaver.cleaned, many);
	assert_int_equal(stats_of(buf).failures, many);
	WAIT_FOR(proc_status("Threads:") <= threads + 4);
	stop_clean(buf);
	assert_flushed_once(leaver.sink, 0, 5000);
	sink_free(leaver.sink);
}

static void who_leaves_too_often_meets_the_limit(void **state)
{
	(void)state;
	struct leaver leaver = { .sink = sink_new(), .leave = 2, .how = exit_thread };
	databuffer_options o = leaver_options(&leaver);
	o.retry_limit = 2;
	databuffer *buf = start(&o);
	insert_number(buf, 7);
	flush_all(buf);
	assert_int_equal(sink_buried(leaver.sink), 1);
	assert_int_equal(leaver.sink->dead[0].status, DATABUFFER_ECANCELED);
	assert_int_equal(leaver.sink->dead[0].attempts, 2);
	stop_clean(buf);
	sink_free(leaver.sink);
}

static int reject_odd(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	for (size_t i = 0; i < call->size; i++) {
		databuffer_item item = databuffer_batch_at(batch, i);
		if (number_of(&item) % 2 == 1)
			databuffer_batch_fail(batch, i, "odd");
	}
	return 0;
}

static void handle_dead_may_leave_and_each_item_is_told_once(void **state)
{
	(void)state;
	struct leaver leaver = { .sink = sink_new(), .how = exit_thread };
	databuffer_options o = leaver_options(&leaver);
	o.handle_dead = leave_dead;
	leaver.sink->answer = reject_odd;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 20);
	flush_all(buf);
	assert_int_equal(stats_of(buf).dead, 10);
	assert_int_equal(leaver.left, 10);
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(leaver.sink->dead[i].number, 2 * i + 1);
	insert_numbers(buf, 20, 22);
	stop_clean(buf);
	assert_int_equal(sink_buried(leaver.sink), 11);
	sink_free(leaver.sink);
}

static void one_that_leaves_late_gives_back_what_it_held(void **state)
{
	(void)state;
	struct leaver leaver = { .sink = sink_new(), .leave = 1, .how = wait_to_be_cancelled };
	databuffer_options o = leaver_options(&leaver);
	o.flush_timeout = 20;
	o.max_size = 10;
	o.max_stuck = 1;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 100);
	WAIT_FOR(info_of(buf, 0).stuck == 1 && stats_of(buf).flushed == 90);
	assert_int_equal(pthread_cancel(leaver.thread), 0);
	flush_all(buf);
	assert_int_equal(info_of(buf, 0).stuck, 0);
	stop_clean(buf);
	assert_flushed_once(leaver.sink, 0, 100);
	sink_free(leaver.sink);
}

/* --- In a program's own loop ------------------------------------------------------------------------------ */

static void *work_once(void *arg)
{
	databuffer_work(arg, 1);
	return NULL;
}

static void it_is_the_programs_thread_that_ends_where_the_program_works(void **state)
{
	(void)state;
	struct leaver leaver = { .sink = sink_new(), .leave = 1, .how = exit_thread };
	databuffer_options o = leaver_options(&leaver);
	o.flusher = DATABUFFER_MANUAL;
	o.partitions = 2;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 20);
	databuffer_flush(buf);
	void *value;
	assert_int_equal(pthread_join(thread_run(work_once, buf), &value), 0);
	assert_ptr_equal(value, (void *)0x42); /* as the handler wanted it */
	assert_int_equal(leaver.cleaned, 1);
	assert_int_equal(stats_of(buf).failures, 1);
	assert_int_equal(stats_of(buf).held, 20);
	/* Another goes on. */
	assert_true(databuffer_work(buf, 100) > 0);
	assert_int_equal(stats_of(buf).flushed, 20);
	stop_clean(buf);
	assert_flushed_once(leaver.sink, 0, 20);
	sink_free(leaver.sink);
}

static void a_working_thread_is_cancelled_in_the_handler_and_nowhere_else(void **state)
{
	(void)state;
	struct leaver leaver = { .sink = sink_new(), .leave = 1, .how = wait_to_be_cancelled };
	databuffer_options o = leaver_options(&leaver);
	o.flusher = DATABUFFER_MANUAL;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	databuffer_flush(buf);
	pthread_t thread = thread_run(work_once, buf);
	WAIT_FOR(leaver.waiting == 1);
	assert_int_equal(pthread_cancel(thread), 0);
	void *value;
	assert_int_equal(pthread_join(thread, &value), 0);
	assert_ptr_equal(value, PTHREAD_CANCELED);
	assert_int_equal(databuffer_work(buf, 100), 1);
	stop_clean(buf);
	assert_flushed(leaver.sink, 0, 10);
	sink_free(leaver.sink);
}

static void *stop_it(void *arg)
{
	databuffer_stop(arg, PATIENCE_MS);
	return NULL;
}

static void a_stop_comes_to_its_end_before_the_thread_does(void **state)
{
	(void)state;
	struct leaver leaver = { .sink = sink_new(), .leave = 1, .how = exit_thread };
	databuffer_options o = leaver_options(&leaver);
	o.flusher = DATABUFFER_MANUAL;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	void *value;
	assert_int_equal(pthread_join(thread_run(stop_it, buf), &value), 0);
	assert_ptr_equal(value, (void *)0x42);
	assert_int_equal(sink_left_over(leaver.sink), 10);
	assert_int_equal(leaver.sink->left[0].status, DATABUFFER_ECANCELED);
	assert_int_equal(databuffer_flush(buf), DATABUFFER_ESTOPPED);
	sink_free(leaver.sink);
}

static void work_another(struct leaver *leaver)
{
	databuffer *other = leaver->sink->ctx;
	databuffer_work(other, 1); /* whose handler leaves the thread, and so this one as well */
}

static void leaving_goes_through_all_buffers_that_the_thread_is_in(void **state)
{
	(void)state;
	struct leaver inner = { .sink = sink_new(), .leave = 1, .how = exit_thread };
	struct leaver outer = { .sink = sink_new(), .leave = 1, .how = work_another };
	databuffer_options o = leaver_options(&inner);
	o.flusher = DATABUFFER_MANUAL;
	databuffer *other = start(&o);
	outer.sink->ctx = other;
	o = leaver_options(&outer);
	databuffer *buf = start(&o);
	insert_numbers(other, 0, 5);
	databuffer_flush(other);
	insert_numbers(buf, 0, 5);
	flush_all(buf);
	assert_int_equal(outer.cleaned, 1);
	assert_int_equal(inner.cleaned, 1);
	assert_int_equal(stats_of(buf).failures, 1);
	assert_int_equal(stats_of(other).failures, 1);
	stop_clean(buf);
	stop_clean(other);
	assert_flushed(outer.sink, 0, 5);
	assert_flushed(inner.sink, 0, 5);
	sink_free(outer.sink);
	sink_free(inner.sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_exit_of_its_thread_is_a_failed_flush),
		cmocka_unit_test(info_and_an_event_say_that_it_left),
		cmocka_unit_test(a_cancelled_handler_is_a_failed_flush),
		cmocka_unit_test(a_flusher_that_is_cancelled_outside_of_a_handler_harms_nobody),
		cmocka_unit_test(many_may_leave_and_no_thread_is_lost),
		cmocka_unit_test(who_leaves_too_often_meets_the_limit),
		cmocka_unit_test(handle_dead_may_leave_and_each_item_is_told_once),
		cmocka_unit_test(one_that_leaves_late_gives_back_what_it_held),
		cmocka_unit_test(it_is_the_programs_thread_that_ends_where_the_program_works),
		cmocka_unit_test(a_working_thread_is_cancelled_in_the_handler_and_nowhere_else),
		cmocka_unit_test(a_stop_comes_to_its_end_before_the_thread_does),
		cmocka_unit_test(leaving_goes_through_all_buffers_that_the_thread_is_in),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
