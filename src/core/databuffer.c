/* SPDX-License-Identifier: MIT */
/* A buffer: its start, its clock, and the bells that its calls wait for. */
#include "core/buffer.h"

#include <limits.h>
#include <stdlib.h>

#include "core/crew.h"
#include "core/debug.h"
#include "core/memory.h"
#include "core/options.h"
#include "core/pool.h"
#include "core/registry.h"
#include "core/supervisor.h"

/* --- Time -------------------------------------------------------------------------------- */

bool buffer_is_manual(const struct databuffer *buf)
{
	return buf->options.flusher == DATABUFFER_MANUAL;
}

int64_t buffer_now_ns(const struct databuffer *buf)
{
	if (buffer_is_manual(buf))
		return atomic_load_explicit(&buf->manual_now_ns, memory_order_relaxed);
	return port_now_ns();
}

int64_t buffer_deadline_ns(const struct databuffer *buf, int64_t timeout_ms)
{
	if (timeout_ms < 0)
		timeout_ms = atomic_load_explicit(&buf->timeout, memory_order_relaxed);
	return port_deadline_ns(port_now_ns(), timeout_ms);
}

void buffer_publish_options(struct databuffer *buf)
{
	atomic_store_explicit(&buf->max_size, buf->options.max_size, memory_order_relaxed);
	atomic_store_explicit(&buf->timeout, buf->options.timeout, memory_order_relaxed);
	atomic_store_explicit(&buf->flush_timeout, buf->options.flush_timeout, memory_order_relaxed);
}

/* --- Waiting ------------------------------------------------------------------------------- */

/* A waiter counts itself, then looks at the word (in the kernel); a waker moves
 * the word, then looks for waiters. Each stands a store before a load, so both
 * are sequentially consistent, and one of the two sees the other. */
bool buffer_wait(_Atomic uint32_t *word, _Atomic uint32_t *waiters, uint32_t seen, int64_t deadline_ns)
{
	if (port_watch(word, seen))
		return true;
	atomic_fetch_add_explicit(waiters, 1, memory_order_seq_cst);
	STEP("buffer: counted as a waiter");
	bool in_time = port_wait(word, seen, deadline_ns);
	atomic_fetch_sub_explicit(waiters, 1, memory_order_relaxed);
	return in_time;
}

static void wake(_Atomic uint32_t *word, _Atomic uint32_t *waiters)
{
	atomic_fetch_add_explicit(word, 1, memory_order_seq_cst);
	STEP("buffer: rang the bell");
	if (atomic_load_explicit(waiters, memory_order_seq_cst) > 0)
		port_wake(word, INT_MAX);
}

void buffer_wake_room(struct databuffer *buf)
{
	wake(&buf->room, &buf->room_waiters);
}

void buffer_wake_settled(struct databuffer *buf)
{
	wake(&buf->settled, &buf->settled_waiters);
}

void buffer_unlock(struct partition *partition, unsigned todo)
{
	struct databuffer *buf = partition->buffer;
	ASSERT(partition_is_valid(partition));
	/* No thread to be had: again in a while, by way of the supervisor. */
	if ((todo & TODO_FLUSH) && !buffer_is_manual(buf) && !partition->submitted && !partition->waits &&
	    !pool_submit(partition))
		partition_defer(partition, port_now_ns() + 100 * PORT_NS_PER_MS);
	int64_t deadline = partition_deadline(partition), give_back = partition_give_back_at(partition);
	supervisor_arm(partition, deadline < give_back ? deadline : give_back);
	if (buffer_is_manual(buf))
		loop_look(buf, todo & TODO_FLUSH, deadline);
	pressure_count(partition);
	pthread_mutex_unlock(&partition->lock);
	STEP("buffer: unlocked");
	if (todo & TODO_ROOM)
		buffer_wake_room(buf);
	if (todo & TODO_SETTLED)
		buffer_wake_settled(buf);
}

/* --- Start ---------------------------------------------------------------------------------- */

static int init_partitions(struct databuffer *buf, int64_t now_ns)
{
	const databuffer_options *o = &buf->options;
	uint64_t seed = o->seed ? (uint64_t)o->seed : port_entropy();
	for (; buf->partition_count < (unsigned)o->partitions; buf->partition_count++) {
		unsigned i = buf->partition_count;
		int rc = partition_init(&buf->partitions[i], buf, i, o->name ? o->name : "", o, seed + i,
		                        buf->fenced, now_ns);
		if (rc != 0)
			return rc;
		buf->partitions[i].pace = &buf->pace;
	}
	return 0;
}

