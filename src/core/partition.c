/* SPDX-License-Identifier: MIT */
/* The control plane's rules: cutting, flushing, retrying, giving up. */
#include "core/partition.h"

#include <stdlib.h>

#include "core/debug.h"

/* Segments beyond those that the bounds let fill, so that a flush of a few items
 * does not take the room of a whole batch from the inserts after it. */
#define SPARE_SEGMENTS 2

#define SEGMENT_OF(node) LIST_ENTRY(node, struct segment, link)

/* --- Time ---------------------------------------------------------------------------- */

static int64_t drawn(struct partition *partition, int64_t base, int64_t jitter)
{
	return base + (int64_t)rng_below_inclusive(&partition->rng, (uint64_t)jitter);
}

static int64_t draw_cut(struct partition *partition, int64_t from_ns)
{
	const databuffer_options *o = partition->options;
	if (o->flush_interval == 0)
		return PORT_NEVER;
	return port_deadline_ns(from_ns, drawn(partition, o->flush_interval, o->flush_jitter));
}

/* Ticks that found nothing to cut: the clock runs on from tick to tick, as if
 * each had been lived through. After a long idle time whole intervals are
 * skipped at once. */
static void skip_idle_ticks(struct partition *partition, int64_t now_ns)
{
	int64_t interval_ns = partition->options->flush_interval * PORT_NS_PER_MS;
	if (partition->next_cut_ns > now_ns)
		return;
	int64_t behind = (now_ns - partition->next_cut_ns) / interval_ns;
	if (behind > 64)
		partition->next_cut_ns += (behind - 64) * interval_ns;
	while (partition->next_cut_ns <= now_ns)
		partition->next_cut_ns = draw_cut(partition, partition->next_cut_ns);
}

static uint32_t draw_flush_size(struct partition *partition)
{
	const databuffer_options *o = partition->options;
	return (uint32_t)drawn(partition, o->max_size, o->max_size_jitter);
}

/* --- Life ------------------------------------------------------------------------------ */

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

/* A segment beyond those that the partition started with. */
struct substitute {
	struct list link;
	struct store store;
	struct segment segment;
};

static void free_substitutes(struct partition *partition)
{
	struct list *node;
	while ((node = list_pop_front(&partition->substitute_list)) != NULL) {
		struct substitute *substitute = LIST_ENTRY(node, struct substitute, link);
		store_fini(&substitute->store);
		free(substitute);
	}
	partition->substitutes = 0;
}

static void init_state(struct partition *partition, int64_t now_ns)
{
	partition->open = NULL;
	list_init(&partition->free);
	list_init(&partition->queue);
	list_init(&partition->flying);
	list_init(&partition->waiters);
	list_init(&partition->ready);
	atomic_init(&partition->armed_ns, PORT_NEVER);
	partition->flush_size = draw_flush_size(partition);
	partition->next_cut_ns = draw_cut(partition, now_ns);
}

int partition_init(struct partition *partition, struct databuffer *buffer, unsigned number, const char *name,
                   const databuffer_options *options, uint64_t seed, bool fenced, int64_t now_ns)
{
	memset(partition, 0, sizeof(*partition));
	partition->options = options;
	partition->name = name;
	partition->number = number;
	partition->buffer = buffer;
	partition->segment_count = (unsigned)(1 + options->max_in_flight + options->max_queued +
	                                      options->max_stuck + SPARE_SEGMENTS);
	if (!store_init_memory(&partition->store, partition->segment_count * footprint(options)))
		return DATABUFFER_ENOMEM;
	partition->segments = calloc(partition->segment_count, sizeof(*partition->segments));
	if (!partition->segments) {
		store_fini(&partition->store);
		return DATABUFFER_ENOMEM;
	}
	pthread_mutex_init(&partition->lock, NULL);
	partition->fenced = fenced;
	list_init(&partition->substitute_list);
	rng_seed(&partition->rng, seed);
	init_state(partition, now_ns);
	for (unsigned i = 0; i < partition->segment_count; i++)
		init_segment(partition, &partition->segments[i], partition->store.base + i * footprint(options));
	return 0;
}

