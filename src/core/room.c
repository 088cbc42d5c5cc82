/* SPDX-License-Identifier: MIT */
/* What an insert does that its lane has no room for: other leases, other
 * partitions, waiting, or giving items up. */
#include "core/buffer.h"
#include "core/debug.h"
#include "core/drop.h"
#include "core/insert.h"
#include "core/producer.h"

static enum lane_put put(struct lane *lane, const struct lease_request *request, const void *data)
{
	if (request->items)
		return lane_put_items(lane, request->items, request->n);
	if (request->n == 1)
		return lane_put(lane, data, request->item_size);
	return lane_put_array(lane, data, request->n, request->item_size);
}

/* Leases room in one partition, and fills it at once, under the lock, so that no
 * recall can come between. With `dropped`, the oldest items of a full partition go
 * for it. */
static enum partition_room put_into(struct lane *lane, const struct lease_request *request, const void *data,
                                    struct hold *hold, bool recall, struct dropped *dropped)
{
	struct partition *partition = lane->partition;
	unsigned todo = 0;
	STEP("insert: no lease");
	pthread_mutex_lock(&partition->lock);
	pressure_limit(partition);
	if (!hold && partition_lease_open(partition, lane, request)) {
		if (put(lane, request, data) == LANE_EXHAUSTED) {
			buffer_unlock(partition, partition_filled(partition, buffer_now_ns(partition->buffer)));
		} else {
			pressure_count(partition);
			pthread_mutex_unlock(&partition->lock);
		}
		return ROOM_LEASED;
	}
	int64_t now = buffer_now_ns(partition->buffer);
	enum partition_room room = partition_lease(partition, lane, request, recall, now, &todo);
	if (room == ROOM_NONE && dropped && partition_drop_oldest(partition, request, now, dropped, &todo))
		room = partition_lease(partition, lane, request, recall, now, &todo);
	if (room == ROOM_LEASED && hold) {
		hold->segment = lane->segment;
		hold->partition = partition;
		hold->len = request->item_size;
		segment_hold(lane->segment, lane, hold->len, &hold->slot, &hold->offset);
	} else if (room == ROOM_LEASED && put(lane, request, data) == LANE_EXHAUSTED) {
		todo |= partition_filled(partition, now);
	}
	buffer_unlock(partition, todo);
	return room;
}

/* Round-robin: the first partition from the producer's cursor on that takes it;
 * one that would have to take room back from others only if none else does. */
static struct lane *put_anywhere(struct producer *producer, const struct lease_request *request, const void *data,
                                 struct hold *hold, uint32_t room_seen)
{
	producer_look_again(producer, room_seen);
	for (int recall = producer->lane_count == 1; recall <= 1; recall++) {
		STEP("insert: goes round");
		struct lane *lane = producer_cursor(producer);
		for (unsigned i = 0; i < producer->lane_count; i++) {
			enum partition_room room = put_into(lane, request, data, hold, recall, NULL);
			producer_skip(producer, lane, room != ROOM_LEASED);
			if (room == ROOM_LEASED) {
				producer_set_cursor(producer, lane->next);
				return lane;
			}
			lane = &producer->lanes[(lane - producer->lanes + 1) % producer->lane_count];
		}
	}
	return NULL;
}

/* Batches have become smaller than what was to go into one. */
static bool is_outgrown(const struct databuffer *buf, const struct lease_request *request)
{
	return request->n > (uint64_t)atomic_load_explicit(&buf->max_size, memory_order_relaxed);
}

/* --- Without room ---------------------------------------------------------------------------- */

static int refuse(struct databuffer *buf, int rc)
{
	if (atomic_load_explicit(&buf->state, memory_order_acquire) != BUFFER_RUNNING)
		return DATABUFFER_ESTOPPED;
	atomic_fetch_add_explicit(&buf->refused, 1, memory_order_relaxed);
	return rc;
}

/* Gives up older items, batch by batch, until the request has room. False: there
 * are none. */
static bool put_over_oldest(struct producer *producer, struct lane *lane, const struct lease_request *request,
                            const void *data, struct hold *hold)
{
	for (;;) {
		struct dropped dropped = { 0 };
		bool done = put_into(lane, request, data, hold, true, &dropped) == ROOM_LEASED;
		bool more = dropped.segment != NULL;
		STEP("insert: gave up the oldest");
		drop_tell_oldest(producer, lane->partition, &dropped);
		/* A child that handle_drop forked has nothing on hold. */
		if (done && (!hold || hold->segment))
			return true;
		if (!done && !more)
			return false;
	}
}

/* No partition has room, and nobody waits for it. */
static int overflow(struct producer *producer, struct lane **lane, const struct lease_request *request,
                    const void *data, struct hold *hold)
{
	struct databuffer *buf = producer->lanes[0].partition->buffer;
	bool drops = buf->options.overflow != DATABUFFER_OVERFLOW_FAIL && !drop_is_inside(buf);
	struct lane *place = *lane ? *lane : producer_cursor(producer);
	bool done = drops && buf->options.overflow == DATABUFFER_OVERFLOW_DROP_OLDEST &&
	            put_over_oldest(producer, place, request, data, hold);
	if (!done && is_outgrown(buf, request))
		return INSERT_OUTGROWN;
	if (!done && (!drops || hold))
		return refuse(buf, DATABUFFER_EFULL);
	if (!done) {
		pthread_mutex_lock(&place->partition->lock);
		done = partition_drop_newest(place->partition, request->n);
		buffer_unlock(place->partition, 0);
		if (!done)
			return DATABUFFER_ESTOPPED;
		drop_tell_newest(producer, place->partition, request, data);
	}
	/* The next one takes its turn at the next partition. */
	if (!*lane)
		producer_set_cursor(producer, &producer->lanes[(place - producer->lanes + 1) % producer->lane_count]);
	*lane = place;
	return 0;
}

int insert_waiting(struct producer *producer, struct lane **lane, const struct lease_request *request,
                   const void *data, struct hold *hold, struct insert_deadline *deadline)
{
	struct databuffer *buf = producer->lanes[0].partition->buffer;
	for (;;) {
		uint32_t room = atomic_load_explicit(&buf->room, memory_order_seq_cst);
		STEP("insert: heard the bell");
		if (atomic_load_explicit(&buf->state, memory_order_acquire) != BUFFER_RUNNING)
			return DATABUFFER_ESTOPPED;
		if (*lane) {
			if (put_into(*lane, request, data, hold, true, NULL) == ROOM_LEASED)
				return 0;
		} else if ((*lane = put_anywhere(producer, request, data, hold, room)) != NULL) {
			return 0;
		}
		if (is_outgrown(buf, request))
			return INSERT_OUTGROWN;
		if (buf->options.overflow != DATABUFFER_OVERFLOW_BLOCK)
			return overflow(producer, lane, request, data, hold);
		if (deadline->timeout_ms != 0 && deadline->ns == 0)
			deadline->ns = buffer_deadline_ns(buf, deadline->timeout_ms);
		if (deadline->timeout_ms == 0 || port_now_ns() >= deadline->ns)
			break;
		if (!deadline->waited)
			atomic_fetch_add_explicit(&buf->waits, 1, memory_order_relaxed);
		deadline->waited = true;
		STEP("insert: found no room");
		buffer_wait(&buf->room, &buf->room_waiters, room, deadline->ns);
	}
	return refuse(buf, DATABUFFER_ETIMEDOUT);
}
