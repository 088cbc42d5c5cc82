/* SPDX-License-Identifier: MIT */
/* Where a partition's segments come from: its store, and, in place of those that
 * are pinned, others mapped on demand. */
#include "core/partition_parts.h"

#include <stdlib.h>

#include "core/debug.h"

/* Segments beyond those that the bounds let fill, so that a flush of a few items
 * does not take the room of a whole batch from the inserts after it. */
#define SPARE_SEGMENTS 2

/* A segment beyond those that the partition started with. */
struct substitute {
	struct list link;
	struct store store;
	struct segment segment;
};

static size_t footprint(const databuffer_options *o)
{
	return segment_footprint((uint32_t)(o->max_size + o->max_size_jitter), (uint32_t)o->max_bytes);
}

static void init_segment(struct partition *partition, struct segment *segment, unsigned char *memory)
{
	const databuffer_options *o = partition->options;
	segment_init(segment, memory, (uint32_t)(o->max_size + o->max_size_jitter), (uint32_t)o->max_bytes,
	             partition->fenced);
	list_push_back(&partition->free, &segment->link);
}

int supply_init(struct partition *partition)
{
	const databuffer_options *o = partition->options;
	list_init(&partition->substitute_list);
	partition->segment_count =
		(unsigned)(1 + o->max_in_flight + o->max_queued + o->max_stuck + SPARE_SEGMENTS);
	if (!store_init_memory(&partition->store, partition->segment_count * footprint(o)))
		return DATABUFFER_ENOMEM;
	partition->segments = calloc(partition->segment_count, sizeof(*partition->segments));
	if (!partition->segments) {
		store_fini(&partition->store);
		return DATABUFFER_ENOMEM;
	}
	for (unsigned i = 0; i < partition->segment_count; i++)
		init_segment(partition, &partition->segments[i], partition->store.base + i * footprint(o));
	return 0;
}

void supply_fini(struct partition *partition)
{
	struct list *node;
	while ((node = list_pop_front(&partition->substitute_list)) != NULL) {
		struct substitute *substitute = LIST_ENTRY(node, struct substitute, link);
		store_fini(&substitute->store);
		free(substitute);
	}
	free(partition->segments);
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
	init_segment(partition, segment, memory);
}

void supply_reset(struct partition *partition)
{
	struct list *node;
	partition->draining = 0;
	for (unsigned i = 0; i < partition->segment_count; i++)
		reset_segment(partition, &partition->segments[i],
		              partition->store.base + i * footprint(partition->options));
	LIST_FOREACH(node, &partition->substitute_list)
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
	list_push_front(&partition->free, &segment->link);
	return TODO_ROOM;
}

unsigned partition_unpin(struct partition *partition, struct segment *segment)
{
	ASSERT(segment->pins > 0);
	if (--segment->pins > 0 || !segment->draining)
		return 0;
	partition->draining--;
	return supply_release(partition, segment);
}

/* In place of segments whose memory is pinned others are mapped, so that a slot
 * that is held, or a dump that takes its time, holds up nobody. */
bool supply_has_free(struct partition *partition)
{
	if (!list_is_empty(&partition->free))
		return true;
	if (partition->substitutes >= partition->draining)
		return false;
	struct substitute *substitute = calloc(1, sizeof(*substitute));
	if (!substitute || !store_init_memory(&substitute->store, footprint(partition->options))) {
		free(substitute);
		return false;
	}
	init_segment(partition, &substitute->segment, substitute->store.base);
	list_push_back(&partition->substitute_list, &substitute->link);
	partition->substitutes++;
	return true;
}
