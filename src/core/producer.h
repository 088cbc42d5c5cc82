/* SPDX-License-Identifier: MIT */
/*
 * A producer: one thread's lanes in one buffer, a lane a partition in a ring,
 * and the slots that it has reserved.
 *
 * It belongs to its thread: only that thread's inserts use it, and only that
 * thread frees it, when it ends or when it finds the buffer gone. So a thread
 * may keep a pointer to it without a lock, and a stopped buffer only writes NULL
 * to `buffer`, which the thread's next insert sees.
 *
 * The one that the thread used last is at hand in thread-local storage, with the
 * lane of its next insert, so that from a buffer's address to that lane it is one
 * load (the initial-exec model). A few more are in a small table behind it.
 */
#ifndef DATABUFFER_CORE_PRODUCER_H
#define DATABUFFER_CORE_PRODUCER_H

#include "core/buffer.h"

#define PRODUCER_HOLDS 8

/* A slot that is reserved and not resolved. */
struct hold {
	struct segment *segment; /* NULL: not in use */
	struct partition *partition;
	uint32_t slot, offset, len;
};

struct producer {
	_Atomic(struct databuffer *) buffer; /* NULL when it is gone; under the registry's lock */
	struct lane *cursor;                 /* the lane of the next insert; stale while it is at hand */
	unsigned skips;                      /* how many lanes the ring leaves out */
	uint32_t room_seen;                  /* buffer->room when producer_look_again last looked */
	struct list in_buffer;               /* buffer->producers, under the registry's lock */
	struct list in_thread;
	unsigned lane_count;
	unsigned hold_count;
	unsigned busy;                       /* calls of its thread that run the program's code and need it after */
	struct hold holds[PRODUCER_HOLDS];
	struct lane lanes[];
};

/* What is at hand. `buf` is the address alone: the buffer may be gone, and even
 * another one be in its place. Then the lanes here have no lease, and never will,
 * and whoever is refused by one looks further. */
struct producer_recent {
	const struct databuffer *buf; /* never NULL */
	struct lane *cursor;
	struct producer *producer;
};

extern _Thread_local struct producer_recent producer_recent
	__attribute__((visibility("hidden"), tls_model("initial-exec")));

/* Has the calling thread's producer for that address at hand, if it is easily found. */
bool producer_switch(const struct databuffer *buf);

static inline struct lane *producer_cursor(const struct producer *producer)
{
	return producer_recent.producer == producer ? producer_recent.cursor : producer->cursor;
}

static inline void producer_set_cursor(struct producer *producer, struct lane *lane)
{
	if (producer_recent.producer == producer)
		producer_recent.cursor = lane;
	else
		producer->cursor = lane;
}

static inline bool producer_use(const struct databuffer *buf)
{
	return __builtin_expect(producer_recent.buf == buf, 1) || producer_switch(buf);
}

/* The calling thread's producer for a buffer that it is inside; made if there is
 * none. NULL without memory, or if the buffer is on its way out. It is good, and
 * at hand, until the thread next comes here, or runs code of the program's that may. */
struct producer *producer_get(struct databuffer *buf);

/* Leaves a lane out of the ring, since its partition is full, or takes it in. At
 * least one lane is left in. */
void producer_skip(struct producer *producer, struct lane *lane, bool skip);

/* Takes all lanes in again if buffer->room has moved since some were left out. */
void producer_look_again(struct producer *producer, uint32_t room);

/* The thread is in no call any more: if it is about to end, what it has is given
 * back at once, since it may not come by again. */
void producer_rest(void);

/* Under the registry's lock: the buffer is going, and all leases are recalled. */
void producer_orphan_all(struct databuffer *buf);

/* In a child after fork, under all locks: the calling thread's keep their places
 * with nothing on lease or held; those of threads that are no more are freed. */
void producer_reset_all(struct databuffer *buf);

/* The record of a hold is free for another. Under its partition's lock. */
void producer_drop_hold(struct producer *producer, struct hold *hold);

/* Gives the room of a hold back. */
void producer_abort_hold(struct producer *producer, struct hold *hold);

#endif
