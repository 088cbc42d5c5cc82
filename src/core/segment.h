/* SPDX-License-Identifier: MIT */
/*
 * A segment: the memory of one batch, while it is filled, waits, and is flushed.
 *
 *      slots   ┌──────────────┬────────────┬───────────────┐
 *              │ settled      │ on lease   │ free          │
 *              └──────────────┴────────────┴───────────────┘
 *              0           settled       leased        capacity
 *
 *      arena   ┌──────────────────────────┬────────────────┐
 *              │ the items' bytes         │ free           │
 *              └──────────────────────────┴────────────────┘
 *              0                     arena_leased      arena_size
 *
 *              flushed <= sealed <= settled <= leased <= capacity
 *
 * While it is open, threads lease runs of slots and bytes from its free end and
 * fill them (lane.h). A recall takes all leases back and closes the gaps that
 * unfilled slots leave, keeping the order of the leases, and so that of each
 * thread's items. After a recall every slot below `settled` has an item and none
 * above is on lease. Sealing is a recall after which nothing is leased any more:
 * the batch is then slots [0, sealed), which only its handler walks.
 *
 * A segment is one of two kinds:
 *
 *      an array   item_len is a length, that of every item; slot i's item is at
 *                 i * item_len, and there is nothing more to be known of it
 *      indexed    item_len is LANE_MIXED; index[i] says where slot i's item is
 *
 * It begins as an array, if the one before might have been one. It is indexed,
 * once and for all its slots, when there is something that an array cannot
 * have: an item of another length, a slot that is reserved, or a gap that is to
 * be closed. The index has a run of memory of its own, which an array never
 * touches.
 *
 * Everything here happens under the lock of the segment's partition, but for
 * what lanes do inside their leases and a handler inside its batch.
 */
#ifndef DATABUFFER_CORE_SEGMENT_H
#define DATABUFFER_CORE_SEGMENT_H

#include "core/batch.h"
#include "core/lane.h"

struct store;

/* Between a flusher that is about to call the handler and a stop that gives the
 * batch up, whoever moves it on first has it: no handler begins after a stop. */
enum flight_phase {
	FLIGHT_TAKEN,
	FLIGHT_CALLED,
	FLIGHT_CANCELLED
};

struct segment {
	struct list link; /* in its partition: free, queue or flying */
	_Atomic uint64_t *index;
	unsigned char *arena;
	uint32_t slots;      /* entries that the index has room for */
	bool used;           /* since it was made, or gave its memory back */
	uint32_t populated;  /* bytes of the arena that have their pages, at least */
	uint32_t arena_size;
	uint32_t item_len;   /* of every item, or LANE_MIXED */

	/* Open. */
	uint32_t capacity;      /* the flush size of this batch */
	uint32_t byte_capacity; /* max_bytes */
	uint32_t limit;         /* at most capacity: what its partition has room for now */
	uint32_t byte_limit;
	uint64_t headroom;      /* bytes that a lease may promise beyond what was asked (pressure.h) */
	uint32_t leased;        /* slots that have ever been given out, less those taken back */
	uint32_t settled;       /* filled slots of leases that have ended */
	uint32_t vacant;        /* unfilled slots of leases that have ended: gaps; 0 in an array */
	uint32_t first_vacant;  /* at or below the first of them */
	uint32_t arena_leased;
	uint64_t bytes;         /* of the settled items */
	uint64_t promised;      /* bytes, plus what lanes on lease and held slots may still add */
	uint32_t held;          /* slots reserved and not resolved, SLOT_HELD; counted as filled */
	uint64_t held_bytes;
	struct list lanes;      /* with a lease, in the order of their first slots */
	uint32_t lane_count;
	bool fenced;            /* lanes fence; no membarrier is needed */
	bool array_first;       /* its first lease may make it an array */
	bool varied;            /* no array could have held what was asked for */
	uint32_t first_len;     /* of what was asked for first */
	uint32_t usual_len;     /* the mean of its last batch */

