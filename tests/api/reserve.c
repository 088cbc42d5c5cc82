/* SPDX-License-Identifier: MIT */
/* Reserve, commit, abort: writing into the buffer in place, and what a slot that is held may not get in the way of. */
#include "api/support.h"

static databuffer_slot reserved(databuffer *buf, size_t len)
{
	databuffer_slot slot;
	memset(&slot, 0, sizeof(slot));
	int rc = databuffer_reserve(buf, len, &slot);
	if (rc != 0)
		fail_msg("reserve: %s", databuffer_strerror(rc));
	assert_non_null(slot.data);
	assert_int_equal(slot.len, len);
	return slot;
}

static databuffer_slot reserved_number(databuffer *buf, uint64_t number)
{
	databuffer_slot slot = reserved(buf, sizeof(number));
	memcpy(slot.data, &number, sizeof(number));
	return slot;
}

static void commit(databuffer_slot *slot)
{
	int rc = databuffer_commit(slot);
	if (rc != 0)
		fail_msg("commit: %s", databuffer_strerror(rc));
}

/* --- In place ----------------------------------------------------------------------------------------------------- */

static void what_is_committed_is_inserted(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	for (uint64_t i = 0; i < 100; i++) {
		databuffer_slot slot = reserved_number(buf, i);
		assert_int_equal(databuffer_size(buf), i); /* not yet */
		commit(&slot);
		assert_int_equal(databuffer_size(buf), i + 1);
	}
	assert_int_equal(stats_of(buf).inserted, 100);
	assert_int_equal(stats_of(buf).held_bytes, 800);
	flush_all(buf);
	assert_flushed(sink, 0, 100);
	stop_clean(buf);
	sink_free(sink);
}

static void what_is_aborted_was_never_there(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 4;
	databuffer *buf = start(&o);
	uint64_t next = 0;
	for (int i = 0; i < 50; i++) {
		databuffer_slot slot = reserved_number(buf, 1000);
		if (i % 3 != 0)
			insert_number(buf, next++);
		assert_int_equal(databuffer_abort(&slot), 0);
	}
	assert_int_equal(stats_of(buf).inserted, next);
	stop_clean(buf);
	assert_flushed(sink, 0, next);
	sink_free(sink);
}

static void an_aborted_slot_leaves_its_room_to_others(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	o.max_bytes = 100;
	databuffer *buf = start(&o);
	for (int i = 0; i < 1000; i++) {
		databuffer_slot slot = reserved(buf, 100);
		assert_int_equal(databuffer_abort(&slot), 0);
	}
	insert_numbers(buf, 0, 10);
	stop_clean(buf);
	ASSERT_CUTS(sink, 10); /* the batch is as large as if nothing had been */
	sink_free(sink);
}

static void a_batch_that_only_an_empty_slot_has_kept_open_is_cut_by_its_abort(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_bytes = 16;
	databuffer *buf = start(&o);
	databuffer_slot slot = reserved(buf, 0);
	insert_numbers(buf, 0, 2);
	assert_int_equal(databuffer_abort(&slot), 0);
	WAIT_FOR(sink_flushed(sink) == 2);
	stop_clean(buf);
	ASSERT_CUTS(sink, 2);
	sink_free(sink);
}

static void items_stand_in_the_order_of_their_reserves(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	databuffer_slot first = reserved_number(buf, 0), second = reserved_number(buf, 1);
	insert_number(buf, 2);
	databuffer_slot last = reserved_number(buf, 3);
	commit(&last);
	commit(&first);
	commit(&second);
	stop_clean(buf);
	assert_flushed(sink, 0, 4);
	sink_free(sink);
}

