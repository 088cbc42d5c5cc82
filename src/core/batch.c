/* SPDX-License-Identifier: MIT */
/* The batch accessors, and the life of a batch but for what judge.c makes of it. */
#include "core/batch.h"

#include <sys/uio.h>

#include "core/debug.h"
#include "core/memory.h"
#include "core/segment.h"

databuffer_item batch_item(const struct segment *segment, uint32_t slot)
{
	uint64_t entry = segment_entry(segment, slot);
	return (databuffer_item){ segment->arena + slot_offset(entry), slot_len(entry) };
}

static uint64_t bytes_between(const struct segment *segment, uint32_t from, uint32_t to)
{
	uint64_t bytes = 0;
	for (uint32_t slot = from; slot < to; slot++)
		bytes += batch_item(segment, slot).len;
	return bytes;
}

/* --- For the handler ------------------------------------------------------------- */

int databuffer_batch_next(databuffer_batch *batch, databuffer_item *item)
{
	if (!batch || !item || batch->cursor >= batch->to)
		return 0;
	*item = batch_item(batch->segment, batch->cursor++);
	return 1;
}

void databuffer_batch_rewind(databuffer_batch *batch)
{
	if (batch)
		batch->cursor = batch->from;
}

databuffer_item databuffer_batch_at(const databuffer_batch *batch, size_t i)
{
	if (!batch || i >= batch->to - batch->from)
		return (databuffer_item){ NULL, 0 };
	return batch_item(batch->segment, batch->from + (uint32_t)i);
}

size_t databuffer_batch_size(const databuffer_batch *batch)
{
	return batch ? batch->to - batch->from : 0;
}

size_t databuffer_batch_bytes(const databuffer_batch *batch)
{
	if (!batch)
		return 0;
	if (batch->from == 0 && batch->to == batch->segment->settled)
		return batch->segment->bytes;
	if (batch->segment->item_len != LANE_MIXED)
		return (size_t)(batch->to - batch->from) * batch->segment->item_len;
	return bytes_between(batch->segment, batch->from, batch->to);
}

const void *databuffer_batch_array(databuffer_batch *batch)
{
	if (!batch || batch->to == batch->from)
		return NULL;
	const struct segment *segment = batch->segment;
	databuffer_item first = batch_item(segment, batch->from);
	if (segment->item_len != LANE_MIXED)
		return first.data;
	bool contiguous = true;
	for (uint32_t slot = batch->from; slot < batch->to; slot++) {
		databuffer_item item = batch_item(segment, slot);
		if (item.len != first.len)
			return NULL;
		if (item.data != (const char *)first.data + (size_t)(slot - batch->from) * first.len)
			contiguous = false;
	}
	if (contiguous)
		return first.data;
	if (batch->array)
		return batch->array;
	char *at = batch->array = memory_get(batch->allocator, (batch->to - batch->from) * first.len);
	for (uint32_t slot = batch->from; at && slot < batch->to; slot++, at += first.len)
		memcpy(at, batch_item(segment, slot).data, first.len);
	return batch->array;
}

