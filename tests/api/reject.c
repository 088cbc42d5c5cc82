/* SPDX-License-Identifier: MIT */
/* What a handler will never take: it ends alone in handle_dead, and all that stood beside it is flushed. */
#include "api/support.h"

/* Which numbers a sink does not take, and how it says so. */
struct poison {
	bool *is;
	size_t n;
	bool fails; /* for now, now and then */
};

static struct poison poison_new(size_t n)
{
	struct poison poison = { .is = calloc(n + 1, sizeof(bool)), .n = n };
	CHECK(poison.is);
	return poison;
}

static bool is_poison(const struct poison *poison, uint64_t number)
{
	CHECK(number < poison->n);
	return poison->is[number];
}

/* All or nothing, as of a transaction. */
static int reject_the_batch(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	const struct poison *poison = sink->ctx;
	uint64_t seed = (uint64_t)now_ns();
	if (poison->fails && dice_below(&seed, 5) == 0)
		return -EIO;
	for (size_t i = 0; i < call->size; i++) {
		databuffer_item item = databuffer_batch_at(batch, i);
		if (is_poison(poison, number_of(&item)))
			return DATABUFFER_REJECT;
	}
	return 0;
}

/* Names the culprits, and has taken the others. */
static int name_and_take(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	const struct poison *poison = sink->ctx;
	for (size_t i = 0; i < call->size; i++) {
		databuffer_item item = databuffer_batch_at(batch, i);
		if (!is_poison(poison, number_of(&item)))
			continue;
		char reason[] = "poison"; /* which is copied */
		CHECK(databuffer_batch_fail(batch, i, reason) == 0);
		memset(reason, '?', sizeof(reason) - 1);
	}
	return 0;
}

/* Names the culprits, and has taken none. */
static int name_and_reject(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	name_and_take(sink, batch, call);
	return reject_the_batch(sink, batch, call);
}

static databuffer_options reject_options(struct sink *sink, struct poison *poison)
{
	databuffer_options options = sink_options(sink);
	sink->answer = reject_the_batch;
	sink->ctx = poison;
	options.retry_min = options.retry_max = 1;
	return options;
}

/* Of numbers 0 to n the poison is dead and the rest flushed, each once and in order. Calls that answered 0 took
 * all that they did not name. */
static void assert_parted(struct sink *sink, const struct poison *poison)
{
	size_t flushed = 0, dead = 0;
	pthread_mutex_lock(&sink->lock);
	for (uint64_t number = 0; number < poison->n; number++) {
		if (poison->is[number]) {
			assert_true(dead < sink->dead_count);
			assert_int_equal(sink->dead[dead].number, number);
			assert_int_equal(sink->dead[dead].len, 8);
			dead++;
			if (flushed < sink->flushed.count && sink->flushed.at[flushed] == number)
				flushed++; /* in a batch of which it was named */
		} else {
			assert_true(flushed < sink->flushed.count);
			assert_int_equal(sink->flushed.at[flushed], number);
			flushed++;
		}
	}
	assert_int_equal(sink->dead_count, dead);
	assert_int_equal(sink->flushed.count, flushed);
	pthread_mutex_unlock(&sink->lock);
}

static size_t count_poison(const struct poison *poison)
{
	size_t count = 0;
	for (size_t i = 0; i < poison->n; i++)
		count += poison->is[i];
	return count;
}

/* --- Without a name ------------------------------------------------------------------------------------- */

static void one_among_many_is_found_wherever_it_stands(void **state)
{
	(void)state;
	for (size_t n = 1; n <= 17; n++) {
		for (size_t bad = 0; bad < n; bad++) {
			struct sink *sink = sink_new();
			struct poison poison = poison_new(n);
			databuffer_options o = reject_options(sink, &poison);
			poison.is[bad] = true;
			databuffer *buf = start(&o);
			insert_numbers(buf, 0, n);
			flush_all(buf);
			assert_parted(sink, &poison);
			databuffer_stats_t stats = stats_of(buf);
			assert_int_equal(stats.dead, 1);
			assert_int_equal(stats.flushed, n - 1);
			assert_int_equal(stats.flushed_bytes, 8 * (n - 1));
			assert_int_equal(stats.held_bytes, 0);
			assert_int_equal(stats.batches, 1);
			assert_int_equal(stats.failures, 0);
			stop_clean(buf);
			free(poison.is);
			sink_free(sink);
		}
	}
}

