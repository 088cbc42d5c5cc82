/* SPDX-License-Identifier: MIT */
/*
 * A lane: the run of slots that one thread has on lease in one partition's open
 * segment, and the insert that fills it. This is all that an insert touches.
 *
 *      index    first      committed  claimed     end
 *                 │            │         │         │
 *      ───────────┼────────────┼─────────┼─────────┼──────────
 *       others'   │  readable  │ copying │  free   │  others'
 *
 *                 first <= committed <= claimed <= end
 *
 * The owner, the one thread whose lane it is, fills slots with plain stores.
 * The lender, whoever holds the partition's lock, takes the lease back by
 * withdrawing `end`. The two agree without a lock:
 *
 *      owner                               lender
 *      1  claimed = slot + 1               a  end = 0
 *      2  (barrier A)                      b  (barrier B)
 *      3  if (slot >= end) give up         c  wait until claimed == committed
 *      4  copy into the slot               d  the slots below committed are
 *      5  committed = slot + 1 (release)      readable (acquire), the rest free
 *
 * Barriers A and B stand between a store and a load on either side, so at least
 * one side sees the other's store: either the owner sees the withdrawn end at 3
 * and copies nothing, or the lender sees the claim at c and waits for 5. B is
 * membarrier(2), which makes every running thread pass a full barrier, and so
 * lets A be no instruction at all, only a promise of the compiler's. Where the
 * system has no such barrier, A and B are the sequential consistency of the
 * accesses themselves (`fenced`).
 *
 * After c the owner writes nothing into the segment: a claim made later finds
 * end == 0. It takes its claim back by storing what claimed was.
 *
 * An owner that fills the last slot of its lease sees so by `end`, and looks
 * whether the batch is full. One whose `end` was withdrawn between 3 and then
 * does not see it: so whoever recalls has to look, too.
 */
#ifndef DATABUFFER_CORE_LANE_H
#define DATABUFFER_CORE_LANE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <databuffer.h>

#include "base/list.h"
#include "port/port.h"

struct segment;
struct partition;

struct lane {
	/* The first cache line: what an insert reads and writes. */
	_Alignas(PORT_CACHE_LINE) _Atomic uint32_t claimed;
	_Atomic uint32_t committed;
	_Atomic uint32_t end; /* written by the lender, 0 when there is no lease */
	uint32_t byte;        /* where in the arena the next item may start */
	uint32_t byte_end;    /* where this lease's bytes end */
	_Atomic uint32_t payload; /* bytes of the items from first to committed */
	_Atomic uint64_t *index;
	unsigned char *arena;
	struct lane *next;    /* the same thread's lane for the insert after this one, a ring */
	bool fenced;

	/* The second: the lender's, under the partition's lock. */
	_Alignas(PORT_CACHE_LINE) struct segment *segment; /* NULL when there is no lease */
	struct partition *partition;
	uint32_t first;
	uint32_t lease_end;   /* what `end` was before it was withdrawn */
	uint32_t want;        /* how many slots to lease next time */
	struct list link;     /* in segment->lanes, in the order of first */
	bool skipped;         /* the owner's: the ring leaves it out (producer.h) */
};

/* --- A slot's entry in the index: where its item stands --------------------- */

#define SLOT_VACANT UINT32_MAX       /* nobody filled it, or it was taken back */
#define SLOT_HELD   (UINT32_MAX - 1) /* reserved, neither committed nor aborted */

static inline uint64_t slot_entry(uint32_t offset, uint32_t len)
{
	return (uint64_t)len << 32 | offset;
}

static inline uint32_t slot_offset(uint64_t entry)
{
	return (uint32_t)entry;
}

static inline uint32_t slot_len(uint64_t entry)
{
	return (uint32_t)(entry >> 32);
}

/* The alignment that suits any type of this size: sizeof is a multiple of the
 * alignment, so the size's lowest bit will do, and 16 is malloc's word. Items
 * of equal length therefore stand side by side without padding. */
static inline uint32_t slot_alignment(size_t len)
{
	uint32_t low = (uint32_t)len & -(uint32_t)len;
	return low == 0 || low > 16 ? 16 : low;
}

static inline uint64_t align_up(uint64_t at, uint32_t alignment)
{
	return (at + alignment - 1) & ~(uint64_t)(alignment - 1);
}

/* --- The owner's side --------------------------------------------------------- */

enum lane_put {
	LANE_STORED,    /* done */
	LANE_EXHAUSTED, /* done, and the lease is used up: the segment may be full */
	LANE_REFUSED    /* nothing done: the lease is too small or withdrawn */
};