/* An entry of the index is a place as it stands. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "slot_entry must lay out a databuffer_place");

databuffer_view databuffer_batch_view(const databuffer_batch *batch)
{
	if (!batch || batch->to == batch->from)
		return (databuffer_view){ 0 };
	const struct segment *segment = batch->segment;
	databuffer_view view = { .size = batch->to - batch->from, .bytes = segment->arena };
	if (segment->item_len == LANE_MIXED) {
		view.places = (const databuffer_place *)(const void *)&segment->index[batch->from];
	} else {
		view.bytes += (size_t)batch->from * segment->item_len;
		view.item_len = segment->item_len;
	}
	return view;
}

const struct iovec *databuffer_batch_iovec(databuffer_batch *batch)
{
	if (!batch || batch->to == batch->from || batch->iovec)
		return batch ? batch->iovec : NULL;
	struct iovec *iovec = memory_get(batch->allocator, (batch->to - batch->from) * sizeof(*iovec));
	batch->iovec = iovec;
	for (uint32_t slot = batch->from; iovec && slot < batch->to; slot++, iovec++) {
		uint64_t entry = segment_entry(batch->segment, slot);
		*iovec = (struct iovec){ batch->segment->arena + slot_offset(entry), slot_len(entry) };
	}
	return batch->iovec;
}

unsigned databuffer_batch_partition(const databuffer_batch *batch)
{
	return batch ? batch->partition : 0;
}

databuffer_trigger databuffer_batch_trigger(const databuffer_batch *batch)
{
	return batch ? batch->trigger : DATABUFFER_TRIGGER_COUNT;
}

const char *databuffer_batch_name(const databuffer_batch *batch)
{
	return batch ? batch->name : "";
}

unsigned databuffer_batch_attempt(const databuffer_batch *batch)
{
	return batch ? batch->attempt : 0;
}

uint64_t databuffer_batch_id(const databuffer_batch *batch)
{
	return batch ? batch->id : 0;
}

int64_t databuffer_batch_deadline(const databuffer_batch *batch)
{
	if (!batch || batch->deadline_ns == PORT_NEVER)
		return INT64_MAX;
	return batch->deadline_ns / PORT_NS_PER_MS;
}

int databuffer_batch_cancelled(const databuffer_batch *batch)
{
	return batch ? atomic_load_explicit(&batch->cancelled, memory_order_relaxed) : 0;
}

void databuffer_batch_set_result(databuffer_batch *batch, void *value)
{
	if (batch)
		batch->value = value;
}

int databuffer_batch_set_result_bytes(databuffer_batch *batch, const void *data, size_t len)
{
	if (!batch || (!data && len > 0) || len > DATABUFFER_RESULT_MAX)
		return DATABUFFER_EINVAL;
	if (!batch->result && len > 0)
		batch->result = memory_get(batch->allocator, DATABUFFER_RESULT_MAX);
	if (!batch->result && len > 0)
		return DATABUFFER_ENOMEM;
	if (len > 0)
		memcpy(batch->result, data, len);
	batch->result_len = (uint32_t)len;
	return 0;
}

static void fill_dead(struct batch_dead *dead, const struct databuffer_batch *batch, uint32_t i, const char *text)
{
	dead->entry = segment_entry(batch->segment, batch->from + i);
	dead->i = i;
	size_t len = strnlen(text, BATCH_REASON_SIZE - 1);
	memcpy(dead->text, text, len);
	dead->text[len] = '\0';
}

/* The array of named items grows by doubling. */
struct batch_dead *batch_add_dead(struct databuffer_batch *batch, uint32_t i, const char *text)
{
	if (batch->dead_most > 0 && batch->dead_count == batch->dead_most)
		return NULL;
	if (batch->dead_count == batch->dead_room) {
		uint32_t room = batch->dead_room ? batch->dead_room * 2 : 4;
		struct batch_dead *dead = memory_grow(batch->allocator, batch->dead,
		                                      batch->dead_room * sizeof(*dead), room * sizeof(*dead));
		if (!dead)
			return NULL;
		batch->dead = dead;
		batch->dead_room = room;
	}
	fill_dead(&batch->dead[batch->dead_count], batch, i, text);
	return &batch->dead[batch->dead_count++];
}

int databuffer_batch_fail(databuffer_batch *batch, size_t i, const char *reason)
{
	if (!batch || i >= batch->to - batch->from)
		return DATABUFFER_EINVAL;
	struct batch_dead *dead = NULL;
	/* Naming an item again replaces what was said of it. Handlers mostly name
	 * items in order, so the last is the first to look at. */
	for (uint32_t known = batch->dead_count; known-- > 0 && !dead && batch->dead[known].i >= i;)
		if (batch->dead[known].i == i)
			dead = &batch->dead[known];
	const char *text = reason ? reason : "the handler named it";
	if (dead)
		fill_dead(dead, batch, (uint32_t)i, text);
	else if (!(dead = batch_add_dead(batch, (uint32_t)i, text)))
		return DATABUFFER_ENOMEM;
	/* Kept in the order of the items, whatever the order of the calls. */
	for (; dead > batch->dead && dead[-1].i > dead->i; dead--) {
		struct batch_dead swap = dead[-1];
		dead[-1] = dead[0];
		dead[0] = swap;
	}
	return 0;
}

/* --- For the flusher --------------------------------------------------------------- */

void batch_init(struct databuffer_batch *batch, struct segment *segment, uint32_t count, databuffer_trigger trigger)
{
	memset(batch, 0, sizeof(*batch));
	batch->segment = segment;
	batch->name = "";
	batch->trigger = trigger;
	batch->to = batch->end = count;
	batch->stride = count;
}

void batch_begin(struct databuffer_batch *batch, int64_t deadline_ns)
{
	batch->attempt++;
	batch->calls++;
	batch->cursor = batch->from;
	batch->deadline_ns = deadline_ns;
	batch->dead_count = 0;
	atomic_store_explicit(&batch->cancelled, 0, memory_order_relaxed);
}

void batch_limit(struct databuffer_batch *batch, uint32_t most)
{
	if (most > 0 && batch->attempt == 0 && batch->to - batch->from > most)
		batch->to = batch->from + most;
}

void batch_finish(struct databuffer_batch *batch)
{
	memory_free(batch->allocator, batch->dead);
	memory_free(batch->allocator, batch->array);
	memory_free(batch->allocator, batch->iovec);
	batch->dead = NULL;
	batch->array = NULL;
	batch->iovec = NULL;
	batch->dead_count = batch->dead_room = 0;
}

void batch_drop_result(struct databuffer_batch *batch)
{
	memory_free(batch->allocator, batch->result);
	batch->result = NULL;
	batch->result_len = 0;
}

bool batch_is_done(const struct databuffer_batch *batch)
{
	return batch->from == batch->end;
}

uint32_t batch_left(const struct databuffer_batch *batch)
{
	return batch->end - batch->from;
}

uint64_t batch_left_bytes(const struct databuffer_batch *batch)
{
	return bytes_between(batch->segment, batch->from, batch->end);
}
