/* SPDX-License-Identifier: MIT */
/* Where a partition's segments come from: its store, larger ones that take its
 * place, and, instead of segments that are pinned, others mapped on demand. */
#include "core/partition_parts.h"

#include "core/debug.h"
#include "core/memory.h"

/* Segments beyond those that the bounds let fill, so that a flush of a few items
 * does not take the room of a whole batch from the inserts after it. */
#define SPARE_SEGMENTS 2

/* A segment beyond those that the partition started with. */
struct substitute {
	struct list link;
	struct store store; /* of size 0 if it is a part of the partition's */
	struct segment segment;
};

/* Workers know no memory but what was there when their fork server was born. So a
 * store that they share has room for as many substitutes as there are segments, and
 * does not grow. */
static bool is_shared(const struct partition *partition)
{
	return partition->options->flusher == DATABUFFER_PROCESSES;
}

/* A store that all segments have left, or will have. */
struct supply_growth {
	struct list link;
	struct store store;
	uint32_t slots;
	unsigned segments; /* that are still in it */
};

static size_t footprint(const struct partition *partition, uint32_t slots)
{
	return segment_footprint(slots, (uint32_t)partition->options->max_bytes);
}

static void init_segment(struct partition *partition, struct segment *segment, unsigned char *memory)
{
	segment_init(segment, memory, partition->slots, (uint32_t)partition->options->max_bytes, partition->fenced);
}

/* Where a segment that is no substitute has its place; NULL for a substitute. */
static unsigned char *place_of(const struct partition *partition, const struct segment *segment)
{
	if (segment < partition->segments || segment >= partition->segments + partition->segment_count)
		return NULL;
	return partition->store.base + (size_t)(segment - partition->segments) * footprint(partition, partition->slots);
}

int supply_init(struct partition *partition)
{
	const databuffer_options *o = partition->options;
	list_init(&partition->substitute_list);
	list_init(&partition->outgrown);
	partition->slots = (uint32_t)(o->max_size + o->max_size_jitter);
	partition->segment_count =
		(unsigned)(1 + o->max_in_flight + o->max_queued + o->max_stuck + SPARE_SEGMENTS);
	size_t size = partition->segment_count * footprint(partition, partition->slots);
	bool mapped = is_shared(partition) ? store_init_shared(&partition->store, 2 * size) :
	                                     store_init_memory(&partition->store, size);
	if (!mapped)
		return DATABUFFER_ENOMEM;
	partition->segments = memory_get_zeroed(o->allocator, partition->segment_count, sizeof(*partition->segments));
	if (!partition->segments) {
		store_fini(&partition->store);
		return DATABUFFER_ENOMEM;
	}
	for (unsigned i = 0; i < partition->segment_count; i++) {
		init_segment(partition, &partition->segments[i], place_of(partition, &partition->segments[i]));
		list_push_back(&partition->free, &partition->segments[i].link);
	}
	return 0;
}

static void free_substitute(struct partition *partition, struct substitute *substitute)
{
	list_remove(&substitute->link);
	if (substitute->store.size > 0)
		store_fini(&substitute->store);
	memory_free(partition->options->allocator, substitute);
	partition->substitutes--;
}

/* --- Larger segments ---------------------------------------------------------------- */

struct supply_growth *supply_map(const struct partition *partition, uint32_t slots)
{
	struct supply_growth *growth = memory_get_zeroed(partition->options->allocator, 1, sizeof(*growth));
	if (!growth || !store_init_memory(&growth->store, partition->segment_count * footprint(partition, slots))) {
		memory_free(partition->options->allocator, growth);
		return NULL;
	}
	growth->slots = slots;
	list_init(&growth->link);
	return growth;
}

void supply_unmap(const struct partition *partition, struct supply_growth *growth)
{
	if (!growth)
		return;
	store_fini(&growth->store);
	memory_free(partition->options->allocator, growth);
}

/* One segment less in an outgrown store; the last takes it along. */
static void leave_store(struct partition *partition, const unsigned char *memory)
{
	struct list *node, *next;
	LIST_FOREACH_SAFE(node, next, &partition->outgrown)
	{
		struct supply_growth *old = LIST_ENTRY(node, struct supply_growth, link);
		if (memory < old->store.base || memory >= old->store.base + old->store.size || --old->segments > 0)
			continue;
		list_remove(node);
		supply_unmap(partition, old);
	}
}

/* A segment that nobody uses takes its place in the store of now. False: it was a
 * substitute, which is no more. */
static bool move_segment(struct partition *partition, struct segment *segment)
{
	unsigned char *place = place_of(partition, segment);
	if (segment->slots >= partition->slots)
		return true;
	if (!place) {
		list_remove(&segment->link);
		free_substitute(partition, LIST_ENTRY(segment, struct substitute, segment));
		return false;
	}
	const unsigned char *memory = (const unsigned char *)(const void *)segment->index;
	init_segment(partition, segment, place);
	leave_store(partition, memory);
	return true;
}

