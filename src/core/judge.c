/* SPDX-License-Identifier: MIT */
/* The judging of answers: what is flushed, what is dead, and which items come next. */
#include "core/batch.h"

#include "core/debug.h"
#include "core/segment.h"

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
	if (!batch_add_dead(batch, 0, text))
		return false;
	if (answered || ++batch->misses < BATCH_MISSES)
		return true;
	while (batch->to < batch->spent_end &&
	       batch_add_dead(batch, batch->to - batch->from,
	                      "given up with its batch: item after item of it failed, also alone"))
		batch->to++;
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
