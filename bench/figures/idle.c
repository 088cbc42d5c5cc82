/* SPDX-License-Identifier: MIT */
/*
 * idle: what a buffer costs that does nothing: threads and resident memory of a
 * thousand of them as they start, after each has had and flushed an item, and
 * how much processor they use in a second of doing nothing. And what one busy
 * buffer keeps of the memory it has used. Default options, 1 partition each.
 */
#include "figures/figure.h"

#include <stdatomic.h>
#include <sys/resource.h>

static _Atomic uint64_t flushed;

static int flush(databuffer_batch *batch, void *meta)
{
	(void)meta;
	atomic_fetch_add(&flushed, databuffer_batch_size(batch));
	return 0;
}

/* A number of /proc/self, in the file's own unit. */
static double process(const char *file, const char *field)
{
	char line[256], format[64];
	double value = 0;
	FILE *status = fopen(file, "r");
	snprintf(format, sizeof(format), "%s: %%lf", field);
	while (status && fgets(line, sizeof(line), status)) {
		if (sscanf(line, format, &value) == 1)
			break;
	}
	if (status)
		fclose(status);
	return value;
}

static double resident_kib(void)
{
	return process("/proc/self/smaps_rollup", "Anonymous");
}

/* Without the one that runs this program. */
static double threads(void)
{
	return process("/proc/self/status", "Threads") - 1;
}

static double processor_ms(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

static databuffer *start(void)
{
	databuffer_options options = databuffer_options_init();
	options.handle_flush = flush;
	return figure_start(&options);
}

static void insert(databuffer *buffer, unsigned n)
{
	uint64_t item[8] = { 0 };
	for (unsigned i = 0; i < n; i++) {
		int rc = databuffer_insert(buffer, item, sizeof(item));
		figure_expect(rc == 0, databuffer_strerror(rc), rc);
	}
}

static void thousand(const struct figures *figures)
{
	unsigned n = figures->quick ? 50 : 1000;
	databuffer **buffers = calloc(n, sizeof(*buffers));
	figure_expect(buffers != NULL, "no memory", 0);
	double before = resident_kib();
	for (unsigned i = 0; i < n; i++)
		buffers[i] = start();
	figure_print(figures, "idle buffers", n, "");
	figure_print(figures, "threads of them all, at start", threads(), "");
	figure_print(figures, "memory of each, at start", (resident_kib() - before) / n, "KiB");

	for (unsigned i = 0; i < n; i++)
		insert(buffers[i], 1);
	for (unsigned i = 0; i < n; i++) {
		int rc = databuffer_sync_flush(buffers[i], NULL, 0, 10000);
		figure_expect(rc == 0, databuffer_strerror(rc), rc);
	}
	figure_expect(atomic_load(&flushed) == n, "not each was flushed", (long long)atomic_load(&flushed));
	figure_print(figures, "memory of each, used once", (resident_kib() - before) / n, "KiB");
	/* Threads that have nothing to do may end. */
	figure_sleep_until(figure_now_ns() + (figures->quick ? 100000000 : 1500000000));
	figure_print(figures, "threads of them all, used once", threads(), "");
	if (!figures->quick) {
		double processor = processor_ms();
		figure_sleep_until(figure_now_ns() + 1000000000);
		figure_print(figures, "processor in a second of idling", processor_ms() - processor, "ms");
	}
	for (unsigned i = 0; i < n; i++)
		figure_expect(databuffer_stop(buffers[i], 10000) == 0, "items were left", 0);
	free(buffers);
}

/* Fills both segments many times over, and sees what stays. */
static void drained(const struct figures *figures)
{
	databuffer *buffer = start();
	double before = resident_kib();
	insert(buffer, 100000);
	figure_expect(databuffer_sync_flush(buffer, NULL, 0, 10000) == 0, "not flushed", 0);
	figure_print(figures, "memory after 100,000 items, drained", resident_kib() - before, "KiB");
	figure_sleep_until(figure_now_ns() + (figures->quick ? 100000000 : 15000000000));
	if (!figures->quick)
		figure_print(figures, "the same after 15 idle seconds", resident_kib() - before, "KiB");
	figure_expect(databuffer_stop(buffer, 10000) == 0, "items were left", 0);
}

int main(int argc, char **argv)
{
	struct figures figures = figures_parse("idle", argc, argv);
	drained(&figures);
	atomic_store(&flushed, 0);
	thousand(&figures);
	return 0;
}
