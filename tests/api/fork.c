/* SPDX-License-Identifier: MIT */
/*
 * Fork: the child finds every buffer empty and usable, the parent notices nothing, and neither is ever
 * stuck, wherever the threads of the parent are at that moment and whoever it is that forks.
 *
 * A child reports by its exit status: what fails in it aborts it. It has only the thread that forked, so it
 * keeps off whatever a lock of the test's may have been left locked over.
 */
#include <errno.h>
#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>

#include "api/support.h"

#if UNDER_TSAN
/* Else the sanitizer ends a child that starts a thread. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}
#endif

/* --- Children --------------------------------------------------------------------------------- */

/* As WAIT_FOR, in a child. */
#define CHILD_WAIT_FOR(condition)                                                                           \
	do {                                                                                                \
		int64_t until_ms_ = now_ms() + PATIENCE_MS;                                                 \
		while (!(condition)) {                                                                      \
			CHECK(now_ms() <= until_ms_ && #condition);                                         \
			pause_ms(1);                                                                        \
		}                                                                                           \
	} while (0)

static pid_t fork_child(void)
{
	fflush(NULL);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		/* cmocka's handlers would go on with the next test. */
		int caught[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS };
		for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
			signal(caught[i], SIG_DFL);
		alarm(2 * PATIENCE_MS / 1000);
	}
	return pid;
}

/* The child must have ended well, and in time. */
static void expect_good_end(pid_t pid)
{
	int status = 0;
	pid_t ended = 0;
	for (int64_t until = now_ms() + PATIENCE_MS; ended == 0 && now_ms() < until; pause_ms(1))
		ended = waitpid(pid, &status, WNOHANG);
	if (ended == 0) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		fail_msg("the child had not ended after %d ms", PATIENCE_MS);
	}
	assert_int_equal(ended, pid);
	if (WIFSIGNALED(status))
		fail_msg("the child was ended by signal %d", WTERMSIG(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* It inserts, flushes and stops, and gets all of it. */
static void use_and_stop(databuffer *buf, struct sink *sink)
{
	size_t before = sink->flushed.count;
	for (uint64_t i = 0; i < 100; i++)
		insert_number(buf, 1000 + i);
	flush_all(buf);
	CHECK(sink_flushed(sink) == before + 100);
	databuffer_stats_t s = stats_of(buf);
	CHECK(s.inserted == 100 && s.flushed == 100 && s.held == 0);
	for (uint64_t i = 0; i < 10; i++)
		insert_number(buf, 2000 + i);
	CHECK(databuffer_stop(buf, PATIENCE_MS) == 0);
	CHECK(sink_flushed(sink) == before + 110);
}

static int count_visit(const databuffer_item *item, unsigned partition, void *ctx)
{
	(void)item, (void)partition;
	++*(unsigned *)ctx;
	return 0;
}

static void is_empty(databuffer *buf, unsigned partitions)
{
	databuffer_stats_t s = stats_of(buf), zero = { 0 };
	CHECK(databuffer_size(buf) == 0);
	CHECK(memcmp(&s, &zero, sizeof(s)) == 0);
	unsigned visits = 0;
	CHECK(databuffer_dump(buf, count_visit, &visits) == 0 && visits == 0);
	databuffer_partition_info infos[16];
	CHECK(databuffer_info(buf, infos, 16) == (int)partitions);
	for (unsigned i = 0; i < partitions; i++)
		CHECK(infos[i].size == 0 && infos[i].bytes == 0 && infos[i].in_flight == 0 &&
		      infos[i].queued == 0 && infos[i].stuck == 0 && infos[i].attempt == 0 &&
		      infos[i].last_status == 0);
}

/* --- What the child finds --------------------------------------------------------------------- */

static void the_child_finds_its_buffers_empty_and_usable(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.name = "forked";
	o.partitions = 3;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	flush_all(buf);
	insert_numbers(buf, 10, 20);
	pid_t pid = fork_child();
	if (pid == 0) {
		CHECK(databuffer_find("forked") == buf);
		is_empty(buf, 3);
		databuffer *other = NULL;
		CHECK(databuffer_start(&other, &o) == DATABUFFER_EEXIST);
		use_and_stop(buf, sink);
		CHECK(databuffer_find("forked") == NULL);
		CHECK(databuffer_insert(buf, "x", 1) == DATABUFFER_ESTOPPED);
		CHECK(databuffer_start(&other, &o) == 0); /* the name is free again */
		use_and_stop(other, sink);
		_exit(0);
	}
	expect_good_end(pid);
	assert_ptr_equal(databuffer_find("forked"), buf);
	assert_int_equal(databuffer_size(buf), 10);
	assert_int_equal(stats_of(buf).flushed, 10);
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 20);
	sink_free(sink);
}

static void the_childs_threads_start_again_on_demand(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.flush_interval = 20;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	flush_all(buf);
	pid_t pid = fork_child();
	if (pid == 0) {
		if (!UNDER_TSAN) /* which has one of its own */
			CHECK(proc_status("Threads") == 1);
		insert_number(buf, 10); /* and the clock does the rest */
		CHILD_WAIT_FOR(sink_flushed(sink) == 11);
		CHECK(sink_call(sink, sink_calls(sink) - 1).trigger == DATABUFFER_TRIGGER_INTERVAL);
		if (!UNDER_TSAN)
			CHECK(proc_status("Threads") == 3);
		insert_number(buf, 11);
		CHILD_WAIT_FOR(sink_flushed(sink) == 12);
		CHECK(databuffer_stop(buf, PATIENCE_MS) == 0);
		_exit(0);
	}
	expect_good_end(pid);
	insert_number(buf, 10);
	WAIT_FOR(sink_flushed(sink) == 11);
	assert_flushed(sink, 0, 11);
	stop_clean(buf);
	sink_free(sink);
}

static void the_child_has_none_of_what_is_in_flight_or_waiting(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 4;
	o.max_queued = 1;
	databuffer *buf = start(&o);
	sink_close(sink);
	for (uint64_t i = 0; i < 12; i++) /* in flight, queued, open: it is full */
		insert_number(buf, i);
	WAIT_FOR(sink_inside(sink) == 1);
	assert_int_equal(try_number(buf, 12), DATABUFFER_ETIMEDOUT);
	pid_t pid = fork_child();
	if (pid == 0) {
		/* Not sink_open: the child's condition variable has a waiter that is not there. */
		sink->closed = false;
		is_empty(buf, 1);
		use_and_stop(buf, sink);
		_exit(0);
	}
	expect_good_end(pid);
	assert_int_equal(databuffer_size(buf), 12);
	assert_int_equal(info_of(buf, 0).in_flight, 1);
	assert_int_equal(try_number(buf, 12), DATABUFFER_ETIMEDOUT);
	sink_open(sink);
	stop_clean(buf);
	assert_flushed(sink, 0, 12);
	sink_free(sink);
}

static int fail_once(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)batch;
	return sink->ctx && call->attempt == 1 ? DATABUFFER_RETRY : 0;
}