static void a_slot_is_aligned_for_any_type_of_its_length(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	for (size_t len = 0; len <= 130; len++) {
		insert_number(buf, len);
		databuffer_insert(buf, "x", 1); /* off the mark */
		databuffer_slot slot;
		assert_int_equal(databuffer_reserve(buf, len, &slot), 0);
		size_t alignment = len == 0 ? 1 : (len & -len) > 16 ? 16 : (len & -len);
		assert_int_equal((uintptr_t)slot.data % alignment, 0);
		assert_int_equal(slot.len, len);
		memset(slot.data, 0x5a, len);
		commit(&slot);
	}
	stop_clean(buf);
	sink_free(sink);
}

static void reserve_goes_round_robin_as_insert_does(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 4;
	databuffer *buf = start(&o);
	for (uint64_t i = 0; i < 20; i++) {
		databuffer_slot slot = reserved_number(buf, i);
		commit(&slot);
		insert_number(buf, i);
	}
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(info_of(buf, i).size, 10);
	stop_clean(buf);
	sink_free(sink);
}

/* --- Misuse ---------------------------------------------------------------------------------------------------------- */

static void a_slot_is_used_up_by_either_end(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	databuffer_slot never;
	memset(&never, 0, sizeof(never));
	assert_int_equal(databuffer_commit(&never), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_abort(&never), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_commit(NULL), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_abort(NULL), DATABUFFER_EINVAL);

	databuffer_slot slot = reserved_number(buf, 0), copy = slot;
	commit(&slot);
	assert_int_equal(databuffer_commit(&slot), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_abort(&slot), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_commit(&copy), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_abort(&copy), DATABUFFER_EINVAL);
	slot = reserved_number(buf, 9);
	assert_int_equal(databuffer_abort(&slot), 0);
	assert_int_equal(databuffer_commit(&slot), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_abort(&slot), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_size(buf), 1);
	stop_clean(buf);
	assert_flushed(sink, 0, 1);
	sink_free(sink);
}

static void a_slot_larger_than_max_bytes_is_refused_at_once(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_bytes = 64;
	databuffer *buf = start(&o);
	databuffer_slot slot, before;
	memset(&slot, 0x5a, sizeof(slot));
	before = slot;
	int64_t begin = now_ms();
	assert_int_equal(databuffer_reserve(buf, 65, &slot), DATABUFFER_EMSGSIZE);
	assert_int_equal(databuffer_reserve(buf, SIZE_MAX, &slot), DATABUFFER_EMSGSIZE);
	assert_int_equal(databuffer_reserve(buf, (size_t)UINT32_MAX + 2, &slot), DATABUFFER_EMSGSIZE);
	assert_true(now_ms() - begin < 4000);
	assert_memory_equal(&slot, &before, sizeof(slot));
	slot = reserved(buf, 64);
	memset(slot.data, 1, 64);
	commit(&slot);
	stop_clean(buf);
	assert_int_equal(sink->calls[0].bytes, 64);
	sink_free(sink);
}

static void eight_slots_may_be_held_and_the_ninth_is_busy(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 3;
	databuffer *buf = start(&o), *other = start(&o);
	databuffer_slot slots[8], ninth, before;
	memset(&ninth, 0x5a, sizeof(ninth));
	before = ninth;
	for (int round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < 8; i++)
			slots[i] = reserved_number(buf, i);
		assert_int_equal(databuffer_reserve(buf, 8, &ninth), DATABUFFER_EBUSY);
		assert_memory_equal(&ninth, &before, sizeof(ninth));
		/* Of this buffer, that is; and inserts go on. */
		databuffer_slot elsewhere = reserved_number(other, 1);
		commit(&elsewhere);
		insert_number(buf, 8);
		assert_int_equal(databuffer_abort(&slots[3]), 0);
		slots[3] = reserved_number(buf, 3);
		assert_int_equal(databuffer_reserve(buf, 8, &ninth), DATABUFFER_EBUSY);
		for (int i = 0; i < 8; i++)
			commit(&slots[i]);
		assert_int_equal(databuffer_size(buf), 9 * (round + 1));
	}
	stop_clean(buf);
	stop_clean(other);
	sink_free(sink);
}

