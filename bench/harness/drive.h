/* SPDX-License-Identifier: MIT */
/*
 * drive.h: the loops of a bench program, around the functions of its peer. The
 * peer's file includes "bench.h", defines what follows, and then includes this.
 *
 *      #define PEER_NAME  "name"            as in the table
 *      #define PEER_ABOUT "one line"
 *      #define PEER_CAN   BENCH_BULK        or 0
 *
 *      struct queue                         the peer
 *      struct producer                      what one producer's thread has of it
 *
 *      struct queue *peer_open(struct bench *)
 *      void peer_close(struct queue *, struct bench *)
 *      void peer_join(struct queue *, struct producer *, unsigned id)
 *                                           on the producer's thread, before the clock starts
 *      void peer_leave(struct producer *)   after its last record
 *      bool peer_put(struct producer *, const void *data, size_t len)
 *                                           false: full, try again
 *
 *      unsigned peer_put_many(struct producer *, const void *base, unsigned n, size_t len)
 *                                           BENCH_BULK: how many went in, from the first
 *      size_t peer_take(struct queue *, struct bench *)
 *                                           not BENCH_PUSH: looks at a batch of records, says of how many
 *      #define PEER_FINISH                  void peer_finish(struct queue *): lets go what it holds back;
 *                                           after the last record of all
 *      #define PEER_TRY                     bool peer_try(..): peer_put without waiting
 */
#ifndef BENCH_DRIVE_H
#define BENCH_DRIVE_H

#include <stdlib.h>
#include <time.h>

#include "harness/bench.h"
#include "harness/fineclock.h"

#define DRIVE_INLINE __attribute__((always_inline)) static inline

static void *drive_open(struct bench *bench)
{
	return peer_open(bench);
}

static void drive_close(struct bench *bench)
{
	peer_close((struct queue *)bench->queue, bench);
}

static void drive_finish(struct bench *bench)
{
#ifdef PEER_FINISH
	peer_finish((struct queue *)bench->queue);
#else
	(void)bench;
#endif
}

/* --- Producers --------------------------------------------------------------------- */

/* Returns how often it was full. */
DRIVE_INLINE uint64_t drive_put(struct producer *producer, const void *data, size_t len)
{
	if (__builtin_expect(peer_put(producer, data, len), 1))
		return 0;
	struct bench_waiter wait = { 0 };
	uint64_t waits = 0;
	do {
		bench_wait(&wait);
		waits++;
	} while (!peer_put(producer, data, len));
	return waits;
}

/* Records stand in a small circle, each written some inserts before its own: a
 * copy by wide loads of bytes that narrow stores have just written waits for
 * these (some 2 to 4 ns for 64 bytes here), and which peer's copy does that is
 * not the question. With --fresh each is written right before its insert. */
#define DRIVE_CIRCLE 32
#define DRIVE_AHEAD  16

/* One by one. A constant len is one for the compiler too; lengths override it. */
DRIVE_INLINE uint64_t drive_ones(struct bench *bench, struct producer *producer, unsigned id,
                                 const uint16_t *lengths, size_t len)
{
	size_t stride = (bench->size_max + BENCH_LINE - 1) / BENCH_LINE * BENCH_LINE;
	unsigned char *circle = (unsigned char *)bench_alloc(DRIVE_CIRCLE * stride);
	uint64_t each = bench->each, ahead = bench->fresh ? 0 : DRIVE_AHEAD, waits = 0;
	for (uint64_t sequence = 1; sequence <= each + ahead; sequence++) {
		if (lengths)
			len = lengths[sequence % BENCH_LENGTHS];
		bench_record(circle + sequence % DRIVE_CIRCLE * stride, len, id, sequence);
		if (sequence <= ahead)
			continue;
		if (lengths)
			len = lengths[(sequence - ahead) % BENCH_LENGTHS];
		waits += drive_put(producer, circle + (sequence - ahead) % DRIVE_CIRCLE * stride, len);
	}
	free(circle);
	return waits;
}

#if PEER_CAN & BENCH_BULK
DRIVE_INLINE uint64_t drive_many(struct bench *bench, struct producer *producer, unsigned id, size_t len)
{
	unsigned char *records = (unsigned char *)bench_alloc(bench->batch * len);
	uint64_t each = bench->each, waits = 0;
	for (uint64_t sequence = 0; sequence < each;) {
		unsigned n = bench->batch;
		if (n > each - sequence)
			n = (unsigned)(each - sequence);
		for (unsigned i = 0; i < n; i++)
			bench_record(records + i * len, len, id, sequence + i + 1);
		struct bench_waiter wait = { 0 };
		unsigned done = peer_put_many(producer, records, n, len);
		while (done < n) {
			bench_wait(&wait);
			waits++;
			done += peer_put_many(producer, records + done * len, n - done, len);
		}
		sequence += n;
	}
	free(records);
	return waits;
}
#endif

