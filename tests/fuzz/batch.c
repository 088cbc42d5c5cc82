/* SPDX-License-Identifier: MIT */
/*
 * batch.c: a manual buffer, whose program and handlers do what the bytes say. The
 * program inserts, works, lets time pass and changes options; the handler
 * (batch_handler.c) asks its batch for everything there is to ask, with numbers
 * that are odd, names items, and gives any answer. The account kept of every item
 * is compared at every step:
 *
 *      a batch is what was inserted, in order, whichever way it is read
 *      each item has one outcome, and the one that its handler gave it
 *      the counters balance, and are ours
 */
#include "fuzz/batch.h"

/* Its number, and then bytes that say whose they are. */
static size_t make_item(struct life *life, char *bytes, uint32_t number)
{
	size_t len = life->len;

	if (len == ANY_LENGTH)
		len = sizeof(number) + decide(&life->decisions, 60);
	memset(bytes, (int)(number * 7), len);
	if (len >= sizeof(number))
		memcpy(bytes, &number, sizeof(number));
	return len;
}

/* Before the insert, which may drop them before it returns. */
static void expect(struct life *life, size_t n)
{
	for (size_t i = 0; i < n; i++)
		life->outcomes[life->inserted++] = HELD;
	life->held += (uint32_t)n;
}

/* All of n went in, or none, or so many. */
static void note(struct life *life, int64_t rc, size_t n)
{
	size_t accepted = rc == 0 ? n : rc > 0 ? (size_t)rc : 0;

	CHECK(rc >= 0 || rc == DATABUFFER_ETIMEDOUT || rc == DATABUFFER_EFULL || rc == DATABUFFER_EMSGSIZE ||
	      rc == DATABUFFER_EBUSY);
	for (size_t i = accepted; i < n; i++) {
		CHECK(life->outcomes[--life->inserted] == HELD);
		life->outcomes[life->inserted] = UNUSED;
		life->held--;
	}
}

static void insert_slot(struct life *life)
{
	char bytes[ITEM_MOST];
	size_t len = make_item(life, bytes, life->inserted);
	databuffer_slot slot;
	int rc = databuffer_reserve(life->buf, len, &slot);

	note(life, rc, 0);
	if (rc != 0)
		return;
	CHECK(slot.len == len);
	if (len > 0)
		memcpy(slot.data, bytes, len);
	if (decide(&life->decisions, 3) == 0) {
		CHECK(databuffer_abort(&slot) == 0);
		CHECK(databuffer_commit(&slot) == DATABUFFER_EINVAL);
	} else {
		expect(life, 1);
		note(life, databuffer_commit(&slot), 1);
	}
}

void life_insert_some(struct life *life)
{
	char bytes[16 * ITEM_MOST];
	databuffer_item items[16];
	size_t kind = decide(&life->decisions, 6), n = decide(&life->decisions, 16);

	if (life->inserted + 16 > ITEMS_MOST)
		return;
	for (size_t i = 0; i < 16; i++)
		items[i] = (databuffer_item){ bytes + i * ITEM_MOST, make_item(life, bytes + i * ITEM_MOST,
		                                                               life->inserted + (uint32_t)i) };
	switch (kind) {
	case 0:
	case 1:
		expect(life, 1);
		note(life, databuffer_insert_timed(life->buf, items[0].data, items[0].len, 0), 1);
		break;
	case 2:
		expect(life, 1);
		note(life, databuffer_insert_keyed_timed(life->buf, n, items[0].data, items[0].len, 0), 1);
		break;
	case 3:
		expect(life, n);
		note(life, databuffer_insert_batch_timed(life->buf, items, n, 0), n);
		break;
	case 4:
		/* Side by side, where they are of one length. */
		if (life->len == ANY_LENGTH)
			break;
		for (size_t i = 1; i < 16; i++)
			memmove(bytes + i * life->len, items[i].data, life->len);
		expect(life, n);
		note(life, databuffer_insert_array_timed(life->buf, bytes, n, life->len, 0), n);
		break;
	default:
		insert_slot(life);
	}
}

static int count_item(const databuffer_item *item, unsigned partition, void *ctx)
{
	uint32_t *count = ctx;

	CHECK(item->data && partition < PARTITIONS);
	++*count;
	return 0;
}

