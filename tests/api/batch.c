/* SPDX-License-Identifier: MIT */
/* What a handler can ask of its batch. The asking is done inside handle_flush, with CHECK; tests set it up. */
#include "api/support.h"

#include <sched.h>
#include <sys/uio.h>

/* A buffer whose handler is the test's own question, asked of the numbers 0 to 9 in one batch. */
static void ask(int (*question)(struct sink *, databuffer_batch *, const struct call *))
{
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = question;
	o.name = "asked";
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	stop_clean(buf);
	assert_int_equal(sink->call_count, 1);
	assert_flushed(sink, 0, 10);
	sink_free(sink);
}

static uint64_t number_at(const databuffer_batch *batch, size_t i)
{
	databuffer_item item = databuffer_batch_at(batch, i);
	CHECK(item.len == 8);
	return number_of(&item);
}

/* --- One after the other -------------------------------------------------------------------------------- */

static int walk(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)call;
	databuffer_item item, before;
	memset(&item, 0x5a, sizeof(item));
	before = item;
	CHECK(databuffer_batch_next(batch, &item) == 0); /* the sink has walked to the end */
	CHECK(databuffer_batch_next(batch, &item) == 0);
	CHECK(memcmp(&item, &before, sizeof(item)) == 0);
	for (int round = 0; round < 3; round++) {
		databuffer_batch_rewind(batch);
		for (uint64_t i = 0; i < 10; i++) {
			CHECK(databuffer_batch_next(batch, &item) == 1);
			CHECK(item.len == 8 && number_of(&item) == i);
		}
		CHECK(databuffer_batch_next(batch, &item) == 0);
	}
	databuffer_batch_rewind(batch);
	CHECK(databuffer_batch_next(batch, &item) == 1 && number_of(&item) == 0);
	databuffer_batch_rewind(batch); /* from the middle, too */
	CHECK(databuffer_batch_next(batch, &item) == 1 && number_of(&item) == 0);
	return 0;
}

static void next_walks_once_and_rewind_starts_over(void **state)
{
	(void)state;
	ask(walk);
}

static int pick(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)call;
	for (size_t i = 10; i-- > 0;) /* in any order */
		CHECK(number_at(batch, i) == i);
	databuffer_batch_rewind(batch);
	databuffer_item item;
	CHECK(databuffer_batch_next(batch, &item) == 1);
	CHECK(item.data == databuffer_batch_at(batch, 0).data); /* the same items, not copies */
	CHECK(number_at(batch, 7) == 7);
	CHECK(databuffer_batch_next(batch, &item) == 1 && number_of(&item) == 1); /* at moves nobody on */
	static const size_t beyond[] = { 10, 11, 1000000, (size_t)1 << 32, ((size_t)1 << 32) + 1, SIZE_MAX };
	for (int i = 0; i < 6; i++) {
		item = databuffer_batch_at(batch, beyond[i]);
		CHECK(item.data == NULL && item.len == 0);
	}
	return 0;
}

static void at_has_every_item_and_nothing_beyond(void **state)
{
	(void)state;
	ask(pick);
}

static int fail_after_two(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	databuffer_item item;
	(void)sink;
	databuffer_batch_rewind(batch);
	CHECK(databuffer_batch_next(batch, &item) && number_of(&item) == 0);
	CHECK(databuffer_batch_next(batch, &item) && number_of(&item) == 1);
	return call->attempt < 3 ? DATABUFFER_RETRY : 0;
}

static void the_walk_begins_anew_with_every_attempt(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = fail_after_two;
	o.retry_min = o.retry_max = 1;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	flush_all(buf);
	ASSERT_CUTS(sink, 10, 10, 10); /* which the sink has walked to its end each time */
	stop_clean(buf);
	sink_free(sink);
}

/* --- What it is ----------------------------------------------------------------------------------------- */

static int who_are_you(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)call;
	CHECK(databuffer_batch_size(batch) == 10);
	CHECK(databuffer_batch_bytes(batch) == 80);
	CHECK(databuffer_batch_partition(batch) == 0);
	CHECK(databuffer_batch_trigger(batch) == DATABUFFER_TRIGGER_STOP);
	CHECK(strcmp(databuffer_batch_name(batch), "asked") == 0);
	CHECK(databuffer_batch_attempt(batch) == 1);
	CHECK(databuffer_batch_cancelled(batch) == 0);
	return 0;
}

static void it_knows_its_size_origin_and_attempt(void **state)
{
	(void)state;
	ask(who_are_you);
}

/* Where each number went, by the sizes that info told. */
static unsigned went_to[40];

