/* SPDX-License-Identifier: MIT */
/*
 * Inserting, in each of its forms: which partition an item goes to, what stands together, what is refused,
 * how long a call takes; and that what was refused is not there.
 */
#include "api/support.h"

#define TRY 0 /* a timeout */

static size_t size_of_partition(databuffer *buf, unsigned partition)
{
	return info_of(buf, partition).size;
}

/* The numbers of a call, by its place among all calls. */
static uint64_t shown_number(struct sink *sink, size_t call, size_t i)
{
	CHECK(call < sink->call_count && i < sink->calls[call].size);
	return sink->shown.at[sink->calls[call].shown + i];
}

/* --- Round-robin ------------------------------------------------------------------------------ */

static void the_inserts_of_one_thread_go_round_all_partitions(void **state)
{
	(void)state;
	for (int64_t partitions = 1; partitions <= 7; partitions++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.partitions = partitions;
		databuffer *buf = start(&o);
		for (uint64_t n = 0; n < 100; n++) {
			size_t least = SIZE_MAX, most = 0;
			insert_number(buf, n);
			for (unsigned i = 0; i < partitions; i++) {
				size_t size = size_of_partition(buf, i);
				least = size < least ? size : least;
				most = size > most ? size : most;
			}
			assert_in_range(most - least, 0, 1); /* at every moment */
		}
		stop_clean(buf);
		assert_int_equal(sink->flushed.count, 100);
		sink_free(sink);
	}
}

static void all_inserts_without_a_key_go_round_alike(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 5;
	databuffer *buf = start(&o);
	uint64_t seed = test_seed(), numbers[4] = { 0 };
	databuffer_item items[4];
	for (unsigned i = 0; i < 4; i++)
		items[i] = (databuffer_item){ &numbers[i], sizeof(numbers[i]) };
	/* Four items each time, so that the items tell the turns. */
	for (unsigned n = 0; n < 500; n++) {
		switch (dice_below(&seed, 3)) {
		case 0:
			assert_int_equal(databuffer_insert_batch(buf, items, 4), 0);
			break;
		case 1:
			assert_int_equal(databuffer_insert_array(buf, numbers, 4, 8), 0);
			break;
		default:
			assert_int_equal(databuffer_insert_timed(buf, numbers, 32, TRY), 0);
			break;
		}
	}
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(info_of(buf, i).bytes, 500 / 5 * 32);
	stop_clean(buf);
	sink_free(sink);
}

struct thread {
	databuffer *buf;
	uint64_t from, to;
};

static void *insert_range(void *arg)
{
	struct thread *thread = arg;
	insert_numbers(thread->buf, thread->from, thread->to);
	return NULL;
}

static void the_inserts_of_several_threads_are_even_to_within_one_each(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	struct thread threads[6];
	pthread_t ids[6];
	uint64_t each = scaled(20000), all = 6 * each;
	o.partitions = 7;
	o.max_size = (int64_t)all; /* so that none is ever full */
	databuffer *buf = start(&o);
	for (unsigned i = 0; i < 6; i++) {
		threads[i] = (struct thread){ buf, i * each, (i + 1) * each };
		ids[i] = thread_run(insert_range, &threads[i]);
	}
	for (unsigned i = 0; i < 6; i++)
		thread_join(ids[i]);
	for (unsigned i = 0; i < 7; i++)
		assert_in_range(size_of_partition(buf, i), all / 7 - 6, all / 7 + 6);
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, all);
	sink_free(sink);
}

/* A key for each partition, found by trying. Leaves the buffer as it was. */
static void find_keys(databuffer *buf, uint64_t *keys, unsigned partitions)
{
	unsigned found = 0;
	for (unsigned i = 0; i < partitions; i++)
		keys[i] = UINT64_MAX;
	for (uint64_t key = 0; found < partitions; key++) {
		CHECK(key < 1000 * partitions);
		CHECK(databuffer_insert_keyed(buf, key, NULL, 0) == 0);
		for (unsigned i = 0; i < partitions; i++) {
			if (size_of_partition(buf, i) == 0)
				continue;
			found += keys[i] == UINT64_MAX;
			keys[i] = key;
		}
		flush_all(buf);
	}
}

/* Items of any length, so that a partition may be full for one and not for another, and full partitions
 * among which the one with room is anywhere. */
static void an_insert_finds_the_room_that_there_is_wherever_it_is(void **state)
{
	(void)state;
	uint64_t seed = test_seed(), keys[4];
	unsigned char bytes[100];
	memset(bytes, 'x', sizeof(bytes));
	for (unsigned round = 0, refused = 0; round < 200 || refused == 0; round++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.partitions = 4;
		o.max_bytes = 100;
		databuffer *buf = start(&o);
		find_keys(buf, keys, 4);
		uint64_t before = stats_of(buf).inserted, inserted = before;
		sink_close(sink);
		for (unsigned in_a_row = 0; in_a_row < 20;) {
			size_t len = 1 + dice_below(&seed, dice_below(&seed, 2) ? 100 : 10);
			int rc = databuffer_insert_timed(buf, bytes, len, TRY);
			assert_true(rc == 0 || rc == DATABUFFER_ETIMEDOUT);
			in_a_row = rc == 0 ? 0 : in_a_row + 1;
			inserted += rc == 0;
			refused += rc != 0;
			for (unsigned i = 0; rc != 0 && i < 4; i++) /* nor is there room in any one */
				assert_int_equal(databuffer_insert_keyed_timed(buf, keys[i], bytes, len, TRY),
				                 DATABUFFER_ETIMEDOUT);
		}
		assert_int_equal(stats_of(buf).inserted, inserted);
		assert_true(inserted >= before + 4 * 2); /* one open and one in flight at least */
		sink_open(sink);
		stop_clean(buf);
		assert_int_equal(sink->flushed.count, inserted);
		sink_free(sink);
	}
}

