/* SPDX-License-Identifier: MIT */
/* Granting leases of a segment: to whom, how many slots, and of which kind it is to be. */
#include "core/segment.h"

#include "core/debug.h"

/* The share of what is left that one lane may take in advance: an equal one. The
 * next gets its share of the rest, and so the last slots go one by one. */
static uint64_t share(uint64_t left, uint32_t others)
{
	return left / ((uint64_t)others + 1);
}

static uint64_t minimum(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void segment_set_limit(struct segment *segment, uint64_t items, uint64_t bytes)
{
	segment->limit = (uint32_t)minimum(segment->capacity, items);
	segment->byte_limit = (uint32_t)minimum(segment->byte_capacity, bytes);
}

/* What is left below a limit that may have sunk below what is used. */
static uint64_t left_of(uint64_t limit, uint64_t used)
{
	return limit > used ? limit - used : 0;
}

/* The lane's slots in this segment that are filled. */
static uint32_t used_so_far(const struct segment *segment, const struct lane *lane)
{
	return lane->used + (lane->segment == segment ? lane_slot(lane) - lane->first : 0);
}

/* How many slots beyond those asked for the lane had better have, of `left`:
 * what it used of the last batch, almost, at its first lease of this one, so
 * that busy threads lease about once a batch; beyond that twice its last lease,
 * within its share. */
static uint64_t in_advance(struct segment *segment, struct lane *lane, uint32_t n, uint64_t left)
{
	if (lane->sequence != segment->sequence) {
		lane->used_before = segment->sequence - lane->sequence == 1 ? lane->used : 0;
		lane->used = 0;
		lane->sequence = segment->sequence;
	}
	uint64_t usual = left_of(lane->used_before - lane->used_before / 64, used_so_far(segment, lane) + n);
	uint32_t others = segment->lane_count - (lane->segment == segment ? 1 : 0);
	uint64_t more = minimum(left_of(lane->want, n), share(left, others));
	if (others == 0 && usual > 0 && lane->used_before < segment->capacity - segment->capacity / 16)
		more = 0; /* others were there last time, and will come */
	uint64_t extra = minimum(usual > more ? usual : more, left);
	return extra - extra % n; /* whole batches again */
}

/* A run of `n` fresh slots for the lane, its old ones used up or given back. */
static void begin_slots(struct segment *segment, struct lane *lane, uint32_t n)
{
	lane->segment = segment;
	lane->index = segment->index;
	lane->arena = segment->arena;
	lane->item_len = segment->item_len;
	bool quick = !segment->fenced && lane->item_len >= LANE_WORDS_MIN && lane->item_len <= LANE_WORDS_MAX;
	lane->quick = quick ? lane->item_len : UINT64_MAX;
	lane->first = segment->leased;
	lane->lease_end = segment->leased + n;
	if (lane->item_len != LANE_MIXED)
		lane->byte = lane->first * lane->item_len;
	atomic_store_explicit(&lane->payload, 0, memory_order_relaxed);
	atomic_store_explicit(&lane->claimed, lane->first, memory_order_relaxed);
	atomic_store_explicit(&lane->committed, lane->first, memory_order_relaxed);
	list_push_back(&segment->lanes, &lane->link);
	segment->lane_count++;
}

/* Slots for the lane, at the end of those it has or elsewhere. */
static void lease_slots(struct segment *segment, struct lane *lane, uint32_t missing, uint32_t extra)
{
	bool has_lease = lane->segment == segment;
	if (has_lease && lane->lease_end == segment->leased) {
		lane->lease_end += missing;
	} else {
		if (has_lease)
			segment_end_slots(segment, lane, lane_slot(lane));
		begin_slots(segment, lane, missing);
	}
	lane->lease_end += extra;
	segment->leased = lane->lease_end;
	if (lane->want < segment->capacity)
		lane->want = lane->want < missing ? missing * 2 : lane->want * 2;
}

/* Page faults come one at a time, in the middle of inserts, and are a microsecond
 * each; asked for in advance, they are half of that or less: a megabyte takes some
 * 80 microseconds. Not so many that the one who asks waits long. */
#define POPULATE_FROM (16 * 1024)
#define POPULATE_MIN (64 * 1024)
#define POPULATE_MAX (1024 * 1024)

static void populate(struct segment *segment)
{
	uint64_t to = align_up(segment->arena_leased, POPULATE_MIN);
	to = minimum(minimum(to, segment->arena_size), (uint64_t)segment->populated + POPULATE_MAX);
	port_populate(segment->arena + segment->populated, to - segment->populated);
	segment->populated = (uint32_t)to;
}

/* The lease is what the lane has and the segment knows of: it may be used. */
static enum lease grant(struct segment *segment, struct lane *lane)
{
	/* The first pages are touched as they come: many buffers are small. */
	if (segment->arena_leased > segment->populated && segment->arena_leased > POPULATE_FROM)
		populate(segment);
	STEP("segment: lease booked");
	atomic_store_explicit(&lane->end, lane->lease_end, memory_order_release);
	ASSERT(segment_is_valid(segment));
	return LEASE_GRANTED;
}

static uint32_t unfilled_slots(const struct segment *segment, const struct lane *lane)
{
	return lane->segment == segment ? lane->lease_end - lane_slot(lane) : 0;
}

/* Of an array. Bytes go with slots. */
static enum lease lease_even(struct segment *segment, struct lane *lane, uint32_t n)
{
	uint64_t len = segment->item_len;
	uint32_t unfilled = unfilled_slots(segment, lane);
	if (unfilled >= n)
		return LEASE_GRANTED;
	uint32_t missing = unfilled > 0 ? n - unfilled : n; /* what is unfilled is at the end */
	if (missing > segment->capacity - segment->leased)
		return LEASE_NO_SLOTS;
	if ((segment->leased + missing) * len > segment->byte_capacity)
		return LEASE_NO_BYTES;
	uint64_t limit = len > 0 ? minimum(segment->limit, segment->byte_limit / len) : segment->limit;
	if (missing > left_of(limit, segment->leased))
		return LEASE_NO_ROOM;
	uint64_t left = limit - segment->leased - missing;
	if (len > 0)
		left = minimum(left, left_of(segment->headroom, missing * len) / len);
	lease_slots(segment, lane, missing, (uint32_t)in_advance(segment, lane, n, left));
	lane->byte_end = segment->arena_leased = segment->leased * segment->item_len;
	segment->promised = segment->arena_leased;
	return grant(segment, lane);
}

/* Where the arena would stand after the request, placed from `at` as the lane
 * will place it. */
static uint64_t request_end(const struct lease_request *request, uint64_t at)
{
	if (request->items)
		return items_end(at, request->items, request->n);
	return align_up(at, slot_alignment(request->item_size)) + (uint64_t)request->n * request->item_size;
}

/* Of an indexed segment. */
static enum lease lease_mixed(struct segment *segment, struct lane *lane, const struct lease_request *request)
{
	bool has_lease = lane->segment == segment;
	uint32_t n = request->n;

	/* What it has may do. */
	uint32_t unfilled = unfilled_slots(segment, lane);
	if (unfilled >= n && request_end(request, lane->byte) <= lane->byte_end)
		return LEASE_GRANTED;

	/* Slots: those it has, or more at their end, or a run elsewhere. */
	bool extends_slots = has_lease && lane->lease_end == segment->leased;
	uint32_t missing = unfilled >= n ? 0 : extends_slots ? n - unfilled : n;
	if (missing > segment->capacity - segment->leased)
		return LEASE_NO_SLOTS;

	/* Bytes: likewise. */
	bool extends_bytes = has_lease && lane->byte_end == segment->arena_leased;
	uint32_t byte = extends_bytes ? lane->byte : segment->arena_leased;
	uint64_t byte_end = request_end(request, byte);
	uint64_t promised = segment->promised - (has_lease ? lane->byte_end - lane->byte : 0);
	if (promised + request->payload > segment->byte_capacity || byte_end > segment->arena_size)
		return LEASE_NO_BYTES;
	if (missing > left_of(segment->limit, segment->leased) ||
	    request->payload > left_of(segment->byte_limit, promised))
		return LEASE_NO_ROOM;

	/* More than was asked, if the lane has been using much. */
	uint64_t extra = missing == 0 ? unfilled - n :
	                                in_advance(segment, lane, n, segment->limit - segment->leased - missing);
	/* Of so many bytes each: what is asked for may be the shortest of all, and slots
	 * without bytes are of no use. */
	uint64_t item = request->payload / n;
	if (item < segment->usual_len)
		item = segment->usual_len;
	if (item > 0) {
		uint32_t others = segment->lane_count - (has_lease ? 1 : 0);
		uint64_t room = minimum(segment->byte_limit - promised - request->payload,
		                        segment->arena_size - byte_end);
		room = minimum(room, left_of(segment->headroom, request->payload));
		extra = minimum(extra, share(room, others) / item);
	}
	extra -= extra % n;
	/* What the lane may now put in. The padding before what was asked is used up
	 * by it, and is nobody's payload. */
	uint64_t may_add = request->payload + extra * item;
	byte_end += extra * item;
	if (extends_bytes && byte_end < lane->byte_end) {
		byte_end = lane->byte_end;
		may_add = byte_end - byte;
	}

	if (missing > 0)
		lease_slots(segment, lane, missing, (uint32_t)extra);
	lane->byte = byte;
	lane->byte_end = (uint32_t)byte_end;
	segment->arena_leased = (uint32_t)byte_end;
	segment->promised = promised + may_add;
	return grant(segment, lane);
}

/* Whether all that is asked for is of one length. */
static bool is_even(const struct lease_request *request, uint32_t *len)
{
	*len = request->items ? (uint32_t)request->items[0].len : request->item_size;
	for (uint32_t i = 1; request->items && i < request->n; i++)
		if (request->items[i].len != *len)
			return false;
	return true;
}

/* Sees to it that the segment is of a kind that can take the request. */
static void suit(struct segment *segment, struct lane *lane, const struct lease_request *request)
{
	uint32_t len;
	bool even = is_even(request, &len) && !request->hold;
	if (segment->leased == 0) {
		segment->first_len = len;
		segment->item_len = even && segment->array_first ? len : LANE_MIXED;
	}
	if (!even || len != segment->first_len)
		segment->varied = true;
	if (segment->item_len == LANE_MIXED)
		return;
	/* A lease that ends before its last slots are filled leaves a gap. */
	uint32_t unfilled = unfilled_slots(segment, lane);
	bool gap = unfilled > 0 && unfilled < request->n && lane->lease_end != segment->leased;
	if (segment->varied || gap) {
		segment_recall(segment);
		segment_index(segment);
	}
}

enum lease segment_lease(struct segment *segment, struct lane *lane, const struct lease_request *request)
{
	ASSERT(lane->segment == segment || lane->segment == NULL);
	ASSERT(!segment->sealed && segment_is_valid(segment) && lane_is_valid(lane));
	suit(segment, lane, request);
	if (segment->item_len != LANE_MIXED)
		return lease_even(segment, lane, request->n);
	return lease_mixed(segment, lane, request);
}
