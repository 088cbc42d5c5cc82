/* SPDX-License-Identifier: MIT */
/* The rate limit, in virtual time: the buckets by themselves, then partitions that share them. */
#include "core/bench.h"

static databuffer_options limits(int64_t items, int64_t flushes)
{
	databuffer_options o = options();
	o.rate_limit = items;
	o.rate_limit_flushes = flushes;
	return o;
}

static void a_full_bucket_gives_a_tenth_of_a_second_at_once(void **state)
{
	(void)state;
	struct pace pace;
	databuffer_options o = limits(1000, 0);
	int64_t now = 123456789;
	pace_init(&pace);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 10; i++)
			assert_int_equal(pace_book(&pace, &o, 10, now), now);
		for (int i = 1; i <= 10; i++) /* and then what has flowed in */
			assert_int_equal(pace_book(&pace, &o, 10, now), now + i * 10 * MS);
		now += 200 * MS + round * 3600000 * MS; /* full again, and never more than that */
	}
}

static void a_batch_larger_than_the_bucket_goes_and_is_made_up_for(void **state)
{
	(void)state;
	struct pace pace;
	databuffer_options o = limits(1000, 0);
	pace_init(&pace);
	assert_int_equal(pace_book(&pace, &o, 5000, 0), 0);
	assert_int_equal(pace_book(&pace, &o, 10, 0), 4910 * MS);
	/* The next large one waits until the bucket is full. */
	assert_int_equal(pace_book(&pace, &o, 5000, 0), 5010 * MS);
	assert_int_equal(pace_book(&pace, &o, 5000, 0), 10010 * MS);
}

static void items_and_flushes_are_limited_apart(void **state)
{
	(void)state;
	struct pace pace;
	databuffer_options o = limits(1000, 20);
	pace_init(&pace);
	assert_int_equal(pace_book(&pace, &o, 1, 0), 0);
	assert_int_equal(pace_book(&pace, &o, 1, 0), 0); /* two flushes are in a tenth of a second */
	assert_int_equal(pace_book(&pace, &o, 1, 0), 50 * MS);
	assert_int_equal(pace_book(&pace, &o, 1, 0), 100 * MS);
	assert_int_equal(pace_book(&pace, &o, 1000, 0), 150 * MS); /* the flushes hold it up */
	assert_int_equal(pace_book(&pace, &o, 1, 0), 905 * MS);  /* the items do */
}

static void what_a_call_did_not_take_is_given_back(void **state)
{
	(void)state;
	struct pace pace;
	databuffer_options o = limits(1000, 0);
	pace_init(&pace);
	assert_int_equal(pace_book(&pace, &o, 100, 0), 0);
	pace_correct(&pace, &o, 100, 30);
	assert_int_equal(pace_book(&pace, &o, 70, 0), 0);
	pace_correct(&pace, &o, 70, 90);
	assert_int_equal(pace_book(&pace, &o, 10, 0), 30 * MS);
}

/* When a call may begin, by a bucket as one would draw it: its level, as a number. */
static double begin_by_level(double *level, double *at_s, double rate, double items, double now_s)
{
	double most = rate / 10, need = items < most ? items : most, begin_s = now_s;
	*level += rate * (now_s - *at_s);
	*level = *level < most ? *level : most;
	if (*level < need) {
		begin_s += (need - *level) / rate;
		*level = need;
	}
	*level -= items;
	*at_s = begin_s;
	return begin_s;
}

