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
	struct store store; /* of size 0 if it is a part of the partition's */
	struct segment segment;
};

/* Workers know no memory but what was there when their fork server was born. So a
 * store that they share has room for as many substitutes as there are segments. */
static bool is_shared(const struct partition *partition)
{
	return partition->options->flusher == DATABUFFER_PROCESSES;
}

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
	bool mapped = is_shared(partition) ?
	                      store_init_shared(&partition->store, 2 * partition->segment_count * footprint(o)) :
	                      store_init_memory(&partition->store, partition->segment_count * footprint(o));
	if (!mapped)
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
		if (substitute->store.size > 0)
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
	if (is_shared(partition))
		store_part(&partition->store);
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

static bool find_memory(const struct partition *partition, struct store *store)
{
	size_t size = footprint(partition->options);
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
	struct substitute *substitute = calloc(1, sizeof(*substitute));
	if (!substitute || !find_memory(partition, &substitute->store)) {
		free(substitute);
		return false;
	}
	init_segment(partition, &substitute->segment, substitute->store.base);
	list_push_back(&partition->substitute_list, &substitute->link);
	partition->substitutes++;
	return true;
}
