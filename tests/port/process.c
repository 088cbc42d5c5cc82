/* SPDX-License-Identifier: MIT */
/* The port's processes: every way in which one must end, and what it is bound to. */
#include "port/process.h"

#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "port/channel.h"
#include "port/patience.h"
#include "port/shared.h"

/* Memory that the processes of a test share. */
struct board {
	_Atomic uint32_t word, count;
	_Atomic int pid[2];
};

static struct board *board;

static int new_board(void **state)
{
	(void)state;
	board = port_map_shared(sizeof(*board), "board");
	return board ? 0 : -1;
}

static int drop_board(void **state)
{
	(void)state;
	port_unmap(board, sizeof(*board));
	return 0;
}

static struct port_end reap(void)
{
	struct port_end end;
	WAIT_FOR(port_reap(&end));
	return end;
}

/* --- Ends ------------------------------------------------------------------------------------------------------ */

static void a_child_tells_how_it_ended(void **state)
{
	(void)state;
	struct port_end end;
	assert_false(port_reap(&end));
	int pid = port_fork();
	if (pid == 0)
		port_exit(3);
	end = reap();
	assert_int_equal(end.pid, pid);
	assert_false(end.by_signal);
	assert_int_equal(end.number, 3);

	if (port_fork() == 0) {
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
	}
	end = reap();
	assert_true(end.by_signal);
	assert_int_equal(end.number, SIGSEGV);
}

static void assert_name(int number, const char *expected)
{
	char name[PORT_SIGNAL_SIZE];
	port_name_signal(number, name);
	assert_string_equal(name, expected);
}

static void every_signal_that_ends_a_process_has_its_name(void **state)
{
	(void)state;
	assert_name(SIGSEGV, "SIGSEGV");
	assert_name(SIGRTMIN, "SIGRTMIN");
	assert_name(SIGRTMIN + 3, "SIGRTMIN+3");
	assert_name(0, "signal 0");
	assert_name(INT_MAX, "signal 2147483647");
	for (int number = 1; number <= SIGRTMAX; number++) {
		bool stops = number == SIGSTOP || number == SIGTSTP || number == SIGTTIN || number == SIGTTOU;
		if (stops)
			continue;
		if (port_fork() == 0) {
			signal(number, SIG_DFL);
			raise(number);
			port_exit(0);
		}
		struct port_end end = reap();
		char name[PORT_SIGNAL_SIZE];
		port_name_signal(end.number, name);
		if (end.by_signal && strncmp(name, "SIG", 3) != 0)
			fail_msg("signal %d has no name", end.number);
	}
}

static void a_process_is_killed_by_its_descriptor_though_it_has_stopped(void **state)
{
	(void)state;
	int pid = port_fork();
	if (pid == 0) {
		raise(SIGSTOP);
		port_exit(0);
	}
	int process = port_process_open(pid);
	assert_true(process >= 0);
	assert_false(port_process_has_ended(process));
	port_process_kill(process);
	WAIT_FOR(port_process_has_ended(process));
	struct port_end end = reap();
	assert_int_equal(end.number, SIGKILL);
	port_process_kill(process); /* goes nowhere */
	port_close(&process);
}

static void assert_a_watch_shows_the_end_of_a_child(void)
{
	struct port_signals before;
	bool ready;
	port_hold_signals(&before);
	int watch = port_watch_children();
	port_poll(&watch, &ready, 1, port_now_ns());
	assert_false(ready);
	if (port_fork() == 0)
		port_exit(7);
	port_poll(&watch, &ready, 1, patience());
	assert_true(ready);
	port_unwatch(watch);
	assert_int_equal(reap().number, 7);
	port_close(&watch);
	port_restore_signals(&before);
}

static void a_child_without_a_descriptor_is_ended_and_leaves_no_zombie(void **state)
{
	(void)state;
	struct port_end end;
	int child = port_fork();
	if (child == 0)
		for (;;)
			pause();
	assert_true(child > 0);
	port_end_child(child);
	assert_int_equal(kill(child, 0), -1);
	assert_false(port_reap(&end));
}

static void a_watch_shows_that_a_child_has_ended(void **state)
{
	(void)state;
	assert_a_watch_shows_the_end_of_a_child();
}

static void a_watch_shows_the_ends_that_the_program_had_ignored(void **state)
{
	(void)state;
	signal(SIGCHLD, SIG_IGN);
	assert_a_watch_shows_the_end_of_a_child();
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT }, NULL);
	assert_a_watch_shows_the_end_of_a_child();
}

static void a_watch_can_be_nudged(void **state)
{
	(void)state;
	struct port_signals before;
	bool ready;
	port_hold_signals(&before);
	int watch = port_watch_children();
	int parent = port_pid(), pid = port_fork();
	if (pid == 0) {
		port_nudge(parent);
		for (;;)
			pause();
	}
	port_poll(&watch, &ready, 1, patience());
	assert_true(ready);
	port_unwatch(watch);
	struct port_end end;
	assert_false(port_reap(&end));
	port_poll(&watch, &ready, 1, port_now_ns());
	assert_false(ready);
	kill(pid, SIGKILL);
	assert_int_equal(reap().pid, pid);
	port_close(&watch);
	port_restore_signals(&before);
}

