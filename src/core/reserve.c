/* SPDX-License-Identifier: MIT */
/* Reserving a slot, writing into it in place, and committing it. */
#include "core/debug.h"
#include "core/insert.h"
#include "core/telemetry.h"

static struct hold *free_hold(struct producer *producer)
{
	for (unsigned i = 0; i < PRODUCER_HOLDS; i++)
		if (!producer->holds[i].segment)
			return &producer->holds[i];
	return NULL;
}

static int reserve_inside(struct databuffer *buf, size_t len, databuffer_slot *slot)
{
	if (len > (size_t)buf->options.max_bytes)
		return DATABUFFER_EMSGSIZE;
	struct producer *producer = producer_get(buf);
	if (!producer) {
		bool running = atomic_load_explicit(&buf->state, memory_order_acquire) == BUFFER_RUNNING;
		return running ? DATABUFFER_ENOMEM : DATABUFFER_ESTOPPED;
	}
	struct hold *hold = free_hold(producer);
	if (!hold)
		return DATABUFFER_EBUSY;

	struct lane *lane = NULL;
	struct lease_request request = { .item_size = (uint32_t)len, .n = 1, .payload = len, .hold = true };
	struct insert_deadline deadline = { .timeout_ms = -1 };
	int rc = insert_waiting(producer, &lane, &request, NULL, hold, &deadline);
	if (rc != 0)
		return rc;
	STEP("reserve: has a slot");
	producer->hold_count++;
	buffer_retain(buf); /* its memory stays, over a stop too */
	*slot = (databuffer_slot){
		.data = hold->segment->arena + hold->offset,
		.len = len,
		.internal_owner = producer,
		.internal_place = (uint64_t)(hold - producer->holds),
	};
	return 0;
}

int databuffer_reserve(databuffer *buf, size_t len, databuffer_slot *slot)
{
	if (!slot)
		return DATABUFFER_EINVAL;
	int rc = buffer_enter(buf);
	if (rc != 0)
		return rc;
	int64_t begin = telemetry_wants(DATABUFFER_INSERT_EXCEPTION) ? port_now_ns() : 0;
	rc = reserve_inside(buf, len, slot);
	if (rc != 0 && telemetry_wants(INSERT_EVENTS)) {
		insert_emit(buf, DATABUFFER_INSERT_START, 0, 1, len, 0, 0);
		insert_emit(buf, DATABUFFER_INSERT_EXCEPTION, 0, 1, len, begin ? port_now_ns() - begin : 0, rc);
	}
	buffer_leave(buf);
	return rc;
}

/* The hold behind a slot, or NULL if it is used up. */
static struct hold *hold_of(databuffer_slot *slot)
{
	if (!slot || !slot->internal_owner || slot->internal_place >= PRODUCER_HOLDS)
		return NULL;
	struct producer *producer = slot->internal_owner;
	struct hold *hold = &producer->holds[slot->internal_place];
	return hold->segment ? hold : NULL;
}

/* Its batch was cut: the item moves into the next one, as an insert of its own. */
static int move_on(struct databuffer *buf, const struct hold *hold)
{
	return databuffer_insert(buf, hold->segment->arena + hold->offset, hold->len);
}

static int commit(struct databuffer *buf, struct producer *producer, struct hold *hold)
{
	struct partition *partition = hold->partition;
	int rc = 0;
	unsigned todo;
	STEP("reserve: to commit");
	pthread_mutex_lock(&partition->lock);
	bool in_place = !hold->segment->sealed;
	if (in_place) {
		segment_resolve(hold->segment, hold->slot, hold->offset, hold->len, true);
		todo = partition_filled(partition, buffer_now_ns(buf));
	} else {
		pthread_mutex_unlock(&partition->lock);
		STEP("reserve: batch is cut");
		rc = move_on(buf, hold);
		STEP("reserve: moved on");
		pthread_mutex_lock(&partition->lock);
		todo = partition_unpin(partition, hold->segment);
	}
	producer_drop_hold(producer, hold);
	buffer_unlock(partition, todo);
	if (in_place) {
		/* The insert's events, both now: until here there was nothing to tell. */
		insert_emit(buf, DATABUFFER_INSERT_START, partition->number, 1, hold->len, 0, 0);
		insert_emit(buf, DATABUFFER_INSERT_STOP, partition->number, 1, hold->len, 0, 0);
	}
	return rc;
}

int databuffer_commit(databuffer_slot *slot)
{
	struct hold *hold = hold_of(slot);
	if (!hold)
		return DATABUFFER_EINVAL;
	struct databuffer *buf = hold->partition->buffer;
	buffer_begin_call();
	int rc = commit(buf, slot->internal_owner, hold);
	slot->internal_owner = NULL;
	pressure_tell(buf);
	buffer_release(buf);
	buffer_end_call();
	return rc;
}

int databuffer_abort(databuffer_slot *slot)
{
	struct hold *hold = hold_of(slot);
	if (!hold)
		return DATABUFFER_EINVAL;
	struct producer *producer = slot->internal_owner;
	buffer_begin_call();
	producer_abort_hold(producer, hold);
	slot->internal_owner = NULL;
	buffer_end_call();
	return 0;
}
