/* SPDX-License-Identifier: MIT */
/* Asking for a flush, and waiting for it. */
#include "core/buffer.h"

#include <stdlib.h>

#include "core/debug.h"
#include "core/flusher.h"
#include "core/memory.h"

int databuffer_flush(databuffer *buf)
{
	int rc = buffer_enter(buf);
	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < buf->partition_count; i++) {
		struct partition *partition = &buf->partitions[i];
		pthread_mutex_lock(&partition->lock);
		buffer_unlock(partition, partition_flush(partition, DATABUFFER_TRIGGER_FLUSH, buffer_now_ns(buf)));
	}
	buffer_leave(buf);
	return 0;
}

/* Whether all are done; *never, if one will not be, since a stop has given items up. */
static bool all_done(struct databuffer *buf, struct sync_wait *waits, bool *never)
{
	bool done = true;
	for (unsigned i = 0; i < buf->partition_count && done; i++) {
		struct partition *partition = &buf->partitions[i];
		pthread_mutex_lock(&partition->lock);
		done = waits[i].done;
		*never = !done && partition->left > 0;
		pthread_mutex_unlock(&partition->lock);
	}
	return done;
}

static int wait_for_all(struct databuffer *buf, struct sync_wait *waits, int64_t deadline_ns)
{
	bool never = false;
	for (;;) {
		uint32_t seen = atomic_load_explicit(&buf->settled, memory_order_seq_cst);
		if (all_done(buf, waits, &never))
			return 0;
		if (never || atomic_load_explicit(&buf->state, memory_order_acquire) == BUFFER_STOPPED)
			return DATABUFFER_ESTOPPED;
		if (port_now_ns() >= deadline_ns)
			return DATABUFFER_ETIMEDOUT;
		buffer_wait(&buf->settled, &buf->settled_waiters, seen, deadline_ns);
	}
}

void databuffer_results_free(databuffer_result *results, size_t n)
{
	for (size_t i = 0; results && i < n; i++) {
		free(results[i].bytes);
		results[i].bytes = NULL;
		results[i].bytes_len = 0;
	}
}

/* Writes the results, whole or not at all. */
static int hand_out(struct sync_wait *waits, databuffer_result *results, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		databuffer_result *result = &waits[i].result;
		result->bytes = result->bytes_len > 0 ? malloc(result->bytes_len) : NULL;
		if (!result->bytes && result->bytes_len > 0) {
			while (i-- > 0)
				free(waits[i].result.bytes);
			return DATABUFFER_ENOMEM;
		}
		if (result->bytes)
			memcpy(result->bytes, waits[i].bytes, result->bytes_len);
	}
	for (size_t i = 0; i < n; i++)
		results[i] = waits[i].result;
	return 0;
}

static int sync_inside(struct databuffer *buf, databuffer_result *results, size_t n_results, int64_t timeout_ms)
{
	int64_t deadline = buffer_deadline_ns(buf, timeout_ms);
	struct sync_wait *waits = memory_get_zeroed(buf->options.allocator, buf->partition_count, sizeof(*waits));
	if (!waits)
		return DATABUFFER_ENOMEM;
	for (unsigned i = 0; i < buf->partition_count; i++) {
		struct partition *partition = &buf->partitions[i];
		pthread_mutex_lock(&partition->lock);
		buffer_unlock(partition, partition_sync_begin(partition, &waits[i], buffer_now_ns(buf)));
	}
	STEP("sync: to wait");
	int rc = wait_for_all(buf, waits, deadline);
	for (unsigned i = 0; i < buf->partition_count; i++) {
		struct partition *partition = &buf->partitions[i];
		pthread_mutex_lock(&partition->lock);
		partition_sync_end(&waits[i]);
		pthread_mutex_unlock(&partition->lock);
		waits[i].result.duration = waits[i].duration_ns / PORT_NS_PER_MS;
	}
	if (rc == 0)
		rc = hand_out(waits, results, n_results < buf->partition_count ? n_results : buf->partition_count);
	memory_free(buf->options.allocator, waits);
	return rc;
}

int databuffer_sync_flush(databuffer *buf, databuffer_result *results, size_t n_results, int64_t timeout_ms)
{
	if (!results && n_results > 0)
		return DATABUFFER_EINVAL;
	if (buf && flusher_current() == buf)
		return DATABUFFER_EDEADLK;
	int rc = buffer_enter(buf);
	if (rc != 0)
		return rc;
	rc = sync_inside(buf, results, n_results, timeout_ms);
	buffer_leave(buf);
	return rc;
}