struct supply_growth *supply_grow(struct partition *partition, struct supply_growth *growth)
{
	struct list idle, *node;
	if (growth->slots <= partition->slots)
		return growth; /* others were faster */
	struct store outgrown = partition->store;
	uint32_t slots = partition->slots;
	partition->store = growth->store;
	partition->slots = growth->slots;
	growth->store = outgrown;
	growth->slots = slots;
	growth->segments = 1; /* this function, so that it is here to the end */
	for (unsigned i = 0; i < partition->segment_count; i++)
		growth->segments += partition->segments[i].slots == slots;
	list_push_back(&partition->outgrown, &growth->link);
	list_init(&idle);
	list_move_all(&partition->free, &idle);
	while ((node = list_pop_front(&idle)) != NULL)
		if (move_segment(partition, SEGMENT_OF(node)))
			list_push_back(&partition->free, node);
	if (--growth->segments > 0)
		return NULL;
	list_remove(&growth->link);
	return growth;
}

void supply_fini(struct partition *partition)
{
	struct list *node;
	while ((node = list_first(&partition->substitute_list)) != NULL)
		free_substitute(partition, LIST_ENTRY(node, struct substitute, link));
	while ((node = list_pop_front(&partition->outgrown)) != NULL)
		supply_unmap(partition, LIST_ENTRY(node, struct supply_growth, link));
	memory_free(partition->options->allocator, partition->segments);
	store_fini(&partition->store);
}

/* A handler may be what forked, and still walk its batch: what flies keeps its
 * memory. */
static void reset_segment(struct partition *partition, struct segment *segment, unsigned char *memory)
{
	if (segment->flying) {
		segment->abandoned = true;
		partition->draining++;
		return;
	}
	batch_finish(&segment->batch);
	list_init(&segment->link);
	if (segment->slots >= partition->slots)
		init_segment(partition, segment, memory);
	if (move_segment(partition, segment))
		list_push_back(&partition->free, &segment->link);
}

void supply_reset(struct partition *partition)
{
	struct list *node, *next;
	if (is_shared(partition))
		store_part(&partition->store);
	partition->draining = 0;
	for (unsigned i = 0; i < partition->segment_count; i++)
		reset_segment(partition, &partition->segments[i], place_of(partition, &partition->segments[i]));
	LIST_FOREACH_SAFE(node, next, &partition->substitute_list)
	{
		struct substitute *substitute = LIST_ENTRY(node, struct substitute, link);
		reset_segment(partition, &substitute->segment, substitute->store.base);
	}
}

void supply_give_back(struct partition *partition)
{
	struct list *node;
	LIST_FOREACH(node, &partition->free)
		segment_give_back(SEGMENT_OF(node));
	partition->gave_back = true;
}

int64_t partition_give_back_at(const struct partition *partition)
{
	int64_t idle = partition->options->idle_memory;
	if (idle == 0 || partition->gave_back)
		return PORT_NEVER;
	return port_deadline_ns(partition->used_ns, idle);
}

/* A segment whose batch is done is free, unless somebody still reads it or has
 * slots in it. The one freed last is used first: its memory is still in the caches. */
unsigned supply_release(struct partition *partition, struct segment *segment)
{
	segment->draining = segment->pins > 0;
	if (segment->draining) {
		partition->draining++;
		return 0;
	}
	STEP("supply: to be free");
	if (move_segment(partition, segment))
		list_push_front(&partition->free, &segment->link);
	return TODO_ROOM;
}

unsigned partition_unpin(struct partition *partition, struct segment *segment)
{
	ASSERT(segment->pins > 0 && partition_is_valid(partition));
	STEP("supply: to unpin");
	if (--segment->pins > 0 || !segment->draining)
		return 0;
	partition->draining--;
	return supply_release(partition, segment);
}

static bool find_memory(const struct partition *partition, struct store *store)
{
	size_t size = footprint(partition, partition->slots);
	if (!is_shared(partition))
		return store_init_memory(store, size);
	if (partition->substitutes == partition->segment_count)
		return false;
	*store = (struct store){ partition->store.base + (partition->segment_count + partition->substitutes) * size, 0 };
	return true;
}

/* In place of segments whose memory is pinned others are mapped, so that a slot
 * that is held, or a dump that takes its time, holds up nobody. */
bool supply_has_free(struct partition *partition)
{
	if (!list_is_empty(&partition->free))
		return true;
	if (partition->substitutes >= partition->draining)
		return false;
	struct substitute *substitute = memory_get_zeroed(partition->options->allocator, 1, sizeof(*substitute));
	if (!substitute || !find_memory(partition, &substitute->store)) {
		memory_free(partition->options->allocator, substitute);
		return false;
	}
	init_segment(partition, &substitute->segment, substitute->store.base);
	list_push_back(&partition->free, &substitute->segment.link);
	list_push_back(&partition->substitute_list, &substitute->link);
	partition->substitutes++;
	return true;
}
