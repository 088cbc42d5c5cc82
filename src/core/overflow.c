/* SPDX-License-Identifier: MIT */
/* Giving items up so that others have room: which, how many, and their account. */
#include "core/partition_parts.h"

#include "core/debug.h"

/* The batch whose items are the oldest that are not in flight; NULL if there are
 * none. What is open is cut for it when nothing waits. */
static struct segment *oldest(struct partition *partition, const struct shortage *shortage, int64_t now_ns)
{
	if (list_is_empty(&partition->queue) && cut_open_has_items(partition))
		cut_for_room(partition, shortage, now_ns);
	struct list *first = list_first(&partition->queue);
	return first ? SEGMENT_OF(first) : NULL;
}

/* How many of the batch's items make up for the shortage; all of them if it is
 * memory that is short, which only whole batches give back. */
static uint32_t choose(const struct segment *segment, const struct shortage *shortage, uint64_t *bytes)
{
	uint32_t n = 0, left = batch_left(&segment->batch);
	bool whole = shortage->items == 0 && shortage->bytes == 0;
	*bytes = 0;
	while (n < left && (whole || n < shortage->items || *bytes < shortage->bytes))
		*bytes += batch_item(segment, segment->batch.from + n++).len;
	return n;
}

/* Nothing is left of the batch. Its place in the queue goes to the next one, and
 * so does its backoff: the sink is as it was. */
static unsigned retire(struct partition *partition, struct segment *segment)
{
	list_remove(&segment->link);
	partition->queued--;
	partition->batches++;
	struct list *first = list_first(&partition->queue);
	if (first && SEGMENT_OF(first)->not_before_ns < segment->not_before_ns)
		SEGMENT_OF(first)->not_before_ns = segment->not_before_ns;
	partition_tell_dropped(partition, segment);
	return supply_release(partition, segment) | TODO_SETTLED;
}

bool partition_drop_oldest(struct partition *partition, const struct lease_request *request, int64_t now_ns,
                           struct dropped *dropped, unsigned *todo)
{
	ASSERT(partition_is_valid(partition));
	if (partition->stopping)
		return false;
	struct shortage shortage = cut_shortage(partition, request);
	struct segment *segment = oldest(partition, &shortage, now_ns);
	if (!segment)
		return false;
	uint64_t bytes;
	uint32_t n = choose(segment, &shortage, &bytes);
	*dropped = (struct dropped){
		.segment = segment,
		.from = segment->batch.from,
		.to = segment->batch.from + n,
		.item_len = segment->item_len,
		.status = segment->batch.status,
		.attempts = segment->batch.calls,
	};
	segment->pins++;
	partition->held -= n;
	partition->held_bytes -= bytes;
	partition->waiting_items -= n;
	partition->waiting_bytes -= bytes;
	partition->dropped += n;
	batch_skip(&segment->batch, n);
	if (batch_is_done(&segment->batch))
		*todo |= retire(partition, segment);
	else
		partition_tell_dropped(partition, segment);
	/* What was ready may be gone. */
	*todo = (*todo & ~(unsigned)TODO_FLUSH) | cut_advance(partition, now_ns);
	return true;
}

bool partition_drop_newest(struct partition *partition, uint32_t n)
{
	if (partition->stopping)
		return false;
	partition->accepted += n;
	partition->dropped += n;
	ASSERT(partition_is_valid(partition));
	return true;
}
