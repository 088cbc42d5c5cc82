/* SPDX-License-Identifier: MIT */
/*
 * Leases: what they grant, what a recall brings back, and that what several
 * threads put in while it is recalled again and again is all there, in order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/segment.h"

#define SLOTS 1000
#define BYTES 100000

static struct segment *create(void)
{
	struct segment *segment = calloc(1, sizeof(*segment));
	unsigned char *memory = aligned_alloc(4096, segment_footprint(SLOTS, BYTES));
	segment_init(segment, memory, SLOTS, BYTES, !port_has_barrier());
	segment_open(segment, SLOTS, BYTES, 1, false);
	return segment;
}

static void destroy(struct segment *segment)
{
	assert_true(segment_is_valid(segment));
	free((void *)(uintptr_t)segment->index);
	free(segment);
}

static struct lane *lane_of(struct lane *lane)
{
	lane_init(lane, NULL, lane, !port_has_barrier());
	return lane;
}

static enum lease lease_one(struct segment *segment, struct lane *lane, uint32_t len)
{
	struct lease_request request = { .item_size = len, .n = 1, .payload = len };
	return segment_lease(segment, lane, &request);
}

/* Inserts one number, leasing as needed. */
static void put(struct segment *segment, struct lane *lane, uint64_t value)
{
	if (lane_put(lane, &value, sizeof(value)) != LANE_REFUSED)
		return;
	assert_int_equal(lease_one(segment, lane, sizeof(value)), LEASE_GRANTED);
	assert_int_not_equal(lane_put(lane, &value, sizeof(value)), LANE_REFUSED);
}

static uint64_t value_at(const struct segment *segment, uint32_t slot)
{
	databuffer_item item = batch_item(segment, slot);
	assert_int_equal(item.len, sizeof(uint64_t));
	return *(const uint64_t *)item.data;
}

static void leases_double_with_use_and_give_back_what_is_unused(void **state)
{
	(void)state;
	struct segment *segment = create();
	struct lane lane;
	lane_of(&lane);
	uint32_t granted = 0;
	for (uint32_t expected = 1; expected <= 64; expected *= 2) {
		assert_int_equal(lease_one(segment, &lane, 8), LEASE_GRANTED);
		assert_int_equal(lane.lease_end - granted, expected);
		for (; granted < lane.lease_end; granted++)
			put(segment, &lane, granted);
	}
	put(segment, &lane, granted++);
	segment_recall(segment);
	assert_int_equal(segment->leased, granted);
	assert_int_equal(segment_count(segment), granted);
	for (uint32_t slot = 0; slot < granted; slot++)
		assert_int_equal(value_at(segment, slot), slot);
	destroy(segment);
}

static void one_thread_fills_a_segment_to_its_last_slot(void **state)
{
	(void)state;
	struct segment *segment = create();
	struct lane lane;
	lane_of(&lane);
	databuffer_trigger trigger;
	for (uint64_t i = 0; i < SLOTS; i++) {
		assert_false(segment_is_full(segment, &trigger));
		put(segment, &lane, i);
	}
	assert_true(segment_is_full(segment, &trigger));
	assert_int_equal(trigger, DATABUFFER_TRIGGER_SIZE);
	assert_int_equal(lease_one(segment, &lane, 8), LEASE_NO_SLOTS);
	destroy(segment);
}

