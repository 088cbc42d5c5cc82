/* SPDX-License-Identifier: MIT */
/* bench.c: what every bench program does: its threads, the clock, the verdict. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "harness/run.h"

#define DEAD_NS INT64_C(3000000000) /* so long after the last insert nothing more was consumed */

struct producer_thread {
	struct bench *bench;
	unsigned id;
	pthread_t thread;
};

void bench_fail(const char *format, ...)
{
	va_list arguments;
	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	fflush(NULL);
	_exit(1);
}

void *bench_alloc(size_t size)
{
	size = (size + BENCH_LINE - 1) / BENCH_LINE * BENCH_LINE;
	void *memory = aligned_alloc(BENCH_LINE, size);
	if (!memory)
		bench_fail("no memory for %zu bytes", size);
	return memset(memory, 0, size);
}

int64_t bench_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct bench_check *bench_check_at(struct bench *bench, unsigned i)
{
	return &bench->internal->checks[i];
}

/* --- A run's threads -------------------------------------------------------------- */

void bench_begin(struct bench *bench)
{
	int64_t none = 0;
	pthread_barrier_wait(&bench->internal->ready);
	if (atomic_load(&bench->internal->begin_ns) == 0)
		atomic_compare_exchange_strong(&bench->internal->begin_ns, &none, bench_now_ns());
}

void bench_end(struct bench *bench, uint64_t waits)
{
	struct bench_run *run = bench->internal;
	atomic_fetch_add(&run->waits, waits);
	atomic_store(&run->put_ns, bench_now_ns());
	if (atomic_fetch_sub(&run->left, 1) == 1)
		bench->peer->finish(bench);
}

void bench_consumed(struct bench *bench, uint64_t records)
{
	struct bench_run *run = bench->internal;
	if (atomic_fetch_add_explicit(&run->consumed, records, memory_order_relaxed) + records >= run->total)
		atomic_store(&run->end_ns, bench_now_ns());
}

bool bench_goes_on(struct bench *bench)
{
	struct bench_run *run = bench->internal;
	uint64_t consumed = atomic_load_explicit(&run->consumed, memory_order_relaxed);
	if (consumed >= run->total)
		return false;
	if (atomic_load(&run->left) > 0)
		return true;
	int64_t now = bench_now_ns();
	if (run->looked_ns == 0 || consumed != run->looked) {
		run->looked = consumed;
		run->looked_ns = now;
	}
	return now - run->looked_ns < DEAD_NS;
}

void bench_latency(struct bench *bench, unsigned id, double insert_ns, double nothing_ns)
{
	percentile_add(&bench->internal->insert[id], insert_ns);
	percentile_add(&bench->internal->nothing[id], nothing_ns);
}

void bench_resolution(struct bench *bench, double resolution_ns)
{
	pthread_mutex_lock(&bench->internal->lock);
	bench->internal->resolution_ns = resolution_ns;
	pthread_mutex_unlock(&bench->internal->lock);
}

static void *producer_main(void *argument)
{
	struct producer_thread *thread = argument;
	struct bench *bench = thread->bench;
	if (bench->mode == BENCH_LATENCY)
		bench->peer->measure(bench, thread->id);
	else
		bench->peer->produce(bench, thread->id);
	return NULL;
}

static void *consumer_main(void *argument)
{
	struct bench *bench = argument;
	bench->peer->consume(bench);
	return NULL;
}

static void start_thread(pthread_t *thread, void *(*begin)(void *), void *argument)
{
	int rc = pthread_create(thread, NULL, begin, argument);
	if (rc != 0)
		bench_fail("no thread: %s", strerror(rc));
}

