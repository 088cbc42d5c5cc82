/* SPDX-License-Identifier: MIT */
/* A partition whose sink is down, in virtual time: what it still tries, and when it comes back. */
#include "core/bench.h"

static databuffer_options breaker_options(int64_t failures)
{
	databuffer_options o = options();
	o.breaker_failures = failures;
	o.retry_min = 100;
	o.retry_max = 8000;
	o.max_queued = 4;
	o.max_stuck = 4;
	return o;
}

static databuffer_partition_info info(struct bench *bench)
{
	databuffer_partition_info info;
	partition_read_info(&bench->partition, &info, bench->now);
	return info;
}

/* The next batch, having lived until it is due. */
static struct segment *take_when_due(struct bench *bench)
{
	struct segment *segment;
	bench->partition.news.count = 0;
	while (!(segment = take(bench))) {
		int64_t deadline = partition_deadline(&bench->partition);
		assert_true(deadline != PORT_NEVER && deadline > bench->now);
		bench->now = deadline;
		tick(bench);
	}
	return segment;
}

/* What is to be told, of one kind. */
static struct news_item *news_of(struct bench *bench, databuffer_event_kind kind)
{
	struct news *news = &bench->partition.news;
	for (unsigned i = 0; i < news->count; i++)
		if (news->items[i].event.kind == kind)
			return &news->items[i];
	return NULL;
}

static void it_opens_after_breaker_failures_in_a_row(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = breaker_options(3);
	begin(&bench, &o);
	insert_all(&bench, 10);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(info(&bench).breaker_open, 0);
		land(&bench, take_when_due(&bench), -EIO);
		assert_int_equal(info(&bench).failures, i);
	}
	assert_int_equal(info(&bench).breaker_open, 1);
	struct news_item *news = news_of(&bench, DATABUFFER_BREAKER_OPEN);
	assert_non_null(news);
	assert_int_equal(news->failures, 3);
	assert_int_equal(news->event.status, -EIO);
	assert_int_equal(news->event.size, 10);
	assert_int_equal(partition_deadline(&bench.partition), INT64_MIN); /* to be told at once */
	end(&bench);
}

static void an_answer_between_starts_the_count_anew(void **state)
{
	(void)state;
	static const int answers[] = { 0, DATABUFFER_REJECT, DATABUFFER_TOO_LARGE };
	for (int i = 0; i < 3; i++) {
		struct bench bench;
		databuffer_options o = breaker_options(3);
		begin(&bench, &o);
		for (int round = 0; round < 4; round++) {
			insert_all(&bench, 10);
			land(&bench, take_when_due(&bench), -EIO);
			land(&bench, take_when_due(&bench), -EIO);
			land(&bench, take_when_due(&bench), answers[i]);
			while (bench.partition.held > 0)
				land(&bench, take_when_due(&bench), 0);
			assert_int_equal(info(&bench).failures, 0);
			assert_int_equal(info(&bench).breaker_open, 0);
		}
		end(&bench);
	}
}

static void without_breaker_failures_it_never_opens(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = breaker_options(0);
	begin(&bench, &o);
	insert_all(&bench, 10);
	for (unsigned i = 1; i <= 1000; i++)
		land(&bench, take_when_due(&bench), -EIO);
	assert_int_equal(info(&bench).breaker_open, 0);
	assert_int_equal(info(&bench).failures, 1000);
	end(&bench);
}

/* Several flights fail at once, and others wait: from then on there is one at a time. */
static void open_it_lets_one_probe_go_per_backoff_also_where_several_flights_might(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = breaker_options(2);
	o.max_in_flight = 3;
	o.flush_timeout = 0;
	begin(&bench, &o);
	insert_all(&bench, 60);
	struct segment *flights[3];
	for (int i = 0; i < 3; i++)
		assert_non_null(flights[i] = take(&bench));
	land(&bench, flights[1], -EIO);
	land(&bench, flights[0], -EIO);
	assert_int_equal(info(&bench).breaker_open, 1);
	bench.now += 1000000 * MS;
	bench.partition.news.count = 0;
	assert_null(take(&bench)); /* one is on its way still, and is the probe */
	assert_int_equal(partition_deadline(&bench.partition), PORT_NEVER);
	land(&bench, flights[2], -EIO);

	int64_t before = bench.now;
	for (unsigned probes = 0; probes < 20; probes++) {
		struct segment *probe = take_when_due(&bench);
		assert_in_range(bench.now - before, 100 * MS, 8000 * MS);
		expect_batch(probe, 0, 10, DATABUFFER_TRIGGER_SIZE); /* the oldest, each time */
		bench.now += 7 * MS;
		tick(&bench);
		assert_null(take(&bench));
		before = bench.now;
		assert_int_equal(land(&bench, probe, -EIO), 0);
		assert_int_equal(info(&bench).next_retry_ms > 0, true);
	}
	struct segment *probe = take_when_due(&bench);
	assert_true(land(&bench, probe, 0) & TODO_FLUSH);
	assert_int_equal(info(&bench).breaker_open, 0);
	struct news_item *news = news_of(&bench, DATABUFFER_BREAKER_CLOSE);
	assert_non_null(news);
	assert_int_equal(news->event.status, 0);
	assert_true(news->event.duration_ns > 1000000 * MS);
	for (uint32_t i = 1; i <= 3; i++) /* and all flights are there again */
		expect_batch(take(&bench), i * 10, 10, DATABUFFER_TRIGGER_SIZE);
	end(&bench);
}

