/* SPDX-License-Identifier: MIT */
/* The pool of flusher threads: who comes, who looks, who sleeps, who leaves. */
#include "core/pool.h"

#include "core/debug.h"
#include "core/flusher.h"
#include "core/guard.h"

#define IDLE_NS (1000 * PORT_NS_PER_MS)
/* A flusher that has just served looks this long for more before it sleeps, since
 * its waking is paid by the inserting thread that fills the next batch (some 16
 * microseconds). Two or three times that, and a steady stream wakes nobody. */
#define LOOK_NS 50000

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_once_t once;
	struct list ready; /* partitions */
	_Atomic unsigned jobs;     /* in `ready`; moves under the lock, and is looked at without */
	unsigned looking;          /* threads that will look again before they sleep */
	unsigned idle;             /* asleep */
	unsigned threads;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT };

static void init_pool(void)
{
	list_init(&pool.ready);
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&pool.wake, &attributes);
	pthread_condattr_destroy(&attributes);
}

static unsigned jobs(void)
{
	return atomic_load_explicit(&pool.jobs, memory_order_relaxed);
}

/* Under the lock. */
static void add_jobs(int n)
{
	atomic_store_explicit(&pool.jobs, jobs() + (unsigned)n, memory_order_relaxed);
}

/* Looks for a job for a while, without the lock that inserts need. */
static void look(void)
{
	pool.looking++;
	pthread_mutex_unlock(&pool.lock);
	int64_t until_ns = port_now_ns() + LOOK_NS;
	for (unsigned round = 0; jobs() == 0; round++) {
		port_yield(round);
		if (round % 16 == 0 && port_now_ns() >= until_ns)
			break;
	}
	pthread_mutex_lock(&pool.lock);
	pool.looking--;
}

static void sleep_until_job(void)
{
	int64_t until_ns = port_now_ns() + IDLE_NS;
	struct timespec until = { until_ns / 1000000000, until_ns % 1000000000 };
	pool.idle++;
	while (jobs() == 0)
		if (pthread_cond_timedwait(&pool.wake, &pool.lock, &until) == ETIMEDOUT)
			break;
	pool.idle--;
}

/* The next partition to serve; NULL when the thread has been idle long enough. */
static struct partition *next_job(void)
{
	struct partition *partition = NULL;
	pthread_mutex_lock(&pool.lock);
	if (jobs() == 0)
		look();
	if (jobs() == 0)
		sleep_until_job();
	if (jobs() > 0) {
		partition = LIST_ENTRY(list_pop_front(&pool.ready), struct partition, ready);
		add_jobs(-1);
	} else {
		pool.threads--;
	}
	pthread_mutex_unlock(&pool.lock);
	return partition;
}

static void thread_main(void *unused);

/* A thread whose handler did not return ends, and another starts in its place if
 * there is work that nobody else does. If the system gives none it has to go on. */
static bool retire(void)
{
	pthread_mutex_lock(&pool.lock);
	pool.threads--;
	bool needed = pool.threads == 0 && jobs() > 0;
	bool may_go = !needed || port_thread_start(thread_main, NULL, "db-flusher");
	if (needed)
		pool.threads++;
	pthread_mutex_unlock(&pool.lock);
	if (!may_go)
		guard_forgive();
	return may_go;
}

static void thread_main(void *unused)
{
	(void)unused;
	struct partition *partition;
	while ((partition = next_job()) != NULL) {
		struct databuffer *buf = partition->buffer;
		flusher_serve(partition);
		buffer_return(buf);
		if (guard_is_unfit() && retire())
			return;
	}
}

bool pool_submit(struct partition *partition)
{
	pthread_once(&pool.once, init_pool);
	pthread_mutex_lock(&pool.lock);
	ASSERT(list_is_empty(&partition->ready)); /* `submitted` says so */
	bool served = true;
	if (pool.looking > jobs()) {
		/* One of them will see it. */
	} else if (pool.looking + pool.idle > jobs()) {
		pthread_cond_signal(&pool.wake);
	} else if (port_thread_start(thread_main, NULL, "db-flusher")) {
		pool.threads++;
	} else {
		served = pool.threads > 0;
	}
	partition->submitted = served;
	if (served) {
		buffer_lend(partition->buffer);
		list_push_back(&pool.ready, &partition->ready);
		add_jobs(1);
	}
	pthread_mutex_unlock(&pool.lock);
	return served;
}

/* --- Fork -------------------------------------------------------------------------------------- */

void pool_fork_lock(void)
{
	pthread_once(&pool.once, init_pool);
	pthread_mutex_lock(&pool.lock);
}

void pool_fork_unlock(void)
{
	pthread_mutex_unlock(&pool.lock);
}

void pool_fork_child(void)
{
	atomic_store_explicit(&pool.jobs, 0, memory_order_relaxed);
	pool.looking = pool.idle = pool.threads = 0;
	flusher_enter(NULL);
	init_pool();
	pthread_mutex_unlock(&pool.lock);
}