static void the_child_has_none_of_what_is_to_be_tried_again(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.retry_min = o.retry_max = 3600000;
	sink->answer = fail_once;
	sink->ctx = sink;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 5);
	databuffer_flush(buf);
	WAIT_FOR(info_of(buf, 0).next_retry_ms > 0);
	pid_t pid = fork_child();
	if (pid == 0) {
		sink->ctx = NULL;
		is_empty(buf, 1);
		use_and_stop(buf, sink);
		_exit(0);
	}
	expect_good_end(pid);
	assert_true(info_of(buf, 0).next_retry_ms > 0);
	stop_clean(buf);
	assert_flushed(sink, 0, 5);
	sink_free(sink);
}

static void grandchildren_find_the_same(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 2;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 5);
	pid_t pid = fork_child();
	if (pid == 0) {
		for (int generation = 1; generation <= 5; generation++) {
			is_empty(buf, 2);
			for (uint64_t i = 0; i < 7; i++)
				insert_number(buf, 100 + i);
			flush_all(buf);
			insert_number(buf, 200); /* which the next does not get */
			CHECK(databuffer_size(buf) == 1);
			int status;
			pid_t next = fork_child();
			if (next == 0)
				continue;
			CHECK(waitpid(next, &status, 0) == next);
			CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
			CHECK(databuffer_size(buf) == 1);
			CHECK(databuffer_stop(buf, PATIENCE_MS) == 0);
			_exit(0);
		}
		use_and_stop(buf, sink);
		_exit(0);
	}
	expect_good_end(pid);
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 5);
	sink_free(sink);
}

static void a_manual_buffer_is_the_childs_too(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.flusher = DATABUFFER_MANUAL;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 5);
	pid_t pid = fork_child();
	if (pid == 0) {
		is_empty(buf, 1);
		insert_numbers(buf, 0, 3);
		CHECK(databuffer_flush(buf) == 0);
		CHECK(databuffer_work(buf, 1) == 1);
		CHECK(sink_flushed(sink) == 3);
		insert_numbers(buf, 3, 6);
		CHECK(databuffer_stop(buf, PATIENCE_MS) == 0);
		CHECK(sink_flushed(sink) == 6);
		if (!UNDER_TSAN)
			CHECK(proc_status("Threads") == 1);
		_exit(0);
	}
	expect_good_end(pid);
	stop_clean(buf);
	assert_flushed(sink, 0, 5);
	sink_free(sink);
}

static void *call_stop(void *arg)
{
	CHECK(databuffer_stop(arg, PATIENCE_MS) == 0);
	return NULL;
}

static void what_the_parent_is_about_to_stop_runs_in_the_child(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.name = "stopping";
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 5);
	pthread_t stopper = thread_run(call_stop, buf);
	WAIT_FOR(!databuffer_find("stopping") && sink_inside(sink) == 1);
	pid_t pid = fork_child();
	if (pid == 0) {
		sink->closed = false;
		CHECK(databuffer_find("stopping") == buf);
		is_empty(buf, 1);
		use_and_stop(buf, sink);
		_exit(0);
	}
	expect_good_end(pid);
	sink_open(sink);
	thread_join(stopper);
	assert_flushed(sink, 0, 5);
	sink_free(sink);
}

