/* SPDX-License-Identifier: MIT */
/* When a batch is cut: by size, by bytes, by time, when asked; and how much room
 * an insert finds. */
#include "core/partition_parts.h"

#include "core/debug.h"

/* --- Time and jitter ------------------------------------------------------------------ */

int64_t cut_draw(struct partition *partition, int64_t base, int64_t jitter)
{
	return base + (int64_t)rng_below_inclusive(&partition->rng, (uint64_t)jitter);
}

static int64_t draw_cut(struct partition *partition, int64_t from_ns)
{
	const databuffer_options *o = partition->options;
	partition->cut_from_ns = from_ns;
	if (o->flush_interval == 0)
		return PORT_NEVER;
	return port_deadline_ns(from_ns, cut_draw(partition, o->flush_interval, o->flush_jitter));
}

static uint32_t draw_flush_size(struct partition *partition)
{
	const databuffer_options *o = partition->options;
	return (uint32_t)cut_draw(partition, o->max_size, o->max_size_jitter);
}

void cut_restart(struct partition *partition, int64_t now_ns)
{
	partition->flush_size = draw_flush_size(partition);
	partition->next_cut_ns = draw_cut(partition, now_ns);
}

/* Ticks that found nothing to cut: the clock runs on from tick to tick, as if
 * each had been lived through. After a long idle time whole intervals are
 * skipped at once. */
static void skip_idle_ticks(struct partition *partition, int64_t now_ns)
{
	int64_t interval_ns = partition->options->flush_interval * PORT_NS_PER_MS;
	if (partition->next_cut_ns > now_ns)
		return;
	int64_t behind = (now_ns - partition->next_cut_ns) / interval_ns;
	if (behind > 64)
		partition->next_cut_ns += (behind - 64) * interval_ns;
	while (partition->next_cut_ns <= now_ns)
		partition->next_cut_ns = draw_cut(partition, partition->next_cut_ns);
}

int64_t partition_next_cut(struct partition *partition, int64_t now_ns)
{
	if (!cut_open_has_items(partition) && !partition->options->flush_empty)
		skip_idle_ticks(partition, now_ns);
	return partition->next_cut_ns;
}

void partition_shift_time(struct partition *partition, int64_t by_ns)
{
	partition->used_ns += by_ns;
	if (partition->next_cut_ns != PORT_NEVER)
		partition->next_cut_ns += by_ns;
	partition->cut_from_ns += by_ns;
}

/* --- The bound -------------------------------------------------------------------------- */

static uint64_t bound(const struct partition *partition, int64_t batch)
{
	const databuffer_options *o = partition->options;
	return (uint64_t)(1 + o->max_in_flight + o->max_queued) * (uint64_t)batch;
}

static uint64_t item_bound(const struct partition *partition)
{
	return bound(partition, partition->options->max_size + partition->options->max_size_jitter);
}

static uint64_t byte_bound(const struct partition *partition)
{
	return bound(partition, partition->options->max_bytes);
}

