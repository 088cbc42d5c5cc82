/* SPDX-License-Identifier: MIT */
/*
 * The control plane in virtual time: no threads, no clock, no sleep. Each test
 * says what happens and when, and looks at what the partition wants done.
 */
#include "core/bench.h"

/* --- Cutting ------------------------------------------------------------------------------- */

static void the_insert_that_fills_the_batch_cuts_it(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	unsigned todo = 0;
	insert(&bench, 9, &todo);
	assert_int_equal(todo, 0);
	assert_null(take(&bench));
	insert(&bench, 1, &todo);
	assert_int_equal(todo, TODO_FLUSH);
	struct segment *segment = take(&bench);
	expect_batch(segment, 0, 10, DATABUFFER_TRIGGER_SIZE);
	assert_int_equal(land(&bench, segment, 0), TODO_ROOM | TODO_SETTLED);
	assert_int_equal(bench.partition.flushed, 10);
	end(&bench);
}

static void a_batch_is_cut_when_the_interval_has_passed_since_the_last_cut(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 3);
	assert_int_equal(partition_deadline(&bench.partition), 1000 * MS);
	bench.now = 999 * MS;
	assert_int_equal(tick(&bench), 0);
	bench.now = 1000 * MS;
	assert_int_equal(tick(&bench), TODO_FLUSH);
	struct segment *segment = take(&bench);
	expect_batch(segment, 0, 3, DATABUFFER_TRIGGER_INTERVAL);
	bench.now = 1300 * MS;
	land(&bench, segment, 0);
	insert_all(&bench, 1);
	assert_int_equal(partition_deadline(&bench.partition), 2000 * MS); /* from the cut, not the end */
	end(&bench);
}

static void an_empty_partition_has_no_deadline_and_flushes_nothing(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	assert_int_equal(partition_deadline(&bench.partition), PORT_NEVER);
	bench.now = 100000 * MS;
	assert_int_equal(tick(&bench), 0);
	assert_int_equal(partition_flush(&bench.partition, DATABUFFER_TRIGGER_FLUSH, bench.now), 0);
	assert_null(take(&bench));
	end(&bench);
}

static void ticks_of_an_idle_partition_keep_their_beat(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	bench.now = 12345678 * MS;
	insert_all(&bench, 1);
	assert_int_equal(partition_deadline(&bench.partition), 12346000 * MS);
	end(&bench);
}

static void an_empty_partition_is_flushed_at_each_tick_if_flush_empty_says_so(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.flush_empty = 1;
	begin(&bench, &o);
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(partition_deadline(&bench.partition), i * 1000 * MS);
		bench.now = i * 1000 * MS;
		assert_int_equal(tick(&bench), TODO_FLUSH);
		struct segment *segment = take(&bench);
		expect_batch(segment, 0, 0, DATABUFFER_TRIGGER_INTERVAL);
		land(&bench, segment, 0);
	}
	end(&bench);
}

/* A reserved slot keeps the open batch, which has nothing to flush, from being cut. */
static void a_tick_that_finds_only_a_reserved_slot_moves_on(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.flush_empty = 1;
	begin(&bench, &o);
	struct lease_request request = { .item_size = 4, .n = 1, .payload = 4, .hold = true };
	unsigned todo = 0;
	uint32_t slot, offset;
	assert_int_equal(partition_lease(&bench.partition, &bench.lane, &request, true, 0, &todo), ROOM_LEASED);
	segment_hold(bench.partition.open, &bench.lane, 4, &slot, &offset);
	bench.now = 1000 * MS;
	assert_int_equal(tick(&bench), 0);
	assert_int_equal(partition_deadline(&bench.partition), 2000 * MS);
	end(&bench);
}

