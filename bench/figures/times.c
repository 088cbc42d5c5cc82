/* SPDX-License-Identifier: MIT */
/*
 * times: how long the calls take that are not inserts: start, stop (empty, and
 * with 5,000 items to flush), sync_flush of 5,000, dump of 100,000, info, stats
 * and size. 64-byte items, 4 partitions, a handler that reads every item. Each
 * is the median of many.
 */
#include "figures/figure.h"

#include <stdatomic.h>

#define PARTITIONS 4
#define TIMES_MAX  2000

struct item {
	uint64_t words[8];
};

static _Atomic uint64_t flushed, sum;

static int flush(databuffer_batch *batch, void *meta)
{
	uint64_t here = 0;
	databuffer_item item;
	(void)meta;
	while (databuffer_batch_next(batch, &item))
		here += ((const struct item *)item.data)->words[0];
	atomic_fetch_add(&sum, here);
	atomic_fetch_add(&flushed, databuffer_batch_size(batch));
	return 0;
}

static int visit(const databuffer_item *item, unsigned partition, void *ctx)
{
	uint64_t *seen = ctx;
	(void)partition;
	seen[0]++;
	seen[1] += ((const struct item *)item->data)->words[0];
	return 0;
}

static databuffer *start(int64_t max_size)
{
	databuffer_options options = databuffer_options_init();
	options.partitions = PARTITIONS;
	options.handle_flush = flush;
	options.max_size = max_size;
	return figure_start(&options);
}

/* Inserts 1 .. n; their sum. */
static uint64_t insert(databuffer *buffer, uint64_t n)
{
	for (uint64_t i = 1; i <= n; i++) {
		struct item item = { .words = { i } };
		int rc = databuffer_insert(buffer, &item, sizeof(item));
		figure_expect(rc == 0, databuffer_strerror(rc), rc);
	}
	return n * (n + 1) / 2;
}

static void time_start_and_stop(const struct figures *figures, uint64_t items, const char *name)
{
	static double starts[TIMES_MAX], stops[TIMES_MAX];
	unsigned n = figures->quick ? 5 : 100;
	for (unsigned i = 0; i < n; i++) {
		int64_t begin = figure_now_ns();
		databuffer *buffer = start(5000);
		starts[i] = (double)(figure_now_ns() - begin) / 1e3;
		atomic_store(&sum, 0);
		uint64_t wanted = insert(buffer, items);
		begin = figure_now_ns();
		int64_t left = databuffer_stop(buffer, 5000);
		stops[i] = (double)(figure_now_ns() - begin) / 1e3;
		figure_expect(left == 0 && atomic_load(&sum) == wanted, "stop did not flush all", left);
	}
	if (items == 0)
		figure_print(figures, "start", figure_median(starts, n), "us");
	figure_print(figures, name, figure_median(stops, n), "us");
}

static void time_sync_flush(const struct figures *figures)
{
	static double times[TIMES_MAX];
	unsigned n = figures->quick ? 5 : 200;
	databuffer *buffer = start(5000);
	for (unsigned i = 0; i < n; i++) {
		databuffer_result results[PARTITIONS];
		atomic_store(&sum, 0);
		uint64_t wanted = insert(buffer, 5000);
		int64_t begin = figure_now_ns();
		int rc = databuffer_sync_flush(buffer, results, PARTITIONS, 5000);
		times[i] = (double)(figure_now_ns() - begin) / 1e3;
		figure_expect(rc == 0 && atomic_load(&sum) == wanted, "sync_flush did not flush all", rc);
	}
	figure_expect(databuffer_stop(buffer, 5000) == 0, "items were left", 0);
	figure_print(figures, "sync_flush of 5,000", figure_median(times, n), "us");
}

static void time_looks(const struct figures *figures)
{
	static double dumps[TIMES_MAX], infos[TIMES_MAX], stats[TIMES_MAX], sizes[TIMES_MAX];
	unsigned n = figures->quick ? 3 : 50, many = figures->quick ? 50 : TIMES_MAX;
	databuffer *buffer = start(100000);
	uint64_t wanted = insert(buffer, 100000);
	for (unsigned i = 0; i < n; i++) {
		uint64_t seen[2] = { 0, 0 };
		int64_t begin = figure_now_ns();
		int rc = databuffer_dump(buffer, visit, seen);
		dumps[i] = (double)(figure_now_ns() - begin) / 1e3;
		figure_expect(rc == 0 && seen[0] == 100000 && seen[1] == wanted, "dump did not show all",
		              (long long)seen[0]);
	}
	for (unsigned i = 0; i < many; i++) {
		databuffer_partition_info info[PARTITIONS];
		databuffer_stats_t counters;
		int64_t begin = figure_now_ns();
		int count = databuffer_info(buffer, info, PARTITIONS);
		int64_t then = figure_now_ns();
		int rc = databuffer_stats(buffer, &counters);
		int64_t later = figure_now_ns();
		size_t held = databuffer_size(buffer);
		sizes[i] = (double)(figure_now_ns() - later) / 1e3;
		stats[i] = (double)(later - then) / 1e3;
		infos[i] = (double)(then - begin) / 1e3;
		figure_expect(count == PARTITIONS && rc == 0 && held == 100000 && counters.held == 100000,
		              "size or stats are wrong", (long long)held);
	}
	figure_expect(databuffer_stop(buffer, 5000) == 0, "items were left", 0);
	figure_print(figures, "dump of 100,000", figure_median(dumps, n), "us");
	figure_print(figures, "info", figure_median(infos, many), "us");
	figure_print(figures, "stats", figure_median(stats, many), "us");
	figure_print(figures, "size", figure_median(sizes, many), "us");
}

int main(int argc, char **argv)
{
	struct figures figures = figures_parse("times", argc, argv);
	time_start_and_stop(&figures, 0, "stop, empty");
	time_start_and_stop(&figures, 5000, "stop, 5,000 held");
	time_sync_flush(&figures);
	time_looks(&figures);
	return 0;
}
