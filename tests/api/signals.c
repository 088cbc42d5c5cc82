/* SPDX-License-Identifier: MIT */
/*
 * Signals are the program's: the library's threads take none of them, and its calls neither end sooner nor
 * later for those that the program's threads take.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

#include "api/support.h"

/* Who was given how many; the handler does nothing else. */
static _Atomic unsigned received;
static _Atomic pid_t receiver;

static pid_t thread_id(void)
{
	return (pid_t)syscall(SYS_gettid);
}

static void receive(int signal)
{
	(void)signal;
	int before = errno;
	atomic_store(&receiver, thread_id());
	atomic_fetch_add(&received, 1);
	errno = before;
}

/* Without SA_RESTART, so that calls of the system's are interrupted. */
static void catch(int signal)
{
	struct sigaction action = { .sa_handler = receive };
	CHECK(sigaction(signal, &action, NULL) == 0);
	atomic_store(&received, 0);
	atomic_store(&receiver, 0);
}

static const int signals[] = { SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGHUP, SIGALRM, SIGCHLD, SIGWINCH, SIGIO };

#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

/* --- Who takes them --------------------------------------------------------------------------- */

static bool is_pending(int signal)
{
	sigset_t pending;
	CHECK(sigpending(&pending) == 0);
	return sigismember(&pending, signal) == 1;
}

/* With a thread for timers and several in handlers, and others about to leave. */
static databuffer *start_with_threads(struct sink *sink)
{
	databuffer_options o = sink_options(sink);
	o.partitions = 4;
	o.flush_interval = 10;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 4);
	WAIT_FOR(sink_flushed(sink) == 4);
	sink_close(sink);
	insert_numbers(buf, 4, 8);
	WAIT_FOR(sink_inside(sink) == 4);
	return buf;
}

static void a_signal_to_the_process_runs_on_no_thread_of_the_librarys(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer *buf = start_with_threads(sink);
	sigset_t all, before;
	sigfillset(&all);
	for (size_t i = 0; i < SIGNALS; i++) {
		catch(signals[i]);
		/* While this thread does not want it nobody takes it. */
		CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
		CHECK(kill(getpid(), signals[i]) == 0);
		for (int k = 0; k < 5; k++) {
			databuffer_stats_t s;
			CHECK(databuffer_stats(buf, &s) == 0);
			pause_ms(1); /* for those that would */
		}
		bool taken = atomic_load(&received) > 0 || !is_pending(signals[i]);
		CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
		if (taken)
			fail_msg("signal %d was taken by another thread", signals[i]);
		WAIT_FOR(atomic_load(&received) == 1);
		assert_int_equal(atomic_load(&receiver), thread_id());
		signal(signals[i], SIG_DFL);
	}
	sink_open(sink);
	stop_clean(buf);
	sink_free(sink);
}

/* The system's own account: of each thread the set that it blocks, in hexadecimal. */
static uint64_t blocked_by(const char *thread)
{
	char path[300], line[256];
	uint64_t blocked = 0;
	snprintf(path, sizeof(path), "/proc/self/task/%s/status", thread);
	FILE *file = fopen(path, "r");
	if (!file)
		return UINT64_MAX; /* it has ended */
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, "SigBlk:", 7) == 0)
			blocked = strtoull(line + 7, NULL, 16);
	fclose(file);
	return blocked;
}

static void each_thread_of_the_librarys_blocks_all_there_are(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer *buf = start_with_threads(sink);
	char own[32];
	snprintf(own, sizeof(own), "%d", (int)thread_id());
	DIR *tasks = opendir("/proc/self/task");
	CHECK(tasks);
	unsigned others = 0;
	for (struct dirent *entry; (entry = readdir(tasks));) {
		if (entry->d_name[0] == '.' || strcmp(entry->d_name, own) == 0)
			continue;
		uint64_t blocked = blocked_by(entry->d_name);
		for (int number = 1; number <= 64; number++) {
			/* Two that cannot be blocked, and two that are the C library's own. */
			if (number == SIGKILL || number == SIGSTOP || number == 32 || number == 33)
				continue;
			if (UNDER_TSAN && number == SIGSYS)
				continue; /* the sanitizer's thread takes it */
			if (!(blocked >> (number - 1) & 1))
				fail_msg("thread %s does not block signal %d", entry->d_name, number);
		}
		others++;
	}
	closedir(tasks);
	assert_true(others >= 5);
	sink_open(sink);
	stop_clean(buf);
	sink_free(sink);
}