static void jitter_is_drawn_anew_for_every_batch_and_stays_in_its_bounds(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.max_size_jitter = 5;
	o.flush_jitter = 100;
	begin(&bench, &o);
	unsigned sizes = 0;
	int64_t shortest = PORT_NEVER, longest = 0;
	for (int i = 0; i < 200; i++) {
		int64_t before = bench.now;
		unsigned n = 0, todo = 0;
		for (; !(todo & TODO_FLUSH); n++)
			assert_int_equal(insert(&bench, 1, &todo), 1);
		assert_in_range(n, 10, 15);
		sizes |= 1u << n;
		land(&bench, take(&bench), 0);
		insert_all(&bench, 1);
		bench.now = partition_deadline(&bench.partition);
		assert_in_range(bench.now - before, 1000 * MS, 1100 * MS);
		if (bench.now - before < shortest)
			shortest = bench.now - before;
		if (bench.now - before > longest)
			longest = bench.now - before;
		assert_int_equal(tick(&bench), TODO_FLUSH);
		land(&bench, take(&bench), 0);
	}
	assert_int_equal(sizes, 0xfc00); /* each of 10 to 15 was drawn */
	assert_true(longest - shortest > 50 * MS);
	end(&bench);
}

static void a_batch_is_cut_at_max_bytes(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.max_bytes = 20;
	begin(&bench, &o);
	unsigned todo = 0;
	insert(&bench, 5, &todo);
	assert_int_equal(todo, TODO_FLUSH);
	expect_batch(take(&bench), 0, 5, DATABUFFER_TRIGGER_BYTES);
	end(&bench);
}

static void bytes_end_a_batch_that_has_slots_left(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.max_size = 100;
	o.max_bytes = 1000;
	begin(&bench, &o);
	unsigned char bytes[300] = { 0 };
	const uint32_t lengths[] = { 100, 100, 100, 100, 300, 300 };
	unsigned todo = 0;
	for (int i = 0; i < 6; i++) {
		struct lease_request request = { .item_size = lengths[i], .n = 1, .payload = lengths[i] };
		assert_int_equal(todo, 0);
		if (lane_put(&bench.lane, bytes, lengths[i]) == LANE_REFUSED) {
			assert_int_equal(partition_lease(&bench.partition, &bench.lane, &request, true, 0, &todo), ROOM_LEASED);
			assert_int_not_equal(lane_put(&bench.lane, bytes, lengths[i]), LANE_REFUSED);
		}
		todo |= partition_filled(&bench.partition, 0);
	}
	assert_int_equal(todo, TODO_FLUSH);
	assert_int_equal(databuffer_batch_bytes(&take(&bench)->batch), 1000);
	end(&bench);
}

/* The owner of the last slot is between its look at `end` and its commit when
 * another insert, which finds no room, recalls the leases. */
static void a_batch_that_is_filled_during_a_recall_is_cut_by_who_recalled(void **state)
{
	(void)state;
	struct bench bench;
	struct lane other;
	databuffer_options o = options();
	begin(&bench, &o);
	lane_init(&other, &bench.partition, &other, !port_has_barrier());
	unsigned todo = 0;
	insert_all(&bench, 10);
	struct segment *flying = take(&bench);
	insert_all(&bench, 9);
	struct lane *lane = &bench.lane;
	uint32_t slot = lane_slot(lane);
	struct lease_request request = { .item_size = 4, .n = 1, .payload = 4 };
	if (lane->lease_end == slot)
		assert_int_equal(partition_lease(&bench.partition, lane, &request, true, 0, &todo), ROOM_LEASED);
	assert_true(lane_claim(lane, slot, 1));
	uint32_t value = 19;
	memcpy(lane->arena + lane->byte, &value, 4);
	lane->byte += 4;
	/* The withdrawal comes here; the commit, for the recall not to wait for ever,
	 * is made beforehand by hand, without the look. */
	atomic_store(&lane->end, 0);
	lane_commit(lane, slot + 1);
	assert_int_equal(partition_lease(&bench.partition, &other, &request, true, 0, &todo), ROOM_NONE);
	assert_true(land(&bench, flying, 0) & TODO_FLUSH);
	assert_int_equal(databuffer_batch_size(&take(&bench)->batch), 10);
	end(&bench);
}