void life_check(struct life *life)
{
	databuffer_partition_info infos[PARTITIONS];
	struct databuffer_stats stats;
	uint32_t shown = 0;
	size_t sum = 0;
	int n;

	CHECK(databuffer_stats(life->buf, &stats) == 0);
	CHECK(stats.inserted == stats.held + stats.flushed + stats.dead + stats.dropped + stats.left);
	CHECK(stats.inserted == life->inserted && databuffer_size(life->buf) == stats.held);
	if (life->inside)
		return; /* some have an outcome that the buffer has not been told */
	CHECK(stats.held == life->held && stats.flushed == life->flushed);
	CHECK(stats.dead == life->dead && stats.dropped == life->dropped);
	n = databuffer_info(life->buf, infos, PARTITIONS);
	for (int i = 0; i < n; i++)
		sum += infos[i].size;
	CHECK(sum == life->held);
	CHECK(databuffer_dump(life->buf, count_item, &shown) == 0 && shown == life->held);
	CHECK(databuffer_check(life->buf) == 0);
}

static void start(struct life *life)
{
	static const size_t lens[] = { ANY_LENGTH, ANY_LENGTH, 0, 1, 4, 8, 13, 16 };
	databuffer_options o = databuffer_options_init();
	struct decisions *decisions = &life->decisions;

	life->len = lens[decide(decisions, sizeof(lens) / sizeof(lens[0]))];
	o.flusher = DATABUFFER_MANUAL;
	o.partitions = 1 + (int64_t)decide(decisions, PARTITIONS);
	o.max_size = 1 + (int64_t)decide(decisions, 24);
	o.max_size_jitter = (int64_t)decide(decisions, 2) * 3;
	o.max_bytes = 64 + (int64_t)decide(decisions, 256);
	o.max_queued = (int64_t)decide(decisions, 3);
	o.flush_empty = (int64_t)decide(decisions, 2);
	o.timeout = 0;
	o.retry_max = 1000;
	o.breaker_failures = (int64_t)decide(decisions, 3);
	o.overflow = (int64_t)decide(decisions, 4);
	o.retry_limit = (int64_t)decide(decisions, 4) * (int64_t)decide(decisions, 2);
	life->gives_up = o.retry_limit > 0;
	o.seed = 1;
	life_set_handlers(life, &o);
	CHECK(databuffer_start(&life->buf, &o) == 0);
}

static void reconfigure(struct life *life)
{
	databuffer_options o = databuffer_options_init();
	int64_t size = (int64_t)decide(&life->decisions, 40);

	CHECK(databuffer_options_of(life->buf, &o) == 0);
	o.max_size = size;
	o.flush_interval = (int64_t)decide(&life->decisions, 5000);
	o.retry_max = o.retry_min + (int64_t)decide(&life->decisions, 5000);
	o.rate_limit = (int64_t)decide(&life->decisions, 3) * 50;
	CHECK(databuffer_reconfigure(life->buf, &o) == (size > 0 ? 0 : DATABUFFER_EINVAL));
}

static void step(struct life *life)
{
	int rc;

	switch (decide(&life->decisions, 11)) {
	case 0:
		life->now += (int64_t)decide(&life->decisions, 4000);
		break;
	case 1:
		CHECK(databuffer_flush(life->buf) == 0);
		break;
	case 5:
		reconfigure(life);
		break;
	case 4:
		rc = databuffer_sync_flush(life->buf, NULL, 0, 0);
		CHECK(rc == DATABUFFER_ETIMEDOUT || (rc == 0 && life->held == 0));
		break;
	case 2:
	case 3:
		CHECK(databuffer_work(life->buf, life->now) >= 0);
		CHECK(life->gives_up || life->blank_may_die == 0);
		break;
	default:
		life_insert_some(life);
	}
	life_check(life);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static struct life life;
	int64_t left;

	memset(&life, 0, sizeof(life));
	life.decisions = (struct decisions){ bytes, bytes + size };
	start(&life);
	CHECK(databuffer_work(life.buf, life.now) >= 0);
	while (decisions_left(&life.decisions))
		step(&life);
	left = databuffer_stop(life.buf, 0);
	CHECK(left == life.left);
	CHECK(life.held == 0 && life.inserted == life.flushed + life.dead + life.dropped + life.left);
	return 0;
}