static void reserve_waits_for_room_up_to_the_timeout(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 2;
	o.timeout = 60;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 4);
	databuffer_slot slot, before;
	memset(&slot, 0x5a, sizeof(slot));
	before = slot;
	int64_t begin = now_ms();
	assert_int_equal(databuffer_reserve(buf, 8, &slot), DATABUFFER_ETIMEDOUT);
	assert_in_range(now_ms() - begin, 60, 60 + 10000);
	assert_memory_equal(&slot, &before, sizeof(slot));
	sink_open(sink);
	WAIT_FOR(sink_flushed(sink) == 4);
	slot = reserved_number(buf, 4);
	commit(&slot);
	stop_clean(buf);
	assert_flushed(sink, 0, 5);
	sink_free(sink);
}

/* --- Beside flushes ----------------------------------------------------------------------------------------------------- */

static void a_held_slot_delays_no_flush(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	databuffer_slot slot = reserved_number(buf, 2);
	insert_number(buf, 1);
	flush_all(buf); /* returns, with the slot held */
	assert_flushed(sink, 0, 2);
	assert_int_equal(databuffer_size(buf), 0);
	/* Its own bytes stay its own while the batch's memory is used again. */
	for (int i = 0; i < 50; i++) {
		uint64_t number;
		memcpy(&number, slot.data, sizeof(number));
		assert_int_equal(number, 2);
		databuffer_slot brief = reserved_number(buf, 7);
		assert_int_equal(databuffer_abort(&brief), 0);
		flush_all(buf);
	}
	commit(&slot); /* into the next batch */
	assert_int_equal(databuffer_size(buf), 1);
	flush_all(buf);
	assert_flushed(sink, 0, 3);
	ASSERT_CUTS(sink, 2, 1);
	stop_clean(buf);
	sink_free(sink);
}

static void a_held_slot_delays_no_flush_by_size(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 4;
	databuffer *buf = start(&o);
	databuffer_slot slot = reserved_number(buf, 100);
	for (uint64_t i = 0; i < 40; i++)
		insert_number(buf, i);
	WAIT_FOR(sink_flushed(sink) >= 36);
	commit(&slot);
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 41);
	unsigned hundreds = 0;
	for (size_t i = 0, next = 0; i < 41; i++) {
		if (sink->flushed.at[i] == 100)
			hundreds++;
		else
			assert_int_equal(sink->flushed.at[i], next++);
	}
	assert_int_equal(hundreds, 1);
	for (size_t i = 0; i < sink->call_count; i++)
		assert_in_range(sink->calls[i].size, 1, 4);
	sink_free(sink);
}

static void a_slot_that_completes_a_batch_cuts_it(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 4;
	databuffer *buf = start(&o);
	databuffer_slot slot = reserved_number(buf, 0);
	insert_numbers(buf, 1, 4);
	assert_int_equal(sink_calls(sink), 0);
	commit(&slot);
	WAIT_FOR(sink_flushed(sink) == 4);
	assert_flushed(sink, 0, 4);
	ASSERT_CUTS(sink, 4);
	assert_int_equal(sink->calls[0].trigger, DATABUFFER_TRIGGER_SIZE);
	stop_clean(buf);
	sink_free(sink);
}

static void slots_held_over_a_cut_each_are_all_committed(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_stuck = 0;
	o.timeout = 1000;
	databuffer *buf = start(&o);
	databuffer_slot slots[8];
	for (uint64_t i = 0; i < 8; i++) {
		slots[i] = reserved_number(buf, 8 + i);
		insert_number(buf, i);
		flush_all(buf);
		assert_int_equal(sink_flushed(sink), i + 1);
	}
	for (int i = 0; i < 8; i++)
		commit(&slots[i]);
	flush_all(buf);
	assert_flushed(sink, 0, 16);
	stop_clean(buf);
	sink_free(sink);
}