static void any_number_among_many_is_found(void **state)
{
	(void)state;
	uint64_t seed = test_seed();
	for (int round = 0; round < 100; round++) {
		struct sink *sink = sink_new();
		size_t n = 1 + dice_below(&seed, 300), k = dice_below(&seed, n + 1), steps = 1;
		struct poison poison = poison_new(n);
		databuffer_options o = reject_options(sink, &poison);
		if (round % 3 == 0) {
			k = k / 8;
			poison.fails = true;
		}
		for (size_t i = 0; i < k; i++)
			poison.is[dice_below(&seed, n)] = true;
		o.max_size = 1 + (int64_t)dice_below(&seed, n);
		o.max_queued = 3;
		databuffer *buf = start(&o);
		for (size_t i = 0; i < n; i++) {
			insert_number(buf, i);
			if (dice_below(&seed, 50) == 0)
				databuffer_flush(buf);
		}
		stop_clean(buf);
		assert_parted(sink, &poison);
		/* And soon: a search of halves for each, at the very worst, and a call for each batch. */
		while ((size_t)1 << steps < n)
			steps++;
		size_t calls = 0;
		for (size_t i = 0; i < sink->call_count; i++)
			calls += sink->calls[i].answer != -EIO;
		assert_in_range(calls, 1, n + 2 * (steps + 1) * count_poison(&poison));
		free(poison.is);
		sink_free(sink);
	}
}

static void a_few_among_thousands_take_a_few_calls(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct poison poison = poison_new(4096);
	databuffer_options o = reject_options(sink, &poison);
	o.max_size = 4096;
	databuffer *buf = start(&o);
	poison.is[0] = poison.is[1000] = poison.is[4095] = true;
	insert_numbers(buf, 0, 4096);
	stop_clean(buf);
	assert_parted(sink, &poison);
	assert_in_range(sink->call_count, 3, 37 + 37 / 4); /* k * log2(n / k) + 2k is 37 */
	free(poison.is);
	sink_free(sink);
}

static int reject_once(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)batch;
	return call->size == 10 ? DATABUFFER_REJECT : 0;
}

static void a_batch_that_is_taken_in_halves_has_no_dead(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = reject_once;
	o.max_size = 10;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	stop_clean(buf);
	assert_flushed(sink, 0, 10);
	assert_int_equal(sink->dead_count, 0);
	for (size_t i = 1; i < sink->call_count; i++)
		assert_in_range(sink->calls[i].size, 1, 5);
	sink_free(sink);
}

static void what_comes_behind_a_rejected_batch_waits_for_all_of_it(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct poison poison = poison_new(50);
	databuffer_options o = reject_options(sink, &poison);
	poison.is[3] = poison.is[4] = poison.is[9] = poison.is[49] = true;
	o.max_size = 10;
	o.max_queued = 4;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 50);
	sink_open(sink);
	stop_clean(buf);
	assert_parted(sink, &poison);
	uint64_t most = 0; /* nothing of a batch is shown before the one before it is through */
	for (size_t i = 0; i < sink->call_count; i++)
		for (size_t k = 0; k < sink->calls[i].size; k++) {
			uint64_t batch = sink->shown.at[sink->calls[i].shown + k] / 10;
			assert_true(batch >= most);
			most = batch;
		}
	free(poison.is);
	sink_free(sink);
}

static void a_piece_may_fail_for_now_and_keeps_its_size(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct poison poison = poison_new(64);
	databuffer_options o = reject_options(sink, &poison);
	poison.is[20] = poison.is[43] = true;
	poison.fails = true;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 64);
	stop_clean(buf);
	assert_parted(sink, &poison);
	for (size_t i = 1; i < sink->call_count; i++) {
		struct call *last = &sink->calls[i - 1], *call = &sink->calls[i];
		if (last->answer == -EIO) {
			assert_int_equal(call->size, last->size);
			assert_int_equal(call->attempt, last->attempt + 1);
			assert_int_equal(sink->shown.at[call->shown], sink->shown.at[last->shown]);
		} else {
			assert_int_equal(call->attempt, 1); /* a smaller piece begins anew */
		}
	}
	free(poison.is);
	sink_free(sink);
}

/* --- The reason ----------------------------------------------------------------------------------------- */

