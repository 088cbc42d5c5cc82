/* SPDX-License-Identifier: MIT */
/*
 * crowd.c: those who call. Eight producers insert, in every way there is, in bursts, and their threads end and begin;
 * meddlers flush, wait, look, dump, count, listen and change options.
 */
#include "soak/soak.h"

#define MEDDLERS   2
#define SHIFT_MOST 20000 /* inserts of one thread, before another takes its place */
#define AT_ONCE    16    /* items in a call */

/* --- Producers ---------------------------------------------------------------------------------- */

struct producer {
	struct life *life;
	uint32_t number; /* of 0 to PRODUCERS */
};

static size_t draw_len(uint64_t *dice_seed)
{
	uint64_t kind = dice_below(dice_seed, 4);

	return sizeof(struct soak_item) + (kind == 0 ? dice_below(dice_seed, ITEM_MOST - sizeof(struct soak_item)) : 48);
}

/* Of n items that were to be inserted the first so many were. */
static void note(struct producer *producer, int64_t rc, uint32_t n)
{
	uint32_t accepted = rc == 0 ? n : rc > 0 ? (uint32_t)rc : 0;
	uint32_t *next = &producer->life->next[producer->number];

	CHECK(rc >= 0 || rc == DATABUFFER_ETIMEDOUT || rc == DATABUFFER_EFULL || rc == DATABUFFER_ESTOPPED);
	for (uint32_t i = accepted; i < n; i++)
		CHECK(account_move(&account, producer->number, *next + i, HELD, NEVER));
	atomic_fetch_add(&producer->life->accepted, accepted);
	atomic_fetch_add(&total.refused, n - accepted);
	*next += n;
}

static int64_t insert_slot(struct producer *producer, const char *bytes, size_t len, uint64_t *dice_seed)
{
	databuffer *buf = producer->life->buf;
	databuffer_slot slot;
	int rc = databuffer_reserve(buf, len, &slot);

	if (rc != 0)
		return rc;
	memcpy(slot.data, bytes, len);
	if (dice_below(dice_seed, 4) > 0)
		return databuffer_commit(&slot);
	CHECK(databuffer_abort(&slot) == 0);
	return DATABUFFER_ETIMEDOUT; /* it was not inserted */
}

/* One call, in one of the ways there are. */
static int64_t insert_some(struct producer *producer, uint64_t *dice_seed)
{
	databuffer *buf = producer->life->buf;
	uint32_t next = producer->life->next[producer->number];
	int64_t rc, timeout_ms = (int64_t)dice_below(dice_seed, 20);
	size_t len = draw_len(dice_seed), kind = dice_below(dice_seed, 16);
	char bytes[AT_ONCE * ITEM_MOST];
	databuffer_item items[AT_ONCE];
	uint32_t n = kind < 4 ? 1 + (uint32_t)dice_below(dice_seed, AT_ONCE) : 1;

	for (uint32_t i = 0; i < n; i++) {
		item_make(&account, bytes + i * len, producer->number, next + i, len);
		items[i] = (databuffer_item){ bytes + i * len, len };
	}
	switch (kind) {
	case 0:
	case 1:
		rc = databuffer_insert_batch_timed(buf, items, n, timeout_ms);
		break;
	case 2:
	case 3:
		rc = databuffer_insert_array_timed(buf, bytes, n, len, timeout_ms);
		break;
	case 4:
		rc = databuffer_insert_keyed_timed(buf, dice(dice_seed), bytes, len, timeout_ms);
		break;
	case 5:
		rc = insert_slot(producer, bytes, len, dice_seed);
		break;
	case 6:
		rc = databuffer_insert(buf, bytes, len);
		break;
	default:
		rc = databuffer_insert_timed(buf, bytes, len, timeout_ms);
	}
	note(producer, rc, n);
	return rc;
}

/* Neither committed nor aborted, it is nobody's when the thread is gone. */
static void end_with_a_slot(struct life *life, uint64_t *dice_seed)
{
	databuffer_slot slot;

	if (!atomic_load(&life->ending) && dice_below(dice_seed, 2))
		databuffer_reserve(life->buf, draw_len(dice_seed), &slot);
}

/* A thread of that producer's: some thousand inserts, with pauses of any length between bursts of any length. */
static void *work_a_shift(void *arg)
{
	struct producer *producer = arg;
	struct life *life = producer->life;
	uint64_t dice_seed = fresh_seed(), left = dice_below(&dice_seed, SHIFT_MOST);

	while (left-- > 0 && !atomic_load(&life->ending) && life->next[producer->number] + AT_ONCE < NUMBERS) {
		if (insert_some(producer, &dice_seed) == DATABUFFER_ESTOPPED)
			atomic_store(&life->ending, true);
		if (dice_below(&dice_seed, 1000) == 0)
			pause_ms((int64_t)dice_below(&dice_seed, 5));
	}
	end_with_a_slot(life, &dice_seed);
	return NULL;
}

