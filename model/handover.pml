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
 * the leases back as lane.h's head says, steps a to d against 1 to 5. Each step
 * names the function that it is: a name with () is one of src/. Everything that
 * a lock-holder does to what only the lock guards is one step here, since nobody
 * can see it half done; what is read or written without the lock is a step by
 * itself.
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
 * What else happens: DUMP, the sealer may look in instead of sealing, as
 * databuffer_dump() does; LEAVE, producers' threads end; PATIENT, an insert that
 * finds no room waits for as long as it takes.
 * What is asked: ONLY=property, no other; LIVE, an end in every fair run. */

#define PLACES (SLOTS + GAPS)
#define NONE 255
#define VACANT 254   /* an index entry: SLOT_VACANT */
#define STALE 253    /* an index entry of an earlier use */
#define JUNK 0       /* an item's bytes of an earlier use */

#define item(p, number) ((p) * 16 + (number) + 1)
#define producer_of(value) (((value) - 1) / 16)
#define number_of(value) (((value) - 1) % 16)

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
 * has place s + shift, since a recall closes gaps in the index and not there. */
typedef segment_t {
	mtype:life life = FREE;
	byte leased, settled, vacant;
	byte shift;          /* arena_leased - leased */
	byte size;           /* of the sealed batch */
	byte pins;
	byte index[SLOTS];
	byte head[PLACES], tail[PLACES]; /* the two halves of an item's bytes */
};

