/* SPDX-License-Identifier: MIT */
/*
 * histogram.h: how long things took, in 2.8 KB however many there were.
 *
 * Each power of two is cut into 16 equal buckets, so that a bucket is never
 * wider than 1/16 of the times in it; below 16 ns each has a bucket of its own.
 *
 *      bucket      0 ... 15 | 16 ... 31 | 32 ... 47 |     | 688 ... 703
 *      width ns       1     |     1     |     2     | ... |     2^42
 *      from ns        0     |    16     |    32     |     |     2^46
 *
 * Longer times, beyond 39 hours, are counted in the last bucket; `max_ns` and
 * `mean_ns` know them as they were.
 *
 * Invariant: the buckets add up to count, unless one has stopped at UINT32_MAX.
 *
 * Not thread-safe: whoever owns one has the lock.
 */
#ifndef DATABUFFER_BASE_HISTOGRAM_H
#define DATABUFFER_BASE_HISTOGRAM_H

#include <stdint.h>

#include <databuffer.h>

#define HISTOGRAM_BUCKETS 704

struct histogram {
	uint64_t count;
	uint64_t sum_ns; /* stops at UINT64_MAX */
	uint64_t max_ns;
	uint32_t buckets[HISTOGRAM_BUCKETS];
};

/* Makes it empty. */
void histogram_init(struct histogram *histogram);

/* Counts one time. */
void histogram_record(struct histogram *histogram, uint64_t ns);

/* Reads it: count and max_ns are exact, mean_ns is rounded down, and each
 * percentile is the middle of the bucket in which it falls, so within 1/16 of
 * the true one. All are 0 if nothing was counted. */
void histogram_read(const struct histogram *histogram, databuffer_latency *out);

#endif