static void the_backoff_between_probes_grows(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = breaker_options(1);
	begin(&bench, &o);
	insert_all(&bench, 10);
	int64_t cap = 100, longest = 0;
	for (unsigned i = 0; i < 30; i++) {
		struct segment *probe = take_when_due(&bench);
		land(&bench, probe, -EIO);
		bench.partition.news.count = 0;
		cap = cap * 2 < 8000 ? cap * 2 : 8000;
		int64_t wait = partition_deadline(&bench.partition) - bench.now;
		assert_in_range(wait, 100 * MS, cap * MS);
		longest = wait > longest ? wait : longest;
	}
	assert_true(longest > 4000 * MS);
	end(&bench);
}

static void what_is_rejected_or_too_large_closes_it(void **state)
{
	(void)state;
	static const int answers[] = { DATABUFFER_REJECT, DATABUFFER_TOO_LARGE };
	for (int i = 0; i < 2; i++) {
		struct bench bench;
		databuffer_options o = breaker_options(1);
		begin(&bench, &o);
		insert_all(&bench, 10);
		land(&bench, take_when_due(&bench), -EIO);
		assert_int_equal(info(&bench).breaker_open, 1);
		land(&bench, take_when_due(&bench), answers[i]);
		assert_int_equal(info(&bench).breaker_open, 0);
		assert_int_equal(news_of(&bench, DATABUFFER_BREAKER_CLOSE)->event.status, answers[i]);
		end(&bench);
	}
}

/* Each late one counts when it becomes late; its failure later on is the same one. */
static void late_flushes_open_it_and_a_late_answer_closes_it(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = breaker_options(2);
	begin(&bench, &o);
	struct segment *late[3];
	for (int i = 0; i < 2; i++) {
		insert_all(&bench, 10);
		late[i] = take(&bench);
		bench.now += 5000 * MS;
		tick(&bench);
		assert_int_equal(info(&bench).failures, i + 1);
	}
	assert_int_equal(info(&bench).breaker_open, 1);
	insert_all(&bench, 10);
	assert_null(take(&bench));
	int64_t before = bench.now;
	late[2] = take_when_due(&bench); /* a probe, which hangs as well */
	assert_true(bench.now >= before + 100 * MS);
	bench.now += 5000 * MS;
	tick(&bench);
	insert_all(&bench, 10);
	assert_null(take(&bench));
	assert_int_equal(info(&bench).failures, 3);
	land(&bench, late[0], -EIO);
	assert_int_equal(info(&bench).failures, 3);
	assert_int_equal(info(&bench).breaker_open, 1);
	land(&bench, late[2], 0);
	assert_int_equal(info(&bench).breaker_open, 0);
	end(&bench);
}

/* Also such as count against the batch and have it searched. */
static void deaths_of_workers_open_it(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = breaker_options(3);
	o.kill_limit = 1;
	begin(&bench, &o);
	insert_all(&bench, 10);
	for (unsigned i = 0; i < 3; i++) {
		const struct worker_death death = { .text = "killed by SIGSEGV", .counts = i > 0 };
		struct segment *segment = take(&bench);
		assert_non_null(segment); /* at once, as long as it is closed */
		struct verdict verdict = partition_judge_death(&bench.partition, segment, &death, bench.now);
		batch_finish(&segment->batch);
		partition_land(&bench.partition, segment, &verdict, bench.now);
		assert_int_equal(info(&bench).failures, i + 1);
	}
	assert_int_equal(info(&bench).breaker_open, 1);
	assert_int_equal(news_of(&bench, DATABUFFER_BREAKER_OPEN)->event.status, DATABUFFER_EWORKER);
	assert_null(take(&bench));
	land(&bench, take_when_due(&bench), 0);
	assert_int_equal(info(&bench).breaker_open, 0);
	end(&bench);
}

static void a_flush_lets_one_probe_go_at_once(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = breaker_options(1);
	o.max_in_flight = 2;
	begin(&bench, &o);
	insert_all(&bench, 25);
	struct segment *first = take(&bench), *second = take(&bench);
	land(&bench, first, -EIO);
	land(&bench, second, -EIO);
	assert_null(take(&bench));
	assert_true(partition_flush(&bench.partition, DATABUFFER_TRIGGER_FLUSH, bench.now) & TODO_FLUSH);
	struct segment *probe = take(&bench);
	expect_batch(probe, 0, 10, DATABUFFER_TRIGGER_SIZE);
	assert_null(take(&bench));
	land(&bench, probe, 0);
	expect_batch(take(&bench), 10, 10, DATABUFFER_TRIGGER_SIZE);
	expect_batch(take(&bench), 20, 5, DATABUFFER_TRIGGER_FLUSH);
	end(&bench);
}

