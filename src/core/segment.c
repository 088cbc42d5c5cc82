/* SPDX-License-Identifier: MIT */
/* Leases of a segment: granting, ending, recalling, sealing. */
#include "core/segment.h"

#include "core/debug.h"

static uint64_t entry(const struct segment *segment, uint32_t slot)
{
	return atomic_load_explicit(&segment->index[slot], memory_order_relaxed);
}

static void set_entry(struct segment *segment, uint32_t slot, uint64_t value)
{
	atomic_store_explicit(&segment->index[slot], value, memory_order_relaxed);
}

static uint32_t arena_size(uint32_t slots, uint32_t max_bytes)
{
	uint64_t size = (uint64_t)max_bytes + max_bytes / 2 + (uint64_t)slots * 16 + 64;
	return size > UINT32_MAX - 64 ? UINT32_MAX - 64 : (uint32_t)size;
}

static size_t index_size(uint32_t slots)
{
	return align_up((uint64_t)slots * sizeof(uint64_t), PORT_CACHE_LINE);
}

size_t segment_footprint(uint32_t slots, uint32_t max_bytes)
{
	/* Whole pages, so that segments do not share one. */
	return align_up(index_size(slots) + arena_size(slots, max_bytes), 4096);
}

void segment_init(struct segment *segment, unsigned char *memory, uint32_t slots, uint32_t max_bytes, bool fenced)
{
	memset(segment, 0, sizeof(*segment));
	segment->index = (_Atomic uint64_t *)(void *)memory;
	segment->arena = memory + index_size(slots);
	segment->slots = slots;
	segment->arena_size = arena_size(slots, max_bytes);
	segment->fenced = fenced;
	list_init(&segment->link);
	list_init(&segment->lanes);
}

void segment_open(struct segment *segment, uint32_t capacity, uint32_t byte_capacity, uint64_t sequence, bool varied)
{
	ASSERT(list_is_empty(&segment->lanes) && segment->pins == 0 && capacity <= segment->slots);
	segment->used = true;
	segment->capacity = capacity;
	segment->byte_capacity = byte_capacity;
	segment->limit = capacity;
	segment->byte_limit = byte_capacity;
	segment->headroom = UINT64_MAX;
	segment->leased = segment->settled = 0;
	segment->vacant = 0;
	segment->first_vacant = UINT32_MAX;
	segment->arena_leased = 0;
	segment->bytes = segment->promised = 0;
	segment->held = 0;
	segment->held_bytes = 0;
	segment->item_len = LANE_MIXED;
	segment->array_first = !varied;
	segment->varied = false;
	segment->sealed = false;
	segment->sequence = sequence;
	ASSERT(segment_is_valid(segment));
}

void segment_give_back(struct segment *segment)
{
	if (!segment->used)
		return;
	port_give_back((void *)(uintptr_t)segment->index, index_size(segment->slots) + segment->arena_size);
	segment->populated = 0;
	segment->used = false;
}

/* --- Ending leases --------------------------------------------------------------- */

static void add_vacant(struct segment *segment, uint32_t from, uint32_t to)
{
	for (uint32_t slot = from; slot < to; slot++)
		set_entry(segment, slot, slot_entry(0, SLOT_VACANT));
	segment->vacant += to - from;
	if (from < segment->first_vacant)
		segment->first_vacant = from;
}

/* Books what the lane has filled, and gives the slots back that it has not. */
static void end_slots(struct segment *segment, struct lane *lane, uint32_t committed)
{
	segment->settled += committed - lane->first;
	segment->bytes += lane_payload(lane);
	lane->used += committed - lane->first;
	if (lane->lease_end == segment->leased)
		segment->leased = committed;
	else if (committed < lane->lease_end)
		add_vacant(segment, committed, lane->lease_end);
	lane->segment = NULL;
	list_remove(&lane->link);
	segment->lane_count--;
}

/* Ends a lease whose `end` is withdrawn. */
static void end_lease(struct segment *segment, struct lane *lane, uint32_t committed)
{
	if (lane_byte_end(lane) == segment->arena_leased)
		segment->arena_leased = lane_byte(lane);
	end_slots(segment, lane, committed);
}

/* Whether the end of this lease would leave a gap. */
static bool leaves_gap(const struct segment *segment, const struct lane *lane)
{
	return lane->lease_end != segment->leased && lane->first + lane_filled(lane) != lane->lease_end;
}

void segment_return(struct segment *segment, struct lane *lane)
{
	ASSERT(lane->segment == segment && segment_is_valid(segment));
	if (segment->item_len != LANE_MIXED && leaves_gap(segment, lane)) {
		segment_recall(segment); /* which is to be indexed, and so at rest */
		return;
	}
	lane_withdraw(lane);
	segment->promised -= lane_byte_end(lane) - lane_byte(lane);
	end_lease(segment, lane, lane_slot(lane));
	ASSERT(segment_is_valid(segment));
}

