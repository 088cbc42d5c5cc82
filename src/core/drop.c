/* SPDX-License-Identifier: MIT */
/* handle_drop, item by item, and the line of those who have none. */
#include "core/drop.h"

#include "core/flusher.h"
#include "core/log.h"
#include "core/registry.h"

#define QUIET_NS (1000 * PORT_NS_PER_MS)

static _Thread_local const struct databuffer *inside;

bool drop_is_inside(const struct databuffer *buf)
{
	return inside == buf;
}

/* One line a second is enough to see that items are lost. */
static void warn(struct partition *partition)
{
	struct databuffer *buf = partition->buffer;
	int64_t now = port_now_ns(), quiet = atomic_load_explicit(&buf->drop_quiet_until_ns, memory_order_relaxed);
	if (now < quiet ||
	    !atomic_compare_exchange_strong_explicit(&buf->drop_quiet_until_ns, &quiet, now + QUIET_NS,
	                                             memory_order_relaxed, memory_order_relaxed))
		return;
	pthread_mutex_lock(&partition->lock);
	uint64_t dropped = partition->dropped;
	pthread_mutex_unlock(&partition->lock);
	log_line(&buf->options, DATABUFFER_LOG_WARNING,
	         "buffer '%s', partition %u: no room, and %llu items given up so far; set handle_drop to keep such items",
	         partition->name, partition->number, (unsigned long long)dropped);
}

/* What stays the same while the program's code runs: whose it is, and in which
 * process. */
struct telling {
	struct producer *producer;
	const struct databuffer *outer_inside;
	struct databuffer *outer;
	uint32_t generation;
};

static struct telling begin(struct producer *producer, struct databuffer *buf)
{
	struct telling telling = { producer, inside, flusher_enter(buf), fork_generation() };
	producer->busy++; /* its thread may find the buffer gone meanwhile, and goes on with it nevertheless */
	inside = buf;
	return telling;
}

static void end(const struct telling *telling)
{
	telling->producer->busy--;
	inside = telling->outer_inside;
	flusher_enter(telling->outer);
}

/* In a child that the handler forked the items are the parent's. */
static bool tell(const struct telling *telling, const struct partition *partition, databuffer_item item,
                 const databuffer_reason *reason)
{
	const databuffer_options *options = partition->options;
	options->handle_drop(&item, reason, options->flush_meta);
	return telling->generation == fork_generation();
}

static databuffer_item item_at(const struct dropped *dropped, uint32_t slot)
{
	const struct segment *segment = dropped->segment;
	size_t len = dropped->item_len;
	if (len != LANE_MIXED)
		return (databuffer_item){ segment->arena + slot * len, len };
	uint64_t entry = atomic_load_explicit(&segment->index[slot], memory_order_relaxed);
	return (databuffer_item){ segment->arena + slot_offset(entry), slot_len(entry) };
}

void drop_tell_oldest(struct producer *producer, struct partition *partition, const struct dropped *dropped)
{
	if (!dropped->segment)
		return;
	databuffer_reason reason = {
		.partition = partition->number,
		.status = dropped->status,
		.attempts = dropped->attempts,
		.text = "there was no room, and overflow is drop_oldest: this was the oldest item",
	};
	struct telling telling = begin(producer, partition->buffer);
	if (!partition->options->handle_drop)
		warn(partition);
	for (uint32_t slot = dropped->from; slot < dropped->to && partition->options->handle_drop; slot++)
		if (!tell(&telling, partition, item_at(dropped, slot), &reason))
			break;
	end(&telling);
	if (telling.generation != fork_generation())
		return; /* where the segment is free */
	pthread_mutex_lock(&partition->lock);
	buffer_unlock(partition, partition_unpin(partition, dropped->segment));
}

void drop_tell_newest(struct producer *producer, struct partition *partition, const struct lease_request *request,
                      const void *data)
{
	bool asked = partition->options->overflow == DATABUFFER_OVERFLOW_DROP_NEWEST;
	databuffer_reason reason = {
		.partition = partition->number,
		.text = asked ? "there was no room, and overflow is drop_newest: this was the newest item" :
		                "there was no room, and overflow is drop_oldest, but there was no older item to give up",
	};
	struct telling telling = begin(producer, partition->buffer);
	if (!partition->options->handle_drop)
		warn(partition);
	for (uint32_t i = 0; i < request->n && partition->options->handle_drop; i++) {
		databuffer_item item = { (const char *)data + (size_t)i * request->item_size, request->item_size };
		if (!tell(&telling, partition, request->items ? request->items[i] : item, &reason))
			break;
	}
	end(&telling);
}
