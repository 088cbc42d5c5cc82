/* SPDX-License-Identifier: MIT */
/* A batch from its cut to its outcome: taken, judged, tried again, late, landed. */
#include "core/partition_parts.h"

#include "core/debug.h"

/* --- Taking ------------------------------------------------------------------------------ */

/* 2^48 batches of one partition are 89 years of them at 100,000 a second. */
static uint64_t next_batch_id(struct partition *partition)
{
	return (uint64_t)partition->number << 48 | ++partition->batch_ids;
}

struct segment *partition_take(struct partition *partition, int64_t now_ns)
{
	ASSERT(partition_is_valid(partition));
	if (!partition_is_ready(partition, now_ns))
		return NULL;
	struct segment *segment = SEGMENT_OF(list_pop_front(&partition->queue));
	list_push_back(&partition->flying, &segment->link);
	segment->flying = true;
	atomic_store_explicit(&segment->phase, FLIGHT_TAKEN, memory_order_relaxed);
	partition->queued--;
	partition->in_flight++;
	partition->attempts++;
	segment->started_ns = now_ns;
	gate_pass(partition, &segment->batch);
	if (segment->batch.id == 0)
		segment->batch.id = next_batch_id(partition);
	int64_t timeout = partition->options->flush_timeout;
	batch_begin(&segment->batch, timeout > 0 ? port_deadline_ns(now_ns, timeout) : PORT_NEVER);
	gate_book(partition, now_ns); /* where more than one may fly */
	ASSERT(partition_is_valid(partition));
	return segment;
}

bool partition_begin_call(struct segment *segment)
{
	int taken = FLIGHT_TAKEN;
	return atomic_compare_exchange_strong_explicit(&segment->phase, &taken, FLIGHT_CALLED,
	                                               memory_order_relaxed, memory_order_relaxed);
}

/* --- News --------------------------------------------------------------------------------- */

struct news_item *flight_news(struct partition *partition, const struct segment *segment,
                              databuffer_event_kind kind, int64_t now_ns, int status)
{
	const struct databuffer_batch *batch = &segment->batch;
	struct news_item *item = news_add(partition, kind);
	item->event.size = databuffer_batch_size(batch);
	item->event.bytes = databuffer_batch_bytes(batch);
	item->event.trigger = batch->trigger;
	item->event.attempt = batch->attempt;
	item->event.duration_ns = now_ns - segment->started_ns;
	item->event.status = status;
	return item;
}

/* --- Judging ----------------------------------------------------------------------------- */

/* Items leave what is held, and what the bounds count if their segment counts. */
static void settle_items(struct partition *partition, struct segment *segment, uint64_t items, uint64_t bytes)
{
	ASSERT(partition->held >= items && partition->held_bytes >= bytes);
	partition->held -= items;
	partition->held_bytes -= bytes;
	if (!segment->stuck) {
		partition->waiting_items -= items;
		partition->waiting_bytes -= bytes;
	}
}

/* What the answer says of how much the sink takes at once. */
static void fit_batch(struct partition *partition, uint32_t count, int answer)
{
	const databuffer_options *o = partition->options;
	if (answer == 0)
		fit_taken(&partition->fit, count, (uint32_t)(o->max_size + o->max_size_jitter));
	else if (answer == DATABUFFER_TOO_LARGE && count > 1)
		fit_too_large(&partition->fit, count);
}

/* `given_up` is the sentence that items die with which are not to be tried again. */
static struct verdict judge(struct partition *partition, struct segment *segment, int answer, int64_t now_ns,
                            const char *given_up)
{
	struct databuffer_batch *batch = &segment->batch;
	struct verdict verdict = batch_judge(batch, answer, given_up);
	if (verdict.transient && !batch->failing) {
		batch->failing = true;
		batch->failing_since_ns = now_ns;
	}
	partition->flushed += verdict.flushed;
	partition->flushed_bytes += verdict.flushed_bytes;
	partition->dead += verdict.dead;
	settle_items(partition, segment, verdict.flushed + verdict.dead, verdict.flushed_bytes + verdict.dead_bytes);
	ASSERT(partition_is_valid(partition));
	return verdict;
}

