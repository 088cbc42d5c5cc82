/* SPDX-License-Identifier: MIT */
/* The process that forks workers: what follows when it dies, when workers die too often, when the application does. */
#include "api/workers.h"

#include <sys/prctl.h>

static int set_up(void **state)
{
	(void)state;
	ledger_new();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_nobody_is_left();
	ledger_free();
	return 0;
}

static int server_with_spare(databuffer *buf)
{
	int pid = info_of(buf, 0).fork_server_pid;
	return pid != 0 && find_pids(pid, "db-spare") == 1 ? pid : 0;
}

/* Waits for a fork server other than `before`, with a spare. Until then it may be one
 * that is dead, which nobody has noticed. */
static int the_fork_server(databuffer *buf, int before)
{
	int pid;
	WAIT_FOR((pid = server_with_spare(buf)) != 0 && pid != before);
	return pid;
}

static void a_fork_server_that_is_killed_is_replaced(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	databuffer *buf = start(&o);
	uint64_t number = 0;
	int pid = 0;
	for (unsigned i = 0; i < 6; i++) {
		insert_numbers(buf, number, number + 1500);
		number += 1500;
		flush_all(buf);
		pid = the_fork_server(buf, pid);
		assert_int_equal(kill(pid, SIGKILL), 0);
		WAIT_FOR(process_state(pid) == 0); /* and leaves no zombie */
	}
	the_fork_server(buf, pid);
	insert_numbers(buf, number, number + 100);
	flush_all(buf);
	databuffer_stats_t stats = stats_of(buf);
	stop_clean(buf);
	assert_int_equal(stats.flushed, number + 100);
	assert_int_equal(stats.dead, 0);
	assert_flushed_but(number + 100, NO_POISON);
	assert_int_equal(ledger->starts, 7);
	sink_free(sink);
}

/* Its workers go with it, and whatever they had comes again: it was not their batches' fault. */
static void a_batch_that_loses_its_fork_server_is_not_blamed(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.kill_limit = 1;
	ledger->closed = true;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	databuffer_flush(buf);
	int pid = 0;
	for (unsigned i = 0; i < 4; i++) {
		WAIT_FOR(ledger->calls == i + 1);
		pid = the_fork_server(buf, pid);
		int worker = info_of(buf, 0).worker_pid;
		assert_int_equal(kill(pid, SIGKILL), 0);
		WAIT_FOR(has_ended(worker));
		WAIT_FOR(stats_of(buf).worker_deaths == i + 1);
	}
	ledger->closed = false;
	flush_all(buf);
	databuffer_stats_t stats = stats_of(buf);
	assert_string_equal(info_of(buf, 0).worker_death, "killed, since its fork server died");
	stop_clean(buf);
	assert_int_equal(stats.flushed, 1);
	assert_int_equal(stats.dead, 0);
	sink_free(sink);
}

static void a_spare_that_is_killed_is_replaced(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	databuffer *buf = start(&o);
	int server = the_fork_server(buf, 0);
	for (unsigned i = 0; i < 3; i++) {
		WAIT_FOR(find_pids(server, "db-spare") == 1);
		int spare = pids_found[0];
		assert_int_equal(kill(spare, SIGKILL), 0);
		WAIT_FOR(process_state(spare) == 0);
	}
	assert_int_equal(the_fork_server(buf, 0), server);
	assert_int_equal(kill(server, SIGKILL), 0);
	the_fork_server(buf, server);
	insert_numbers(buf, 0, 3000);
	flush_all(buf);
	stop_clean(buf);
	assert_flushed_but(3000, NO_POISON);
	sink_free(sink);
}