/* --- Keys ------------------------------------------------------------------------------------- */

#define KEYS 64

static void *insert_keyed_range(void *arg)
{
	struct thread *thread = arg;
	for (uint64_t n = thread->from; n < thread->to; n++)
		CHECK(databuffer_insert_keyed(thread->buf, n % KEYS, &n, sizeof(n)) == 0);
	return NULL;
}

static void one_key_is_one_partition_for_all_threads(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 8;
	o.max_size = 100;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	struct thread threads[4];
	pthread_t ids[4];
	uint64_t each = scaled(40000);
	for (unsigned i = 0; i < 4; i++) {
		threads[i] = (struct thread){ buf, i * each, (i + 1) * each };
		ids[i] = thread_run(insert_keyed_range, &threads[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		thread_join(ids[i]);
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 4 * each);

	int home[KEYS];
	memset(home, -1, sizeof(home));
	uint64_t *last = calloc(4 * KEYS, sizeof(*last)), used = 0;
	for (size_t i = 0; i < sink->call_count; i++) {
		int partition = (int)sink->calls[i].partition;
		used |= UINT64_C(1) << partition;
		for (size_t k = 0; k < sink->calls[i].size; k++) {
			uint64_t n = shown_number(sink, i, k), key = n % KEYS;
			if (home[key] < 0)
				home[key] = partition;
			assert_int_equal(home[key], partition);
			/* And a key's items stand in the order of their inserts. */
			uint64_t *before = &last[n / each * KEYS + key];
			assert_true(n + 1 > *before);
			*before = n + 1;
		}
	}
	assert_int_equal(used, 0xff);
	free(last);
	sink_free(sink);
}

static void assert_spread(uint64_t step, uint64_t first)
{
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 8;
	databuffer *buf = start(&o);
	for (uint64_t i = 0; i < 8000; i++)
		assert_int_equal(databuffer_insert_keyed(buf, first + i * step, "", 0), 0);
	for (unsigned i = 0; i < 8; i++) /* 1000 each, and far beyond chance from it if they clump */
		assert_in_range(size_of_partition(buf, i), 850, 1150);
	stop_clean(buf);
	sink_free(sink);
}

static void keys_spread_over_the_partitions_whatever_their_pattern(void **state)
{
	(void)state;
	assert_spread(1, 0);
	assert_spread(1, UINT64_MAX - 4000);
	assert_spread(8, 0);
	assert_spread(4096, 0x7f0000000000);
	assert_spread(UINT64_C(1) << 32, 7);
	assert_spread(UINT64_C(1) << 51, 0);
}

static void bytes_make_keys_that_spread(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 8;
	databuffer *buf = start(&o);
	char name[32];
	for (int i = 0; i < 8000; i++) {
		int len = snprintf(name, sizeof(name), "host-%d.example.org", i);
		uint64_t key = databuffer_hash(name, (size_t)len);
		assert_int_equal(databuffer_insert_keyed(buf, key, name, (size_t)len), 0);
	}
	for (unsigned i = 0; i < 8; i++)
		assert_in_range(size_of_partition(buf, i), 850, 1150);
	stop_clean(buf);
	sink_free(sink);
	/* They may be written down. */
	assert_int_equal(databuffer_hash("a", 1), UINT64_C(0x5e025f9ade9eaf3e));
	assert_int_equal(databuffer_hash(NULL, 0), UINT64_C(0xe220a8397b1dcdaf));
}

static void a_keyed_insert_waits_for_its_own_partition_only(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 4;
	o.max_size = 2;
	databuffer *buf = start(&o);
	sink_close(sink);
	while (databuffer_insert_keyed_timed(buf, 1, "x", 1, TRY) == 0)
		continue;
	size_t full = databuffer_size(buf);
	assert_int_equal(full, 4); /* one batch in flight, one open */
	assert_int_equal(databuffer_insert_keyed_timed(buf, 1, "x", 1, 30), DATABUFFER_ETIMEDOUT);
	assert_int_equal(databuffer_insert_keyed(buf, 1, "xyz", SIZE_MAX), DATABUFFER_EMSGSIZE);
	for (unsigned i = 0; i < 3 * 4; i++) /* though there is room elsewhere */
		assert_int_equal(databuffer_insert_timed(buf, "x", 1, TRY), 0);
	assert_int_equal(databuffer_insert_timed(buf, "x", 1, TRY), DATABUFFER_ETIMEDOUT);
	sink_open(sink);
	assert_int_equal(databuffer_insert_keyed_timed(buf, 1, "x", 1, PATIENCE_MS), 0);
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 17);
	sink_free(sink);
}

/* --- Batches ---------------------------------------------------------------------------------- */

/* Numbers from..to as items. The array is the caller's to free. */
static databuffer_item *items_of(uint64_t from, uint64_t to, uint64_t **numbers)
{
	databuffer_item *items = calloc(to - from + 1, sizeof(*items));
	*numbers = calloc(to - from + 1, sizeof(**numbers));
	CHECK(items && *numbers);
	for (uint64_t i = from; i < to; i++) {
		(*numbers)[i - from] = i;
		items[i - from] = (databuffer_item){ &(*numbers)[i - from], sizeof(uint64_t) };
	}
	return items;
}

static int64_t insert_many(databuffer *buf, bool array, uint64_t from, uint64_t to, int64_t timeout_ms)
{
	uint64_t *numbers;
	databuffer_item *items = items_of(from, to, &numbers);
	size_t n = to - from;
	int64_t rc = array ? databuffer_insert_array_timed(buf, numbers, n, sizeof(*numbers), timeout_ms) :
	                     databuffer_insert_batch_timed(buf, items, n, timeout_ms);
	/* They are copied. */
	memset(numbers, 0xff, n * sizeof(*numbers));
	free(items);
	free(numbers);
	return rc;
}

static void a_batch_that_does_not_fit_what_is_left_starts_a_fresh_one(void **state)
{
	(void)state;
	for (int array = 0; array < 2; array++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.max_size = 10;
		databuffer *buf = start(&o);
		insert_numbers(buf, 0, 7);
		assert_int_equal(insert_many(buf, array, 7, 10, -1), 0); /* fits, just */
		insert_numbers(buf, 10, 17);
		assert_int_equal(insert_many(buf, array, 17, 21, -1), 0); /* does not */
		assert_int_equal(insert_many(buf, array, 21, 31, -1), 0); /* needs all there can be */
		stop_clean(buf);
		ASSERT_CUTS(sink, 10, 7, 4, 10);
		assert_flushed(sink, 0, 31);
		for (size_t i = 0; i < 4; i++)
			assert_int_equal(sink->calls[i].trigger, DATABUFFER_TRIGGER_SIZE);
		sink_free(sink);
	}
}

static void a_batch_whose_bytes_do_not_fit_starts_a_fresh_one(void **state)
{
	(void)state;
	for (int array = 0; array < 2; array++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.max_bytes = 80;
		databuffer *buf = start(&o);
		insert_numbers(buf, 0, 7);
		assert_int_equal(insert_many(buf, array, 7, 9, -1), 0);
		insert_number(buf, 9); /* 80 bytes, whole */
		assert_int_equal(insert_many(buf, array, 10, 15, -1), 0);
		insert_numbers(buf, 15, 18);
		assert_int_equal(insert_many(buf, array, 18, 22, -1), 0);
		stop_clean(buf);
		assert_flushed(sink, 0, 22);
		/* Wherever the others were cut, 10 to 14 and 18 to 21 stand together. */
		for (size_t i = 0; i < sink->call_count; i++) {
			size_t from = sink->calls[i].shown, to = from + sink->calls[i].size;
			assert_in_range(sink->calls[i].bytes, 8, 80);
			assert_false(from > 10 && from <= 14);
			assert_false(from > 18 && from <= 21);
			assert_false(to > 10 && to <= 14);
			assert_false(to > 18 && to <= 21);
		}
		assert_int_equal(sink->calls[0].trigger, DATABUFFER_TRIGGER_BYTES);
		sink_free(sink);
	}
}

static void a_batch_larger_than_any_is_cut_into_whole_ones_in_order(void **state)
{
	(void)state;
	for (int array = 0; array < 2; array++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.max_size = 10;
		o.partitions = 3; /* all of it goes into one */
		o.timeout = PATIENCE_MS;
		databuffer *buf = start(&o);
		assert_int_equal(insert_many(buf, array, 0, 95, -1), 0);
		stop_clean(buf);
		ASSERT_CUTS(sink, 10, 10, 10, 10, 10, 10, 10, 10, 10, 5);
		assert_flushed(sink, 0, 95);
		for (size_t i = 1; i < sink->call_count; i++)
			assert_int_equal(sink->calls[i].partition, sink->calls[0].partition);
		sink_free(sink);
	}
}

static void a_batch_of_more_bytes_than_any_is_cut_into_whole_ones_in_order(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_bytes = 100;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	/* 3 of 30, then 1 of 90 that goes with none of them, 10 of 10 that fill one, and 1 of nothing. */
	size_t lens[] = { 30, 30, 30, 90, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 0 };
	unsigned char bytes[100];
	databuffer_item items[16];
	memset(bytes, 1, sizeof(bytes));
	for (size_t i = 0; i < 16; i++)
		items[i] = (databuffer_item){ bytes, lens[i] };
	assert_int_equal(databuffer_insert_batch(buf, items, 16), 0);
	assert_int_equal(databuffer_insert_array(buf, bytes, 5, 20), 0);
	stop_clean(buf);
	ASSERT_CUTS(sink, 3, 2, 11, 5);
	assert_int_equal(sink->calls[0].bytes, 90);
	assert_int_equal(sink->calls[1].bytes, 100);
	assert_int_equal(sink->calls[2].bytes, 100);
	assert_int_equal(sink->calls[3].bytes, 100);
	sink_free(sink);
}

static void *insert_sixes(void *arg)
{
	struct thread *thread = arg;
	for (uint64_t n = thread->from; n < thread->to; n += 6)
		CHECK(insert_many(thread->buf, n % 12 == 0, n, n + 6, PATIENCE_MS) == 0);
	return NULL;
}

/* In concurrency.c with all else beside it; here, batches that leave no room for another. */
static void each_batch_of_each_thread_stands_together(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	o.partitions = 2;
	databuffer *buf = start(&o);
	struct thread threads[4];
	pthread_t ids[4];
	uint64_t each = scaled(2000) * 6, all = 4 * each;
	for (unsigned i = 0; i < 4; i++) {
		threads[i] = (struct thread){ buf, i * each, (i + 1) * each };
		ids[i] = thread_run(insert_sixes, &threads[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		thread_join(ids[i]);
	stop_clean(buf);
	assert_int_equal(sink->call_count, all / 6);
	assert_int_equal(sink->flushed.count, all);
	for (size_t i = 0; i < sink->call_count; i++) {
		assert_int_equal(sink->calls[i].size, 6);
		for (size_t k = 0; k < 6; k++)
			assert_int_equal(shown_number(sink, i, k), shown_number(sink, i, 0) / 6 * 6 + k);
	}
	sink_free(sink);
}

static void no_items_are_a_batch_too(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(databuffer_insert_batch(buf, NULL, 0), 0);
		assert_int_equal(databuffer_insert_array(buf, NULL, 0, 8), 0);
		assert_int_equal(databuffer_insert_array(buf, "", 0, 0), 0);
		assert_int_equal(databuffer_size(buf), round);
		insert_number(buf, 0);
	}
	stop_clean(buf);
	ASSERT_CUTS(sink, 2);
	sink_free(sink);
}

/* --- The deadline in the middle --------------------------------------------------------------- */

static void what_fits_before_the_deadline_is_inserted_and_the_answer_says_how_much(void **state)
{
	(void)state;
	for (int array = 0; array < 2; array++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.max_size = 4;
		databuffer *buf = start(&o);
		sink_close(sink);
		/* One batch in flight, one open, and of the third no item. */
		assert_int_equal(insert_many(buf, array, 0, 20, 50), 8);
		assert_int_equal(stats_of(buf).inserted, 8);
		assert_int_equal(insert_many(buf, array, 100, 120, TRY), DATABUFFER_ETIMEDOUT);
		assert_int_equal(insert_many(buf, array, 200, 201, TRY), DATABUFFER_ETIMEDOUT);
		assert_int_equal(stats_of(buf).inserted, 8);
		sink_let_pass(sink, 1);
		WAIT_FOR(sink_flushed(sink) == 4);
		assert_int_equal(insert_many(buf, array, 8, 20, TRY), 4);
		sink_open(sink);
		assert_int_equal(insert_many(buf, array, 12, 20, PATIENCE_MS), 0);
		stop_clean(buf);
		ASSERT_CUTS(sink, 4, 4, 4, 4, 4);
		assert_flushed(sink, 0, 20);
		sink_free(sink);
	}
}

static void of_a_batch_that_is_no_more_than_one_either_all_or_none_is_inserted(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 10);
	WAIT_FOR(sink_inside(sink) == 1);
	insert_numbers(buf, 10, 13);
	/* There is room for 7. */
	assert_int_equal(insert_many(buf, false, 100, 108, 30), DATABUFFER_ETIMEDOUT);
	assert_int_equal(insert_many(buf, true, 100, 108, TRY), DATABUFFER_ETIMEDOUT);
	assert_int_equal(databuffer_size(buf), 13);
	assert_int_equal(insert_many(buf, true, 13, 20, TRY), 0);
	assert_int_equal(stats_of(buf).refused, 2);
	sink_open(sink);
	stop_clean(buf);
	ASSERT_CUTS(sink, 10, 10);
	assert_flushed(sink, 0, 20);
	sink_free(sink);
}

struct cut_short {
	databuffer *buf;
	int64_t answer;
};

static void *insert_twenty(void *arg)
{
	struct cut_short *cut_short = arg;
	cut_short->answer = insert_many(cut_short->buf, false, 0, 20, PATIENCE_MS);
	return NULL;
}

static void a_stop_in_the_middle_leaves_what_was_inserted(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 4;
	struct cut_short cut_short = { .buf = start(&o) };
	sink_close(sink);
	pthread_t thread = thread_run(insert_twenty, &cut_short);
	WAIT_FOR(stats_of(cut_short.buf).waits == 1);
	assert_int_equal(databuffer_size(cut_short.buf), 8);
	assert_int_equal(databuffer_stop(cut_short.buf, 20), 8);
	thread_join(thread);
	assert_int_equal(cut_short.answer, 8);
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(sink->left[i].number, i);
	sink_open(sink);
	WAIT_FOR(sink_inside(sink) == 0);
	sink_keep(sink);
}

/* --- What an item may be ---------------------------------------------------------------------- */

static void an_item_may_have_no_bytes(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 9;
	databuffer *buf = start(&o);
	databuffer_item nothings[2] = { { NULL, 0 }, { "", 0 } };
	assert_int_equal(databuffer_insert(buf, NULL, 0), 0);
	assert_int_equal(databuffer_insert(buf, "x", 0), 0);
	assert_int_equal(databuffer_insert_timed(buf, NULL, 0, TRY), 0);
	assert_int_equal(databuffer_insert_keyed(buf, 1, NULL, 0), 0);
	assert_int_equal(databuffer_insert_batch(buf, nothings, 2), 0);
	assert_int_equal(databuffer_insert_array(buf, NULL, 2, 0), 0);
	assert_int_equal(databuffer_size(buf), 8);
	assert_int_equal(stats_of(buf).held_bytes, 0);
	assert_int_equal(sink_calls(sink), 0);
	assert_int_equal(databuffer_insert(buf, "", 0), 0); /* they fill a batch as others do */
	WAIT_FOR(sink_flushed(sink) == 9);
	stop_clean(buf);
	ASSERT_CUTS(sink, 9);
	assert_int_equal(sink->calls[0].bytes, 0);
	assert_int_equal(sink->calls[0].trigger, DATABUFFER_TRIGGER_SIZE);
	sink_free(sink);
}

static void null_with_a_length_is_an_error_and_nothing_is_inserted(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	databuffer_item items[3] = { { "a", 1 }, { "b", 1 }, { NULL, 1 } };
	for (int round = 0; round < 2; round++) { /* the first insert of the thread's, and a later one */
		assert_int_equal(databuffer_insert(buf, NULL, 1), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_insert_timed(buf, NULL, 8, TRY), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_insert_keyed(buf, 0, NULL, 8), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_insert_keyed_timed(buf, 0, NULL, 8, TRY), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_insert_batch(buf, items, 3), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_insert_batch(buf, NULL, 1), DATABUFFER_EINVAL);
		assert_int_equal(databuffer_insert_array(buf, NULL, 1, 1), DATABUFFER_EINVAL);
		assert_int_equal(stats_of(buf).inserted, round);
		assert_int_equal(stats_of(buf).refused, 0);
		insert_number(buf, 0);
	}
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 2);
	sink_free(sink);
}

static void an_item_may_be_as_large_as_max_bytes_and_no_larger(void **state)
{
	(void)state;
	size_t limits[] = { 1, 2, 7, 8, 100, 4096, 65537, 8388608 };
	unsigned char *bytes = malloc(8388608 + 1);
	CHECK(bytes);
	memset(bytes, 0x5a, 8388608 + 1);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		size_t limit = limits[i];
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.max_bytes = (int64_t)limit;
		o.max_size = 1000;
		o.timeout = PATIENCE_MS;
		databuffer *buf = start(&o);
		databuffer_item items[3] = { { bytes, 1 }, { bytes, limit }, { bytes, limit + 1 } };
		for (int round = 0; round < 3; round++) {
			assert_int_equal(databuffer_insert(buf, bytes, limit), 0);
			assert_int_equal(databuffer_insert_keyed(buf, 3, bytes, limit), 0);
			assert_int_equal(databuffer_insert_batch(buf, items, 2), 0);
			assert_int_equal(databuffer_insert_array(buf, bytes, 1, limit), 0);
			uint64_t before = stats_of(buf).inserted;
			size_t more = limit + 1;
			assert_int_equal(databuffer_insert(buf, bytes, more), DATABUFFER_EMSGSIZE);
			assert_int_equal(databuffer_insert_timed(buf, bytes, more, TRY), DATABUFFER_EMSGSIZE);
			assert_int_equal(databuffer_insert_keyed(buf, 3, bytes, more), DATABUFFER_EMSGSIZE);
			assert_int_equal(databuffer_insert_batch(buf, items, 3), DATABUFFER_EMSGSIZE);
			assert_int_equal(databuffer_insert_array(buf, bytes, 1, more), DATABUFFER_EMSGSIZE);
			assert_int_equal(stats_of(buf).inserted, before);
			assert_int_equal(stats_of(buf).refused, 0); /* which is for want of room */
		}
		stop_clean(buf);
		assert_int_equal(sink->flushed.count, 3 * 5);
		for (size_t k = 0; k < sink->call_count; k++)
			assert_in_range(sink->calls[k].bytes, 1, limit);
		sink_free(sink);
	}
	free(bytes);
}