void partition_fini(struct partition *partition)
{
	pthread_mutex_destroy(&partition->lock);
	free_substitutes(partition);
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

static void reset_segments(struct partition *partition)
{
	struct list *node;
	for (unsigned i = 0; i < partition->segment_count; i++)
		reset_segment(partition, &partition->segments[i],
		              partition->store.base + i * footprint(partition->options));
	LIST_FOREACH(node, &partition->substitute_list)
	{
		struct substitute *substitute = LIST_ENTRY(node, struct substitute, link);
		reset_segment(partition, &substitute->segment, substitute->store.base);
	}
}

void partition_reset(struct partition *partition, int64_t now_ns)
{
	partition->queued = partition->in_flight = partition->stuck = partition->draining = 0;
	partition->waiting_items = partition->waiting_bytes = 0;
	partition->asked = partition->stopping = partition->submitted = false;
	partition->accepted = partition->held = partition->held_bytes = 0;
	partition->flushed = partition->flushed_bytes = partition->dead = partition->left = 0;
	partition->batches = partition->attempts = partition->failures = 0;
	partition->rejects = partition->timeouts = 0;
	partition->last_status = 0;
	init_state(partition, now_ns);
	reset_segments(partition);
}

/* --- Segments -------------------------------------------------------------------------- */

/* A segment whose batch is done is free, unless somebody still reads it or has
 * slots in it. The one freed last is used first: its memory is still in the caches. */
static unsigned release(struct partition *partition, struct segment *segment)
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
	return release(partition, segment);
}

/* In place of segments whose memory is pinned others are mapped, so that a slot
 * that is held, or a dump that takes its time, holds up nobody. */
static bool has_free(struct partition *partition)
{
	if (!list_is_empty(&partition->free))
		return true;
	if (partition->substitutes >= partition->draining)
		return false;
	struct substitute *substitute = calloc(1, sizeof(*substitute));
	if (!substitute || !store_init_memory(&substitute->store, footprint(partition->options))) {
		free(substitute);
		return false;
	}
	init_segment(partition, &substitute->segment, substitute->store.base);
	list_push_back(&partition->substitute_list, &substitute->link);
	partition->substitutes++;
	return true;
}

static bool has_flight_slot(const struct partition *partition)
{
	return partition->in_flight < (unsigned)partition->options->max_in_flight;
}

/* How many items, and bytes, may be in the open batch beside what waits. */
static uint64_t room_for(const struct partition *partition, int64_t batch, uint64_t waiting)
{
	const databuffer_options *o = partition->options;
	uint64_t bound = (uint64_t)(1 + o->max_in_flight + o->max_queued) * (uint64_t)batch;
	return bound > waiting ? bound - waiting : 0;
}

static uint64_t room_for_items(const struct partition *partition)
{
	const databuffer_options *o = partition->options;
	return room_for(partition, o->max_size + o->max_size_jitter, partition->waiting_items);
}

static uint64_t room_for_bytes(const struct partition *partition)
{
	return room_for(partition, partition->options->max_bytes, partition->waiting_bytes);
}

static void open_segment(struct partition *partition, int64_t now_ns)
{
	partition->open = SEGMENT_OF(list_pop_front(&partition->free));
	segment_open(partition->open, partition->flush_size, (uint32_t)partition->options->max_bytes,
	             ++partition->sequence);
	partition->flush_size = draw_flush_size(partition);
	if (!partition->options->flush_empty)
		skip_idle_ticks(partition, now_ns);
}

/* --- Cutting ----------------------------------------------------------------------------- */

/* A batch without items goes nowhere, unless it is wanted for its own sake. */
static void cut_even_empty(struct partition *partition, databuffer_trigger trigger, int64_t now_ns, bool empty)
{
	struct segment *segment = partition->open;
	partition->open = NULL;
	uint32_t count = segment_seal(segment, trigger);
	segment->late = segment->stuck = segment->abandoned = segment->draining = false;
	segment->not_before_ns = INT64_MIN;
	segment->batch.partition = partition->number;
	segment->batch.name = partition->name;
	if (count == 0 && !empty) {
		release(partition, segment);
		return;
	}
	list_push_back(&partition->queue, &segment->link);
	partition->queued++;
	partition->accepted += count;
	partition->held += count;
	partition->held_bytes += segment->bytes;
	partition->waiting_items += count;
	partition->waiting_bytes += segment->bytes;
	partition->asked = false;
	partition->next_cut_ns = draw_cut(partition, now_ns);
}

static void cut(struct partition *partition, databuffer_trigger trigger, int64_t now_ns)
{
	cut_even_empty(partition, trigger, now_ns, false);
}

static bool open_has_items(const struct partition *partition)
{
	return partition->open && segment_count(partition->open) > 0;
}

/* Cuts what was asked for or is due by time, once a handler could take it. Until
 * then the batch had better grow. */
