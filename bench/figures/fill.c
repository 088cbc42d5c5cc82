/* SPDX-License-Identifier: MIT */
/*
 * fill: how full the batches are that are cut because they are full, where leases
 * would waste the most: 16 producers of which each is 1.8 times as fast as the
 * next, from millions of items a second to hundreds; and a thousand threads that
 * each insert ten items a second. Default options, 4 partitions.
 */
#include "figures/figure.h"

#include <pthread.h>
#include <stdatomic.h>

#define PARTITIONS  4
#define TICK_NS     1000000 /* how often an uneven producer inserts what is due */
#define FASTEST     4e6     /* items a second */
#define STACK_BYTES (64 * 1024)

struct seen {
	_Atomic uint64_t items, sum, full, full_items, most, least;
	uint64_t flush_size;
};

struct producer {
	pthread_t thread;
	databuffer *buffer;
	double rate; /* items a second */
	int64_t tick_ns, offset_ns, begin_ns, end_ns;
	uint64_t inserted;
};

static int flush(databuffer_batch *batch, void *meta)
{
	struct seen *seen = meta;
	uint64_t n = databuffer_batch_size(batch), sum = 0;
	databuffer_item item;
	while (databuffer_batch_next(batch, &item))
		sum += *(const uint64_t *)item.data;
	atomic_fetch_add(&seen->items, n);
	atomic_fetch_add(&seen->sum, sum);
	uint64_t most = atomic_load(&seen->most), least = atomic_load(&seen->least);
	while (n > most && !atomic_compare_exchange_weak(&seen->most, &most, n))
		;
	if (databuffer_batch_trigger(batch) != DATABUFFER_TRIGGER_SIZE)
		return 0;
	atomic_fetch_add(&seen->full, 1);
	atomic_fetch_add(&seen->full_items, n);
	while (n < least && !atomic_compare_exchange_weak(&seen->least, &least, n))
		;
	return 0;
}

/* Inserts 1, 2, 3, .. whenever they are due. */
static void *produce(void *argument)
{
	struct producer *producer = argument;
	uint64_t item[8] = { 0 };
	for (int64_t at = producer->begin_ns + producer->offset_ns; at < producer->end_ns;
	     at += producer->tick_ns) {
		figure_sleep_until(at);
		uint64_t due = (uint64_t)((double)(at - producer->begin_ns) * producer->rate / 1e9) + 1;
		while (producer->inserted < due) {
			item[0] = ++producer->inserted;
			int rc = databuffer_insert(producer->buffer, item, sizeof(item));
			figure_expect(rc == 0, databuffer_strerror(rc), rc);
		}
	}
	return NULL;
}

static void print(const struct figures *figures, const char *who, const struct seen *seen)
{
	char name[128];
	double full = (double)seen->full, size = (double)seen->flush_size;
	snprintf(name, sizeof(name), "%s: full batches", who);
	figure_print(figures, name, full, "");
	snprintf(name, sizeof(name), "%s: mean fill", who);
	figure_print(figures, name, full > 0 ? 100 * (double)seen->full_items / full / size : 0, "%");
	snprintf(name, sizeof(name), "%s: least fill", who);
	figure_print(figures, name, full > 0 ? 100 * (double)seen->least / size : 0, "%");
	snprintf(name, sizeof(name), "%s: largest batch", who);
	figure_print(figures, name, (double)seen->most, "items");
}

/* Runs them for so long, each at its rate, and checks that all came out. */
static void run(const struct figures *figures, const char *who, struct producer *producers, unsigned n,
                double seconds)
{
	struct seen seen = { .least = UINT64_MAX };
	databuffer_options options = databuffer_options_init();
	options.partitions = PARTITIONS;
	options.handle_flush = flush;
	options.flush_meta = &seen;
	seen.flush_size = (uint64_t)options.max_size;
	databuffer *buffer = figure_start(&options);
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	int64_t begin = figure_now_ns() + 200000000;
	for (unsigned i = 0; i < n; i++) {
		producers[i].buffer = buffer;
		producers[i].begin_ns = begin;
		producers[i].end_ns = begin + (int64_t)(seconds * 1e9);
		int rc = pthread_create(&producers[i].thread, &attributes, produce, &producers[i]);
		figure_expect(rc == 0, "no thread", rc);
	}
	uint64_t items = 0, sum = 0;
	for (unsigned i = 0; i < n; i++) {
		pthread_join(producers[i].thread, NULL);
		items += producers[i].inserted;
		sum += producers[i].inserted * (producers[i].inserted + 1) / 2;
	}
	pthread_attr_destroy(&attributes);
	figure_expect(databuffer_stop(buffer, 10000) == 0, "items were left", 0);
	figure_expect(seen.items == items, "another number of items came out", (long long)seen.items);
	figure_expect(seen.sum == sum, "other items came out", (long long)seen.sum);
	figure_expect(seen.most <= seen.flush_size, "a batch was too large", (long long)seen.most);
	print(figures, who, &seen);
}

static void uneven(const struct figures *figures)
{
	struct producer producers[16] = { 0 };
	double rate = FASTEST;
	for (unsigned i = 0; i < 16; i++, rate /= 1.8) {
		producers[i].rate = rate;
		producers[i].tick_ns = TICK_NS;
		producers[i].offset_ns = (int64_t)i * TICK_NS / 16;
	}
	run(figures, "16 uneven producers", producers, 16, figures->quick ? 0.3 : 3);
}

/* The short form has fewer threads and each is faster. */
static void many(const struct figures *figures)
{
	unsigned n = figures->quick ? 200 : 1000;
	struct producer *producers = calloc(n, sizeof(*producers));
	double rate = figures->quick ? 200 : 10;
	figure_expect(producers != NULL, "no memory", 0);
	for (unsigned i = 0; i < n; i++) {
		producers[i].rate = rate;
		producers[i].tick_ns = (int64_t)(1e9 / rate);
		producers[i].offset_ns = producers[i].tick_ns / (int64_t)n * i;
	}
	run(figures,
	    figures->quick ? "200 threads, 200 items a second each" : "1000 threads, 10 items a second each",
	    producers, n, figures->quick ? 1 : 20);
	free(producers);
}

int main(int argc, char **argv)
{
	struct figures figures = figures_parse("fill", argc, argv);
	uneven(&figures);
	many(&figures);
	return 0;
}
