/* SPDX-License-Identifier: MIT */
/*
 * Flushers: the threads that run handlers, one pool for all buffers of the
 * process. One is started when a batch is ready and none is idle, and leaves
 * when it has been idle for a second. A handler that never returns keeps its
 * thread and holds up no other.
 */
#ifndef DATABUFFER_CORE_FLUSHER_H
#define DATABUFFER_CORE_FLUSHER_H

#include "core/buffer.h"

/* Has a flusher come to a partition that is ready. The caller holds the
 * partition's lock and is inside. False if the system gives no thread and none
 * is left; then the supervisor asks again. */
bool flusher_submit(struct partition *partition);

/* Flushes whatever is ready in the partition, on the calling thread; returns
 * how many handlers it ran. */
unsigned flusher_serve(struct partition *partition);

/* The buffer whose handler the calling thread is in, or NULL; and says so,
 * returning what it was before. */
struct databuffer *flusher_current(void);
struct databuffer *flusher_enter(struct databuffer *buf);

void flusher_fork_lock(void);
void flusher_fork_unlock(void);
void flusher_fork_child(void);

#endif