/* --- Slots ------------------------------------------------------------------------------------ */

static void slots_that_are_held_stay_with_the_parent(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	databuffer_slot slots[8];
	uint64_t number = 7;
	for (int i = 0; i < 8; i++) {
		CHECK(databuffer_reserve(buf, 8, &slots[i]) == 0);
		memcpy(slots[i].data, &number, 8);
		if (i == 3) { /* half of them over a cut */
			insert_number(buf, 7);
			flush_all(buf);
		}
	}
	pid_t pid = fork_child();
	if (pid == 0) {
		is_empty(buf, 1);
		CHECK(databuffer_commit(&slots[0]) == DATABUFFER_EINVAL);
		CHECK(databuffer_abort(&slots[1]) == DATABUFFER_EINVAL);
		CHECK(databuffer_commit(&slots[4]) == DATABUFFER_EINVAL);
		CHECK(databuffer_abort(&slots[5]) == DATABUFFER_EINVAL);
		is_empty(buf, 1);
		databuffer_slot own[8];
		for (int i = 0; i < 8; i++)
			CHECK(databuffer_reserve(buf, 8, &own[i]) == 0);
		for (int i = 0; i < 8; i++)
			CHECK((i % 2 ? databuffer_commit(&own[i]) : databuffer_abort(&own[i])) == 0);
		CHECK(databuffer_size(buf) == 4);
		size_t before = sink_flushed(sink);
		flush_all(buf);
		CHECK(sink_flushed(sink) == before + 4);
		CHECK(databuffer_stop(buf, PATIENCE_MS) == 0);
		_exit(0);
	}
	expect_good_end(pid);
	for (int i = 0; i < 8; i++)
		assert_int_equal(databuffer_commit(&slots[i]), 0);
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 9);
	for (int i = 0; i < 9; i++)
		assert_int_equal(sink->flushed.at[i], 7);
	sink_free(sink);
}

struct holder {
	databuffer *buf;
	_Atomic int phase;
};

static void *hold_slots(void *arg)
{
	struct holder *holder = arg;
	databuffer_slot slots[3];
	for (int i = 0; i < 3; i++) {
		CHECK(databuffer_reserve(holder->buf, 8, &slots[i]) == 0);
		memset(slots[i].data, 0, 8);
	}
	atomic_store(&holder->phase, 1);
	while (atomic_load(&holder->phase) == 1)
		pause_ms(1);
	for (int i = 0; i < 3; i++)
		CHECK(databuffer_commit(&slots[i]) == 0);
	return NULL;
}

static void slots_of_threads_that_the_child_does_not_have_hold_nothing_up_there(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 4;
	struct holder holder = { .buf = start(&o) };
	pthread_t thread = thread_run(hold_slots, &holder);
	WAIT_FOR(atomic_load(&holder.phase) == 1);
	insert_number(holder.buf, 1);
	pid_t pid = fork_child();
	if (pid == 0) {
		is_empty(holder.buf, 1);
		for (uint64_t i = 0; i < 4; i++) /* a whole batch has room, and is cut by its size */
			insert_number(holder.buf, i);
		CHILD_WAIT_FOR(sink_flushed(sink) == 4);
		CHECK(sink_call(sink, 0).size == 4);
		flush_all(holder.buf);
		CHECK(databuffer_stop(holder.buf, PATIENCE_MS) == 0);
		_exit(0);
	}
	expect_good_end(pid);
	atomic_store(&holder.phase, 2);
	thread_join(thread);
	stop_clean(holder.buf);
	assert_int_equal(sink->flushed.count, 4);
	sink_free(sink);
}

/* --- Forks from inside ------------------------------------------------------------------------ */

/* Who forks, and once only. Its child inserts, flushes and stops right there, or lets the handler return. */
struct inside {
	databuffer *buf;
	struct sink *sink;
	bool returns; /* the child goes back into the library */
	_Atomic pid_t child;
	_Atomic bool forked;
};

static struct inside inside;

/* The state of the thread that forked, the child's first: 'Z' once it has ended. */
static char first_threads_state(void)
{
	char text[512], *end;
	FILE *file = fopen("/proc/self/stat", "r");
	CHECK(file);
	size_t n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	end = strrchr(text, ')');
	CHECK(end);
	return end[2];
}

/* A thread that the child starts before its first ends: the buffer lives on. */
static void *live_on(void *arg)
{
	(void)arg;
	int64_t until = now_ms() + PATIENCE_MS;
	while (first_threads_state() != 'Z') {
		CHECK(now_ms() < until);
		insert_number(inside.buf, 1);
		flush_all(inside.buf);
		pause_ms(1);
	}
	insert_number(inside.buf, 2);
	CHECK(databuffer_size(inside.buf) == 1);
	flush_all(inside.buf);
	CHECK(databuffer_size(inside.buf) == 0);
	CHECK(databuffer_stop(inside.buf, PATIENCE_MS) == 0);
	_exit(0);
	return NULL;
}

