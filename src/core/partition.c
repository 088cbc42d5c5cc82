/* SPDX-License-Identifier: MIT */
/* A partition's life, those who wait for it, and its numbers. */
#include "core/partition_parts.h"

#include <stdlib.h>

#include "core/debug.h"

/* --- Life ---------------------------------------------------------------------------------- */

static void init_state(struct partition *partition, int64_t now_ns)
{
	partition->open = NULL;
	list_init(&partition->free);
	list_init(&partition->queue);
	list_init(&partition->flying);
	list_init(&partition->waiters);
	list_init(&partition->ready);
	list_init(&partition->in_line);
	partition->called = partition->waits = false;
	atomic_init(&partition->armed_ns, PORT_NEVER);
	partition->gave_back = true;
	partition->counted_held = partition->counted_promised = 0;
	partition->headroom = UINT64_MAX;
	cut_restart(partition, now_ns);
}

int partition_init(struct partition *partition, struct databuffer *buffer, unsigned number, const char *name,
                   const databuffer_options *options, uint64_t seed, bool fenced, int64_t now_ns)
{
	memset(partition, 0, sizeof(*partition));
	partition->options = options;
	partition->name = name;
	partition->number = number;
	partition->buffer = buffer;
	partition->fenced = fenced;
	rng_seed(&partition->rng, seed);
	init_state(partition, now_ns);
	int rc = supply_init(partition);
	if (rc != 0)
		return rc;
	pthread_mutex_init(&partition->lock, NULL);
	ASSERT(partition_is_valid(partition));
	return 0;
}

void partition_fini(struct partition *partition)
{
	pthread_mutex_destroy(&partition->lock);
	supply_fini(partition);
}

void partition_reset(struct partition *partition, int64_t now_ns)
{
	partition->queued = partition->in_flight = partition->stuck = 0;
	partition->waiting_items = partition->waiting_bytes = 0;
	partition->asked = partition->stopping = partition->submitted = false;
	partition->accepted = partition->held = partition->held_bytes = 0;
	partition->flushed = partition->flushed_bytes = partition->dead = partition->dropped = partition->left = 0;
	partition->batches = partition->attempts = partition->failures = 0;
	partition->rejects = partition->too_large = partition->timeouts = partition->worker_deaths = 0;
	partition->fit = (struct fit){ 0 };
	partition->breaker = (struct breaker){ 0 };
	partition->booked = false;
	partition->last_status = 0;
	partition->news.count = 0;
	init_state(partition, now_ns);
	supply_reset(partition);
	ASSERT(partition_is_valid(partition));
}

/* --- Waiting for an end --------------------------------------------------------------------- */

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

/* A status of 0 says nothing against it. */
static void tell(struct partition *partition, const struct segment *segment, int64_t duration_ns, int status)
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
		if (segment->batch.result_len > 0) {
			wait->result.bytes_len = segment->batch.result_len;
			memcpy(wait->bytes, segment->batch.result, segment->batch.result_len);
		}
		if (status != 0)
			wait->result.status = status;
		wait->done = !outstanding(partition, wait->sequence);
	}
}

void partition_tell_waiters(struct partition *partition, const struct segment *segment, int64_t duration_ns, bool dead)
{
	tell(partition, segment, duration_ns, dead ? DATABUFFER_REJECT : 0);
}

void partition_tell_dropped(struct partition *partition, const struct segment *segment)
{
	tell(partition, segment, 0, DATABUFFER_EFULL);
}

unsigned partition_sync_begin(struct partition *partition, struct sync_wait *wait, int64_t now_ns)
{
	memset(wait, 0, offsetof(struct sync_wait, bytes));
	wait->result.partition = partition->number;
	wait->result.size = partition_size(partition);
	list_push_back(&partition->waiters, &wait->link);
	unsigned todo = partition_flush(partition, DATABUFFER_TRIGGER_FLUSH, now_ns);
	/* The open segment is waited for only if its items are among those held:
	 * it was not cut, since no memory was left, and will be. */
	wait->sequence = partition->open && !partition->asked ? partition->open->sequence - 1 : partition->sequence;
	/* What a stop has given up is not held any more, but nobody may take it for flushed. */
	wait->done = partition->left == 0 && !outstanding(partition, wait->sequence);
	return todo;
}

void partition_sync_end(struct sync_wait *wait)
{
	list_remove(&wait->link);
}

/* --- Stopping -------------------------------------------------------------------------------- */

bool partition_is_empty(const struct partition *partition)
{
	return list_is_empty(&partition->queue) && list_is_empty(&partition->flying) && !cut_open_has_items(partition);
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
	ASSERT(partition_is_valid(partition));
	list_init(&mine);
	abandon_list(partition, &partition->flying, &mine);
	abandon_list(partition, &partition->queue, &mine);
	list_move_all(&mine, left);
	partition->held = partition->held_bytes = 0;
	partition->queued = partition->in_flight = partition->stuck = 0;
	partition->waiting_items = partition->waiting_bytes = 0;
	ASSERT(partition_is_valid(partition));
}

/* --- Looking in ------------------------------------------------------------------------------ */

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
	const struct list *waiting = list_first(&partition->queue), *node;
	int64_t retry_ns = waiting && !gate_is_paced(partition, now_ns) ? gate_next(partition) : INT64_MIN;
	const struct segment *oldest = waiting ? SEGMENT_OF(waiting) : NULL;
	unsigned failed = 0, late = 0;
	LIST_FOREACH(node, &partition->flying)
	{
		late += SEGMENT_OF(node)->late;
		if (!oldest || SEGMENT_OF(node)->sequence < oldest->sequence)
			oldest = SEGMENT_OF(node);
	}
	/* An attempt that still is in time has not failed. */
	if (oldest)
		failed = oldest->batch.attempt - (oldest->flying && !oldest->late ? 1 : 0);
	*info = (databuffer_partition_info){
		.name = partition->name,
		.partition = partition->number,
		.size = partition_size(partition),
		.bytes = partition_bytes(partition),
		.flush_size = partition->open ? partition->open->capacity : partition->flush_size,
		.size_bound = partition->fit.bound,
		.flush_interval = partition->options->flush_interval,
		.flush_jitter = partition->options->flush_jitter,
		.flush_timeout = partition->options->flush_timeout,
		.in_flight = partition->in_flight + partition->stuck - late,
		.stuck = late,
		.queued = partition->queued,
		.attempt = failed,
		.failures = partition->breaker.failures,
		.breaker_open = partition->breaker.open,
		.last_status = partition->last_status,
		.rate_wait_ms = gate_is_paced(partition, now_ns) ? until_ms(partition->booked_ns, now_ns) : -1,
		.next_flush_ms = until_ms(partition_next_cut(partition, now_ns), now_ns),
		.next_retry_ms = retry_ns > now_ns ? until_ms(retry_ns, now_ns) : -1,
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
	stats->dropped += partition->dropped;
	stats->left += partition->left;
	stats->batches += partition->batches;
	stats->attempts += partition->attempts;
	stats->failures += partition->failures;
	stats->rejects += partition->rejects;
	stats->too_large += partition->too_large;
	stats->timeouts += partition->timeouts;
	stats->worker_deaths += partition->worker_deaths;
}
