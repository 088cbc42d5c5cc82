/* SPDX-License-Identifier: MIT */
/* A partition's memory: resident where it is used, and the system's again after a long idle time. */
#include "core/bench.h"

#include <sys/mman.h>
#include <unistd.h>

#define PAGES_MAX 16384

/* Pages of the partition's store that are resident. */
static size_t resident(const struct partition *partition)
{
	static unsigned char pages[PAGES_MAX];
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n = (partition->store.size + page - 1) / page, count = 0;
	assert_true(n <= PAGES_MAX);
	assert_int_equal(mincore(partition->store.base, partition->store.size, pages), 0);
	for (size_t i = 0; i < n; i++)
		count += pages[i] & 1;
	return count;
}

static databuffer_options large(void)
{
	databuffer_options o = options();
	o.max_size = 50000;
	o.max_bytes = 1 << 20;
	o.flush_interval = 0;
	o.idle_memory = 7000;
	return o;
}

/* Flushes what is held at the bench's time. */
static void flush(struct bench *bench)
{
	assert_true(partition_flush(&bench->partition, DATABUFFER_TRIGGER_FLUSH, bench->now) & TODO_FLUSH);
	land(bench, take(bench), 0);
}

static void a_partition_costs_no_memory_before_it_is_used(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = large();
	begin(&bench, &o);
	assert_int_equal(resident(&bench.partition), 0);
	assert_true(partition_give_back_at(&bench.partition) == PORT_NEVER);
	insert_all(&bench, 1);
	assert_in_range(resident(&bench.partition), 1, 2);
	end(&bench);
}

static void drained_memory_stays_for_reuse_and_goes_back_when_idle_for_long(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = large();
	begin(&bench, &o);
	for (int round = 0; round < 3; round++) {
		insert_all(&bench, 50000);
		bench.now += 100 * MS;
		land(&bench, take(&bench), 0);
		size_t used = resident(&bench.partition);
		assert_true(used >= 50000 * 4 / 4096);

		/* The same memory, used again. */
		insert_all(&bench, 50000);
		land(&bench, take(&bench), 0);
		assert_int_equal(resident(&bench.partition), used);

		assert_true(partition_give_back_at(&bench.partition) == bench.now + 7000 * MS);
		bench.now += 6999 * MS;
		tick(&bench);
		assert_int_equal(resident(&bench.partition), used);
		bench.now += 1 * MS;
		tick(&bench);
		assert_int_equal(resident(&bench.partition), 0);
		assert_true(partition_give_back_at(&bench.partition) == PORT_NEVER);
	}
	end(&bench);
}

static void what_is_held_keeps_its_memory(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = large();
	begin(&bench, &o);
	insert_all(&bench, 30000);
	flush(&bench);
	uint32_t first = bench.next_value;
	insert_all(&bench, 30000);
	bench.now += 8000 * MS;
	tick(&bench);
	partition_flush(&bench.partition, DATABUFFER_TRIGGER_FLUSH, bench.now);
	struct segment *segment = take(&bench);
	bench.now += 8000 * MS;
	tick(&bench);
	expect_batch(segment, first, 30000, DATABUFFER_TRIGGER_FLUSH);
	land(&bench, segment, 0);
	end(&bench);
}

static void with_idle_memory_0_it_stays(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = large();
	o.idle_memory = 0;
	begin(&bench, &o);
	insert_all(&bench, 30000);
	flush(&bench);
	assert_true(partition_give_back_at(&bench.partition) == PORT_NEVER);
	bench.now += 1000000 * MS;
	tick(&bench);
	assert_true(resident(&bench.partition) > 10);
	end(&bench);
}

static void a_batch_that_is_open_and_has_room_needs_no_time(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	struct lane other;
	lane_init(&other, &bench.partition, &other, !port_has_barrier());
	struct lease_request request = { .item_size = 4, .n = 1, .payload = 4 };
	uint32_t value = 10;
	/* Not the first item, which may move a deadline; nor one that would need a cut. */
	assert_false(partition_lease_open(&bench.partition, &other, &request));
	insert_all(&bench, 1);
	assert_true(partition_lease_open(&bench.partition, &other, &request));
	assert_int_not_equal(lane_put(&other, &value, 4), LANE_REFUSED);
	insert_all(&bench, 8);
	assert_false(partition_lease_open(&bench.partition, &other, &request));
	/* Nor when all is over. */
	partition_flush(&bench.partition, DATABUFFER_TRIGGER_STOP, 0);
	assert_false(partition_lease_open(&bench.partition, &other, &request));
	land(&bench, take(&bench), 0);
	end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_partition_costs_no_memory_before_it_is_used),
		cmocka_unit_test(drained_memory_stays_for_reuse_and_goes_back_when_idle_for_long),
		cmocka_unit_test(what_is_held_keeps_its_memory),
		cmocka_unit_test(with_idle_memory_0_it_stays),
		cmocka_unit_test(a_batch_that_is_open_and_has_room_needs_no_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