/* Random calls at random times: in no span of time more than is promised, and none begins later than it has to. */
static void no_span_of_time_has_more_than_its_share(void **state)
{
	(void)state;
	enum { CALLS = 2000 };
	static int64_t at[CALLS];
	static uint64_t items[CALLS];
	const char *given = getenv("DATABUFFER_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : port_entropy();
	print_message("seed %llu (DATABUFFER_SEED to run it again)\n", (unsigned long long)seed);
	struct rng rng;
	rng_seed(&rng, seed);
	for (int round = 0; round < 8; round++) {
		struct pace pace;
		int64_t rate = 1 + (int64_t)rng_below_inclusive(&rng, 5000);
		uint64_t largest = 1 + rng_below_inclusive(&rng, 1000);
		databuffer_options o = limits(rate, 0);
		int64_t now = 0;
		double level = (double)rate / 10, level_at_s = 0;
		pace_init(&pace);
		for (int i = 0; i < CALLS; i++) {
			items[i] = rng_below_inclusive(&rng, largest);
			double begin_s = begin_by_level(&level, &level_at_s, (double)rate, (double)items[i],
			                                (double)now / 1e9);
			at[i] = now = pace_book(&pace, &o, items[i], now);
			assert_true((double)now / 1e9 - begin_s < 1e-4 && begin_s - (double)now / 1e9 < 1e-4);
			if (rng_below_inclusive(&rng, 9) == 0)
				now += (int64_t)rng_below_inclusive(&rng, 300) * MS;
		}
		for (int i = 0; i < CALLS; i += 7) {
			double sum = 0;
			for (int j = i; j < CALLS; j++) {
				sum += (double)items[j];
				double share = (double)rate * (double)(at[j] - at[i]) / 1e9;
				double burst = (double)rate / 10 > (double)items[j] ? (double)rate / 10 : (double)items[j];
				assert_true(sum <= share + burst + 0.01);
			}
		}
	}
}

static void whoever_always_has_something_gets_all_of_the_rate(void **state)
{
	(void)state;
	struct pace pace;
	databuffer_options o = limits(777, 0);
	int64_t now = 0;
	pace_init(&pace);
	for (int i = 0; i < 7770; i++)
		now = pace_book(&pace, &o, 10, now);
	assert_in_range(now, (100000 - 101) * MS, 100000 * MS); /* 77700 items, less the first bucket */
}

static void the_slowest_pace_of_the_largest_batches_does_not_wrap(void **state)
{
	(void)state;
	struct pace pace;
	databuffer_options o = limits(1, 1);
	int64_t last = 0;
	pace_init(&pace);
	for (int i = 0; i < 4096; i++) {
		int64_t at = pace_book(&pace, &o, 16777216, PORT_NEVER / 2);
		assert_true(at >= last);
		last = at;
	}
	assert_true(last <= PORT_NEVER);
}

/* --- Partitions -------------------------------------------------------------------------------------- */

static databuffer_partition_info info(struct bench *bench)
{
	databuffer_partition_info info;
	partition_read_info(&bench->partition, &info, bench->now);
	return info;
}

static void a_batch_goes_when_its_tokens_are_there_and_no_sooner(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = limits(100, 0); /* ten items a tenth of a second: one batch */
	o.max_queued = 8;
	begin(&bench, &o);
	insert_all(&bench, 60);
	for (uint32_t i = 0; i < 6; i++) {
		if (i > 0) {
			assert_null(take(&bench));
			assert_int_equal(partition_deadline(&bench.partition), i * 100 * MS);
			assert_int_equal(info(&bench).rate_wait_ms, 100);
			assert_int_equal(info(&bench).next_retry_ms, -1);
			bench.now = i * 100 * MS - 1;
			assert_int_equal(tick(&bench), 0);
			assert_null(take(&bench));
			bench.now++;
			assert_int_equal(tick(&bench), TODO_FLUSH);
		}
		assert_int_equal(info(&bench).rate_wait_ms, -1);
		struct segment *segment = take(&bench);
		expect_batch(segment, i * 10, 10, DATABUFFER_TRIGGER_SIZE);
		assert_int_equal(land(&bench, segment, 0), TODO_ROOM | TODO_SETTLED);
	}
	end(&bench);
}

static void a_slow_handler_does_not_slow_the_pace(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = limits(100, 0);
	o.max_queued = 8;
	begin(&bench, &o);
	insert_all(&bench, 60);
	for (uint32_t i = 0; i < 6; i++) {
		struct segment *segment = take(&bench);
		expect_batch(segment, i * 10, 10, DATABUFFER_TRIGGER_SIZE);
		assert_int_equal(bench.now, i * 100 * MS);
		bench.now += 60 * MS;
		land(&bench, segment, 0);
		if (i < 5) {
			bench.now = partition_deadline(&bench.partition);
			tick(&bench);
		}
	}
	end(&bench);
}

static void every_attempt_takes_tokens(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = limits(100, 0);
	o.retry_min = o.retry_max = 1;
	begin(&bench, &o);
	insert_all(&bench, 10);
	for (int64_t i = 0; i < 5; i++) {
		struct segment *segment = take(&bench);
		assert_non_null(segment);
		assert_int_equal(bench.now, i * 100 * MS);
		land(&bench, segment, i < 4 ? -EIO : 0);
		for (int step = 0; step < 2 && i < 4; step++) { /* the backoff, then the rate */
			bench.now = partition_deadline(&bench.partition);
			tick(&bench);
		}
	}
	assert_int_equal(bench.partition.flushed, 10);
	end(&bench);
}

static void neither_a_flush_nor_a_stop_cuts_it_short(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = limits(100, 0);
	o.max_queued = 2;
	begin(&bench, &o);
	insert_all(&bench, 25);
	land(&bench, take(&bench), 0);
	assert_int_equal(partition_flush(&bench.partition, DATABUFFER_TRIGGER_FLUSH, bench.now), 0);
	assert_null(take(&bench));
	assert_int_equal(partition_flush(&bench.partition, DATABUFFER_TRIGGER_STOP, bench.now), 0);
	assert_null(take(&bench));
	assert_int_equal(partition_deadline(&bench.partition), 100 * MS);
	bench.now = 100 * MS;
	land(&bench, take(&bench), 0);
	assert_int_equal(partition_deadline(&bench.partition), 150 * MS); /* five items more */
	end(&bench);
}

/* Booked for one that failed meanwhile and for less than that: what goes is what counts. */
static void a_batch_that_goes_in_anothers_place_pays_for_itself(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = limits(1000, 0);
	o.max_in_flight = 2;
	o.max_queued = 4;
	o.retry_min = o.retry_max = 1;
	o.max_size = 100;
	begin(&bench, &o);
	insert_all(&bench, 100);
	struct segment *first = take(&bench);
	insert_all(&bench, 50);
	partition_flush(&bench.partition, DATABUFFER_TRIGGER_FLUSH, bench.now);
	assert_int_equal(partition_deadline(&bench.partition), 50 * MS); /* booked by the second */
	land(&bench, first, -EIO);
	bench.now = 50 * MS;
	tick(&bench);
	struct segment *again = take(&bench);
	expect_batch(again, 0, 100, DATABUFFER_TRIGGER_SIZE);
	assert_int_equal(partition_deadline(&bench.partition), 150 * MS);
	end(&bench);
}

static void partitions_share_the_rate_and_go_in_the_order_they_ask(void **state)
{
	(void)state;
	struct bench benches[3];
	databuffer_options o = limits(300, 0); /* a batch per 33 ms, over all */
	o.max_queued = 20;
	for (int i = 0; i < 3; i++) {
		begin(&benches[i], &o);
		benches[i].partition.pace = &benches[0].pace;
	}
	for (int i = 0; i < 3; i++)
		insert_all(&benches[i], 200);
	unsigned given[3] = { 0 }, last = 2;
	int64_t now = 0;
	while (given[0] + given[1] + given[2] < 60) {
		int next = 0;
		for (int i = 1; i < 3; i++)
			if (partition_deadline(&benches[i].partition) < partition_deadline(&benches[next].partition))
				next = i;
		int64_t due = partition_deadline(&benches[next].partition);
		now = due > now ? due : now;
		benches[next].now = now;
		tick(&benches[next]);
		struct segment *segment = take(&benches[next]);
		assert_non_null(segment);
		land(&benches[next], segment, 0);
		if (given[0] + given[1] + given[2] >= 3)
			assert_int_equal(next, (last + 1) % 3); /* each in its turn */
		last = (unsigned)next;
		given[next]++;
	}
	assert_in_range(now, (2000 - 134) * MS, 2000 * MS);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(given[i], 20);
		end(&benches[i]);
	}
}

