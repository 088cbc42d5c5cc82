/* SPDX-License-Identifier: MIT */
/* The batch accessors, and the judging of answers. */
#include "core/batch.h"

#include <stdlib.h>
#include <sys/uio.h>

#include "core/debug.h"
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
	char *at = batch->array = malloc((batch->to - batch->from) * first.len);
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
	struct iovec *iovec = batch->iovec = malloc((batch->to - batch->from) * sizeof(*iovec));
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
		batch->result = malloc(DATABUFFER_RESULT_MAX);
	if (!batch->result && len > 0)
		return DATABUFFER_ENOMEM;
	if (len > 0)
		memcpy(batch->result, data, len);
	batch->result_len = (uint32_t)len;
	return 0;
}

/* The array of named items grows by doubling. */
static struct batch_dead *add_dead(struct databuffer_batch *batch)
{
	if (batch->dead_most > 0 && batch->dead_count == batch->dead_most)
		return NULL;
	if (batch->dead_count == batch->dead_room) {
		uint32_t room = batch->dead_room ? batch->dead_room * 2 : 4;
		struct batch_dead *dead = realloc(batch->dead, room * sizeof(*dead));
		if (!dead)
			return NULL;
		batch->dead = dead;
		batch->dead_room = room;
	}
	return &batch->dead[batch->dead_count++];
}

static void fill_dead(struct batch_dead *dead, const struct databuffer_batch *batch, uint32_t i, const char *text)
{
	dead->entry = segment_entry(batch->segment, batch->from + i);
	dead->i = i;
	size_t len = strnlen(text, BATCH_REASON_SIZE - 1);
	memcpy(dead->text, text, len);
	dead->text[len] = '\0';
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
	if (!dead)
		dead = add_dead(batch);
	if (!dead)
		return DATABUFFER_ENOMEM;
	fill_dead(dead, batch, (uint32_t)i, reason ? reason : "the handler named it");
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
	free(batch->dead);
	free(batch->array);
	free(batch->iovec);
	batch->dead = NULL;
	batch->array = NULL;
	batch->iovec = NULL;
	batch->dead_count = batch->dead_room = 0;
}