/* Both at once: another is forked from the application. */
static void a_fork_server_that_is_killed_with_its_spare_is_replaced(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	databuffer *buf = start(&o);
	int pid = 0;
	for (unsigned i = 0; i < 3; i++) {
		pid = the_fork_server(buf, pid);
		int spare = pids_found[0];
		assert_int_equal(kill(pid, SIGSTOP), 0); /* so that it does not fork another */
		assert_int_equal(kill(spare, SIGKILL), 0);
		assert_int_equal(kill(pid, SIGKILL), 0);
		insert_numbers(buf, i * 1000, (i + 1) * 1000);
		flush_all(buf);
	}
	stop_clean(buf);
	/* A worker that has begun when it is killed has its batch flushed again. */
	assert_flushed_at_least_once(3000);
	sink_free(sink);
}

/* A mutex that is locked after the start, for ever. */
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static int lock_it(databuffer_batch *batch, void *meta)
{
	pthread_mutex_lock(&held);
	pthread_mutex_unlock(&held);
	return worker_flush(batch, meta);
}

static void a_fork_server_that_takes_over_is_as_clean_as_the_first(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.handle_flush = lock_it;
	databuffer *buf = start(&o);
	pthread_mutex_lock(&held);
	int pid = 0;
	for (unsigned i = 0; i < 4; i++) {
		pid = the_fork_server(buf, pid);
		assert_int_equal(kill(pid, SIGKILL), 0);
		insert_numbers(buf, i * 1000, (i + 1) * 1000);
		flush_all(buf);
	}
	pthread_mutex_unlock(&held);
	assert_int_equal(stats_of(buf).flushed, 4000);
	stop_clean(buf);
	sink_free(sink);
}

/* Nothing is heard of a process that is stopped, but that it does nothing. */
static void a_fork_server_that_is_stopped_is_replaced(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	databuffer *buf = start(&o);
	int pid = the_fork_server(buf, 0);
	insert_number(buf, 0);
	flush_all(buf);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(kill(the_worker(buf), SIGKILL), 0); /* of which nobody can tell */
	insert_numbers(buf, 1, 2001);
	flush_all(buf); /* within 5 seconds, and a second until its end is believed */
	assert_int_not_equal(info_of(buf, 0).fork_server_pid, pid);
	stop_clean(buf);
	assert_flushed_but(2001, NO_POISON);
	sink_free(sink);
}

/* --- Many buffers ----------------------------------------------------------------------------------------------- */

static unsigned count_sockets(int pid)
{
	char path[64], target[64];
	unsigned count = 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *fds = opendir(path);
	for (struct dirent *entry; fds && (entry = readdir(fds)) != NULL;) {
		ssize_t len = readlinkat(dirfd(fds), entry->d_name, target, sizeof(target));
		count += len > 7 && strncmp(target, "socket:", 7) == 0;
	}
	if (fds)
		closedir(fds);
	return count;
}

/* Who holds the end by which another is to see that its application is done with it would hold up that one's stop. */
static void fork_servers_hold_nothing_of_each_other(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 10; round++) {
		struct sink *sinks[8];
		databuffer *bufs[8];
		unsigned before = count_sockets(getpid());
		for (unsigned i = 0; i < 8; i++) {
			sinks[i] = sink_new();
			databuffer_options o = worker_options(sinks[i]);
			bufs[i] = start(&o);
		}
		for (unsigned i = 0; i < 8; i++) /* its own, to the application */
			WAIT_FOR(count_sockets(the_fork_server(bufs[i], 0)) == before + 1);
		for (unsigned i = 0; i < 8; i++) {
			stop_clean(bufs[i]);
			sink_free(sinks[i]);
		}
	}
}

/* --- A program with ideas of its own about its children --------------------------------------------------------- */

static void harm_by_abort(databuffer_batch *batch)
{
	(void)batch;
	abort();
}