/* Steps 1 to 3: room for slots [slot, slot + n). False: the claim is taken back. */
static inline bool lane_claim(struct lane *lane, uint32_t slot, uint32_t n)
{
	uint32_t end;
	if (__builtin_expect(lane->fenced, 0)) {
		atomic_store_explicit(&lane->claimed, slot + n, memory_order_seq_cst);
		end = atomic_load_explicit(&lane->end, memory_order_seq_cst);
	} else {
		atomic_store_explicit(&lane->claimed, slot + n, memory_order_relaxed);
		atomic_signal_fence(memory_order_seq_cst);
		end = atomic_load_explicit(&lane->end, memory_order_relaxed);
	}
	if (__builtin_expect(slot + n > end, 0)) {
		atomic_store_explicit(&lane->claimed, slot, memory_order_release);
		return false;
	}
	return true;
}

/* Step 5, and whether the lease is used up. */
static inline enum lane_put lane_commit(struct lane *lane, uint32_t slot, uint32_t byte, uint32_t payload)
{
	lane->byte = byte;
	atomic_store_explicit(&lane->payload,
	                      atomic_load_explicit(&lane->payload, memory_order_relaxed) + payload,
	                      memory_order_relaxed);
	atomic_store_explicit(&lane->committed, slot, memory_order_release);
	if (slot == atomic_load_explicit(&lane->end, memory_order_relaxed) || byte == lane->byte_end)
		return LANE_EXHAUSTED;
	return LANE_STORED;
}

/* Where the owner's next item goes. */
static inline uint32_t lane_slot(const struct lane *lane)
{
	return atomic_load_explicit(&lane->committed, memory_order_relaxed);
}

/* Eight bytes by way of a general register, which keeps the compiler from
 * making one wide move of several of them. */
static inline void lane_copy_word(unsigned char *to, const unsigned char *from)
{
	uint64_t word;
	memcpy(&word, from, sizeof(word));
	__asm__("" : "+r"(word));
	memcpy(to, &word, sizeof(word));
}

/* Copies an item. Small ones go word by word: most have been written a moment
 * ago, field by field, and a wide load of bytes whose narrow stores are still on
 * their way to the cache waits for these (some 4 ns; measured, 64 bytes). The
 * last word may overlap the one before. */
static inline void lane_copy(unsigned char *to, const unsigned char *from, size_t len)
{
	if (len < 8 || len > 128) {
		memcpy(to, from, len);
		return;
	}
	const unsigned char *last = from + len - 8;
	unsigned char *to_last = to + len - 8;
	for (; from + 24 <= last; from += 32, to += 32) {
		lane_copy_word(to, from);
		lane_copy_word(to + 8, from + 8);
		lane_copy_word(to + 16, from + 16);
		lane_copy_word(to + 24, from + 24);
	}
	for (; from < last; from += 8, to += 8)
		lane_copy_word(to, from);
	lane_copy_word(to_last, last);
}

/* Inserts one item into the lease. */
__attribute__((always_inline)) static inline enum lane_put lane_put(struct lane *lane, const void *data, size_t len)
{
	uint32_t slot = lane_slot(lane);
	uint64_t at = align_up(lane->byte, slot_alignment(len));
	/* The first test keeps the sum of the second from wrapping. */
	if (len > lane->byte_end || at + len > lane->byte_end || !lane_claim(lane, slot, 1))
		return LANE_REFUSED;
	lane_copy(lane->arena + at, data, len);
	atomic_store_explicit(&lane->index[slot], slot_entry((uint32_t)at, (uint32_t)len), memory_order_relaxed);
	return lane_commit(lane, slot + 1, (uint32_t)(at + len), (uint32_t)len);
}

/* Inserts all n items, or none. */
enum lane_put lane_put_items(struct lane *lane, const databuffer_item *items, uint32_t n);
enum lane_put lane_put_array(struct lane *lane, const void *base, uint32_t n, uint32_t item_size);

/* Takes one slot of len bytes without an item, marked SLOT_HELD. The caller
 * holds the partition's lock and has just leased it, so nothing can refuse.
 * Returns the slot's number. */
uint32_t lane_hold(struct lane *lane, uint32_t len, uint32_t *offset);

/* Where n items end when they are placed one after the other from `at`. Each is
 * at most max_bytes long, so the sum cannot wrap. */
uint64_t items_end(uint64_t at, const databuffer_item *items, uint32_t n);

/* --- The lender's side, under the partition's lock ------------------------------ */

void lane_init(struct lane *lane, struct partition *partition, struct lane *next, bool fenced);

/* Step a. */
void lane_withdraw(struct lane *lane);

/* Step c: waits out a copy that has begun; returns committed. */
uint32_t lane_settle(struct lane *lane);

/* How many of the leased slots are filled, without taking any back. */
uint32_t lane_filled(const struct lane *lane);

#endif