static void what_others_have_on_lease_is_taken_back_only_if_asked(void **state)
{
	(void)state;
	struct bench bench;
	struct lane other;
	databuffer_options o = options();
	begin(&bench, &o);
	lane_init(&other, &bench.partition, &other, !port_has_barrier());
	unsigned todo = 0;
	struct lease_request request = { .item_size = 4, .n = 1, .payload = 4 };
	insert_all(&bench, 5); /* leases of one, two and four */
	uint32_t unfilled = bench.lane.lease_end - lane_slot(&bench.lane);
	assert_int_equal(unfilled, 2);
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t value = 100 + i;
		assert_int_equal(partition_lease(&bench.partition, &other, &request, false, 0, &todo), ROOM_LEASED);
		assert_int_not_equal(lane_put(&other, &value, 4), LANE_REFUSED);
	}
	assert_int_equal(partition_lease(&bench.partition, &other, &request, false, 0, &todo), ROOM_OTHERS);
	assert_ptr_equal(bench.lane.segment, bench.partition.open);
	assert_int_equal(partition_lease(&bench.partition, &other, &request, true, 0, &todo), ROOM_LEASED);
	assert_null(bench.lane.segment);
	assert_int_equal(todo, 0);
	end(&bench);
}

static void a_batch_due_by_time_waits_and_grows_while_a_flush_runs(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 10);
	struct segment *segment = take(&bench);
	insert_all(&bench, 2);
	bench.now = 1500 * MS;
	assert_int_equal(tick(&bench), 0);
	insert_all(&bench, 2);
	bench.now = 1600 * MS;
	assert_int_equal(land(&bench, segment, 0), TODO_ROOM | TODO_SETTLED | TODO_FLUSH);
	expect_batch(take(&bench), 10, 4, DATABUFFER_TRIGGER_INTERVAL);
	end(&bench);
}

/* --- Bounds ---------------------------------------------------------------------------------- */

static void a_full_partition_whose_flush_runs_takes_no_more(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	unsigned todo = 0;
	insert_all(&bench, 10);
	struct segment *segment = take(&bench);
	assert_int_equal(insert(&bench, 100, &todo), 10);
	assert_int_equal(partition_size(&bench.partition), 20);
	assert_int_equal(land(&bench, segment, 0), TODO_ROOM | TODO_SETTLED | TODO_FLUSH);
	assert_int_equal(insert(&bench, 100, &todo), 10);
	end(&bench);
}

static void max_queued_batches_more_may_wait(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.max_queued = 3;
	o.max_in_flight = 2;
	begin(&bench, &o);
	unsigned todo = 0;
	insert_all(&bench, 20);
	assert_non_null(take(&bench));
	assert_non_null(take(&bench));
	assert_null(take(&bench));
	assert_int_equal(insert(&bench, 1000, &todo), 40);
	end(&bench);
}

static void small_flushes_do_not_use_up_the_room(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 1);
	partition_flush(&bench.partition, DATABUFFER_TRIGGER_FLUSH, bench.now);
	struct segment *segment = take(&bench);
	for (int i = 0; i < 9; i++) {
		insert_all(&bench, 1);
		partition_flush(&bench.partition, DATABUFFER_TRIGGER_FLUSH, bench.now);
	}
	assert_int_equal(partition_size(&bench.partition), 10);
	land(&bench, segment, 0);
	for (uint32_t value = 1; value < 10;) {
		segment = take(&bench);
		size_t size = databuffer_batch_size(&segment->batch);
		expect_batch(segment, value, size, DATABUFFER_TRIGGER_FLUSH);
		value += (uint32_t)size;
		land(&bench, segment, 0);
	}
	assert_int_equal(partition_size(&bench.partition), 0);
	end(&bench);
}

/* --- Failing ---------------------------------------------------------------------------------- */

