/* SPDX-License-Identifier: MIT */
/*
 * The hand-over of items from the threads that insert them to the handler that
 * flushes them, as src/core does it, for Spin to walk in every interleaving.
 *
 *      producer 0 ─ stores ─> store_buffer 0 ─┐             ┌─> sealer
 *         │                                   ├─> memory ───┤     │ recall, seal
 *      producer 1 ─ stores ─> store_buffer 1 ─┘   of lanes  │     v
 *         │                                   and segments  └── queue ─> flusher
 *         └────── lease, recall, seal under the partition's lock ─┘        │
 *                       ^                                                  │
 *                       └───────────── free segments <─────────────────────┘
 *
 * A producer inserts items with the plain stores of lane_put(), which wait in its
 * core's store buffer; a lender (sealer, or a producer that wants room) takes
 * the leases back as lane.h's head says, steps a to d against 1 to 5. Everything
 * that a lock-holder does to what only the lock guards is one step here, since
 * nobody can see it half done; what is read or written without the lock is a step
 * by itself.
 *
 * A comment that begins with @ says which lines of src/core the next step is: file,
 * function, and the code as it stands there. model/lines looks them up; it prints
 * them with their numbers, and fails where one is no longer so. A name with () is
 * a function of src/.
 *
 * The memory is that of x86: a core sees its own stores at once, others see them
 * later and in their order. With WEAK, claims, bytes, entries and commits pass
 * each other, but for a release store, which comes after all that stood before it.
 *
 * model/README.md says what is not modelled, and what each BREAK_ breaks.
 */

/* --- Sizes: how large a world is walked ------------------------------------------ */

#ifndef SLOTS
#define SLOTS 3      /* in a segment: the flush size */
#endif
#ifndef GAPS
#define GAPS 1       /* places that its arena has beyond these */
#endif
#ifndef SEGMENTS
#define SEGMENTS 2
#endif
#ifndef ITEMS
#define ITEMS 2      /* that producer 0 inserts */
#endif
#ifndef OTHERS
#define OTHERS ITEMS /* that producer 1 inserts */
#endif
#ifndef MOST
#define MOST 1       /* in one insert: above 1, insert_array and insert_batch */
#endif
#ifndef SEALS
#define SEALS 1      /* visits of the sealer */
#endif
#ifndef DELAYED
#define DELAYED (2 + 3 * MOST) /* stores that a store buffer holds: an insert's, all */
#endif

/* Variants of the code: FENCED, inserts fence and nobody calls membarrier(2).
 * Of the machine: WEAK, as above.
 * Of what is inserted: all items are of one length, and a segment is an array;
 * LENGTHS, the later ones of producer 1 are of another; INDEXED, the last batch
 * had such, and every segment is indexed from the start.
 * What else happens: DUMP, the sealer may look in instead of sealing, as
 * databuffer_dump() does; LEAVE, producers' threads end; PATIENT, an insert that
 * finds no room waits for as long as it takes; GENTLE, it does not take back what
 * others have on lease before it has looked elsewhere, where there is no room.
 * What is asked: ONLY=property, no other; LIVE, an end in every fair run. */

#define PLACES (SLOTS + GAPS)
#define NONE 255
#define VACANT 254   /* an index entry: SLOT_VACANT */
#define STALE 253    /* an index entry of an earlier use */
#define JUNK 0       /* an item's bytes of an earlier use */

#define item(p, number) ((p) * 16 + (number) + 1)
#define producer_of(value) (((value) - 1) / 16)
#define number_of(value) (((value) - 1) % 16)

/* Lengths: LANE_MIXED, and two that an item may have. */
#define MIXED 0
#ifdef LENGTHS
#define len_of(p, number) ((p) == 1 && (number) > 0 -> 2 : 1)
#else
#define len_of(p, number) 1
#endif

/* --- Properties -------------------------------------------------------------------- */

/* Each is asserted under its name, which Spin prints when it does not hold. A
 * name stands for false, or, if the property is left out, for true. */
bool none_lost, none_twice, none_half_written, in_order, together;
bool no_write_after_recall, no_reuse_while_read, lane_is_there;
bool batch_fits, books_balance, full_is_sealed, nobody_stuck;

inline leave_out()
{
#ifdef ONLY
	none_lost = true; none_twice = true; none_half_written = true; in_order = true; together = true;
	no_write_after_recall = true; no_reuse_while_read = true; lane_is_there = true;
	batch_fits = true; books_balance = true; full_is_sealed = true; nobody_stuck = true;
	ONLY = false
#else
	skip
#endif
}

#define HOLDS(name, condition) assert((condition) || name)

byte accepted[2];    /* items whose insert has answered that they are in */
byte seen[2];        /* numbers that were flushed, one bit each */
byte newest[2];      /* one more than the highest of them */
byte joined[2];      /* numbers that came by one insert with the one before */
byte reading[SEGMENTS]; /* handlers and dumps that read it now */
bool rested;
bool gone[2];        /* the producer's thread has ended, its lanes are freed */

/* --- Memory ------------------------------------------------------------------------ */

mtype:life = { FREE, OPEN, QUEUED, FLYING, DRAINING };

/* struct segment. The arena's places are one item each; the lane that has slot s
 * has place s + shift, since a recall closes gaps in the index and not there. In
 * an array slot s is at place s, and has no entry. */
typedef segment_t {
	mtype:life life = FREE;
	byte item_len;       /* of an array's items, or MIXED */
	byte leased, settled, vacant;
	byte shift;          /* arena_leased - leased */
	byte size;           /* of the sealed batch */
	byte pins;
	byte index[SLOTS];
	byte head[PLACES], tail[PLACES]; /* the two halves of an item's bytes */
#ifdef BREAK_SETTLE_RELAXED
	byte early_head[PLACES], early_tail[PLACES];
#endif
};

/* struct lane, of producer p in the one partition. */
typedef lane_t {
	byte claimed, committed, end; /* shared */
	byte segment = NONE;          /* the lender's, under the lock */
	byte first, lease_end;
	byte arena = NONE;            /* the owner's: where index and arena point */
	byte item_len;                /* what the segment was when it was leased */
	byte slot, byte_;             /* the owner's view of committed; its next place */
};