static void advance(struct partition *partition, int64_t now_ns)
{
	if (!has_flight_slot(partition) || partition->queued > 0)
		return;
	bool due = partition->next_cut_ns <= now_ns;
	if (!due && !partition->asked)
		return;
	databuffer_trigger trigger = partition->asked ? partition->asked_by : DATABUFFER_TRIGGER_INTERVAL;
	if (open_has_items(partition)) {
		cut(partition, trigger, now_ns);
		return;
	}
	if (partition->options->flush_empty && !partition->stopping) {
		if (!partition->open && has_free(partition))
			open_segment(partition, now_ns);
		if (partition->open && partition->open->held == 0)
			cut_even_empty(partition, trigger, now_ns, true);
	} else if (due) {
		skip_idle_ticks(partition, now_ns);
	}
	partition->asked = false;
}

bool partition_is_ready(const struct partition *partition, int64_t now_ns)
{
	const struct list *first = list_first(&partition->queue);
	return first && has_flight_slot(partition) && SEGMENT_OF(first)->not_before_ns <= now_ns;
}

static unsigned next_todo(struct partition *partition, int64_t now_ns)
{
	advance(partition, now_ns);
	return partition_is_ready(partition, now_ns) ? TODO_FLUSH : 0;
}

/* --- Inserting ----------------------------------------------------------------------------- */

/* Whether the request could go into a fresh batch once the open one is cut. */
static bool has_room_after_cut(struct partition *partition, const struct lease_request *request)
{
	return has_free(partition) &&
	       segment_count(partition->open) + request->n <= room_for_items(partition) &&
	       segment_bytes(partition->open) + request->payload <= room_for_bytes(partition);
}

bool partition_lease(struct partition *partition, struct lane *lane, const struct lease_request *request,
                     int64_t now_ns, unsigned *todo)
{
	while (!partition->stopping) {
		if (!partition->open) {
			if (room_for_items(partition) < request->n ||
			    room_for_bytes(partition) < request->payload || !has_free(partition))
				return false;
			open_segment(partition, now_ns);
		}
		struct segment *open = partition->open;
		segment_set_limit(open, room_for_items(partition), room_for_bytes(partition));
		enum lease lease = segment_lease(open, lane, request);
		if (lease != LEASE_GRANTED && segment_has_more(open)) {
			segment_recall(open);
			lease = segment_lease(open, lane, request);
		}
		if (lease == LEASE_GRANTED)
			return true;
		if (lease == LEASE_NO_ROOM || !has_room_after_cut(partition, request))
			return false;
		cut(partition, lease == LEASE_NO_SLOTS ? DATABUFFER_TRIGGER_SIZE : DATABUFFER_TRIGGER_BYTES, now_ns);
		*todo |= next_todo(partition, now_ns);
	}
	return false;
}

unsigned partition_filled(struct partition *partition, int64_t now_ns)
{
	databuffer_trigger trigger;
	if (!partition->open || !segment_is_full(partition->open, &trigger))
		return 0;
	cut(partition, trigger, now_ns);
	return next_todo(partition, now_ns);
}

/* --- Flushing -------------------------------------------------------------------------------- */

/* Takes back every lease, for good since the partition is stopping, and cuts
 * what there is. */
static void close_open(struct partition *partition, int64_t now_ns)
{
	if (!partition->open)
		return;
	segment_recall(partition->open);
	if (partition->open->settled > 0) {
		cut(partition, DATABUFFER_TRIGGER_STOP, now_ns);
	} else {
		release(partition, partition->open);
		partition->open = NULL;
	}
}

unsigned partition_flush(struct partition *partition, databuffer_trigger trigger, int64_t now_ns)
{
	struct list *node;
	if (trigger == DATABUFFER_TRIGGER_STOP)
		partition->stopping = true;
	LIST_FOREACH(node, &partition->queue)
		SEGMENT_OF(node)->not_before_ns = INT64_MIN;
	/* At once, so that the same calls make the same batches; but where no memory
	 * would be left for the inserts that follow, once a handler takes it. */
	bool empty = partition->options->flush_empty && partition->queued == 0;
	if (partition->stopping) {
		close_open(partition, now_ns);
	} else if (open_has_items(partition) && has_free(partition)) {
		cut(partition, trigger, now_ns);
	} else if (open_has_items(partition) || empty) {
		partition->asked = true;
		partition->asked_by = trigger;
	}
	return next_todo(partition, now_ns);
}

void partition_defer(struct partition *partition, int64_t until_ns)
{
	SEGMENT_OF(list_first(&partition->queue))->not_before_ns = until_ns;
}

