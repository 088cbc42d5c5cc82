/* SPDX-License-Identifier: MIT */
/* The operating system, Linux: futex(2), membarrier(2), mmap(2). */
#include "port/port.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

static int64_t read_clock(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t port_now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

int64_t port_system_time_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t port_deadline_ns(int64_t now_ns, int64_t ms)
{
	if (ms >= (PORT_NEVER - now_ns) / PORT_NS_PER_MS)
		return PORT_NEVER;
	return now_ns + ms * PORT_NS_PER_MS;
}

uint64_t port_entropy(void)
{
	static _Atomic uint64_t calls;
	uint64_t bits;
	if (getrandom(&bits, sizeof(bits), GRND_NONBLOCK) != (ssize_t)sizeof(bits))
		bits = (uint64_t)port_system_time_ns() ^ ((uint64_t)getpid() << 32);
	return bits + atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
}

bool port_wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns)
{
	struct timespec until = { .tv_sec = deadline_ns / NS_PER_S, .tv_nsec = deadline_ns % NS_PER_S };
	struct timespec *timeout = deadline_ns == PORT_NEVER ? NULL : &until;
	/* The bitset form takes an absolute time on CLOCK_MONOTONIC; the plain one a relative time. */
	long rc = syscall(SYS_futex, (void *)word, FUTEX_WAIT_BITSET_PRIVATE, expected, timeout, NULL,
	                  FUTEX_BITSET_MATCH_ANY);
	return !(rc < 0 && errno == ETIMEDOUT);
}

void port_wake(_Atomic uint32_t *word, int n)
{
	syscall(SYS_futex, (void *)word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

void port_yield(unsigned round)
{
	if (round < 16) {
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#endif
		return;
	}
	sched_yield();
}

bool port_watch(const _Atomic uint32_t *word, uint32_t expected)
{
	for (unsigned round = 0; round < 128; round++) {
		if (atomic_load_explicit(word, memory_order_acquire) != expected)
			return true;
		port_yield(round);
	}
	return false;
}

struct start {
	void (*run)(void *);
	void *arg;
	const char *name;
};

static void *thread_main(void *arg)
{
	struct start start = *(struct start *)arg;
	free(arg);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_setname_np(pthread_self(), start.name);
	start.run(start.arg);
	return NULL;
}

bool port_thread_start(void (*run)(void *), void *arg, const char *name)
{
	struct start *start = malloc(sizeof(*start));
	if (!start)
		return false;
	*start = (struct start){ run, arg, name };

	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_t thread;
	int rc = pthread_create(&thread, &attributes, thread_main, start);
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0) {
		free(start);
		return false;
	}
	return true;
}

void *port_map(size_t size)
{
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return base == MAP_FAILED ? NULL : base;
}

void port_unmap(void *base, size_t size)
{
	munmap(base, size);
}

#ifndef MADV_POPULATE_WRITE /* since Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

void port_populate(void *base, size_t size)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = (uintptr_t)base & ~(page - 1), to = ((uintptr_t)base + size + page - 1) & ~(page - 1);
	int saved = errno;
	madvise((void *)from, to - from, MADV_POPULATE_WRITE);
	errno = saved;
}

void port_give_back(void *base, size_t size)
{
	/* Shared memory goes only when it is taken out of the file that it is. */
	if (madvise(base, size, MADV_REMOVE) != 0)
		madvise(base, size, MADV_DONTNEED);
}

static bool barrier_registered;
static pthread_once_t barrier_once = PTHREAD_ONCE_INIT;

static void register_barrier(void)
{
	const char *wish = getenv("DATABUFFER_BARRIER");
	if (wish && strcmp(wish, "fence") == 0)
		return;
	barrier_registered =
		syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

bool port_has_barrier(void)
{
	pthread_once(&barrier_once, register_barrier);
	return barrier_registered;
}

void port_barrier(void)
{
	syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}
