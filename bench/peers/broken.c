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

static unsigned producer_of(const unsigned char *record)
{
	uint64_t head;
	memcpy(&head, record, sizeof(head));
	return (unsigned)(head >> 32) % BENCH_PRODUCERS_MAX;
}

/* Two neighbours of one producer; their order is the one that is promised. */
static unsigned char *find_pair(unsigned char *records, unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		if (producer_of(records + (size_t)i * SIZE) == producer_of(records + (size_t)(i - 1) * SIZE))
			return records + (size_t)(i - 1) * SIZE;
	return NULL;
}

/* Breaks a batch of n, if it has two such neighbours; how many records it has then. */
static unsigned misdeed(const char *variant, unsigned char *records, unsigned n, bool *done)
{
	unsigned char spare[SIZE];
	unsigned char *one = find_pair(records, n), *end = records + (size_t)n * SIZE;
	if (*done || !one || strcmp(variant, "none") == 0)
		return n;
	unsigned char *two = one + SIZE;
	*done = true;
	if (strcmp(variant, "lose") == 0)
		return n - 1;
	if (strcmp(variant, "twice") == 0) {
		memcpy(end, end - SIZE, SIZE);
		return n + 1;
	}
	if (strcmp(variant, "swap") == 0) {
		memcpy(spare, two, SIZE);
		memcpy(two, one, SIZE);
		memcpy(one, spare, SIZE);
		return n;
	}
	if (strcmp(variant, "torn") == 0) {
		memcpy(two + SIZE / 2, one + SIZE / 2, SIZE / 2);
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