static int as_info_said(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	CHECK(strcmp(databuffer_batch_name(batch), "") == 0); /* which has no name */
	for (size_t i = 0; i < call->size; i++)
		CHECK(went_to[number_at(batch, i)] == databuffer_batch_partition(batch));
	return 0;
}

static void it_knows_its_partition(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = as_info_said;
	o.partitions = 4;
	databuffer *buf = start(&o);
	size_t sizes[4] = { 0 };
	for (uint64_t key = 0; key < 40; key++) {
		assert_int_equal(databuffer_insert_keyed(buf, key, &key, 8), 0);
		for (unsigned i = 0; i < 4; i++)
			if (info_of(buf, i).size != sizes[i]) {
				went_to[key] = i;
				sizes[i]++;
			}
	}
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 40);
	assert_in_range(sink->call_count, 2, 4);
	sink_free(sink);
}

/* --- As one array --------------------------------------------------------------------------------------- */

static int as_array(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)call;
	const uint64_t *numbers = databuffer_batch_array(batch);
	CHECK(numbers);
	CHECK((uintptr_t)numbers % sizeof(*numbers) == 0);
	CHECK((const void *)numbers == databuffer_batch_at(batch, 0).data); /* one thread's items: no copy */
	for (uint64_t i = 0; i < 10; i++)
		CHECK(numbers[i] == i);
	CHECK(databuffer_batch_array(batch) == numbers);
	return 0;
}

static void equal_items_of_one_thread_are_one_array_in_place(void **state)
{
	(void)state;
	ask(as_array);
}

static const size_t lengths[] = { 1, 2, 3, 4, 7, 8, 12, 16, 24, 40, 64, 100, 128 };

static size_t alignment_of(size_t len)
{
	size_t low = len & -len;
	return low > 16 ? 16 : low;
}

/* All items have one length, their first byte counts on, and the others follow from it. */
static int check_array(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	size_t len = *(size_t *)sink->ctx;
	const unsigned char *at = databuffer_batch_array(batch);
	CHECK(at && (uintptr_t)at % alignment_of(len) == 0);
	for (size_t i = 0; i < call->size; i++, at += len) {
		databuffer_item item = databuffer_batch_at(batch, i);
		CHECK(item.len == len && memcmp(item.data, at, len) == 0);
		for (size_t k = 1; k < len; k++)
			CHECK(at[k] == (unsigned char)(at[0] + k));
	}
	return 0;
}

struct filler {
	databuffer *buf;
	size_t len, n;
};

static void *fill(void *arg)
{
	struct filler *filler = arg;
	unsigned char item[128];
	for (size_t i = 0; i < filler->n; i++) {
		for (size_t k = 0; k < filler->len; k++)
			item[k] = (unsigned char)(i + k);
		CHECK(databuffer_insert_timed(filler->buf, item, filler->len, PATIENCE_MS) == 0);
	}
	return NULL;
}

static void equal_items_of_several_threads_are_one_array_too(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		size_t len = lengths[i];
		sink->answer = check_array;
		sink->ctx = &len;
		o.max_size = 1000;
		databuffer *buf = start(&o);
		struct filler fillers[3];
		pthread_t threads[3];
		for (int k = 0; k < 3; k++) {
			fillers[k] = (struct filler){ .buf = buf, .len = len, .n = scaled(3000) };
			threads[k] = thread_run(fill, &fillers[k]);
		}
		for (int k = 0; k < 20; k++)
			databuffer_flush(buf);
		for (int k = 0; k < 3; k++)
			thread_join(threads[k]);
		stop_clean(buf);
		assert_int_equal(sink->flushed.count, 3 * scaled(3000));
		sink_free(sink);
	}
}

/* Threads that take turns leave gaps for certain: each has room of its own when the batch is cut. */
struct turn {
	databuffer *buf;
	_Atomic unsigned *whose;
	unsigned number;
};

static void *take_turns(void *arg)
{
	struct turn *turn = arg;
	for (unsigned i = 0; i < 20; i++) {
		while (*turn->whose != turn->number)
			sched_yield();
		unsigned char item[24];
		memset(item, 0, sizeof(item));
		item[0] = (unsigned char)i;
		for (unsigned k = 1; k < sizeof(item); k++)
			item[k] = (unsigned char)(item[0] + k);
		CHECK(databuffer_insert(turn->buf, item, sizeof(item)) == 0);
		*turn->whose = (turn->number + 1) % 3;
	}
	return NULL;
}

