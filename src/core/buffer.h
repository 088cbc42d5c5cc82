/* SPDX-License-Identifier: MIT */
/*
 * A buffer from the inside: its partitions, who may use it, and how long it
 * lives. The public functions are in databuffer.c, stop.c, insert.c, reserve.c,
 * sync.c, look.c, pressure.c, reconfigure.c, loop.c and manual.c. Each enters, and
 * the buffer's insides stay until it leaves (users.c); so do they while a flusher,
 * the supervisor or a reserved slot retains them.
 *
 * Locks, in the order in which they may be taken:
 *
 *      registry  >  a partition  >  supervisor, flusher pool, telemetry, times
 *
 * No lock is held while a handler of the program's runs.
 *
 * The struct itself outlives its insides for a while (registry.h), so that a
 * call on a stopped buffer finds `state` and nothing else.
 */
#ifndef DATABUFFER_CORE_BUFFER_H
#define DATABUFFER_CORE_BUFFER_H

#include "base/histogram.h"
#include "core/loop.h"
#include "core/partition.h"
#include "core/pressure.h"

enum buffer_state {
	BUFFER_RUNNING,
	BUFFER_STOPPING, /* inserts are refused */
	BUFFER_STOPPED,  /* everything is */
	BUFFER_ELSEWHERE /* this is a worker, and the buffer is the application's */
};

struct crew;

struct databuffer {
	_Atomic uint32_t state;
	/* Calls inside, references, and one for the time until stop returns. Who
	 * makes it 0 frees the insides. */
	_Atomic uint32_t users;
	/* Of these, those of the library's own threads, and one for the insides. Who makes
	 * it 0 gives the struct away; stop waits until there is only that one. */
	_Atomic uint32_t helpers;

	/* What waiting inserts sleep on: `room` moves when there may be room. */
	_Atomic uint32_t room;
	_Atomic uint32_t room_waiters;
	/* What sync_flush and stop sleep on: `settled` moves when a batch has left. */
	_Atomic uint32_t settled;
	_Atomic uint32_t settled_waiters;

	databuffer_allocator allocator; /* what options.allocator points to, if anything */
	databuffer_options options; /* complete; name is ours; what is live changes under all partitions' locks */
	_Atomic int64_t max_size, timeout, flush_timeout; /* of these, for who has no lock */
	struct partition *partitions;
	unsigned partition_count;
	struct crew *crew;          /* who runs the handlers; NULL: any thread */
	struct pace pace;
	bool fenced;

	pthread_mutex_t times_lock;
	struct histogram flush_times;
	_Atomic uint64_t waits, refused;
	struct pressure pressure;
	_Atomic int64_t quiet_until_ns; /* when the next warning of a failed flush may be logged */
	_Atomic int64_t drop_quiet_until_ns; /* and of items given up */
	_Atomic int64_t manual_now_ns;
	_Atomic bool manual_began;      /* databuffer_work has told the time */
	_Atomic bool working;           /* inside databuffer_work */
	struct loop loop;

	bool watched;                   /* by the supervisor, under its lock */

	/* The registry's, under its lock. */
	bool registered;
	struct list link;
	struct list producers;
	unsigned producer_count;        /* that there have ever been */
};

/* --- Users -------------------------------------------------------------------- */

/* Begins a call: 0, DATABUFFER_EINVAL for NULL, DATABUFFER_ESTOPPED, in a worker
 * DATABUFFER_ENOTSUP. The same thread ends it. */
int buffer_enter(struct databuffer *buf);
void buffer_leave(struct databuffer *buf);

/* What those two do for the thread, for calls that do not enter a buffer. */
void buffer_begin_call(void);
void buffer_end_call(void);

/* A reference beyond the call, by who is inside or has one; ended by any thread. */
void buffer_retain(struct databuffer *buf);
void buffer_release(struct databuffer *buf);

/* The same for a thread of the library's, which a stop waits for: when it has
 * returned in time, nobody of ours uses what the program may now take down. */
void buffer_lend(struct databuffer *buf);
void buffer_return(struct databuffer *buf);
void buffer_wait_for_helpers(struct databuffer *buf, int64_t deadline_ns);

/* In a child after fork. */
void buffer_reset_users(struct databuffer *buf);

/* --- Time ----------------------------------------------------------------------- */

bool buffer_is_manual(const struct databuffer *buf);
int64_t buffer_now_ns(const struct databuffer *buf);

/* A call's deadline, on the system's clock also in a manual buffer: negative
 * means the `timeout` option. */
int64_t buffer_deadline_ns(const struct databuffer *buf, int64_t timeout_ms);

/* databuffer_work by who is inside, who has to guard_leave in the end: a handler
 * may have left the thread. */
int buffer_work(struct databuffer *buf, int64_t now_ms);

/* --- Options ---------------------------------------------------------------------- */

/* Copies those that are read without a lock. */
void buffer_publish_options(struct databuffer *buf);

/* --- What partitions ask for ------------------------------------------------------- */

/* Unlocks the partition and does what is to be done. */
void buffer_unlock(struct partition *partition, unsigned todo);

/* Has inserts that wait look again. */
void buffer_wake_room(struct databuffer *buf);
void buffer_wake_settled(struct databuffer *buf);

/* Sleeps until *word has moved on from `seen`; false when the deadline is past. */
bool buffer_wait(_Atomic uint32_t *word, _Atomic uint32_t *waiters, uint32_t seen, int64_t deadline_ns);

/* In a child after fork. */
void buffer_reset(struct databuffer *buf);

#endif