static void eight_slots_may_be_held_of_batches_of_one(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 1;
	o.timeout = 1000;
	databuffer *buf = start(&o);
	databuffer_slot slots[8];
	for (uint64_t i = 0; i < 8; i++)
		slots[i] = reserved_number(buf, i);
	for (int i = 0; i < 8; i++)
		commit(&slots[i]);
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 8);
	sink_free(sink);
}

static void *insert_patiently(void *arg)
{
	uint64_t number = 3;
	CHECK(databuffer_insert_timed(arg, &number, sizeof(number), 10 * PATIENCE_MS) == 0);
	return NULL;
}

static void an_insert_that_waits_has_the_room_of_a_slot_that_is_aborted(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 2;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 3);
	assert_int_equal(databuffer_flush(buf), 0); /* a small batch waits: there is room for one more item */
	databuffer_slot slot = reserved_number(buf, 9);
	pthread_t thread = thread_run(insert_patiently, buf);
	WAIT_FOR(stats_of(buf).waits == 1);
	assert_int_equal(databuffer_abort(&slot), 0);
	WAIT_FOR(stats_of(buf).inserted == 4);
	thread_join(thread);
	sink_open(sink);
	stop_clean(buf);
	assert_flushed(sink, 0, 4);
	sink_free(sink);
}

static void *hold_and_end(void *arg)
{
	databuffer *buf = arg;
	databuffer_slot slots[3];
	uint64_t number = 1;
	for (int i = 0; i < 3; i++)
		CHECK(databuffer_reserve(buf, 8, &slots[i]) == 0);
	memcpy(slots[1].data, &number, 8);
	CHECK(databuffer_commit(&slots[1]) == 0);
	return NULL;
}

static void a_thread_that_ends_gives_its_slots_back(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 7;
	databuffer *buf = start(&o);
	for (int i = 0; i < 50; i++)
		thread_join(thread_run(hold_and_end, buf));
	assert_int_equal(stats_of(buf).inserted, 50);
	flush_all(buf);
	insert_numbers(buf, 0, 7); /* there is room for a whole batch */
	WAIT_FOR(sink_flushed(sink) == 57);
	stop_clean(buf);
	assert_int_equal(sink_calls(sink) >= 8, 1);
	sink_free(sink);
}

static void a_slot_may_outlive_its_buffer(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	databuffer_slot one = reserved_number(buf, 1), two = reserved_number(buf, 2);
	insert_number(buf, 0);
	stop_clean(buf);
	memset(one.data, 0x5a, one.len); /* still there */
	memset(two.data, 0x5a, two.len);
	assert_int_equal(databuffer_commit(&one), DATABUFFER_ESTOPPED);
	assert_int_equal(databuffer_commit(&one), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_abort(&two), 0);
	assert_flushed(sink, 0, 1);
	sink_free(sink);
}

static void *hold_over_stop(void *arg)
{
	struct sink *gate = arg;
	databuffer *buf = gate->ctx;
	databuffer_slot slot;
	CHECK(databuffer_reserve(buf, 8, &slot) == 0);
	pthread_mutex_lock(&gate->lock);
	gate->inside++;
	while (gate->closed)
		pthread_cond_wait(&gate->gate, &gate->lock);
	gate->inside--;
	pthread_mutex_unlock(&gate->lock);
	return NULL;
}

static void a_thread_may_end_with_a_slot_of_a_buffer_that_is_gone(void **state)
{
	(void)state;
	struct sink *sink = sink_new(), *gate = sink_new();
	databuffer_options o = sink_options(sink);
	gate->ctx = start(&o);
	sink_close(gate);
	pthread_t thread = thread_run(hold_over_stop, gate);
	WAIT_FOR(sink_inside(gate) == 1);
	stop_clean(gate->ctx);
	sink_open(gate);
	thread_join(thread);
	assert_int_equal(sink_calls(sink), 0);
	sink_free(sink);
	sink_free(gate);
}

/* --- At random ------------------------------------------------------------------------------------------------------------ */

