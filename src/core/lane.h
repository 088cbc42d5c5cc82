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
#include "core/debug.h"
#include "port/port.h"

struct segment;
struct partition;

#define LANE_MIXED UINT32_MAX

struct lane {
	/* The first cache line: what an insert reads and writes. */
	_Alignas(PORT_CACHE_LINE) _Atomic uint32_t claimed;
	_Atomic uint32_t committed;
	_Atomic uint32_t end; /* written by the lender, 0 when there is no lease */
	uint32_t item_len;    /* of every item: slot i is at i * item_len, and has no entry; or LANE_MIXED */
	uint64_t quick;       /* item_len, if lane_put_quick may take it; else no length at all */
	unsigned char *arena;
	struct lane *next;    /* the same thread's lane for the insert after this one, a ring */
	_Atomic uint64_t *index;
	uint32_t byte;        /* where in the arena the next item may start */
	uint32_t byte_end;    /* where this lease's bytes end */
	_Atomic uint32_t payload; /* mixed: bytes of the items from first to committed */
	bool fenced;

	/* The second: the lender's, under the partition's lock. */
	_Alignas(PORT_CACHE_LINE) struct segment *segment; /* NULL when there is no lease */
	struct partition *partition;
	uint32_t first;
	uint32_t lease_end;   /* what `end` was before it was withdrawn */
	uint32_t want;        /* how many slots to lease next time, if nothing better is known */
	uint64_t sequence;    /* of the segment leased from last, */
	uint32_t used;        /* how much of it was filled in leases that have ended, */
	uint32_t used_before; /* and how much of the one before */
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

/* Whether the picture above holds; the owner may ask at any time, and others under
 * the partition's lock. Between a claim and its end `claimed` may be anywhere above
 * committed, since the owner looks at the end of its lease only afterwards. */
bool lane_is_valid(const struct lane *lane);

/* --- The owner's side --------------------------------------------------------- */

enum lane_put {
	LANE_STORED,    /* done */
	LANE_EXHAUSTED, /* done, and the lease is used up: the segment may be full */
	LANE_REFUSED    /* nothing done: the lease is too small or withdrawn */
};

/* Steps 1 to 3, where A is the compiler's promise alone: room for slots
 * [slot, slot + n). False: the claim is taken back. *end is what was seen. */
__attribute__((always_inline)) static inline bool lane_claim_unfenced(struct lane *lane, uint32_t slot, uint32_t n,
                                                                     uint32_t *end)
{
	atomic_store_explicit(&lane->claimed, slot + n, memory_order_relaxed);
	STEP("lane: claimed");
	atomic_signal_fence(memory_order_seq_cst);
	*end = atomic_load_explicit(&lane->end, memory_order_relaxed);
	if (__builtin_expect(slot + n > *end, 0)) {
		STEP("lane: refused");
		atomic_store_explicit(&lane->claimed, slot, memory_order_release);
		return false;
	}
	return true;
}

static inline bool lane_claim(struct lane *lane, uint32_t slot, uint32_t n)
{
	uint32_t end;
	if (!lane->fenced)
		return lane_claim_unfenced(lane, slot, n, &end);
	atomic_store_explicit(&lane->claimed, slot + n, memory_order_seq_cst);
	STEP("lane: claimed, fenced");
	if (slot + n <= atomic_load_explicit(&lane->end, memory_order_seq_cst))
		return true;
	STEP("lane: refused, fenced");
	atomic_store_explicit(&lane->claimed, slot, memory_order_release);
	return false;
}

/* Step 5, and whether the lease is used up. */
static inline enum lane_put lane_commit(struct lane *lane, uint32_t slot)
{
	STEP("lane: copied");
	atomic_store_explicit(&lane->committed, slot, memory_order_release);
	ASSERT(lane_is_valid(lane));
	STEP("lane: committed");
	return slot == atomic_load_explicit(&lane->end, memory_order_relaxed) ? LANE_EXHAUSTED : LANE_STORED;
}

/* The same where lengths are mixed, and bytes may be used up first. */
static inline enum lane_put lane_commit_mixed(struct lane *lane, uint32_t slot, uint32_t byte, uint32_t payload)
{
	lane->byte = byte;
	atomic_store_explicit(&lane->payload,
	                      atomic_load_explicit(&lane->payload, memory_order_relaxed) + payload,
	                      memory_order_relaxed);
	enum lane_put put = lane_commit(lane, slot);
	return byte == lane->byte_end ? LANE_EXHAUSTED : put;
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
#define LANE_WORDS_MIN 8
#define LANE_WORDS_MAX 128

static inline void lane_copy_words(unsigned char *to, const unsigned char *from, size_t len)
{
#define WORD(i)                                               \
	case i:                                               \
		lane_copy_word(to + 8 * (i - 1), from + 8 * (i - 1)); \
		__attribute__((fallthrough));
	switch ((len - 1) / 8) {
	WORD(15) WORD(14) WORD(13) WORD(12) WORD(11) WORD(10) WORD(9)
	WORD(8) WORD(7) WORD(6) WORD(5) WORD(4) WORD(3) WORD(2) WORD(1)
	case 0:
		lane_copy_word(to + len - 8, from + len - 8);
		return;
	default:
		__builtin_unreachable(); /* LANE_WORDS_MIN <= len <= LANE_WORDS_MAX */
	}
#undef WORD
}

static inline void lane_copy(unsigned char *to, const unsigned char *from, size_t len)
{
	if (len < LANE_WORDS_MIN || len > LANE_WORDS_MAX)
		memcpy(to, from, len);
	else
		lane_copy_words(to, from, len);
}

/* Where items are of one length, a few items ahead: the line is most likely in
 * the cache of the core that flushed it last, and fetched by the time its item
 * comes. */
#define LANE_AHEAD 256

/* Inserts one item of length lane->quick. The shortest way there is. */
__attribute__((always_inline)) static inline enum lane_put lane_put_quick(struct lane *lane, const void *data,
                                                                         size_t len)
{
	uint32_t slot = lane_slot(lane), end;
	ASSERT(lane_is_valid(lane) && lane->item_len == len);
	if (!lane_claim_unfenced(lane, slot, 1, &end))
		return LANE_REFUSED;
	STEP("lane: quick, has room");
	unsigned char *to = lane->arena + lane->byte;
	lane->byte += (uint32_t)len;
	port_prefetch_to_write(to + LANE_AHEAD);
	lane_copy_words(to, data, len);
	STEP("lane: quick, copied");
	atomic_store_explicit(&lane->committed, slot + 1, memory_order_release);
	ASSERT(lane_is_valid(lane));
	return slot + 1 == end ? LANE_EXHAUSTED : LANE_STORED;
}

/* Inserts one item into the lease. */
enum lane_put lane_put(struct lane *lane, const void *data, size_t len);

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

/* How many of the leased slots are filled, without taking any back, and the
 * bytes of their items. */
uint32_t lane_filled(const struct lane *lane);
uint64_t lane_payload(const struct lane *lane);

#endif
