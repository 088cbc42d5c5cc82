/* SPDX-License-Identifier: MIT */
/*
 * bench.h: one workload for every peer.
 *
 *      producer 0 ─┐            ┌──────────┐
 *      producer 1 ─┼─ records ─>│ the peer │─> consumer: reads every record,
 *      producer n ─┘            └──────────┘   in batches, and checks it
 *
 * A record says in its first 8 bytes who made it, which it is, and how long it
 * is, and has in its last 8 a word that depends on both. The consumer sums that
 * word, counts, and sees that each producer's records come in their order. At
 * the end count and sum must be what was sent, or the program fails. So each
 * run is a test as well: nothing lost, nothing twice, nothing half-copied,
 * nothing out of order.
 *
 * A peer is one file: it says what it is in a few functions and includes
 * "drive.h", which makes the loops around them, so that what a peer can inline
 * is inlined. What does not depend on the peer (threads, the clock, the verdict,
 * flags) is in bench.c, flags.c and report.c. C11 and C++17 both.
 */
#ifndef BENCH_H
#define BENCH_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_PRODUCERS_MAX 64
#define BENCH_SIZE_MIN      16
#define BENCH_SIZE_MAX      4096
#define BENCH_BATCH_MAX     1000
#define BENCH_BOUND         65536 /* records that a peer may hold, over all producers */
#define BENCH_LINE          64    /* bytes of a cache line */
#define BENCH_LENGTHS       1024  /* lengths drawn beforehand, used in a circle; a power of two */

enum bench_mode {
	BENCH_THROUGHPUT, /* records a second, from the first insert to the last record consumed */
	BENCH_LATENCY,    /* how long single inserts take while nothing is full */
	BENCH_MEMORY      /* bytes resident for a record that is held */
};

/* What a peer can do besides taking single records of 64 bytes; for PEER_CAN. */
#define BENCH_BULK      1U /* take many at a call */
#define BENCH_VARIABLE  2U /* take any length */
#define BENCH_PUSH      4U /* it calls its consumer; all others are asked by a thread of the harness */
#define BENCH_COPY_ONLY 8U /* hands nothing over; what it holds at the end is looked at */

struct bench_peer;

/* One run. */
struct bench {
	const struct bench_peer *peer;
	enum bench_mode mode;
	unsigned producers;
	uint64_t each;             /* records of every producer */
	size_t size_min, size_max; /* bytes of a record, mixed evenly when they differ */
	unsigned batch;            /* records of one call */
	uint64_t pace_ns;          /* latency: one insert of a producer in so much time */
	bool fresh;                /* records are written right before their insert */
	const char *variant;       /* which of its ways the peer is to go, or "" */

	void *queue;             /* the peer's */
	const uint16_t *lengths; /* BENCH_LENGTHS of them */
	uint64_t waits;          /* inserts that found it full */
	uint64_t held;           /* memory: how many went in */
	uint32_t closed;         /* memory: consumers stay away */
	struct bench_run *internal;
};

/* What drive.h makes of a peer. All of them end the process if they fail. */
struct bench_peer {
	const char *name, *about;
	unsigned can; /* BENCH_BULK, .. */
	void *(*open)(struct bench *bench);
	void (*close)(struct bench *bench);
	void (*produce)(struct bench *bench, unsigned id);
	void (*measure)(struct bench *bench, unsigned id);
	void (*fill)(struct bench *bench);
	void (*consume)(struct bench *bench);
	void (*finish)(struct bench *bench);
};

/* Everything that a program does. What it returns is main's. */
int bench_main(const struct bench_peer *peer, int argc, char **argv);

/* Says why on standard error and ends the process with 1. */
void bench_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Cache-aligned zeroed memory, or the end of the process. */
void *bench_alloc(size_t size);

/* --- For the loops of drive.h ------------------------------------------------- */

/* A producer is ready: returns when all are. Then: it has put its last. */
void bench_begin(struct bench *bench);
void bench_end(struct bench *bench, uint64_t waits);
/* So many records have been looked at. The last of all stops the clock. */
void bench_consumed(struct bench *bench, uint64_t records);
/* Whether to look again: records are missing, and it is not yet three seconds
 * that all are put and none comes. For the one thread that waits for the end. */
bool bench_goes_on(struct bench *bench);
/* One latency, and that of nothing at all, in nanoseconds. */
void bench_latency(struct bench *bench, unsigned id, double insert_ns, double nothing_ns);
void bench_resolution(struct bench *bench, double resolution_ns);
int64_t bench_now_ns(void);

/* --- Records -------------------------------------------------------------------- */

static inline uint64_t bench_word(unsigned producer, uint64_t sequence)
{
	return sequence * UINT64_C(0x9e3779b97f4a7c15) + producer * UINT64_C(0xc2b2ae3d27d4eb4f);
}

/* Writes the two ends of a record of len bytes; sequence numbers start at 1. */
static inline void bench_record(unsigned char *record, size_t len, unsigned producer, uint64_t sequence)
{
	uint64_t head = (uint64_t)len << 48 | (uint64_t)producer << 32 | (uint32_t)sequence;
	uint64_t word = bench_word(producer, sequence);
	memcpy(record, &head, sizeof(head));
	memcpy(record + len - sizeof(word), &word, sizeof(word));
}

/* What one consumer has seen. One for each path on which a producer's records
 * must keep their order; the harness adds them up. */
struct bench_check {
	uint64_t count, sum, bytes, wrong;
	uint32_t last[BENCH_PRODUCERS_MAX];
	char apart[BENCH_LINE]; /* from the next one's counters */
};

/* The consumer's check number i, below BENCH_CHECKS. */
#define BENCH_CHECKS 64
struct bench_check *bench_check_at(struct bench *bench, unsigned i);

/* Reads a record: this is what a consumer does with each. */
static inline void bench_look(struct bench_check *check, const void *data, size_t len)
{
	uint64_t head, word;
	memcpy(&head, data, sizeof(head));
	memcpy(&word, (const unsigned char *)data + len - sizeof(word), sizeof(word));
	uint32_t sequence = (uint32_t)head;
	uint32_t *last = &check->last[(head >> 32) % BENCH_PRODUCERS_MAX];
	check->wrong += (unsigned)(sequence <= *last) | (unsigned)(head >> 48 != len);
	*last = sequence;
	check->sum += word;
	check->bytes += len;
	check->count++;
}

/* What calls its consumer does this first: in the memory mode none consumes. */
static inline void bench_gate(const struct bench *bench)
{
	while (__atomic_load_n(&bench->closed, __ATOMIC_ACQUIRE))
		sched_yield();
}

/* --- Waiting, the same for all that is written here -------------------------------- */

struct bench_waiter {
	unsigned round;
};

static inline void bench_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#endif
}

/* 1, 2, 4, .. 128 pauses, then the processor is given to others, each time. */
static inline void bench_wait(struct bench_waiter *wait)
{
	if (wait->round >= 8) {
		sched_yield();
		return;
	}
	for (unsigned i = 0; i < 1U << wait->round; i++)
		bench_pause();
	wait->round++;
}

#ifdef __cplusplus
}
#endif

#endif