static void a_length_that_no_memory_has_is_refused_like_any_other(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	size_t lens[] = { UINT32_MAX, (size_t)UINT32_MAX + 1, (size_t)UINT32_MAX + 2, (size_t)UINT32_MAX + 9,
		          (SIZE_MAX >> 1) + 1, SIZE_MAX - 7, SIZE_MAX };
	databuffer_slot slot;
	/* Of several lengths, and so many that the thread has room on lease. */
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(databuffer_insert(buf, "twelve bytes", 8 + i % 3), 0);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		databuffer_item items[2] = { { "x", 1 }, { "y", lens[i] } };
		assert_int_equal(databuffer_insert(buf, "x", lens[i]), DATABUFFER_EMSGSIZE);
		assert_int_equal(databuffer_insert_keyed(buf, 0, "x", lens[i]), DATABUFFER_EMSGSIZE);
		assert_int_equal(databuffer_insert_batch(buf, items, 2), DATABUFFER_EMSGSIZE);
		assert_int_equal(databuffer_insert_array(buf, "x", 1, lens[i]), DATABUFFER_EMSGSIZE);
		assert_int_equal(databuffer_insert_array(buf, "x", lens[i], lens[i]), DATABUFFER_EMSGSIZE);
		assert_int_equal(databuffer_reserve(buf, lens[i], &slot), DATABUFFER_EMSGSIZE);
	}
	assert_int_equal(stats_of(buf).inserted, 10);
	stop_clean(buf);
	assert_int_equal(sink_flushed(sink), 10);
	sink_free(sink);
}

