/* SPDX-License-Identifier: MIT */
/* databuffer_batch_id: one number for one set of items. */
#include "api/support.h"

#define MOST 4096

/* Each call's id, and which items it was given by. */
struct ids {
	pthread_mutex_t lock;
	size_t count;
	struct {
		uint64_t id, first, size;
		unsigned attempt;
	} at[MOST];
};

static struct ids *ids_new(void)
{
	struct ids *ids = calloc(1, sizeof(*ids));
	CHECK(ids);
	pthread_mutex_init(&ids->lock, NULL);
	return ids;
}

static void note(struct ids *ids, databuffer_batch *batch, const struct call *call)
{
	databuffer_item first = databuffer_batch_at(batch, 0);
	pthread_mutex_lock(&ids->lock);
	CHECK(ids->count < MOST);
	size_t i = ids->count++;
	ids->at[i].id = databuffer_batch_id(batch);
	ids->at[i].first = number_of(&first) << 16 | call->partition;
	ids->at[i].size = call->size;
	ids->at[i].attempt = call->attempt;
	pthread_mutex_unlock(&ids->lock);
}

/* Two calls have one id if they have the same items, and only then. */
static void assert_one_id_for_one_set(struct ids *ids)
{
	for (size_t i = 0; i < ids->count; i++) {
		assert_int_not_equal(ids->at[i].id, 0);
		for (size_t k = 0; k < i; k++) {
			bool same = ids->at[i].first == ids->at[k].first && ids->at[i].size == ids->at[k].size;
			assert_int_equal(ids->at[i].id == ids->at[k].id, same);
		}
	}
}

static int fail_twice(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	note(sink->ctx, batch, call);
	return call->attempt < 3 ? -EIO : 0;
}

static void the_id_stays_over_retries(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ids *ids = ids_new();
	databuffer_options o = sink_options(sink);
	sink->answer = fail_twice;
	sink->ctx = ids;
	o.max_size = 10;
	o.retry_min = o.retry_max = 1;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 50);
	flush_all(buf);
	stop_clean(buf);
	assert_int_equal(ids->count, 15);
	assert_one_id_for_one_set(ids);
	sink_free(sink);
	free(ids);
}

static void no_two_partitions_give_the_same_id(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ids *ids = ids_new();
	databuffer_options o = sink_options(sink);
	sink->answer = fail_twice;
	sink->ctx = ids;
	o.partitions = 7;
	o.max_size = 5;
	o.retry_min = o.retry_max = 1;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 700);
	flush_all(buf);
	stop_clean(buf);
	/* Whose partition is full goes on to the next, so that the last batches may be smaller. */
	assert_in_range(ids->count, 3 * 700 / 5, 3 * (700 / 5 + 7));
	assert_int_equal(ids->count % 3, 0);
	assert_one_id_for_one_set(ids);
	sink_free(sink);
	free(ids);
}

/* 13 and 14 are refused; halves fail once each before they are judged. */
static int refuse_some(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	note(sink->ctx, batch, call);
	if (call->attempt < 2)
		return -EIO;
	for (size_t i = 0; i < call->size; i++) {
		databuffer_item item = databuffer_batch_at(batch, i);
		if (number_of(&item) == 13 || number_of(&item) == 14)
			return DATABUFFER_REJECT;
	}
	return 0;
}

static void a_smaller_piece_has_an_id_of_its_own(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ids *ids = ids_new();
	databuffer_options o = sink_options(sink);
	sink->answer = refuse_some;
	sink->ctx = ids;
	o.max_size = 32;
	o.retry_min = o.retry_max = 1;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 32);
	flush_all(buf);
	stop_clean(buf);
	assert_int_equal(sink->dead_count, 2);
	assert_true(ids->count > 12);
	assert_one_id_for_one_set(ids);
	sink_free(sink);
	free(ids);
}

/* The first call names an item and rejects: what is left are other items. */
static int name_one(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	note(sink->ctx, batch, call);
	if (call->size == 10) {
		CHECK(databuffer_batch_fail(batch, 9, "the last") == 0);
		return DATABUFFER_REJECT;
	}
	return 0;
}

static void what_is_left_of_a_batch_has_an_id_of_its_own(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ids *ids = ids_new();
	databuffer_options o = sink_options(sink);
	sink->answer = name_one;
	sink->ctx = ids;
	o.max_size = 10;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	flush_all(buf);
	stop_clean(buf);
	assert_int_equal(ids->count, 2);
	assert_one_id_for_one_set(ids);
	assert_int_equal(databuffer_batch_id(NULL), 0);
	sink_free(sink);
	free(ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_id_stays_over_retries),
		cmocka_unit_test(no_two_partitions_give_the_same_id),
		cmocka_unit_test(a_smaller_piece_has_an_id_of_its_own),
		cmocka_unit_test(what_is_left_of_a_batch_has_an_id_of_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