static int look_at_mask(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)batch, (void)call;
	sigset_t mask;
	CHECK(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
	for (size_t i = 0; i < SIGNALS; i++)
		CHECK(sigismember(&mask, signals[i]) == 1);
	atomic_fetch_add((_Atomic unsigned *)sink->ctx, 1);
	return 0;
}

static void handlers_run_with_signals_blocked(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	_Atomic unsigned looks = 0;
	sink->answer = look_at_mask;
	sink->ctx = (void *)&looks;
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	flush_all(buf);
	assert_int_equal(atomic_load(&looks), 1);
	stop_clean(buf);
	sink_free(sink);
}

static void no_call_changes_what_its_thread_blocks(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	sigset_t some, before, after;
	sigemptyset(&some);
	sigaddset(&some, SIGUSR2);
	sigaddset(&some, SIGALRM);
	CHECK(pthread_sigmask(SIG_SETMASK, &some, &before) == 0);
	databuffer_options o = sink_options(sink);
	o.max_size = 1;
	databuffer *buf = start(&o); /* which starts the thread of the timers */
	insert_number(buf, 0);       /* and this a flusher */
	flush_all(buf);
	stop_clean(buf);
	CHECK(pthread_sigmask(SIG_SETMASK, &before, &after) == 0);
	for (int number = 1; number <= 64; number++)
		if (number != 32 && number != 33)
			assert_int_equal(sigismember(&after, number), sigismember(&some, number));
	sink_free(sink);
}

/* --- Calls that are interrupted --------------------------------------------------------------- */

enum wait { WAIT_INSERT, WAIT_SYNC_FLUSH, WAIT_STOP, WAITS };

struct waiter {
	databuffer *buf;
	enum wait wait;
	int64_t timeout_ms, answer, took_ms;
	_Atomic bool ended;
};

static void *wait_in_a_call(void *arg)
{
	struct waiter *waiter = arg;
	int64_t begin = now_ns();
	switch (waiter->wait) {
	case WAIT_INSERT:
		waiter->answer = databuffer_insert_timed(waiter->buf, "x", 1, waiter->timeout_ms);
		break;
	case WAIT_SYNC_FLUSH:
		waiter->answer = databuffer_sync_flush(waiter->buf, NULL, 0, waiter->timeout_ms);
		break;
	default:
		waiter->answer = databuffer_stop(waiter->buf, waiter->timeout_ms);
		break;
	}
	waiter->took_ms = (now_ns() - begin) / 1000000;
	atomic_store(&waiter->ended, true);
	return NULL;
}

/* A full buffer whose handler is inside for as long as the sink is closed. */
static databuffer *start_full(struct sink *sink)
{
	databuffer_options o = sink_options(sink);
	o.max_size = 1;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 2);
	WAIT_FOR(sink_inside(sink) == 1);
	return buf;
}

static void signal_until_ended(pthread_t thread, struct waiter *waiter)
{
	while (!atomic_load(&waiter->ended)) {
		CHECK(pthread_kill(thread, SIGUSR1) == 0); /* it is joined later: its id is good */
		pause_ms(1);
	}
}