static void run_threads(struct bench *bench)
{
	struct producer_thread producers[BENCH_PRODUCERS_MAX];
	pthread_t consumer;
	struct timespec nap = { 0, 100000 };
	unsigned can = bench->peer->can;
	bool pulled = !(can & (BENCH_PUSH | BENCH_COPY_ONLY));

	pthread_barrier_init(&bench->internal->ready, NULL, bench->producers);
	if (pulled)
		start_thread(&consumer, consumer_main, bench);
	for (unsigned i = 0; i < bench->producers; i++) {
		producers[i].bench = bench;
		producers[i].id = i;
		start_thread(&producers[i].thread, producer_main, &producers[i]);
	}
	for (unsigned i = 0; i < bench->producers; i++)
		pthread_join(producers[i].thread, NULL);
	if (can & BENCH_COPY_ONLY) {
		bench->peer->consume(bench);
		atomic_store(&bench->internal->end_ns, atomic_load(&bench->internal->put_ns));
	} else if (pulled) {
		pthread_join(consumer, NULL);
	} else {
		while (bench_goes_on(bench))
			nanosleep(&nap, NULL);
	}
	bench->waits += atomic_load(&bench->internal->waits);
}

/* --- The verdict ---------------------------------------------------------------------- */

/* The sum over all words that were sent; of a peer that hands nothing over, of
 * as many as were found. */
static uint64_t expected_sum(const struct bench *bench)
{
	uint64_t sum = 0;
	for (unsigned id = 0; id < bench->producers; id++) {
		for (uint64_t sequence = 1; sequence <= bench->each; sequence++)
			sum += bench_word(id, sequence);
	}
	return sum;
}

static void verify(struct bench *bench)
{
	struct bench_run *run = bench->internal;
	struct bench_check all = { 0 };
	for (unsigned i = 0; i < BENCH_CHECKS; i++) {
		all.count += run->checks[i].count;
		all.sum += run->checks[i].sum;
		all.wrong += run->checks[i].wrong;
	}
	if (all.count != run->total || atomic_load(&run->consumed) != run->total)
		bench_fail("NOT VERIFIED: %llu records were put in and %llu came out",
		           (unsigned long long)run->total, (unsigned long long)all.count);
	if (all.wrong > 0)
		bench_fail("NOT VERIFIED: %llu records were out of order or had another length",
		           (unsigned long long)all.wrong);
	if (!(bench->peer->can & BENCH_COPY_ONLY) && all.sum != expected_sum(bench))
		bench_fail("NOT VERIFIED: as many records came out as were put in, but not the same ones");
}

/* --- A run ------------------------------------------------------------------------------ */

static void draw_lengths(const struct bench *bench, uint16_t *lengths)
{
	uint64_t state = 1;
	for (unsigned i = 0; i < BENCH_LENGTHS; i++) {
		state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		lengths[i] =
			(uint16_t)(bench->size_min + (state >> 33) % (bench->size_max - bench->size_min + 1));
	}
}

int bench_main(const struct bench_peer *peer, int argc, char **argv)
{
	static struct bench_run run;
	static uint16_t lengths[BENCH_LENGTHS];
	struct bench bench = {
		.peer = peer,
		.producers = 1,
		.size_min = 64,
		.size_max = 64,
		.batch = 1,
		.pace_ns = 1000,
		.variant = "",
		.lengths = lengths,
		.internal = &run,
	};
	uint64_t records = bench_parse(&bench, argc, argv);
	draw_lengths(&bench, lengths);
	pthread_mutex_init(&run.lock, NULL);
	bench.each = (records + bench.producers - 1) / bench.producers;
	run.total = bench.each * bench.producers;
	run.left = bench.producers;

	if (bench.mode == BENCH_MEMORY) {
		bench.closed = 1;
		run.resident_before = bench_resident();
		bench.queue = peer->open(&bench);
		peer->fill(&bench);
		run.resident_after = bench_resident();
		bench_report(&bench);
		fflush(NULL);
		_exit(0); /* what is held was the point; nobody is to consume it */
	}
	bench.queue = peer->open(&bench);
	run_threads(&bench);
	peer->close(&bench);
	verify(&bench);
	bench_report(&bench);
	return 0;
}
