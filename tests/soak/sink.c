/* SPDX-License-Identifier: MIT */
/* sink.c: the handlers: one call of handle_flush in three fails, in one of the ways there are. */
#include "soak/soak.h"

#include <errno.h>

#define LATE_MS 50 /* more than any flush_timeout there is */

/* False: the life is over, and its account with it. */
static bool enter(struct life *life)
{
	atomic_fetch_add(&life->inside, 1);
	return !atomic_load(&life->over);
}

static void leave(struct life *life)
{
	atomic_fetch_sub(&life->inside, 1);
}

/* Items are held, and of one producer in the order of its inserts. */
static void receive(struct life *life, databuffer_batch *batch)
{
	unsigned partition = databuffer_batch_partition(batch);
	uint32_t last[PRODUCERS];
	databuffer_item item;

	CHECK(databuffer_batch_size(batch) <= (size_t)atomic_load(&life->most));
	CHECK(databuffer_batch_bytes(batch) <= (size_t)life->options.max_bytes);
	if (life->ordered)
		memcpy(last, life->flushed_to[partition], sizeof(last));
	while (databuffer_batch_next(batch, &item)) {
		struct soak_item read = item_read(&account, &item);

		if (!life->ordered)
			continue;
		CHECK(read.number >= last[read.producer]);
		last[read.producer] = read.number + 1;
	}
}

static int take(struct life *life, databuffer_batch *batch, const bool *named)
{
	unsigned partition = databuffer_batch_partition(batch);
	databuffer_item item;

	databuffer_batch_rewind(batch);
	for (size_t i = 0; databuffer_batch_next(batch, &item); i++) {
		struct soak_item read = item_read(&account, &item);

		if (named && named[i])
			continue;
		account_settle(&account, &item, FLUSHED);
		if (life->ordered)
			life->flushed_to[partition][read.producer] = read.number + 1;
	}
	return 0;
}

/* Names some, and takes the others or leaves them to be given again. */
static int name_some(struct life *life, databuffer_batch *batch, uint64_t *dice_seed)
{
	size_t size = databuffer_batch_size(batch);
	bool *named = calloc(size + 1, sizeof(*named)), rejects = dice_below(dice_seed, 2);

	CHECK(named);
	for (uint64_t n = dice_below(dice_seed, 4); size > 0 && n > 0; n--) {
		size_t i = dice_below(dice_seed, size);

		CHECK(databuffer_batch_fail(batch, i, "named") == 0);
		named[i] = true;
	}
	if (!rejects)
		take(life, batch, named);
	free(named);
	return rejects ? DATABUFFER_REJECT : 0;
}

/* Longer than flush_timeout, if there is one; sometimes until nobody waits. */
static void be_late(struct life *life, databuffer_batch *batch)
{
	int64_t until_ms = now_ms() + (life->ordered ? 0 : LATE_MS);

	while (now_ms() < until_ms && !databuffer_batch_cancelled(batch))
		pause_ms(1);
}

static int fail_somehow(struct life *life, databuffer_batch *batch, uint64_t *dice_seed)
{
	static const int transient[] = { DATABUFFER_RETRY, -EIO, -ENOSPC, 77, INT32_MIN };

	atomic_fetch_add(&total.failures, 1);
	switch (dice_below(dice_seed, 20)) {
	case 0:
		return DATABUFFER_REJECT;
	case 1:
		return DATABUFFER_TOO_LARGE;
	case 2:
	case 3:
		return name_some(life, batch, dice_seed);
	case 4:
		be_late(life, batch);
		return DATABUFFER_RETRY;
	case 5:
		leave(life);
		pthread_exit(NULL);
	default:
		return transient[dice_below(dice_seed, 5)];
	}
}

static int handle_flush(databuffer_batch *batch, void *meta)
{
	struct life *life = meta;
	uint64_t dice_seed = fresh_seed();
	int answer = DATABUFFER_RETRY;

	if (enter(life)) {
		atomic_fetch_add(&total.calls, 1);
		receive(life, batch);
		if (!atomic_load(&life->gentle) && dice_below(&dice_seed, 3) == 0)
			answer = fail_somehow(life, batch, &dice_seed);
		else
			answer = take(life, batch, NULL);
	}
	leave(life);
	return answer;
}

static void handle_dead(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct life *life = meta;

	if (enter(life)) {
		CHECK(reason->attempts > 0 && reason->text[0]);
		account_settle(&account, item, DEAD);
	}
	leave(life);
}

static void handle_drop(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct life *life = meta;

	CHECK(reason->text[0] && life->options.overflow >= DATABUFFER_OVERFLOW_DROP_NEWEST);
	account_settle(&account, item, DROPPED);
}

static void handle_left(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	(void)meta;
	CHECK(reason->text[0]);
	account_settle(&account, item, LEFT);
}

/* One call at a time, high and low in turn. */
static void handle_pressure(int high, size_t held_bytes, void *meta)
{
	struct life *life = meta;

	(void)held_bytes;
	CHECK(atomic_exchange(&life->pressed, high) != high);
}

/* A log of all that fails here would be long. */
static _Thread_local bool is_checking;

static void handle_log(databuffer_log_level level, const char *line, void *meta)
{
	(void)level;
	(void)meta;
	CHECK(line[0] && !strchr(line, '\n'));
	if (is_checking)
		fprintf(stderr, "%s\n", line);
}

/* --- For the others ------------------------------------------------------------------------------ */

void sink_set_handlers(databuffer_options *options, struct life *life)
{
	options->handle_flush = handle_flush;
	options->handle_dead = handle_dead;
	options->handle_drop = handle_drop;
	options->handle_left = handle_left;
	options->handle_pressure = handle_pressure;
	options->handle_log = handle_log;
	options->flush_meta = life;
}

void sink_check(databuffer *buf)
{
	is_checking = true;
	CHECK(databuffer_check(buf) != DATABUFFER_EBROKEN);
	is_checking = false;
}

void sink_end(struct life *life)
{
	int64_t until_ms = now_ms() + PATIENCE_MS;

	atomic_store(&life->over, true);
	while (atomic_load(&life->inside) > 0) {
		CHECK(now_ms() < until_ms);
		pause_ms(1);
	}
}