/* struct lane, of producer p in the one partition. */
typedef lane_t {
	byte claimed, committed, end; /* shared */
	byte segment = NONE;          /* the lender's, under the lock */
	byte first, lease_end;
	byte arena = NONE;            /* the owner's: where index and arena point */
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

#define filled(p) (lane[p].segment == open -> lane[p].committed - lane[p].first : 0)
#define unfilled(p) (lane[p].segment == open && lane[p].committed != lane[p].lease_end)

/* has_unfilled(), segment_is_full(), segment_count(). Each reads `committed` of
 * several lanes; one step, since it only grows and the answers only turn once. */
#define has_unfilled (seg[open].vacant > 0 || unfilled(0) || unfilled(1))
#define is_full (seg[open].leased == SLOTS && !has_unfilled)
#define count (seg[open].settled + filled(0) + filled(1))

/* Step a: lane_withdraw() */
inline withdraw(p)
{
	if
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

/* Step b: port_barrier(). When it returns, each core's store buffer has been empty
 * at some moment since it was called. */
inline barrier()
{
#if !defined(FENCED) && !defined(BREAK_NO_BARRIER)
	if
	:: nobody_to_stop
	:: else -> drained(0); drained(1)
	fi
#else
	skip
#endif
}

/* Step c: lane_settle() */
inline settle(p)
{
	if
#ifdef BREAK_NO_SETTLE
	:: lane[p].segment == open -> committed_[p] = lane[p].committed
#else
	:: lane[p].segment == open ->
		do
		:: claimed_ = lane[p].claimed;
			if
			:: atomic { claimed_ == lane[p].committed -> committed_[p] = claimed_; claimed_ = 0; break }
			:: atomic { claimed_ != lane[p].committed -> claimed_ = 0 }
			fi
		od
#endif
	:: else
	fi
}

/* add_vacant() */
inline add_vacant(s, from, to)
{
	k = from;
	do
	:: k < to -> seg[s].index[k] = VACANT; seg[s].vacant++; k++
	:: else -> break
	od
}

/* end_lease(), end_slots(): books what the lane has filled, gives back the rest. */
inline end_slots(p, s, filled_to)
{
	HOLDS(books_balance, lane[p].first <= filled_to && filled_to <= lane[p].lease_end);
	seg[s].settled = seg[s].settled + filled_to - lane[p].first;
	if
	:: lane[p].lease_end == seg[s].leased -> seg[s].leased = filled_to
	:: else -> add_vacant(s, filled_to, lane[p].lease_end)
	fi;
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

/* close_gaps(): the entries move down, the bytes stay. */
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
	seg[s].leased = j;
	seg[s].vacant = 0
}

/* segment_recall() */
inline recall()
{
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
		:: seg[open].vacant > 0 -> close_gaps(open)
		:: else
		fi;
#endif
		HOLDS(books_balance, seg[open].leased == seg[open].settled);
		committed_[0] = 0; committed_[1] = 0;
		idle = false
	}
}

/* cut(), segment_seal() */
inline cut()
{
	HOLDS(batch_fits, open != NONE);
	recall();
	d_step {
		HOLDS(batch_fits, 0 < seg[open].settled && seg[open].settled <= SLOTS);
		seg[open].size = seg[open].settled;
		seg[open].life = QUEUED;
		queue ! open;
		open = NONE
	}
}

/* partition_filled() */
inline cut_if_full()
{
	if
	:: open != NONE && is_full -> cut()
	:: else
	fi
}

/* --- The owner: insert --------------------------------------------------------------- */

mtype:put = { STORED, EXHAUSTED, REFUSED };

#define fits (lane[p].slot + n <= lane[p].end)

/* lane_put(), lane_put_array(), lane_put_items(): n items from `number` on into
 * the lease. */
inline lane_put(p)
{
	/* Steps 1 to 3: lane_claim() */
#ifdef BREAK_CLAIM_LATE
	had_room = fits;
	buffer[p] ! CLAIM, 0, lane[p].slot + n;
#else
	buffer[p] ! CLAIM, 0, lane[p].slot + n;
#endif
	/* Barrier A. */
#if defined(FENCED) && !defined(BREAK_CLAIM_RELAXED)
	drained(p);
#endif
	if
#ifdef BREAK_CLAIM_LATE
	:: !had_room ->
#else
	:: !fits ->
#endif
#ifndef BREAK_CLAIM_KEPT
		buffer[p] ! UNCLAIM, 0, lane[p].slot;
#endif
		answer = REFUSED
	:: else ->
#ifdef BREAK_COMMIT_EARLY
		buffer[p] ! COMMIT, 0, lane[p].slot + n;
#endif
		/* Step 4: lane_copy(), and the entry. */
		do
		:: i < n ->
			buffer[p] ! HEAD, lane[p].byte_ + i, item(p, number + i);
			buffer[p] ! TAIL, lane[p].byte_ + i, item(p, number + i);
			buffer[p] ! ENTRY, lane[p].slot + i, lane[p].byte_ + i;
			i++
		:: i == n -> break
		od;
		i = 0;
		/* Step 5: lane_commit() */
		atomic {
#ifndef BREAK_COMMIT_EARLY
			buffer[p] ! COMMIT, 0, lane[p].slot + n;
#endif
			lane[p].slot = lane[p].slot + n;
			lane[p].byte_ = lane[p].byte_ + n;
			accepted[p] = number + n
		};
		if
		:: lane[p].slot == lane[p].end -> answer = EXHAUSTED
		:: else -> answer = STORED
		fi
	fi
}

/* The same under the lock, where nobody looks and no recall comes between. */
inline put_locked(p)
{
	HOLDS(none_lost, lane[p].slot + n <= lane[p].end);
	i = 0;
	do
	:: i < n ->
		seg[open].head[lane[p].byte_] = item(p, number + i);
		seg[open].tail[lane[p].byte_] = item(p, number + i);
		seg[open].index[lane[p].slot] = lane[p].byte_;
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
		seg[open].life = OPEN;
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

/* segment_lease(): at least n slots, and as many more as it likes; the real one
 * has a policy, which is one of these choices. */
inline segment_lease(p)
{
	atomic {
		granted = false;
		missing = n;
		if
		:: has_lease(p) && lane[p].lease_end - lane[p].slot >= n ->
			missing = 0;
			granted = true
		:: has_lease(p) && lane[p].lease_end - lane[p].slot < n && lane[p].lease_end == seg[open].leased ->
			missing = n - (lane[p].lease_end - lane[p].slot)
		:: else -> HOLDS(books_balance, has_lease(p) || lane[p].segment == NONE)
		fi;
		if
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
				:: has_lease(p) && lane[p].lease_end == seg[open].leased
				:: else ->
					if
					:: has_lease(p) -> end_slots(p, open, lane[p].slot)
					:: else
					fi;
					/* begin_slots() */
					lane[p].segment = open;
					lane[p].arena = open;
					lane[p].first = seg[open].leased;
					lane[p].lease_end = seg[open].leased;
					lane[p].claimed = lane[p].first;
					lane[p].committed = lane[p].first;
					lane[p].slot = lane[p].first;
					lane[p].byte_ = lane[p].first + seg[open].shift
				fi;
				lane[p].lease_end = lane[p].lease_end + missing;
				seg[open].leased = lane[p].lease_end;
				lane[p].end = lane[p].lease_end
			}
		fi;
		missing = 0
	}
}

/* partition_lease() */
inline partition_lease(p)
{
	do
	:: open == NONE && !has_free -> break
	:: open == NONE && has_free -> open_segment()
	:: open != NONE ->
		segment_lease(p);
		if
		:: !granted && has_unfilled ->
			recall();
			segment_lease(p)
		:: else
		fi;
		if
		:: granted -> break
		:: !granted && !has_free ->
#ifndef BREAK_REFUSED_UNLOOKED
			cut_if_full();
#endif
			break
		:: !granted && has_free -> cut()
		fi
	od
}

/* insert_waiting(), put_into() */
inline insert_waiting(p)
{
	do
	:: woken[p] = false;
		lock(p);
		partition_lease(p);
		if
		:: granted ->
			d_step { put_locked(p); granted = false };
			if
			:: answer == EXHAUSTED -> cut_if_full()
			:: else
			fi;
			unlock();
			break
		:: else ->
			unlock();
#ifdef BREAK_WAKE_LOST
			woken[p] = false;
#endif
			if
			:: woken[p]              /* buffer_wait() */
#ifndef PATIENT
			:: gave_up = true; break /* the deadline is over: the insert has failed */
#endif
			fi
		fi
	od
}

/* As p sees it: its own commit is in its store buffer, or in memory. */
#define looks_full (open != NONE && seg[open].leased == SLOTS && seg[open].vacant == 0 && \
                    (lane[p].segment != open || lane[p].slot == lane[p].lease_end) && !unfilled(1 - p))