static void a_failed_batch_is_kept_and_tried_again_after_a_doubling_backoff(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.retry_min = 100;
	o.retry_max = 3000;
	begin(&bench, &o);
	insert_all(&bench, 10);
	int64_t cap = 100;
	for (unsigned attempt = 1; attempt < 12; attempt++) {
		struct segment *segment = take(&bench);
		expect_batch(segment, 0, 10, DATABUFFER_TRIGGER_SIZE);
		assert_int_equal(databuffer_batch_attempt(&segment->batch), attempt);
		assert_int_equal(land(&bench, segment, -EIO), 0);
		cap = cap * 2 < 3000 ? cap * 2 : 3000;
		int64_t wait = partition_deadline(&bench.partition) - bench.now;
		assert_in_range(wait, 100 * MS, cap * MS);
		bench.now += wait - 1;
		assert_null(take(&bench));
		bench.now += 1;
		assert_int_equal(tick(&bench), TODO_FLUSH);
	}
	assert_int_equal(bench.partition.failures, 11);
	assert_int_equal(bench.partition.held, 10);
	end(&bench);
}

static void a_backoff_holds_up_what_came_after_it(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 10);
	land(&bench, take(&bench), DATABUFFER_RETRY);
	insert_all(&bench, 10);
	assert_null(take(&bench));
	bench.now += 40000 * MS;
	struct segment *segment = take(&bench);
	expect_batch(segment, 0, 10, DATABUFFER_TRIGGER_SIZE);
	land(&bench, segment, 0);
	expect_batch(take(&bench), 10, 10, DATABUFFER_TRIGGER_SIZE);
	end(&bench);
}

static void a_flush_cuts_a_backoff_short(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 10);
	land(&bench, take(&bench), DATABUFFER_RETRY);
	assert_int_equal(partition_flush(&bench.partition, DATABUFFER_TRIGGER_FLUSH, bench.now), TODO_FLUSH);
	expect_batch(take(&bench), 0, 10, DATABUFFER_TRIGGER_SIZE);
	end(&bench);
}

static void a_late_flush_gives_way_and_is_tried_again_only_after_it_has_failed(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 10);
	struct segment *late = take(&bench);
	assert_int_equal(partition_deadline(&bench.partition), 5000 * MS);
	bench.now = 5000 * MS;
	assert_true(tick(&bench) & TODO_ROOM);
	assert_int_equal(databuffer_batch_cancelled(&late->batch), 1);
	assert_int_equal(bench.partition.timeouts, 1);

	insert_all(&bench, 10);
	struct segment *next = take(&bench);
	expect_batch(next, 10, 10, DATABUFFER_TRIGGER_SIZE);
	land(&bench, next, 0);
	assert_null(take(&bench)); /* the late one is still with its handler */

	bench.now = 9000 * MS;
	land(&bench, late, -EIO);
	bench.now = 50000 * MS;
	struct segment *again = take(&bench);
	expect_batch(again, 0, 10, DATABUFFER_TRIGGER_SIZE);
	assert_int_equal(databuffer_batch_cancelled(&again->batch), 0);
	land(&bench, again, 0);
	assert_int_equal(bench.partition.flushed, 20);
	end(&bench);
}

static void a_late_flush_that_succeeds_counts(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 10);
	struct segment *late = take(&bench);
	bench.now = 6000 * MS;
	tick(&bench);
	assert_true(land(&bench, late, 0) & TODO_SETTLED);
	assert_int_equal(bench.partition.flushed, 10);
	assert_int_equal(partition_size(&bench.partition), 0);
	end(&bench);
}

static void no_more_than_max_stuck_late_flushes_are_gone_on_without(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.max_stuck = 2;
	begin(&bench, &o);
	for (int i = 0; i < 3; i++) {
		insert_all(&bench, 10);
		assert_non_null(take(&bench));
		bench.now += 5000 * MS;
		tick(&bench);
	}
	assert_int_equal(bench.partition.stuck, 2);
	assert_int_equal(bench.partition.in_flight, 1);
	unsigned todo = 0;
	assert_int_equal(insert(&bench, 100, &todo), 10);
	assert_null(take(&bench));
	assert_int_equal(partition_size(&bench.partition), 40);
	end(&bench);
}

/* Two late flushes, of which the partition goes on without one. When that one has
 * failed and is back, the other takes its place, and ten items less are waited for. */