/* --- Where items stand ------------------------------------------------------------------------ */

/* What suits any type of this size. */
static size_t alignment_of(size_t len)
{
	size_t low = len & -len;
	return low == 0 ? 1 : low > 16 ? 16 : low;
}

static unsigned char byte_of(size_t len, size_t i)
{
	return (unsigned char)(len * 13 + i);
}

static void fill(unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = byte_of(len, i);
}

static int look_at_places(const databuffer_item *item, unsigned partition, void *ctx)
{
	(void)partition;
	const unsigned char *bytes = item->data;
	CHECK((uintptr_t)bytes % alignment_of(item->len) == 0);
	for (size_t i = 0; i < item->len; i++)
		CHECK(bytes[i] == byte_of(item->len, i));
	++*(_Atomic uint64_t *)ctx;
	return 0;
}

static int flush_places(databuffer_batch *batch, void *meta)
{
	databuffer_item item;
	while (databuffer_batch_next(batch, &item))
		look_at_places(&item, 0, meta);
	return 0;
}

struct placer {
	databuffer *buf;
	uint64_t inserts;
	_Atomic uint64_t seed, inserted;
};

static void *insert_places(void *arg)
{
	struct placer *placer = arg;
	uint64_t seed = atomic_fetch_add(&placer->seed, 1);
	unsigned char bytes[64 * 4], *at[4];
	databuffer_item items[4];
	for (uint64_t i = 0; i < placer->inserts; i++) {
		size_t n = 1 + dice_below(&seed, 4), len = 1 + dice_below(&seed, 64);
		switch (dice_below(&seed, 3)) {
		case 0:
			n = 1;
			fill(bytes, len);
			CHECK(databuffer_insert_timed(placer->buf, bytes, len, PATIENCE_MS) == 0);
			break;
		case 1:
			for (size_t k = 0; k < n; k++)
				fill(bytes + k * len, len);
			CHECK(databuffer_insert_array_timed(placer->buf, bytes, n, len, PATIENCE_MS) == 0);
			break;
		default:
			at[0] = bytes;
			for (size_t k = 0; k < n; k++) {
				len = 1 + dice_below(&seed, 64);
				fill(at[k], len);
				items[k] = (databuffer_item){ at[k], len };
				if (k < 3)
					at[k + 1] = at[k] + len;
			}
			CHECK(databuffer_insert_batch_timed(placer->buf, items, n, PATIENCE_MS) == 0);
			break;
		}
		atomic_fetch_add(&placer->inserted, n);
	}
	return NULL;
}