segment_t seg[SEGMENTS];
lane_t lane[2];

bool locked;             /* partition->lock */
byte open = NONE;        /* partition->open */
chan queue = [SEGMENTS] of { byte };
bool woken[2];           /* databuffer->room has moved: TODO_ROOM */
byte ended;              /* producers and sealers that are through */

/* Each core's store buffer: what is stored, where, which value. */
mtype:store = { CLAIM, HEAD, TAIL, ENTRY, COMMIT, UNCLAIM };
chan buffer[2] = [DELAYED] of { mtype:store, byte, byte };

#ifdef WEAK
#define RELAXED ??   /* the oldest such store, from anywhere in the buffer */
#else
#define RELAXED ?    /* the oldest store, if it is such */
#endif
#define RELEASE ?    /* when all before it are through */

#ifdef BREAK_COMMIT_RELAXED
#define COMMIT_ORDER RELAXED
#else
#define COMMIT_ORDER RELEASE
#endif

/* What a late store would spoil. */
inline writes(p)
{
	HOLDS(no_write_after_recall, lane[p].segment == lane[p].arena);
	HOLDS(no_reuse_while_read, seg[lane[p].arena].life == OPEN)
}

/* The stores of producer p reach memory, one by one. */
proctype store_buffer(byte p)
{
	byte at, value;
end:	do
	:: atomic { buffer[p] RELAXED CLAIM, at, value -> lane[p].claimed = value; at = 0; value = 0 }
	:: atomic { buffer[p] RELAXED HEAD, at, value -> writes(p); seg[lane[p].arena].head[at] = value; at = 0; value = 0 }
	:: atomic { buffer[p] RELAXED TAIL, at, value -> writes(p); seg[lane[p].arena].tail[at] = value; at = 0; value = 0 }
	:: atomic { buffer[p] RELAXED ENTRY, at, value -> writes(p); seg[lane[p].arena].index[at] = value; at = 0; value = 0 }
	:: atomic { buffer[p] COMMIT_ORDER COMMIT, at, value -> lane[p].committed = value; at = 0; value = 0 }
	:: atomic { buffer[p] RELEASE UNCLAIM, at, value -> lane[p].claimed = value; at = 0; value = 0 }
	od
}

#define drained(p) (len(buffer[p]) == 0)

/* pthread_mutex_lock. Taking it empties the taker's store buffer. (An acquire
 * need not, where memory is weak, but then the unlock does, and nobody else can
 * tell the difference: what it held back is read under the lock only.) */
inline lock(p)
{
	atomic { !locked && drained(p) -> locked = true }
}

/* By one that has stored nothing. */
inline lock_()
{
	atomic { !locked -> locked = true }
}

inline unlock()
{
	locked = false
}

/* --- The lender: recall and seal, under the lock ------------------------------------- */

/* Scratch of whoever holds the lock. */
bool idle;
byte claimed_, committed_[2];
byte j, k;

/* @ lane.c lane_filled: return atomic_load_explicit(&lane->committed, memory_order_acquire) - lane->first */
#define filled(p) (lane[p].segment == open -> lane[p].committed - lane[p].first : 0)
#define unfilled(p) (lane[p].segment == open && lane[p].committed != lane[p].lease_end)

/* has_unfilled(), segment_is_full(), segment_count(). Each reads `committed` of
 * several lanes; one step, since it only grows and the answers only turn once. */
#define has_unfilled (seg[open].vacant > 0 || unfilled(0) || unfilled(1))
/* @ segment.c segment_is_full: if (segment->leased == segment->capacity && !has_unfilled(segment)) return
 * true */
#define is_full (seg[open].leased == SLOTS && !has_unfilled)
#define count (seg[open].settled + filled(0) + filled(1))

/* Step a. */
inline withdraw(p)
{
	if
	/* @ lane.c lane_withdraw: atomic_store_explicit(&lane->end, 0, memory_order_seq_cst) */
	:: lane[p].segment == open -> atomic { HOLDS(lane_is_there, !gone[p]); lane[p].end = 0 }
	:: else
	fi
}

#define claim_seen(p) (lane[p].segment == open && lane[p].claimed != lane[p].committed)

#ifdef BREAK_BARRIER_IF_CLAIMED
#define nobody_to_stop (!claim_seen(0) && !claim_seen(1))
#else
#define nobody_to_stop (idle || (lane[0].segment != open && lane[1].segment != open))
#endif

/* Step b. When it returns, each core's store buffer has been empty at some moment
 * since it was called. */
inline barrier()
{
#if !defined(FENCED) && !defined(BREAK_NO_BARRIER)
	if
	/* @ segment.c stop_lanes: if (!idle && !segment->fenced && !list_is_empty(&segment->lanes))
	 * port_barrier(); */
	:: nobody_to_stop
	:: else -> drained(0); drained(1)
	fi
#else
	skip
#endif
}

#ifdef BREAK_SETTLE_RELAXED
/* Whose load of `committed` lets later ones pass may have read the bytes before it. */
inline read_early(s)
{
	d_step {
		k = 0;
		do
		:: k < PLACES -> seg[s].early_head[k] = seg[s].head[k]; seg[s].early_tail[k] = seg[s].tail[k]; k++
		:: else -> break
		od;
		k = 0
	}
}
#define head_read(s, at) seg[s].early_head[at]
#define tail_read(s, at) seg[s].early_tail[at]
#else
#define head_read(s, at) seg[s].head[at]
#define tail_read(s, at) seg[s].tail[at]
#endif

/* Step c. */
inline settle(p)
{
	if
#ifdef BREAK_NO_SETTLE
	:: lane[p].segment == open -> committed_[p] = lane[p].committed
#else
	:: lane[p].segment == open ->
		do
		/* @ lane.c lane_settle: uint32_t claimed = atomic_load_explicit(&lane->claimed,
		 * memory_order_seq_cst) */
		:: claimed_ = lane[p].claimed;
#ifdef BREAK_SETTLE_RELAXED
			read_early(open);
#endif
			if
			/* @ lane.c lane_settle: uint32_t committed = atomic_load_explicit(&lane->committed,
			 * memory_order_acquire) */
			/* @ lane.c lane_settle: if (claimed == committed) */
			:: atomic { claimed_ == lane[p].committed -> committed_[p] = claimed_; claimed_ = 0; break }
			:: atomic { claimed_ != lane[p].committed -> claimed_ = 0 }
			fi
		od
#endif
	:: else
	fi
}

