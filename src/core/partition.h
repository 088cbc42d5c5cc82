/* SPDX-License-Identifier: MIT */
/*
 * A partition's control plane: when to cut a batch, which to flush, what to try
 * again, when to give up. A state machine: what happened and the time go in;
 * what is to be done comes out, as a set of enum partition_todo. It never
 * sleeps, reads no clock, starts no thread, calls no handler; so it runs the
 * same under flusher threads, under databuffer_work, and in a test that lives
 * through a day in a second.
 *
 *                      lease              seal               take
 *      free segments ─────────> open ──────────────> queue ───────> flying
 *            ^                   size, bytes,          ^               │
 *            │                   interval, flush,      │ backoff       │
 *            │                   stop                  │ next half     │
 *            └─────────────────────────────────────────┴───────────────┘
 *              every item has its outcome                     land
 *              (flushed, dead; or dropped, out of the queue)
 *
 * The caller holds `lock` in every function but init and fini.
 *
 * Invariants: accepted == held + flushed + dead + dropped + left, where held is
 * counted over open, queue and flying; at most 1 + max_in_flight + max_queued
 * full batches are held, and max_stuck more.
 */
#ifndef DATABUFFER_CORE_PARTITION_H
#define DATABUFFER_CORE_PARTITION_H

#include <pthread.h>

#include "base/list.h"
#include "base/rng.h"
#include "core/breaker.h"
#include "core/fit.h"
#include "core/news.h"
#include "core/pace.h"
#include "core/segment.h"
#include "store/store.h"

/* What the caller has to do once it has let go of the lock. */
enum partition_todo {
	TODO_FLUSH = 1,  /* a batch can be taken: have a flusher come */
	TODO_ROOM = 2,   /* there is room again: wake inserts that wait */
	TODO_SETTLED = 4 /* a batch has left: wake sync_flush and stop */
};

struct partition {
	pthread_mutex_t lock;
	const databuffer_options *options;
	const char *name;
	unsigned number;
	struct databuffer *buffer;

	struct store store;
	uint32_t slots;        /* of each segment that has its place in it */
	struct list outgrown;  /* stores that segments still have to leave */
	struct segment *segments;
	unsigned segment_count;
	struct list substitute_list; /* of segments mapped in place of pinned ones */
	unsigned substitutes;
	unsigned draining;     /* segments that are done and pinned */
	bool fenced;

	struct segment *open;  /* NULL between a cut and the next lease */
	struct list free;
	struct list queue;     /* sealed, in order of sequence */
	struct list flying;    /* with a handler, late ones too */
	unsigned queued, in_flight, stuck;
	uint64_t sequence;     /* of the segment opened last */
	uint32_t flush_size;   /* the capacity of the next segment to open */
	uint64_t waiting_items, waiting_bytes; /* in queue and flying, but for the stuck */
	struct fit fit;        /* how much the sink takes at once */
	struct breaker breaker;
	struct pace *pace;     /* the buffer's */
	bool booked;           /* the next call, with so many items, from then on */
	uint32_t booked_items;
	int64_t booked_ns;

	int64_t used_ns;       /* when a batch was last begun or done */
	bool gave_back;        /* free segments have no memory of the system's */
	int64_t next_cut_ns;   /* by time; PORT_NEVER if there is none */
	int64_t cut_from_ns;   /* when that time began to run */
	bool asked;            /* a flush was asked for and could not be cut at once */
	databuffer_trigger asked_by;
	bool varied;           /* items of the last batch were of different lengths */
	bool stopping;
	struct rng rng;
	struct list waiters;   /* struct sync_wait */

	/* Counters, see databuffer_stats. `accepted` counts at the cut; what is in
	 * the open segment is added when they are read. */
	uint64_t accepted, held, held_bytes, flushed, flushed_bytes, dead, dropped, left;
	uint64_t batches, attempts, failures, rejects, too_large, timeouts;
	uint64_t worker_deaths;
	int last_status;
	uint64_t batch_ids;    /* how many have been given out */
	struct news news;