static void a_late_flush_that_is_back_makes_room_by_the_one_that_takes_its_place(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.max_stuck = 1;
	begin(&bench, &o);
	insert_all(&bench, 1);
	partition_flush(&bench.partition, DATABUFFER_TRIGGER_FLUSH, 0);
	struct segment *first = take(&bench);
	bench.now = 5000 * MS;
	tick(&bench);
	insert_all(&bench, 20);
	assert_non_null(take(&bench));
	bench.now = 10000 * MS;
	tick(&bench);
	unsigned todo = 0;
	assert_int_equal(insert(&bench, 1, &todo), 0);
	assert_true(land(&bench, first, -EIO) & TODO_ROOM);
	assert_int_equal(insert(&bench, 100, &todo), 9);
	end(&bench);
}

/* --- Waiting and stopping --------------------------------------------------------------------- */

static void a_sync_flush_waits_for_what_was_held_and_for_no_more(void **state)
{
	(void)state;
	struct bench bench;
	struct sync_wait wait;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 13);
	assert_true(partition_sync_begin(&bench.partition, &wait, bench.now) & TODO_FLUSH);
	insert_all(&bench, 1);
	assert_false(wait.done);
	land(&bench, take(&bench), 0);
	assert_false(wait.done);
	struct segment *segment = take(&bench);
	expect_batch(segment, 10, 3, DATABUFFER_TRIGGER_FLUSH);
	databuffer_batch_set_result(&segment->batch, &bench);
	land(&bench, segment, 0);
	assert_true(wait.done);
	assert_int_equal(wait.result.size, 13);
	assert_int_equal(wait.result.partition, 3);
	assert_ptr_equal(wait.result.value, &bench);
	partition_sync_end(&wait);
	end(&bench);
}

static void a_sync_flush_of_an_empty_partition_is_done_at_once(void **state)
{
	(void)state;
	struct bench bench;
	struct sync_wait wait;
	databuffer_options o = options();
	begin(&bench, &o);
	assert_int_equal(partition_sync_begin(&bench.partition, &wait, bench.now), 0);
	assert_true(wait.done);
	partition_sync_end(&wait);
	end(&bench);
}

static void a_sync_flush_where_no_memory_is_left_waits_for_the_cut(void **state)
{
	(void)state;
	struct bench bench;
	struct sync_wait wait;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 1);
	unsigned in_use = 0;
	while (!list_is_empty(&bench.partition.free)) {
		partition_flush(&bench.partition, DATABUFFER_TRIGGER_FLUSH, bench.now);
		take(&bench);
		insert_all(&bench, 1);
		in_use++;
	}
	partition_sync_begin(&bench.partition, &wait, bench.now);
	assert_false(wait.done);
	struct segment *flying = LIST_ENTRY(list_first(&bench.partition.flying), struct segment, link);
	land(&bench, flying, 0);
	for (struct segment *segment; (segment = take(&bench)) != NULL;)
		land(&bench, segment, 0);
	assert_true(wait.done);
	assert_int_equal(bench.partition.flushed, in_use + 1);
	partition_sync_end(&wait);
	end(&bench);
}

static void stop_cuts_what_is_held_and_ends_backoffs(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 10);
	land(&bench, take(&bench), DATABUFFER_RETRY);
	insert_all(&bench, 4);
	assert_true(partition_flush(&bench.partition, DATABUFFER_TRIGGER_STOP, bench.now) & TODO_FLUSH);
	unsigned todo = 0;
	assert_int_equal(insert(&bench, 1, &todo), 0);
	land(&bench, take(&bench), 0);
	struct segment *segment = take(&bench);
	expect_batch(segment, 10, 4, DATABUFFER_TRIGGER_STOP);
	land(&bench, segment, 0);
	assert_true(partition_is_empty(&bench.partition));
	end(&bench);
}

