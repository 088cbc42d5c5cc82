/* SPDX-License-Identifier: MIT */
/*
 * fineclock.h: how long one insert takes, though the clock is coarser than that.
 *
 * A time stamp counter may move in steps of many ticks (10 ns on the AMD machine
 * this was written on), and an insert takes 5 ns. So the clock is read several
 * times before and several times after, at even distances:
 *
 *      read read read ... read  insert  read read ... read
 *      |<-P->|                 |<- d+P ->|
 *
 * Each read says: the true time was in [value, value + step). As the distance P
 * is known (the mean of many) and is no multiple of the step, every further read
 * narrows where the last one before, and the first one after, truly were: eight
 * leave about an eighth of a step. Where reads contradict each other, because
 * the thread was interrupted between them, the one beside the insert counts.
 *
 * The same is done around nothing, in turn with the inserts; its median is the
 * cost of the clock and is subtracted. Both sides fence, so nothing of an insert
 * overlaps with what is before or after it, as it would in a program.
 */
#ifndef BENCH_FINECLOCK_H
#define BENCH_FINECLOCK_H

#include <stdint.h>

#include "harness/bench.h"

#define FINE_READS 8

struct fineclock {
	double step; /* ticks by which the counter moves */
	double ticks_per_ns;
	double period; /* P, in ticks */
	double period_sum;
	unsigned period_count;
	double width_sum; /* of the intervals: the resolution */
	uint64_t width_count;
	uint64_t before[FINE_READS], after[FINE_READS];
};

static inline uint64_t fine_read(void)
{
#if defined(__x86_64__)
	uint32_t low, high;
	__asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
	uint64_t ticks;
	__asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
	return ticks;
#else
	return (uint64_t)bench_now_ns();
#endif
}

__attribute__((always_inline)) static inline void fine_before(struct fineclock *clock)
{
	for (int i = 0; i < FINE_READS; i++)
		clock->before[i] = fine_read();
#if defined(__x86_64__)
	__asm__ volatile("lfence" ::: "memory");
#endif
}

__attribute__((always_inline)) static inline void fine_after(struct fineclock *clock)
{
	for (int i = 0; i < FINE_READS; i++)
		clock->after[i] = fine_read();
}

/* Where, in ticks after `base`, the read reads[at] truly was. */
static inline double fine_place(struct fineclock *clock, const uint64_t *reads, int at, uint64_t base)
{
	double low = -1e18, high = 1e18;
	for (int i = 0; i < FINE_READS; i++) {
		double x = (double)(int64_t)(reads[i] - base) + (at - i) * clock->period;
		low = x > low ? x : low;
		high = x + clock->step < high ? x + clock->step : high;
	}
	if (high < low - 1) {
		low = (double)(int64_t)(reads[at] - base);
		high = low + clock->step;
	} else {
		clock->width_sum += high > low ? high - low : 0;
		clock->width_count++;
	}
	return (low + high) / 2;
}

/* Nanoseconds between the last read before and the first one after. */
static inline double fine_elapsed(struct fineclock *clock)
{
	uint64_t block = clock->before[FINE_READS - 1] - clock->before[0];
	if ((double)block < 3 * FINE_READS * clock->period) {
		clock->period_sum += (double)block;
		/* The processor's frequency drifts, and P with it. */
		if (++clock->period_count == 1000) {
			clock->period = clock->period_sum / 1000 / (FINE_READS - 1);
			clock->period_sum = 0;
			clock->period_count = 0;
		}
	}
	uint64_t base = clock->before[FINE_READS - 1];
	double begin = fine_place(clock, clock->before, FINE_READS - 1, base);
	return (fine_place(clock, clock->after, 0, base) - begin) / clock->ticks_per_ns;
}

static inline double fine_resolution(const struct fineclock *clock)
{
	if (clock->width_count == 0)
		return 0;
	return clock->width_sum / (double)clock->width_count / clock->ticks_per_ns;
}

static inline void fine_init(struct fineclock *clock)
{
	memset(clock, 0, sizeof(*clock));
	/* The frequency, by the system's clock. */
	int64_t begin_ns = bench_now_ns();
	uint64_t begin = fine_read(), end;
	do
		end = fine_read();
	while (bench_now_ns() - begin_ns < 20000000);
	clock->ticks_per_ns = (double)(end - begin) / (double)(bench_now_ns() - begin_ns);
	/* The step: what all differences have in common. */
	uint64_t step = 0, last = fine_read();
	for (int i = 0; i < 2000; i++) {
		uint64_t now = fine_read(), a = now - last, b = step;
		while (b != 0) {
			uint64_t rest = a % b;
			a = b;
			b = rest;
		}
		step = a;
		last = now;
	}
	clock->step = step > 0 ? (double)step : 1;
	begin = fine_read();
	for (int i = 0; i < 10000; i++)
		end = fine_read();
	clock->period = (double)(end - begin) / 10000;
}

#endif