static void threads_that_share_a_segment_fill_it_to_its_last_slot(void **state)
{
	(void)state;
	struct segment *segment = create();
	static struct lane lanes[7];
	uint64_t next[7] = { 0 };
	databuffer_trigger trigger;
	unsigned recalls = 0;
	for (int i = 0; i < 7; i++)
		lane_of(&lanes[i]);
	/* One has leased much and falls silent; the others are of very uneven rates,
	 * each twice as busy as the one before. */
	for (; next[0] < 40; next[0]++)
		put(segment, &lanes[0], next[0]);
	assert_true(lanes[0].lease_end > 40);
	for (uint32_t i = 1; !segment_is_full(segment, &trigger); i++) {
		int who = __builtin_ctz(i) > 5 ? 1 : 6 - __builtin_ctz(i);
		uint64_t value = (uint64_t)who << 32 | next[who];
		if (lane_put(&lanes[who], &value, 8) == LANE_REFUSED) {
			if (lease_one(segment, &lanes[who], 8) != LEASE_GRANTED) {
				assert_true(segment_has_more(segment));
				segment_recall(segment);
				recalls++;
				assert_int_equal(lease_one(segment, &lanes[who], 8), LEASE_GRANTED);
			}
			assert_int_not_equal(lane_put(&lanes[who], &value, 8), LANE_REFUSED);
		}
		next[who]++;
		assert_true(segment_is_valid(segment));
	}
	assert_in_range(recalls, 1, 12);
	assert_int_equal(segment_seal(segment, DATABUFFER_TRIGGER_SIZE), SLOTS);
	uint64_t seen[7] = { 0 };
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		uint64_t value = value_at(segment, slot);
		assert_int_equal(value & UINT32_MAX, seen[value >> 32]++);
	}
	destroy(segment);
}

static void idle_threads_hold_a_slot_each_and_no_more(void **state)
{
	(void)state;
	struct segment *segment = create();
	struct lane *lanes = aligned_alloc(PORT_CACHE_LINE, 500 * sizeof(*lanes));
	for (int i = 0; i < 500; i++)
		put(segment, lane_of(&lanes[i]), (uint64_t)i);
	assert_int_equal(segment->leased, 500);
	for (int i = 0; i < 500; i++)
		put(segment, &lanes[i], (uint64_t)(500 + i));
	databuffer_trigger trigger;
	assert_true(segment_is_full(segment, &trigger));
	segment_recall(segment);
	destroy(segment);
	free(lanes);
}

static void no_more_than_max_bytes_go_in_whatever_the_padding(void **state)
{
	(void)state;
	struct segment *segment = create();
	struct lane lanes[2];
	lane_of(&lanes[0]);
	lane_of(&lanes[1]);
	unsigned char bytes[4096] = { 0 };
	uint64_t total = 0;
	for (uint32_t i = 0;; i++) {
		uint32_t len = (i * 7919) % 997;
		struct lane *lane = &lanes[i & 1];
		if (lane_put(lane, bytes, len) == LANE_REFUSED) {
			enum lease lease = lease_one(segment, lane, len);
			if (lease != LEASE_GRANTED) {
				segment_recall(segment);
				lease = lease_one(segment, lane, len);
			}
			if (lease != LEASE_GRANTED)
				break;
			assert_int_not_equal(lane_put(lane, bytes, len), LANE_REFUSED);
		}
		total += len;
		assert_int_equal(segment_bytes(segment), total);
		assert_true(total <= BYTES);
	}
	assert_true(total > BYTES - 997);
	segment_recall(segment);
	destroy(segment);
}

static void a_batch_stands_together_and_in_order(void **state)
{
	(void)state;
	struct segment *segment = create();
	struct lane lanes[2];
	lane_of(&lanes[0]);
	lane_of(&lanes[1]);
	put(segment, &lanes[0], 1);
	put(segment, &lanes[0], 2); /* leases two, uses one */
	put(segment, &lanes[1], 3);
	uint64_t values[5] = { 10, 11, 12, 13, 14 };
	struct lease_request request = { .item_size = 8, .n = 5, .payload = 40 };
	assert_int_equal(segment_lease(segment, &lanes[0], &request), LEASE_GRANTED);
	assert_int_not_equal(lane_put_array(&lanes[0], values, 5, 8), LANE_REFUSED);
	segment_recall(segment);
	uint64_t expected[] = { 1, 2, 3, 10, 11, 12, 13, 14 };
	assert_int_equal(segment->settled, 8);
	for (uint32_t slot = 0; slot < 8; slot++)
		assert_int_equal(value_at(segment, slot), expected[slot]);
	destroy(segment);
}