static void every_item_stands_where_any_type_of_its_size_may(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	_Atomic uint64_t seen = 0, dumped = 0;
	databuffer_options o = sink_options(sink);
	o.partitions = 2;
	o.max_size = 100;
	o.max_bytes = 3000;
	o.handle_flush = flush_places;
	o.flush_meta = &seen;
	struct placer placer = { .buf = start(&o), .inserts = scaled(20000), .seed = test_seed() };
	pthread_t threads[3];
	for (unsigned i = 0; i < 3; i++)
		threads[i] = thread_run(insert_places, &placer);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(databuffer_dump(placer.buf, look_at_places, &dumped), 0);
	for (unsigned i = 0; i < 3; i++)
		thread_join(threads[i]);
	stop_clean(placer.buf);
	assert_int_equal(atomic_load(&seen), atomic_load(&placer.inserted));
	sink_free(sink);
}

static int flush_arrays(databuffer_batch *batch, void *meta)
{
	size_t size = databuffer_batch_size(batch), len = databuffer_batch_at(batch, 0).len;
	const unsigned char *array = databuffer_batch_array(batch);
	CHECK(array && (uintptr_t)array % alignment_of(len) == 0);
	for (size_t i = 0; i < size; i++)
		for (size_t k = 0; k < len; k++)
			CHECK(array[i * len + k] == byte_of(len, k));
	*(_Atomic uint64_t *)meta += size;
	return 0;
}

