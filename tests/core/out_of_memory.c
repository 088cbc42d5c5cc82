/* SPDX-License-Identifier: MIT */
/*
 * Memory that runs out, at every point: a whole life of a buffer is lived again and again, and each time the next
 * request for memory, map or thread is the one that is refused, alone or with all that come after it for a while.
 * Each call says DATABUFFER_ENOMEM (or, for threads, DATABUFFER_EAGAIN) or goes on, and in the end every item that
 * was accepted is flushed, once.
 *
 * Requests are refused by what the linker puts in front of malloc and its kin. The test's own are not.
 */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg);
int __real_eventfd(unsigned count, int flags);

#define malloc         __real_malloc
#define calloc         __real_calloc
#define realloc        __real_realloc
#define pthread_create __real_pthread_create

#include "api/support.h"

#undef malloc
#undef calloc
#undef realloc
#undef pthread_create

/* --- Refusing ----------------------------------------------------------------------------------------- */

/* Requests until the one that is refused, from then on `refusals` of them; 0: none is. */
static _Atomic int64_t countdown;
static _Atomic int64_t refusals;
static _Atomic uint64_t refused;

static bool refuses(void)
{
	if (atomic_load(&countdown) <= 0 || atomic_fetch_sub(&countdown, 1) > 1)
		return false;
	if (atomic_fetch_sub(&refusals, 1) > 1)
		atomic_store(&countdown, 1); /* the next one, too */
	atomic_fetch_add(&refused, 1);
	return true;
}

static void arm(int64_t n, int64_t count)
{
	atomic_store(&refused, 0);
	atomic_store(&refusals, count);
	atomic_store(&countdown, n);
}

static void disarm(void)
{
	atomic_store(&countdown, 0);
}

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg);
int __wrap_eventfd(unsigned count, int flags);

static void *no_memory(void)
{
	errno = ENOMEM;
	return NULL;
}

void *__wrap_malloc(size_t size)
{
	return refuses() ? no_memory() : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return refuses() ? no_memory() : __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return refuses() ? no_memory() : __real_realloc(memory, size);
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
	return refuses() ? ENOMEM : __real_posix_memalign(memory, alignment, size);
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
	if (!refuses())
		return __real_mmap(at, size, protection, flags, fd, offset);
	errno = ENOMEM;
	return MAP_FAILED;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg)
{
	return refuses() ? EAGAIN : __real_pthread_create(thread, attributes, run, arg);
}

int __wrap_eventfd(unsigned count, int flags)
{
	if (!refuses())
		return __real_eventfd(count, flags);
	errno = ENFILE;
	return -1;
}

/* --- A life --------------------------------------------------------------------------------------------- */

struct life {
	databuffer *buf;
	databuffer_options o;
	struct sink *sink;
	bool manual;
	int64_t now_ms;
	uint64_t next; /* the first number that has not been accepted */
	unsigned troubles;
};

/* What a call may answer for want of memory, after which it is made again. */
static bool again(struct life *life, int64_t rc)
{
	if (rc >= 0)
		return false;
	if (rc != DATABUFFER_ENOMEM && rc != DATABUFFER_EAGAIN && rc != DATABUFFER_ETIMEDOUT)
		fail_msg("%s", databuffer_strerror((int)rc));
	if (++life->troubles > 20) {
		disarm(); /* it has seen enough */
		CHECK(life->troubles < 1000);
	}
	return true;
}

/* In a manual buffer nobody else makes room. */
static void work(struct life *life)
{
	if (life->manual && life->buf)
		CHECK(databuffer_work(life->buf, life->now_ms += 2) >= 0); /* past a backoff */
}

#define UNTIL_DONE(life, rc, call)                                                                          \
	do {                                                                                                \
		int64_t rc;                                                                                 \
		while (again(life, rc = (call)))                                                            \
			work(life);                                                                         \
	} while (0)

/* A handler that wants memory for everything, and without it has the batch again. */
static int use_memory(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	if (databuffer_batch_size(batch) != call->size)
		return DATABUFFER_REJECT;
	if (!databuffer_batch_iovec(batch) || (call->bytes == 8 * call->size && !databuffer_batch_array(batch)))
		return DATABUFFER_RETRY;
	if (databuffer_batch_set_result_bytes(batch, "written", 7) != 0)
		return DATABUFFER_RETRY;
	/* What nobody can take is named; then the others are flushed. */
	for (size_t i = 0; i < call->size; i++) {
		databuffer_item item = databuffer_batch_at(batch, i);
		if (number_of(&item) % 100 == 77 && databuffer_batch_fail(batch, i, "a 77") != 0)
			return DATABUFFER_RETRY;
	}
	return 0;
}

