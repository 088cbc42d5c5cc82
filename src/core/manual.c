/* SPDX-License-Identifier: MIT */
/* DATABUFFER_MANUAL: the program's own loop does the work, on its own clock. */
#include "core/buffer.h"

#include "core/flusher.h"
#include "core/guard.h"
#include "core/supervisor.h"

/* Until now the clock stood at 0. It jumps for all that is due by time as well, and
 * under all locks at once: whoever came between would see a time long past. */
static void begin_time(struct databuffer *buf, int64_t now_ns)
{
	for (unsigned i = 0; i < buf->partition_count; i++)
		pthread_mutex_lock(&buf->partitions[i].lock);
	for (unsigned i = 0; i < buf->partition_count; i++)
		partition_shift_time(&buf->partitions[i], now_ns);
	atomic_store_explicit(&buf->manual_now_ns, now_ns, memory_order_relaxed);
	atomic_store_explicit(&buf->manual_began, true, memory_order_release);
	for (unsigned i = 0; i < buf->partition_count; i++)
		pthread_mutex_unlock(&buf->partitions[i].lock);
}

int buffer_work(struct databuffer *buf, int64_t now_ms)
{
	if (!buffer_is_manual(buf))
		return DATABUFFER_ENOTSUP;
	if (flusher_current() == buf || atomic_exchange_explicit(&buf->working, true, memory_order_acquire))
		return DATABUFFER_EDEADLK;
	int64_t now_ns = port_deadline_ns(0, now_ms);
	if (!atomic_load_explicit(&buf->manual_began, memory_order_relaxed))
		begin_time(buf, now_ns);
	else if (now_ns > buffer_now_ns(buf))
		atomic_store_explicit(&buf->manual_now_ns, now_ns, memory_order_relaxed);
	int handlers = 0;
	for (unsigned i = 0; i < buf->partition_count; i++) {
		supervisor_tick(&buf->partitions[i], buffer_now_ns(buf));
		handlers += (int)flusher_serve(&buf->partitions[i]);
		if (guard_is_leaving())
			break;
		guard_forgive();
	}
	loop_settle(buf);
	atomic_store_explicit(&buf->working, false, memory_order_release);
	return handlers;
}


int databuffer_work(databuffer *buf, int64_t now_ms)
{
	if (now_ms < 0)
		return DATABUFFER_EINVAL;
	int rc = buffer_enter(buf);
	if (rc != 0)
		return rc;
	rc = buffer_work(buf, now_ms);
	buffer_leave(buf);
	guard_leave();
	return rc;
}

int64_t databuffer_next_deadline(databuffer *buf)
{
	int64_t next = PORT_NEVER;
	if (buffer_enter(buf) != 0)
		return next;
	bool began = atomic_load_explicit(&buf->manual_began, memory_order_acquire) || !buffer_is_manual(buf);
	/* First, so that what comes nearer from here on, seen below or not, is told of. */
	loop_told(buf, PORT_NEVER);
	for (unsigned i = 0; i < buf->partition_count; i++) {
		struct partition *partition = &buf->partitions[i];
		pthread_mutex_lock(&partition->lock);
		int64_t deadline = partition_deadline(partition);
		pthread_mutex_unlock(&partition->lock);
		if (deadline < next)
			next = deadline;
	}
	loop_told(buf, next);
	buffer_leave(buf);
	if (next == PORT_NEVER)
		return INT64_MAX;
	/* Before the first work it is not known what time it is: that comes first. */
	if (!began)
		return 0;
	/* Up, so that at the time told it is due; what is ready now is in the past. */
	return next < 0 ? 0 : (next + PORT_NS_PER_MS - 1) / PORT_NS_PER_MS;
}