inline add_vacant(s, from, to)
{
	k = from;
	do
	/* @ segment.c add_vacant: set_entry(segment, slot, slot_entry(0, SLOT_VACANT)) */
	:: k < to -> seg[s].index[k] = VACANT; seg[s].vacant++; k++
	:: else -> break
	od
}

/* end_lease(), segment_end_slots(): books what the lane has filled, gives back the rest. */
inline end_slots(p, s, filled_to)
{
	HOLDS(books_balance, lane[p].first <= filled_to && filled_to <= lane[p].lease_end);
	/* @ segment.c segment_end_slots: segment->settled += committed - lane->first */
	seg[s].settled = seg[s].settled + filled_to - lane[p].first;
	if
	/* @ segment.c segment_end_slots: if (lane->lease_end == segment->leased) segment->leased =
	 * committed */
	:: lane[p].lease_end == seg[s].leased -> seg[s].leased = filled_to
	/* @ segment.c segment_end_slots: else if (committed < lane->lease_end) add_vacant(segment, committed,
	 * lane->lease_end) */
	:: else -> add_vacant(s, filled_to, lane[p].lease_end)
	fi;
	/* @ segment.c segment_end_slots: lane->segment = NULL */
	lane[p].segment = NONE;
	lane[p].first = 0;
	lane[p].lease_end = 0
}

inline end_if_leased(p, s)
{
	if
	:: lane[p].segment == s -> end_slots(p, s, committed_[p])
	:: else
	fi
}

/* What an array has not, each slot gets: an entry that says where its item is. */
inline segment_index(s)
{
	k = 0;
	do
	/* @ segment.c segment_index: set_entry(segment, slot, segment_entry(segment, slot)) */
	:: k < seg[s].leased && seg[s].item_len != MIXED -> seg[s].index[k] = k; k++
	:: else -> break
	od;
	/* @ segment.c segment_index: segment->item_len = LANE_MIXED */
	seg[s].item_len = MIXED;
	k = 0
}

#define leaves_gap(p) (lane[p].segment == open && lane[p].lease_end != seg[open].leased && \
                       lane[p].committed != lane[p].lease_end)

/* The entries move down, the bytes stay. */
inline close_gaps(s)
{
#ifdef BREAK_GAPS_REORDER
	/* The last entry into the first gap. */
	j = 0; k = seg[s].leased;
	do
	:: j < k && seg[s].index[j] != VACANT -> j++
	:: j < k && seg[s].index[j] == VACANT -> k--; seg[s].index[j] = seg[s].index[k]; seg[s].index[k] = VACANT
	:: j == k -> break
	od;
#else
	j = 0; k = 0;
	do
	:: k < seg[s].leased ->
		if
		/* @ segment.c close_gaps: if (slot_len(e) != SLOT_VACANT) set_entry(segment, to++, e) */
		:: seg[s].index[k] != VACANT -> seg[s].index[j] = seg[s].index[k]; j++
		:: else
		fi;
		k++
	:: else -> break
	od;
#endif
	k = j;
	do
	:: k < seg[s].leased -> seg[s].index[k] = STALE; k++
	:: else -> break
	od;
#ifndef BREAK_GAPS_BYTES
	seg[s].shift = seg[s].shift + seg[s].leased - j;
#endif
	/* @ segment.c close_gaps: segment->leased = to */
	seg[s].leased = j;
	seg[s].vacant = 0
}

/* segment_recall(), stop_lanes() */
inline recall()
{
	/* @ segment.c stop_lanes: bool idle = !has_unfilled(segment) */
	idle = !has_unfilled;
#ifdef BREAK_WITHDRAW_LATE
	barrier();
	withdraw(0);
	withdraw(1);
	settle(0);
	settle(1);
#else
	withdraw(0);
	withdraw(1);
#ifdef BREAK_SETTLE_EARLY
	settle(0);
	settle(1);
	barrier();
#else
	barrier();
	settle(0);
	settle(1);
#endif
#endif
	skip;
	/* Step d, lane by lane in the order of their first slots. */
	d_step {
#ifndef BREAK_GAPS_UNINDEXED
		if
		/* @ segment.c segment_recall: if (segment->item_len != LANE_MIXED && will_have_gaps(segment))
		 * segment_index(segment) */
		:: seg[open].item_len != MIXED && (leaves_gap(0) || leaves_gap(1)) -> segment_index(open)
		:: else
		fi;
#endif
		/* @ segment.c segment_recall: end_lease(segment, lane, committed) */
		if
		:: lane[0].segment == open && lane[1].segment == open && lane[1].first < lane[0].first ->
			end_if_leased(1, open);
			end_if_leased(0, open)
		:: else ->
			end_if_leased(0, open);
			end_if_leased(1, open)
		fi;
#ifndef BREAK_GAPS_KEPT
		if
		/* @ segment.c segment_recall: if (segment->vacant > 0) close_gaps(segment) */
		:: seg[open].vacant > 0 -> close_gaps(open)
		:: else
		fi;
#endif
		HOLDS(books_balance, seg[open].leased == seg[open].settled);
		committed_[0] = 0; committed_[1] = 0;
		idle = false
	}
}

/* cut(), cut_even_empty() */
inline cut()
{
	HOLDS(batch_fits, open != NONE);
	/* @ segment.c segment_seal: segment_recall(segment) */
	recall();
	d_step {
		HOLDS(batch_fits, 0 < seg[open].settled && seg[open].settled <= SLOTS);
		/* @ segment.c segment_seal: batch_init(&segment->batch, segment, segment->settled,
		 * trigger) */
		seg[open].size = seg[open].settled;
		seg[open].life = QUEUED;
		/* @ cut.c cut_even_empty: list_push_back(&partition->queue, &segment->link) */
		queue ! open;
		/* @ cut.c cut_even_empty: partition->open = NULL */
		open = NONE
	}
}