/* What the handlers do and have done, without a lock that a fork could leave behind. */
static _Atomic uint64_t inside_flushed, inside_dead, inside_left;
static _Atomic int inside_answer;
static _Atomic bool inside_slow;

static void fork_inside(void)
{
	if (atomic_exchange(&inside.forked, true))
		return;
	pid_t pid = fork_child();
	if (pid != 0) {
		atomic_store(&inside.child, pid);
		return;
	}
	is_empty(inside.buf, 1);
	atomic_store(&inside_answer, 0); /* what failed in the parent does well here */
	atomic_store(&inside_slow, false);
	if (inside.returns) {
		thread_run(live_on, NULL);
		return;
	}
	for (int i = 0; i < 3; i++) { /* in the child it is no handler's thread any more */
		insert_numbers(inside.buf, 0, 100);
		flush_all(inside.buf);
	}
	insert_numbers(inside.buf, 0, 100);
	CHECK(databuffer_stop(inside.buf, PATIENCE_MS) == 0);
	_exit(0);
}

static int flush_inside(databuffer_batch *batch, void *meta)
{
	(void)meta;
	databuffer_item item;
	size_t n = 0;
	while (databuffer_batch_next(batch, &item))
		n += item.len == 8;
	CHECK(n == databuffer_batch_size(batch));
	while (atomic_load(&inside_slow) && !databuffer_batch_cancelled(batch))
		pause_ms(1);
	if (atomic_load(&inside_answer) == 0)
		atomic_fetch_add(&inside_flushed, n);
	return atomic_load(&inside_answer);
}

/* The child still has the batch that its parent's handler was given. */
static int flush_and_fork(databuffer_batch *batch, void *meta)
{
	uint64_t sum = 0, again = 0;
	databuffer_item item;
	while (databuffer_batch_next(batch, &item))
		sum += number_of(&item) + 1;
	/* A child that stops the buffer takes the batch with it. */
	fork_inside();
	databuffer_batch_rewind(batch);
	while (databuffer_batch_next(batch, &item))
		again += number_of(&item) + 1;
	CHECK(sum == again && sum > 0);
	databuffer_batch_rewind(batch);
	return flush_inside(batch, meta);
}

static void dead_and_fork(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	(void)item, (void)reason, (void)meta;
	atomic_fetch_add(&inside_dead, 1);
	fork_inside();
}

static void dead_only(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	(void)item, (void)reason, (void)meta;
	atomic_fetch_add(&inside_dead, 1);
}

static void log_and_fork(databuffer_log_level level, const char *line, void *meta)
{
	(void)level, (void)line, (void)meta;
	fork_inside();
}

static void log_nothing(databuffer_log_level level, const char *line, void *meta)
{
	(void)level, (void)line, (void)meta;
}

static void event_and_fork(const databuffer_event *event, void *ctx)
{
	(void)event, (void)ctx;
	fork_inside();
}

static databuffer_options inside_options(bool returns)
{
	databuffer_options o = databuffer_options_init();
	memset(&inside, 0, sizeof(inside));
	databuffer_telemetry_detach("forks"); /* of a test that has failed */
	inside.returns = returns;
	atomic_store(&inside_flushed, 0);
	atomic_store(&inside_dead, 0);
	atomic_store(&inside_answer, 0);
	atomic_store(&inside_slow, false);
	o.flush_interval = 0;
	o.retry_min = o.retry_max = 1;
	o.handle_flush = flush_inside;
	o.handle_dead = dead_only;
	o.handle_log = log_nothing;
	return o;
}

/* The parent of it all has lost nothing, and the child has ended well. */
static void expect_inside(databuffer *buf, uint64_t items)
{
	WAIT_FOR(atomic_load(&inside.child) != 0);
	expect_good_end(atomic_load(&inside.child));
	atomic_store(&inside_answer, 0);
	flush_all(buf);
	databuffer_stats_t s = stats_of(buf);
	assert_int_equal(s.inserted, items);
	assert_int_equal(s.flushed + s.dead, items);
	assert_int_equal(s.flushed, atomic_load(&inside_flushed));
	assert_int_equal(s.dead, atomic_load(&inside_dead));
	stop_clean(buf);
}

static void fork_from_handle_flush(bool returns)
{
	databuffer_options o = inside_options(returns);
	o.handle_flush = flush_and_fork;
	inside.buf = start(&o);
	insert_numbers(inside.buf, 0, 10);
	databuffer_flush(inside.buf);
	expect_inside(inside.buf, 10);
}

static void handle_flush_may_fork_a_child_that_uses_the_buffer(void **state)
{
	(void)state;
	fork_from_handle_flush(false);
}

static void a_child_of_handle_flush_may_let_it_return(void **state)
{
	(void)state;
	fork_from_handle_flush(true);
}

