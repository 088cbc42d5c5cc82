/* SPDX-License-Identifier: MIT */
/* Who is inside a buffer and keeps it alive: calls, references, the library's own
 * threads; and how its insides go with the last of them. */
#include "core/buffer.h"

#include "core/crew.h"
#include "core/debug.h"
#include "core/guard.h"
#include "core/memory.h"
#include "core/producer.h"
#include "core/registry.h"

/* In `helpers`, so that the last of them knows that it is waited for without
 * looking into a struct which is not its own any more. */
#define AWAITED (UINT32_C(1) << 31)

static void end_helper(struct databuffer *buf)
{
	uint32_t helpers = atomic_fetch_sub_explicit(&buf->helpers, 1, memory_order_acq_rel);
	if ((helpers & ~AWAITED) == 1)
		registry_retire(buf);
	else if (helpers & AWAITED)
		port_wake(&buf->helpers, 1);
}

static void free_insides(struct databuffer *buf)
{
	for (unsigned i = 0; i < buf->partition_count; i++)
		partition_fini(&buf->partitions[i]);
	memory_free_line(buf->options.allocator, buf->partitions);
	crew_destroy(buf->crew);
	loop_fini(&buf->loop);
	pthread_mutex_destroy(&buf->times_lock);
	memory_free(buf->options.allocator, (char *)(uintptr_t)buf->options.name);
	end_helper(buf);
}

/* How many calls the thread is in: those that a fork carries into the child. And of
 * each, the innermost in the lowest bit, what guard_exit is to be given. */
static _Thread_local uint32_t calls;
static _Thread_local uint64_t disabled;

/* No call is a point of cancellation, nor is what it calls: our frames have no
 * clean-up (guard.h). */
void buffer_begin_call(void)
{
	disabled = disabled << 1 | (guard_enter() == PTHREAD_CANCEL_DISABLE);
	calls++;
}

void buffer_end_call(void)
{
	if (--calls == 0)
		producer_rest();
	guard_exit(disabled & 1 ? PTHREAD_CANCEL_DISABLE : PTHREAD_CANCEL_ENABLE);
	disabled >>= 1;
}

int buffer_enter(struct databuffer *buf)
{
	if (!buf)
		return DATABUFFER_EINVAL;
	/* From 0 there is no way back up: the insides are going or gone. */
	uint32_t users = atomic_load_explicit(&buf->users, memory_order_relaxed);
	do {
		if (users == 0)
			return DATABUFFER_ESTOPPED;
	} while (!atomic_compare_exchange_weak_explicit(&buf->users, &users, users + 1, memory_order_acquire,
	                                                memory_order_relaxed));
	STEP("buffer: counted in");
	uint32_t state = atomic_load_explicit(&buf->state, memory_order_acquire);
	if (state >= BUFFER_STOPPED) {
		buffer_release(buf);
		return state == BUFFER_STOPPED ? DATABUFFER_ESTOPPED : DATABUFFER_ENOTSUP;
	}
	buffer_begin_call();
	return 0;
}

void buffer_leave(struct databuffer *buf)
{
	pressure_tell(buf);
	buffer_release(buf);
	buffer_end_call();
}

void buffer_retain(struct databuffer *buf)
{
	atomic_fetch_add_explicit(&buf->users, 1, memory_order_relaxed);
}

void buffer_release(struct databuffer *buf)
{
	STEP("buffer: to go out");
	if (atomic_fetch_sub_explicit(&buf->users, 1, memory_order_acq_rel) == 1)
		free_insides(buf);
}

void buffer_lend(struct databuffer *buf)
{
	buffer_retain(buf);
	atomic_fetch_add_explicit(&buf->helpers, 1, memory_order_relaxed);
}

void buffer_return(struct databuffer *buf)
{
	buffer_release(buf);
	end_helper(buf);
}

/* There is nothing left to do, so flushers and the supervisor are about to leave. */
void buffer_wait_for_helpers(struct databuffer *buf, int64_t deadline_ns)
{
	uint32_t helpers = atomic_fetch_or_explicit(&buf->helpers, AWAITED, memory_order_acquire) | AWAITED;
	while ((helpers & ~AWAITED) > 1 && port_now_ns() < deadline_ns) {
		port_wait(&buf->helpers, helpers, deadline_ns);
		helpers = atomic_load_explicit(&buf->helpers, memory_order_acquire);
	}
}

void buffer_reset_users(struct databuffer *buf)
{
	/* Only the calling thread lives on, and may be in a call, on whichever
	 * buffer: then this one is kept for ever, rather than freed under it. */
	atomic_store_explicit(&buf->users, 1 + calls, memory_order_relaxed);
	atomic_store_explicit(&buf->helpers, 1, memory_order_relaxed);
}