inline cut_if_full()
{
	if
	/* @ cut.c partition_filled: if (!partition->open || !segment_is_full(partition->open, &trigger))
	 * return 0; cut( */
	:: open != NONE && is_full -> cut()
	:: else
	fi
}

/* --- The owner: insert --------------------------------------------------------------- */

mtype:put = { STORED, EXHAUSTED, REFUSED };

#ifdef BREAK_CLAIM_LATE
#define fits (lane[p].slot + n <= end_seen)
#define remember(p) skip
#else
#define fits (lane[p].slot + n <= lane[p].end)
#define remember(p) end_seen = lane[p].end
#endif

/* Producer 0 inserts by databuffer_insert(), whose shortest way looks at the end of
 * the lease once; 1 by others, which look again when they are done. */
#if defined(FENCED) || defined(KEYED)
#define is_quick(p) false
#else
#define is_quick(p) (p == 0 && n == 1 && lane[p].item_len != MIXED)
#endif

/* The owner's own view of committed is lane[p].slot. */
/* @ lane.h lane_slot: return atomic_load_explicit(&lane->committed, memory_order_relaxed) */
/* Reserved slots are not modelled, and assertions change nothing. */
/* @ not lane_hold, lane_is_valid */

/* The length of all that is inserted at once; MIXED if they differ. */
#define request_len (n == 1 || len_of(p, number) == len_of(p, number + 1) -> len_of(p, number) : MIXED)

/* An array takes items of its own length only. */
#ifdef BREAK_LENGTH_UNSEEN
#define suits_lane true
#else
#define suits_lane (lane[p].item_len == MIXED || lane[p].item_len == request_len)
#endif

/* lane_put_quick(), lane_put(), lane_put_array(), lane_put_items(): n items from
 * `number` on into the lease. */
inline lane_put(p)
{
	if
	/* @ lane.c put_even: if (item_size != lane->item_len || !lane_claim(lane, slot, n)) return
	 * LANE_REFUSED; */
	/* @ lane.c put_items_even: if (items[i].len != len) return LANE_REFUSED; */
	/* @ insert.c insert_one: if (__builtin_expect(lane->quick == len, 1)) */
	:: !suits_lane -> answer = REFUSED
	:: else ->
		/* Step 1. */
#ifdef BREAK_CLAIM_LATE
		end_seen = lane[p].end;
#endif
		/* @ lane.h lane_claim_unfenced: atomic_store_explicit(&lane->claimed, slot + n,
		 * memory_order_relaxed) */
		/* @ lane.h lane_claim: atomic_store_explicit(&lane->claimed, slot + n,
		 * memory_order_seq_cst) */
		buffer[p] ! CLAIM, 0, lane[p].slot + n;
		/* Step 2, barrier A: nothing, or what is sequentially consistent in lane_claim(). */
		/* @ lane.h lane_claim_unfenced: atomic_signal_fence(memory_order_seq_cst) */
#if defined(FENCED) && !defined(BREAK_CLAIM_RELAXED)
		drained(p);
#endif
		if
		/* Step 3. */
		/* @ lane.h lane_claim_unfenced: *end = atomic_load_explicit(&lane->end,
		 * memory_order_relaxed) */
		/* @ lane.h lane_claim: if (slot + n <= atomic_load_explicit(&lane->end,
		 * memory_order_seq_cst)) return true; */
		:: !fits ->
#ifndef BREAK_CLAIM_KEPT
			/* @ lane.h lane_claim_unfenced: atomic_store_explicit(&lane->claimed, slot,
			 * memory_order_release) */
			/* @ lane.h lane_claim: atomic_store_explicit(&lane->claimed, slot,
			 * memory_order_release) */
			buffer[p] ! UNCLAIM, 0, lane[p].slot;
#endif
			answer = REFUSED
		:: atomic { fits -> remember(p) };
#ifdef BREAK_COMMIT_EARLY
			buffer[p] ! COMMIT, 0, lane[p].slot + n;
#endif
			/* Step 4, and the entries of an indexed segment. */
			do
			:: i < n ->
				/* @ lane.h lane_put_quick: lane_copy_words(to, data, len) */
				/* @ lane.c put_even: lane_copy(lane->arena + lane->byte, base, n * item_size) */
				/* @ lane.c lane_put: lane_copy(lane->arena + at, data, len) */
				/* @ lane.c lane_put_array: memcpy(lane->arena + at, base, bytes) */
				/* @ lane.c put_items_even: lane_copy(to, items[i].data, len) */
				/* @ lane.c lane_put_items: lane_copy(lane->arena + at, items[i].data, len) */
				buffer[p] ! HEAD, lane[p].byte_ + i, item(p, number + i);
				buffer[p] ! TAIL, lane[p].byte_ + i, item(p, number + i);
				if
				/* @ lane.c lane_put: atomic_store_explicit(&lane->index[slot],
				 * slot_entry((uint32_t)at, (uint32_t)len), memory_order_relaxed) */
				/* @ lane.c lane_put_array: atomic_store_explicit(&lane->index[slot + i],
				 * slot_entry((uint32_t)at + i * item_size, item_size),
				 * memory_order_relaxed) */
				/* @ lane.c lane_put_items: atomic_store_explicit(&lane->index[slot + i],
				 * slot_entry((uint32_t)at, (uint32_t)len), memory_order_relaxed) */
				:: lane[p].item_len == MIXED -> buffer[p] ! ENTRY, lane[p].slot + i, lane[p].byte_ + i
				:: else
				fi;
				i++
			:: i == n -> break
			od;
			i = 0;
			/* Step 5. */
			atomic {
#ifndef BREAK_COMMIT_EARLY
				/* @ lane.h lane_commit: atomic_store_explicit(&lane->committed, slot,
				 * memory_order_release) */
				/* @ lane.h lane_put_quick: atomic_store_explicit(&lane->committed, slot + 1,
				 * memory_order_release) */
				buffer[p] ! COMMIT, 0, lane[p].slot + n;
#endif
				lane[p].slot = lane[p].slot + n;
				lane[p].byte_ = lane[p].byte_ + n;
				accepted[p] = number + n
			};
			/* Whether that was the lease's last slot. */
			if
			/* @ lane.h lane_put_quick: return slot + 1 == end ? LANE_EXHAUSTED : LANE_STORED */
			:: is_quick(p) -> answer = (lane[p].slot == end_seen -> EXHAUSTED : STORED)
			/* @ lane.h lane_commit: return slot == atomic_load_explicit(&lane->end,
			 * memory_order_relaxed) ? LANE_EXHAUSTED : LANE_STORED */
			:: !is_quick(p) && lane[p].slot == lane[p].end -> answer = EXHAUSTED
			:: !is_quick(p) && lane[p].slot != lane[p].end -> answer = STORED
			fi;
			end_seen = 0
		fi
	fi
}