/* Workers are the fork server's children: how they end is told, whatever the program does with its own. */
static void assert_ends_are_heard_of(void)
{
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	ledger->poison = 678;
	ledger->harm = harm_by_abort;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 2000);
	flush_all(buf);
	int pid = the_fork_server(buf, 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	insert_numbers(buf, 2000, 4000);
	flush_all(buf);
	databuffer_stats_t stats = stats_of(buf);
	stop_clean(buf);
	assert_int_equal(stats.flushed, 3999);
	assert_int_equal(stats.dead, 1);
	assert_string_equal(sink->dead[0].text, "killed by SIGABRT");
	assert_nobody_is_left();
	sink_free(sink);
}

static void a_program_may_ignore_its_children(void **state)
{
	(void)state;
	struct sigaction before;
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_IGN }, &before);
	assert_ends_are_heard_of();
	sigaction(SIGCHLD, &before, NULL);
}

static void on_child(int number)
{
	(void)number;
}

static void a_program_may_want_no_zombies(void **state)
{
	(void)state;
	struct sigaction before;
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = on_child, .sa_flags = SA_NOCLDWAIT }, &before);
	assert_ends_are_heard_of();
	sigaction(SIGCHLD, &before, NULL);
}

static void wait_for_any_child(int number)
{
	int error = errno;
	(void)number;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	errno = error;
}

static void a_program_may_wait_for_any_child(void **state)
{
	(void)state;
	struct sigaction before;
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = wait_for_any_child, .sa_flags = SA_RESTART }, &before);
	assert_ends_are_heard_of();
	sigaction(SIGCHLD, &before, NULL);
}

/* It has made way for another, and nobody tells that it has ended. */
static void a_worker_that_leaves_a_fork_server_that_is_stopped_is_made_good(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.flusher_count = 1;
	o.worker_max_flushes = 1;
	o.flush_timeout = 1000;
	databuffer *buf = start(&o);
	int pid = the_fork_server(buf, 0);
	ledger->closed = true;
	insert_number(buf, 0);
	databuffer_flush(buf);
	WAIT_FOR(ledger->calls == 1);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	ledger->closed = false;
	insert_numbers(buf, 1, 2001);
	flush_all(buf); /* within a second, and 5 until the fork server is given up */
	assert_int_not_equal(info_of(buf, 0).fork_server_pid, pid);
	stop_clean(buf);
	assert_flushed_but(2001, NO_POISON);
	sink_free(sink);
}

/* --- Too many deaths ---------------------------------------------------------------------------------------- */

static int die(void *meta)
{
	worker_start(meta);
	if (ledger->mercies == 0)
		abort();
	return 0;
}

static void workers_that_die_too_often_are_held_back(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.handle_worker_start = die;
	o.max_restarts = 5;
	o.max_restart_period = 60000;
	o.retry_min = 100;
	o.retry_max = 60000;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	databuffer_flush(buf);
	/* One to begin with, five more, and then one after each wait: 100, 200, 400 ms and so on. */
	WAIT_FOR(ledger->starts >= 8);
	int64_t begin = now_ms();
	WAIT_FOR(info_of(buf, 0).worker_retry_ms > 400);
	assert_string_equal(info_of(buf, 0).worker_death, "killed by SIGABRT in handle_worker_start");
	WAIT_FOR(now_ms() - begin > 1000);
	assert_in_range(ledger->starts, 8, 11);
	assert_int_equal(info_of(buf, 0).queued, 1); /* the batch waits */
	assert_int_equal(stats_of(buf).worker_deaths, 0);
	WAIT_FOR(sink_lines(sink) > 0);
	pthread_mutex_lock(&sink->lock);
	assert_non_null(strstr(sink->line, "max_restarts"));
	pthread_mutex_unlock(&sink->lock);
	/* In the end it works again. */
	ledger->mercies = 1;
	flush_all(buf);
	assert_int_equal(info_of(buf, 0).worker_retry_ms, -1);
	stop_clean(buf);
	assert_flushed_but(1, NO_POISON);
	sink_free(sink);
}