struct segment *partition_take(struct partition *partition, int64_t now_ns)
{
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
	int64_t timeout = partition->options->flush_timeout;
	batch_begin(&segment->batch, timeout > 0 ? port_deadline_ns(now_ns, timeout) : PORT_NEVER);
	return segment;
}

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

struct verdict partition_judge(struct partition *partition, struct segment *segment, int answer)
{
	struct databuffer_batch *batch = &segment->batch;
	partition->last_status = answer;
	if (answer == DATABUFFER_REJECT)
		partition->rejects++;
	else if (answer != 0)
		partition->failures++;
	if (segment->abandoned) {
		batch->dead_count = 0;
		return (struct verdict){ 0 };
	}
	batch->status = answer;
	struct verdict verdict = batch_judge(batch, answer);
	partition->flushed += verdict.flushed;
	partition->flushed_bytes += verdict.flushed_bytes;
	partition->dead += verdict.dead;
	settle_items(partition, segment, verdict.flushed + verdict.dead, verdict.flushed_bytes + verdict.dead_bytes);
	return verdict;
}

/* Doubling from retry_min, the whole of what was added being jitter, so that
 * partitions which failed together do not come back together. */
static int64_t backoff_ms(struct partition *partition, unsigned attempt)
{
	const databuffer_options *o = partition->options;
	if (partition->stopping)
		return o->retry_min;
	int64_t cap = o->retry_min;
	for (unsigned i = 0; i < attempt && cap < o->retry_max; i++)
		cap = cap <= o->retry_max / 2 ? cap * 2 : o->retry_max;
	return drawn(partition, o->retry_min, cap - o->retry_min);
}

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

static bool outstanding(const struct partition *partition, uint64_t sequence)
{
	const struct list *node;
	LIST_FOREACH(node, &partition->queue)
		if (SEGMENT_OF(node)->sequence <= sequence)
			return true;
	LIST_FOREACH(node, &partition->flying)
		if (SEGMENT_OF(node)->sequence <= sequence)
			return true;
	return partition->open && partition->open->sequence <= sequence;
}

static void tell_waiters(struct partition *partition, const struct segment *segment, int64_t duration_ns, bool dead)
{
	struct list *node;
	LIST_FOREACH(node, &partition->waiters)
	{
		struct sync_wait *wait = LIST_ENTRY(node, struct sync_wait, link);
		if (segment->sequence > wait->sequence || wait->done)
			continue;
		wait->duration_ns += duration_ns;
		if (segment->batch.value)
			wait->result.value = segment->batch.value;
		if (dead)
			wait->result.status = DATABUFFER_REJECT;
		wait->done = !outstanding(partition, wait->sequence);
	}
}

static uint64_t bytes_left(const struct segment *segment)
{
	uint64_t bytes = 0;
	for (uint32_t slot = segment->batch.from; slot < segment->batch.end; slot++)
		bytes += batch_item(segment, slot).len;
	return bytes;
}

/* The partition goes on without a late flush, as long as they are few. */
static void go_on_without(struct partition *partition, struct segment *segment)
{
	if (partition->stuck >= (unsigned)partition->options->max_stuck)
		return;
	segment->stuck = true;
	partition->stuck++;
	partition->in_flight--;
	partition->waiting_items -= batch_left(&segment->batch);
	partition->waiting_bytes -= bytes_left(segment);
}

/* One of them is back; another may take its place. */
static void wait_for_again(struct partition *partition, struct segment *segment)
{
	struct list *node;
	segment->stuck = false;
	partition->stuck--;
	partition->waiting_items += batch_left(&segment->batch);
	partition->waiting_bytes += bytes_left(segment);
	LIST_FOREACH(node, &partition->flying)
		if (SEGMENT_OF(node)->late && !SEGMENT_OF(node)->stuck)
			go_on_without(partition, SEGMENT_OF(node));
}

unsigned partition_land(struct partition *partition, struct segment *segment, const struct verdict *verdict,
                        int64_t now_ns)
{
	struct databuffer_batch *batch = &segment->batch;
	if (segment->abandoned)
		return TODO_SETTLED; /* its memory is freed with the buffer */

	list_remove(&segment->link);
	segment->flying = false;
	if (segment->stuck)
		wait_for_again(partition, segment);
	else
		partition->in_flight--;
	segment->late = false;

	unsigned todo = 0;
	if (!batch_is_done(batch)) {
		segment->not_before_ns = INT64_MIN;
		if (verdict->transient)
			segment->not_before_ns = port_deadline_ns(now_ns, backoff_ms(partition, batch->attempt));
		requeue(partition, segment);
		tell_waiters(partition, segment, now_ns - segment->started_ns, verdict->dead > 0);
	} else {
		partition->batches++;
		tell_waiters(partition, segment, now_ns - segment->started_ns, verdict->dead > 0);
		todo |= release(partition, segment) | TODO_SETTLED;
	}
	return todo | next_todo(partition, now_ns);
}

