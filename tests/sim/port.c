/* SPDX-License-Identifier: MIT */
/* The simulated system. Every function that a real one would spend time in, or
 * that others can notice, is a scheduling point. */
#include "sim/port.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "port/port.h"
#include "sim/world.h"

static struct port_temper temper;
static size_t mapped_bytes;
static unsigned failures[WORLD_TASKS_MAX];

void port_set_temper(const struct port_temper *wanted)
{
	temper = *wanted;
}

void port_set_scarce(bool scarce)
{
	temper.scarce = scarce;
}

unsigned port_failures(const struct task *task)
{
	return failures[world_number(task)];
}

size_t port_mapped_bytes(void)
{
	return mapped_bytes;
}

static bool fails(unsigned permille, const char *what)
{
	if (!world_permille(temper.scarce ? permille * 8 : permille))
		return false;
	world_note(what, ++failures[world_number(world_self())], 0);
	return true;
}

bool port_gives_no_process(void)
{
	return fails(temper.process_permille, "no process");
}

/* --- src/port/port.h ------------------------------------------------------------ */

int64_t port_now_ns(void)
{
	world_point(POINT_CLOCK);
	return world_now_ns();
}

int64_t port_system_time_ns(void)
{
	return world_now_ns() + INT64_C(1700000000000000000);
}

int64_t port_deadline_ns(int64_t now_ns, int64_t ms)
{
	if (ms >= (PORT_NEVER - now_ns) / PORT_NS_PER_MS)
		return PORT_NEVER;
	return now_ns + ms * PORT_NS_PER_MS;
}

uint64_t port_entropy(void)
{
	return world_draw(UINT64_MAX);
}

bool port_wait(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns)
{
	world_point(POINT_WAIT);
	if (atomic_load_explicit(word, memory_order_seq_cst) != expected)
		return true;
	return world_wait(word, deadline_ns, true);
}

void port_wake(_Atomic uint32_t *word, int n)
{
	world_point(POINT_WAKE);
	world_wake(word, (unsigned)n);
	world_point(POINT_WAKE);
}

/* Whoever yields waits for another to get on, so time may move. */
void port_yield(unsigned round)
{
	(void)round;
	world_yield();
}

bool port_watch(const _Atomic uint32_t *word, uint32_t expected)
{
	for (uint64_t rounds = world_draw(3); rounds > 0; rounds--) {
		if (atomic_load_explicit(word, memory_order_acquire) != expected)
			return true;
		world_yield();
	}
	return false;
}

bool port_thread_start(void (*run)(void *), void *arg, const char *name)
{
	return !fails(temper.thread_permille, "no thread") && world_start(run, arg, name);
}

void *port_map(size_t size)
{
	world_point(POINT_ACT);
	if (fails(temper.map_permille, "no map"))
		return NULL;
	void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		world_fail("this machine gives no memory to the simulator");
	mapped_bytes += size;
	return base;
}

void port_unmap(void *base, size_t size)
{
	if (munmap(base, size) != 0)
		world_fail("%zu bytes are unmapped that were not mapped", size);
	mapped_bytes -= size;
}

/* A hint, which this system does not take. */
void port_populate(void *base, size_t size)
{
	(void)base, (void)size;
}

void port_give_back(void *base, size_t size)
{
	if (madvise(base, size, MADV_DONTNEED) != 0)
		world_fail("%zu bytes are given back that are not whole pages of a map", size);
}

bool port_has_barrier(void)
{
	return !temper.fenced;
}

void port_barrier(void)
{
	world_point(POINT_ACT);
}

/* --- Mutexes: the first word has the number of the owner, and 1 --------------------- */

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until);
int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond);

static unsigned owner(const pthread_mutex_t *mutex)
{
	unsigned word;
	memcpy(&word, mutex, sizeof(word));
	return word;
}

static void set_owner(pthread_mutex_t *mutex, unsigned word)
{
	memcpy(mutex, &word, sizeof(word));
}

bool port_is_locked(const void *mutex)
{
	return owner(mutex) != 0;
}

static unsigned own_word(void)
{
	return world_number(world_self()) + 1;
}

static void acquire(pthread_mutex_t *mutex)
{
	if (owner(mutex) == own_word())
		world_fail("a thread locks a mutex that it has locked already");
	while (owner(mutex) != 0)
		world_wait(mutex, WORLD_NEVER, false);
	set_owner(mutex, own_word());
	world_count_locks(1);
}

static void release(pthread_mutex_t *mutex)
{
	if (owner(mutex) != own_word())
		world_fail("a thread unlocks a mutex that it has not locked");
	set_owner(mutex, 0);
	world_count_locks(-1);
	world_wake(mutex, 1);
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	world_point(POINT_LOCK);
	acquire(mutex);
	return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	release(mutex);
	world_point(POINT_UNLOCK);
	return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
	if (owner(mutex) != 0)
		world_fail("a mutex is destroyed that is locked");
	return 0;
}

/* --- Condition variables: an address to wait on ----------------------------------------- */

static int wait_on(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ns)
{
	release(mutex);
	bool in_time = world_wait(cond, until_ns, true);
	acquire(mutex);
	return in_time ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	return wait_on(cond, mutex, WORLD_NEVER);
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
	return wait_on(cond, mutex, until->tv_sec * INT64_C(1000000000) + until->tv_nsec);
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
	world_wake(cond, 1);
	world_point(POINT_WAKE);
	return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
	world_wake(cond, UINT32_MAX);
	world_point(POINT_WAKE);
	return 0;
}

/* --- Memory --------------------------------------------------------------------------------- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
char *__real_strdup(const char *text);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);
char *__wrap_strdup(const char *text);

static bool no_memory(void)
{
	return fails(temper.memory_permille, "no memory");
}

static void *given(void *memory)
{
	if (!memory)
		world_fail("this machine gives no memory to the simulator");
	return memory;
}

void *__wrap_malloc(size_t size)
{
	return no_memory() ? NULL : given(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return no_memory() ? NULL : given(__real_calloc(n, size));
}

void *__wrap_realloc(void *old, size_t size)
{
	if (no_memory())
		return NULL;
	return given(__real_realloc(old, size));
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t size)
{
	if (no_memory())
		return ENOMEM;
	int rc = __real_posix_memalign(out, alignment, size);
	given(rc == 0 ? *out : NULL);
	return 0;
}

char *__wrap_strdup(const char *text)
{
	return no_memory() ? NULL : given(__real_strdup(text));
}
