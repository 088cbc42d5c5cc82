/* SPDX-License-Identifier: MIT */
/*
 * A partition's account, taken anew: what is kept as it goes along is held
 * against a count over open, queue and flying. What is found first is what is
 * told; the rest mostly follows from it.
 */
#include "core/buffer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/log.h"
#include "core/partition_parts.h"

/* What a walk over all that is held comes to. */
struct tally {
	uint64_t open, items, bytes;           /* bytes: of queue and flying */
	uint64_t waiting_items, waiting_bytes; /* those that count against the bounds */
	unsigned queued, flying, stuck, listed;
};

__attribute__((format(printf, 2, 3))) static bool broken(struct partition_fault *fault, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(fault->text, sizeof(fault->text), fmt, args);
	va_end(args);
	return false;
}

static bool agrees(struct partition_fault *fault, const char *what, uint64_t kept, uint64_t counted)
{
	if (kept == counted)
		return true;
	return broken(fault, "%s is kept as %" PRIu64 ", but counted anew it is %" PRIu64, what, kept, counted);
}

/* --- The walk ------------------------------------------------------------------------------ */

static bool batch_holds(struct partition_fault *fault, const struct segment *segment)
{
	const struct databuffer_batch *batch = &segment->batch;
	if (segment->sealed && batch->from <= batch->to && batch->to <= batch->end && batch->end <= segment->settled &&
	    segment->settled <= segment->capacity)
		return true;
	return broken(fault,
	              "batch %" PRIu64 " stands at items %" PRIu32 " to %" PRIu32 ", ends at %" PRIu32
	              " and has %" PRIu32 " of at most %" PRIu32 "%s",
	              segment->sequence, batch->from, batch->to, batch->end, segment->settled, segment->capacity,
	              segment->sealed ? "" : ", and is not sealed");
}

static bool count_list(struct partition_fault *fault, const struct list *list, bool flying, struct tally *tally)
{
	const struct list *node;
	uint64_t before = 0;
	if (!list_is_valid(list))
		return broken(fault, "the list of batches %s is torn", flying ? "in flight" : "that wait");
	LIST_FOREACH(node, list)
	{
		const struct segment *segment = SEGMENT_OF(node);
		if (!batch_holds(fault, segment))
			return false;
		if (!segment_is_valid(segment))
			return broken(fault, "the slots and bytes of batch %" PRIu64 " do not add up", segment->sequence);
		/* Those in flight stand in the order in which they were taken. */
		if (!flying && segment->sequence <= before)
			return broken(fault, "batch %" PRIu64 " waits behind batch %" PRIu64, segment->sequence, before);
		before = segment->sequence;
		tally->items += batch_left(&segment->batch);
		if (!segment->stuck)
			tally->waiting_items += batch_left(&segment->batch);
		tally->stuck += segment->stuck;
		tally->listed++;
		if (flying)
			tally->flying++;
		else
			tally->queued++;
	}
	return true;
}

static bool count(struct partition_fault *fault, const struct partition *partition, struct tally *tally)
{
	const struct list *node;
	if (!count_list(fault, &partition->queue, false, tally) || !count_list(fault, &partition->flying, true, tally))
		return false;
	if (partition->open) {
		if (!segment_is_valid(partition->open))
			return broken(fault, "the leases of the open batch, %" PRIu64 ", do not add up",
			              partition->open->sequence);
		tally->open = segment_count(partition->open);
		tally->listed++;
	}
	LIST_FOREACH(node, &partition->free)
		tally->listed++;
	return true;
}

/* Every item, which the counts can do without. */
static void count_bytes(const struct partition *partition, struct tally *tally)
{
	const struct list *node, *lists[] = { &partition->queue, &partition->flying };
	for (unsigned i = 0; i < 2; i++) {
		LIST_FOREACH(node, lists[i])
		{
			uint64_t bytes = batch_left_bytes(&SEGMENT_OF(node)->batch);
			tally->bytes += bytes;
			if (!SEGMENT_OF(node)->stuck)
				tally->waiting_bytes += bytes;
		}
	}
}

/* --- The comparison -------------------------------------------------------------------------- */

static bool counts_agree(struct partition_fault *fault, const struct partition *partition, const struct tally *tally)
{
	/* Inserts go on in their leases, so what is open is counted once. */
	uint64_t inserted = partition->accepted + tally->open, held = tally->items + tally->open;
	uint64_t outcomes = held + partition->flushed + partition->dead + partition->dropped + partition->left;
	if (inserted != outcomes)
		return broken(fault,
		              "inserted is %" PRIu64 ", but held %" PRIu64 " + flushed %" PRIu64 " + dead %" PRIu64
		              " + dropped %" PRIu64 " + left %" PRIu64 " is %" PRIu64,
		              inserted, held, partition->flushed, partition->dead, partition->dropped,
		              partition->left, outcomes);
	/* A stop takes what it gives up out of all lists. */
	unsigned segments = partition->segment_count + partition->substitutes - partition->draining;
	return agrees(fault, "held", partition->held + tally->open, held) &&
	       agrees(fault, "the number of batches that wait", partition->queued, tally->queued) &&
	       agrees(fault, "the number of batches in flight", partition->in_flight + partition->stuck, tally->flying) &&
	       agrees(fault, "the number of late flushes gone on without", partition->stuck, tally->stuck) &&
	       agrees(fault, "what counts against the bounds, in items,", partition->waiting_items,
	              tally->waiting_items) &&
	       (partition->stopping || agrees(fault, "the number of segments", segments, tally->listed));
}

bool partition_is_valid(const struct partition *partition)
{
	struct partition_fault fault;
	struct tally tally = { 0 };
	return count(&fault, partition, &tally) && counts_agree(&fault, partition, &tally);
}

bool partition_check(const struct partition *partition, struct partition_fault *fault)
{
	struct tally tally = { 0 };
	if (!count(fault, partition, &tally) || !counts_agree(fault, partition, &tally))
		return false;
	count_bytes(partition, &tally);
	return agrees(fault, "held, in bytes,", partition->held_bytes, tally.bytes) &&
	       agrees(fault, "what counts against the bounds, in bytes,", partition->waiting_bytes, tally.waiting_bytes);
}

/* --- The public function ------------------------------------------------------------------------ */

int databuffer_check(databuffer *buf)
{
	int rc = buffer_enter(buf);
	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < buf->partition_count && rc == 0; i++) {
		struct partition *partition = &buf->partitions[i];
		struct partition_fault fault;
		pthread_mutex_lock(&partition->lock);
		bool sound = partition_check(partition, &fault);
		pthread_mutex_unlock(&partition->lock);
		if (sound)
			continue;
		rc = DATABUFFER_EBROKEN;
		log_line(&buf->options, DATABUFFER_LOG_ERROR,
		         "buffer '%s', partition %u: %s; this is a fault of the library's, or its memory was written over",
		         partition->name, i, fault.text);
	}
	buffer_leave(buf);
	return rc;
}
