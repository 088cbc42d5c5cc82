/*
 * 13-processes.c: a handler that crashes, and costs one item of a million.
 *
 * Prices of what was sold are looked up and added up, and each batch's total is
 * written to a file. There is a bug: nobody has entered a price for things of
 * kind 7, and the handler follows the null pointer. One sale of a million is of
 * that kind.
 *
 * With flusher = DATABUFFER_PROCESSES the handler crashes in a worker process.
 * The batch is tried again in a fresh one, and then in halves, until the sale that
 * crashes stands alone. It goes to handle_dead, with the signal's name, and the
 * 999,999 others are written.
 */
#include <databuffer.h>

#include <stdio.h>
#include <stdlib.h>

#define SALES  1000000
#define BAD    654321
#define KINDS  8
#define TOTALS "totals"

struct sale {
	unsigned number, kind;
};

static const unsigned cheap = 1, dear = 3;
static const unsigned *const prices[KINDS] = { &cheap, &dear, &cheap, &dear, &cheap, &dear, &cheap, NULL };

static void must(int64_t rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, databuffer_strerror((int)rc));
	exit(1);
}

/* --- In a worker ------------------------------------------------------------ */

static FILE *totals;

/* Once in a worker's life. What the program opened before would be shared by all. */
static int open_totals(void *meta)
{
	(void)meta;
	totals = fopen(TOTALS, "a");
	return totals ? 0 : DATABUFFER_RETRY;
}

static int add_up(databuffer_batch *batch, void *meta)
{
	unsigned long total = 0;
	databuffer_item item;
	(void)meta;
	while (databuffer_batch_next(batch, &item)) {
		const struct sale *sale = item.data;
		total += *prices[sale->kind % KINDS]; /* here */
	}
	/* Written before it is said to be: a worker may be gone a moment later. */
	if (fprintf(totals, "%lu\n", total) < 0 || fflush(totals) != 0)
		return DATABUFFER_RETRY;
	return 0;
}

/* --- In the program --------------------------------------------------------- */

struct lost {
	unsigned count, number;
};

static void keep_the_dead(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	const struct sale *sale = item->data;
	struct lost *lost = meta;
	lost->count++;
	lost->number = sale->number;
	printf("sale %u is dead: %s, after %u attempts\n", sale->number, reason->text, reason->attempts);
}

static void say_nothing(databuffer_log_level level, const char *line, void *meta)
{
	(void)level;
	(void)line;
	(void)meta;
}

static unsigned long read_totals(void)
{
	unsigned long sum = 0, total;
	FILE *file = fopen(TOTALS, "r");
	while (file && fscanf(file, "%lu", &total) == 1)
		sum += total;
	if (file)
		fclose(file);
	return sum;
}

int main(void)
{
	struct lost lost = { 0, 0 };
	unsigned long wanted = 0;
	databuffer_stats_t stats;
	databuffer *buf;

	remove(TOTALS);
	databuffer_options o = databuffer_options_init();
	o.flusher = DATABUFFER_PROCESSES;
	o.handle_worker_start = open_totals;
	o.handle_flush = add_up;
	o.handle_dead = keep_the_dead;
	o.handle_log = say_nothing; /* of each crash there would be a line */
	o.flush_meta = &lost;
	o.timeout = 60000;
	must(databuffer_start(&buf, &o), "start");

	for (unsigned i = 0; i < SALES; i++) {
		struct sale sale = { i, i == BAD ? 7 : i % 7 };
		must(databuffer_insert(buf, &sale, sizeof(sale)), "insert");
		if (i != BAD)
			wanted += *prices[sale.kind];
	}
	must(databuffer_sync_flush(buf, NULL, 0, 60000), "sync_flush");
	must(databuffer_stats(buf, &stats), "stats");
	must(databuffer_stop(buf, 60000), "stop");

	printf("%llu flushed, %llu dead, by %llu crashes\n", (unsigned long long)stats.flushed,
	       (unsigned long long)stats.dead, (unsigned long long)stats.worker_deaths);
	return stats.flushed == SALES - 1 && lost.count == 1 && lost.number == BAD && read_totals() == wanted ? 0 : 1;
}