void segment_index(struct segment *segment)
{
	for (uint32_t slot = 0; slot < segment->leased && segment->item_len != LANE_MIXED; slot++)
		set_entry(segment, slot, segment_entry(segment, slot));
	segment->item_len = LANE_MIXED;
}

static void close_gaps(struct segment *segment)
{
	uint32_t to = segment->first_vacant;
	for (uint32_t from = to; from < segment->leased; from++) {
		uint64_t e = entry(segment, from);
		if (slot_len(e) != SLOT_VACANT)
			set_entry(segment, to++, e);
	}
	/* What has moved down must not be found twice (segment_resolve). */
	for (uint32_t slot = to; slot < segment->leased; slot++)
		set_entry(segment, slot, slot_entry(0, SLOT_VACANT));
	segment->leased = to;
	segment->vacant = 0;
	segment->first_vacant = UINT32_MAX;
}

bool segment_others_have_slots(const struct segment *segment, const struct lane *lane)
{
	const struct list *node;
	LIST_FOREACH(node, &segment->lanes)
	{
		const struct lane *other = LIST_ENTRY(node, struct lane, link);
		if (other != lane && other->first + lane_filled(other) != other->lease_end)
			return true;
	}
	return false;
}

static bool has_unfilled(const struct segment *segment)
{
	return segment->vacant > 0 || segment_others_have_slots(segment, NULL);
}

bool segment_has_more(const struct segment *segment)
{
	return has_unfilled(segment) ||
	       segment->promised > segment_bytes(segment) + segment->held_bytes;
}

/* Has every lane stop, and waits until it has. */
static void stop_lanes(struct segment *segment)
{
	/* A lane that has filled its whole lease can write no more, so if all
	 * have, nobody need be stopped. */
	bool idle = !has_unfilled(segment);
	struct list *node;
	LIST_FOREACH(node, &segment->lanes)
		lane_withdraw(LIST_ENTRY(node, struct lane, link));
	if (!idle && !segment->fenced && !list_is_empty(&segment->lanes))
		port_barrier();
	LIST_FOREACH(node, &segment->lanes)
		lane_settle(LIST_ENTRY(node, struct lane, link));
}

static bool will_have_gaps(const struct segment *segment)
{
	const struct list *node;
	LIST_FOREACH(node, &segment->lanes)
		if (leaves_gap(segment, LIST_ENTRY(node, struct lane, link)))
			return true;
	return false;
}

void segment_recall(struct segment *segment)
{
	struct list *node, *next;
	ASSERT(segment_is_valid(segment));
	stop_lanes(segment);
	if (segment->item_len != LANE_MIXED && will_have_gaps(segment))
		segment_index(segment);
	LIST_FOREACH_SAFE(node, next, &segment->lanes)
	{
		struct lane *lane = LIST_ENTRY(node, struct lane, link);
		uint32_t committed = lane_slot(lane);
		/* What it used of its last lease is a fair guess for its next. */
		uint32_t used = committed - lane->first;
		if (committed != lane->lease_end && used < lane->want)
			lane->want = used > 0 ? used : 1;
		end_lease(segment, lane, committed);
	}
	if (segment->vacant > 0)
		close_gaps(segment);
	segment->promised = segment->bytes + segment->held_bytes;
	ASSERT(segment->leased == segment->settled);
	ASSERT(segment_is_valid(segment));
}

uint32_t segment_seal(struct segment *segment, databuffer_trigger trigger)
{
	segment_recall(segment);
	if (segment->held > 0) {
		for (uint32_t slot = 0; slot < segment->leased; slot++)
			if (slot_len(entry(segment, slot)) == SLOT_HELD)
				add_vacant(segment, slot, slot + 1);
		close_gaps(segment);
		segment->settled = segment->leased;
		segment->pins += segment->held;
		segment->held = 0;
		segment->held_bytes = 0;
	}
	segment->sealed = true;
	/* Leases of mixed lengths are not asked for each. */
	if (segment->bytes != (uint64_t)segment->settled * segment->first_len)
		segment->varied = true;
	batch_init(&segment->batch, segment, segment->settled, trigger);
	ASSERT(segment_is_valid(segment));
	return segment->settled;
}

/* --- Granting ---------------------------------------------------------------------- */

/* The share of what is left that one lane may take in advance. Alone, all; with
 * others, half of an equal share, so that the last slots go one by one. */
static uint64_t share(uint64_t left, uint32_t others)
{
	return others == 0 ? left : left / (2 * ((uint64_t)others + 1));
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
 * that busy threads lease once a batch; beyond that twice its last lease, within
 * its share. */
static uint64_t in_advance(struct segment *segment, struct lane *lane, uint32_t n, uint64_t left)
{
	if (lane->sequence != segment->sequence) {
		lane->used_before = segment->sequence - lane->sequence == 1 ? lane->used : 0;
		lane->used = 0;
		lane->sequence = segment->sequence;
	}
	uint64_t usual = left_of(lane->used_before - lane->used_before / 16, used_so_far(segment, lane) + n);
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
			end_slots(segment, lane, lane_slot(lane));
		begin_slots(segment, lane, missing);
	}
	lane->lease_end += extra;
	segment->leased = lane->lease_end;
	if (lane->want < segment->capacity)
		lane->want = lane->want < missing ? missing * 2 : lane->want * 2;
}

