/* SPDX-License-Identifier: MIT */
/* Making a manual buffer's descriptor readable, and unreadable again. */
#include "core/loop.h"

#include "core/buffer.h"

void loop_init(struct loop *loop)
{
	atomic_init(&loop->fd, -1);
	atomic_init(&loop->told_ns, INT64_MIN);
}

void loop_fini(struct loop *loop)
{
	int fd = atomic_load_explicit(&loop->fd, memory_order_relaxed);
	if (fd >= 0)
		port_event_close(fd);
}

void loop_look(struct databuffer *buf, bool ready, int64_t deadline_ns)
{
	int fd = atomic_load_explicit(&buf->loop.fd, memory_order_acquire);
	bool nearer = deadline_ns < atomic_load_explicit(&buf->loop.told_ns, memory_order_relaxed);
	if (fd < 0 || (!ready && !nearer))
		return;
	if (nearer) /* once is enough */
		atomic_store_explicit(&buf->loop.told_ns, deadline_ns, memory_order_relaxed);
	port_event_set(fd);
}

static bool is_due(struct databuffer *buf)
{
	bool due = false;
	for (unsigned i = 0; i < buf->partition_count && !due; i++) {
		pthread_mutex_lock(&buf->partitions[i].lock);
		due = partition_deadline(&buf->partitions[i]) <= buffer_now_ns(buf);
		pthread_mutex_unlock(&buf->partitions[i].lock);
	}
	return due;
}

/* What is cut before the look is seen by it; what is cut after it sets the event
 * after it was cleared. */
void loop_settle(struct databuffer *buf)
{
	int fd = atomic_load_explicit(&buf->loop.fd, memory_order_acquire);
	if (fd < 0)
		return;
	port_event_clear(fd);
	if (is_due(buf))
		port_event_set(fd);
}

void loop_told(struct databuffer *buf, int64_t deadline_ns)
{
	atomic_store_explicit(&buf->loop.told_ns, deadline_ns, memory_order_relaxed);
}

void loop_reset(struct loop *loop)
{
	int fd = atomic_load_explicit(&loop->fd, memory_order_relaxed);
	atomic_store_explicit(&loop->told_ns, INT64_MIN, memory_order_relaxed);
	if (fd >= 0 && !port_event_renew(fd))
		atomic_store_explicit(&loop->fd, -1, memory_order_relaxed);
}

static int open_inside(struct databuffer *buf)
{
	if (!buffer_is_manual(buf))
		return DATABUFFER_ENOTSUP;
	int fd = atomic_load_explicit(&buf->loop.fd, memory_order_acquire);
	if (fd >= 0)
		return fd;
	int fresh = port_event_open();
	if (fresh < 0)
		return DATABUFFER_EAGAIN;
	if (!atomic_compare_exchange_strong_explicit(&buf->loop.fd, &fd, fresh, memory_order_acq_rel,
	                                             memory_order_acquire)) {
		port_event_close(fresh);
		return fd;
	}
	/* What was cut before nobody has told of. */
	loop_settle(buf);
	return fresh;
}

int databuffer_fd(databuffer *buf)
{
	int rc = buffer_enter(buf);
	if (rc != 0)
		return rc;
	rc = open_inside(buf);
	buffer_leave(buf);
	return rc;
}