/* The same under the lock, where nobody looks and no recall comes between. */
inline put_locked(p)
{
	HOLDS(none_lost, lane[p].slot + n <= lane[p].end);
	HOLDS(none_half_written, lane[p].item_len == MIXED || lane[p].item_len == request_len);
	i = 0;
	do
	:: i < n ->
		seg[open].head[lane[p].byte_] = item(p, number + i);
		seg[open].tail[lane[p].byte_] = item(p, number + i);
		if
		:: lane[p].item_len == MIXED -> seg[open].index[lane[p].slot] = lane[p].byte_
		:: else
		fi;
		lane[p].slot++;
		lane[p].byte_++;
		i++
	:: else -> break
	od;
	i = 0;
	lane[p].claimed = lane[p].slot;
	lane[p].committed = lane[p].slot;
	accepted[p] = number + n;
	answer = (lane[p].slot == lane[p].end -> EXHAUSTED : STORED)
}

/* open_segment(), segment_open(). Which of the free ones does not matter: they are
 * all alike. */
inline open_segment()
{
	d_step {
		j = 0;
		do
		:: seg[j].life != FREE -> j++
		:: else -> break
		od;
		open = j;
		HOLDS(no_reuse_while_read, reading[open] == 0);
		/* @ cut.c open_segment: partition->open = SEGMENT_OF(list_pop_front(&partition->free)) */
		seg[open].life = OPEN;
		/* @ segment.c segment_open: segment->item_len = LANE_MIXED */
		seg[open].item_len = MIXED;
		seg[open].leased = 0;
		seg[open].settled = 0;
		seg[open].shift = 0;
		seg[open].size = 0;
		k = 0;
		do
		:: k < PLACES -> seg[open].head[k] = JUNK; seg[open].tail[k] = JUNK; k++
		:: else -> break
		od;
		k = 0;
		do
		:: k < SLOTS -> seg[open].index[k] = STALE; k++
		:: else -> break
		od
	}
}

#define has_lease(p) (lane[p].segment == open)
#if SEGMENTS > 2
#define is_any(what) (seg[0].life == what || seg[1].life == what || seg[2].life == what)
#else
#define is_any(what) (seg[0].life == what || seg[1].life == what)
#endif
#define has_free is_any(FREE) /* supply_has_free() */

/* Sees to it that the segment is of a kind that can take the request. The first
 * lease decides, by what the batch before was; what it cannot hold later makes it
 * an indexed one for good. */
inline suit(p)
{
	atomic {
		if
		/* @ lease.c suit: segment->item_len = even && segment->array_first ? len : LANE_MIXED */
#ifndef INDEXED
		:: seg[open].leased == 0 -> seg[open].item_len = request_len
#endif
#if defined(INDEXED) || defined(LENGTHS)
		:: seg[open].leased == 0 -> seg[open].item_len = MIXED
#endif
		:: else
		fi;
		if
		:: seg[open].leased == 0 && seg[open].item_len != MIXED -> seg[open].shift = 0
		:: else
		fi;
		/* @ lease.c suit: bool gap = unfilled > 0 && unfilled < request->n && lane->lease_end !=
		 * segment->leased */
		gap = has_lease(p) && lane[p].slot < lane[p].lease_end && lane[p].lease_end - lane[p].slot < n &&
			lane[p].lease_end != seg[open].leased;
#ifdef BREAK_ARRAY_GAP
		gap = false;
#endif
		/* @ lease.c suit: if (!even || len != segment->first_len) segment->varied = true */
		/* @ lease.c suit: if (segment->item_len == LANE_MIXED) return */
		gap = seg[open].item_len != MIXED && (gap || request_len != seg[open].item_len)
	};
	if
	/* @ lease.c suit: if (segment->varied || gap) { segment_recall(segment); segment_index(segment); } */
	:: gap ->
#ifndef BREAK_INDEX_UNRECALLED
		recall();
#endif
		d_step { segment_index(open); gap = false }
	:: else
	fi
}

/* At least n slots, and as many more as it likes; the real one has a policy, which
 * is one of these choices. */