static void what_a_stop_gives_up_is_left_over_oldest_first(void **state)
{
	(void)state;
	struct bench bench;
	struct list left, *node;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 10);
	struct segment *flying = take(&bench);
	insert_all(&bench, 5);
	partition_flush(&bench.partition, DATABUFFER_TRIGGER_STOP, bench.now);
	list_init(&left);
	partition_abandon(&bench.partition, &left);
	assert_int_equal(bench.partition.left, 15);
	assert_int_equal(partition_size(&bench.partition), 0);
	uint64_t sequence = 0;
	LIST_FOREACH(node, &left)
	{
		struct segment *segment = LIST_ENTRY(node, struct segment, link);
		assert_true(segment->sequence > sequence);
		sequence = segment->sequence;
	}
	assert_int_equal(sequence, 2);
	assert_int_equal(databuffer_batch_cancelled(&flying->batch), 1);
	land(&bench, flying, 0); /* its answer is ignored */
	assert_int_equal(bench.partition.flushed, 0);
	end(&bench);
}

/* --- A life of it -------------------------------------------------------------------------------- */

/* Inserts, flushes, failures, hangs and rejections from a seed, with an
 * account of its own for each item. */
#define LIFE_ITEMS 200000

struct life {
	struct bench bench;
	struct rng rng;
	unsigned char *outcome; /* of each value: 0 held, 1 flushed, 2 dead */
	uint32_t settled;
	struct segment *flights[8];
	int64_t ends[8];
	unsigned flight_count;
};

static bool is_poison(uint32_t value)
{
	return value % 97 == 13;
}

static void end_flight(struct life *life, unsigned i)
{
	struct segment *segment = life->flights[i];
	struct databuffer_batch *batch = &segment->batch;
	int answer = 0;
	if (rng_below_inclusive(&life->rng, 4) == 0)
		answer = rng_below_inclusive(&life->rng, 1) ? -EAGAIN : 77;
	databuffer_item item;
	databuffer_batch_rewind(batch);
	uint32_t values[64], count = 0;
	while (databuffer_batch_next(batch, &item)) {
		values[count] = *(const uint32_t *)item.data;
		if (is_poison(values[count]) && answer == 0)
			answer = DATABUFFER_REJECT;
		count++;
	}
	life->flights[i] = life->flights[--life->flight_count];
	life->ends[i] = life->ends[life->flight_count];
	if (answer == 0 || (answer == DATABUFFER_REJECT && count == 1)) {
		for (uint32_t v = 0; v < count; v++) {
			assert_int_equal(life->outcome[values[v]], 0);
			life->outcome[values[v]] = answer == 0 ? 1 : 2;
			life->settled++;
		}
	}
	land(&life->bench, segment, answer);
}