/* Has a child run `run` and end, and waits until all whom it left the board's pids of are gone. */
static void assert_all_end(void (*run)(int *life))
{
	int life[2], processes[2];
	assert_true(port_pipe(life));
	int pid = port_fork();
	if (pid == 0)
		run(life);
	port_close(&life[0]);
	port_close(&life[1]);
	WAIT_FOR(atomic_load(&board->count) == 2);
	for (int i = 0; i < 2; i++) {
		processes[i] = port_process_open(atomic_load(&board->pid[i]));
		assert_true(processes[i] >= 0);
		assert_false(port_process_has_ended(processes[i]));
	}
	atomic_store(&board->word, 1); /* now the child kills itself */
	assert_int_equal(reap().number, SIGKILL);
	for (int i = 0; i < 2; i++) {
		WAIT_FOR(port_process_has_ended(processes[i]));
		port_close(&processes[i]);
	}
	atomic_store(&board->count, 0);
	atomic_store(&board->word, 0);
}

_Noreturn static void say_and_wait(bool stopped)
{
	atomic_store(&board->pid[stopped], port_pid());
	atomic_fetch_add(&board->count, 1);
	if (stopped)
		raise(SIGSTOP);
	for (;;)
		pause();
}

_Noreturn static void kill_myself(void)
{
	while (atomic_load(&board->word) == 0)
		usleep(1000);
	for (;;)
		raise(SIGKILL);
}

/* One in a group of its own, and its child, which has no descriptor and stops. */
static void leave_a_group(int *life)
{
	if (port_fork() == 0) {
		port_close(&life[1]);
		port_begin_group();
		if (!port_end_group_with(life[0]))
			port_exit(1);
		if (port_fork() == 0) {
			port_close(&life[0]);
			say_and_wait(true);
		}
		say_and_wait(false);
	}
	kill_myself();
}

static void a_group_ends_with_the_pipe_that_its_maker_held(void **state)
{
	(void)state;
	assert_all_end(leave_a_group);
}

static void leave_two_children(int *life)
{
	int self = port_pid();
	(void)life;
	for (int i = 0; i < 2; i++)
		if (port_fork() == 0) {
			if (!port_end_with_parent(self))
				port_exit(1);
			say_and_wait(i == 1);
		}
	kill_myself();
}

static void children_end_with_their_parent(void **state)
{
	(void)state;
	assert_all_end(leave_two_children);
}

static void a_parent_that_is_gone_already_is_told_at_once(void **state)
{
	(void)state;
	if (port_fork() == 0) {
		struct port_signals before;
		port_hold_signals(&before);
		port_exit(port_end_with_parent(1234567) || port_watch_parent(1234567) ? 1 : 0);
	}
	assert_int_equal(reap().number, 0);
}

/* --- Bounds ------------------------------------------------------------------------------------------------------ */

static void memory_is_bounded_beyond_what_there_is(void **state)
{
	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* the sanitizer's own memory is not to be had either */
#endif
	static void *volatile fits, *volatile does_not; /* seen by others, or a compiler might do without */
	if (port_fork() == 0) {
		port_limit_memory(64 << 20);
		fits = malloc(16 << 20);
		does_not = malloc(128 << 20);
		port_exit(fits && !does_not ? 0 : 1);
	}
	assert_int_equal(reap().number, 0);
}

static void on_signal(int number)
{
	(void)number;
}

static void signals_have_their_default_action_again(void **state)
{
	(void)state;
	if (port_fork() == 0) {
		struct port_signals before;
		struct sigaction action;
		signal(SIGUSR1, on_signal);
		signal(SIGUSR2, SIG_IGN);
		port_hold_signals(&before);
		port_default_signals(&before);
		sigset_t mask;
		sigprocmask(SIG_SETMASK, NULL, &mask);
		bool right = !sigismember(&mask, SIGUSR1);
		sigaction(SIGUSR1, NULL, &action);
		right = right && action.sa_handler == SIG_DFL;
		sigaction(SIGUSR2, NULL, &action);
		right = right && action.sa_handler == SIG_IGN;
		port_exit(right ? 0 : 1);
	}
	assert_int_equal(reap().number, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, new_board, drop_board)
	const struct CMUnitTest tests[] = {
		TEST(a_child_tells_how_it_ended),
		TEST(every_signal_that_ends_a_process_has_its_name),
		TEST(a_process_is_killed_by_its_descriptor_though_it_has_stopped),
		TEST(a_child_without_a_descriptor_is_ended_and_leaves_no_zombie),
		TEST(a_watch_shows_that_a_child_has_ended),
		TEST(a_watch_shows_the_ends_that_the_program_had_ignored),
		TEST(a_watch_can_be_nudged),
		TEST(a_group_ends_with_the_pipe_that_its_maker_held),
		TEST(children_end_with_their_parent),
		TEST(a_parent_that_is_gone_already_is_told_at_once),
		TEST(memory_is_bounded_beyond_what_there_is),
		TEST(signals_have_their_default_action_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