	/* Watermarks (pressure.h): what was last counted, and what a lease may promise. */
	uint64_t counted_held, counted_promised, headroom;

	/* The crew's (crew.h), under its lock; `waits`, that it is in line or was called,
	 * also under the partition's. */
	struct list in_line;
	bool called, waits;

	/* The flusher pool's and the supervisor's links (flusher.h, supervisor.h). */
	struct list ready;
	bool submitted;        /* a flusher has been sent for */
	_Atomic int64_t armed_ns;
	size_t heap_place;
};

/* Options are complete and checked; they, the name and the buffer outlive it. */
int partition_init(struct partition *partition, struct databuffer *buffer, unsigned number, const char *name,
                   const databuffer_options *options, uint64_t seed, bool fenced, int64_t now_ns);
void partition_fini(struct partition *partition);

/* --- Inserting --------------------------------------------------------------------- */

enum partition_room {
	ROOM_LEASED,
	ROOM_OTHERS, /* none but what other threads have on lease, and are about to fill */
	ROOM_NONE    /* the partition is full, or stopping */
};

/* Leases room for the request, of at most max_size items and max_bytes, to the
 * caller's lane; cuts the open batch where the request does not fit. Taking
 * back what others have on lease stops every core of the process for a moment,
 * so who has other partitions to go to asks without `recall` first. */
enum partition_room partition_lease(struct partition *partition, struct lane *lane,
                                    const struct lease_request *request, bool recall, int64_t now_ns,
                                    unsigned *todo);

/* The same from the batch that is open and has items already, if that has room
 * left: then nothing is to be done, no deadline has moved, and the time does not
 * matter. */
bool partition_lease_open(struct partition *partition, struct lane *lane, const struct lease_request *request);

/* The same in advance, for a lane that has used up a lease of an array by calls of
 * n items, and would be back at the next. False: nothing is leased. */
bool partition_renew(struct partition *partition, struct lane *lane, uint32_t n);

/* A lane has used its lease up: cuts the batch if it is full. */
unsigned partition_filled(struct partition *partition, int64_t now_ns);

/* --- Overflow ------------------------------------------------------------------------- */

/* Items that were given up: slots [from, to) of a segment whose memory stays until
 * partition_unpin. */
struct dropped {
	struct segment *segment; /* NULL: none */
	uint32_t from, to;
	uint32_t item_len;       /* of the segment then: what is left of it may be indexed meanwhile */
	int status;              /* of their batch */
	unsigned attempts;
};

/* After partition_lease has refused the request: gives up, for its sake, the oldest
 * items that are not in flight, as many as it lacks room for, and of one batch at
 * most. False: there are none, or the partition is stopping. */
bool partition_drop_oldest(struct partition *partition, const struct lease_request *request, int64_t now_ns,
                           struct dropped *dropped, unsigned *todo);

/* Accepts n items and gives them up. False if the partition is stopping. */
bool partition_drop_newest(struct partition *partition, uint32_t n);

/* --- Flushing ------------------------------------------------------------------------ */

/* databuffer_flush and databuffer_stop: cuts what is held, ends backoffs. */
unsigned partition_flush(struct partition *partition, databuffer_trigger trigger, int64_t now_ns);

/* The oldest batch whose time has come, for its handler; NULL if none may go. */
struct segment *partition_take(struct partition *partition, int64_t now_ns);

/* The last moment before the handler is called, without the lock. False: the
 * buffer has stopped, and has given the batch up. */
bool partition_begin_call(struct segment *segment);

/* Whether partition_take would give one. */
bool partition_is_ready(const struct partition *partition, int64_t now_ns);

/* No flusher could be had for the batch that is ready: not before then. */
void partition_defer(struct partition *partition, int64_t until_ns);

/* The handler has answered. Applies it and books the outcomes; the caller calls
 * handle_dead for what the verdict names and then lands the segment. */
struct verdict partition_judge(struct partition *partition, struct segment *segment, int answer, int64_t now_ns);

/* How a worker died that had a batch. */
struct worker_death {
	const char *text;
	bool counts; /* the batch may have done it */
	bool late;   /* it was killed, being late */
};

