/* SPDX-License-Identifier: MIT */
/* Making, finding and ending a thread's producers. */
#include "core/producer.h"

#include <stdlib.h>

#include "core/debug.h"
#include "core/registry.h"

/* Stands where nothing does: no buffer has this address. */
static struct producer nobody;

_Thread_local struct producer_recent producer_recent = { .buf = (const struct databuffer *)&nobody };

#define CACHE_BITS 3

static _Thread_local struct producer *cache[1 << CACHE_BITS];

static struct producer **cache_place(const struct databuffer *buf)
{
	uint64_t hash = ((uint64_t)(uintptr_t)buf >> 6) * UINT64_C(0x9e3779b97f4a7c15);
	return &cache[hash >> (64 - CACHE_BITS)];
}

static bool is_of(const struct producer *producer, const struct databuffer *buf)
{
	return atomic_load_explicit(&producer->buffer, memory_order_relaxed) == buf;
}

static void put_at_hand(struct producer *producer, const struct databuffer *buf)
{
	if (producer_recent.producer)
		producer_recent.producer->cursor = producer_recent.cursor;
	producer_recent = (struct producer_recent){ buf, producer->cursor, producer };
}

static _Thread_local struct list mine;

static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;

static void forget(struct producer *producer)
{
	for (unsigned i = 0; i < 1 << CACHE_BITS; i++)
		if (cache[i] == producer)
			cache[i] = NULL;
	if (producer_recent.producer == producer)
		producer_recent = (struct producer_recent){ .buf = (const struct databuffer *)&nobody };
	list_remove(&producer->in_thread);
	free(producer);
}

/* --- The end of a thread ----------------------------------------------------------------- */

void producer_drop_hold(struct producer *producer, struct hold *hold)
{
	hold->segment = NULL;
	producer->hold_count--;
}

void producer_abort_hold(struct producer *producer, struct hold *hold)
{
	struct partition *partition = hold->partition;
	unsigned todo = TODO_ROOM;
	STEP("producer: to abort");
	pthread_mutex_lock(&partition->lock);
	if (hold->segment->sealed) {
		todo = partition_unpin(partition, hold->segment);
	} else {
		segment_resolve(hold->segment, hold->slot, hold->offset, hold->len, false);
		/* A slot without bytes may have been all that a batch full of bytes waited for. */
		todo |= partition_filled(partition, buffer_now_ns(partition->buffer));
	}
	producer_drop_hold(producer, hold);
	buffer_unlock(partition, todo);
	buffer_release(partition->buffer);
}

static void return_leases(struct producer *producer)
{
	for (unsigned i = 0; i < producer->lane_count; i++) {
		struct lane *lane = &producer->lanes[i];
		struct partition *partition = lane->partition;
		STEP("producer: to give back");
		pthread_mutex_lock(&partition->lock);
		if (lane->segment)
			segment_return(lane->segment, lane);
		/* Where others' leases had to be taken back for it the batch may be full (lane.h). */
		buffer_unlock(partition, partition_filled(partition, buffer_now_ns(partition->buffer)));
	}
}

static void abort_holds(struct producer *producer)
{
	for (unsigned i = 0; i < PRODUCER_HOLDS; i++)
		if (producer->holds[i].segment)
			producer_abort_hold(producer, &producer->holds[i]);
}

static void end_producer(struct producer *producer)
{
	registry_lock();
	struct databuffer *buf = atomic_load_explicit(&producer->buffer, memory_order_relaxed);
	if (buf) {
		/* In the registry, so its insides are there; stay while we need them. */
		buffer_retain(buf);
		list_remove(&producer->in_buffer);
	}
	registry_unlock();
	STEP("producer: ends");
	abort_holds(producer);
	if (buf) {
		return_leases(producer);
		buffer_release(buf);
	}
	forget(producer);
}

/* The thread is on its way out. Destructors of other keys may still insert, and
 * there may be no round of destructors after them to clean up in. */
static _Thread_local bool ending;

static void end_thread(void *unused)
{
	(void)unused;
	struct list *node, *next;
	ending = true;
	LIST_FOREACH_SAFE(node, next, &mine)
		end_producer(LIST_ENTRY(node, struct producer, in_thread));
}

void producer_rest(void)
{
	struct list *node, *next;
	if (!ending)
		return;
	LIST_FOREACH_SAFE(node, next, &mine)
		if (LIST_ENTRY(node, struct producer, in_thread)->hold_count == 0)
			end_producer(LIST_ENTRY(node, struct producer, in_thread));
}

static void make_exit_key(void)
{
	pthread_key_create(&exit_key, end_thread);
}

/* --- The first insert ------------------------------------------------------------------------ */

/* Puts what it finds first, since a thread mostly stays with a few buffers; frees
 * what it meets of buffers that are gone. */