static void what_waits_for_a_worker_can_be_given_up(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.handle_worker_start = die;
	o.max_restarts = 0;
	o.retry_min = o.retry_max = 60000;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	assert_int_equal(databuffer_sync_flush(buf, NULL, 0, 50), DATABUFFER_ETIMEDOUT);
	assert_int_equal(databuffer_stop(buf, 50), 10);
	assert_int_equal(sink_left_over(sink), 10);
	sink_free(sink);
}

/* --- Back to threads -------------------------------------------------------------------------------------------- */

static void kill_fork_servers(databuffer *buf, unsigned times)
{
	int pid = 0;
	for (unsigned i = 0; i < times; i++) {
		pid = the_fork_server(buf, pid);
		assert_int_equal(kill(pid, SIGKILL), 0);
	}
	/* Until then its workers may flush. */
	WAIT_FOR(info_of(buf, 0).fork_server_pid != pid);
}

static int note_pid(databuffer_batch *batch, void *meta)
{
	ledger->start_pids[0] = getpid();
	return worker_flush(batch, meta);
}

static void threads_take_over_if_told_to(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.handle_flush = note_pid;
	o.max_restarts = 1;
	o.max_restart_period = 60000;
	o.retry_min = o.retry_max = 60000;
	o.worker_fallback = DATABUFFER_FALLBACK_THREADS;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 1000);
	flush_all(buf);
	assert_int_not_equal(ledger->start_pids[0], getpid());
	unsigned starts = ledger->starts;
	kill_fork_servers(buf, 2); /* the second is one too many */
	insert_numbers(buf, 1000, 5000);
	flush_all(buf);
	assert_int_equal(ledger->start_pids[0], getpid());
	assert_in_range(ledger->starts, starts + 1, starts + 2);
	assert_int_equal(info_of(buf, 0).fork_server_pid, 0);
	databuffer_stats_t stats = stats_of(buf);
	stop_clean(buf);
	assert_int_equal(stats.flushed, 5000);
	assert_flushed_at_least_once(5000);
	assert_true(ledger->stops >= 1);
	sink_free(sink);
}

static int flush_until_cancelled(databuffer_batch *batch, void *meta)
{
	(void)meta;
	for (; !databuffer_batch_cancelled(batch); ledger->calls++)
		pause_ms(1);
	return 0;
}

/* There is nobody to kill, so it is late then, and not when a kill would have had its time. */
static void a_late_handler_on_a_thread_that_took_over_is_late_at_its_deadline(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.handle_flush = flush_until_cancelled;
	o.flush_timeout = 100;
	o.max_restarts = 0;
	o.retry_min = o.retry_max = 60000;
	o.worker_fallback = DATABUFFER_FALLBACK_THREADS;
	databuffer *buf = start(&o);
	kill_fork_servers(buf, 1);
	insert_number(buf, 0);
	databuffer_flush(buf);
	WAIT_FOR(stats_of(buf).flushed == 1);
	assert_in_range(ledger->calls, 1, 2500); /* pauses; a kill would have had 5 seconds */
	stop_clean(buf);
	sink_free(sink);
}

static _Atomic bool telling, told;

/* Keeps the thread that tells of it, which is also the one that has the last word. */
static void tell_slowly(databuffer_log_level level, const char *line, void *meta)
{
	(void)level;
	(void)meta;
	if (!strstr(line, "no fork server is to be had"))
		return;
	telling = true;
	while (!told)
		pause_ms(1);
}

static unsigned count_threads(const char *name)
{
	unsigned count = 0;
	DIR *tasks = opendir("/proc/self/task");
	CHECK(tasks);
	for (struct dirent *task; (task = readdir(tasks));) {
		char path[64], its[32] = "";
		snprintf(path, sizeof(path), "/proc/self/task/%.32s/comm", task->d_name);
		FILE *file = fopen(path, "r");
		count += file && fgets(its, sizeof(its), file) && strncmp(its, name, strlen(name)) == 0;
		if (file)
			fclose(file);
	}
	closedir(tasks);
	return count;
}

