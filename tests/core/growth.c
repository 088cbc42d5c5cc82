/* SPDX-License-Identifier: MIT */
/*
 * A partition's memory when batches become larger: segments take their new place once nobody uses them, and the
 * store that they have left is given back.
 */
#include "core/bench.h"

static void grow(struct bench *bench, int64_t max_size)
{
	databuffer_options before = bench->options;
	struct supply_growth *growth = supply_map(&bench->partition, (uint32_t)max_size);
	assert_non_null(growth);
	bench->options.max_size = max_size;
	supply_unmap(&bench->partition, supply_grow(&bench->partition, growth));
	partition_reconfigure(&bench->partition, &before, bench->now);
	assert_true(partition_is_valid(&bench->partition));
}

static unsigned stores_outgrown(struct bench *bench)
{
	const struct list *node;
	unsigned count = 0;
	LIST_FOREACH(node, &bench->partition.outgrown)
		count++;
	return count;
}

static void assert_free_are_large(struct bench *bench)
{
	const struct list *node;
	LIST_FOREACH(node, &bench->partition.free)
		assert_int_equal(LIST_ENTRY(node, struct segment, link)->slots, bench->partition.slots);
}

static void what_nobody_uses_moves_at_once(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	grow(&bench, 100);
	assert_int_equal(stores_outgrown(&bench), 0);
	assert_free_are_large(&bench);
	insert_all(&bench, 100);
	expect_batch(take(&bench), 0, 100, DATABUFFER_TRIGGER_SIZE);
	end(&bench);
}

static void what_is_open_waits_or_flies_moves_when_it_is_free(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.max_queued = 1;
	o.flush_interval = 0;
	begin(&bench, &o);
	insert_all(&bench, 25);
	struct segment *flying = take(&bench);
	grow(&bench, 50);
	insert_all(&bench, 5); /* the open one keeps the memory it has */
	assert_int_equal(bench.partition.queued, 2);
	insert_all(&bench, 20);
	grow(&bench, 200);
	grow(&bench, 201);
	assert_int_equal(stores_outgrown(&bench), 2);
	assert_free_are_large(&bench);
	expect_batch(flying, 0, 10, DATABUFFER_TRIGGER_SIZE);
	land(&bench, flying, DATABUFFER_RETRY);
	bench.now += 100000 * MS;
	for (uint32_t i = 0; i < 3; i++) {
		struct segment *segment = take(&bench);
		expect_batch(segment, 10 * i, 10, DATABUFFER_TRIGGER_SIZE);
		land(&bench, segment, 0);
	}
	assert_int_equal(stores_outgrown(&bench), 1);
	partition_flush(&bench.partition, DATABUFFER_TRIGGER_FLUSH, bench.now);
	struct segment *last = take(&bench);
	expect_batch(last, 30, 20, DATABUFFER_TRIGGER_FLUSH);
	land(&bench, last, 0);
	assert_int_equal(stores_outgrown(&bench), 0);
	assert_free_are_large(&bench);
	insert_all(&bench, 201);
	expect_batch(take(&bench), 50, 201, DATABUFFER_TRIGGER_SIZE);
	end(&bench);
}

static void what_is_pinned_moves_when_it_is_let_go(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 10);
	struct segment *segment = take(&bench);
	segment->pins++;
	land(&bench, segment, 0);
	grow(&bench, 50);
	assert_int_equal(stores_outgrown(&bench), 1);
	assert_int_equal(*(uint32_t *)batch_item(segment, 9).data, 9);
	partition_unpin(&bench.partition, segment);
	assert_int_equal(stores_outgrown(&bench), 0);
	assert_free_are_large(&bench);
	end(&bench);
}

/* Mapped in place of pinned ones, and no longer wanted. */
static void substitutes_go_instead_of_moving(void **state)
{
	(void)state;
	struct bench bench;
	struct segment *pinned[8];
	databuffer_options o = options();
	begin(&bench, &o);
	for (unsigned i = 0; i < 8; i++) {
		insert_all(&bench, 10);
		pinned[i] = take(&bench);
		pinned[i]->pins++;
		land(&bench, pinned[i], 0);
	}
	assert_int_equal(bench.partition.substitutes, 2);
	insert_all(&bench, 5); /* one more, open */
	assert_int_equal(bench.partition.substitutes, 3);
	grow(&bench, 50);
	partition_unpin(&bench.partition, pinned[7]);
	assert_int_equal(bench.partition.substitutes, 2);
	for (unsigned i = 0; i < 7; i++)
		partition_unpin(&bench.partition, pinned[i]);
	assert_int_equal(bench.partition.substitutes, 1);
	assert_true(partition_is_valid(&bench.partition));
	insert_all(&bench, 5);
	land(&bench, take(&bench), 0);
	assert_int_equal(bench.partition.substitutes, 0);
	assert_int_equal(stores_outgrown(&bench), 0);
	assert_free_are_large(&bench);
	assert_true(partition_is_valid(&bench.partition));
	end(&bench);
}

static void memory_that_others_have_outgrown_meanwhile_is_not_wanted(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	struct supply_growth *growth = supply_map(&bench.partition, 20);
	grow(&bench, 30);
	assert_ptr_equal(supply_grow(&bench.partition, growth), growth);
	assert_int_equal(bench.partition.slots, 30);
	supply_unmap(&bench.partition, growth);
	end(&bench);
}

static void a_child_starts_with_the_large_ones(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 19);
	struct segment *flying = take(&bench);
	grow(&bench, 50);
	partition_reset(&bench.partition, bench.now);
	lane_init(&bench.lane, &bench.partition, &bench.lane, true);
	assert_true(partition_is_valid(&bench.partition));
	assert_free_are_large(&bench);
	/* The handler that forked may go on reading. */
	assert_int_equal(*(uint32_t *)batch_item(flying, 9).data, 9);
	bench.next_value = 0;
	insert_all(&bench, 50);
	expect_batch(take(&bench), 0, 50, DATABUFFER_TRIGGER_SIZE);
	batch_finish(&flying->batch);
	end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_nobody_uses_moves_at_once),
		cmocka_unit_test(what_is_open_waits_or_flies_moves_when_it_is_free),
		cmocka_unit_test(what_is_pinned_moves_when_it_is_let_go),
		cmocka_unit_test(substitutes_go_instead_of_moving),
		cmocka_unit_test(memory_that_others_have_outgrown_meanwhile_is_not_wanted),
		cmocka_unit_test(a_child_starts_with_the_large_ones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
