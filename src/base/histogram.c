/* SPDX-License-Identifier: MIT */
/* histogram.c: from a time to its bucket and back; the rest is counting. */
#include "base/histogram.h"

#include <string.h>

/* A power of two has 2^HISTOGRAM_BITS buckets. */
#define HISTOGRAM_BITS 4
#define HISTOGRAM_CUT (1u << HISTOGRAM_BITS)

/* The first 2 * HISTOGRAM_CUT buckets are 1 ns wide; then each HISTOGRAM_CUT of
 * them are twice as wide as those before. */
static unsigned histogram_bucket(uint64_t ns)
{
	unsigned width_log2, bucket;

	if (ns < HISTOGRAM_CUT)
		return (unsigned)ns;
	width_log2 = 63 - (unsigned)__builtin_clzll(ns) - HISTOGRAM_BITS;
	bucket = width_log2 * HISTOGRAM_CUT + (unsigned)(ns >> width_log2);
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static uint64_t histogram_middle(unsigned bucket)
{
	unsigned width_log2;
	uint64_t from;

	if (bucket < 2 * HISTOGRAM_CUT)
		return bucket;
	width_log2 = bucket / HISTOGRAM_CUT - 1;
	from = (uint64_t)(HISTOGRAM_CUT + bucket % HISTOGRAM_CUT) << width_log2;
	return from + (UINT64_C(1) << width_log2) / 2;
}

static uint64_t histogram_add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

void histogram_init(struct histogram *histogram)
{
	memset(histogram, 0, sizeof(*histogram));
}

void histogram_record(struct histogram *histogram, uint64_t ns)
{
	uint32_t *bucket = &histogram->buckets[histogram_bucket(ns)];

	histogram->count = histogram_add(histogram->count, 1);
	histogram->sum_ns = histogram_add(histogram->sum_ns, ns);
	if (ns > histogram->max_ns)
		histogram->max_ns = ns;
	if (*bucket < UINT32_MAX)
		++*bucket;
}

/* The least time that at least permille / 1000 of `total` times do not exceed.
 * `total` is what the buckets hold, not `count`: a bucket that has stopped would
 * else push the rank beyond the end. */
static uint64_t histogram_percentile(const struct histogram *histogram, uint64_t total, unsigned permille)
{
	uint64_t rank = (total * permille + 999) / 1000;
	uint64_t seen = 0, middle;
	unsigned i = 0;

	while ((seen += histogram->buckets[i]) < rank)
		i++;
	middle = histogram_middle(i);
	return middle < histogram->max_ns ? middle : histogram->max_ns;
}

void histogram_read(const struct histogram *histogram, databuffer_latency *out)
{
	uint64_t total = 0;

	memset(out, 0, sizeof(*out));
	if (histogram->count == 0)
		return;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += histogram->buckets[i];
	out->count = histogram->count;
	out->mean_ns = histogram->sum_ns / histogram->count;
	out->max_ns = histogram->max_ns;
	out->p50_ns = histogram_percentile(histogram, total, 500);
	out->p90_ns = histogram_percentile(histogram, total, 900);
	out->p99_ns = histogram_percentile(histogram, total, 990);
	out->p999_ns = histogram_percentile(histogram, total, 999);
}
