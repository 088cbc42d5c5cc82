/* SPDX-License-Identifier: MIT */
/* Processes on Linux: memfd_create(2), futex(2), pidfd_open(2), prctl(2), signalfd(2). */
#include "port/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "port/port.h"

/* --- Shared memory ----------------------------------------------------------- */

/* The mapping keeps the memory; nobody needs the descriptor. Where there is none
 * to be had, memory without a name does as well. */
static void *map_shared(void *at, size_t size, const char *name, int flags)
{
	int fd = memfd_create(name, MFD_CLOEXEC);
	if (fd >= 0 && ftruncate(fd, (off_t)size) != 0)
		port_close(&fd);
	if (fd < 0)
		flags |= MAP_ANONYMOUS;
	void *base = mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | flags, fd, 0);
	port_close(&fd);
	return base == MAP_FAILED ? NULL : base;
}

void *port_map_shared(size_t size, const char *name)
{
	return map_shared(NULL, size, name, 0);
}

bool port_map_shared_anew(void *base, size_t size, const char *name)
{
	return map_shared(base, size, name, MAP_FIXED) != NULL;
}

void port_forbid_writes(void *base, size_t size)
{
	mprotect(base, size, PROT_READ);
}

void port_forbid_access(void *base, size_t size)
{
	mprotect(base, size, PROT_NONE);
}

bool port_wait_shared(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns)
{
	struct timespec until = { .tv_sec = deadline_ns / 1000000000, .tv_nsec = deadline_ns % 1000000000 };
	struct timespec *timeout = deadline_ns == PORT_NEVER ? NULL : &until;
	long rc = syscall(SYS_futex, (void *)word, FUTEX_WAIT_BITSET, expected, timeout, NULL,
	                  FUTEX_BITSET_MATCH_ANY);
	return !(rc < 0 && errno == ETIMEDOUT);
}

void port_wake_shared(_Atomic uint32_t *word, int n)
{
	syscall(SYS_futex, (void *)word, FUTEX_WAKE, n, NULL, NULL, 0);
}

/* --- Descriptors ---------------------------------------------------------------- */

bool port_pipe(int ends[2])
{
	return pipe2(ends, O_CLOEXEC) == 0;
}

bool port_socket_pair(int ends[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0;
}

void port_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int poll_ms(int64_t deadline_ns)
{
	if (deadline_ns == PORT_NEVER)
		return -1;
	int64_t ms = (deadline_ns - port_now_ns() + PORT_NS_PER_MS - 1) / PORT_NS_PER_MS;
	return ms < 0 ? 0 : ms > 1000000 ? 1000000 : (int)ms;
}

void port_poll(const int *fds, bool *ready, size_t n, int64_t deadline_ns)
{
	struct pollfd polled[16];
	for (size_t i = 0; i < n; i++)
		polled[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
	int rc = poll(polled, n, poll_ms(deadline_ns));
	for (size_t i = 0; i < n; i++)
		ready[i] = rc > 0 && polled[i].revents != 0;
}

union control {
	char bytes[CMSG_SPACE(2 * sizeof(int))];
	struct cmsghdr align;
};

bool port_send(int socket, const void *message, size_t size, const int fds[2], bool may_wait)
{
	union control control;
	struct iovec iovec = { (void *)(uintptr_t)message, size };
	struct msghdr header = { .msg_iov = &iovec, .msg_iovlen = 1 };
	unsigned n = 0;
	while (n < 2 && fds && fds[n] >= 0)
		n++;
	if (n > 0) {
		memset(&control, 0, sizeof(control));
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(n * sizeof(int));
		struct cmsghdr *part = CMSG_FIRSTHDR(&header);
		part->cmsg_level = SOL_SOCKET;
		part->cmsg_type = SCM_RIGHTS;
		part->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(part), fds, n * sizeof(int));
	}
	return sendmsg(socket, &header, MSG_NOSIGNAL | (may_wait ? 0 : MSG_DONTWAIT)) == (ssize_t)size;
}

enum port_receive port_receive(int socket, void *message, size_t size, int fds[2])
{
	union control control;
	struct iovec iovec = { message, size };
	struct msghdr header = {
		.msg_iov = &iovec,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	fds[0] = fds[1] = -1;
	ssize_t got = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return PORT_NOTHING;
	if (got != (ssize_t)size)
		return PORT_END;
	struct cmsghdr *part = CMSG_FIRSTHDR(&header);
	if (part && part->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(part), part->cmsg_len - CMSG_LEN(0));
	return PORT_RECEIVED;
}

/* Whether `to` takes a page at once; a pipe not beyond its half, so that others who
 * write there find room, too. */
static bool takes_a_page(int to)
{
	struct pollfd polled = { .fd = to, .events = POLLOUT };
	int held = 0, room = fcntl(to, F_GETPIPE_SZ);
	if (room > 0 && (ioctl(to, FIONREAD, &held) != 0 || held + 4096 > room / 2))
		return false;
	return poll(&polled, 1, 0) == 1 && (polled.revents & POLLOUT);
}

static void put(int to, const char *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		size_t piece = size - done < 4096 ? size - done : 4096;
		ssize_t written = takes_a_page(to) ? write(to, bytes + done, piece) : 0;
		if (written <= 0)
			return;
		done += (size_t)written;
	}
}

int port_pour(int from, int to, size_t most)
{
	char bytes[16384];
	ssize_t got = read(from, bytes, most < sizeof(bytes) ? most : sizeof(bytes));
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? -1 : 0;
	if (to >= 0)
		put(to, bytes, (size_t)got);
	return (int)got;
}

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

bool port_has_errors(void)
{
	return fcntl(STDERR_FILENO, F_GETFD) >= 0;
}

void port_redirect_errors(int fd)
{
	dup2(fd, STDERR_FILENO);
}

void port_write_error(const char *text, size_t len)
{
	put(STDERR_FILENO, text, len);
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

const char *port_signal_name(int number)
{
	static const char *const names[] = {
		[SIGHUP] = "SIGHUP",   [SIGINT] = "SIGINT",       [SIGQUIT] = "SIGQUIT", [SIGILL] = "SIGILL",
		[SIGTRAP] = "SIGTRAP", [SIGABRT] = "SIGABRT",     [SIGBUS] = "SIGBUS",   [SIGFPE] = "SIGFPE",
		[SIGKILL] = "SIGKILL", [SIGUSR1] = "SIGUSR1",     [SIGSEGV] = "SIGSEGV", [SIGUSR2] = "SIGUSR2",
		[SIGPIPE] = "SIGPIPE", [SIGALRM] = "SIGALRM",     [SIGTERM] = "SIGTERM", [SIGXCPU] = "SIGXCPU",
		[SIGXFSZ] = "SIGXFSZ", [SIGVTALRM] = "SIGVTALRM", [SIGPROF] = "SIGPROF", [SIGIO] = "SIGIO",
		[SIGPWR] = "SIGPWR",   [SIGSYS] = "SIGSYS",
	};
	bool known = number > 0 && (size_t)number < sizeof(names) / sizeof(names[0]) && names[number];
	return known ? names[number] : NULL;
}

void port_exit(int status)
{
	_exit(status);
}