/* The same for a handler that never will answer, since its worker has died. */
struct verdict partition_judge_death(struct partition *partition, struct segment *segment,
                                     const struct worker_death *death, int64_t now_ns);
unsigned partition_land(struct partition *partition, struct segment *segment, const struct verdict *verdict,
                        int64_t now_ns);

/* --- Time ------------------------------------------------------------------------------ */

/* Does what is due: cuts by time, finds handlers that have become late. Of these
 * as many as there is room for among the news, and the rest at the next tick. */
unsigned partition_tick(struct partition *partition, int64_t now_ns);

/* When time alone will give it something to do: a cut, the end of a backoff, a
 * late handler; at once if there are news. A batch that a flusher has been sent for is not among these. */
int64_t partition_deadline(const struct partition *partition);

/* When free segments will have been idle for long enough to give their memory back. */
int64_t partition_give_back_at(const struct partition *partition);

/* The clock has jumped by so much before anything was flushed. */
void partition_shift_time(struct partition *partition, int64_t by_ns);

/* When the batch is cut by time, as databuffer_info tells it; PORT_NEVER: never. */
int64_t partition_next_cut(struct partition *partition, int64_t now_ns);

/* --- Waiting for an end ------------------------------------------------------------------ */

/* One databuffer_sync_flush's view of one partition; on the waiter's stack or
 * heap, linked until sync_end. */
struct sync_wait {
	struct list link;
	uint64_t sequence; /* every segment up to this one is waited for */
	bool done;
	databuffer_result result; /* its bytes are below, until sync_flush hands them out */
	int64_t duration_ns;
	unsigned char bytes[DATABUFFER_RESULT_MAX];
};

unsigned partition_sync_begin(struct partition *partition, struct sync_wait *wait, int64_t now_ns);
void partition_sync_end(struct sync_wait *wait);

/* --- Other options -------------------------------------------------------------------------- */

/* The partition's options have changed, and were `before`; it has the memory for
 * them. What they say of the open batch, of its time, and of the next attempt holds
 * from now on. */
unsigned partition_reconfigure(struct partition *partition, const databuffer_options *before, int64_t now_ns);

/* Memory for larger segments, or what it has replaced. */
struct supply_growth;

/* Maps memory for all the partition's segments with so many slots each; without its
 * lock. NULL without memory. */
struct supply_growth *supply_map(const struct partition *partition, uint32_t slots);

/* Has every segment take its place there when it is next free. Returns what is for
 * supply_unmap: the memory that nobody uses, or NULL. */
struct supply_growth *supply_grow(struct partition *partition, struct supply_growth *growth);
void supply_unmap(const struct partition *partition, struct supply_growth *growth);

/* --- Stopping ------------------------------------------------------------------------------ */

bool partition_is_empty(const struct partition *partition);

/* Gives up all that is held: counts it as left and moves its segments, oldest
 * first, to `left`, whose memory stays until partition_fini. What a handler
 * still has is cancelled, and its answer will be ignored. */
void partition_abandon(struct partition *partition, struct list *left);

/* --- Looking in -------------------------------------------------------------------------- */

uint64_t partition_size(const struct partition *partition);
uint64_t partition_bytes(const struct partition *partition);
void partition_read_info(struct partition *partition, databuffer_partition_info *info, int64_t now_ns);
void partition_add_stats(const struct partition *partition, struct databuffer_stats *stats);

/* Ends a pin; the last one frees the memory if its batch is done. */
unsigned partition_unpin(struct partition *partition, struct segment *segment);

/* In a child after fork: empty, as if just started. */
void partition_reset(struct partition *partition, int64_t now_ns);

/* What is broken in a partition, as the middle of a sentence. */
struct partition_fault {
	char text[256];
};

/* Counts all that is held anew and holds it against what is kept, down to the
 * bytes of each item. False: the fault says what does not agree. */
bool partition_check(const struct partition *partition, struct partition_fault *fault);

/* The same without the bytes, which take a walk over all items. */
bool partition_is_valid(const struct partition *partition);

#endif
