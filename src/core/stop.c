/* SPDX-License-Identifier: MIT */
/* The stop of a buffer: inserts are refused, what is held is flushed as long as there
 * is time, the rest is handed back, and the insides go with whoever is last in them. */
#include "core/buffer.h"

#include "core/crew.h"
#include "core/debug.h"
#include "core/flusher.h"
#include "core/guard.h"
#include "core/log.h"
#include "core/registry.h"
#include "core/supervisor.h"

/* --- Flushing what is held ----------------------------------------------------------------- */

static bool is_empty(struct databuffer *buf)
{
	for (unsigned i = 0; i < buf->partition_count; i++) {
		struct partition *partition = &buf->partitions[i];
		pthread_mutex_lock(&partition->lock);
		bool empty = partition_is_empty(partition);
		pthread_mutex_unlock(&partition->lock);
		if (!empty)
			return false;
	}
	return true;
}

/* Nobody else does the work of a manual buffer that stops, and the program's clock
 * stands still while it is in here; so it runs on beside the system's, which it is
 * `ahead_ns` of. Returns when there will be more to do. */
static int64_t work_on(struct databuffer *buf, int64_t now_ns, int64_t ahead_ns)
{
	if (buffer_work(buf, (now_ns + ahead_ns) / PORT_NS_PER_MS) == DATABUFFER_EDEADLK)
		return port_deadline_ns(now_ns, 1); /* another thread is at it */
	int64_t next_ms = databuffer_next_deadline(buf);
	return next_ms == INT64_MAX ? PORT_NEVER : next_ms * PORT_NS_PER_MS - ahead_ns;
}

static void flush_all(struct databuffer *buf, int64_t deadline_ns)
{
	int64_t ahead_ns = buffer_now_ns(buf) - port_now_ns();
	for (unsigned i = 0; i < buf->partition_count; i++) {
		struct partition *partition = &buf->partitions[i];
		pthread_mutex_lock(&partition->lock);
		unsigned todo = partition_flush(partition, DATABUFFER_TRIGGER_STOP, buffer_now_ns(buf));
		buffer_unlock(partition, todo);
	}
	buffer_wake_room(buf); /* inserts that wait are refused */
	for (;;) {
		uint32_t seen = atomic_load_explicit(&buf->settled, memory_order_seq_cst);
		int64_t now_ns = port_now_ns();
		if (is_empty(buf) || now_ns >= deadline_ns)
			return;
		int64_t until_ns = buffer_is_manual(buf) ? work_on(buf, now_ns, ahead_ns) : PORT_NEVER;
		if (guard_is_leaving())
			return; /* the thread that all would be flushed on */
		buffer_wait(&buf->settled, &buf->settled_waiters, seen, until_ns < deadline_ns ? until_ns : deadline_ns);
	}
}

/* --- Handing back the rest ------------------------------------------------------------------- */

/* Shows handle_left what the partition gives up, and counts it. */
static int64_t give_back_segment(struct databuffer *buf, const struct segment *segment, uint32_t generation)
{
	const struct databuffer_batch *batch = &segment->batch;
	uint32_t from = batch->from, end = batch->end;
	databuffer_reason reason = {
		.partition = batch->partition,
		.status = batch->status,
		.attempts = batch->calls,
		.text = batch->calls > 0 ? "the buffer stopped before a flush of it succeeded" :
		                           "the buffer stopped before it could be flushed",
	};
	for (uint32_t slot = from; slot < end && buf->options.handle_left; slot++) {
		databuffer_item item = batch_item(segment, slot);
		buf->options.handle_left(&item, &reason, buf->options.flush_meta);
		if (generation != fork_generation())
			break; /* a child that it forked, where all this is the parent's */
	}
	return end - from;
}

/* Hands what could not be flushed to handle_left; returns how many items. */
static int64_t give_back(struct databuffer *buf)
{
	int64_t count = 0;
	uint32_t generation = fork_generation();
	for (unsigned i = 0; i < buf->partition_count && generation == fork_generation(); i++) {
		struct partition *partition = &buf->partitions[i];
		struct list left, *node, *next;
		list_init(&left);
		pthread_mutex_lock(&partition->lock);
		partition_abandon(partition, &left);
		pthread_mutex_unlock(&partition->lock);
		buffer_wake_settled(buf); /* who waits for their flush waits in vain */
		crew_kill(buf->crew, i);
		LIST_FOREACH_SAFE(node, next, &left)
		{
			count += give_back_segment(buf, LIST_ENTRY(node, struct segment, link), generation);
			if (generation != fork_generation())
				break;
		}
	}
	if (count > 0 && !buf->options.handle_left)
		log_line(&buf->options, DATABUFFER_LOG_WARNING,
		         "buffer '%s' stopped with %lld items left over; set handle_left to keep such items",
		         buf->options.name ? buf->options.name : "", (long long)count);
	return count;
}

/* --- From the first refusal to the last user ----------------------------------------------- */

int64_t databuffer_stop(databuffer *buf, int64_t timeout_ms)
{
	if (buf && flusher_current() == buf)
		return DATABUFFER_EDEADLK;
	int rc = buffer_enter(buf);
	if (rc != 0)
		return rc;
	uint32_t running = BUFFER_RUNNING;
	if (!atomic_compare_exchange_strong_explicit(&buf->state, &running, BUFFER_STOPPING, memory_order_acq_rel,
	                                             memory_order_relaxed)) {
		buffer_leave(buf);
		return DATABUFFER_ESTOPPED;
	}
	int64_t deadline = buffer_deadline_ns(buf, timeout_ms);
	STEP("stop: no more inserts");
	flush_all(buf, deadline);
	STEP("stop: to give back");
	int64_t left = give_back(buf);
	STEP("stop: has given back");
	crew_stop(buf->crew, deadline);
	pressure_close(buf, deadline);
	supervisor_remove(buf);
	registry_remove(buf);
	STEP("stop: to be over");
	atomic_store_explicit(&buf->state, BUFFER_STOPPED, memory_order_seq_cst);
	buffer_wake_room(buf);
	buffer_wake_settled(buf);
	buffer_wait_for_helpers(buf, deadline);
	buffer_leave(buf);
	buffer_release(buf); /* the reference of databuffer_start */
	guard_leave();
	return left;
}