static bool copy_name(struct databuffer *buf, const char *name)
{
	if (!name)
		return true;
	size_t size = strlen(name) + 1;
	char *copy = memory_get(buf->options.allocator, size);
	if (copy)
		buf->options.name = memcpy(copy, name, size);
	return copy != NULL;
}

static struct databuffer *create(const databuffer_options *options)
{
	struct databuffer *buf = calloc(1, sizeof(*buf));
	if (!buf)
		return NULL;
	buf->options = *options;
	buf->options.error = NULL; /* the caller's memory, for the time of the call */
	buf->options.error_size = 0;
	buf->options.name = NULL;
	if (options->allocator) {
		buf->allocator = *options->allocator;
		buf->options.allocator = &buf->allocator;
	}
	buf->partitions = memory_get_line(buf->options.allocator, (size_t)options->partitions * sizeof(struct partition));
	if (!buf->partitions || !copy_name(buf, options->name)) {
		memory_free_line(buf->options.allocator, buf->partitions);
		free(buf);
		return NULL;
	}
	buffer_publish_options(buf);
	buf->fenced = !port_has_barrier();
	pthread_mutex_init(&buf->times_lock, NULL);
	histogram_init(&buf->flush_times);
	pace_init(&buf->pace);
	list_init(&buf->link);
	list_init(&buf->producers);
	loop_init(&buf->loop);
	atomic_init(&buf->users, 1);
	atomic_init(&buf->helpers, 1);
	return buf;
}

static int start(databuffer **out, const databuffer_options *options)
{
	databuffer_options full;
	if (!out) {
		options_refuse(options, "databuffer_start needs a place to put the buffer; the first argument is NULL");
		return DATABUFFER_EINVAL;
	}
	int rc = options_check(options, &full);
	if (rc != 0)
		return rc;
	struct databuffer *buf = create(&full);
	if (!buf)
		return DATABUFFER_ENOMEM;
	rc = crew_create(buf);
	if (rc == 0)
		rc = init_partitions(buf, buffer_now_ns(buf));
	if (rc == 0)
		rc = crew_start(buf->crew, options);
	if (rc == 0 && !buffer_is_manual(buf))
		rc = supervisor_add(buf);
	if (rc == 0) {
		rc = registry_add(buf);
		if (rc == DATABUFFER_EEXIST)
			options_refuse(options, "name is '%s', but a buffer of that name is running in this process",
			               full.name);
	}
	if (rc != 0) {
		supervisor_remove(buf);
		crew_stop(buf->crew, port_deadline_ns(port_now_ns(), 1000));
		atomic_store_explicit(&buf->state, BUFFER_STOPPED, memory_order_relaxed);
		buffer_release(buf);
		return rc;
	}
	for (unsigned i = 0; i < buf->partition_count; i++) {
		pthread_mutex_lock(&buf->partitions[i].lock);
		buffer_unlock(&buf->partitions[i], 0); /* with flush_empty time runs from here */
	}
	*out = buf;
	return 0;
}

int databuffer_start(databuffer **out, const databuffer_options *options)
{
	buffer_begin_call();
	int rc = start(out, options);
	buffer_end_call();
	return rc;
}

/* --- In a child ------------------------------------------------------------------------------ */

void buffer_reset(struct databuffer *buf)
{
	for (unsigned i = 0; i < buf->partition_count; i++)
		partition_reset(&buf->partitions[i], buffer_now_ns(buf));
	crew_reset(buf->crew);
	histogram_init(&buf->flush_times);
	pressure_reset(buf);
	pace_init(&buf->pace);
	loop_reset(&buf->loop);
	atomic_store_explicit(&buf->waits, 0, memory_order_relaxed);
	atomic_store_explicit(&buf->refused, 0, memory_order_relaxed);
	atomic_store_explicit(&buf->room_waiters, 0, memory_order_relaxed);
	atomic_store_explicit(&buf->settled_waiters, 0, memory_order_relaxed);
	buffer_reset_users(buf);
	atomic_store_explicit(&buf->working, false, memory_order_relaxed);
	atomic_store_explicit(&buf->state, BUFFER_RUNNING, memory_order_relaxed);
}