/* A loop for each kind of workload, so that the usual size is a constant. */
static uint64_t drive_all(struct bench *bench, struct producer *producer, unsigned id)
{
#if PEER_CAN & BENCH_BULK
	if (bench->batch > 1) {
		if (bench->size_max == 64)
			return drive_many(bench, producer, id, 64);
		return drive_many(bench, producer, id, bench->size_max);
	}
#endif
	if (bench->size_min != bench->size_max)
		return drive_ones(bench, producer, id, bench->lengths, 0);
	if (bench->size_max == 64)
		return drive_ones(bench, producer, id, NULL, 64);
	return drive_ones(bench, producer, id, NULL, bench->size_max);
}

static void drive_produce(struct bench *bench, unsigned id)
{
	struct producer producer;
	peer_join((struct queue *)bench->queue, &producer, id);
	bench_begin(bench);
	uint64_t waits = drive_all(bench, &producer, id);
	bench_end(bench, waits);
	peer_leave(&producer);
}

/* One insert in every pace_ns, each timed, and nothing timed after each. */
static void drive_measure(struct bench *bench, unsigned id)
{
	unsigned char record[BENCH_SIZE_MAX] __attribute__((aligned(BENCH_LINE))) = { 0 };
	struct producer producer;
	struct fineclock clock;
	uint64_t waits = 0;
	size_t len = bench->size_max;
	fine_init(&clock);
	peer_join((struct queue *)bench->queue, &producer, id);
	bench_begin(bench);
	double pace = (double)bench->pace_ns * clock.ticks_per_ns;
	for (uint64_t sequence = 1; sequence <= bench->each; sequence++) {
		uint64_t begin = fine_read();
		bench_record(record, len, id, sequence);
		fine_before(&clock);
		bool done = peer_put(&producer, record, len);
		fine_after(&clock);
		double insert_ns = fine_elapsed(&clock);
		if (!done)
			waits += 1 + drive_put(&producer, record, len);
		fine_before(&clock);
		fine_after(&clock);
		bench_latency(bench, id, insert_ns, fine_elapsed(&clock));
		while ((double)(fine_read() - begin) < pace)
			bench_pause();
	}
	bench_resolution(bench, fine_resolution(&clock));
	bench_end(bench, waits);
	peer_leave(&producer);
}

/* Puts in what fits, with nobody consuming. */
static void drive_fill(struct bench *bench)
{
	unsigned char record[BENCH_SIZE_MAX] __attribute__((aligned(BENCH_LINE))) = { 0 };
	struct producer producer;
	size_t len = bench->size_max;
	peer_join((struct queue *)bench->queue, &producer, 0);
	while (bench->held < BENCH_BOUND) {
		bench_record(record, len, 0, bench->held + 1);
#ifdef PEER_TRY
		if (!peer_try(&producer, record, len))
			break;
#else
		if (!peer_put(&producer, record, len))
			break;
#endif
		bench->held++;
	}
	peer_leave(&producer);
}

/* --- The consumer's thread ------------------------------------------------------------ */

#if !(PEER_CAN & BENCH_PUSH)
/* When there is little it lets some gather, so that it does not fight with the
 * producers for the lines that they write. */
#define DRIVE_LITTLE 256

static void drive_consume(struct bench *bench)
{
	struct bench_waiter wait = { 0 };
	struct timespec nap = { 0, 100000 };
	while (bench_goes_on(bench)) {
		size_t n = peer_take((struct queue *)bench->queue, bench);
		if (n > 0)
			bench_consumed(bench, n);
		if (n >= DRIVE_LITTLE) {
			wait.round = 0;
			continue;
		}
		/* Where inserts are timed it stays out of their way. */
		if (bench->mode == BENCH_LATENCY)
			nanosleep(&nap, NULL);
		else
			bench_wait(&wait);
	}
}
#endif

int main(int argc, char **argv)
{
#if PEER_CAN & BENCH_PUSH
	void (*drive_consume)(struct bench *) = NULL;
#endif
	const struct bench_peer peer = {
		PEER_NAME,     PEER_ABOUT,    PEER_CAN,   drive_open,    drive_close,
		drive_produce, drive_measure, drive_fill, drive_consume, drive_finish,
	};
	return bench_main(&peer, argc, argv);
}

#endif