static void gaps_between_threads_are_closed(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	size_t len = 24;
	sink->answer = check_array;
	sink->ctx = &len;
	databuffer *buf = start(&o);
	_Atomic unsigned whose = 0;
	struct turn turns[3];
	pthread_t threads[3];
	for (unsigned i = 0; i < 3; i++) {
		turns[i] = (struct turn){ buf, &whose, i };
		threads[i] = thread_run(take_turns, &turns[i]);
	}
	for (unsigned i = 0; i < 3; i++)
		thread_join(threads[i]);
	stop_clean(buf);
	ASSERT_CUTS(sink, 60);
	sink_free(sink);
}

static int no_array(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	CHECK(call->size == 3);
	CHECK(databuffer_batch_array(batch) == NULL);
	CHECK(databuffer_batch_iovec(batch) != NULL);
	return 0;
}

static void unequal_items_are_no_array(void **state)
{
	(void)state;
	static const size_t unequal[3][3] = { { 8, 8, 7 }, { 7, 8, 8 }, { 8, 0, 8 } };
	for (int i = 0; i < 3; i++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		sink->answer = no_array;
		databuffer *buf = start(&o);
		for (int k = 0; k < 3; k++)
			assert_int_equal(databuffer_insert(buf, "12345678", unequal[i][k]), 0);
		stop_clean(buf);
		ASSERT_CUTS(sink, 3);
		sink_free(sink);
	}
}

/* The pieces of a rejected batch are arrays each. */
static int array_of_the_piece(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	const uint64_t *numbers = databuffer_batch_array(batch);
	const struct iovec *iovec = databuffer_batch_iovec(batch);
	bool rejected = false;
	CHECK(numbers && iovec);
	CHECK(databuffer_batch_bytes(batch) == 8 * call->size);
	for (size_t i = 0; i < call->size; i++) {
		CHECK(numbers[i] == number_at(batch, i));
		CHECK(iovec[i].iov_len == 8 && memcmp(iovec[i].iov_base, &numbers[i], 8) == 0);
		CHECK(numbers[i] == numbers[0] + i || call->size > 90);
		rejected |= numbers[i] == 13 || numbers[i] == 71;
	}
	if (call->size == 100)
		CHECK(databuffer_batch_fail(batch, 50, "named") == 0);
	return rejected ? DATABUFFER_REJECT : 0;
}

static void a_piece_of_a_batch_is_a_batch(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = array_of_the_piece;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 50);
	insert_number(buf, 1000); /* to be named, and so gone from the middle */
	insert_numbers(buf, 50, 99);
	flush_all(buf);
	assert_int_equal(sink_flushed(sink), 97);
	assert_int_equal(sink_buried(sink), 3);
	assert_int_equal(sink->dead[0].number, 1000);
	stop_clean(buf);
	sink_free(sink);
}

/* --- As a view ------------------------------------------------------------------------------------------ */

static int as_view(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)call;
	databuffer_view view = databuffer_batch_view(batch);
	CHECK(view.size == 10);
	CHECK(!view.places && view.item_len == 8); /* one thread's items of one length need no places */
	for (uint64_t i = 0; i < 10; i++) {
		databuffer_item item = databuffer_view_at(&view, i);
		CHECK(item.len == 8 && number_of(&item) == i);
		CHECK(item.data == databuffer_batch_at(batch, i).data); /* in place */
	}
	return 0;
}

static void a_view_has_every_item_in_place(void **state)
{
	(void)state;
	ask(as_view);
}

static int as_view_of_lengths(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	databuffer_view view = databuffer_batch_view(batch);
	CHECK(view.size == call->size && view.places);
	for (size_t i = 0; i < view.size; i++) {
		databuffer_item item = databuffer_view_at(&view, i);
		CHECK(item.len == 8 + number_of(&item) % 5);
		CHECK(item.data == databuffer_batch_at(batch, i).data);
	}
	return 0;
}

static void a_view_of_several_lengths_has_places(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = as_view_of_lengths;
	databuffer *buf = start(&o);
	for (uint64_t i = 0; i < 50; i++) {
		unsigned char bytes[16] = { 0 };
		memcpy(bytes, &i, 8);
		assert_int_equal(databuffer_insert(buf, bytes, 8 + i % 5), 0);
	}
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 50);
	sink_free(sink);
}

/* --- For writev ----------------------------------------------------------------------------------------- */

static int as_iovec(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	const struct iovec *iovec = databuffer_batch_iovec(batch);
	CHECK(iovec);
	for (size_t i = 0; i < call->size; i++) {
		databuffer_item item = databuffer_batch_at(batch, i);
		CHECK(iovec[i].iov_base == item.data && iovec[i].iov_len == item.len);
		CHECK(item.len == i % 50);
	}
	CHECK(databuffer_batch_iovec(batch) == iovec);
	return 0;
}