/* look_if_full() */
inline look_if_full(p)
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
	lock(p);
	cut_if_full();
	unlock()
#endif
#endif
}

/* end_thread(), return_leases(), segment_return(), forget() */
inline leave(p)
{
#ifdef LEAVE
	lock(p);
	d_step {
		if
		:: lane[p].segment != NONE ->
			HOLDS(lane_is_there, lane[p].segment == open);
#ifndef BREAK_LEAVE_KEPT
			lane[p].end = 0;
			end_slots(p, open, lane[p].slot)
#endif
		:: else
		fi;
		gone[p] = true
	};
	unlock()
#else
	skip
#endif
}

#define of_mine (p == 0 -> ITEMS : OTHERS)

proctype producer(byte p)
{
	byte number, n, i, missing;
	mtype:put answer;
	bool granted, gave_up;
#ifdef BREAK_CLAIM_LATE
	bool had_room;
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
		:: !gave_up && answer == REFUSED -> insert_waiting(p)
		:: !gave_up && answer == EXHAUSTED -> look_if_full(p)
		:: !gave_up && answer == STORED
		fi;
		atomic { number = number + n; n = 0; answer = 0 }
	:: number == of_mine || gave_up -> break
	od;
	leave(p);
	ended++
}

/* --- The flusher ---------------------------------------------------------------------- */

/* supply_release(), and what TODO_ROOM asks for. */
inline supply_release(s)
{
	if
	:: seg[s].pins > 0 -> seg[s].life = DRAINING
	:: else -> seg[s].life = FREE; woken[0] = true; woken[1] = true
	fi
}

/* What a handler and a dump check of each item. */
inline read_item(s, entry)
{
	at = entry;
	HOLDS(none_half_written, at < PLACES);
	if
	:: at < PLACES ->
		value = seg[s].head[at];
		atomic { HOLDS(none_half_written, value != JUNK && value == seg[s].tail[at]) }
	:: else
	fi;
	at = 0
}

/* flusher_serve(): partition_take(), the handler, partition_land(). */
proctype flusher()
{
	byte s, i, at, value, before;
end:	do
	:: atomic { !locked && len(queue) > 0 -> queue ? s; seg[s].life = FLYING; reading[s]++ };
#ifdef BREAK_RELEASE_EARLY
		atomic { !locked -> supply_release(s) };
#endif
		do
		:: i < seg[s].size ->
			read_item(s, seg[s].index[i]);
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
		atomic { !locked -> reading[s]--; supply_release(s); s = 0; i = 0; before = 0 }
#endif
	od
}

/* --- The sealer ------------------------------------------------------------------------ */

/* partition_flush(), partition_tick(): any time is a time to cut what is held. */
inline flush()
{
#ifndef BREAK_SEALER_UNLOCKED
	lock_();
#endif
	if
	:: open != NONE && count > 0 -> cut()
	:: else
	fi;
#ifndef BREAK_SEALER_UNLOCKED
	unlock()
#endif
}

#ifdef DUMP
#define may_view(n) (seg[n].life == OPEN || seg[n].life == QUEUED || seg[n].life == FLYING)

/* view_segment(): pins it. What was settled then can be read as long as it is. (An
 * abort would move entries; so it copies them.) */
inline view_segment(n)
{
	s = n;
	size = (s == open -> seg[s].settled : seg[s].size);
	reading[s]++;
#ifndef BREAK_DUMP_UNPINNED
	seg[s].pins++
#endif
}

/* partition_unpin() */
inline unpin()
{
	reading[s]--;
#ifndef BREAK_DUMP_UNPINNED
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
	lock_();
	if
	:: open != NONE -> recall()
	:: else
	fi;
	if
	:: d_step { may_view(0) -> view_segment(0) }
	:: d_step { may_view(1) -> view_segment(1) }
	:: else
	fi;
#ifndef BREAK_DUMP_UNLOOKED
	cut_if_full();
#endif
	unlock();
	do
	:: i < size ->
		read_item(s, seg[s].index[i]);
		d_step {
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
	:: s != NONE -> lock_(); d_step { unpin(); s = NONE; i = 0; size = 0; shown[0] = 0; shown[1] = 0 }; unlock()
	:: else
	fi
}
#endif

proctype sealer()
{
	byte visits;
#ifdef DUMP
	byte s = NONE, i, at, value, size, shown[2];
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