static void a_wait_that_signals_interrupt_ends_at_its_deadline_and_not_before(void **state)
{
	(void)state;
	const int64_t answers[] = { DATABUFFER_ETIMEDOUT, DATABUFFER_ETIMEDOUT, 2 };
	catch(SIGUSR1);
	for (enum wait wait = 0; wait < WAITS; wait++) {
		struct sink *sink = sink_new();
		struct waiter waiter = { .buf = start_full(sink), .wait = wait, .timeout_ms = 100 };
		unsigned before = atomic_load(&received);
		pthread_t thread = thread_run(wait_in_a_call, &waiter);
		signal_until_ended(thread, &waiter);
		thread_join(thread);
		assert_int_equal(waiter.answer, answers[wait]);
		assert_in_range(waiter.took_ms, 100, PATIENCE_MS);
		assert_true(atomic_load(&received) > before);
		sink_open(sink);
		if (wait != WAIT_STOP) {
			stop_clean(waiter.buf);
			assert_flushed(sink, 0, 2);
			sink_free(sink);
		} else {
			sink_keep(sink);
		}
	}
	signal(SIGUSR1, SIG_DFL);
}

static void a_wait_that_signals_interrupt_ends_when_what_it_waits_for_is_there(void **state)
{
	(void)state;
	catch(SIGUSR1);
	for (enum wait wait = 0; wait < WAITS; wait++) {
		struct sink *sink = sink_new();
		struct waiter waiter = { .buf = start_full(sink), .wait = wait, .timeout_ms = PATIENCE_MS };
		unsigned before = atomic_load(&received);
		pthread_t thread = thread_run(wait_in_a_call, &waiter);
		for (unsigned i = 0; i < 20 || atomic_load(&received) == before; i++) {
			CHECK(pthread_kill(thread, SIGUSR1) == 0);
			pause_ms(1);
		}
		assert_false(atomic_load(&waiter.ended));
		sink_open(sink);
		signal_until_ended(thread, &waiter);
		thread_join(thread);
		assert_int_equal(waiter.answer, 0);
		if (wait != WAIT_STOP)
			stop_clean(waiter.buf);
		assert_int_equal(sink->flushed.count, wait == WAIT_INSERT ? 3 : 2);
		sink_free(sink);
	}
	signal(SIGUSR1, SIG_DFL);
}

struct inserter {
	databuffer *buf;
	_Atomic bool ended;
	_Atomic uint64_t inserted;
};

static void *insert_on(void *arg)
{
	struct inserter *inserter = arg;
	uint64_t number = 0;
	for (; !atomic_load(&inserter->ended); number++)
		CHECK(databuffer_insert_timed(inserter->buf, &number, sizeof(number), PATIENCE_MS) == 0);
	atomic_store(&inserter->inserted, number);
	return NULL;
}

static void inserts_that_signals_interrupt_anywhere_lose_nothing(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 100;
	struct inserter inserter = { .buf = start(&o) };
	catch(SIGUSR1);
	pthread_t thread = thread_run(insert_on, &inserter);
	uint64_t enough = scaled(20000);
	for (unsigned i = 0; i < 200 || atomic_load(&received) < 10 || sink_flushed(sink) < enough; i++) {
		CHECK(pthread_kill(thread, SIGUSR1) == 0);
		if (i % 100 == 0)
			assert_int_equal(databuffer_flush(inserter.buf), 0);
		sched_yield();
	}
	atomic_store(&inserter.ended, true);
	thread_join(thread);
	signal(SIGUSR1, SIG_DFL);
	stop_clean(inserter.buf);
	assert_flushed(sink, 0, atomic_load(&inserter.inserted));
	sink_free(sink);
}

/* --- What a handler may do -------------------------------------------------------------------------- */

/* It stays, wherever its thread was: in the middle of a copy, or with a lock held. */
static void stay_a_while(int signal)
{
	(void)signal;
	int before = errno;
	int64_t until = now_ns() + 3000000;
	while (now_ns() < until)
		;
	atomic_fetch_add(&received, 1);
	errno = before;
}

