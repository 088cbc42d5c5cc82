/* SPDX-License-Identifier: MIT */
/*
 * schedule [WORLDS]: small worlds, each of a seed that says what its threads do
 * and how they are scheduled at each step of the library's (hand.h). Two to four
 * threads insert, reserve, flush, look and end; batches are so small that every
 * slow step comes often; and each item has to have its one outcome, whole, in
 * order, together with those it came with, in a batch of the right size.
 *
 * DATABUFFER_TEST_SEED=n replays that world, WORLDS times.
 */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <databuffer.h>

#include "core/buffer.h"
#include "schedule/account.h"
#include "schedule/hand.h"

#define PATIENCE_MS 20000
#define PHASES 4 /* of a world; between them all actors rest */

/* --- Failing: always with the seed -------------------------------------------------------- */

static char seed_line[64];

static void put(const char *text)
{
	if (write(2, text, strlen(text)) < 0)
		return;
}

static void tell(void)
{
	put("the last steps, and whose they were (from 16 on the library's threads):\n");
	hand_tell();
	put("in this world, to replay it: ");
	put(seed_line);
}

void broken(const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	abort();
}

static void on_end(int signal)
{
	if (signal == SIGALRM)
		put("nothing has happened for two minutes: somebody waits for ever\n");
	tell();
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigaction(SIGABRT, &action, NULL);
	abort();
}

/* A sanitizer ends the process in a way of its own. */
extern void __sanitizer_set_death_callback(void (*)(void)) __attribute__((weak));