static struct producer *find_mine(const struct databuffer *buf)
{
	struct list *node, *next;
	LIST_FOREACH_SAFE(node, next, &mine)
	{
		struct producer *producer = LIST_ENTRY(node, struct producer, in_thread);
		struct databuffer *its = atomic_load_explicit(&producer->buffer, memory_order_acquire);
		if (its == buf) {
			list_remove(node);
			list_push_front(&mine, node);
			return producer;
		}
		if (!its && producer->hold_count == 0 && producer->busy == 0)
			forget(producer);
	}
	return NULL;
}

static void init_lanes(struct producer *producer, struct databuffer *buf)
{
	unsigned n = producer->lane_count;
	for (unsigned i = 0; i < n; i++)
		lane_init(&producer->lanes[i], &buf->partitions[i], &producer->lanes[(i + 1) % n], buf->fenced);
}

static struct producer *make(struct databuffer *buf)
{
	unsigned n = buf->partition_count;
	void *memory;
	if (posix_memalign(&memory, PORT_CACHE_LINE, sizeof(struct producer) + n * sizeof(struct lane)) != 0)
		return NULL;
	struct producer *producer = memory;
	memset(producer, 0, sizeof(*producer));
	producer->lane_count = n;
	init_lanes(producer, buf);
	registry_lock();
	if (!buf->registered) {
		/* Nobody would tell it when the buffer is gone. */
		registry_unlock();
		free(producer);
		return NULL;
	}
	atomic_store_explicit(&producer->buffer, buf, memory_order_relaxed);
	/* Threads start at different partitions, for the sake of those that insert little. */
	producer->cursor = &producer->lanes[buf->producer_count++ % n];
	list_push_back(&buf->producers, &producer->in_buffer);
	registry_unlock();
	list_push_back(&mine, &producer->in_thread);
	return producer;
}

bool producer_switch(const struct databuffer *buf)
{
	struct producer *producer = *cache_place(buf);
	if (!buf || !producer || !is_of(producer, buf))
		return false;
	put_at_hand(producer, buf);
	return true;
}

struct producer *producer_get(struct databuffer *buf)
{
	if (producer_use(buf) && is_of(producer_recent.producer, buf))
		return producer_recent.producer;
	if (!mine.next)
		list_init(&mine);
	struct producer *producer = find_mine(buf);
	if (!producer) {
		pthread_once(&exit_once, make_exit_key);
		if (pthread_setspecific(exit_key, &mine) != 0)
			return NULL;
		producer = make(buf);
	}
	if (producer) {
		*cache_place(buf) = producer;
		put_at_hand(producer, buf);
	}
	return producer;
}

/* --- The ring of lanes --------------------------------------------------------------------------- */

/* Every lane, in the ring or not, leads to the next one that is in it. */
static void link_ring(struct producer *producer)
{
	unsigned n = producer->lane_count, last = n - 1;
	while (producer->lanes[last].skipped)
		last--;
	/* Around from the last one in the ring, backwards. */
	struct lane *next = &producer->lanes[last];
	for (unsigned i = 0; i < n; i++) {
		struct lane *lane = &producer->lanes[(last + n - 1 - i) % n];
		lane->next = next;
		if (!lane->skipped)
			next = lane;
	}
}

void producer_skip(struct producer *producer, struct lane *lane, bool skip)
{
	if (lane->skipped == skip || (skip && producer->skips + 1 == producer->lane_count))
		return;
	lane->skipped = skip;
	producer->skips = skip ? producer->skips + 1 : producer->skips - 1;
	link_ring(producer);
}

void producer_look_again(struct producer *producer, uint32_t room)
{
	if (producer->room_seen == room)
		return;
	producer->room_seen = room;
	if (producer->skips == 0)
		return;
	for (unsigned i = 0; i < producer->lane_count; i++)
		producer->lanes[i].skipped = false;
	producer->skips = 0;
	link_ring(producer);
}

/* --- The end of a buffer ----------------------------------------------------------------------- */

void producer_orphan_all(struct databuffer *buf)
{
	struct list *node;
	while ((node = list_pop_front(&buf->producers)) != NULL) {
		struct producer *producer = LIST_ENTRY(node, struct producer, in_buffer);
		/* Release: what was done to its lanes comes before its owner frees it. */
		atomic_store_explicit(&producer->buffer, NULL, memory_order_release);
	}
}

void producer_reset_all(struct databuffer *buf)
{
	struct list *node, *next;
	LIST_FOREACH_SAFE(node, next, &buf->producers)
	{
		struct producer *producer = LIST_ENTRY(node, struct producer, in_buffer);
		struct list *own = NULL, *at;
		if (mine.next)
			LIST_FOREACH(at, &mine)
				if (at == &producer->in_thread)
					own = at;
		if (!own) {
			list_remove(node);
			free(producer);
			continue;
		}
		memset(producer->holds, 0, sizeof(producer->holds));
		producer->hold_count = producer->skips = 0;
		init_lanes(producer, buf);
	}
}