inline segment_lease(p)
{
	suit(p);
	atomic {
		granted = false;
		missing = n;
		if
		/* @ lease.c lease_even: if (unfilled >= n) return LEASE_GRANTED */
		/* @ lease.c lease_mixed: if (unfilled >= n && request_end(request, lane->byte) <=
		 * lane->byte_end) return LEASE_GRANTED */
		:: has_lease(p) && lane[p].lease_end - lane[p].slot >= n ->
			missing = 0;
			granted = true
		/* @ lease.c lease_even: uint32_t missing = unfilled > 0 ? n - unfilled : n */
		/* @ lease.c lease_mixed: uint32_t missing = unfilled >= n ? 0 : extends_slots ? n - unfilled
		 * : n */
		:: has_lease(p) && lane[p].lease_end - lane[p].slot < n && lane[p].lease_end == seg[open].leased ->
			missing = n - (lane[p].lease_end - lane[p].slot)
		:: else -> HOLDS(books_balance, has_lease(p) || lane[p].segment == NONE)
		fi;
		if
		/* @ lease.c lease_even: if (missing > segment->capacity - segment->leased) return
		 * LEASE_NO_SLOTS */
		/* @ lease.c lease_mixed: if (missing > segment->capacity - segment->leased) return
		 * LEASE_NO_SLOTS */
		:: granted || seg[open].leased + missing > SLOTS || seg[open].leased + seg[open].shift + missing > PLACES
		:: else ->
			granted = true;
			do
			:: seg[open].leased + missing < SLOTS && seg[open].leased + seg[open].shift + missing < PLACES -> missing++
			:: break
			od;
			skip;
			d_step {
				if
				/* @ lease.c lease_slots: if (has_lease && lane->lease_end == segment->leased)
				 * { lane->lease_end += missing */
				:: has_lease(p) && lane[p].lease_end == seg[open].leased
				:: else ->
					if
					/* @ lease.c lease_slots: if (has_lease) segment_end_slots(segment,
					 * lane, lane_slot(lane)) */
					:: has_lease(p) -> end_slots(p, open, lane[p].slot)
					:: else
					fi;
					/* @ lease.c begin_slots: lane->segment = segment */
					lane[p].segment = open;
					lane[p].arena = open;
					/* @ lease.c begin_slots: lane->item_len = segment->item_len */
					lane[p].item_len = seg[open].item_len;
					/* @ lease.c begin_slots: lane->first = segment->leased */
					lane[p].first = seg[open].leased;
					lane[p].lease_end = seg[open].leased;
					/* @ lease.c begin_slots: atomic_store_explicit(&lane->claimed,
					 * lane->first, memory_order_relaxed) */
					lane[p].claimed = lane[p].first;
					/* @ lease.c begin_slots: atomic_store_explicit(&lane->committed,
					 * lane->first, memory_order_relaxed) */
					lane[p].committed = lane[p].first;
					lane[p].slot = lane[p].first;
					lane[p].byte_ = lane[p].first + seg[open].shift
				fi;
				lane[p].lease_end = lane[p].lease_end + missing;
				/* @ lease.c lease_slots: segment->leased = lane->lease_end */
				seg[open].leased = lane[p].lease_end;
				/* @ lease.c grant: atomic_store_explicit(&lane->end, lane->lease_end,
				 * memory_order_release) */
				lane[p].end = lane[p].lease_end
			}
		fi;
		missing = 0
	}
}

#define others_have_slots(p) unfilled(1 - p)

inline partition_lease(p)
{
	do
	:: open == NONE && !has_free -> break
	:: open == NONE && has_free -> open_segment()
	:: open != NONE ->
		/* @ cut.c partition_lease: enum lease lease = segment_lease(open, lane, request) */
		segment_lease(p);
		if
#ifdef GENTLE
		/* @ cut.c partition_lease: if (lease != LEASE_GRANTED && !recall &&
		 * segment_others_have_slots(open, lane)) return ROOM_OTHERS */
		:: !granted && gentle && others_have_slots(p) -> break
		:: !granted && !(gentle && others_have_slots(p)) && has_unfilled ->
#else
		:: !granted && has_unfilled ->
#endif
			/* @ cut.c partition_lease: if (lease != LEASE_GRANTED && segment_has_more(open)) {
			 * segment_recall(open); lease = segment_lease(open, lane, request); } */
			recall();
			segment_lease(p)
		:: else
		fi;
		if
		/* @ cut.c partition_lease: if (lease == LEASE_GRANTED) return ROOM_LEASED */
		:: granted -> break
		/* @ cut.c partition_lease: if (lease == LEASE_NO_ROOM || !has_room_after_cut(partition,
		 * request)) { *todo |= partition_filled(partition, now_ns); return ROOM_NONE; } */
		:: !granted && !has_free ->
#ifndef BREAK_REFUSED_UNLOOKED
			cut_if_full();
#endif
			break
		/* @ cut.c partition_lease: *todo |= cut(partition, lease == LEASE_NO_SLOTS ? */
		:: !granted && has_free -> cut()
		fi
	od
}

/* Under the lock it leases and fills at once. */
inline put_into(p)
{
	/* @ room.c put_into: pthread_mutex_lock(&partition->lock) */
	lock(p);
	/* @ room.c put_into: enum partition_room room = partition_lease(partition, lane, request, recall,
	 * now, &todo) */
	partition_lease(p);
	if
	:: granted ->
		/* @ room.c put_into: put(lane, request, data) == LANE_EXHAUSTED) { todo |=
		 * partition_filled(partition, now); } */
		d_step { put_locked(p); granted = false };
		if
		:: answer == EXHAUSTED -> cut_if_full()
		:: else
		fi
	:: else -> answer = REFUSED
	fi;
	unlock()
}

/* insert_waiting(), put_anywhere() */
inline insert_waiting(p)
{
	do
	/* @ room.c insert_waiting: uint32_t room = atomic_load_explicit(&buf->room, memory_order_seq_cst) */
	:: woken[p] = false;
#ifdef GENTLE
		/* @ room.c put_anywhere: for (int recall = producer->lane_count == 1; recall <= 1;
		 * recall++) */
		gentle = true;
		put_into(p);
		gentle = false;
		if
#ifdef BREAK_GENTLE_ONLY
		:: answer == REFUSED
#else
		:: answer == REFUSED -> put_into(p)
#endif
		:: else
		fi;
#else
		put_into(p);
#endif
		if
		:: answer != REFUSED -> break
		:: else ->
#ifdef BREAK_WAKE_LOST
			woken[p] = false;
#endif
			if
			/* @ room.c insert_waiting: buffer_wait(&buf->room, &buf->room_waiters, room,
			 * deadline->ns) */
			:: woken[p]
#ifndef PATIENT
			/* @ room.c insert_waiting: return refuse(buf, DATABUFFER_ETIMEDOUT) */
			:: gave_up = true; break
#endif
			fi
		fi
	od
}

/* As p sees it: its own commit is in its store buffer, or in memory. */
#define looks_full (open != NONE && seg[open].leased == SLOTS && seg[open].vacant == 0 && \
                    (lane[p].segment != open || lane[p].slot == lane[p].lease_end) && !unfilled(1 - p))