static void a_reserved_slot_is_left_out_of_a_seal_and_pins_the_memory(void **state)
{
	(void)state;
	struct segment *segment = create();
	struct lane lane;
	lane_of(&lane);
	uint32_t slot[3], offset[3];
	put(segment, &lane, 0);
	for (int i = 0; i < 3; i++) {
		struct lease_request request = { .item_size = 8, .n = 1, .payload = 8, .hold = true };
		assert_int_equal(segment_lease(segment, &lane, &request), LEASE_GRANTED);
		segment_hold(segment, &lane, 8, &slot[i], &offset[i]);
		put(segment, &lane, (uint64_t)i + 1);
	}
	assert_int_equal(segment_count(segment), 4);
	*(uint64_t *)(void *)(segment->arena + offset[1]) = 99;
	segment_resolve(segment, slot[0], offset[0], 8, false);
	segment_resolve(segment, slot[1], offset[1], 8, true);
	assert_int_equal(segment_count(segment), 5);
	assert_int_equal(segment_bytes(segment), 40);
	assert_int_equal(segment_seal(segment, DATABUFFER_TRIGGER_FLUSH), 5);
	uint64_t expected[] = { 0, 1, 99, 2, 3 };
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(value_at(segment, i), expected[i]);
	assert_int_equal(segment->pins, 1);
	destroy(segment);
}

/* --- The two kinds ---------------------------------------------------------------------------- */

static void put_bytes(struct segment *segment, struct lane *lane, const char *bytes)
{
	uint32_t len = (uint32_t)strlen(bytes);
	if (lane_put(lane, bytes, len) != LANE_REFUSED)
		return;
	assert_int_equal(lease_one(segment, lane, len), LEASE_GRANTED);
	assert_int_not_equal(lane_put(lane, bytes, len), LANE_REFUSED);
}

static void assert_items(const struct segment *segment, const char *const *expected, uint32_t n)
{
	assert_int_equal(segment->settled, n);
	uint64_t bytes = 0;
	for (uint32_t slot = 0; slot < n; slot++) {
		databuffer_item item = batch_item(segment, slot);
		assert_int_equal(item.len, strlen(expected[slot]));
		assert_memory_equal(item.data, expected[slot], item.len);
		bytes += item.len;
	}
	assert_int_equal(segment_bytes(segment), bytes);
	assert_true(segment_is_valid(segment));
}

static void items_of_one_length_are_an_array_whose_index_is_not_touched(void **state)
{
	(void)state;
	struct segment *segment = create();
	memset((void *)(uintptr_t)segment->index, 0xa5, SLOTS * sizeof(uint64_t));
	struct lane lanes[2];
	lane_of(&lanes[0]);
	lane_of(&lanes[1]);
	for (uint64_t i = 0; i < 300; i++)
		put(segment, &lanes[0], i);
	assert_int_equal(lanes[0].quick, port_has_barrier() ? 8 : UINT64_MAX);
	put(segment, &lanes[1], 1000); /* behind the first one's lease, which is not full */
	segment_return(segment, &lanes[1]);
	assert_int_equal(segment->item_len, 8);
	for (uint64_t i = 300; lanes[0].segment && lane_slot(&lanes[0]) < lanes[0].lease_end; i++)
		put(segment, &lanes[0], i);
	uint32_t count = segment_seal(segment, DATABUFFER_TRIGGER_SIZE);
	assert_int_equal(segment->item_len, 8);
	assert_ptr_equal(databuffer_batch_array(&segment->batch), segment->arena);
	assert_int_equal(databuffer_batch_bytes(&segment->batch), count * 8);
	for (uint32_t i = 0; i < SLOTS; i++)
		assert_int_equal(segment->index[i], UINT64_C(0xa5a5a5a5a5a5a5a5));
	destroy(segment);
}