static void where_threads_took_over_no_handler_begins_after_a_stop(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.handle_log = tell_slowly;
	o.max_restarts = 0;
	o.retry_min = o.retry_max = 60000;
	o.worker_fallback = DATABUFFER_FALLBACK_THREADS;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	flush_all(buf);
	kill_fork_servers(buf, 1);
	WAIT_FOR(telling);
	insert_number(buf, 1);
	flush_all(buf);
	unsigned stops = ledger->stops;
	assert_int_equal(databuffer_stop(buf, 0), 0);
	told = true;
	WAIT_FOR(count_threads("db-crew") == 0);
	assert_int_equal(ledger->stops, stops);
	sink_free(sink);
}

static void nobody_takes_over_if_not_told_to(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.max_restarts = 0;
	o.retry_min = o.retry_max = 500;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	flush_all(buf);
	kill_fork_servers(buf, 1);
	insert_number(buf, 1);
	flush_all(buf); /* when another has been started, after the backoff */
	for (unsigned i = 0; i < ledger->starts; i++)
		assert_int_not_equal(ledger->start_pids[i], getpid());
	stop_clean(buf);
	assert_flushed_at_least_once(2);
	sink_free(sink);
}

/* --- The end of the application --------------------------------------------------------------------------------------- */

struct pids {
	_Atomic int server, spare, worker[2];
	_Atomic bool ready;
};

static struct pids *pids;

/* As a change of user does: the system forgets to kill this process when its parent ends. */
static int forget_the_parent(databuffer_batch *batch, void *meta)
{
	prctl(PR_SET_PDEATHSIG, 0);
	return worker_flush(batch, meta);
}

/* An application: two busy workers, then it waits to be ended. */
_Noreturn static void be_an_application(bool stop_them)
{
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.partitions = 2;
	o.handle_flush = forget_the_parent;
	ledger->closed = true;
	databuffer *buf = NULL;
	CHECK(databuffer_start(&buf, &o) == 0);
	insert_numbers(buf, 0, 10);
	databuffer_flush(buf);
	while (ledger->inside < 2 || (pids->server = server_with_spare(buf)) == 0)
		pause_ms(1);
	pids->spare = pids_found[0];
	CHECK(find_pids(pids->server, "db-worker") == 2);
	pids->worker[0] = pids_found[0];
	pids->worker[1] = pids_found[1];
	if (stop_them) {
		kill(pids->worker[0], SIGSTOP);
		kill(pids->spare, SIGSTOP);
		kill(pids->server, SIGSTOP);
	}
	pids->ready = true;
	for (;;)
		pause();
}