void batch_drop_result(struct databuffer_batch *batch)
{
	free(batch->result);
	batch->result = NULL;
	batch->result_len = 0;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Other items than those of the last call are a batch of their own. */
static void count_anew(struct databuffer_batch *batch)
{
	batch->attempt = 0;
	batch->failing = false;
	batch->id = 0;
	batch->kills = 0;
}

static bool is_spent(const struct databuffer_batch *batch)
{
	return batch->from < batch->spent_end;
}

/* Sets `to` for the next call. Items that were given up are tried apart from
 * those that still have attempts. */
static void choose_next(struct databuffer_batch *batch)
{
	count_anew(batch);
	if (batch->bad_end > batch->from) {
		uint32_t suspects = batch->bad_end - batch->from;
		batch->to = batch->from + (suspects > 1 ? suspects / 2 : 1);
	} else {
		uint32_t end = is_spent(batch) ? batch->spent_end : batch->end;
		batch->to = batch->from + smaller(batch->stride, end - batch->from);
	}
}

/* Items [from, to) have their outcome. */
static void settle(struct databuffer_batch *batch)
{
	batch->from = batch->to;
	choose_next(batch);
}

/* Takes the named items out of the segment's index, so that [from, to) are the
 * others. The entries above move down with them. */
static void take_out_named(struct databuffer_batch *batch)
{
	struct segment *segment = batch->segment;
	uint32_t to = batch->from, named = 0;
	segment_index(segment);
	for (uint32_t from = batch->from; from < batch->end; from++) {
		if (named < batch->dead_count && batch->from + batch->dead[named].i == from) {
			named++;
			continue;
		}
		atomic_store_explicit(&segment->index[to++],
		                      atomic_load_explicit(&segment->index[from], memory_order_relaxed),
		                      memory_order_relaxed);
	}
	batch->to -= named;
	batch->end -= named;
	if (is_spent(batch))
		batch->spent_end -= named;
	batch->bad_end = 0;
	count_anew(batch);
	segment->settled -= named;
	if (batch->to == batch->from)
		settle(batch);
}

/* Names one item that has failed alone, and, where that has been so often enough,
 * all that were given up with it. False without memory to say so. */
static bool name_bad(struct databuffer_batch *batch, bool answered, const char *text)
{
	struct batch_dead *dead = add_dead(batch);
	if (!dead)
		return false;
	fill_dead(dead, batch, 0, text);
	if (answered || ++batch->misses < BATCH_MISSES)
		return true;
	while (batch->to < batch->spent_end && (dead = add_dead(batch)) != NULL)
		fill_dead(dead, batch, batch->to++ - batch->from,
		          "given up with its batch: item after item of it failed, also alone");
	return true;
}

/* One item rejected alone. A fair number to try at once is then the mean distance
 * of those found so far. But the first few say little of the rest, and two that
 * stand side by side would say that all are bad; so each quarters, at most, what
 * is believed at first: that there is no other. */
static void found_bad(struct databuffer_batch *batch)
{
	uint32_t quarterings = batch->bad_count++;
	uint32_t rare = quarterings < 16 ? batch->end >> 2 * quarterings : 0;
	uint32_t mean = batch->to / batch->bad_count;
	batch->stride = rare > mean ? rare : mean;
	batch->bad_end = 0;
	settle(batch);
}

struct verdict batch_judge(struct databuffer_batch *batch, int answer, const char *given_up)
{
	struct verdict verdict = { 0 };
	uint32_t count = batch->to - batch->from;
	bool too_large = answer == DATABUFFER_TOO_LARGE, answered = answer_is_final(answer);
	if (!answered || (too_large && count > 1))
		batch->dead_count = 0;
	if (answered) {
		batch->misses = 0;
	} else {
		verdict.spent = given_up != NULL;
		verdict.transient = !verdict.spent;
		if (verdict.transient)
			return verdict;
		if (!is_spent(batch))
			batch->spent_end = batch->to;
	}

	if (answer != 0 && count == 1 && batch->dead_count == 0) {
		const char *text = !answered ? given_up :
		                   too_large ? "it is too large for the sink, also alone" :
		                               "the handler rejected it";
		if (!name_bad(batch, answered, text)) {
			/* Without memory the item waits, and is asked again. */
			verdict.spent = false;
			verdict.transient = true;
			return verdict;
		}
	}
	verdict.dead = batch->dead_count;
	for (uint32_t i = 0; i < batch->dead_count; i++)
		verdict.dead_bytes += slot_len(batch->dead[i].entry);

	if (answer == 0) {
		verdict.flushed = count - verdict.dead;
		verdict.flushed_bytes = databuffer_batch_bytes(batch) - verdict.dead_bytes;
		if (batch->stride < batch->end)
			batch->stride *= 2; /* no bad one for so long */
		settle(batch);
	} else if (count == 1) {
		found_bad(batch);
	} else if (verdict.dead > 0) {
		uint64_t whole = batch->segment->bytes;
		take_out_named(batch);
		batch->segment->bytes = whole - verdict.dead_bytes;
	} else if (count == 0) {
		settle(batch); /* an empty batch, rejected */
	} else if (too_large) {
		count_anew(batch);
		batch->to -= count / 2;
	} else {
		batch->bad_end = batch->to;
		choose_next(batch);
	}
	ASSERT(batch->from <= batch->to && batch->to <= batch->end);
	return verdict;
}

void batch_skip(struct databuffer_batch *batch, uint32_t n)
{
	batch->from += n;
	batch->id = 0;
	if (batch->to <= batch->from)
		choose_next(batch);
}

int batch_answer_of_death(struct databuffer_batch *batch, unsigned limit, const char *text)
{
	uint32_t count = batch->to - batch->from;
	bool suspect = count > 1 && batch->bad_end > batch->from;
	if (++batch->kills < (suspect ? 1 : limit))
		return DATABUFFER_EWORKER;
	/* Without memory to say how, it is tried once more. */
	if (count == 1 && databuffer_batch_fail(batch, 0, text) != 0)
		return DATABUFFER_EWORKER;
	return DATABUFFER_REJECT;
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
