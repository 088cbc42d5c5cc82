/* SPDX-License-Identifier: MIT */
/* run.h: what the files of the harness share: the state of the one run that a process does. */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include <pthread.h>
#include <stdatomic.h>

#include "harness/bench.h"
#include "harness/percentile.h"

struct bench_run {
	pthread_barrier_t ready;
	_Alignas(BENCH_LINE) _Atomic uint64_t consumed;
	_Alignas(BENCH_LINE) _Atomic int64_t begin_ns; /* of the first insert; 0: none yet */
	_Atomic int64_t put_ns;   /* of the last */
	_Atomic int64_t end_ns;   /* of the last record consumed; 0: not yet */
	_Atomic unsigned left;    /* producers that still put */
	_Atomic uint64_t waits;
	uint64_t looked;          /* by the one who waits for the end: consumed, and when that last grew */
	int64_t looked_ns;
	pthread_mutex_t lock;
	double resolution_ns;
	uint64_t total;
	uint64_t resident_before, resident_after;
	bool json;
	struct percentile insert[BENCH_PRODUCERS_MAX], nothing[BENCH_PRODUCERS_MAX];
	struct bench_check checks[BENCH_CHECKS];
};

/* flags.c: fills `bench` in from the command line. Returns the number of records. */
uint64_t bench_parse(struct bench *bench, int argc, char **argv);

/* report.c: bytes of memory that this process has for itself; the line that is printed. */
uint64_t bench_resident(void);
void bench_report(struct bench *bench);

#endif
