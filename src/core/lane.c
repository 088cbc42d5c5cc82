/* SPDX-License-Identifier: MIT */
/* The parts of a lane that are not an insert's fast path. */
#include "core/lane.h"

void lane_init(struct lane *lane, struct partition *partition, struct lane *next, bool fenced)
{
	memset(lane, 0, sizeof(*lane));
	lane->partition = partition;
	lane->next = next;
	lane->fenced = fenced;
	lane->want = 1;
	lane->item_len = LANE_MIXED;
	lane->quick = UINT64_MAX;
	list_init(&lane->link);
}

bool lane_is_valid(const struct lane *lane)
{
	/* In this order: a slot is claimed before it is committed. */
	uint32_t committed = atomic_load_explicit(&lane->committed, memory_order_acquire);
	uint32_t claimed = atomic_load_explicit(&lane->claimed, memory_order_relaxed);
	uint32_t end = atomic_load_explicit(&lane->end, memory_order_relaxed);
	return lane->first <= committed && committed <= claimed && committed <= lane->lease_end &&
	       (end == 0 || end == lane->lease_end) &&
	       (lane->quick == UINT64_MAX || (lane->quick == lane->item_len && !lane->fenced));
}

uint64_t items_end(uint64_t at, const databuffer_item *items, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		at = align_up(at, slot_alignment(items[i].len)) + items[i].len;
	return at;
}

/* Items of one length, side by side: n of them are one copy, and nothing is said
 * of where they are. */
static enum lane_put put_even(struct lane *lane, const void *base, uint32_t n, size_t item_size)
{
	uint32_t slot = lane_slot(lane);
	ASSERT(lane_is_valid(lane));
	if (item_size != lane->item_len || !lane_claim(lane, slot, n))
		return LANE_REFUSED;
	STEP("lane: even, has room");
	lane_copy(lane->arena + lane->byte, base, n * item_size);
	lane->byte += (uint32_t)(n * item_size);
	return lane_commit(lane, slot + n);
}

enum lane_put lane_put(struct lane *lane, const void *data, size_t len)
{
	if (lane->item_len != LANE_MIXED)
		return put_even(lane, data, 1, len);
	uint32_t slot = lane_slot(lane);
	uint64_t at = align_up(lane->byte, slot_alignment(len));
	ASSERT(lane_is_valid(lane) && lane->byte <= lane->byte_end);
	/* The first test keeps the sum of the second from wrapping. */
	if (len > lane->byte_end || at + len > lane->byte_end || !lane_claim(lane, slot, 1))
		return LANE_REFUSED;
	STEP("lane: one, has room");
	lane_copy(lane->arena + at, data, len);
	STEP("lane: one, no entry yet");
	atomic_store_explicit(&lane->index[slot], slot_entry((uint32_t)at, (uint32_t)len), memory_order_relaxed);
	return lane_commit_mixed(lane, slot + 1, (uint32_t)(at + len), (uint32_t)len);
}

enum lane_put lane_put_array(struct lane *lane, const void *base, uint32_t n, uint32_t item_size)
{
	if (lane->item_len != LANE_MIXED)
		return put_even(lane, base, n, item_size);
	uint32_t slot = lane_slot(lane);
	uint64_t at = align_up(lane->byte, slot_alignment(item_size));
	uint64_t bytes = (uint64_t)n * item_size;
	ASSERT(lane_is_valid(lane) && lane->byte <= lane->byte_end);
	if (at + bytes > lane->byte_end || !lane_claim(lane, slot, n))
		return LANE_REFUSED;
	STEP("lane: array, has room");
	if (bytes)
		memcpy(lane->arena + at, base, bytes);
	STEP("lane: array, no entries yet");
	for (uint32_t i = 0; i < n; i++)
		atomic_store_explicit(&lane->index[slot + i],
		                      slot_entry((uint32_t)at + i * item_size, item_size), memory_order_relaxed);
	return lane_commit_mixed(lane, slot + n, (uint32_t)(at + bytes), (uint32_t)bytes);
}

static enum lane_put put_items_even(struct lane *lane, const databuffer_item *items, uint32_t n)
{
	uint32_t slot = lane_slot(lane), len = lane->item_len;
	ASSERT(lane_is_valid(lane));
	for (uint32_t i = 0; i < n; i++)
		if (items[i].len != len)
			return LANE_REFUSED;
	if (!lane_claim(lane, slot, n))
		return LANE_REFUSED;
	STEP("lane: even items, have room");
	unsigned char *to = lane->arena + lane->byte;
	lane->byte += n * len;
	for (uint32_t i = 0; i < n && len > 0; i++, to += len)
		lane_copy(to, items[i].data, len);
	return lane_commit(lane, slot + n);
}

enum lane_put lane_put_items(struct lane *lane, const databuffer_item *items, uint32_t n)
{
	if (lane->item_len != LANE_MIXED)
		return put_items_even(lane, items, n);
	uint32_t slot = lane_slot(lane);
	ASSERT(lane_is_valid(lane) && lane->byte <= lane->byte_end);
	if (items_end(lane->byte, items, n) > lane->byte_end || !lane_claim(lane, slot, n))
		return LANE_REFUSED;
	uint64_t at = lane->byte;
	uint32_t payload = 0;
	for (uint32_t i = 0; i < n; i++) {
		size_t len = items[i].len;
		STEP("lane: items, the next");
		at = align_up(at, slot_alignment(len));
		if (len)
			lane_copy(lane->arena + at, items[i].data, len);
		atomic_store_explicit(&lane->index[slot + i], slot_entry((uint32_t)at, (uint32_t)len),
		                      memory_order_relaxed);
		at += len;
		payload += (uint32_t)len;
	}
	return lane_commit_mixed(lane, slot + n, (uint32_t)at, payload);
}

uint32_t lane_hold(struct lane *lane, uint32_t len, uint32_t *offset)
{
	uint32_t slot = lane_slot(lane);
	uint64_t at = align_up(lane->byte, slot_alignment(len));
	ASSERT(lane_is_valid(lane) && lane->item_len == LANE_MIXED);
	ASSERT(slot < lane->lease_end && at + len <= lane->byte_end);
	*offset = (uint32_t)at;
	atomic_store_explicit(&lane->index[slot], slot_entry((uint32_t)at, SLOT_HELD), memory_order_relaxed);
	atomic_store_explicit(&lane->claimed, slot + 1, memory_order_relaxed);
	lane_commit_mixed(lane, slot + 1, (uint32_t)(at + len), 0);
	return slot;
}

void lane_withdraw(struct lane *lane)
{
	ASSERT(lane_is_valid(lane));
	atomic_store_explicit(&lane->end, 0, memory_order_seq_cst);
	STEP("lane: withdrawn");
}

uint32_t lane_settle(struct lane *lane)
{
	for (unsigned round = 0;; round++) {
		uint32_t claimed = atomic_load_explicit(&lane->claimed, memory_order_seq_cst);
		STEP("lane: settling");
		uint32_t committed = atomic_load_explicit(&lane->committed, memory_order_acquire);
		if (claimed == committed) {
			ASSERT(lane_is_valid(lane));
			return committed;
		}
		port_yield(round);
	}
}

uint32_t lane_filled(const struct lane *lane)
{
	return atomic_load_explicit(&lane->committed, memory_order_acquire) - lane->first;
}

uint64_t lane_payload(const struct lane *lane)
{
	if (lane->item_len != LANE_MIXED)
		return (uint64_t)lane_filled(lane) * lane->item_len;
	return atomic_load_explicit(&lane->payload, memory_order_relaxed);
}