static void items_of_any_one_size_are_an_array(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	_Atomic uint64_t seen = 0;
	databuffer_options o = sink_options(sink);
	o.handle_flush = flush_arrays;
	o.flush_meta = &seen;
	databuffer *buf = start(&o);
	unsigned char bytes[64 * 3];
	for (size_t len = 1; len <= 64; len++) {
		for (size_t k = 0; k < 3; k++)
			fill(bytes + k * len, len);
		for (unsigned i = 0; i < 5; i++) {
			assert_int_equal(databuffer_insert(buf, bytes, len), 0);
			assert_int_equal(databuffer_insert_array(buf, bytes, 3, len), 0);
		}
		flush_all(buf);
		assert_int_equal(atomic_load(&seen), len * 20);
	}
	stop_clean(buf);
	sink_free(sink);
}

/* --- How long it takes ------------------------------------------------------------------------ */

enum form { SINGLE, KEYED, BATCH, ARRAY, RESERVE, FORMS };

static int64_t insert_in_form(databuffer *buf, enum form form, int64_t timeout_ms)
{
	databuffer_item item = { "12345678", 8 };
	databuffer_slot slot;
	switch (form) {
	case SINGLE:
		return databuffer_insert_timed(buf, item.data, item.len, timeout_ms);
	case KEYED:
		return databuffer_insert_keyed_timed(buf, 1, item.data, item.len, timeout_ms);
	case BATCH:
		return databuffer_insert_batch_timed(buf, &item, 1, timeout_ms);
	case ARRAY:
		return databuffer_insert_array_timed(buf, item.data, 1, item.len, timeout_ms);
	default:
		return databuffer_reserve(buf, item.len, &slot);
	}
}