static uint64_t above(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* How many items, and bytes, may be in the open batch beside what waits. */
static uint64_t room_for_items(const struct partition *partition)
{
	return above(item_bound(partition), partition->waiting_items);
}

static uint64_t room_for_bytes(const struct partition *partition)
{
	return above(byte_bound(partition), partition->waiting_bytes);
}

struct shortage cut_shortage(const struct partition *partition, const struct lease_request *request)
{
	uint64_t items = partition->waiting_items + request->n, bytes = partition->waiting_bytes + request->payload;
	if (partition->open) {
		items += partition->open->leased;
		bytes += partition->open->promised;
	}
	return (struct shortage){ above(items, item_bound(partition)), above(bytes, byte_bound(partition)) };
}

/* --- Cutting ---------------------------------------------------------------------------- */

static void open_segment(struct partition *partition, int64_t now_ns)
{
	partition->used_ns = now_ns;
	partition->gave_back = false;
	partition->open = SEGMENT_OF(list_pop_front(&partition->free));
	segment_open(partition->open, partition->flush_size, (uint32_t)partition->options->max_bytes,
	             ++partition->sequence, partition->varied);
	partition->flush_size = draw_flush_size(partition);
	if (!partition->options->flush_empty)
		skip_idle_ticks(partition, now_ns);
	ASSERT(partition_is_valid(partition));
}

/* A batch without items goes nowhere, unless it is wanted for its own sake. Slots
 * that are reserved stay behind, and no longer take the room of others. */
static unsigned cut_even_empty(struct partition *partition, databuffer_trigger trigger, int64_t now_ns, bool empty)
{
	struct segment *segment = partition->open;
	unsigned todo = segment->held > 0 ? TODO_ROOM : 0;
	ASSERT(partition_is_valid(partition));
	partition->open = NULL;
	STEP("cut: to be sealed");
	uint32_t count = segment_seal(segment, trigger);
	if (count > 0)
		partition->varied = segment->varied;
	segment->late = segment->stuck = segment->abandoned = segment->draining = false;
	segment->not_before_ns = INT64_MIN;
	segment->batch.partition = partition->number;
	segment->batch.name = partition->name;
	segment->batch.allocator = partition->options->allocator;
	if (count == 0 && !empty) {
		supply_release(partition, segment);
		return todo;
	}
	list_push_back(&partition->queue, &segment->link);
	partition->queued++;
	partition->accepted += count;
	partition->held += count;
	partition->held_bytes += segment->bytes;
	partition->waiting_items += count;
	partition->waiting_bytes += segment->bytes;
	partition->asked = false;
	partition->next_cut_ns = draw_cut(partition, now_ns);
	ASSERT(partition_is_valid(partition));
	return todo;
}

static unsigned cut(struct partition *partition, databuffer_trigger trigger, int64_t now_ns)
{
	return cut_even_empty(partition, trigger, now_ns, false);
}

void cut_for_room(struct partition *partition, const struct shortage *shortage, int64_t now_ns)
{
	cut(partition, shortage->bytes > 0 ? DATABUFFER_TRIGGER_BYTES : DATABUFFER_TRIGGER_SIZE, now_ns);
}

bool cut_open_has_items(const struct partition *partition)
{
	return partition->open && segment_count(partition->open) > 0;
}

/* Cuts what was asked for or is due by time, once a handler could take it. Until
 * then the batch had better grow. */
static unsigned cut_if_due(struct partition *partition, int64_t now_ns)
{
	if (gate_opens(partition) > now_ns || partition->queued > 0)
		return 0;
	bool due = partition->next_cut_ns <= now_ns;
	if (!due && !partition->asked)
		return 0;
	databuffer_trigger trigger = partition->asked ? partition->asked_by : DATABUFFER_TRIGGER_INTERVAL;
	if (cut_open_has_items(partition))
		return cut(partition, trigger, now_ns);
	if (partition->options->flush_empty && !partition->stopping) {
		if (!partition->open && supply_has_free(partition))
			open_segment(partition, now_ns);
		if (partition->open && partition->open->held == 0)
			cut_even_empty(partition, trigger, now_ns, true);
	}
	if (due)
		skip_idle_ticks(partition, now_ns);
	partition->asked = false;
	return 0;
}

unsigned cut_advance(struct partition *partition, int64_t now_ns)
{
	ASSERT(partition_is_valid(partition));
	unsigned todo = cut_if_due(partition, now_ns);
	gate_book(partition, now_ns);
	ASSERT(partition_is_valid(partition));
	return partition_is_ready(partition, now_ns) ? TODO_FLUSH | todo : todo;
}

/* --- Inserting --------------------------------------------------------------------------- */

/* Whether the request could go into a fresh batch once the open one is cut. */
static bool has_room_after_cut(struct partition *partition, const struct lease_request *request)
{
	return supply_has_free(partition) &&
	       segment_count(partition->open) + request->n <= room_for_items(partition) &&
	       segment_bytes(partition->open) + request->payload <= room_for_bytes(partition);
}

static void set_limit(struct partition *partition)
{
	segment_set_limit(partition->open, room_for_items(partition), room_for_bytes(partition));
	partition->open->headroom = partition->headroom;
}

bool partition_lease_open(struct partition *partition, struct lane *lane, const struct lease_request *request)
{
	struct segment *open = partition->open;
	if (!open || open->leased == 0 || partition->stopping)
		return false;
	set_limit(partition);
	return segment_lease(open, lane, request) == LEASE_GRANTED;
}

/* Fewer are the last few slots of a batch, which go one by one to whoever comes. */
#define RENEW_FROM 16

bool partition_renew(struct partition *partition, struct lane *lane, uint32_t n)
{
	uint32_t len = lane->item_len;
	ASSERT(!lane->segment || lane->segment == partition->open);
	if (!lane->segment || len == LANE_MIXED || lane->lease_end - lane->first < RENEW_FROM)
		return false;
	struct lease_request more = { .n = n, .item_size = len, .payload = (uint64_t)n * len };
	return partition_lease_open(partition, lane, &more);
}

enum partition_room partition_lease(struct partition *partition, struct lane *lane,
                                    const struct lease_request *request, bool recall, int64_t now_ns,
                                    unsigned *todo)
{
	ASSERT(partition_is_valid(partition));
	while (!partition->stopping && request->n <= (uint64_t)partition->options->max_size) {
		if (!partition->open) {
			if (room_for_items(partition) < request->n ||
			    room_for_bytes(partition) < request->payload || !supply_has_free(partition))
				return ROOM_NONE;
			open_segment(partition, now_ns);
		}
		struct segment *open = partition->open;
		set_limit(partition);
		enum lease lease = segment_lease(open, lane, request);
		if (lease != LEASE_GRANTED && !recall && segment_others_have_slots(open, lane))
			return ROOM_OTHERS;
		if (lease != LEASE_GRANTED && segment_has_more(open)) {
			segment_recall(open);
			STEP("cut: recalled, to lease again");
			lease = segment_lease(open, lane, request);
		}
		if (lease == LEASE_GRANTED)
			return ROOM_LEASED;
		if (lease == LEASE_NO_ROOM || !has_room_after_cut(partition, request)) {
			/* Who filled the last slot may have met a withdrawn end, and so not
			 * have seen that it did (lane.h). */
			*todo |= partition_filled(partition, now_ns);
			return ROOM_NONE;
		}
		*todo |= cut(partition, lease == LEASE_NO_SLOTS ? DATABUFFER_TRIGGER_SIZE : DATABUFFER_TRIGGER_BYTES,
		             now_ns);
		*todo |= cut_advance(partition, now_ns);
	}
	return ROOM_NONE;
}

unsigned partition_filled(struct partition *partition, int64_t now_ns)
{
	databuffer_trigger trigger;
	ASSERT(partition_is_valid(partition));
	if (!partition->open || !segment_is_full(partition->open, &trigger))
		return 0;
	cut(partition, trigger, now_ns);
	return cut_advance(partition, now_ns);
}

/* --- Other options -------------------------------------------------------------------------- */

/* The open batch is cut if it has reached its new size. It does not grow beyond the
 * memory that it has. */
static void resize_open(struct partition *partition, int64_t now_ns)
{
	struct segment *open = partition->open;
	partition->flush_size = draw_flush_size(partition);
	if (!open)
		return;
	segment_recall(open);
	uint32_t size = draw_flush_size(partition);
	if (open->leased >= size)
		cut(partition, DATABUFFER_TRIGGER_SIZE, now_ns);
	else
		open->capacity = size < open->slots ? size : open->slots;
}

/* No backoff ends later than it could have been drawn now. */
static void shorten_backoffs(struct partition *partition, int64_t now_ns)
{
	struct list *node;
	int64_t latest = port_deadline_ns(now_ns, partition->options->retry_max);
	LIST_FOREACH(node, &partition->queue)
		if (SEGMENT_OF(node)->not_before_ns > latest)
			SEGMENT_OF(node)->not_before_ns = latest;
	if (partition->breaker.until_ns > latest)
		partition->breaker.until_ns = latest;
}

unsigned partition_reconfigure(struct partition *partition, const databuffer_options *before, int64_t now_ns)
{
	const databuffer_options *o = partition->options;
	/* Also in a stop, where ticks go on: of an interval that is none there is no next. */
	if (o->flush_interval != before->flush_interval || o->flush_jitter != before->flush_jitter)
		partition->next_cut_ns = draw_cut(partition, partition->cut_from_ns);
	if (partition->stopping)
		return 0;
	if (o->max_size != before->max_size || o->max_size_jitter != before->max_size_jitter)
		resize_open(partition, now_ns);
	shorten_backoffs(partition, now_ns);
	gate_reconsider(partition, before, now_ns);
	return cut_advance(partition, now_ns) | TODO_ROOM;
}

/* --- Being asked --------------------------------------------------------------------------- */

/* Takes back every lease, for good since the partition is stopping, and cuts
 * what there is. */
static void close_open(struct partition *partition, int64_t now_ns)
{
	if (!partition->open)
		return;
	segment_recall(partition->open);
	if (partition->open->settled > 0) {
		cut(partition, DATABUFFER_TRIGGER_STOP, now_ns);
	} else {
		supply_release(partition, partition->open);
		partition->open = NULL;
	}
}

unsigned partition_flush(struct partition *partition, databuffer_trigger trigger, int64_t now_ns)
{
	struct list *node;
	unsigned todo = 0;
	ASSERT(partition_is_valid(partition));
	if (trigger == DATABUFFER_TRIGGER_STOP)
		partition->stopping = true;
	LIST_FOREACH(node, &partition->queue)
		SEGMENT_OF(node)->not_before_ns = INT64_MIN;
	partition->breaker.until_ns = INT64_MIN;
	/* At once, so that the same calls make the same batches; but where no memory
	 * would be left for the inserts that follow, once a handler takes it. */
	bool empty = partition->options->flush_empty && partition->queued == 0;
	if (partition->stopping) {
		close_open(partition, now_ns);
	} else if (cut_open_has_items(partition) && supply_has_free(partition)) {
		todo = cut(partition, trigger, now_ns);
	} else if (cut_open_has_items(partition) || empty) {
		partition->asked = true;
		partition->asked_by = trigger;
	}
	return todo | cut_advance(partition, now_ns);
}