static int count_item(const databuffer_item *item, unsigned partition, void *ctx)
{
	(void)item, (void)partition;
	++*(uint64_t *)ctx;
	return 0;
}

static void hear(const databuffer_event *event, void *ctx)
{
	(void)event;
	atomic_fetch_add((_Atomic uint64_t *)ctx, 1);
}

static int64_t insert_one(struct life *life)
{
	int rc = databuffer_insert(life->buf, &(uint64_t){ life->next }, 8);
	life->next += rc == 0;
	return rc;
}

static int64_t insert_several(struct life *life)
{
	uint64_t numbers[5];
	for (unsigned i = 0; i < 5; i++)
		numbers[i] = life->next + i;
	int64_t rc = databuffer_insert_array(life->buf, numbers, 5, 8);
	life->next += rc == 0 ? 5 : 0;
	return rc;
}

/* Batches are cut under them, so that their memory is pinned and other has to be found, and the items move on. */
static int64_t reserve_and_commit(struct life *life)
{
	databuffer_slot slots[8];
	unsigned n = 0;
	int64_t rc = 0;
	for (; n < 8; n++) {
		rc = databuffer_reserve(life->buf, 8, &slots[n]);
		if (rc != 0)
			break;
		insert_one(life); /* or not */
		CHECK(databuffer_flush(life->buf) == 0);
		work(life);
	}
	while (n-- > 0) {
		memcpy(slots[n].data, &(uint64_t){ life->next }, 8);
		int committed = databuffer_commit(&slots[n]);
		CHECK(committed == 0 || committed == DATABUFFER_ENOMEM || committed == DATABUFFER_ETIMEDOUT);
		life->next += committed == 0;
	}
	return rc;
}

static int64_t dump(struct life *life)
{
	uint64_t shown = 0, held = databuffer_size(life->buf);
	int rc = databuffer_dump(life->buf, count_item, &shown);
	if (rc == 0 && life->manual)
		CHECK(shown == held);
	return rc;
}

static int64_t sync_flush(struct life *life)
{
	databuffer_result results[2] = { { .size = 99 }, { .size = 99 } };
	if (life->manual) {
		CHECK(databuffer_flush(life->buf) == 0);
		work(life);
		return 0;
	}
	int rc = databuffer_sync_flush(life->buf, results, 2, PATIENCE_MS);
	if (rc == 0)
		databuffer_results_free(results, 2);
	else
		CHECK(results[0].size == 99 && results[1].size == 99);
	return rc;
}

static int64_t grow(struct life *life)
{
	databuffer_options before = databuffer_options_init(), after = before;
	CHECK(databuffer_options_of(life->buf, &before) == 0);
	life->o.max_size = 50;
	int rc = databuffer_reconfigure(life->buf, &life->o);
	CHECK(databuffer_options_of(life->buf, &after) == 0);
	CHECK(after.max_size == (rc == 0 ? 50 : before.max_size));
	return rc;
}

static int64_t descriptor(struct life *life)
{
	int fd = databuffer_fd(life->buf);
	return fd == DATABUFFER_ENOTSUP ? 0 : fd;
}

/* Each kind of call, and a failure anywhere leads to the same end. */
static void live(struct life *life, const char *name)
{
	_Atomic uint64_t events = 0;
	databuffer_options *o = &life->o;
	life->sink = sink_new();
	life->sink->answer = use_memory;
	*o = sink_options(life->sink);
	o->handle_log = sink_log;
	o->partitions = 2;
	o->max_size = 10;
	o->max_bytes = 4096;
	o->max_stuck = 0;
	o->timeout = life->manual ? 0 : 50;
	o->retry_min = o->retry_max = 1;
	o->flusher = life->manual ? DATABUFFER_MANUAL : DATABUFFER_THREADS;
	o->flusher_count = life->manual ? 0 : 2;
	UNTIL_DONE(life, set, databuffer_options_set(o, "name", name));
	UNTIL_DONE(life, started, databuffer_start(&life->buf, o));
	work(life);
	UNTIL_DONE(life, attached, databuffer_telemetry_attach("hears", DATABUFFER_EVENTS_ALL, hear, &events));
	UNTIL_DONE(life, also, databuffer_telemetry_attach("hears too", DATABUFFER_EVENTS_ALL, hear, &events));
	for (unsigned i = 0; i < 30; i++)
		UNTIL_DONE(life, inserted, insert_one(life));
	UNTIL_DONE(life, several, insert_several(life));
	UNTIL_DONE(life, reserved, reserve_and_commit(life));
	UNTIL_DONE(life, shown, dump(life));
	UNTIL_DONE(life, flushed, sync_flush(life));
	UNTIL_DONE(life, grown, grow(life));
	UNTIL_DONE(life, found, descriptor(life));
	for (unsigned i = 0; i < 60; i++)
		UNTIL_DONE(life, inserted, insert_one(life));
	CHECK(databuffer_telemetry_detach("hears") == 0);
	CHECK(databuffer_telemetry_detach("hears too") == 0);
	databuffer_stats_t s = stats_of(life->buf);
	assert_int_equal(s.inserted, life->next);
	assert_int_equal(s.dropped + s.left, 0);
	stop_clean(life->buf);
	disarm();
	/* The dead are among the shown of calls that were answered with 0. */
	assert_flushed_once(life->sink, 0, life->next);
	assert_int_equal(life->sink->dead_count, (life->next + 22) / 100);
	sink_free(life->sink);
}

