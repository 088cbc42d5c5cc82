/*
 * 04-retry-and-dead-letters.c: what happens when a handler fails.
 *
 *      DATABUFFER_RETRY, or a negative errno   for now: the batch is kept and
 *                                              given again after a backoff
 *      DATABUFFER_REJECT                       for good: the batch is given again
 *                                              in halves, until the items that
 *                                              nobody wants stand alone
 *      databuffer_batch_fail(), then 0         for good, and the handler knows
 *                                              which items
 *
 * The place that we write to is down for the first two calls, and never takes a
 * negative number. One handler knows which numbers it cannot write, the other
 * does not. Both end alike: 95 numbers written in order, 5 in handle_dead.
 */
#include <databuffer.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define NUMBERS 100

struct place {
	int down; /* for so many calls more */
	int calls;
	int written[NUMBERS];
	int written_count;
	int dead_count;
};

static void must(int64_t rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, databuffer_strerror((int)rc));
	exit(1);
}

/* As a database does it: all of the batch, or nothing. */
static int write_all(databuffer_batch *batch, void *meta)
{
	struct place *place = meta;
	size_t n = databuffer_batch_size(batch);
	const int *numbers = databuffer_batch_array(batch);

	place->calls++;
	if (!numbers)
		return -ENOMEM;
	if (place->down > 0) {
		place->down--;
		return -ECONNREFUSED;
	}
	for (size_t i = 0; i < n; i++)
		if (numbers[i] < 0)
			return DATABUFFER_REJECT;
	for (size_t i = 0; i < n; i++)
		place->written[place->written_count++] = numbers[i];
	return 0;
}

/* As a service does it that answers for each item. */
static int write_each(databuffer_batch *batch, void *meta)
{
	struct place *place = meta;
	size_t n = databuffer_batch_size(batch);

	place->calls++;
	if (place->down > 0) {
		place->down--;
		return -ECONNREFUSED;
	}
	/* First name them all: if one cannot be named, nothing is written yet. */
	for (size_t i = 0; i < n; i++) {
		int number = *(const int *)databuffer_batch_at(batch, i).data;
		if (number < 0 && databuffer_batch_fail(batch, i, "it is negative") < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		int number = *(const int *)databuffer_batch_at(batch, i).data;
		if (number >= 0)
			place->written[place->written_count++] = number;
	}
	return 0;
}

static void bury(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct place *place = meta;

	place->dead_count++;
	printf("  dead: %d, after %u calls: %s\n", *(const int *)item->data, reason->attempts, reason->text);
}

static void say(databuffer_log_level level, const char *line, void *meta)
{
	(void)meta;
	printf("  %s: %s\n", level == DATABUFFER_LOG_ERROR ? "error" : "warning", line);
}

static int run(databuffer_flush_fn *handle_flush)
{
	struct place place = { .down = 2 };
	databuffer *buf;
	databuffer_options o = databuffer_options_init();
	struct databuffer_stats stats;

	o.max_size = NUMBERS;
	o.retry_min = 5; /* ms; the default, 100, is for real services */
	o.handle_flush = handle_flush;
	o.handle_dead = bury;
	o.handle_log = say;
	o.flush_meta = &place;
	must(databuffer_start(&buf, &o), "start");

	for (int i = 0; i < NUMBERS; i++) {
		int number = i % 20 == 13 ? -i : i;
		must(databuffer_insert(buf, &number, sizeof(number)), "insert");
	}
	must(databuffer_sync_flush(buf, NULL, 0, 5000), "sync_flush");
	must(databuffer_stats(buf, &stats), "stats");
	must(databuffer_stop(buf, 5000), "stop");

	printf("  %d calls: %d written, %d dead\n", place.calls, place.written_count, place.dead_count);
	int good = place.written_count == 95 && place.dead_count == 5;
	for (int i = 1; i < place.written_count; i++)
		good = good && place.written[i - 1] < place.written[i];
	/* Every item has one outcome, and the counters say which. */
	return good && stats.inserted == NUMBERS && stats.flushed == 95 && stats.dead == 5 && stats.held == 0 &&
	       stats.failures == 2;
}

int main(void)
{
	printf("all or nothing:\n");
	int good = run(write_all);
	printf("item by item:\n");
	return run(write_each) && good ? 0 : 1;
}