static void *produce(void *arg)
{
	struct producer *producer = arg;
	struct life *life = producer->life;

	while (!atomic_load(&life->ending)) {
		thread_join(thread_run(work_a_shift, producer));
		if (life->next[producer->number] + AT_ONCE >= NUMBERS)
			pause_ms(10);
	}
	return NULL;
}

/* --- Meddlers ------------------------------------------------------------------------------------ */

static int visit(const databuffer_item *item, unsigned partition, void *ctx)
{
	uint64_t *left = ctx;

	CHECK(partition < PARTITIONS_MOST);
	item_read(&account, item);
	return (*left)-- == 0;
}

static void look_at_stats(databuffer *buf)
{
	struct databuffer_stats stats;

	if (databuffer_stats(buf, &stats) == 0)
		CHECK(stats.inserted == stats.held + stats.flushed + stats.dead + stats.dropped + stats.left);
}

static void hear(const databuffer_event *event, void *ctx)
{
	CHECK(event->size <= 1u << 24);
	atomic_fetch_add((atomic_uint *)ctx, 1);
}

/* All or nothing, whatever runs meanwhile. */
static void change_options(struct life *life, uint64_t *dice_seed)
{
	databuffer_options o = databuffer_options_init(), after = databuffer_options_init();
	int64_t most, known = atomic_load(&life->most);
	int rc;

	if (databuffer_options_of(life->buf, &o) != 0)
		return;
	draw_live_options(&o, life, dice_seed);
	most = o.max_size + o.max_size_jitter;
	while (known < most && !atomic_compare_exchange_weak(&life->most, &known, most))
		;
	if (dice_below(dice_seed, 10) == 0)
		o.partitions++; /* which may not change: nothing does */
	rc = databuffer_reconfigure(life->buf, &o);
	CHECK(rc == 0 || rc == DATABUFFER_EINVAL || rc == DATABUFFER_ESTOPPED);
	if (databuffer_options_of(life->buf, &after) == 0)
		CHECK(after.partitions == life->options.partitions);
	atomic_fetch_add(&total.changes, rc == 0);
}

static void meddle_once(struct life *life, uint64_t *dice_seed)
{
	databuffer_partition_info infos[PARTITIONS_MOST];
	databuffer_result results[PARTITIONS_MOST];
	static atomic_uint heard;
	uint64_t some = dice_below(dice_seed, 10000);
	char id[32];

	switch (dice_below(dice_seed, 9)) {
	case 0:
		databuffer_flush(life->buf);
		break;
	case 1:
		databuffer_sync_flush(life->buf, results, PARTITIONS_MOST, (int64_t)dice_below(dice_seed, 100));
		break;
	case 2:
		databuffer_dump(life->buf, visit, &some);
		break;
	case 3:
		databuffer_info(life->buf, infos, PARTITIONS_MOST);
		break;
	case 4:
		sink_check(life->buf);
		break;
	case 5:
		snprintf(id, sizeof(id), "soak %d", (int)some);
		if (databuffer_telemetry_attach(id, DATABUFFER_EVENTS_ALL, hear, &heard) == 0) {
			pause_ms(1);
			CHECK(databuffer_telemetry_detach(id) == 0);
		}
		break;
	case 6:
		CHECK(databuffer_pressure(life->buf) >= 0 || atomic_load(&life->ending));
		break;
	case 7:
		change_options(life, dice_seed);
		break;
	default:
		look_at_stats(life->buf);
	}
}

static void *meddle(void *arg)
{
	struct life *life = arg;
	uint64_t dice_seed = fresh_seed();

	while (!atomic_load(&life->ending)) {
		meddle_once(life, &dice_seed);
		pause_ms((int64_t)dice_below(&dice_seed, 20));
	}
	return NULL;
}

/* --- All of them ------------------------------------------------------------------------------------ */

struct crowd {
	struct producer producers[PRODUCERS];
	pthread_t threads[PRODUCERS + MEDDLERS];
};

struct crowd *crowd_start(struct life *life)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));

	CHECK(crowd);
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		crowd->producers[i] = (struct producer){ life, i };
		crowd->threads[i] = thread_run(produce, &crowd->producers[i]);
	}
	for (uint32_t i = 0; i < MEDDLERS; i++)
		crowd->threads[PRODUCERS + i] = thread_run(meddle, life);
	return crowd;
}

void crowd_join(struct crowd *crowd)
{
	for (uint32_t i = 0; i < PRODUCERS + MEDDLERS; i++)
		thread_join(crowd->threads[i]);
	free(crowd);
}