/* The application is a child of the test's, in which the thread sanitizer starts no threads. */
static void assert_all_end_with_the_application(int signal, bool stop_them)
{
	int status;
	if (UNDER_TSAN)
		skip();
	pids = mmap(NULL, sizeof(*pids), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(pids != MAP_FAILED);
	int pid = fork();
	if (pid == 0) {
		alarm(60);
		be_an_application(stop_them);
	}
	WAIT_FOR(pids->ready);
	assert_int_equal(kill(pid, signal), 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	assert_true(WIFSIGNALED(status));
	WAIT_FOR(has_ended(pids->server));
	WAIT_FOR(has_ended(pids->spare));
	WAIT_FOR(has_ended(pids->worker[0]));
	WAIT_FOR(has_ended(pids->worker[1]));
	ledger->closed = false;
	munmap(pids, sizeof(*pids));
}

static void everybody_ends_when_the_application_is_killed(void **state)
{
	(void)state;
	assert_all_end_with_the_application(SIGKILL, false);
}

static void everybody_ends_with_it_though_they_have_stopped(void **state)
{
	(void)state;
	assert_all_end_with_the_application(SIGKILL, true);
}

static void everybody_ends_when_the_application_is_terminated(void **state)
{
	(void)state;
	assert_all_end_with_the_application(SIGTERM, false);
}

/* The thread that starts a buffer is not the application: it may end. */
struct starter {
	databuffer_options options;
	databuffer *buf;
};

static void *start_and_end(void *arg)
{
	struct starter *starter = arg;
	starter->buf = start(&starter->options);
	return NULL;
}

static void a_buffer_outlives_the_thread_that_started_it(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct starter starter = { .options = worker_options(sink) };
	thread_join(thread_run(start_and_end, &starter));
	int pid = the_fork_server(starter.buf, 0);
	insert_numbers(starter.buf, 0, 5000);
	flush_all(starter.buf);
	assert_int_equal(info_of(starter.buf, 0).fork_server_pid, pid);
	stop_clean(starter.buf);
	assert_flushed_but(5000, NO_POISON);
	sink_free(sink);
}

/* A child that the application forks, and that goes on after it, must not keep the pipe open whose closing ends all. */
static void a_child_of_the_application_keeps_nobody_alive(void **state)
{
	(void)state;
	int status, child_pipe[2];
	if (UNDER_TSAN)
		skip();
	pids = mmap(NULL, sizeof(*pids), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(pids != MAP_FAILED && pipe(child_pipe) == 0);
	int pid = fork();
	if (pid == 0) {
		alarm(60);
		struct sink *sink = sink_new();
		databuffer_options o = worker_options(sink);
		databuffer *buf = NULL;
		CHECK(databuffer_start(&buf, &o) == 0);
		insert_number(buf, 0);
		flush_all(buf);
		while ((pids->server = server_with_spare(buf)) == 0)
			pause_ms(1);
		pids->worker[0] = the_worker(buf);
		CHECK(kill(pids->server, SIGSTOP) == 0); /* only the pipe can end it now */
		if (fork() == 0) {
			char byte;
			close(child_pipe[1]);
			CHECK(read(child_pipe[0], &byte, 1) == 0); /* as long as the test lasts */
			_exit(0);
		}
		pids->ready = true;
		for (;;)
			pause();
	}
	close(child_pipe[0]);
	WAIT_FOR(pids->ready);
	assert_int_equal(kill(pid, SIGKILL), 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	WAIT_FOR(has_ended(pids->server));
	WAIT_FOR(has_ended(pids->worker[0]));
	close(child_pipe[1]);
	munmap(pids, sizeof(*pids));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		/* First, while no thread of the library's is there: the address sanitizer does not
		 * carry its allocator over a fork that another thread is in it at. */
		TEST(everybody_ends_when_the_application_is_killed),
		TEST(everybody_ends_with_it_though_they_have_stopped),
		TEST(everybody_ends_when_the_application_is_terminated),
		TEST(a_fork_server_that_is_killed_is_replaced),
		TEST(a_batch_that_loses_its_fork_server_is_not_blamed),
		TEST(a_spare_that_is_killed_is_replaced),
		TEST(a_fork_server_that_is_killed_with_its_spare_is_replaced),
		TEST(a_fork_server_that_takes_over_is_as_clean_as_the_first),
		TEST(a_fork_server_that_is_stopped_is_replaced),
		TEST(fork_servers_hold_nothing_of_each_other),
		TEST(a_program_may_ignore_its_children),
		TEST(a_program_may_want_no_zombies),
		TEST(a_program_may_wait_for_any_child),
		TEST(a_worker_that_leaves_a_fork_server_that_is_stopped_is_made_good),
		TEST(workers_that_die_too_often_are_held_back),
		TEST(what_waits_for_a_worker_can_be_given_up),
		TEST(threads_take_over_if_told_to),
		TEST(a_late_handler_on_a_thread_that_took_over_is_late_at_its_deadline),
		TEST(where_threads_took_over_no_handler_begins_after_a_stop),
		TEST(nobody_takes_over_if_not_told_to),
		TEST(a_buffer_outlives_the_thread_that_started_it),
		TEST(a_child_of_the_application_keeps_nobody_alive),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
