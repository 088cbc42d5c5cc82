/* SPDX-License-Identifier: MIT */
/* A segment's life: opened, its leases ended or recalled, sealed. Granting leases is lease.c's. */
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

void segment_end_slots(struct segment *segment, struct lane *lane, uint32_t committed)
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
	if (lane->byte_end == segment->arena_leased)
		segment->arena_leased = lane->byte;
	segment_end_slots(segment, lane, committed);
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
	segment->promised -= lane->byte_end - lane->byte;
	end_lease(segment, lane, lane_slot(lane));
	ASSERT(segment_is_valid(segment));
}

void segment_index(struct segment *segment)
{
	for (uint32_t slot = 0; slot < segment->leased && segment->item_len != LANE_MIXED; slot++)
		set_entry(segment, slot, segment_entry(segment, slot));
	segment->item_len = LANE_MIXED;
	STEP("segment: indexed");
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
	STEP("segment: leases withdrawn");
	if (!idle && !segment->fenced && !list_is_empty(&segment->lanes))
		port_barrier();
	STEP("segment: barrier passed");
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
	STEP("segment: lanes at rest");
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
	STEP("segment: leases ended");
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
	if (segment->settled > 0)
		segment->usual_len = (uint32_t)(segment->bytes / segment->settled);
	/* Leases of mixed lengths are not asked for each. */
	if (segment->bytes != (uint64_t)segment->settled * segment->first_len)
		segment->varied = true;
	batch_init(&segment->batch, segment, segment->settled, trigger);
	ASSERT(segment_is_valid(segment));
	return segment->settled;
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
	       lane->item_len == segment->item_len && lane->byte_end <= segment->arena_leased;
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