static void iovec_has_every_item(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	char item[50] = { 0 };
	sink->answer = as_iovec;
	databuffer *buf = start(&o);
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(databuffer_insert(buf, item, i % 50), 0);
	stop_clean(buf);
	ASSERT_CUTS(sink, 1000);
	sink_free(sink);
}

/* --- An empty one, and none ----------------------------------------------------------------------------- */

static int ask_nothing(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	databuffer_item item = { "", 7 };
	(void)sink;
	CHECK(call->size == 0);
	CHECK(databuffer_batch_size(batch) == 0 && databuffer_batch_bytes(batch) == 0);
	CHECK(databuffer_batch_next(batch, &item) == 0 && item.len == 7);
	item = databuffer_batch_at(batch, 0);
	CHECK(item.data == NULL && item.len == 0);
	CHECK(databuffer_batch_iovec(batch) == NULL);
	CHECK(databuffer_batch_array(batch) == NULL);
	CHECK(databuffer_batch_fail(batch, 0, "no such item") == DATABUFFER_EINVAL);
	CHECK(databuffer_batch_attempt(batch) == 1);
	return 0;
}

static void an_empty_batch_has_nothing(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = ask_nothing;
	o.flush_empty = 1;
	databuffer *buf = start(&o);
	databuffer_flush(buf);
	WAIT_FOR(sink_calls(sink) == 1);
	stop_clean(buf);
	sink_free(sink);
}

static void without_a_batch_every_answer_is_nothing(void **state)
{
	(void)state;
	databuffer_item item = { "untouched", 9 };
	assert_int_equal(databuffer_batch_next(NULL, &item), 0);
	assert_int_equal(item.len, 9);
	databuffer_batch_rewind(NULL);
	item = databuffer_batch_at(NULL, 0);
	assert_null(item.data);
	assert_int_equal(item.len, 0);
	assert_int_equal(databuffer_batch_size(NULL), 0);
	assert_int_equal(databuffer_batch_bytes(NULL), 0);
	assert_null(databuffer_batch_array(NULL));
	assert_null(databuffer_batch_iovec(NULL));
	assert_int_equal(databuffer_batch_view(NULL).size, 0);
	assert_string_equal(databuffer_batch_name(NULL), "");
	assert_int_equal(databuffer_batch_attempt(NULL), 0);
	assert_int_equal(databuffer_batch_cancelled(NULL), 0);
	assert_true(databuffer_batch_deadline(NULL) == INT64_MAX);
	assert_int_equal(databuffer_batch_partition(NULL), 0);
	assert_string_equal(databuffer_trigger_name(databuffer_batch_trigger(NULL)), "unknown");
	databuffer_batch_set_result(NULL, &item);
	assert_int_equal(databuffer_batch_fail(NULL, 0, "nothing"), DATABUFFER_EINVAL);
}

static int next_into_nowhere(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)call;
	databuffer_batch_rewind(batch);
	CHECK(databuffer_batch_next(batch, NULL) == 0);
	databuffer_item item;
	CHECK(databuffer_batch_next(batch, &item) == 1 && number_of(&item) == 0);
	return 0;
}

static void next_without_a_place_for_the_item_moves_nowhere(void **state)
{
	(void)state;
	ask(next_into_nowhere);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(next_walks_once_and_rewind_starts_over),
		cmocka_unit_test(at_has_every_item_and_nothing_beyond),
		cmocka_unit_test(the_walk_begins_anew_with_every_attempt),
		cmocka_unit_test(it_knows_its_size_origin_and_attempt),
		cmocka_unit_test(it_knows_its_partition),
		cmocka_unit_test(equal_items_of_one_thread_are_one_array_in_place),
		cmocka_unit_test(equal_items_of_several_threads_are_one_array_too),
		cmocka_unit_test(gaps_between_threads_are_closed),
		cmocka_unit_test(unequal_items_are_no_array),
		cmocka_unit_test(a_piece_of_a_batch_is_a_batch),
		cmocka_unit_test(a_view_has_every_item_in_place),
		cmocka_unit_test(a_view_of_several_lengths_has_places),
		cmocka_unit_test(iovec_has_every_item),
		cmocka_unit_test(an_empty_batch_has_nothing),
		cmocka_unit_test(without_a_batch_every_answer_is_nothing),
		cmocka_unit_test(next_without_a_place_for_the_item_moves_nowhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