static int64_t insert_in_form_by_default(databuffer *buf, enum form form)
{
	databuffer_item item = { "12345678", 8 };
	switch (form) {
	case SINGLE:
		return databuffer_insert(buf, item.data, item.len);
	case KEYED:
		return databuffer_insert_keyed(buf, 1, item.data, item.len);
	case BATCH:
		return databuffer_insert_batch(buf, &item, 1);
	case ARRAY:
		return databuffer_insert_array(buf, item.data, 1, item.len);
	default:
		return insert_in_form(buf, form, -1);
	}
}

/* A buffer that is full for as long as the sink is closed. */
static databuffer *start_full(struct sink *sink, int64_t timeout)
{
	databuffer_options o = sink_options(sink);
	o.max_size = 1;
	o.timeout = timeout;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_number(buf, 0);
	WAIT_FOR(sink_inside(sink) == 1);
	insert_number(buf, 1);
	return buf;
}

static void an_insert_that_finds_no_room_fails_when_its_time_is_up_and_not_before(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer *buf = start_full(sink, 40);
	uint64_t refused = 0;
	for (enum form form = 0; form < FORMS; form++) {
		int64_t timeouts[] = { 25, -1, -7, INT64_MIN };
		for (unsigned i = 0; i < 4; i++) {
			int64_t begin = now_ns();
			assert_int_equal(insert_in_form(buf, form, timeouts[i]), DATABUFFER_ETIMEDOUT);
			int64_t took_ms = (now_ns() - begin) / 1000000, least = 25;
			if (timeouts[i] < 0 || form == RESERVE)
				least = 40; /* the `timeout` option */
			assert_in_range(took_ms, least, PATIENCE_MS);
			refused++;
		}
		int64_t begin = now_ns();
		assert_int_equal(insert_in_form_by_default(buf, form), DATABUFFER_ETIMEDOUT);
		assert_in_range((now_ns() - begin) / 1000000, 40, PATIENCE_MS);
		refused++;
	}
	assert_int_equal(stats_of(buf).inserted, 2);
	assert_int_equal(stats_of(buf).refused, refused);
	assert_int_equal(stats_of(buf).waits, refused);
	sink_open(sink);
	stop_clean(buf);
	assert_flushed(sink, 0, 2);
	sink_free(sink);
}

static void a_timeout_of_0_does_not_wait(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer *buf = start_full(sink, 3600000);
	int64_t begin = now_ms();
	for (enum form form = 0; form < RESERVE; form++) /* reserve has the option only */
		for (unsigned i = 0; i < 100; i++)
			assert_int_equal(insert_in_form(buf, form, TRY), DATABUFFER_ETIMEDOUT);
	assert_in_range(now_ms() - begin, 0, PATIENCE_MS);
	assert_int_equal(stats_of(buf).waits, 0);
	assert_int_equal(stats_of(buf).refused, 100 * RESERVE);
	sink_open(sink);
	stop_clean(buf);

	struct sink *other = sink_new();
	buf = start_full(other, 0); /* and as the option */
	for (enum form form = 0; form < FORMS; form++)
		assert_int_equal(insert_in_form_by_default(buf, form), DATABUFFER_ETIMEDOUT);
	assert_int_equal(stats_of(buf).waits, 0);
	sink_open(other);
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 2);
	assert_int_equal(other->flushed.count, 2);
	sink_free(sink);
	sink_free(other);
}

struct waiter {
	databuffer *buf;
	enum form form;
	int64_t timeout_ms, answer;
};

static void *wait_in_form(void *arg)
{
	struct waiter *waiter = arg;
	waiter->answer = insert_in_form(waiter->buf, waiter->form, waiter->timeout_ms);
	return NULL;
}

