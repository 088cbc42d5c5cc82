/* SPDX-License-Identifier: MIT */
/* report.c: what a run says at its end. */
#include <stdio.h>

#include "harness/run.h"

/* Bytes of memory that this process has for itself: not the code that it runs,
 * but what it has written. (statm's and status's counts are only approximate.) */
uint64_t bench_resident(void)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "r");
	unsigned long long kib, sum = 0;
	char line[256];
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "Anonymous: %llu kB", &kib) == 1 ||
		    sscanf(line, "Pss_Shmem: %llu kB", &kib) == 1)
			sum += kib;
	}
	if (file)
		fclose(file);
	return sum * 1024;
}

/* One histogram of all producers', in the first one's place. */
static const struct percentile *merged(struct percentile *each)
{
	for (unsigned id = 1; id < BENCH_PRODUCERS_MAX; id++)
		percentile_merge(each, &each[id]);
	return each;
}

struct report {
	double seconds, mrecords, mbytes;              /* throughput */
	double p50, p99, p999, clock, resolution;      /* latency, ns */
	double held_bytes;                             /* memory, for each record */
};

static struct report collect(struct bench *bench)
{
	struct bench_run *run = bench->internal;
	struct report report = { 0 };
	uint64_t bytes = 0;
	for (unsigned i = 0; i < BENCH_CHECKS; i++)
		bytes += run->checks[i].bytes;
	if (bench->mode == BENCH_THROUGHPUT) {
		report.seconds = (double)(run->end_ns - run->begin_ns) / 1e9;
		report.mrecords = (double)run->total / report.seconds / 1e6;
		report.mbytes = (double)bytes / report.seconds / 1e6;
	} else if (bench->mode == BENCH_LATENCY) {
		const struct percentile *insert = merged(run->insert);
		report.clock = percentile_at(merged(run->nothing), 0.5);
		report.p50 = percentile_at(insert, 0.5) - report.clock;
		report.p99 = percentile_at(insert, 0.99) - report.clock;
		report.p999 = percentile_at(insert, 0.999) - report.clock;
		report.resolution = run->resolution_ns;
	} else if (bench->held > 0) {
		double grown = (double)run->resident_after - (double)run->resident_before;
		report.held_bytes = grown / (double)bench->held;
	}
	return report;
}

static void print_json(const struct bench *bench, const struct report *report)
{
	static const char *const modes[] = { "throughput", "latency", "memory" };
	printf("{\"peer\":\"%s\",\"variant\":\"%s\",\"mode\":\"%s\"", bench->peer->name, bench->variant,
	       modes[bench->mode]);
	printf(",\"producers\":%u,\"records\":%llu,\"size_min\":%zu,\"size_max\":%zu", bench->producers,
	       (unsigned long long)bench->internal->total, bench->size_min, bench->size_max);
	printf(",\"batch\":%u,\"fresh\":%s,\"verified\":true,\"waits\":%llu", bench->batch,
	       bench->fresh ? "true" : "false", (unsigned long long)bench->waits);
	if (bench->mode == BENCH_THROUGHPUT)
		printf(",\"seconds\":%.6f,\"mrecords\":%.4f,\"mbytes\":%.2f}\n", report->seconds,
		       report->mrecords, report->mbytes);
	else if (bench->mode == BENCH_LATENCY)
		printf(",\"p50\":%.2f,\"p99\":%.2f,\"p999\":%.2f,\"clock\":%.2f,\"resolution\":%.2f}\n",
		       report->p50, report->p99, report->p999, report->clock, report->resolution);
	else
		printf(",\"held\":%llu,\"bytes_per_record\":%.2f}\n", (unsigned long long)bench->held,
		       report->held_bytes);
}

static void print_plainly(const struct bench *bench, const struct report *report)
{
	printf("%s%s%s, %u producer%s: ", bench->peer->name, bench->variant[0] ? " " : "", bench->variant,
	       bench->producers, bench->producers == 1 ? "" : "s");
	if (bench->mode == BENCH_THROUGHPUT)
		printf("%.3f s, %.2f million records/s, %.0f MB/s\n", report->seconds, report->mrecords,
		       report->mbytes);
	else if (bench->mode == BENCH_LATENCY)
		printf("p50 %.1f p99 %.1f p99.9 %.1f ns (the clock's %.1f subtracted, good to %.1f ns)\n",
		       report->p50, report->p99, report->p999, report->clock, report->resolution);
	else
		printf("%llu records held, %.1f bytes of memory for each\n", (unsigned long long)bench->held,
		       report->held_bytes);
}

void bench_report(struct bench *bench)
{
	struct report report = collect(bench);
	if (bench->internal->json)
		print_json(bench, &report);
	else
		print_plainly(bench, &report);
}