static void live_with_every_refusal(bool manual, int64_t count)
{
	uint64_t lives = 0;
	char name[64];
	for (int64_t n = 1;; n++) {
		struct life life = { .manual = manual };
		arm(n, count);
		/* A name that has not been set yet takes memory. */
		snprintf(name, sizeof(name), "%s-%d-%d", manual ? "manual" : "threads", (int)count, (int)n);
		live(&life, name);
		lives++;
		if (atomic_load(&refused) == 0)
			break;
	}
	print_message("%d requests, %d refused at a time\n", (int)lives - 1, (int)count);
	assert_true(lives > (manual ? 25 : 30));
}

static void a_life_survives_the_refusal_of_any_one_request(void **state)
{
	(void)state;
	live_with_every_refusal(true, 1);
	live_with_every_refusal(false, 1);
}

static void and_of_any_ten_in_a_row(void **state)
{
	(void)state;
	live_with_every_refusal(true, 10);
	live_with_every_refusal(false, 10);
}

/* Where nothing else is asked: the refused start leaves nothing behind, neither a name nor memory. */
static void a_start_that_is_refused_at_any_point_leaves_nothing_behind(void **state)
{
	(void)state;
	static const int64_t flushers[] = { DATABUFFER_THREADS, DATABUFFER_MANUAL, DATABUFFER_PROCESSES };
	for (unsigned i = 0; i < 3; i++) {
		for (int64_t n = 1, done = 0; !done; n++) {
			struct sink *sink = sink_new();
			databuffer_options o = sink_options(sink);
			databuffer *buf = NULL;
			o.name = "started";
			o.partitions = 3;
			o.flusher = flushers[i];
			arm(n, 1);
			int rc = databuffer_start(&buf, &o);
			disarm();
			done = atomic_load(&refused) == 0;
			if (done && rc != 0)
				fail_msg("start: %s: %s", databuffer_strerror(rc), sink->error);
			assert_true(rc == 0 || rc == DATABUFFER_ENOMEM || rc == DATABUFFER_EAGAIN);
			if (rc == 0)
				stop_clean(buf);
			else
				assert_null(buf);
			assert_null(databuffer_find("started"));
			sink_free(sink);
		}
	}
}

/* A thread's first insert, with others waiting for what it holds up. */
static void *insert_first(void *arg)
{
	struct life *life = arg;
	int rc;
	do
		rc = databuffer_insert(life->buf, &(uint64_t){ 7 }, 8);
	while (rc == DATABUFFER_ENOMEM);
	CHECK(rc == 0);
	return NULL;
}

static void a_threads_first_insert_says_so_and_its_second_try_goes_in(void **state)
{
	(void)state;
	struct life life = { .sink = sink_new() };
	databuffer_options o = sink_options(life.sink);
	life.buf = start(&o);
	for (int64_t n = 1; n <= 3; n++) {
		arm(n, 2);
		thread_join(thread_run(insert_first, &life));
		disarm();
	}
	assert_int_equal(stats_of(life.buf).inserted, 3);
	stop_clean(life.buf);
	sink_free(life.sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_life_survives_the_refusal_of_any_one_request),
		cmocka_unit_test(and_of_any_ten_in_a_row),
		cmocka_unit_test(a_start_that_is_refused_at_any_point_leaves_nothing_behind),
		cmocka_unit_test(a_threads_first_insert_says_so_and_its_second_try_goes_in),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