static void no_order_of_reserves_commits_aborts_and_flushes_loses_an_item(void **state)
{
	(void)state;
	uint64_t seed = test_seed();
	for (int round = 0; round < 20; round++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.max_size = 1 + (int64_t)dice_below(&seed, 20);
		o.max_bytes = 8 + (int64_t)dice_below(&seed, 200);
		o.partitions = 1 + (int64_t)dice_below(&seed, 3);
		databuffer *buf = start(&o);
		databuffer_slot slots[4]; /* as many as never pin all the memory */
		unsigned held = 0;
		uint64_t next = 0, expected = 0, steps = scaled(4000);
		for (uint64_t step = 0; step < steps; step++) {
			switch (dice_below(&seed, 8)) {
			case 0:
			case 1:
				if (held < 4)
					slots[held++] = reserved_number(buf, next++);
				break;
			case 2:
			case 3:
				if (held > 0) {
					unsigned i = (unsigned)dice_below(&seed, held);
					commit(&slots[i]);
					slots[i] = slots[--held];
					expected++;
				}
				break;
			case 4:
				if (held > 0) {
					unsigned i = (unsigned)dice_below(&seed, held);
					assert_int_equal(databuffer_abort(&slots[i]), 0);
					slots[i] = slots[--held];
				}
				break;
			case 5:
				if (dice_below(&seed, 20) == 0)
					flush_all(buf);
				break;
			default:
				insert_number(buf, next++);
				expected++;
				break;
			}
		}
		while (held > 0) {
			commit(&slots[--held]);
			expected++;
		}
		assert_int_equal(stats_of(buf).inserted, expected);
		stop_clean(buf);
		assert_int_equal(sink->flushed.count, expected);
		unsigned char *seen = calloc(next + 1, 1);
		for (size_t i = 0; i < expected; i++)
			assert_int_equal(seen[sink->flushed.at[i]]++, 0);
		free(seen);
		for (size_t i = 0; i < sink->call_count; i++) {
			assert_in_range(sink->calls[i].size, 1, (size_t)o.max_size);
			assert_in_range(sink->calls[i].bytes, 1, (size_t)o.max_bytes);
		}
		sink_free(sink);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_committed_is_inserted),
		cmocka_unit_test(what_is_aborted_was_never_there),
		cmocka_unit_test(an_aborted_slot_leaves_its_room_to_others),
		cmocka_unit_test(a_batch_that_only_an_empty_slot_has_kept_open_is_cut_by_its_abort),
		cmocka_unit_test(items_stand_in_the_order_of_their_reserves),
		cmocka_unit_test(a_slot_is_aligned_for_any_type_of_its_length),
		cmocka_unit_test(reserve_goes_round_robin_as_insert_does),
		cmocka_unit_test(a_slot_is_used_up_by_either_end),
		cmocka_unit_test(a_slot_larger_than_max_bytes_is_refused_at_once),
		cmocka_unit_test(eight_slots_may_be_held_and_the_ninth_is_busy),
		cmocka_unit_test(reserve_waits_for_room_up_to_the_timeout),
		cmocka_unit_test(a_held_slot_delays_no_flush),
		cmocka_unit_test(a_held_slot_delays_no_flush_by_size),
		cmocka_unit_test(a_slot_that_completes_a_batch_cuts_it),
		cmocka_unit_test(slots_held_over_a_cut_each_are_all_committed),
		cmocka_unit_test(eight_slots_may_be_held_of_batches_of_one),
		cmocka_unit_test(an_insert_that_waits_has_the_room_of_a_slot_that_is_aborted),
		cmocka_unit_test(a_thread_that_ends_gives_its_slots_back),
		cmocka_unit_test(a_slot_may_outlive_its_buffer),
		cmocka_unit_test(a_thread_may_end_with_a_slot_of_a_buffer_that_is_gone),
		cmocka_unit_test(no_order_of_reserves_commits_aborts_and_flushes_loses_an_item),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
