/* SPDX-License-Identifier: MIT */
/* A batch that is too large for the sink comes in halves, and those after it in pieces that fit. */
#include "api/support.h"

/* What the sink takes at once. */
struct quota {
	_Atomic size_t items, bytes;
};

static int take_what_fits(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	struct quota *quota = sink->ctx;
	(void)batch;
	return call->size > quota->items || call->bytes > quota->bytes ? DATABUFFER_TOO_LARGE : 0;
}

static databuffer_options quota_options(struct sink *sink, struct quota *quota)
{
	databuffer_options options = sink_options(sink);
	sink->answer = take_what_fits;
	sink->ctx = quota;
	options.retry_min = options.retry_max = 3600000; /* a halved batch waits for nothing */
	return options;
}

static void a_batch_is_halved_and_the_size_remembered(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct quota quota = { 30, SIZE_MAX };
	databuffer_options o = quota_options(sink, &quota);
	o.max_size = 100;
	databuffer *buf = start(&o);
	assert_int_equal(info_of(buf, 0).size_bound, 0);
	insert_numbers(buf, 0, 150);
	flush_all(buf);
	ASSERT_CUTS(sink, 100, 50, 25, 25, 25, 25, 25, 25);
	assert_flushed(sink, 0, 150);
	assert_int_equal(info_of(buf, 0).size_bound, 25);
	databuffer_stats_t stats = stats_of(buf);
	assert_int_equal(stats.attempts, 8);
	assert_int_equal(stats.too_large, 2);
	assert_int_equal(stats.failures, 0);
	assert_int_equal(stats.rejects, 0);
	assert_int_equal(stats.batches, 2);
	assert_int_equal(sink_lines(sink), 0);
	stop_clean(buf);
	sink_free(sink);
}

static void when_the_sink_takes_more_it_gets_more(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct quota quota = { 10, SIZE_MAX };
	databuffer_options o = quota_options(sink, &quota);
	o.max_size = 100;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 1000);
	flush_all(buf);
	assert_in_range(info_of(buf, 0).size_bound, 1, 20);
	quota.items = SIZE_MAX;
	insert_numbers(buf, 1000, 20000);
	flush_all(buf);
	assert_int_equal(info_of(buf, 0).size_bound, 0);
	assert_int_equal(sink_call(sink, sink_calls(sink) - 1).size, 100);
	assert_flushed(sink, 0, 20000);
	stop_clean(buf);
	sink_free(sink);
}

static void each_partition_has_a_bound_of_its_own(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct quota quota = { SIZE_MAX, 80 };
	databuffer_options o = quota_options(sink, &quota);
	o.partitions = 2;
	databuffer *buf = start(&o);
	static const char wide[32];
	uint64_t key = 0;
	/* Items of one byte, until one is in partition 0; then its key's are wide. */
	do
		assert_int_equal(databuffer_insert_keyed(buf, ++key, wide, 1), 0);
	while (info_of(buf, 0).size == 0);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(databuffer_insert_keyed(buf, key, wide, 32), 0);
	flush_all(buf);
	assert_in_range(info_of(buf, 0).size_bound, 1, 6);
	assert_int_equal(info_of(buf, 1).size_bound, 0);
	stop_clean(buf);
	sink_free(sink);
}

static void an_item_that_is_too_large_alone_is_dead_with_its_reason(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct quota quota = { SIZE_MAX, 100 };
	databuffer_options o = quota_options(sink, &quota);
	o.max_size = 10; /* not full, so that it is flushed by the sync_flush that tells of it */
	databuffer *buf = start(&o);
	char wide[101] = { 0 };
	insert_numbers(buf, 0, 4);
	memcpy(wide, &(uint64_t){ 4 }, 8);
	assert_int_equal(databuffer_insert(buf, wide, sizeof(wide)), 0);
	insert_numbers(buf, 5, 9);
	databuffer_result result;
	assert_int_equal(databuffer_sync_flush(buf, &result, 1, PATIENCE_MS), 0);
	assert_int_equal(result.status, DATABUFFER_REJECT);
	assert_int_equal(sink_buried(sink), 1);
	assert_int_equal(sink->dead[0].number, 4);
	assert_int_equal(sink->dead[0].len, 101);
	assert_int_equal(sink->dead[0].status, DATABUFFER_TOO_LARGE);
	assert_true(sink->dead[0].attempts >= 2);
	assert_non_null(strstr(sink->dead[0].text, "too large"));
	assert_int_equal(sink_flushed(sink), 8);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(sink->flushed.at[i], i < 4 ? i : i + 1);
	stop_clean(buf);
	sink_free(sink);
}

static int name_and_refuse(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)call;
	CHECK(databuffer_batch_fail(batch, 0, "wider than the door") == 0);
	return DATABUFFER_TOO_LARGE;
}

/* Named in a batch that was halved: the name is forgotten, and given anew by the half. */
static void names_are_forgotten_when_the_batch_is_halved(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = name_and_refuse;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 4);
	flush_all(buf);
	assert_int_equal(sink_buried(sink), 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(sink->dead[i].number, i);
		assert_string_equal(sink->dead[i].text, "wider than the door");
	}
	stop_clean(buf);
	sink_free(sink);
}

static int too_large_if_empty(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)batch;
	return call->size == 0 ? DATABUFFER_TOO_LARGE : 0;
}

static void an_empty_batch_that_is_too_large_is_done(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = too_large_if_empty;
	o.flush_empty = 1;
	databuffer *buf = start(&o);
	databuffer_flush(buf);
	WAIT_FOR(sink_calls(sink) == 1);
	insert_numbers(buf, 0, 3);
	flush_all(buf);
	assert_flushed(sink, 0, 3);
	assert_int_equal(info_of(buf, 0).size_bound, 0);
	stop_clean(buf);
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_is_halved_and_the_size_remembered),
		cmocka_unit_test(when_the_sink_takes_more_it_gets_more),
		cmocka_unit_test(each_partition_has_a_bound_of_its_own),
		cmocka_unit_test(an_item_that_is_too_large_alone_is_dead_with_its_reason),
		cmocka_unit_test(names_are_forgotten_when_the_batch_is_halved),
		cmocka_unit_test(an_empty_batch_that_is_too_large_is_done),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