static void a_handler_that_stays_delays_others_and_breaks_nothing(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 100;
	struct inserter inserters[2] = { { .buf = start(&o) } };
	struct sigaction action = { .sa_handler = stay_a_while };
	pthread_t threads[2];
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	atomic_store(&received, 0);
	inserters[1].buf = inserters[0].buf;
	for (unsigned i = 0; i < 2; i++)
		threads[i] = thread_run(insert_on, &inserters[i]);
	while (atomic_load(&received) < 50) {
		CHECK(pthread_kill(threads[0], SIGUSR1) == 0);
		flush_all(inserters[0].buf); /* takes its lease back, wherever it is */
		stats_of(inserters[0].buf);
	}
	for (unsigned i = 0; i < 2; i++) {
		atomic_store(&inserters[i].ended, true);
		thread_join(threads[i]);
	}
	signal(SIGUSR1, SIG_DFL);
	stop_clean(inserters[0].buf);
	assert_int_equal(sink_flushed(sink), atomic_load(&inserters[0].inserted) + atomic_load(&inserters[1].inserted));
	sink_free(sink);
}

static struct inserter waker;

static void insert_a_number(int signal)
{
	(void)signal;
	int before = errno;
	uint64_t number = atomic_load(&waker.inserted);
	int rc = databuffer_insert_timed(waker.buf, &number, sizeof(number), 0);
	CHECK(rc == 0 || rc == DATABUFFER_ETIMEDOUT);
	if (rc == 0)
		atomic_fetch_add(&waker.inserted, 1);
	atomic_fetch_add(&received, 1);
	errno = before;
}

/* The signal is blocked but while the thread waits: it interrupts nothing but ppoll. */
static void *insert_when_signalled(void *arg)
{
	sigset_t closed, open;
	(void)arg;
	CHECK(pthread_sigmask(SIG_BLOCK, NULL, &closed) == 0);
	open = closed;
	sigaddset(&closed, SIGUSR1);
	sigdelset(&open, SIGUSR1);
	CHECK(pthread_sigmask(SIG_SETMASK, &closed, NULL) == 0);
	while (!atomic_load(&waker.ended)) {
		ppoll(NULL, 0, &(struct timespec){ .tv_nsec = 10000000 }, &open);
		/* What it does besides is interrupted nowhere. */
		CHECK(databuffer_size(waker.buf) <= atomic_load(&waker.inserted));
	}
	return NULL;
}

static void a_handler_that_interrupts_nothing_but_a_wait_may_insert(void **state)
{
	(void)state;
	if (UNDER_TSAN)
		skip(); /* it warns of every malloc in a handler, whatever that interrupts */
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	struct sigaction action = { .sa_handler = insert_a_number };
	o.max_size = 7;
	waker = (struct inserter){ .buf = start(&o) };
	CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
	atomic_store(&received, 0);
	pthread_t thread = thread_run(insert_when_signalled, NULL);
	uint64_t enough = scaled(2000);
	while (atomic_load(&received) < enough) {
		CHECK(pthread_kill(thread, SIGUSR1) == 0);
		sched_yield();
	}
	atomic_store(&waker.ended, true);
	thread_join(thread);
	signal(SIGUSR1, SIG_DFL);
	stop_clean(waker.buf);
	assert_flushed(sink, 0, atomic_load(&waker.inserted));
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signal_to_the_process_runs_on_no_thread_of_the_librarys),
		cmocka_unit_test(each_thread_of_the_librarys_blocks_all_there_are),
		cmocka_unit_test(handlers_run_with_signals_blocked),
		cmocka_unit_test(no_call_changes_what_its_thread_blocks),
		cmocka_unit_test(a_wait_that_signals_interrupt_ends_at_its_deadline_and_not_before),
		cmocka_unit_test(a_wait_that_signals_interrupt_ends_when_what_it_waits_for_is_there),
		cmocka_unit_test(inserts_that_signals_interrupt_anywhere_lose_nothing),
		cmocka_unit_test(a_handler_that_stays_delays_others_and_breaks_nothing),
		cmocka_unit_test(a_handler_that_interrupts_nothing_but_a_wait_may_insert),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
