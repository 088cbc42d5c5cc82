/* SPDX-License-Identifier: MIT */
/*
 * The supervisor: one thread for all buffers of the process, which sleeps until
 * the first partition has something due by time, and gives it its tick. It runs
 * while there is a buffer with threads.
 *
 * A partition is armed for a time at or before its next deadline. A deadline
 * that moves later is left as it is: the tick finds nothing due and arms anew,
 * so that a busy partition costs a tick an interval and not one a batch.
 */
#ifndef DATABUFFER_CORE_SUPERVISOR_H
#define DATABUFFER_CORE_SUPERVISOR_H

#include "core/buffer.h"

/* One more buffer to watch, and the thread if there is none. DATABUFFER_ENOMEM,
 * DATABUFFER_EAGAIN if the system gives no thread. */
int supervisor_add(struct databuffer *buf);
/* Forgets the buffer's partitions. A tick that runs goes on to its end. */
void supervisor_remove(struct databuffer *buf);

/* Has the partition ticked at that time, or earlier. Its lock is held. */
void supervisor_arm(struct partition *partition, int64_t deadline_ns);

/* One tick, then arms anew; also what databuffer_work does. */
void supervisor_tick(struct partition *partition, int64_t now_ns);

void supervisor_fork_lock(void);
void supervisor_fork_unlock(void);
/* Nothing is armed in the child; its thread starts when something is. */
void supervisor_fork_child(void);

#endif