static void fork_from_handle_dead(bool returns)
{
	databuffer_options o = inside_options(returns);
	o.handle_dead = dead_and_fork;
	inside.buf = start(&o);
	atomic_store(&inside_answer, DATABUFFER_REJECT);
	insert_numbers(inside.buf, 0, 2);
	databuffer_flush(inside.buf);
	WAIT_FOR(atomic_load(&inside_dead) == 2);
	expect_inside(inside.buf, 2);
}

static void handle_dead_may_fork_a_child_that_uses_the_buffer(void **state)
{
	(void)state;
	fork_from_handle_dead(false);
}

static void a_child_of_handle_dead_may_let_it_return(void **state)
{
	(void)state;
	fork_from_handle_dead(true);
}

static void fork_from_handle_log(bool returns)
{
	databuffer_options o = inside_options(returns);
	o.handle_log = log_and_fork;
	inside.buf = start(&o);
	atomic_store(&inside_answer, DATABUFFER_RETRY);
	insert_numbers(inside.buf, 0, 2);
	databuffer_flush(inside.buf); /* which warns of its failure */
	expect_inside(inside.buf, 2);
}

static void handle_log_may_fork_a_child_that_uses_the_buffer(void **state)
{
	(void)state;
	fork_from_handle_log(false);
}

static void a_child_of_handle_log_may_let_it_return(void **state)
{
	(void)state;
	fork_from_handle_log(true);
}

static void fork_from_event(databuffer_event_kind kind, bool returns)
{
	databuffer_options o = inside_options(returns);
	inside.buf = start(&o);
	CHECK(databuffer_telemetry_attach("forks", kind, event_and_fork, NULL) == 0);
	insert_numbers(inside.buf, 0, 2);
	databuffer_flush(inside.buf);
	expect_inside(inside.buf, 2);
	assert_int_equal(databuffer_telemetry_detach("forks"), 0);
}

static void handlers_of_flush_events_may_fork_a_child_that_uses_the_buffer(void **state)
{
	(void)state;
	fork_from_event(DATABUFFER_FLUSH_START, false);
	fork_from_event(DATABUFFER_FLUSH_STOP, false);
}

static void a_child_of_a_handler_of_flush_events_may_let_it_return(void **state)
{
	(void)state;
	fork_from_event(DATABUFFER_FLUSH_START, true);
	fork_from_event(DATABUFFER_FLUSH_STOP, true);
}

/* That a flush is late is told by another thread than the flush is on. */
static void fork_from_late_flush(bool returns)
{
	databuffer_options o = inside_options(returns);
	o.flush_timeout = 20;
	inside.buf = start(&o);
	atomic_store(&inside_slow, true);
	CHECK(databuffer_telemetry_attach("forks", DATABUFFER_FLUSH_EXCEPTION, event_and_fork, NULL) == 0);
	insert_numbers(inside.buf, 0, 2);
	databuffer_flush(inside.buf);
	expect_inside(inside.buf, 2);
	assert_int_equal(databuffer_telemetry_detach("forks"), 0);
}

static void a_handler_of_events_may_fork_when_a_flush_is_late(void **state)
{
	(void)state;
	fork_from_late_flush(false);
}

static void a_child_of_a_handler_of_events_may_let_it_return_when_a_flush_is_late(void **state)
{
	(void)state;
	fork_from_late_flush(true);
}

/* On the program's own thread it is an insert like any other that the child comes back from. */
static void event_and_fork_here(const databuffer_event *event, void *ctx)
{
	(void)event, (void)ctx;
	if (!atomic_exchange(&inside.forked, true))
		atomic_store(&inside.child, fork_child());
}

static void a_child_of_a_handler_of_insert_events_comes_back_from_the_insert(void **state)
{
	(void)state;
	databuffer_event_kind kinds[] = { DATABUFFER_INSERT_START, DATABUFFER_INSERT_STOP };
	for (unsigned i = 0; i < 2; i++) {
		databuffer_options o = inside_options(false);
		databuffer *buf = inside.buf = start(&o);
		insert_numbers(buf, 0, 3);
		CHECK(databuffer_telemetry_attach("forks", kinds[i], event_and_fork_here, NULL) == 0);
		insert_number(buf, 3);
		if (atomic_load(&inside.child) == 0) {
			/* What was inserted before the fork is the parent's. */
			CHECK(databuffer_size(buf) == (kinds[i] == DATABUFFER_INSERT_START ? 1 : 0));
			insert_numbers(buf, 4, 8);
			flush_all(buf);
			CHECK(databuffer_size(buf) == 0);
			CHECK(databuffer_telemetry_detach("forks") == 0);
			CHECK(databuffer_stop(buf, PATIENCE_MS) == 0);
			_exit(0);
		}
		expect_inside(buf, 4);
		assert_int_equal(databuffer_telemetry_detach("forks"), 0);
	}
}