struct verdict partition_judge(struct partition *partition, struct segment *segment, int answer, int64_t now_ns)
{
	struct databuffer_batch *batch = &segment->batch;
	ASSERT(partition_is_valid(partition));
	partition->last_status = answer;
	if (answer == DATABUFFER_REJECT)
		partition->rejects++;
	else if (answer == DATABUFFER_TOO_LARGE)
		partition->too_large++;
	else if (answer != 0)
		partition->failures++;
	if (segment->abandoned) {
		batch->dead_count = 0;
		return (struct verdict){ 0 };
	}
	batch->status = answer;
	batch->deadline_ns = PORT_NEVER; /* it has answered; handle_dead may take its time */
	fit_batch(partition, batch->to - batch->from, answer);
	bool final = answer_is_final(answer), counted = final || !segment->late;
	if (counted)
		gate_answer(partition, segment, answer, now_ns);
	struct retry_reason reason;
	bool over = !final && retry_is_over(partition, batch, answer, now_ns, &reason);
	struct verdict verdict = judge(partition, segment, answer, now_ns, over ? reason.text : NULL);
	if (counted)
		gate_back_off(partition, batch, now_ns);
	return verdict;
}

struct verdict partition_judge_death(struct partition *partition, struct segment *segment,
                                     const struct worker_death *death, int64_t now_ns)
{
	struct databuffer_batch *batch = &segment->batch;
	ASSERT(partition_is_valid(partition));
	partition->last_status = death->late ? DATABUFFER_ETIMEDOUT : DATABUFFER_EWORKER;
	partition->worker_deaths++;
	partition->failures++;
	if (death->late && !segment->late)
		partition->timeouts++;
	batch->dead_count = 0;
	if (segment->abandoned)
		return (struct verdict){ 0 };
	batch->status = partition->last_status;
	batch->deadline_ns = PORT_NEVER;
	if (!segment->late)
		gate_answer(partition, segment, partition->last_status, now_ns);
	int answer = DATABUFFER_EWORKER;
	if (death->counts)
		answer = batch_answer_of_death(batch, (unsigned)partition->options->kill_limit, death->text);
	/* How often that may be is kill_limit's to say, not retry_limit's; and a fresh
	 * worker may try at once: if too many die, the crew holds them back. */
	struct verdict verdict = judge(partition, segment, answer, now_ns, NULL);
	verdict.at_once = true;
	if (!segment->late)
		gate_back_off(partition, batch, now_ns);
	return verdict;
}

/* --- Late flushes ------------------------------------------------------------------------- */

static bool may_go_on_without(const struct partition *partition)
{
	return partition->stuck < (unsigned)partition->options->max_stuck;
}

/* The partition goes on without a late flush, as long as they are few. */
static void go_on_without(struct partition *partition, struct segment *segment, int64_t now_ns)
{
	if (!may_go_on_without(partition))
		return;
	flight_news(partition, segment, DATABUFFER_FLUSH_STUCK, now_ns, DATABUFFER_ETIMEDOUT);
	segment->stuck = true;
	partition->stuck++;
	partition->in_flight--;
	partition->waiting_items -= batch_left(&segment->batch);
	partition->waiting_bytes -= batch_left_bytes(&segment->batch);
}

/* One of them is back; another may take its place, and that makes room. */
static unsigned wait_for_again(struct partition *partition, struct segment *segment, int64_t now_ns)
{
	unsigned todo = 0;
	struct list *node;
	segment->stuck = false;
	partition->stuck--;
	partition->waiting_items += batch_left(&segment->batch);
	partition->waiting_bytes += batch_left_bytes(&segment->batch);
	LIST_FOREACH(node, &partition->flying) {
		if (SEGMENT_OF(node)->late && !SEGMENT_OF(node)->stuck) {
			go_on_without(partition, SEGMENT_OF(node), now_ns);
			todo = TODO_ROOM;
		}
	}
	return todo;
}

/* --- Landing ------------------------------------------------------------------------------- */

