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
	list_init(&lane->link);
}

uint64_t items_end(uint64_t at, const databuffer_item *items, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		at = align_up(at, slot_alignment(items[i].len)) + items[i].len;
	return at;
}

enum lane_put lane_put_items(struct lane *lane, const databuffer_item *items, uint32_t n)
{
	uint32_t slot = lane_slot(lane);
	if (items_end(lane->byte, items, n) > lane->byte_end || !lane_claim(lane, slot, n))
		return LANE_REFUSED;
	uint64_t at = lane->byte;
	uint32_t payload = 0;
	for (uint32_t i = 0; i < n; i++) {
		size_t len = items[i].len;
		at = align_up(at, slot_alignment(len));
		if (len)
			memcpy(lane->arena + at, items[i].data, len);
		atomic_store_explicit(&lane->index[slot + i], slot_entry((uint32_t)at, (uint32_t)len),
		                      memory_order_relaxed);
		at += len;
		payload += (uint32_t)len;
	}
	return lane_commit(lane, slot + n, (uint32_t)at, payload);
}

enum lane_put lane_put_array(struct lane *lane, const void *base, uint32_t n, uint32_t item_size)
{
	uint32_t slot = lane_slot(lane);
	uint64_t at = align_up(lane->byte, slot_alignment(item_size));
	uint64_t bytes = (uint64_t)n * item_size;
	if (at + bytes > lane->byte_end || !lane_claim(lane, slot, n))
		return LANE_REFUSED;
	if (bytes)
		memcpy(lane->arena + at, base, bytes);
	for (uint32_t i = 0; i < n; i++)
		atomic_store_explicit(&lane->index[slot + i],
		                      slot_entry((uint32_t)at + i * item_size, item_size), memory_order_relaxed);
	return lane_commit(lane, slot + n, (uint32_t)(at + bytes), (uint32_t)bytes);
}

uint32_t lane_hold(struct lane *lane, uint32_t len, uint32_t *offset)
{
	uint32_t slot = lane_slot(lane);
	uint64_t at = align_up(lane->byte, slot_alignment(len));
	*offset = (uint32_t)at;
	atomic_store_explicit(&lane->index[slot], slot_entry((uint32_t)at, SLOT_HELD), memory_order_relaxed);
	atomic_store_explicit(&lane->claimed, slot + 1, memory_order_relaxed);
	lane_commit(lane, slot + 1, (uint32_t)(at + len), 0);
	return slot;
}

void lane_withdraw(struct lane *lane)
{
	atomic_store_explicit(&lane->end, 0, memory_order_seq_cst);
}

uint32_t lane_settle(struct lane *lane)
{
	for (unsigned round = 0;; round++) {
		uint32_t claimed = atomic_load_explicit(&lane->claimed, memory_order_seq_cst);
		uint32_t committed = atomic_load_explicit(&lane->committed, memory_order_acquire);
		if (claimed == committed)
			return committed;
		port_yield(round);
	}
}

uint32_t lane_filled(const struct lane *lane)
{
	return atomic_load_explicit(&lane->committed, memory_order_acquire) - lane->first;
}