static int visit_and_fork(const databuffer_item *item, unsigned partition, void *ctx)
{
	(void)item, (void)partition;
	if (!atomic_exchange(&inside.forked, true))
		atomic_store(&inside.child, fork_child());
	++*(unsigned *)ctx;
	return 0;
}

static void a_child_of_a_dumps_visitor_comes_back_from_the_dump(void **state)
{
	(void)state;
	databuffer_options o = inside_options(false);
	o.max_size = 4;
	databuffer *buf = inside.buf = start(&o);
	insert_numbers(buf, 0, 3);
	unsigned visits = 0;
	assert_int_equal(databuffer_dump(buf, visit_and_fork, &visits), 0);
	if (atomic_load(&inside.child) == 0) {
		CHECK(visits >= 1 && visits <= 3); /* those of its parent that it was being shown */
		is_empty(buf, 1);
		for (uint64_t i = 0; i < 100; i++)
			insert_number(buf, i);
		flush_all(buf);
		CHECK(atomic_load(&inside_flushed) == 100);
		visits = 0;
		insert_numbers(buf, 0, 2);
		CHECK(databuffer_dump(buf, count_visit, &visits) == 0 && visits == 2);
		CHECK(databuffer_stop(buf, PATIENCE_MS) == 0);
		_exit(0);
	}
	assert_int_equal(visits, 3);
	expect_inside(buf, 3);
}

static void drop_and_fork(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	(void)item, (void)reason, (void)meta;
	if (!atomic_exchange(&inside.forked, true))
		atomic_store(&inside.child, fork_child());
}

/* Two items that failed and two that wait are all there is room for. */
static databuffer *start_without_room(int64_t policy)
{
	databuffer_options o = inside_options(false);
	o.max_size = 2;
	o.retry_min = o.retry_max = 3600000;
	o.overflow = policy;
	o.handle_drop = drop_and_fork;
	atomic_store(&inside_answer, DATABUFFER_RETRY);
	databuffer *buf = inside.buf = start(&o);
	insert_numbers(buf, 0, 2);
	WAIT_FOR(info_of(buf, 0).next_retry_ms > 0);
	insert_numbers(buf, 2, 4);
	return buf;
}

static void go_on_in_the_child(databuffer *buf, uint64_t has)
{
	CHECK(databuffer_size(buf) == has);
	atomic_store(&inside_answer, 0);
	flush_all(buf);
	insert_numbers(buf, 0, 4); /* all that there is room for */
	CHECK(databuffer_stop(buf, PATIENCE_MS) == 0);
	CHECK(atomic_load(&inside_flushed) == has + 4);
	_exit(0);
}

static void a_child_of_handle_drop_comes_back_from_the_insert(void **state)
{
	(void)state;
	const uint64_t two[] = { 4, 5 };
	for (int64_t policy = DATABUFFER_OVERFLOW_DROP_NEWEST; policy <= DATABUFFER_OVERFLOW_DROP_OLDEST; policy++) {
		databuffer *buf = start_without_room(policy);
		CHECK(databuffer_insert_array(buf, two, 2, 8) == 0);
		if (atomic_load(&inside.child) == 0)
			go_on_in_the_child(buf, 0);
		expect_good_end(atomic_load(&inside.child));
		databuffer_stats_t s = stats_of(buf);
		assert_int_equal(s.inserted, 6);
		assert_int_equal(s.dropped, 2);
		atomic_store(&inside_answer, 0);
		stop_clean(buf);
		assert_int_equal(atomic_load(&inside_flushed), 4);
	}
}

/* The slot that it was about to have is the parent's, and it gets one of its own. */
static void a_child_of_handle_drop_comes_back_from_the_reserve(void **state)
{
	(void)state;
	databuffer *buf = start_without_room(DATABUFFER_OVERFLOW_DROP_OLDEST);
	databuffer_slot slot;
	CHECK(databuffer_reserve(buf, 8, &slot) == 0);
	memset(slot.data, 0, 8);
	CHECK(databuffer_commit(&slot) == 0);
	if (atomic_load(&inside.child) == 0)
		go_on_in_the_child(buf, 1);
	expect_good_end(atomic_load(&inside.child));
	assert_int_equal(stats_of(buf).dropped, 1);
	atomic_store(&inside_answer, 0);
	stop_clean(buf);
	assert_int_equal(atomic_load(&inside_flushed), 4);
}

static void left_and_fork(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	(void)item, (void)reason, (void)meta;
	if (!atomic_exchange(&inside.forked, true))
		atomic_store(&inside.child, fork_child());
	atomic_fetch_add(&inside_left, 1);
}