	/* Sealed: its partition's bookkeeping (partition.h). */
	bool sealed;
	bool flying;            /* with its handler, or on the way */
	bool in_worker;         /* in a process, that is killed at the deadline */
	bool late;              /* its handler is past the deadline */
	bool stuck;             /* late, and its partition goes on without it */
	bool abandoned;         /* late over a stop: its items are left over, its answer is ignored */
	bool draining;          /* done, and waiting for its pins */
	_Atomic int phase;      /* enum flight_phase */
	int64_t not_before_ns;  /* when it may be flushed: the end of its backoff */
	int64_t started_ns;     /* when its handler was called */
	uint64_t sequence;      /* one more for every segment that its partition opened */
	uint32_t pins;          /* readers and reservations that need the memory to stay */
	struct databuffer_batch batch;
};

/* What a caller is about to insert: n items from `items`, or, that being NULL,
 * n of item_size bytes. */
struct lease_request {
	const databuffer_item *items;
	uint32_t item_size;
	uint32_t n;
	uint64_t payload; /* bytes of all */
	bool hold;        /* the slot is for a reservation */
};

enum lease {
	LEASE_GRANTED,
	LEASE_NO_SLOTS, /* more than the batch can have */
	LEASE_NO_BYTES,
	LEASE_NO_ROOM   /* more than its partition may hold for now */
};

/* The bytes of store that a segment of so many slots and bytes takes. The arena
 * is half as large again as max_bytes, and 16 bytes a slot more, so that gaps
 * and padding hardly ever end a batch early. */
size_t segment_footprint(uint32_t slots, uint32_t max_bytes);

void segment_init(struct segment *segment, unsigned char *memory, uint32_t slots, uint32_t max_bytes, bool fenced);

/* Gives its memory back to the system, if it has been used since. */
void segment_give_back(struct segment *segment);

/* Makes it ready to be filled anew; `varied` is what the segment before it was. */
void segment_open(struct segment *segment, uint32_t capacity, uint32_t byte_capacity, uint64_t sequence, bool varied);

/* Where the item of a filled slot is: slot_entry of it. */
static inline uint64_t segment_entry(const struct segment *segment, uint32_t slot)
{
	if (segment->item_len != LANE_MIXED)
		return slot_entry(slot * segment->item_len, segment->item_len);
	return atomic_load_explicit(&segment->index[slot], memory_order_relaxed);
}

/* Makes a sealed segment, or one without leases, an indexed one. */
void segment_index(struct segment *segment);

/* How much the partition can take until more of it is flushed. */
void segment_set_limit(struct segment *segment, uint64_t items, uint64_t bytes);

/* Leases at least what is asked to `lane`, and more if the lane has been using
 * much and few share the segment. Called on the lane's own thread. Leases grow
 * with use, and shrink as the segment fills and as more threads share it, so
 * that idle threads do not eat a batch. */
enum lease segment_lease(struct segment *segment, struct lane *lane, const struct lease_request *request);

/* Ends one lane's lease, on the lane's own thread or after it has ended. */
void segment_return(struct segment *segment, struct lane *lane);

/* Books what the lane has filled, and gives the slots back that it has not: of a
 * lease that is over, or about to be replaced by its own thread. */
void segment_end_slots(struct segment *segment, struct lane *lane, uint32_t committed);

/* Ends all leases and closes the gaps. */
void segment_recall(struct segment *segment);

/* Recalls, leaves reserved slots out (each pins the memory), and readies the
 * batch. Returns how many items it has. */
uint32_t segment_seal(struct segment *segment, databuffer_trigger trigger);

/* Whether a recall could bring back slots or bytes. */
bool segment_has_more(const struct segment *segment);

/* Whether other lanes than this one have slots that they have not filled. */
bool segment_others_have_slots(const struct segment *segment, const struct lane *lane);

/* Items put in so far, not counting reserved slots, and their bytes. */
uint32_t segment_count(const struct segment *segment);
uint64_t segment_bytes(const struct segment *segment);

/* Whether the size that ends a batch is reached, with every slot's item in
 * place; *trigger says by what. */
bool segment_is_full(const struct segment *segment, databuffer_trigger *trigger);

/* Takes a slot of len bytes, which `lane` has just leased, for a reservation.
 * It is named by its number now (a recall may lower it) and its offset. */
void segment_hold(struct segment *segment, struct lane *lane, uint32_t len, uint32_t *slot, uint32_t *offset);

/* Ends a reservation of an open segment: with its item in place, or with none. */
void segment_resolve(struct segment *segment, uint32_t slot, uint32_t offset, uint32_t len, bool commit);

/* Whether the pictures and the order above hold, for each lane on lease too. */
bool segment_is_valid(const struct segment *segment);

#endif