/* Page faults come one at a time, in the middle of inserts, and are a microsecond
 * each; asked for in advance, many come at the price of a few. Not so many that
 * the one who asks waits long. */
#define POPULATE_FROM (16 * 1024)
#define POPULATE_MIN (64 * 1024)
#define POPULATE_MAX (256 * 1024)

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
	segment->arena_leased = (uint32_t)(segment->leased * len);
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
	uint64_t item = request->payload / n;
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

/* --- Reservations -------------------------------------------------------------------- */

void segment_hold(struct segment *segment, struct lane *lane, uint32_t len, uint32_t *slot, uint32_t *offset)
{
	ASSERT(segment->item_len == LANE_MIXED); /* asked for with request.hold */
	*slot = lane_hold(lane, len, offset);
	segment->held++;
	segment->held_bytes += len;
	ASSERT(segment_is_valid(segment));
}

void segment_resolve(struct segment *segment, uint32_t slot, uint32_t offset, uint32_t len, bool commit)
{
	ASSERT(!segment->sealed && segment->held > 0 && segment_is_valid(segment));
	if (!commit)
		segment_recall(segment); /* only a settled slot can be taken out */
	/* Closing gaps has only ever moved the entry down. */
	while (entry(segment, slot) != slot_entry(offset, SLOT_HELD))
		slot--;
	segment->held--;
	segment->held_bytes -= len;
	if (commit) {
		set_entry(segment, slot, slot_entry(offset, len));
		segment->bytes += len;
	} else {
		segment->promised -= len;
		if (offset + len == segment->arena_leased)
			segment->arena_leased = offset;
		add_vacant(segment, slot, slot + 1);
		close_gaps(segment);
		segment->settled = segment->leased;
	}
	ASSERT(segment_is_valid(segment));
}

/* --- Reading --------------------------------------------------------------------------- */

uint32_t segment_count(const struct segment *segment)
{
	uint32_t count = segment->settled;
	const struct list *node;
	LIST_FOREACH(node, &segment->lanes)
		count += lane_filled(LIST_ENTRY(node, struct lane, link));
	return count - segment->held;
}

uint64_t segment_bytes(const struct segment *segment)
{
	uint64_t bytes = segment->bytes;
	const struct list *node;
	LIST_FOREACH(node, &segment->lanes)
	{
		const struct lane *lane = LIST_ENTRY(node, struct lane, link);
		bytes += lane_payload(lane);
	}
	return bytes;
}

bool segment_is_full(const struct segment *segment, databuffer_trigger *trigger)
{
	if (segment->held > 0)
		return false;
	*trigger = DATABUFFER_TRIGGER_SIZE;
	if (segment->leased == segment->capacity && !has_unfilled(segment))
		return true;
	*trigger = DATABUFFER_TRIGGER_BYTES;
	return segment_bytes(segment) >= segment->byte_capacity;
}

static bool lane_fits(const struct segment *segment, const struct lane *lane)
{
	return lane_is_valid(lane) && lane->segment == segment && lane->lease_end <= segment->leased &&
	       lane->arena == segment->arena && lane->index == segment->index &&
	       lane->item_len == segment->item_len &&
	       (lane->item_len != LANE_MIXED || lane->byte_end <= segment->arena_leased);
}

static bool bytes_are_valid(const struct segment *segment)
{
	uint64_t len = segment->item_len;
	return segment->arena_leased <= segment->arena_size && segment->bytes <= segment->byte_capacity &&
	       segment->bytes + segment->held_bytes <= segment->promised &&
	       (len == LANE_MIXED || (segment->bytes == segment->settled * len &&
	                              (segment->leased == 0 || segment->arena_leased == segment->leased * len)));
}

bool segment_is_valid(const struct segment *segment)
{
	uint32_t on_lease = 0, before = 0, lanes = 0;
	const struct list *node;
	if (!list_is_valid(&segment->lanes))
		return false;
	LIST_FOREACH(node, &segment->lanes)
	{
		const struct lane *lane = LIST_ENTRY(node, struct lane, link);
		if (!lane_fits(segment, lane) || lane->first < before)
			return false;
		before = lane->lease_end;
		on_lease += lane->lease_end - lane->first;
		lanes++;
	}
	/* Of a sealed one items are taken out that its handler has named (batch.c). */
	uint32_t accounted = segment->settled + segment->vacant + on_lease;
	return lanes == segment->lane_count && segment->leased <= segment->capacity &&
	       segment->capacity <= segment->slots &&
	       (segment->sealed ? lanes == 0 && accounted <= segment->leased : accounted == segment->leased) &&
	       (segment->item_len == LANE_MIXED ? segment->held <= segment->leased :
	                                          segment->held == 0 && segment->vacant == 0) &&
	       bytes_are_valid(segment);
}
