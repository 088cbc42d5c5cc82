/* SPDX-License-Identifier: MIT */
/*
 * Giving up what is oldest, in virtual time: which items go, what becomes of the rest of their batch, and the
 * account after each step.
 */
#include "core/bench.h"

#define NUMBER sizeof(uint32_t)

/* An insert of n numbers that gives up what it must. Returns how many went, and hands their memory back. */
static unsigned insert_over(struct bench *bench, uint32_t n, unsigned *todo)
{
	uint32_t numbers[16], gone = 0;
	struct lease_request request = { .item_size = NUMBER, .n = n, .payload = n * NUMBER };
	for (uint32_t i = 0; i < n; i++)
		numbers[i] = bench->next_value++;
	while (partition_lease(&bench->partition, &bench->lane, &request, true, bench->now, todo) != ROOM_LEASED) {
		struct dropped dropped = { 0 };
		assert_true(partition_drop_oldest(&bench->partition, &request, bench->now, &dropped, todo));
		assert_true(dropped.from < dropped.to);
		gone += dropped.to - dropped.from;
		assert_true(partition_is_valid(&bench->partition));
		*todo |= partition_unpin(&bench->partition, dropped.segment);
		assert_true(partition_is_valid(&bench->partition));
	}
	if (lane_put_array(&bench->lane, numbers, n, NUMBER) == LANE_EXHAUSTED)
		*todo |= partition_filled(&bench->partition, bench->now);
	assert_true(partition_is_valid(&bench->partition));
	return gone;
}

static void only_as_many_go_as_there_is_room_wanted(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 10);
	struct segment *flying = take(&bench);
	insert_all(&bench, 10);
	unsigned todo = 0;
	assert_int_equal(insert_over(&bench, 1, &todo), 1);
	assert_int_equal(insert_over(&bench, 6, &todo), 6);
	assert_int_equal(bench.partition.dropped, 7);
	/* Three are left of the batch that waited, and what came has a batch of its own. */
	expect_batch(flying, 0, 10, DATABUFFER_TRIGGER_SIZE);
	land(&bench, flying, 0);
	struct segment *rest = take(&bench);
	expect_batch(rest, 17, 3, DATABUFFER_TRIGGER_SIZE);
	land(&bench, rest, 0);
	partition_flush(&bench.partition, DATABUFFER_TRIGGER_FLUSH, bench.now);
	expect_batch(take(&bench), 20, 7, DATABUFFER_TRIGGER_FLUSH);
	end(&bench);
}

static void what_is_in_flight_stays(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.max_in_flight = 3;
	begin(&bench, &o);
	struct segment *flying[3];
	for (unsigned i = 0; i < 3; i++) {
		insert_all(&bench, 10);
		flying[i] = take(&bench);
	}
	unsigned todo = 0;
	insert_all(&bench, 10);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(insert_over(&bench, 1, &todo), 1);
	for (unsigned i = 0; i < 3; i++) {
		expect_batch(flying[i], 10 * i, 10, DATABUFFER_TRIGGER_SIZE);
		land(&bench, flying[i], 0);
	}
	assert_int_equal(bench.partition.flushed, 30);
	assert_int_equal(bench.partition.dropped, 100);
	end(&bench);
}

static void a_batch_that_is_gone_is_no_longer_sent_for(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 20);
	assert_true(partition_is_ready(&bench.partition, 0));
	/* Nothing is in flight: the first batch goes, and the second is as ready. */
	unsigned todo = TODO_FLUSH;
	assert_int_equal(insert_over(&bench, 10, &todo), 10);
	assert_true(todo & TODO_FLUSH);
	struct segment *segment = take(&bench);
	expect_batch(segment, 10, 10, DATABUFFER_TRIGGER_SIZE);
	/* Another is in flight now: the one that waited goes, and none is ready. */
	todo = TODO_FLUSH;
	assert_int_equal(insert_over(&bench, 10, &todo), 10);
	assert_false(todo & TODO_FLUSH);
	assert_true(todo & TODO_SETTLED);
	land(&bench, segment, 0);
	end(&bench);
}

static void the_rest_of_a_batch_that_failed_keeps_its_attempts_and_its_backoff(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.retry_min = o.retry_max = 1000;
	begin(&bench, &o);
	insert_all(&bench, 10);
	struct segment *segment = take(&bench);
	land(&bench, segment, DATABUFFER_RETRY);
	insert_all(&bench, 10);
	unsigned todo = 0;
	assert_int_equal(insert_over(&bench, 4, &todo), 4);
	assert_null(take(&bench));
	bench.now = 1000 * MS;
	assert_ptr_equal(take(&bench), segment);
	expect_batch(segment, 4, 6, DATABUFFER_TRIGGER_SIZE);
	assert_int_equal(databuffer_batch_attempt(&segment->batch), 2);
	land(&bench, segment, 0);
	end(&bench);
}

