/* SPDX-License-Identifier: MIT */
/*
 * broken: no peer, but the mutex double buffer with a consumer that does one of
 * these things wrong, once, in the middle of the run. `bench/run` sees first
 * that the harness finds each of them, so that its "verified" means something.
 *
 *      lose    a record is passed over
 *      twice   a record is given twice
 *      swap    two neighbours come in the wrong order
 *      torn    the end of a record is of another one
 *      none    nothing: this must pass
 */
#include "peers/mutex_buffer.h"

#define PEER_NAME  "broken"
#define PEER_ABOUT "a deliberately broken consumer, for the harness to find"
#define PEER_CAN   BENCH_BULK

/* Breaks a batch of n; how many records it has then. There is room for one more
 * only where the array is not full, and one neighbour only where there are two. */
static unsigned misdeed(const char *variant, unsigned char *records, unsigned n, bool *done)
{
	unsigned char spare[SIZE];
	unsigned char *last = records + (size_t)(n - 1) * SIZE, *before = last - SIZE;
	if (*done || n < 2 || n == HALF || strcmp(variant, "none") == 0)
		return n;
	*done = true;
	if (strcmp(variant, "lose") == 0)
		return n - 1;
	if (strcmp(variant, "twice") == 0) {
		memcpy(last + SIZE, last, SIZE);
		return n + 1;
	}
	if (strcmp(variant, "swap") == 0) {
		memcpy(spare, last, SIZE);
		memcpy(last, before, SIZE);
		memcpy(before, spare, SIZE);
		return n;
	}
	if (strcmp(variant, "torn") == 0) {
		memcpy(last + SIZE / 2, before + SIZE / 2, SIZE / 2);
		return n;
	}
	bench_fail("--variant must be lose, twice, swap, torn or none, not \"%s\"", variant);
}

static size_t peer_take(struct queue *queue, struct bench *bench)
{
	static bool done;
	size_t taken = 0;
	for (unsigned i = 0; i < PARTITIONS; i++) {
		struct bench_check *check = bench_check_at(bench, i);
		unsigned n = swap_arrays(&queue->partitions[i]);
		unsigned char *records = queue->partitions[i].taken;
		if (n > 0)
			n = misdeed(bench->variant, records, n, &done);
		for (unsigned k = 0; k < n; k++)
			bench_look(check, records + (size_t)k * SIZE, SIZE);
		taken += n;
	}
	return taken;
}

#include "harness/drive.h"
