/* SPDX-License-Identifier: MIT */
/*
 * The account taken anew. A sound partition passes at every stage of a batch's
 * life; each figure that is made wrong by hand is found, and named.
 */
#include "core/bench.h"

static void assert_sound(const struct bench *bench)
{
	struct partition_fault fault = { "" };
	if (!partition_check(&bench->partition, &fault))
		fail_msg("%s", fault.text);
}

static void assert_broken(const struct bench *bench, const char *part)
{
	struct partition_fault fault = { "" };
	assert_false(partition_check(&bench->partition, &fault));
	if (!strstr(fault.text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, fault.text);
}

/* 10 items in flight, 10 that wait and 3 in the open batch; two batches have had
 * their outcomes, the first of them with one item dead. */
static void begin_busy(struct bench *bench)
{
	databuffer_options o = options();
	o.max_queued = 2;
	begin(bench, &o);
	insert_all(bench, 10);
	struct segment *segment = take(bench);
	assert_int_equal(databuffer_batch_fail(&segment->batch, 4, "no"), 0);
	land(bench, segment, 0);
	insert_all(bench, 10);
	land(bench, take(bench), 0);
	insert_all(bench, 23);
	assert_non_null(take(bench));
}

static void every_stage_of_a_batch_is_sound(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.max_stuck = 1;
	begin(&bench, &o);
	assert_sound(&bench);
	insert_all(&bench, 7);
	assert_sound(&bench); /* on lease */
	insert_all(&bench, 3);
	assert_sound(&bench); /* waits */
	struct segment *segment = take(&bench);
	assert_sound(&bench);
	land(&bench, segment, DATABUFFER_RETRY);
	assert_sound(&bench); /* backs off */
	bench.now = 1000 * MS;
	segment = take(&bench);
	land(&bench, segment, DATABUFFER_REJECT);
	assert_sound(&bench); /* in halves */
	segment = take(&bench);
	land(&bench, segment, 0);
	assert_sound(&bench);
	segment = take(&bench);
	bench.now += 5000 * MS;
	tick(&bench);
	assert_sound(&bench); /* late, and gone on without */
	insert_all(&bench, 12);
	assert_sound(&bench);
	land(&bench, segment, 0);
	assert_sound(&bench);
	partition_flush(&bench.partition, DATABUFFER_TRIGGER_STOP, bench.now);
	assert_sound(&bench);
	struct list left;
	list_init(&left);
	partition_abandon(&bench.partition, &left);
	assert_sound(&bench);
	end(&bench);
}

static void between_its_verdict_and_its_landing_a_batch_is_sound(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	begin(&bench, &o);
	insert_all(&bench, 10);
	struct segment *segment = take(&bench);
	databuffer_batch_fail(&segment->batch, 0, "no");
	struct verdict verdict = partition_judge(&bench.partition, segment, DATABUFFER_REJECT, bench.now);
	assert_sound(&bench); /* while handle_dead runs, without the lock */
	batch_finish(&segment->batch);
	partition_land(&bench.partition, segment, &verdict, bench.now);
	assert_sound(&bench);
	end(&bench);
}

/* Each figure off by one, and then put right again. */
static void a_figure_that_is_wrong_is_found_and_named(void **state)
{
	(void)state;
	struct bench bench;
	begin_busy(&bench);
	assert_sound(&bench);
	struct partition *p = &bench.partition;
	struct {
		uint64_t *figure;
		const char *named;
	} wide[] = {
		{ &p->accepted, "inserted is 44, but held 23 + flushed 19 + dead 1 + dropped 0 + left 0 is 43" },
		{ &p->flushed, "inserted is 43, but held 23 + flushed 20 + dead 1 + dropped 0 + left 0 is 44" },
		{ &p->dead, "inserted is 43" },
		{ &p->left, "inserted is 43" },
		{ &p->held, "held is kept as 24, but counted anew it is 23" },
		{ &p->held_bytes, "held, in bytes, is kept as 81, but counted anew it is 80" },
		{ &p->waiting_items, "bounds, in items, is kept as 21, but counted anew it is 20" },
		{ &p->waiting_bytes, "bounds, in bytes, is kept as 81, but counted anew it is 80" },
	};
	for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
		++*wide[i].figure;
		assert_broken(&bench, wide[i].named);
		--*wide[i].figure;
	}
	struct {
		unsigned *figure;
		const char *named;
	} narrow[] = {
		{ &p->queued, "batches that wait is kept as 2, but counted anew it is 1" },
		{ &p->in_flight, "batches in flight is kept as 2, but counted anew it is 1" },
		{ &p->segment_count, "the number of segments" },
	};
	for (size_t i = 0; i < sizeof(narrow) / sizeof(narrow[0]); i++) {
		++*narrow[i].figure;
		assert_broken(&bench, narrow[i].named);
		--*narrow[i].figure;
	}
	assert_sound(&bench);
	end(&bench);
}

static void a_batch_that_is_torn_is_found(void **state)
{
	(void)state;
	struct bench bench;
	begin_busy(&bench);
	struct segment *waiting = LIST_ENTRY(list_first(&bench.partition.queue), struct segment, link);
	waiting->batch.from = 11;
	assert_broken(&bench, "batch 4 stands at items 11 to 10");
	waiting->batch.from = 0;
	waiting->sealed = false;
	assert_broken(&bench, "is not sealed");
	waiting->sealed = true;
	waiting->stuck = true;
	assert_broken(&bench, "late flushes gone on without");
	waiting->stuck = false;
	bench.partition.open->settled++;
	assert_broken(&bench, "the leases of the open batch, 5, do not add up");
	bench.partition.open->settled--;
	end(&bench);
}

static void an_item_that_lost_a_byte_is_found(void **state)
{
	(void)state;
	struct bench bench;
	begin_busy(&bench);
	struct segment *waiting = LIST_ENTRY(list_first(&bench.partition.queue), struct segment, link);
	segment_index(waiting); /* an array has no entries to be wrong */
	uint64_t entry = waiting->index[9];
	waiting->index[9] = slot_entry(slot_offset(entry), slot_len(entry) - 1);
	assert_broken(&bench, "held, in bytes, is kept as 80, but counted anew it is 79");
	waiting->index[9] = entry;
	end(&bench);
}

static void batches_out_of_their_order_are_found(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = options();
	o.max_queued = 3;
	begin(&bench, &o);
	insert_all(&bench, 30);
	assert_sound(&bench);
	struct list *first = list_pop_front(&bench.partition.queue);
	list_push_back(&bench.partition.queue, first);
	assert_broken(&bench, "batch 1 waits behind batch 3");
	list_remove(first);
	list_push_front(&bench.partition.queue, first);
	end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_stage_of_a_batch_is_sound),
		cmocka_unit_test(between_its_verdict_and_its_landing_a_batch_is_sound),
		cmocka_unit_test(a_figure_that_is_wrong_is_found_and_named),
		cmocka_unit_test(a_batch_that_is_torn_is_found),
		cmocka_unit_test(an_item_that_lost_a_byte_is_found),
		cmocka_unit_test(batches_out_of_their_order_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