static void the_reason_has_partition_status_attempts_and_a_sentence(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct poison poison = poison_new(32);
	databuffer_options o = reject_options(sink, &poison);
	o.partitions = 2;
	poison.is[13] = poison.is[30] = true;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 32);
	flush_all(buf);
	assert_int_equal(sink_buried(sink), 2);
	for (size_t i = 0; i < 2; i++) {
		struct gone *gone = &sink->dead[i];
		unsigned shown = 0, calls = 0, partition = 2;
		for (size_t k = 0; k < sink->call_count; k++) {
			struct call *call = &sink->calls[k];
			for (size_t m = 0; m < call->size; m++)
				if (sink->shown.at[call->shown + m] == gone->number) {
					partition = call->partition;
					shown++;
				}
		}
		for (size_t k = 0; k < sink->call_count; k++)
			calls += sink->calls[k].partition == partition;
		assert_int_equal(gone->partition, partition);
		assert_int_equal(gone->status, DATABUFFER_REJECT);
		assert_in_range(gone->attempts, shown, calls); /* of its batch, whole and in pieces */
		assert_string_not_equal(gone->text, "");
	}
	stop_clean(buf);
	free(poison.is);
	sink_free(sink);
}

static void one_item_alone_is_dead_at_the_first_answer(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct poison poison = poison_new(1);
	databuffer_options o = reject_options(sink, &poison);
	poison.is[0] = true;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	stop_clean(buf);
	assert_parted(sink, &poison);
	assert_int_equal(sink->call_count, 1);
	assert_int_equal(sink->dead[0].attempts, 1);
	free(poison.is);
	sink_free(sink);
}

/* --- With names: databuffer_batch_fail ------------------------------------------------------------------ */

static void with_an_answer_of_0_the_named_are_dead_and_the_others_flushed(void **state)
{
	(void)state;
	uint64_t seed = test_seed();
	for (int round = 0; round < 50; round++) {
		struct sink *sink = sink_new();
		struct poison poison = poison_new(100);
		databuffer_options o = reject_options(sink, &poison);
		sink->answer = name_and_take;
		for (size_t i = dice_below(&seed, 101); i-- > 0;)
			poison.is[dice_below(&seed, 100)] = true;
		size_t k = count_poison(&poison);
		databuffer *buf = start(&o);
		insert_numbers(buf, 0, 100);
		flush_all(buf);
		assert_int_equal(sink_calls(sink), 1); /* which is all it takes */
		assert_parted(sink, &poison);
		databuffer_stats_t stats = stats_of(buf);
		assert_int_equal(stats.dead, k);
		assert_int_equal(stats.flushed, 100 - k);
		assert_int_equal(stats.flushed_bytes, 8 * (100 - k));
		assert_int_equal(stats.held_bytes, 0);
		for (size_t i = 0; i < k; i++) {
			assert_string_equal(sink->dead[i].text, "poison");
			assert_int_equal(sink->dead[i].attempts, 1);
		}
		stop_clean(buf);
		free(poison.is);
		sink_free(sink);
	}
}

static void with_reject_the_named_are_dead_and_the_others_given_again(void **state)
{
	(void)state;
	uint64_t seed = test_seed();
	for (int round = 0; round < 50; round++) {
		struct sink *sink = sink_new();
		struct poison poison = poison_new(100);
		databuffer_options o = reject_options(sink, &poison);
		sink->answer = name_and_reject;
		poison.is[dice_below(&seed, 100)] = true;
		for (size_t i = dice_below(&seed, 101); i-- > 0;)
			poison.is[dice_below(&seed, 100)] = true;
		size_t k = count_poison(&poison);
		databuffer *buf = start(&o);
		insert_numbers(buf, 0, 100);
		flush_all(buf);
		assert_parted(sink, &poison);
		assert_int_equal(sink_calls(sink), k < 100 ? 2 : 1);
		assert_int_equal(sink->calls[0].size, 100);
		if (k < 100) {
			assert_int_equal(sink->calls[1].size, 100 - k);
			assert_int_equal(sink->calls[1].bytes, 8 * (100 - k));
		}
		databuffer_stats_t stats = stats_of(buf);
		assert_int_equal(stats.dead, k);
		assert_int_equal(stats.flushed, 100 - k);
		assert_int_equal(stats.flushed_bytes, 8 * (100 - k));
		assert_int_equal(stats.held_bytes, 0);
		assert_int_equal(stats.rejects, 1);
		for (size_t i = 0; i < k; i++)
			assert_string_equal(sink->dead[i].text, "poison");
		stop_clean(buf);
		free(poison.is);
		sink_free(sink);
	}
}

static int name_then_fail(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	if (call->attempt == 1) {
		for (size_t i = 0; i < call->size; i++)
			CHECK(databuffer_batch_fail(batch, i, "in a hurry") == 0);
		return *(int *)sink->ctx;
	}
	return 0;
}