static void stopping_it_probes_on_from_retry_min(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = breaker_options(1);
	begin(&bench, &o);
	insert_all(&bench, 30);
	for (int i = 0; i < 12; i++)
		land(&bench, take_when_due(&bench), -EIO);
	int64_t before = bench.now;
	partition_flush(&bench.partition, DATABUFFER_TRIGGER_STOP, bench.now);
	for (int i = 0; i < 5; i++)
		land(&bench, take_when_due(&bench), -EIO);
	assert_int_equal(bench.now - before, 4 * 100 * MS);
	while (!partition_is_empty(&bench.partition))
		land(&bench, take_when_due(&bench), 0);
	assert_int_equal(bench.now - before, 5 * 100 * MS);
	end(&bench);
}

/* What is given up is searched at the pace of the probes: the sink is not called more often for it. */
static void also_pieces_that_were_given_up_go_one_per_backoff(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = breaker_options(1);
	o.retry_limit = 1;
	o.retry_max = 100;
	o.max_size = 4;
	begin(&bench, &o);
	insert_all(&bench, 4);
	unsigned calls = 0;
	for (; bench.partition.held > 0; calls++) {
		int64_t before = bench.now;
		struct segment *segment = take_when_due(&bench);
		if (calls > 0)
			assert_int_equal(bench.now - before, 100 * MS);
		land(&bench, segment, -EIO);
	}
	assert_int_equal(bench.partition.dead, 4);
	assert_true(calls >= 4);
	end(&bench);
}

static void it_closes_when_the_options_say_that_there_is_none(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = breaker_options(1), before;
	o.max_in_flight = 2;
	begin(&bench, &o);
	insert_all(&bench, 20);
	struct segment *first = take(&bench), *second = take(&bench);
	land(&bench, first, -EIO);
	land(&bench, second, -EIO);
	bench.partition.news.count = 0;
	/* A shorter backoff is one for the breaker, too. */
	before = bench.options;
	bench.options.retry_min = bench.options.retry_max = 10;
	partition_reconfigure(&bench.partition, &before, bench.now);
	assert_int_equal(partition_deadline(&bench.partition), bench.now + 10 * MS);
	assert_int_equal(info(&bench).breaker_open, 1);
	bench.now += 10 * MS;
	assert_non_null(first = take(&bench));
	assert_null(take(&bench));

	before = bench.options;
	bench.options.breaker_failures = 0;
	assert_true(partition_reconfigure(&bench.partition, &before, bench.now) & TODO_FLUSH);
	assert_int_equal(info(&bench).breaker_open, 0);
	assert_int_equal(news_of(&bench, DATABUFFER_BREAKER_CLOSE)->event.duration_ns, 10 * MS);
	assert_non_null(second = take(&bench));
	land(&bench, first, 0);
	land(&bench, second, 0);
	end(&bench);
}

static void an_empty_partition_waits_for_the_probe_before_it_cuts_by_time(void **state)
{
	(void)state;
	struct bench bench;
	databuffer_options o = breaker_options(1);
	o.retry_min = o.retry_max = 60000;
	o.flush_timeout = 500;
	begin(&bench, &o);
	insert_all(&bench, 10);
	struct segment *late = take(&bench);
	bench.now = 500 * MS;
	tick(&bench);
	insert_all(&bench, 3);
	bench.now = 1000 * MS; /* its interval is over */
	assert_int_equal(tick(&bench), 0);
	assert_int_equal(bench.partition.queued, 0); /* so that it may grow */
	assert_int_equal(partition_deadline(&bench.partition), 60500 * MS);
	insert_all(&bench, 3);
	expect_batch(take_when_due(&bench), 10, 6, DATABUFFER_TRIGGER_INTERVAL);
	assert_int_equal(bench.now, 60500 * MS);
	land(&bench, late, 0);
	end(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_opens_after_breaker_failures_in_a_row),
		cmocka_unit_test(an_answer_between_starts_the_count_anew),
		cmocka_unit_test(without_breaker_failures_it_never_opens),
		cmocka_unit_test(open_it_lets_one_probe_go_per_backoff_also_where_several_flights_might),
		cmocka_unit_test(the_backoff_between_probes_grows),
		cmocka_unit_test(what_is_rejected_or_too_large_closes_it),
		cmocka_unit_test(late_flushes_open_it_and_a_late_answer_closes_it),
		cmocka_unit_test(deaths_of_workers_open_it),
		cmocka_unit_test(a_flush_lets_one_probe_go_at_once),
		cmocka_unit_test(stopping_it_probes_on_from_retry_min),
		cmocka_unit_test(also_pieces_that_were_given_up_go_one_per_backoff),
		cmocka_unit_test(it_closes_when_the_options_say_that_there_is_none),
		cmocka_unit_test(an_empty_partition_waits_for_the_probe_before_it_cuts_by_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
