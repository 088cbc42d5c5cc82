/* SPDX-License-Identifier: MIT */
/*
 * The operating system, as far as this library knows it: clocks, waiting and
 * waking, threads, memory maps, the process-wide barrier. Everything above
 * calls these and no system call of its own (mutexes and condition variables
 * are POSIX threads' and used as they are). A test that wants another system
 * links another file with the same functions.
 */
#ifndef DATABUFFER_PORT_PORT_H
#define DATABUFFER_PORT_PORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORT_NEVER INT64_MAX
#define PORT_NS_PER_MS INT64_C(1000000)
#define PORT_CACHE_LINE 64

/* Nanoseconds on a clock that never goes back. */
int64_t port_now_ns(void);

/* Nanoseconds since 1970, UTC. */
int64_t port_system_time_ns(void);

/* now + ms, or PORT_NEVER if that is beyond the end of time. */
int64_t port_deadline_ns(int64_t now_ns, int64_t ms);

/* A number that differs from call to call and from process to process. */
uint64_t port_entropy(void);

/* Sleeps while *word == expected, until port_wake or deadline_ns on
 * port_now_ns's clock. May return early for no reason. False once the deadline
 * has passed. */
bool port_wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns);

/* Wakes up to n threads in port_wait on that word. Costs the caller some
 * microseconds for each: once a batch, never once an item. */
void port_wake(_Atomic uint32_t *word, int n);

/* Lets another thread run: for waits that end within an instruction or two of
 * a thread which may have lost its core. `round` counts the caller's rounds;
 * the first few only relax the core. */
void port_yield(unsigned round);

/* Looks whether *word moves on from `expected`, for some ten microseconds and
 * letting other threads run: before a sleep, since a wake costs its waker more
 * than that. False if it has not. */
bool port_watch(const _Atomic uint32_t *word, uint32_t expected);

/* Starts a detached thread with every signal blocked, so that signals go to the
 * program's own threads, and with cancellation disabled. `name` (15 characters) is what ps shows, a constant.
 * False if the system has no thread to give. */
bool port_thread_start(void (*run)(void *), void *arg, const char *name);

/* Zeroed memory of whole pages that costs nothing until it is touched; NULL if
 * there is none. */
void *port_map(size_t size);
void port_unmap(void *base, size_t size);

/* Has the pages from base to base + size there, at one go rather than one by one
 * as they are touched. A hint: without memory they will come when they are. */
void port_populate(void *base, size_t size);

/* Gives the whole pages back to the system: they read as zeroes again, and cost
 * nothing until they are touched. */
void port_give_back(void *base, size_t size);

/* Has the core fetch the cache line at `at`, to be written soon. Any address will
 * do, mapped or not. */
static inline void port_prefetch_to_write(const void *at)
{
#if defined(__x86_64__)
	/* The builtin fetches a line to be read, unless it is told of a newer machine
	 * than the baseline; those without this instruction pass over it. */
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)at));
#else
	__builtin_prefetch(at, 1);
#endif
}

/* A descriptor that poll(2) and its like find readable from port_event_set until
 * port_event_clear; neither blocks. -1 if the system has none to give.
 * port_event_renew, in a child after fork, which shares it with its parent, puts
 * one of the child's own in its place; false if there is none, and then it is
 * closed. */
int port_event_open(void);
void port_event_set(int fd);
void port_event_clear(int fd);
bool port_event_renew(int fd);
void port_event_close(int fd);

/* The barrier that lets the insert path go without a fence: when port_barrier
 * returns, every running thread of the process has passed a full memory
 * barrier. port_has_barrier is false where the system does not offer it, or
 * where the environment says DATABUFFER_BARRIER=fence; then inserts fence. */
bool port_has_barrier(void);
void port_barrier(void);

#endif