static void hours_of_faults_give_every_item_one_outcome(void **state)
{
	(void)state;
	const char *given = getenv("DATABUFFER_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : port_entropy();
	print_message("seed %llu (DATABUFFER_SEED to run it again)\n", (unsigned long long)seed);
	struct life *life = calloc(1, sizeof(*life));
	life->outcome = calloc(LIFE_ITEMS, 1);
	rng_seed(&life->rng, seed);
	databuffer_options o = options();
	o.max_size = 1 + (int64_t)rng_below_inclusive(&life->rng, 30);
	o.max_size_jitter = (int64_t)rng_below_inclusive(&life->rng, 5);
	o.max_in_flight = 1 + (int64_t)rng_below_inclusive(&life->rng, 2);
	o.max_queued = (int64_t)rng_below_inclusive(&life->rng, 2);
	o.flush_jitter = 200;
	begin(&life->bench, &o);
	struct bench *bench = &life->bench;
	uint64_t bound = (uint64_t)((1 + o.max_in_flight + o.max_queued + o.max_stuck) * (o.max_size + o.max_size_jitter));

	while (bench->next_value < LIFE_ITEMS || life->settled < bench->next_value) {
		unsigned todo = 0;
		uint64_t dice = rng_below_inclusive(&life->rng, 99);
		if (dice < 60 && bench->next_value < LIFE_ITEMS) {
			unsigned n = 1 + (unsigned)rng_below_inclusive(&life->rng, 40);
			if (n > LIFE_ITEMS - bench->next_value)
				n = LIFE_ITEMS - bench->next_value;
			insert(bench, n, &todo);
		} else if (dice < 65) {
			partition_flush(&bench->partition, DATABUFFER_TRIGGER_FLUSH, bench->now);
		}
		struct segment *segment;
		while (life->flight_count < 8 && (segment = take(bench)) != NULL) {
			assert_true(databuffer_batch_size(&segment->batch) <= (size_t)(o.max_size + o.max_size_jitter));
			life->flights[life->flight_count] = segment;
			/* Mostly quick, now and then late. */
			int64_t takes = rng_below_inclusive(&life->rng, 30) == 0 ? 12000 : 20;
			life->ends[life->flight_count++] = bench->now + takes * MS;
		}
		int64_t next = bench->now + (int64_t)rng_below_inclusive(&life->rng, 900) * MS;
		for (unsigned i = 0; i < life->flight_count; i++)
			if (life->ends[i] <= next)
				next = life->ends[i];
		bench->now = next;
		for (unsigned i = 0; i < life->flight_count; i++)
			if (life->ends[i] <= bench->now)
				end_flight(life, i--);
		tick(bench);
		struct partition_fault fault;
		if (!partition_check(&bench->partition, &fault))
			fail_msg("%s", fault.text);
		assert_true(partition_size(&bench->partition) <= bound);
		assert_int_equal(partition_size(&bench->partition) + life->settled, bench->next_value);
	}
	for (uint32_t value = 0; value < LIFE_ITEMS; value++)
		assert_int_equal(life->outcome[value], is_poison(value) ? 2 : 1);
	print_message("%lld s of virtual time\n", (long long)(bench->now / MS / 1000));
	end(bench);
	free(life->outcome);
	free(life);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_insert_that_fills_the_batch_cuts_it),
		cmocka_unit_test(a_batch_is_cut_when_the_interval_has_passed_since_the_last_cut),
		cmocka_unit_test(an_empty_partition_has_no_deadline_and_flushes_nothing),
		cmocka_unit_test(ticks_of_an_idle_partition_keep_their_beat),
		cmocka_unit_test(an_empty_partition_is_flushed_at_each_tick_if_flush_empty_says_so),
		cmocka_unit_test(a_tick_that_finds_only_a_reserved_slot_moves_on),
		cmocka_unit_test(jitter_is_drawn_anew_for_every_batch_and_stays_in_its_bounds),
		cmocka_unit_test(a_batch_is_cut_at_max_bytes),
		cmocka_unit_test(bytes_end_a_batch_that_has_slots_left),
		cmocka_unit_test(a_batch_that_is_filled_during_a_recall_is_cut_by_who_recalled),
		cmocka_unit_test(what_others_have_on_lease_is_taken_back_only_if_asked),
		cmocka_unit_test(a_batch_due_by_time_waits_and_grows_while_a_flush_runs),
		cmocka_unit_test(a_full_partition_whose_flush_runs_takes_no_more),
		cmocka_unit_test(max_queued_batches_more_may_wait),
		cmocka_unit_test(small_flushes_do_not_use_up_the_room),
		cmocka_unit_test(a_failed_batch_is_kept_and_tried_again_after_a_doubling_backoff),
		cmocka_unit_test(a_backoff_holds_up_what_came_after_it),
		cmocka_unit_test(a_flush_cuts_a_backoff_short),
		cmocka_unit_test(a_late_flush_gives_way_and_is_tried_again_only_after_it_has_failed),
		cmocka_unit_test(a_late_flush_that_succeeds_counts),
		cmocka_unit_test(no_more_than_max_stuck_late_flushes_are_gone_on_without),
		cmocka_unit_test(a_late_flush_that_is_back_makes_room_by_the_one_that_takes_its_place),
		cmocka_unit_test(a_sync_flush_waits_for_what_was_held_and_for_no_more),
		cmocka_unit_test(a_sync_flush_of_an_empty_partition_is_done_at_once),
		cmocka_unit_test(a_sync_flush_where_no_memory_is_left_waits_for_the_cut),
		cmocka_unit_test(stop_cuts_what_is_held_and_ends_backoffs),
		cmocka_unit_test(what_a_stop_gives_up_is_left_over_oldest_first),
		cmocka_unit_test(hours_of_faults_give_every_item_one_outcome),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