static void hear(const databuffer_event *event, void *ctx)
{
	(void)event, (void)ctx;
}

static void that_a_batch_has_to_wait_is_news_to_who_listens(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = limits(100, 0);
	o.max_queued = 2;
	for (int listening = 0; listening < 2; listening++) {
		if (listening)
			databuffer_telemetry_attach("ear", DATABUFFER_RATE_LIMITED, hear, NULL);
		begin(&bench, &o);
		insert_all(&bench, 20);
		land(&bench, take(&bench), 0);
		assert_int_equal(bench.partition.news.count, listening);
		if (listening) {
			databuffer_event *event = &bench.partition.news.items[0].event;
			assert_int_equal(event->kind, DATABUFFER_RATE_LIMITED);
			assert_int_equal(event->size, 10);
			assert_int_equal(event->bytes, 40);
			assert_int_equal(event->attempt, 1);
			assert_int_equal(event->duration_ns, 100 * MS);
			assert_int_equal(event->status, 0);
			databuffer_telemetry_detach("ear");
		}
		end(&bench);
	}
}

static void what_fits_no_more_is_booked_in_pieces(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = limits(100, 0);
	begin(&bench, &o);
	insert_all(&bench, 10);
	land(&bench, take(&bench), DATABUFFER_TOO_LARGE);
	for (int64_t i = 0; i < 2; i++) {
		assert_int_equal(partition_deadline(&bench.partition), 50 * MS + i * 50 * MS);
		bench.now = 50 * MS + i * 50 * MS;
		tick(&bench);
		struct segment *segment = take(&bench);
		assert_int_equal(databuffer_batch_size(&segment->batch), 5);
		land(&bench, segment, 0);
	}
	end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_bucket_gives_a_tenth_of_a_second_at_once),
		cmocka_unit_test(a_batch_larger_than_the_bucket_goes_and_is_made_up_for),
		cmocka_unit_test(items_and_flushes_are_limited_apart),
		cmocka_unit_test(what_a_call_did_not_take_is_given_back),
		cmocka_unit_test(no_span_of_time_has_more_than_its_share),
		cmocka_unit_test(whoever_always_has_something_gets_all_of_the_rate),
		cmocka_unit_test(the_slowest_pace_of_the_largest_batches_does_not_wrap),
		cmocka_unit_test(a_batch_goes_when_its_tokens_are_there_and_no_sooner),
		cmocka_unit_test(a_slow_handler_does_not_slow_the_pace),
		cmocka_unit_test(every_attempt_takes_tokens),
		cmocka_unit_test(neither_a_flush_nor_a_stop_cuts_it_short),
		cmocka_unit_test(a_batch_that_goes_in_anothers_place_pays_for_itself),
		cmocka_unit_test(partitions_share_the_rate_and_go_in_the_order_they_ask),
		cmocka_unit_test(that_a_batch_has_to_wait_is_news_to_who_listens),
		cmocka_unit_test(what_fits_no_more_is_booked_in_pieces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