static void another_length_indexes_what_is_there(void **state)
{
	(void)state;
	struct segment *segment = create();
	struct lane lanes[2];
	lane_of(&lanes[0]);
	lane_of(&lanes[1]);
	put_bytes(segment, &lanes[0], "abcd");
	put_bytes(segment, &lanes[0], "efgh");
	put_bytes(segment, &lanes[1], "ijkl");
	assert_int_equal(segment->item_len, 4);
	put_bytes(segment, &lanes[0], "odd");
	assert_int_equal(segment->item_len, LANE_MIXED);
	put_bytes(segment, &lanes[1], "mnop");
	put_bytes(segment, &lanes[1], "");
	segment_seal(segment, DATABUFFER_TRIGGER_FLUSH);
	assert_true(segment->varied);
	assert_items(segment, (const char *const[]){ "abcd", "efgh", "ijkl", "odd", "mnop", "" }, 6);
	/* The next one is indexed from the start, and the one after an array if it could have been. */
	segment_open(segment, SLOTS, BYTES, 2, segment->varied);
	put_bytes(segment, &lanes[0], "abcd");
	put_bytes(segment, &lanes[1], "efgh");
	assert_int_equal(segment->item_len, LANE_MIXED);
	segment_seal(segment, DATABUFFER_TRIGGER_FLUSH);
	assert_false(segment->varied);
	assert_items(segment, (const char *const[]){ "abcd", "efgh" }, 2);
	segment_open(segment, SLOTS, BYTES, 3, segment->varied);
	put_bytes(segment, &lanes[0], "abcd");
	assert_int_equal(segment->item_len, 4);
	segment_recall(segment);
	destroy(segment);
}

static void a_gap_in_an_array_is_closed_by_an_index(void **state)
{
	(void)state;
	struct segment *segment = create();
	struct lane lanes[3];
	for (int i = 0; i < 3; i++)
		lane_of(&lanes[i]);
	const char *expected[] = { "a0", "a1", "a2", "b0", "c0", "a3", "b1", "c1" };
	for (int i = 0; i < 3; i++)
		put_bytes(segment, &lanes[0], expected[i]); /* in leases of one and of two */
	put_bytes(segment, &lanes[1], "b0");
	put_bytes(segment, &lanes[2], "c0");
	segment_recall(segment);
	assert_int_equal(segment->item_len, 2);
	put_bytes(segment, &lanes[0], "a3"); /* one of four */
	put_bytes(segment, &lanes[1], "b1"); /* one of two */
	put_bytes(segment, &lanes[2], "c1");
	segment_recall(segment);
	assert_int_equal(segment->item_len, LANE_MIXED);
	assert_items(segment, expected, 8);
	destroy(segment);
}

static void a_thread_that_ends_leaves_no_gap(void **state)
{
	(void)state;
	struct segment *segment = create();
	struct lane lanes[2];
	lane_of(&lanes[0]);
	lane_of(&lanes[1]);
	put_bytes(segment, &lanes[0], "a0");
	put_bytes(segment, &lanes[0], "a1");
	assert_true(lanes[0].lease_end > lane_slot(&lanes[0]) || lanes[0].want > 1);
	put_bytes(segment, &lanes[0], "a2"); /* a lease of four, one filled */
	put_bytes(segment, &lanes[1], "b0");
	uint32_t unfilled = lanes[0].lease_end - lane_slot(&lanes[0]);
	segment_return(segment, &lanes[0]);
	assert_null(lanes[0].segment);
	assert_int_equal(segment->item_len, unfilled > 0 ? LANE_MIXED : 2);
	put_bytes(segment, &lanes[1], "b1");
	segment_seal(segment, DATABUFFER_TRIGGER_FLUSH);
	assert_items(segment, (const char *const[]){ "a0", "a1", "a2", "b0", "b1" }, 5);
	destroy(segment);
}

static void a_reservation_indexes_what_is_there(void **state)
{
	(void)state;
	struct segment *segment = create();
	struct lane lane;
	lane_of(&lane);
	put_bytes(segment, &lane, "ab");
	struct lease_request request = { .item_size = 2, .n = 1, .payload = 2, .hold = true };
	assert_int_equal(segment_lease(segment, &lane, &request), LEASE_GRANTED);
	assert_int_equal(segment->item_len, LANE_MIXED);
	uint32_t slot, offset;
	segment_hold(segment, &lane, 2, &slot, &offset);
	memcpy(segment->arena + offset, "cd", 2);
	put_bytes(segment, &lane, "ef");
	segment_resolve(segment, slot, offset, 2, true);
	segment_seal(segment, DATABUFFER_TRIGGER_FLUSH);
	assert_items(segment, (const char *const[]){ "ab", "cd", "ef" }, 3);
	destroy(segment);
}