static void a_batch_that_takes_the_place_of_one_that_failed_waits_as_long(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.retry_min = o.retry_max = 1000;
	begin(&bench, &o);
	insert_all(&bench, 10);
	land(&bench, take(&bench), DATABUFFER_RETRY);
	insert_all(&bench, 10);
	unsigned todo = 0;
	assert_int_equal(insert_over(&bench, 10, &todo), 10);
	assert_null(take(&bench));
	assert_int_equal(partition_deadline(&bench.partition), 1000 * MS);
	bench.now = 1000 * MS;
	struct segment *segment = take(&bench);
	expect_batch(segment, 10, 10, DATABUFFER_TRIGGER_SIZE);
	assert_int_equal(databuffer_batch_attempt(&segment->batch), 1);
	end(&bench);
}

static int reject_below(struct segment *segment, uint32_t bad)
{
	databuffer_item item;
	while (databuffer_batch_next(&segment->batch, &item))
		if (*(const uint32_t *)item.data < bad)
			return DATABUFFER_REJECT;
	return 0;
}

static void a_batch_being_searched_may_lose_what_is_searched_for(void **state)
{
	(void)state;
	for (uint32_t drops = 1; drops <= 10; drops++) {
		struct bench bench;
		databuffer_options o = options();
		begin(&bench, &o);
		insert_all(&bench, 10);
		/* The first three are bad. After the first half was rejected some of them are given up. */
		struct segment *segment = take(&bench);
		land(&bench, segment, reject_below(segment, 3));
		insert_all(&bench, 10);
		unsigned todo = 0;
		assert_int_equal(insert_over(&bench, drops, &todo), drops);
		for (unsigned calls = 0; (segment = take(&bench)) != NULL; calls++) {
			assert_true(calls < 20);
			land(&bench, segment, reject_below(segment, 3));
		}
		assert_int_equal(bench.partition.dropped, drops);
		assert_int_equal(bench.partition.dead, drops < 3 ? 3 - drops : 0);
		end(&bench);
	}
}

static void small_batches_go_whole_until_there_is_memory(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	/* Batches of one item each, until no memory is left for another. */
	unsigned todo = 0;
	while (!list_is_empty(&bench.partition.free)) {
		insert_all(&bench, 1);
		partition_flush(&bench.partition, DATABUFFER_TRIGGER_FLUSH, bench.now);
	}
	unsigned queued = bench.partition.queued;
	insert_all(&bench, 8); /* to the one that could not be cut */
	assert_int_equal(bench.partition.queued, queued);
	/* Four do not fit into the open batch, and there is no memory for another: one goes. */
	assert_int_equal(insert_over(&bench, 4, &todo), 1);
	assert_int_equal(bench.partition.dropped, 1);
	end(&bench);
}

static void the_newest_are_accepted_and_dropped_at_once(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	assert_true(partition_drop_newest(&bench.partition, 7));
	assert_int_equal(bench.partition.accepted, 7);
	assert_int_equal(bench.partition.dropped, 7);
	assert_int_equal(partition_size(&bench.partition), 0);
	partition_flush(&bench.partition, DATABUFFER_TRIGGER_STOP, bench.now);
	assert_false(partition_drop_newest(&bench.partition, 7));
	assert_int_equal(bench.partition.accepted, 7);
	end(&bench);
}

static void a_partition_that_stops_gives_nothing_up(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 20);
	partition_flush(&bench.partition, DATABUFFER_TRIGGER_STOP, bench.now);
	struct lease_request request = { .item_size = NUMBER, .n = 1, .payload = NUMBER };
	struct dropped dropped = { 0 };
	unsigned todo = 0;
	assert_false(partition_drop_oldest(&bench.partition, &request, bench.now, &dropped, &todo));
	assert_null(dropped.segment);
	assert_int_equal(bench.partition.dropped, 0);
	end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_as_many_go_as_there_is_room_wanted),
		cmocka_unit_test(what_is_in_flight_stays),
		cmocka_unit_test(a_batch_that_is_gone_is_no_longer_sent_for),
		cmocka_unit_test(the_rest_of_a_batch_that_failed_keeps_its_attempts_and_its_backoff),
		cmocka_unit_test(a_batch_that_takes_the_place_of_one_that_failed_waits_as_long),
		cmocka_unit_test(a_batch_being_searched_may_lose_what_is_searched_for),
		cmocka_unit_test(small_batches_go_whole_until_there_is_memory),
		cmocka_unit_test(the_newest_are_accepted_and_dropped_at_once),
		cmocka_unit_test(a_partition_that_stops_gives_nothing_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