static void a_child_of_handle_left_comes_to_an_end(void **state)
{
	(void)state;
	databuffer_options o = inside_options(false);
	o.max_size = 2;
	o.max_queued = 2;
	o.retry_min = o.retry_max = 3600000;
	o.handle_left = left_and_fork;
	atomic_store(&inside_left, 0);
	atomic_store(&inside_answer, DATABUFFER_RETRY);
	databuffer *buf = inside.buf = start(&o);
	insert_numbers(buf, 0, 6);
	int64_t left = databuffer_stop(buf, 0);
	if (atomic_load(&inside.child) == 0) {
		/* Whatever it was told of its parent's items: the buffer has stopped, or is empty. */
		int rc = databuffer_insert(buf, "x", 1);
		CHECK(rc == DATABUFFER_ESTOPPED || rc == 0);
		if (rc == 0)
			CHECK(databuffer_size(buf) == 1);
		_exit(0);
	}
	expect_good_end(atomic_load(&inside.child));
	assert_int_equal(left, 6);
	assert_int_equal(atomic_load(&inside_left), 6);
}

/* --- A storm of forks ------------------------------------------------------------------------- */

#define STORM_THREADS 4
#define STORM_BUFFERS 2

struct storm {
	databuffer *bufs[STORM_BUFFERS];
	_Atomic bool ended;
	_Atomic unsigned threads;
	_Atomic uint64_t accepted, flushed[STORM_BUFFERS], events;
	uint64_t last[STORM_BUFFERS][3][STORM_THREADS + 1]; /* by partition and thread */
	struct storm_meta {
		struct storm *storm;
		unsigned buffer;
	} metas[STORM_BUFFERS];
};

static int flush_storm(databuffer_batch *batch, void *meta)
{
	struct storm *storm = ((struct storm_meta *)meta)->storm;
	unsigned buffer = ((struct storm_meta *)meta)->buffer, partition = databuffer_batch_partition(batch);
	databuffer_item item;
	while (databuffer_batch_next(batch, &item)) {
		uint64_t number = number_of(&item), *last = &storm->last[buffer][partition][number >> 56];
		CHECK(item.len == 8 && number >> 56 <= STORM_THREADS);
		number = (number & (UINT64_MAX >> 8)) + 1;
		CHECK(number > *last);
		*last = number;
	}
	atomic_fetch_add(&storm->flushed[buffer], databuffer_batch_size(batch));
	return 0;
}

static void count_event(const databuffer_event *event, void *ctx)
{
	(void)event;
	atomic_fetch_add((_Atomic uint64_t *)ctx, 1);
}

static void *insert_in_storm(void *arg)
{
	struct storm *storm = arg;
	uint64_t thread = atomic_fetch_add(&storm->threads, 1);
	for (uint64_t i = 0; !atomic_load(&storm->ended); i++) {
		uint64_t number = thread << 56 | i;
		databuffer *buf = storm->bufs[i % STORM_BUFFERS];
		databuffer_slot slot;
		if (i % 16 == 3) {
			CHECK(databuffer_reserve(buf, 8, &slot) == 0);
			memcpy(slot.data, &number, 8);
			CHECK(databuffer_commit(&slot) == 0);
		} else {
			CHECK(databuffer_insert_timed(buf, &number, 8, PATIENCE_MS) == 0);
		}
		atomic_fetch_add(&storm->accepted, 1);
	}
	return NULL;
}

static void *flush_in_storm(void *arg)
{
	struct storm *storm = arg;
	uint64_t seed = 1;
	while (!atomic_load(&storm->ended)) {
		databuffer *buf = storm->bufs[dice_below(&seed, STORM_BUFFERS)];
		unsigned visits = 0;
		switch (dice_below(&seed, 4)) {
		case 0:
			flush_all(buf);
			break;
		case 1:
			CHECK(databuffer_flush(buf) == 0);
			break;
		case 2:
			CHECK(databuffer_dump(buf, count_visit, &visits) == 0);
			break;
		default:
			stats_of(buf);
			break;
		}
	}
	return NULL;
}

/* Buffers, threads and handlers of events that come and go. */
static void *come_and_go(void *arg)
{
	struct storm *storm = arg;
	static struct storm_meta meta;
	static struct storm other;
	meta.storm = &other;
	while (!atomic_load(&storm->ended)) {
		databuffer_options o = databuffer_options_init();
		databuffer *buf;
		o.handle_flush = flush_storm;
		o.flush_meta = &meta;
		o.handle_log = log_nothing;
		memset(other.last, 0, sizeof(other.last));
		CHECK(databuffer_start(&buf, &o) == 0);
		/* Counted off this stack: a child may have the handler, and not the thread. */
		CHECK(databuffer_telemetry_attach("comes", DATABUFFER_EVENTS_ALL, count_event,
		                                  &storm->events) == 0);
		insert_numbers(buf, 0, 10);
		CHECK(databuffer_stop(buf, PATIENCE_MS) == 0);
		CHECK(databuffer_telemetry_detach("comes") == 0);
	}
	return NULL;
}

