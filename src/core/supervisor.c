/* SPDX-License-Identifier: MIT */
/* The supervisor's heap of armed partitions, and its thread. */
#include "core/supervisor.h"

#include <stdlib.h>

#include "core/debug.h"
#include "core/registry.h"

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_once_t once;
	struct partition **heap; /* the earliest armed first; place 0 is not used */
	size_t count, room, partitions;
	bool running;
} supervisor = { .lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT };

static void init_supervisor(void)
{
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&supervisor.wake, &attributes);
	pthread_condattr_destroy(&attributes);
}

/* --- The heap: heap[i] is armed no later than heap[2i] and heap[2i + 1] ------------------ */

static int64_t armed(const struct partition *partition)
{
	return atomic_load_explicit(&partition->armed_ns, memory_order_relaxed);
}

static void place(size_t i, struct partition *partition)
{
	supervisor.heap[i] = partition;
	partition->heap_place = i;
}

static void sift_up(size_t i, struct partition *partition)
{
	for (; i > 1 && armed(supervisor.heap[i / 2]) > armed(partition); i /= 2)
		place(i, supervisor.heap[i / 2]);
	place(i, partition);
}

static void sift_down(size_t i, struct partition *partition)
{
	for (size_t child; (child = 2 * i) <= supervisor.count; i = child) {
		if (child < supervisor.count && armed(supervisor.heap[child + 1]) < armed(supervisor.heap[child]))
			child++;
		if (armed(supervisor.heap[child]) >= armed(partition))
			break;
		place(i, supervisor.heap[child]);
	}
	place(i, partition);
}

static void disarm(struct partition *partition)
{
	size_t i = partition->heap_place;
	if (i == 0)
		return;
	partition->heap_place = 0;
	atomic_store_explicit(&partition->armed_ns, PORT_NEVER, memory_order_relaxed);
	struct partition *last = supervisor.heap[supervisor.count--];
	if (last == partition)
		return;
	sift_up(i, last);
	sift_down(last->heap_place, last);
}

/* --- Ticks ------------------------------------------------------------------------------------ */

void supervisor_tick(struct partition *partition, int64_t now_ns)
{
	pthread_mutex_lock(&partition->lock);
	news_unlock(partition, partition_tick(partition, now_ns));
}

static void supervisor_main(void *unused)
{
	(void)unused;
	uint32_t generation = fork_generation();
	pthread_mutex_lock(&supervisor.lock);
	while (supervisor.partitions > 0) {
		int64_t next = supervisor.count > 0 ? armed(supervisor.heap[1]) : PORT_NEVER;
		int64_t now = port_now_ns();
		if (next <= now) {
			struct partition *partition = supervisor.heap[1];
			struct databuffer *buf = partition->buffer;
			disarm(partition);
			buffer_lend(buf);
			pthread_mutex_unlock(&supervisor.lock);
			STEP("supervisor: to tick");
			supervisor_tick(partition, now);
			if (generation != fork_generation())
				return; /* a child that a handler of events or of the log forked */
			buffer_return(buf);
			pthread_mutex_lock(&supervisor.lock);
		} else if (next == PORT_NEVER) {
			pthread_cond_wait(&supervisor.wake, &supervisor.lock);
		} else {
			struct timespec until = { next / 1000000000, next % 1000000000 };
			pthread_cond_timedwait(&supervisor.wake, &supervisor.lock, &until);
		}
	}
	supervisor.running = false;
	pthread_mutex_unlock(&supervisor.lock);
}

static bool run(void)
{
	if (!supervisor.running)
		supervisor.running = port_thread_start(supervisor_main, NULL, "db-supervisor");
	return supervisor.running;
}

void supervisor_arm(struct partition *partition, int64_t deadline_ns)
{
	/* A hint is enough: whoever makes armed_ns later, disarm, is about to tick
	 * this partition and will arm it anew under the lock that we hold. */
	if (deadline_ns >= armed(partition))
		return;
	pthread_mutex_lock(&supervisor.lock);
	if (partition->buffer->watched && deadline_ns < armed(partition)) {
		atomic_store_explicit(&partition->armed_ns, deadline_ns, memory_order_relaxed);
		sift_up(partition->heap_place ? partition->heap_place : ++supervisor.count, partition);
		/* Without a thread, as in a child after fork, the next to arm tries again. */
		if (run() && partition->heap_place == 1)
			pthread_cond_signal(&supervisor.wake);
	}
	pthread_mutex_unlock(&supervisor.lock);
}

/* --- Buffers --------------------------------------------------------------------------------- */

static bool make_room(size_t partitions)
{
	if (partitions + 1 <= supervisor.room)
		return true;
	size_t room = 2 * (partitions + 1);
	struct partition **heap = realloc(supervisor.heap, room * sizeof(struct partition *));
	if (!heap)
		return false;
	supervisor.heap = heap;
	supervisor.room = room;
	return true;
}

int supervisor_add(struct databuffer *buf)
{
	pthread_once(&supervisor.once, init_supervisor);
	pthread_mutex_lock(&supervisor.lock);
	int rc = 0;
	supervisor.partitions += buf->partition_count;
	if (!make_room(supervisor.partitions))
		rc = DATABUFFER_ENOMEM;
	else if (!run())
		rc = DATABUFFER_EAGAIN;
	if (rc != 0)
		supervisor.partitions -= buf->partition_count;
	buf->watched = rc == 0;
	pthread_mutex_unlock(&supervisor.lock);
	return rc;
}

void supervisor_remove(struct databuffer *buf)
{
	pthread_mutex_lock(&supervisor.lock);
	if (buf->watched) {
		for (unsigned i = 0; i < buf->partition_count; i++)
			disarm(&buf->partitions[i]);
		buf->watched = false;
		supervisor.partitions -= buf->partition_count;
		if (supervisor.partitions == 0)
			pthread_cond_signal(&supervisor.wake);
	}
	pthread_mutex_unlock(&supervisor.lock);
}

/* --- Fork ---------------------------------------------------------------------------------------- */

void supervisor_fork_lock(void)
{
	pthread_once(&supervisor.once, init_supervisor);
	pthread_mutex_lock(&supervisor.lock);
}

void supervisor_fork_unlock(void)
{
	pthread_mutex_unlock(&supervisor.lock);
}

void supervisor_fork_child(void)
{
	while (supervisor.count > 0)
		disarm(supervisor.heap[1]);
	supervisor.running = false;
	init_supervisor();
	pthread_mutex_unlock(&supervisor.lock);
}