static void on_a_transient_answer_the_names_are_forgotten(void **state)
{
	(void)state;
	int answers[] = { DATABUFFER_RETRY, -EIO, 7 };
	for (int i = 0; i < 3; i++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		sink->answer = name_then_fail;
		sink->ctx = &answers[i];
		o.retry_min = o.retry_max = 1;
		databuffer *buf = start(&o);
		insert_numbers(buf, 0, 10);
		flush_all(buf);
		assert_flushed(sink, 0, 10);
		assert_int_equal(sink_buried(sink), 0);
		ASSERT_CUTS(sink, 10, 10);
		stop_clean(buf);
		sink_free(sink);
	}
}

static char long_reason[1000];

static int name_in_every_way(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	CHECK(databuffer_batch_fail(batch, 7, "the seventh") == 0);
	CHECK(databuffer_batch_fail(batch, 2, "the second") == 0);
	CHECK(databuffer_batch_fail(batch, 9, long_reason) == 0);
	CHECK(databuffer_batch_fail(batch, 7, "the seventh, on second thoughts") == 0);
	CHECK(databuffer_batch_fail(batch, 0, NULL) == 0);
	CHECK(databuffer_batch_fail(batch, 10, "beyond") == DATABUFFER_EINVAL);
	CHECK(databuffer_batch_fail(batch, SIZE_MAX, "beyond") == DATABUFFER_EINVAL);
	CHECK(databuffer_batch_fail(batch, (size_t)1 << 32, "beyond") == DATABUFFER_EINVAL);
	CHECK(databuffer_batch_fail(NULL, 0, "of nothing") == DATABUFFER_EINVAL);
	CHECK(call->size == 10);
	return 0;
}

static void items_may_be_named_in_any_order_and_again(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	memset(long_reason, 'x', sizeof(long_reason) - 1);
	sink->answer = name_in_every_way;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	flush_all(buf);
	assert_int_equal(sink_buried(sink), 4);
	static const uint64_t numbers[] = { 0, 2, 7, 9 }; /* the order of the items */
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(sink->dead[i].number, numbers[i]);
	assert_string_equal(sink->dead[1].text, "the second");
	assert_non_null(strstr(sink->dead[2].text, "the seventh"));
	assert_in_range(strlen(sink->dead[3].text), 190, 200);
	assert_int_equal(strspn(sink->dead[3].text, "x"), strlen(sink->dead[3].text));
	assert_int_equal(stats_of(buf).flushed, 6);
	stop_clean(buf);
	sink_free(sink);
}

static int name_one_of_two(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	/* It knows of multiples of 5, and will not take multiples of 3 either. */
	bool rejected = false;
	(void)sink;
	for (size_t i = 0; i < call->size; i++) {
		databuffer_item item = databuffer_batch_at(batch, i);
		uint64_t number = number_of(&item);
		if (number % 5 == 0)
			CHECK(databuffer_batch_fail(batch, i, "five") == 0);
		rejected |= number % 5 == 0 || number % 3 == 0;
	}
	return rejected ? DATABUFFER_REJECT : 0;
}

static void what_is_not_named_is_searched_for(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	sink->answer = name_one_of_two;
	databuffer *buf = start(&o);
	insert_numbers(buf, 1, 101);
	flush_all(buf);
	size_t flushed = 0;
	unsigned dead[101] = { 0 };
	for (size_t i = 0; i < sink->dead_count; i++) {
		uint64_t number = sink->dead[i].number;
		dead[number]++;
		assert_int_equal(strcmp(sink->dead[i].text, "five") == 0, number % 5 == 0);
	}
	for (uint64_t number = 1; number <= 100; number++) {
		bool bad = number % 3 == 0 || number % 5 == 0;
		assert_int_equal(dead[number], bad);
		if (!bad)
			assert_int_equal(sink->flushed.at[flushed++], number);
	}
	assert_int_equal(sink->flushed.count, flushed);
	stop_clean(buf);
	sink_free(sink);
}

/* --- Who takes the dead --------------------------------------------------------------------------------- */

static void without_handle_dead_they_are_logged_and_counted(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct poison poison = poison_new(20);
	databuffer_options o = reject_options(sink, &poison);
	sink->answer = name_and_take;
	o.handle_dead = NULL;
	o.name = "graveless";
	poison.is[4] = poison.is[11] = true;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 20);
	flush_all(buf);
	assert_int_equal(stats_of(buf).dead, 2);
	assert_int_equal(stats_of(buf).flushed, 18);
	assert_int_equal(sink_lines(sink), 2);
	assert_non_null(strstr(sink->line, "graveless"));
	assert_non_null(strstr(sink->line, "poison"));
	stop_clean(buf);
	free(poison.is);
	sink_free(sink);
}

