/* SPDX-License-Identifier: MIT */
/*
 * percentile.h: a histogram of nanoseconds. Every 1/8 ns up to 256 ns has a
 * bucket; beyond, each doubling has 128. What is shorter than nothing (the clock
 * errs both ways) counts as 0.
 */
#ifndef BENCH_PERCENTILE_H
#define BENCH_PERCENTILE_H

#include <stdint.h>

#define PERCENTILE_LINEAR  2048 /* buckets of 1/8 ns */
#define PERCENTILE_OCTAVE  128
#define PERCENTILE_OCTAVES 30 /* from 256 ns on, to beyond four minutes */

struct percentile {
	uint64_t count;
	uint64_t buckets[PERCENTILE_LINEAR + PERCENTILE_OCTAVE * PERCENTILE_OCTAVES];
};

static inline void percentile_add(struct percentile *percentile, double ns)
{
	uint64_t eighths = ns > 0 ? (uint64_t)(ns * 8) : 0, at = eighths;
	if (eighths >= PERCENTILE_LINEAR) {
		unsigned octave = 63 - (unsigned)__builtin_clzll(eighths) - 11; /* 2048 is in octave 0 */
		at = PERCENTILE_LINEAR + PERCENTILE_OCTAVE * (uint64_t)octave +
		     (eighths >> (octave + 4)) % PERCENTILE_OCTAVE;
		if (octave >= PERCENTILE_OCTAVES)
			at = PERCENTILE_LINEAR + PERCENTILE_OCTAVE * PERCENTILE_OCTAVES - 1;
	}
	percentile->buckets[at]++;
	percentile->count++;
}

static inline void percentile_merge(struct percentile *into, const struct percentile *from)
{
	if (from->count == 0)
		return;
	for (unsigned i = 0; i < sizeof(into->buckets) / sizeof(into->buckets[0]); i++)
		into->buckets[i] += from->buckets[i];
	into->count += from->count;
}

/* The middle of the bucket in which that share of all is reached. */
static inline double percentile_at(const struct percentile *percentile, double share)
{
	double wanted = share * (double)percentile->count;
	uint64_t seen = 0;
	unsigned at = 0;
	for (unsigned i = 0; i < sizeof(percentile->buckets) / sizeof(percentile->buckets[0]); i++) {
		at = i;
		seen += percentile->buckets[i];
		if (seen > 0 && (double)seen >= wanted)
			break;
	}
	if (at < PERCENTILE_LINEAR)
		return (at + 0.5) / 8;
	unsigned octave = (at - PERCENTILE_LINEAR) / PERCENTILE_OCTAVE;
	unsigned place = (at - PERCENTILE_LINEAR) % PERCENTILE_OCTAVE;
	return (double)(UINT64_C(1) << octave) * (256 + 2 * (place + 0.5));
}

#endif
