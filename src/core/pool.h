/* SPDX-License-Identifier: MIT */
/*
 * The threads that flush, one pool for all buffers of the process. One is started
 * when a batch is ready and none is idle, and leaves when it has been idle for a
 * second. A handler that never returns keeps its thread and holds up no other.
 */
#ifndef DATABUFFER_CORE_POOL_H
#define DATABUFFER_CORE_POOL_H

#include "core/buffer.h"

/* Has a thread come to a partition that is ready. The caller holds the partition's
 * lock and is inside. False if the system gives no thread and none is left; then
 * the supervisor asks again. */
bool pool_submit(struct partition *partition);

void pool_fork_lock(void);
void pool_fork_unlock(void);
void pool_fork_child(void);

#endif