/* A dead letter is sent on its way again, mended. */
static databuffer *mending;

static void mend(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	uint64_t number = number_of(item) + 1000;
	(void)meta;
	CHECK(reason->attempts > 0);
	CHECK(databuffer_insert_timed(mending, &number, sizeof(number), 0) == 0);
}

static void handle_dead_may_insert(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct poison poison = poison_new(2000);
	databuffer_options o = reject_options(sink, &poison);
	poison.is[5] = poison.is[6] = true;
	o.handle_dead = mend;
	mending = start(&o);
	insert_numbers(mending, 0, 10);
	flush_all(mending);
	assert_int_equal(databuffer_size(mending), 2);
	stop_clean(mending);
	assert_int_equal(sink->flushed.count, 10);
	assert_int_equal(sink->flushed.at[8], 1005);
	assert_int_equal(sink->flushed.at[9], 1006);
	free(poison.is);
	sink_free(sink);
}

/* --- Beside inserts ------------------------------------------------------------------------------------- */

struct producer {
	databuffer *buf;
	uint64_t from, to;
};

static void *produce(void *arg)
{
	struct producer *producer = arg;
	for (uint64_t number = producer->from; number < producer->to; number++)
		CHECK(databuffer_insert_timed(producer->buf, &number, 8, PATIENCE_MS) == 0);
	return NULL;
}

static void beside_inserts_and_failures_each_still_has_one_outcome(void **state)
{
	(void)state;
	uint64_t seed = test_seed(), n = scaled(6000);
	struct sink *sink = sink_new();
	struct poison poison = poison_new(3 * n);
	databuffer_options o = reject_options(sink, &poison);
	poison.fails = true;
	for (uint64_t i = 0; i < 3 * n; i++)
		poison.is[i] = dice_below(&seed, 50) == 0;
	o.partitions = 2;
	o.max_size = 60;
	o.max_in_flight = 2;
	databuffer *buf = start(&o);
	struct producer producers[3];
	pthread_t threads[3];
	for (unsigned i = 0; i < 3; i++) {
		producers[i] = (struct producer){ .buf = buf, .from = i * n, .to = (i + 1) * n };
		threads[i] = thread_run(produce, &producers[i]);
	}
	for (unsigned i = 0; i < 3; i++)
		thread_join(threads[i]);
	flush_all(buf);
	assert_int_equal(stats_of(buf).dead, count_poison(&poison));
	stop_clean(buf);
	unsigned char *seen = calloc(3 * n, 1);
	for (size_t i = 0; i < sink->flushed.count; i++) {
		assert_false(poison.is[sink->flushed.at[i]]);
		assert_int_equal(seen[sink->flushed.at[i]]++, 0);
	}
	for (size_t i = 0; i < sink->dead_count; i++) {
		assert_true(poison.is[sink->dead[i].number]);
		assert_int_equal(seen[sink->dead[i].number]++, 0);
	}
	assert_int_equal(sink->flushed.count + sink->dead_count, 3 * n);
	free(seen);
	free(poison.is);
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_among_many_is_found_wherever_it_stands),
		cmocka_unit_test(any_number_among_many_is_found),
		cmocka_unit_test(a_few_among_thousands_take_a_few_calls),
		cmocka_unit_test(a_batch_that_is_taken_in_halves_has_no_dead),
		cmocka_unit_test(what_comes_behind_a_rejected_batch_waits_for_all_of_it),
		cmocka_unit_test(a_piece_may_fail_for_now_and_keeps_its_size),
		cmocka_unit_test(the_reason_has_partition_status_attempts_and_a_sentence),
		cmocka_unit_test(one_item_alone_is_dead_at_the_first_answer),
		cmocka_unit_test(with_an_answer_of_0_the_named_are_dead_and_the_others_flushed),
		cmocka_unit_test(with_reject_the_named_are_dead_and_the_others_given_again),
		cmocka_unit_test(on_a_transient_answer_the_names_are_forgotten),
		cmocka_unit_test(items_may_be_named_in_any_order_and_again),
		cmocka_unit_test(what_is_not_named_is_searched_for),
		cmocka_unit_test(without_handle_dead_they_are_logged_and_counted),
		cmocka_unit_test(handle_dead_may_insert),
		cmocka_unit_test(beside_inserts_and_failures_each_still_has_one_outcome),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