/* --- With threads: a lock for the lender, lanes for the owners -------------------------------- */

#define OWNERS 3

static struct {
	pthread_mutex_t lock;
	struct segment *segment;
	_Atomic int owners;
	uint64_t seen[OWNERS];
	uint64_t items;
} shared = { .lock = PTHREAD_MUTEX_INITIALIZER };

static uint64_t each(void)
{
	const char *scale = getenv("DATABUFFER_TEST_SCALE");
	return 200000 * (scale ? strtoull(scale, NULL, 10) : 100) / 100;
}

/* Under the lock: checks the batch, and opens the segment anew. */
static void consume(void)
{
	uint32_t count = segment_seal(shared.segment, DATABUFFER_TRIGGER_SIZE);
	for (uint32_t slot = 0; slot < count; slot++) {
		uint64_t value = value_at(shared.segment, slot);
		assert_int_equal(value & UINT32_MAX, shared.seen[value >> 32]++);
	}
	shared.items += count;
	segment_open(shared.segment, SLOTS, BYTES, 1, false);
}

static void *own(void *arg)
{
	uint64_t who = (uint64_t)(uintptr_t)arg;
	struct lane *lane = lane_of(aligned_alloc(PORT_CACHE_LINE, sizeof(*lane)));
	for (uint64_t i = 0; i < each(); i++) {
		uint64_t value = who << 32 | i;
		if (lane_put(lane, &value, 8) != LANE_REFUSED)
			continue;
		pthread_mutex_lock(&shared.lock);
		if (lease_one(shared.segment, lane, 8) != LEASE_GRANTED) {
			consume();
			assert_int_equal(lease_one(shared.segment, lane, 8), LEASE_GRANTED);
		}
		assert_int_not_equal(lane_put(lane, &value, 8), LANE_REFUSED);
		pthread_mutex_unlock(&shared.lock);
	}
	pthread_mutex_lock(&shared.lock);
	if (lane->segment)
		segment_return(lane->segment, lane);
	pthread_mutex_unlock(&shared.lock);
	atomic_fetch_sub(&shared.owners, 1);
	free(lane);
	return NULL;
}

static void nothing_is_lost_or_seen_half_written_while_leases_are_recalled(void **state)
{
	(void)state;
	shared.segment = create();
	atomic_store(&shared.owners, OWNERS);
	pthread_t threads[OWNERS];
	for (uintptr_t i = 0; i < OWNERS; i++)
		pthread_create(&threads[i], NULL, own, (void *)i);
	while (atomic_load(&shared.owners) > 0) {
		pthread_mutex_lock(&shared.lock);
		segment_recall(shared.segment);
		assert_true(segment_is_valid(shared.segment));
		pthread_mutex_unlock(&shared.lock);
		port_yield(100);
	}
	for (int i = 0; i < OWNERS; i++)
		pthread_join(threads[i], NULL);
	consume();
	assert_int_equal(shared.items, OWNERS * each());
	destroy(shared.segment);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leases_double_with_use_and_give_back_what_is_unused),
		cmocka_unit_test(one_thread_fills_a_segment_to_its_last_slot),
		cmocka_unit_test(threads_that_share_a_segment_fill_it_to_its_last_slot),
		cmocka_unit_test(idle_threads_hold_a_slot_each_and_no_more),
		cmocka_unit_test(no_more_than_max_bytes_go_in_whatever_the_padding),
		cmocka_unit_test(a_batch_stands_together_and_in_order),
		cmocka_unit_test(a_reserved_slot_is_left_out_of_a_seal_and_pins_the_memory),
		cmocka_unit_test(items_of_one_length_are_an_array_whose_index_is_not_touched),
		cmocka_unit_test(another_length_indexes_what_is_there),
		cmocka_unit_test(a_gap_in_an_array_is_closed_by_an_index),
		cmocka_unit_test(a_thread_that_ends_leaves_no_gap),
		cmocka_unit_test(a_reservation_indexes_what_is_there),
		cmocka_unit_test(nothing_is_lost_or_seen_half_written_while_leases_are_recalled),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