/* lease_used_up() */
inline lease_used_up(p)
{
#ifdef BREAK_LOOK_EARLY
	/* Looks before it locks, and again when it has. */
	if
	:: looks_full -> lock(p); cut_if_full(); unlock()
	:: else
	fi
#else
#ifdef BREAK_LOOK_STALE
	/* Looks before it locks. */
	if
	:: looks_full -> lock(p); cut(); unlock()
	:: else
	fi
#else
	/* @ insert.c lease_used_up: pthread_mutex_lock(&partition->lock) */
	lock(p);
	HOLDS(lane_is_there, lane[p].segment == NONE || lane[p].segment == open);
	if
	/* @ cut.c partition_renew: return partition_lease_open(partition, lane, &more) */
	:: lane[p].segment != NONE && lane[p].item_len != MIXED -> segment_lease(p)
	:: true
	fi;
	if
	/* @ insert.c lease_used_up: if (partition_renew(partition, lane, n)) { */
	:: granted -> granted = false
	/* @ insert.c lease_used_up: buffer_unlock(partition, partition_filled(partition,
	 * buffer_now_ns(buf))) */
	:: else -> cut_if_full()
	fi;
	unlock()
#endif
#endif
}

/* end_thread(), return_leases(), segment_return(), forget() */
inline leave(p)
{
#ifdef LEAVE
	/* @ producer.c return_leases: pthread_mutex_lock(&partition->lock) */
	lock(p);
	HOLDS(lane_is_there, lane[p].segment == NONE || lane[p].segment == open);
	if
#ifndef BREAK_RETURN_GAP
	/* @ segment.c segment_return: if (segment->item_len != LANE_MIXED && leaves_gap(segment, lane)) {
	 * segment_recall(segment); return; } */
	:: lane[p].segment != NONE && seg[open].item_len != MIXED && leaves_gap(p) -> recall()
#endif
	:: else
	fi;
	d_step {
		if
		:: lane[p].segment != NONE ->
#ifndef BREAK_LEAVE_KEPT
			/* @ segment.c segment_return: lane_withdraw(lane) */
			lane[p].end = 0;
			/* @ segment.c segment_return: end_lease(segment, lane, lane_slot(lane)) */
			end_slots(p, open, lane[p].slot)
#endif
		:: else
		fi;
		gone[p] = true
	};
	/* @ producer.c return_leases: buffer_unlock(partition, partition_filled(partition,
	 * buffer_now_ns(partition->buffer))) */
	cut_if_full();
	unlock()
#else
	skip
#endif
}

#define of_mine (p == 0 -> ITEMS : OTHERS)

proctype producer(byte p)
{
	byte number, n, i, missing, end_seen;
	mtype:put answer;
	bool granted, gave_up, gap;
#ifdef GENTLE
	bool gentle;
#endif
	do
	:: number < of_mine && !gave_up ->
		if
		:: n = 1
#if MOST > 1
		:: number + 2 <= of_mine -> n = 2; joined[p] = joined[p] | (2 << number)
#endif
		fi;
		lane_put(p);
#ifdef BREAK_ARRAY_SPLIT
		if
		:: answer == REFUSED && n == 2 ->
			n = 1;
			insert_waiting(p);
			if
			:: !gave_up -> number++; answer = REFUSED
			:: else
			fi
		:: else
		fi;
#endif
		if
		:: gave_up
		/* @ insert.c insert_any: return insert_one_slow(buf, data, len, timeout_ms) */
		:: !gave_up && answer == REFUSED -> insert_waiting(p)
		:: !gave_up && answer == EXHAUSTED -> lease_used_up(p)
		:: !gave_up && answer == STORED
		fi;
		atomic { number = number + n; n = 0; answer = 0 }
	:: number == of_mine || gave_up -> break
	od;
	leave(p);
	ended++
}

/* --- The flusher ---------------------------------------------------------------------- */

/* With what TODO_ROOM asks for. */
inline supply_release(s)
{
	if
	/* @ supply.c supply_release: segment->draining = segment->pins > 0 */
	:: seg[s].pins > 0 -> seg[s].life = DRAINING
	/* @ supply.c supply_release: list_push_front(&partition->free, &segment->link) */
	/* @ databuffer.c wake: atomic_fetch_add_explicit(word, 1, memory_order_seq_cst) */
	:: else -> seg[s].life = FREE; woken[0] = true; woken[1] = true
	fi
}

/* Where slot i's item is. */
#define entry_of(s, i) (seg[s].item_len != MIXED -> i : seg[s].index[i])

/* What a handler and a dump check of the item at `at`. An array is said to have items of
 * one length; an entry was written with its item's. */
inline read_item(s, told)
{
	/* @ segment.h segment_entry: if (segment->item_len != LANE_MIXED) return slot_entry(slot *
	 * segment->item_len, segment->item_len) */
	/* @ segment.h segment_entry: return atomic_load_explicit(&segment->index[slot],
	 * memory_order_relaxed) */
	HOLDS(none_half_written, at < PLACES);
	if
	:: at < PLACES ->
		value = head_read(s, at);
		atomic {
			HOLDS(none_half_written, value != JUNK && value == tail_read(s, at));
			HOLDS(none_half_written, told == MIXED || value == JUNK ||
				told == len_of(producer_of(value), number_of(value)))
		}
	:: else
	fi;
	at = 0
}