bool partition_begin_call(struct segment *segment)
{
	int taken = FLIGHT_TAKEN;
	return atomic_compare_exchange_strong_explicit(&segment->phase, &taken, FLIGHT_CALLED,
	                                               memory_order_relaxed, memory_order_relaxed);
}

/* --- Ticks ------------------------------------------------------------------------------------- */

unsigned partition_tick(struct partition *partition, int64_t now_ns, databuffer_event *late, size_t room,
                        size_t *late_count)
{
	struct list *node;
	*late_count = 0;
	LIST_FOREACH(node, &partition->flying)
	{
		struct segment *segment = SEGMENT_OF(node);
		struct databuffer_batch *batch = &segment->batch;
		if (segment->late || batch->deadline_ns > now_ns || *late_count == room)
			continue;
		segment->late = true;
		partition->timeouts++;
		atomic_store_explicit(&batch->cancelled, 1, memory_order_relaxed);
		batch->status = DATABUFFER_ETIMEDOUT;
		go_on_without(partition, segment);
		late[(*late_count)++] = (databuffer_event){
			.kind = DATABUFFER_FLUSH_EXCEPTION,
			.buffer = partition->name,
			.partition = partition->number,
			.size = databuffer_batch_size(batch),
			.bytes = databuffer_batch_bytes(batch),
			.trigger = batch->trigger,
			.attempt = batch->attempt,
			.duration_ns = now_ns - segment->started_ns,
			.status = DATABUFFER_ETIMEDOUT,
		};
	}
	return next_todo(partition, now_ns) | (*late_count > 0 ? TODO_ROOM : 0);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t partition_deadline(const struct partition *partition)
{
	int64_t deadline = PORT_NEVER;
	const struct list *node;
	LIST_FOREACH(node, &partition->flying)
		if (!SEGMENT_OF(node)->late)
			deadline = earlier(deadline, SEGMENT_OF(node)->batch.deadline_ns);
	if (!has_flight_slot(partition) || partition->submitted)
		return deadline;
	const struct list *first = list_first(&partition->queue);
	if (first)
		return earlier(deadline, SEGMENT_OF(first)->not_before_ns);
	bool may_cut = (partition->open && partition->open->leased > 0) || partition->options->flush_empty;
	return may_cut ? earlier(deadline, partition->next_cut_ns) : deadline;
}

int64_t partition_next_cut(struct partition *partition, int64_t now_ns)
{
	if (!open_has_items(partition) && !partition->options->flush_empty)
		skip_idle_ticks(partition, now_ns);
	return partition->next_cut_ns;
}

/* --- Waiting for an end ---------------------------------------------------------------------- */

unsigned partition_sync_begin(struct partition *partition, struct sync_wait *wait, int64_t now_ns)
{
	memset(wait, 0, sizeof(*wait));
	wait->result.partition = partition->number;
	wait->result.size = partition_size(partition);
	list_push_back(&partition->waiters, &wait->link);
	unsigned todo = partition_flush(partition, DATABUFFER_TRIGGER_FLUSH, now_ns);
	/* The open segment is waited for only if its items are among those held:
	 * it was not cut, since no memory was left, and will be. */
	wait->sequence = partition->open && !partition->asked ? partition->open->sequence - 1 : partition->sequence;
	wait->done = !outstanding(partition, wait->sequence);
	return todo;
}

void partition_sync_end(struct sync_wait *wait)
{
	list_remove(&wait->link);
}

/* --- Stopping ---------------------------------------------------------------------------------- */

bool partition_is_empty(const struct partition *partition)
{
	return list_is_empty(&partition->queue) && list_is_empty(&partition->flying) && !open_has_items(partition);
}

static void abandon_list(struct partition *partition, struct list *from, struct list *left)
{
	struct list *node, *place;
	while ((node = list_pop_front(from)) != NULL) {
		struct segment *segment = SEGMENT_OF(node);
		LIST_FOREACH(place, left)
			if (SEGMENT_OF(place)->sequence > segment->sequence)
				break;
		list_insert_before(place, node);
		segment->abandoned = true;
		int taken = FLIGHT_TAKEN;
		if (segment->flying && !atomic_compare_exchange_strong_explicit(&segment->phase, &taken, FLIGHT_CANCELLED,
		                                                                memory_order_relaxed,
		                                                                memory_order_relaxed))
			segment->batch.status = DATABUFFER_ETIMEDOUT;
		atomic_store_explicit(&segment->batch.cancelled, 1, memory_order_relaxed);
		partition->left += batch_left(&segment->batch);
	}
}

void partition_abandon(struct partition *partition, struct list *left)
{
	struct list mine;
	list_init(&mine);
	abandon_list(partition, &partition->flying, &mine);
	abandon_list(partition, &partition->queue, &mine);
	list_move_all(&mine, left);
	partition->held = partition->held_bytes = 0;
	partition->queued = partition->in_flight = partition->stuck = 0;
	partition->waiting_items = partition->waiting_bytes = 0;
}

/* --- Looking in -------------------------------------------------------------------------------- */

uint64_t partition_size(const struct partition *partition)
{
	return partition->held + (partition->open ? segment_count(partition->open) : 0);
}

uint64_t partition_bytes(const struct partition *partition)
{
	return partition->held_bytes + (partition->open ? segment_bytes(partition->open) : 0);
}

static int64_t until_ms(int64_t deadline_ns, int64_t now_ns)
{
	if (deadline_ns == PORT_NEVER)
		return -1;
	return deadline_ns > now_ns ? (deadline_ns - now_ns + PORT_NS_PER_MS - 1) / PORT_NS_PER_MS : 0;
}

void partition_read_info(struct partition *partition, databuffer_partition_info *info, int64_t now_ns)
{
	const struct list *waiting = list_first(&partition->queue), *flying = list_first(&partition->flying);
	bool backing_off = waiting && SEGMENT_OF(waiting)->not_before_ns > now_ns;
	unsigned failed = 0;
	if (flying)
		failed = SEGMENT_OF(flying)->batch.attempt - 1;
	else if (waiting)
		failed = SEGMENT_OF(waiting)->batch.attempt;
	*info = (databuffer_partition_info){
		.name = partition->name,
		.partition = partition->number,
		.size = partition_size(partition),
		.bytes = partition_bytes(partition),
		.flush_size = partition->open ? partition->open->capacity : partition->flush_size,
		.flush_interval = partition->options->flush_interval,
		.flush_jitter = partition->options->flush_jitter,
		.flush_timeout = partition->options->flush_timeout,
		.in_flight = partition->in_flight,
		.stuck = partition->stuck,
		.queued = partition->queued,
		.attempt = failed,
		.last_status = partition->last_status,
		.next_flush_ms = until_ms(partition_next_cut(partition, now_ns), now_ns),
		.next_retry_ms = backing_off ? until_ms(SEGMENT_OF(waiting)->not_before_ns, now_ns) : -1,
	};
}

void partition_add_stats(const struct partition *partition, struct databuffer_stats *stats)
{
	uint64_t open = 0, open_bytes = 0;
	if (partition->open) {
		open = segment_count(partition->open);
		open_bytes = segment_bytes(partition->open);
	}
	stats->inserted += partition->accepted + open;
	stats->held += partition->held + open;
	stats->held_bytes += partition->held_bytes + open_bytes;
	stats->flushed += partition->flushed;
	stats->flushed_bytes += partition->flushed_bytes;
	stats->dead += partition->dead;
	stats->left += partition->left;
	stats->batches += partition->batches;
	stats->attempts += partition->attempts;
	stats->failures += partition->failures;
	stats->rejects += partition->rejects;
	stats->timeouts += partition->timeouts;
}

bool partition_is_valid(const struct partition *partition)
{
	const struct list *node;
	uint64_t held = 0, queued = 0, flying = 0, stuck = 0;
	LIST_FOREACH(node, &partition->queue)
	{
		held += batch_left(&SEGMENT_OF(node)->batch);
		queued++;
	}
	LIST_FOREACH(node, &partition->flying)
	{
		held += batch_left(&SEGMENT_OF(node)->batch);
		flying++;
		stuck += SEGMENT_OF(node)->stuck;
	}
	return held == partition->held && queued == partition->queued && stuck == partition->stuck &&
	       flying == partition->in_flight + partition->stuck &&
	       partition->accepted ==
		       partition->held + partition->flushed + partition->dead + partition->left &&
	       (!partition->open || segment_is_valid(partition->open));
}