static void an_insert_that_waits_goes_on_when_there_is_room(void **state)
{
	(void)state;
	for (enum form form = 0; form < RESERVE; form++) {
		int64_t timeouts[] = { PATIENCE_MS, -1, INT64_MAX, INT64_MAX / 1000000 };
		for (unsigned i = 0; i < 4; i++) {
			struct sink *sink = sink_new();
			struct waiter waiter = { start_full(sink, PATIENCE_MS), form, timeouts[i], 1 };
			pthread_t thread = thread_run(wait_in_form, &waiter);
			WAIT_FOR(stats_of(waiter.buf).waits == 1);
			sink_let_pass(sink, 1);
			thread_join(thread);
			assert_int_equal(waiter.answer, 0);
			sink_open(sink);
			stop_clean(waiter.buf);
			ASSERT_CUTS(sink, 1, 1, 1);
			sink_free(sink);
		}
	}
}

/* --- The same every time ---------------------------------------------------------------------- */

/* Whatever one thread does with one partition, and however the flushers are scheduled. */
static struct sink *play_alone(uint64_t seed, uint64_t steps, uint64_t *count)
{
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 20;
	o.max_size_jitter = 10;
	o.max_bytes = 200;
	o.max_queued = 2;
	o.seed = 42;
	o.timeout = PATIENCE_MS;
	databuffer *buf = start(&o);
	uint64_t next = 0;
	for (uint64_t i = 0; i < steps; i++) {
		uint64_t n = 1 + dice_below(&seed, 40);
		switch (dice_below(&seed, 8)) {
		case 0:
			assert_int_equal(insert_many(buf, true, next, next + n, -1), 0);
			next += n;
			break;
		case 1:
			assert_int_equal(insert_many(buf, false, next, next + n, -1), 0);
			next += n;
			break;
		case 2:
			if (dice_below(&seed, 4) == 0)
				flush_all(buf);
			break;
		default:
			insert_number(buf, next++);
			break;
		}
	}
	stop_clean(buf);
	assert_flushed(sink, 0, next);
	*count = next;
	return sink;
}

static void one_thread_and_one_partition_make_the_same_batches_every_time(void **state)
{
	(void)state;
	uint64_t seed = test_seed(), steps = scaled(10000), count, again;
	struct sink *first = play_alone(seed, steps, &count);
	for (unsigned round = 0; round < 3; round++) {
		struct sink *other = play_alone(seed, steps, &again);
		assert_int_equal(count, again);
		assert_int_equal(first->call_count, other->call_count);
		for (size_t i = 0; i < first->call_count; i++) {
			assert_int_equal(first->calls[i].size, other->calls[i].size);
			assert_int_equal(first->calls[i].trigger, other->calls[i].trigger);
		}
		sink_free(other);
	}
	sink_free(first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_inserts_of_one_thread_go_round_all_partitions),
		cmocka_unit_test(all_inserts_without_a_key_go_round_alike),
		cmocka_unit_test(the_inserts_of_several_threads_are_even_to_within_one_each),
		cmocka_unit_test(an_insert_finds_the_room_that_there_is_wherever_it_is),
		cmocka_unit_test(one_key_is_one_partition_for_all_threads),
		cmocka_unit_test(keys_spread_over_the_partitions_whatever_their_pattern),
		cmocka_unit_test(bytes_make_keys_that_spread),
		cmocka_unit_test(a_keyed_insert_waits_for_its_own_partition_only),
		cmocka_unit_test(a_batch_that_does_not_fit_what_is_left_starts_a_fresh_one),
		cmocka_unit_test(a_batch_whose_bytes_do_not_fit_starts_a_fresh_one),
		cmocka_unit_test(a_batch_larger_than_any_is_cut_into_whole_ones_in_order),
		cmocka_unit_test(a_batch_of_more_bytes_than_any_is_cut_into_whole_ones_in_order),
		cmocka_unit_test(each_batch_of_each_thread_stands_together),
		cmocka_unit_test(no_items_are_a_batch_too),
		cmocka_unit_test(what_fits_before_the_deadline_is_inserted_and_the_answer_says_how_much),
		cmocka_unit_test(of_a_batch_that_is_no_more_than_one_either_all_or_none_is_inserted),
		cmocka_unit_test(a_stop_in_the_middle_leaves_what_was_inserted),
		cmocka_unit_test(an_item_may_have_no_bytes),
		cmocka_unit_test(null_with_a_length_is_an_error_and_nothing_is_inserted),
		cmocka_unit_test(an_item_may_be_as_large_as_max_bytes_and_no_larger),
		cmocka_unit_test(a_length_that_no_memory_has_is_refused_like_any_other),
		cmocka_unit_test(every_item_stands_where_any_type_of_its_size_may),
		cmocka_unit_test(items_of_any_one_size_are_an_array),
		cmocka_unit_test(an_insert_that_finds_no_room_fails_when_its_time_is_up_and_not_before),
		cmocka_unit_test(a_timeout_of_0_does_not_wait),
		cmocka_unit_test(an_insert_that_waits_goes_on_when_there_is_room),
		cmocka_unit_test(one_thread_and_one_partition_make_the_same_batches_every_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