static void no_fork_beside_inserts_and_flushes_gets_stuck(void **state)
{
	(void)state;
	struct storm *storm = calloc(1, sizeof(*storm));
	char names[STORM_BUFFERS][16];
	for (unsigned i = 0; i < STORM_BUFFERS; i++) {
		databuffer_options o = databuffer_options_init();
		snprintf(names[i], sizeof(names[i]), "storm %u", i);
		storm->metas[i] = (struct storm_meta){ storm, i };
		o.name = names[i];
		o.partitions = 1 + 2 * (int64_t)i;
		o.max_size = 500;
		o.flush_interval = 3;
		o.flush_jitter = 3;
		o.handle_flush = flush_storm;
		o.flush_meta = &storm->metas[i];
		o.handle_log = log_nothing;
		storm->bufs[i] = start(&o);
	}
	pthread_t threads[STORM_THREADS + 2];
	for (unsigned i = 0; i < STORM_THREADS; i++)
		threads[i] = thread_run(insert_in_storm, storm);
	threads[STORM_THREADS] = thread_run(flush_in_storm, storm);
	threads[STORM_THREADS + 1] = thread_run(come_and_go, storm);
	WAIT_FOR(atomic_load(&storm->flushed[0]) > 0 && atomic_load(&storm->flushed[1]) > 0);

	uint64_t forks = scaled(200) < 50 ? 50 : scaled(200);
	for (uint64_t round = 0; round < forks; round++) {
		pid_t pid = fork_child();
		if (pid > 0) {
			expect_good_end(pid);
			continue;
		}
		for (unsigned i = 0; i < STORM_BUFFERS; i++) {
			databuffer *buf = storm->bufs[i];
			CHECK(databuffer_find(names[i]) == buf);
			is_empty(buf, 1 + 2 * i);
			uint64_t before = atomic_load(&storm->flushed[i]);
			for (uint64_t n = 0; n < 20; n++)
				insert_number(buf, (uint64_t)STORM_THREADS << 56 | n);
			flush_all(buf);
			CHECK(atomic_load(&storm->flushed[i]) == before + 20);
			insert_number(buf, (uint64_t)STORM_THREADS << 56 | 20);
			CHECK(databuffer_stop(buf, PATIENCE_MS) == 0);
			CHECK(atomic_load(&storm->flushed[i]) == before + 21);
		}
		_exit(0);
	}

	atomic_store(&storm->ended, true);
	for (unsigned i = 0; i < STORM_THREADS + 2; i++)
		thread_join(threads[i]);
	uint64_t flushed = 0;
	for (unsigned i = 0; i < STORM_BUFFERS; i++) {
		flush_all(storm->bufs[i]);
		databuffer_stats_t s = stats_of(storm->bufs[i]);
		assert_int_equal(s.inserted, s.flushed);
		assert_int_equal(s.flushed, atomic_load(&storm->flushed[i]));
		flushed += s.flushed;
		stop_clean(storm->bufs[i]);
	}
	assert_int_equal(flushed, atomic_load(&storm->accepted));
	print_message("%" PRIu64 " forks beside %" PRIu64 " inserts, %" PRIu64 " events\n", forks, flushed,
	              atomic_load(&storm->events));
	free(storm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_child_finds_its_buffers_empty_and_usable),
		cmocka_unit_test(the_childs_threads_start_again_on_demand),
		cmocka_unit_test(the_child_has_none_of_what_is_in_flight_or_waiting),
		cmocka_unit_test(the_child_has_none_of_what_is_to_be_tried_again),
		cmocka_unit_test(grandchildren_find_the_same),
		cmocka_unit_test(a_manual_buffer_is_the_childs_too),
		cmocka_unit_test(what_the_parent_is_about_to_stop_runs_in_the_child),
		cmocka_unit_test(slots_that_are_held_stay_with_the_parent),
		cmocka_unit_test(slots_of_threads_that_the_child_does_not_have_hold_nothing_up_there),
		cmocka_unit_test(handle_flush_may_fork_a_child_that_uses_the_buffer),
		cmocka_unit_test(a_child_of_handle_flush_may_let_it_return),
		cmocka_unit_test(handle_dead_may_fork_a_child_that_uses_the_buffer),
		cmocka_unit_test(a_child_of_handle_dead_may_let_it_return),
		cmocka_unit_test(handle_log_may_fork_a_child_that_uses_the_buffer),
		cmocka_unit_test(a_child_of_handle_log_may_let_it_return),
		cmocka_unit_test(handlers_of_flush_events_may_fork_a_child_that_uses_the_buffer),
		cmocka_unit_test(a_child_of_a_handler_of_flush_events_may_let_it_return),
		cmocka_unit_test(a_handler_of_events_may_fork_when_a_flush_is_late),
		cmocka_unit_test(a_child_of_a_handler_of_events_may_let_it_return_when_a_flush_is_late),
		cmocka_unit_test(a_child_of_a_handler_of_insert_events_comes_back_from_the_insert),
		cmocka_unit_test(a_child_of_a_dumps_visitor_comes_back_from_the_dump),
		cmocka_unit_test(a_child_of_handle_drop_comes_back_from_the_insert),
		cmocka_unit_test(a_child_of_handle_drop_comes_back_from_the_reserve),
		cmocka_unit_test(a_child_of_handle_left_comes_to_an_end),
		cmocka_unit_test(no_fork_beside_inserts_and_flushes_gets_stuck),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