static void watch_for_ends(void)
{
	struct sigaction action = { .sa_handler = on_end };
	sigaction(SIGABRT, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(tell);
}

/* --- A world --------------------------------------------------------------------------------- */

static struct {
	databuffer *buf;
	size_t max_size, max_bytes;
	bool even;              /* all items of one length */
	size_t len;
	bool reserves;          /* slots are held, which may keep others waiting */
	bool drops;             /* overflow gives items up */
	unsigned retry, reject, name; /* in 100 batches: how many the handler answers so, or names one of */
	unsigned actors, acts;  /* acts: in each phase */
	bool stops_early;       /* an actor stops it */
	int64_t stop_timeout_ms;
	_Atomic int64_t left;   /* what stop has answered */
	_Atomic bool stopping, emptied, working; /* emptied: it has stopped with nothing left over */
	unsigned numbers[ACTORS_MAX];
	pthread_barrier_t rest;
} world;

static int64_t now_ms(void)
{
	return port_now_ns() / PORT_NS_PER_MS;
}

static bool one_in(uint64_t n)
{
	return hand_draw(n) == 0;
}

static int handle_flush(databuffer_batch *batch, void *meta)
{
	(void)meta;
	HOLDS(!atomic_load_explicit(&world.emptied, memory_order_relaxed), "a handler is called after a stop");
	int answer = 0;
	size_t size = databuffer_batch_size(batch), but = SIZE_MAX;
	hand_step("test: handler");
	account_look(batch);
	hand_step("test: handler, at work");
	unsigned draw = (unsigned)hand_draw(100);
	if (draw < world.retry) {
		answer = DATABUFFER_RETRY;
	} else if (draw < world.retry + world.reject) {
		answer = one_in(3) ? DATABUFFER_TOO_LARGE : DATABUFFER_REJECT;
	} else {
		if (draw < world.retry + world.reject + world.name) {
			but = hand_draw(size);
			HOLDS(databuffer_batch_fail(batch, but, "bad") == 0, "an item could not be named");
		}
		account_look(batch);
		account_flushed(batch, but);
	}
	hand_step("test: handler, done");
	return answer;
}

static void handle_dead(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	(void)reason, (void)meta;
	account_end_of(item, DEAD);
}

static void handle_drop(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	(void)reason, (void)meta;
	hand_step("test: gives up");
	account_end_of(item, DROPPED);
}

static void handle_left(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	(void)reason, (void)meta;
	account_end_of(item, LEFT);
}

static void handle_log(databuffer_log_level level, const char *line, void *meta)
{
	(void)meta;
	HOLDS(level != DATABUFFER_LOG_ERROR, "the log says: %s", line);
}

static databuffer_options draw_world(void)
{
	static const size_t lens[] = { 8, 12, 16, 24, 40, 48 };
	static const int64_t overflows[] = { DATABUFFER_OVERFLOW_FAIL, DATABUFFER_OVERFLOW_DROP_NEWEST,
		                             DATABUFFER_OVERFLOW_DROP_OLDEST };
	databuffer_options o = databuffer_options_init();
	o.handle_flush = handle_flush;
	o.handle_dead = handle_dead;
	o.handle_drop = handle_drop;
	o.handle_left = handle_left;
	o.handle_log = handle_log;
	o.partitions = 1 + (int64_t)hand_draw(3);
	o.max_size = 3 + (int64_t)hand_draw(one_in(2) ? 3 : 18);
	o.max_size_jitter = one_in(4) ? (int64_t)hand_draw(4) : 0;
	o.max_bytes = one_in(3) ? 64 + (int64_t)hand_draw(400) : 1 << 16;
	o.max_in_flight = one_in(6) ? 2 : 1;
	o.max_queued = (int64_t)hand_draw(3);
	o.flush_interval = one_in(3) ? 1 + (int64_t)hand_draw(3) : 0;
	o.flush_jitter = 0;
	o.flusher = one_in(5) ? DATABUFFER_MANUAL : DATABUFFER_THREADS;
	o.timeout = 1;
	o.retry_min = o.retry_max = 1;
	if (one_in(4))
		o.overflow = overflows[hand_draw(3)];

	memset(&world, 0, sizeof(world));
	world.even = one_in(2);
	world.len = lens[hand_draw(sizeof(lens) / sizeof(lens[0]))];
	world.reserves = one_in(3);
	world.drops = o.overflow >= DATABUFFER_OVERFLOW_DROP_NEWEST;
	world.retry = one_in(4) ? 20 : 0;
	world.reject = one_in(6) ? 20 : 0;
	world.name = one_in(6) ? 20 : 0;
	world.actors = 2 + (unsigned)hand_draw(3);
	world.acts = 2 + (unsigned)hand_draw(8);
	world.stops_early = one_in(4);
	world.stop_timeout_ms = one_in(4) ? 0 : PATIENCE_MS;
	world.max_size = (size_t)o.max_size;
	world.max_bytes = (size_t)o.max_bytes;
	account_begin(&(struct account_rules){
		.max_size = (size_t)(o.max_size + o.max_size_jitter),
		.max_bytes = (size_t)o.max_bytes,
		.ordered = o.max_in_flight == 1,
		.whole = world.reject == 0 && world.name == 0 && !world.drops,
	});
	return o;
}

/* --- Actors ------------------------------------------------------------------------------------ */

#define HOLDS_MAX 3

struct actor {
	unsigned number, next; /* its own, and its next item's */
	unsigned accepted;     /* since the last sync_flush that it had */
	struct {
		databuffer_slot slot;
		unsigned number;
	} held[HOLDS_MAX];
	unsigned held_count;
	bool over;
	struct account_dump dump;
};

static size_t draw_len(void)
{
	return world.even ? world.len : ITEM_MIN + hand_draw(ITEM_MAX - ITEM_MIN + 1);
}

/* Nobody who waits for long may be left waiting: there is always somebody to flush. */
static int64_t draw_timeout(void)
{
	return one_in(2) ? (int64_t)hand_draw(2) : world.reserves ? 2 : PATIENCE_MS;
}

/* Looks at an insert's answer, which is that of items [from, from + n). */
static void answered(struct actor *actor, unsigned from, size_t n, int64_t rc, int64_t begin_ms)
{
	size_t in = rc == 0 ? n : rc > 0 ? (size_t)rc : 0;
	HOLDS(in <= n, "of %zu items %zu went in", n, in);
	/* At its deadline it looks once more, and may find room that it was not told of. */
	HOLDS(now_ms() - begin_ms < PATIENCE_MS, "an insert has waited for ever");
	account_accept(actor->number, from, in);
	if (rc >= 0)
		return;
	if (rc == DATABUFFER_ESTOPPED)
		actor->over = true;
	HOLDS(rc == DATABUFFER_ETIMEDOUT || rc == DATABUFFER_EFULL || rc == DATABUFFER_ESTOPPED, "an insert answers %lld",
	      (long long)rc);
}

static void act_insert(struct actor *actor, bool keyed)
{
	unsigned char bytes[ITEM_MAX];
	size_t len = draw_len();
	unsigned number = actor->next++;
	int64_t timeout_ms = draw_timeout(), begin_ms = now_ms();
	account_write(bytes, len, actor->number, number, 0, false);
	int rc = keyed ? databuffer_insert_keyed_timed(world.buf, hand_draw(3), bytes, len, timeout_ms) :
	                 databuffer_insert_timed(world.buf, bytes, len, timeout_ms);
	answered(actor, number, 1, rc, begin_ms);
}

/* So many that they fit into a batch, and stand together there; or, now and then,
 * more than that. */
static size_t draw_count(size_t len_max, bool *together)
{
	size_t most = world.max_bytes / len_max < world.max_size ? world.max_bytes / len_max : world.max_size;
	*together = !one_in(8);
	return 1 + hand_draw(*together ? most : 3 * most);
}

static void act_insert_many(struct actor *actor, bool array)
{
	static _Thread_local unsigned char bytes[64 * ITEM_MAX];
	databuffer_item items[64];
	bool together;
	size_t array_len = draw_len(), n = draw_count(array ? array_len : ITEM_MAX, &together), at = 0;
	unsigned number = actor->next;
	int64_t timeout_ms = draw_timeout(), begin_ms = now_ms(), rc;
	actor->next += (unsigned)n;
	for (size_t i = 0; i < n; i++) {
		size_t len = array ? array_len : draw_len();
		account_write(&bytes[at], len, actor->number, number + (unsigned)i, together ? (unsigned)i : 0, false);
		items[i] = (databuffer_item){ &bytes[at], len };
		at += len;
	}
	if (array)
		rc = databuffer_insert_array_timed(world.buf, bytes, n, array_len, timeout_ms);
	else
		rc = databuffer_insert_batch_timed(world.buf, items, n, timeout_ms);
	HOLDS(rc <= 0 || !together, "of an array that fits into a batch only %lld items went in", (long long)rc);
	answered(actor, number, n, rc, begin_ms);
}

static void act_reserve(struct actor *actor)
{
	if (!world.reserves || actor->held_count == HOLDS_MAX)
		return;
	databuffer_slot slot;
	int rc = databuffer_reserve(world.buf, draw_len(), &slot);
	if (rc == DATABUFFER_ESTOPPED)
		actor->over = true;
	if (rc != 0)
		return;
	unsigned number = actor->next++;
	account_write(slot.data, slot.len, actor->number, number, 0, true);
	actor->held[actor->held_count].slot = slot;
	actor->held[actor->held_count++].number = number;
}

static void act_resolve(struct actor *actor)
{
	if (actor->held_count == 0)
		return;
	unsigned i = --actor->held_count;
	if (one_in(3)) {
		HOLDS(databuffer_abort(&actor->held[i].slot) == 0, "a slot could not be aborted");
		return;
	}
	int64_t begin_ms = now_ms();
	answered(actor, actor->held[i].number, 1, databuffer_commit(&actor->held[i].slot), begin_ms);
}

static int visit(const databuffer_item *item, unsigned partition, void *ctx)
{
	(void)partition;
	account_show(ctx, item);
	hand_step("test: shown");
	return 0;
}

static void act_look(struct actor *actor)
{
	struct databuffer_stats stats;
	int rc = 0;
	switch (hand_draw(3)) {
	case 0:
		memset(&actor->dump, 0, sizeof(actor->dump));
		rc = databuffer_dump(world.buf, visit, &actor->dump);
		break;
	case 1:
		rc = databuffer_check(world.buf);
		break;
	case 2:
		rc = databuffer_stats(world.buf, &stats);
		HOLDS(rc != 0 || stats.inserted == stats.held + stats.flushed + stats.dead + stats.dropped + stats.left,
		      "the counters do not add up");
		break;
	}
	HOLDS(rc == 0 || rc == DATABUFFER_ESTOPPED, "a look in answers %d", rc);
}

static void act_sync(struct actor *actor)
{
	int rc = databuffer_sync_flush(world.buf, NULL, 0, PATIENCE_MS);
	/* Of items that are given up another thread may be about to be told. */
	if (rc == 0 && !world.drops && !atomic_load_explicit(&world.stopping, memory_order_relaxed))
		account_all_done(actor->number, actor->next);
	HOLDS(rc == 0 || rc == DATABUFFER_ESTOPPED, "a sync_flush answers %d", rc);
}

static void stop(void)
{
	atomic_store_explicit(&world.stopping, true, memory_order_relaxed);
	int64_t left = databuffer_stop(world.buf, world.stop_timeout_ms);
	HOLDS(left >= 0, "a stop answers %lld", (long long)left);
	HOLDS(left == 0 || world.stop_timeout_ms == 0, "a stop with time enough leaves %lld items over",
	      (long long)left);
	atomic_store_explicit(&world.emptied, left == 0, memory_order_relaxed);
	atomic_store_explicit(&world.left, left, memory_order_relaxed);
}

static void act(struct actor *actor)
{
	switch (hand_draw(16)) {
	case 0:
	case 1:
		act_insert(actor, true);
		break;
	case 2:
	case 3:
		act_insert_many(actor, true);
		break;
	case 4:
	case 5:
		act_insert_many(actor, false);
		break;
	case 6:
		act_reserve(actor);
		break;
	case 7:
		act_resolve(actor);
		break;
	case 8:
	case 9:
		act_look(actor);
		break;
	case 10:
		if (one_in(3))
			act_sync(actor);
		else
			databuffer_flush(world.buf);
		break;
	default:
		for (uint64_t n = hand_draw(6); n > 0 && !actor->over; n--)
			act_insert(actor, false);
	}
}

/* When nobody inserts, no full batch may be left open: who filled it has seen so,
 * or who took its lease back. */
static void look_for_full_batches(void)
{
	for (unsigned i = 0; i < world.buf->partition_count; i++) {
		struct partition *partition = &world.buf->partitions[i];
		databuffer_trigger trigger;
		pthread_mutex_lock(&partition->lock);
		bool full = partition->open && segment_is_full(partition->open, &trigger);
		pthread_mutex_unlock(&partition->lock);
		HOLDS(!full, "partition %u has a full batch that nobody has cut", i);
	}
}

/* Until all actors have come to the end of their phase. */
static void rest(struct actor *actor)
{
	pthread_barrier_wait(&world.rest);
	if (actor->number == 0 && !atomic_load_explicit(&world.stopping, memory_order_relaxed))
		look_for_full_batches();
	pthread_barrier_wait(&world.rest);
}

static void *run_actor(void *arg)
{
	struct actor *actor = arg;
	hand_join(actor->number);
	for (unsigned phase = 0; phase < PHASES; phase++) {
		for (unsigned i = 0; i < world.acts && !actor->over && actor->next + 64 < NUMBERS_MAX; i++)
			act(actor);
		if (actor->number == 0 && world.stops_early && phase + 1 == PHASES) {
			/* The others may be anywhere. */
			while (actor->held_count > 0)
				act_resolve(actor);
			stop();
		}
		rest(actor);
	}
	world.numbers[actor->number] = actor->next;
	return NULL; /* with its leases, and perhaps with slots that it has reserved */
}

/* --- Whole worlds -------------------------------------------------------------------------------- */

static void *run_loop(void *arg)
{
	(void)arg;
	hand_join(ACTORS_MAX);
	while (atomic_load_explicit(&world.working, memory_order_relaxed)) {
		int rc = databuffer_work(world.buf, now_ms());
		HOLDS(rc >= 0 || rc == DATABUFFER_ESTOPPED || rc == DATABUFFER_EDEADLK, "databuffer_work answers %d", rc);
		hand_step("test: worked");
		if (rc <= 0)
			nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	}
	return NULL;
}

static void run_world(uint64_t number)
{
	static struct actor actors[ACTORS_MAX];
	pthread_t threads[ACTORS_MAX], loop;
	snprintf(seed_line, sizeof(seed_line), "DATABUFFER_TEST_SEED=%" PRIu64 "\n", number);
	alarm(120);
	hand_join(ACTORS_MAX + 1);
	hand_begin(number);
	databuffer_options o = draw_world();
	HOLDS(databuffer_start(&world.buf, &o) == 0, "a buffer could not be started");
	bool manual = o.flusher == DATABUFFER_MANUAL;
	atomic_store_explicit(&world.working, manual, memory_order_relaxed);
	if (manual)
		HOLDS(pthread_create(&loop, NULL, run_loop, NULL) == 0, "there is no thread to be had");
	pthread_barrier_init(&world.rest, NULL, world.actors);
	for (unsigned i = 0; i < world.actors; i++) {
		memset(&actors[i], 0, sizeof(actors[i]));
		actors[i].number = i;
		HOLDS(pthread_create(&threads[i], NULL, run_actor, &actors[i]) == 0, "there is no thread to be had");
	}
	for (unsigned i = 0; i < world.actors; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&world.rest);
	if (!world.stops_early) {
		int rc = databuffer_check(world.buf);
		HOLDS(rc == 0, "databuffer_check answers %d", rc);
		stop();
	}
	atomic_store_explicit(&world.working, false, memory_order_relaxed);
	if (manual)
		pthread_join(loop, NULL);
	/* A stop that has no time leaves handlers behind; the last of them frees the buffer's insides. */
	while (atomic_load_explicit(&world.buf->users, memory_order_acquire) > 0)
		nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	hand_end();
	account_balance(world.numbers, atomic_load_explicit(&world.left, memory_order_relaxed));
}

int main(int argc, char **argv)
{
	uint64_t worlds = argc > 1 ? strtoull(argv[1], NULL, 10) : 2500;
	const char *given = getenv("DATABUFFER_TEST_SEED");
	uint64_t first = given ? strtoull(given, NULL, 0) : port_entropy() >> 16;
	int64_t begin = now_ms();
	watch_for_ends();
	printf("DATABUFFER_TEST_SEED=%" PRIu64 "%s, %" PRIu64 " worlds\n", first, given ? " again and again" : " and on",
	       worlds);
	fflush(stdout);
	for (uint64_t i = 0; i < worlds; i++)
		run_world(given ? first : first + i);
	HOLDS(worlds < 100 || hand_places() > 50, "of the library's steps only %u were seen", hand_places());
	printf("%" PRIu64 " worlds in %.1f s, %" PRIu64 " steps at %u places; %" PRIu64 " items flushed, %" PRIu64
	       " rejected, %" PRIu64 " given up, %" PRIu64 " left over\n",
	       worlds, (double)(now_ms() - begin) / 1000, hand_steps(), hand_places(), account_items(FLUSHED),
	       account_items(DEAD), account_items(DROPPED), account_items(LEFT));
	return 0;
}