/* flusher_serve(): partition_take(), the handler, partition_land(). */
proctype flusher()
{
	byte s, i, at, value, before;
end:	do
	/* @ flight.c partition_take: struct segment *segment =
	 * SEGMENT_OF(list_pop_front(&partition->queue)) */
	:: atomic { !locked && len(queue) > 0 -> queue ? s; seg[s].life = FLYING; reading[s]++ };
#ifdef BREAK_RELEASE_EARLY
		atomic { !locked -> supply_release(s) };
#endif
		do
		/* @ flusher.c flush_segment: run_handler(buf, worker, segment, &outcome) */
		:: i < seg[s].size ->
			at = entry_of(s, i);
			read_item(s, seg[s].item_len);
			d_step {
				if
				:: value != JUNK ->
					HOLDS(none_twice, !(seen[producer_of(value)] & (1 << number_of(value))));
					HOLDS(in_order, number_of(value) >= newest[producer_of(value)]);
					HOLDS(together, !(joined[producer_of(value)] & (1 << number_of(value))) || before == value - 1);
					seen[producer_of(value)] = seen[producer_of(value)] | (1 << number_of(value));
					newest[producer_of(value)] = number_of(value) + 1
				:: else
				fi;
				before = value;
				value = 0;
				i++
			}
		:: else -> break
		od;
#ifdef BREAK_RELEASE_EARLY
		atomic { reading[s]--; s = 0; i = 0; before = 0 }
#else
		/* @ flight.c partition_land: todo |= supply_release(partition, segment) | TODO_SETTLED */
		atomic { !locked -> reading[s]--; supply_release(s); s = 0; i = 0; before = 0 }
#endif
	od
}

/* --- The sealer ------------------------------------------------------------------------ */

/* partition_flush(), partition_tick(): any time is a time to cut what is held. */
inline flush()
{
#ifndef BREAK_SEALER_UNLOCKED
	/* @ sync.c databuffer_flush: pthread_mutex_lock(&partition->lock) */
	lock_();
#endif
	if
	/* @ cut.c partition_flush: } else if (cut_open_has_items(partition) && supply_has_free(partition)) {
	 * todo = cut(partition, trigger, now_ns) */
	/* @ cut.c cut_if_due: if (cut_open_has_items(partition)) return cut(partition, trigger, now_ns) */
	:: open != NONE && count > 0 -> cut()
	:: else
	fi;
#ifndef BREAK_SEALER_UNLOCKED
	unlock()
#endif
}

#ifdef DUMP
#define may_view(n) (seg[n].life == OPEN || seg[n].life == QUEUED || seg[n].life == FLYING)

/* Pins it. What was settled then can be read as long as it is. Its entries are
 * copied, since they may move (when a reserved slot is aborted), or be made. */
inline view_segment(n)
{
	s = n;
	size = (s == open -> seg[s].settled : seg[s].size);
	i = 0;
	do
	/* @ look.c view_segment: uint64_t entry = segment_entry(segment, slot) */
	/* @ look.c view_segment: view->entries[view->count++] = entry */
	:: i < size -> entries[i] = entry_of(s, i); i++
	:: else -> break
	od;
	i = 0;
	was_len = seg[s].item_len;
	reading[s]++;
#ifndef BREAK_DUMP_UNPINNED
	/* @ look.c view_segment: segment->pins++ */
	seg[s].pins++
#endif
}

/* partition_unpin() */
inline unpin()
{
	reading[s]--;
#ifndef BREAK_DUMP_UNPINNED
	/* @ supply.c partition_unpin: if (--segment->pins > 0 || !segment->draining) return 0 */
	seg[s].pins--;
	if
	:: seg[s].life == DRAINING && seg[s].pins == 0 -> supply_release(s)
	:: else
	fi
#endif
}

/* dump_partition(), view_partition(), show(). Of the segments it views all; here
 * one, and any, since they do not know of each other. */
inline dump()
{
	/* @ look.c dump_partition: pthread_mutex_lock(&partition->lock); int answer =
	 * view_partition(partition, &views, &count) */
	lock_();
	if
	/* @ look.c view_partition: if (partition->open) { segment_recall(partition->open) */
	:: open != NONE -> recall()
	:: else
	fi;
	if
	:: d_step { may_view(0) -> view_segment(0) }
	:: d_step { may_view(1) -> view_segment(1) }
	:: else
	fi;
#ifndef BREAK_DUMP_UNLOOKED
	/* @ look.c dump_partition: buffer_unlock(partition, partition_filled(partition,
	 * buffer_now_ns(partition->buffer))) */
	cut_if_full();
#endif
	unlock();
	do
	:: i < size ->
		at = entries[i];
		read_item(s, was_len);
		d_step {
			entries[i] = 0;
			if
			:: value != JUNK ->
				HOLDS(none_twice, !(shown[producer_of(value)] & (1 << number_of(value))));
				shown[producer_of(value)] = shown[producer_of(value)] | (1 << number_of(value))
			:: else
			fi;
			value = 0;
			i++
		}
	:: else -> break
	od;
	if
	:: s != NONE -> lock_(); d_step { unpin(); s = NONE; i = 0; size = 0; was_len = 0; shown[0] = 0; shown[1] = 0 }; unlock()
	:: else
	fi
}
#endif

proctype sealer()
{
	byte visits;
#ifdef DUMP
	byte s = NONE, i, at, value, size, was_len, shown[2], entries[SLOTS];
#endif
	do
	:: visits < SEALS -> flush(); visits++
#ifdef DUMP
	:: visits < SEALS -> dump(); visits++
#endif
	:: break
	od;
	visits = 0;
	ended++
}

/* --- The end ---------------------------------------------------------------------------- */

#define settled_down (len(queue) == 0 && !is_any(FLYING))

/* When all have ended, nothing that is full may stay; then databuffer_stop(). */
proctype stop()
{
	ended == 3 && drained(0) && drained(1) && settled_down && !locked;
	HOLDS(full_is_sealed, open == NONE || !is_full);
	/* @ cut.c close_open: segment_recall(partition->open); if (partition->open->settled > 0) {
	 * cut(partition, DATABUFFER_TRIGGER_STOP, now_ns) */
	lock_();
	if
	:: open != NONE && count > 0 -> cut()
	:: else
	fi;
	unlock();
	settled_down;
	HOLDS(none_lost, seen[0] == (1 << accepted[0]) - 1 && seen[1] == (1 << accepted[1]) - 1);
	rested = true
}

/* When nobody can take a step, all must be done. */
proctype watch()
{
	timeout;
	HOLDS(nobody_stuck, rested)
}

init {
	atomic {
		leave_out();
		run store_buffer(0); run store_buffer(1);
		run producer(0); run producer(1);
		run flusher(); run sealer(); run stop(); run watch()
	}
}

#ifdef LIVE
ltl every_sealer_ends { <> rested }
#endif