/* Back into the queue where it belongs by age: before all that came after it. */
static void requeue(struct partition *partition, struct segment *segment)
{
	struct list *node;
	LIST_FOREACH(node, &partition->queue)
		if (SEGMENT_OF(node)->sequence > segment->sequence)
			break;
	list_insert_before(node, &segment->link);
	partition->queued++;
}

unsigned partition_land(struct partition *partition, struct segment *segment, const struct verdict *verdict,
                        int64_t now_ns)
{
	struct databuffer_batch *batch = &segment->batch;
	ASSERT(partition_is_valid(partition));
	if (segment->abandoned) {
		batch_drop_result(batch);
		return TODO_SETTLED; /* its memory is freed with the buffer */
	}

	bool was_late = segment->late;
	list_remove(&segment->link);
	segment->flying = false;
	partition->used_ns = now_ns;
	partition->gave_back = false;
	/* Fewer items wait, so there is room, whether or not a segment is free. */
	unsigned todo = verdict->flushed + verdict->dead > 0 ? TODO_ROOM : 0;
	if (segment->stuck)
		todo |= wait_for_again(partition, segment, now_ns);
	else
		partition->in_flight--;
	segment->late = false;

	bool done = batch_is_done(batch);
	if (!done) {
		segment->not_before_ns = INT64_MIN;
		if (verdict->transient && !verdict->at_once)
			segment->not_before_ns = partition->breaker.open && !was_late ?
			                                 partition->breaker.until_ns :
			                                 retry_at(partition, batch, now_ns);
		requeue(partition, segment);
	}
	partition_tell_waiters(partition, segment, now_ns - segment->started_ns, verdict->dead > 0);
	batch_drop_result(batch);
	if (done) {
		partition->batches++;
		todo |= supply_release(partition, segment) | TODO_SETTLED;
	}
	return todo | cut_advance(partition, now_ns);
}

/* --- Time ---------------------------------------------------------------------------------- */

/* A worker is killed at its deadline, and its flusher says so: only if the system
 * does not let it die the partition has to go on without it. */
#define KILL_MS 5000

static int64_t late_at(const struct segment *segment)
{
	int64_t deadline = segment->batch.deadline_ns;
	return segment->in_worker && deadline != PORT_NEVER ? port_deadline_ns(deadline, KILL_MS) : deadline;
}

unsigned partition_tick(struct partition *partition, int64_t now_ns)
{
	struct list *node;
	bool late = false;
	ASSERT(partition_is_valid(partition));
	if (partition_give_back_at(partition) <= now_ns)
		supply_give_back(partition);
	LIST_FOREACH(node, &partition->flying)
	{
		struct segment *segment = SEGMENT_OF(node);
		struct databuffer_batch *batch = &segment->batch;
		if (segment->late || late_at(segment) > now_ns || partition->news.count + 3 > NEWS_ROOM)
			continue;
		gate_answer(partition, segment, DATABUFFER_ETIMEDOUT, now_ns);
		gate_back_off(partition, batch, now_ns);
		segment->late = late = true;
		partition->timeouts++;
		atomic_store_explicit(&batch->cancelled, 1, memory_order_relaxed);
		batch->status = DATABUFFER_ETIMEDOUT;
		flight_news(partition, segment, DATABUFFER_FLUSH_EXCEPTION, now_ns, DATABUFFER_ETIMEDOUT)->alone =
			!may_go_on_without(partition);
		go_on_without(partition, segment, now_ns);
	}
	return cut_advance(partition, now_ns) | (late ? TODO_ROOM : 0);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t partition_deadline(const struct partition *partition)
{
	int64_t deadline = PORT_NEVER;
	const struct list *node;
	if (partition->news.count > 0)
		return INT64_MIN;
	LIST_FOREACH(node, &partition->flying)
		if (!SEGMENT_OF(node)->late)
			deadline = earlier(deadline, late_at(SEGMENT_OF(node)));
	if (partition->submitted || partition->waits)
		return deadline;
	if (!list_is_empty(&partition->queue))
		return earlier(deadline, gate_next(partition));
	bool may_cut = (partition->open && partition->open->leased > 0) || partition->options->flush_empty;
	return may_cut ? earlier(deadline, gate_next_cut(partition)) : deadline;
}
