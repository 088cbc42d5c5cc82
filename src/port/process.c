/* SPDX-License-Identifier: MIT */
/* Processes on Linux: fork(2), pidfd_open(2), prctl(2), signalfd(2), waitid(2). */
#include "port/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "port/channel.h"

/* --- Birth ------------------------------------------------------------------------- */

int port_fork(void)
{
	return fork();
}

void port_begin_group(void)
{
	setpgid(0, 0);
}

bool port_end_group_with(int reading_end)
{
	/* The end of the last writer counts as something to read, and O_ASYNC has
	 * the system say so by a signal of our choice: SIGKILL, to the whole group. */
	return fcntl(reading_end, F_SETOWN, -getpgrp()) == 0 && fcntl(reading_end, F_SETSIG, SIGKILL) == 0 &&
	       fcntl(reading_end, F_SETFL, O_ASYNC) == 0;
}

bool port_end_with_parent(int parent_pid)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	return getppid() == parent_pid;
}

bool port_watch_parent(int parent_pid)
{
	prctl(PR_SET_PDEATHSIG, SIGCHLD);
	return getppid() == parent_pid;
}

void port_adopt_orphans(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void port_hold_signals(struct port_signals *before)
{
	sigset_t all, old;
	_Static_assert(sizeof(old) <= sizeof(before->mask), "a set of signals fits");
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	memset(before, 0, sizeof(*before));
	memcpy(before->mask, &old, sizeof(old));
}

void port_restore_signals(const struct port_signals *before)
{
	sigset_t old;
	memcpy(&old, before->mask, sizeof(old));
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void port_default_signals(const struct port_signals *mask)
{
	for (int number = 1; number < NSIG; number++) {
		struct sigaction action;
		if (sigaction(number, NULL, &action) != 0 || action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)
			continue;
		memset(&action, 0, sizeof(action));
		action.sa_handler = SIG_DFL;
		sigaction(number, &action, NULL);
	}
	port_restore_signals(mask);
}

void port_name_process(const char *name)
{
	prctl(PR_SET_NAME, name);
}

void port_limit_memory(uint64_t bytes)
{
	/* The data of a process are its writable pages that are its own, which is
	 * what RLIMIT_DATA bounds; what it has inherited is in there already. */
	char text[128] = "";
	unsigned long pages = 0;
	int statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (statm < 0 || read(statm, text, sizeof(text) - 1) <= 0 ||
	    sscanf(text, "%*u %*u %*u %*u %*u %lu", &pages) != 1)
		pages = 0;
	port_close(&statm);
	struct rlimit limit;
	if (getrlimit(RLIMIT_DATA, &limit) != 0)
		return;
	rlim_t most = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + bytes;
	if (limit.rlim_max == RLIM_INFINITY || most < limit.rlim_max)
		limit.rlim_max = most;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_DATA, &limit);
}

/* --- Life and end ------------------------------------------------------------------- */

int port_pid(void)
{
	return getpid();
}

int port_parent_pid(void)
{
	return getppid();
}

int port_process_open(int pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

bool port_has_processes(void)
{
	int self = port_process_open(getpid());
	bool has = self >= 0;
	port_close(&self);
	return has;
}

_Static_assert(PORT_SIGKILL == SIGKILL, "the signal that cannot be caught has this number everywhere");

void port_process_kill(int process)
{
	syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0);
}

bool port_process_has_ended(int process)
{
	struct pollfd polled = { .fd = process, .events = POLLIN };
	return poll(&polled, 1, 0) == 1;
}

int port_watch_children(void)
{
	/* Of children that a program ignores, or has flagged SA_NOCLDWAIT, nobody hears how they ended. */
	sigaction(SIGCHLD, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void port_nudge(int pid)
{
	kill(pid, SIGCHLD);
}

void port_unwatch(int watch)
{
	struct signalfd_siginfo info;
	while (read(watch, &info, sizeof(info)) == (ssize_t)sizeof(info))
		;
}

bool port_reap(struct port_end *end)
{
	siginfo_t info = { .si_pid = 0 };
	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0)
		return false;
	*end = (struct port_end){
		.pid = info.si_pid,
		.by_signal = info.si_code != CLD_EXITED,
		.number = info.si_status,
	};
	return true;
}

void port_reap_one(int process)
{
	siginfo_t info;
	waitid((idtype_t)P_PIDFD, (id_t)process, &info, WEXITED | WNOHANG);
}

void port_end_child(int pid)
{
	siginfo_t info;
	kill(pid, SIGKILL);
	while (waitid(P_PID, (id_t)pid, &info, WEXITED) != 0 && errno == EINTR)
		;
}

void port_name_signal(int number, char name[PORT_SIGNAL_SIZE])
{
	static const char *const names[] = {
		[SIGHUP] = "SIGHUP",   [SIGINT] = "SIGINT",       [SIGQUIT] = "SIGQUIT", [SIGILL] = "SIGILL",
		[SIGTRAP] = "SIGTRAP", [SIGABRT] = "SIGABRT",     [SIGBUS] = "SIGBUS",   [SIGFPE] = "SIGFPE",
		[SIGKILL] = "SIGKILL", [SIGUSR1] = "SIGUSR1",     [SIGSEGV] = "SIGSEGV", [SIGUSR2] = "SIGUSR2",
		[SIGPIPE] = "SIGPIPE", [SIGALRM] = "SIGALRM",     [SIGTERM] = "SIGTERM", [SIGXCPU] = "SIGXCPU",
		[SIGXFSZ] = "SIGXFSZ", [SIGVTALRM] = "SIGVTALRM", [SIGPROF] = "SIGPROF", [SIGIO] = "SIGIO",
		[SIGPWR] = "SIGPWR",   [SIGSYS] = "SIGSYS",
#ifdef SIGSTKFLT
		[SIGSTKFLT] = "SIGSTKFLT",
#endif
	};
	bool known = number > 0 && (size_t)number < sizeof(names) / sizeof(names[0]) && names[number];
	if (known)
		snprintf(name, PORT_SIGNAL_SIZE, "%s", names[number]);
	else if (number == SIGRTMIN)
		snprintf(name, PORT_SIGNAL_SIZE, "SIGRTMIN");
	else if (number > SIGRTMIN && number <= SIGRTMAX)
		snprintf(name, PORT_SIGNAL_SIZE, "SIGRTMIN+%d", number - SIGRTMIN);
	else
		snprintf(name, PORT_SIGNAL_SIZE, "signal %d", number);
}

void port_exit(int status)
{
	_exit(status);
}
