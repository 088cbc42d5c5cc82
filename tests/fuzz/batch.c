/* SPDX-License-Identifier: MIT */
/*
 * batch.c: a manual buffer, whose program and handler do what the bytes say: the
 * program inserts, works and lets time pass; the handler asks its batch for
 * everything there is to ask, with numbers that are odd, names items, and gives
 * any answer. The account kept here of every item is compared at every step:
 *
 *      a batch is what was inserted, in order, whichever way it is read
 *      each item has one outcome, and the one that its handler gave it
 *      the counters balance, and are ours
 */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/uio.h>

#include <databuffer.h>

#define ITEMS_MOST 4096 /* in one life */
#define ITEM_MOST  64
#define ANY_LENGTH SIZE_MAX
#define PARTITIONS 3

enum outcome { UNUSED, HELD, FLUSHED, DEAD, DROPPED, LEFT };

struct life {
	struct decisions decisions;
	databuffer *buf;
	int64_t now;
	size_t len; /* of each item; below 4 they are blank, and only counted */
	uint32_t inserted, held, flushed, dead, dropped, left;
	enum outcome outcomes[ITEMS_MOST];
	bool may_die[ITEMS_MOST];
	uint32_t flushed_to[PARTITIONS]; /* one more than the last item that is flushed */
	bool gives_up; /* an item may also die of its attempts */

	/* In the handler. */
	bool inside;
	databuffer_batch *batch;
	databuffer_item items[ITEMS_MOST];
	bool named[ITEMS_MOST];
	size_t size, named_count;
	size_t blank_may_die; /* how many blank items handle_dead may get */
};

/* --- Items ----------------------------------------------------------------------------- */

static bool is_blank(const struct life *life)
{
	return life->len < sizeof(uint32_t);
}

static uint32_t item_number(const databuffer_item *item)
{
	uint32_t number;

	CHECK(item->len >= sizeof(number));
	memcpy(&number, item->data, sizeof(number));
	return number;
}

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

static uint32_t check_item(const struct life *life, const databuffer_item *item)
{
	const unsigned char *bytes = item->data;
	uint32_t number;

	CHECK(item->data);
	if (life->len != ANY_LENGTH)
		CHECK(item->len == life->len);
	if (is_blank(life))
		return 0;
	number = item_number(item);
	CHECK(number < life->inserted);
	for (size_t i = sizeof(number); i < item->len; i++)
		CHECK(bytes[i] == (unsigned char)(number * 7));
	return number;
}

static bool is_same(const databuffer_item *a, const databuffer_item *b)
{
	return a->data == b->data && a->len == b->len;
}

static void settle(struct life *life, const databuffer_item *item, enum outcome outcome)
{
	uint32_t number = check_item(life, item);

	CHECK(life->held > 0);
	life->held--;
	if (is_blank(life))
		return;
	CHECK(life->outcomes[number] == HELD);
	life->outcomes[number] = outcome;
}

/* --- What a handler may ask -------------------------------------------------------------- */

/* An index that is there, or just not, or far from it. */
static size_t odd_index(struct life *life)
{
	switch (decide(&life->decisions, 8)) {
	case 0:
		return life->size;
	case 1:
		return life->size - 1; /* of an empty batch: SIZE_MAX */
	case 2:
		return SIZE_MAX;
	case 3:
		return (size_t)UINT32_MAX + 1;
	case 4:
		return (size_t)UINT32_MAX + life->size;
	default:
		return life->size > 0 ? decide(&life->decisions, life->size) : 0;
	}
}

static void ask_next(struct life *life)
{
	databuffer_item item = { NULL, 77 };

	if (decide(&life->decisions, 2))
		databuffer_batch_rewind(life->batch);
	else
		while (databuffer_batch_next(life->batch, &item))
			;
	databuffer_batch_rewind(life->batch);
	for (size_t i = 0; i < life->size; i++) {
		CHECK(databuffer_batch_next(life->batch, &item) == 1);
		CHECK(is_same(&item, &life->items[i]));
		if (decide(&life->decisions, 8) == 7)
			return;
	}
	CHECK(databuffer_batch_next(life->batch, &item) == 0);
	CHECK(databuffer_batch_next(life->batch, NULL) == 0);
}

static void ask_at(struct life *life)
{
	size_t i = odd_index(life);
	databuffer_item item = databuffer_batch_at(life->batch, i);

	if (i < life->size)
		CHECK(is_same(&item, &life->items[i]));
	else
		CHECK(!item.data && item.len == 0);
}

static void ask_array(struct life *life)
{
	const char *array = databuffer_batch_array(life->batch);
	bool alike = life->size > 0;

	for (size_t i = 0; i < life->size; i++)
		alike = alike && life->items[i].len == life->items[0].len;
	CHECK((array != NULL) == alike);
	for (size_t i = 0; alike && i < life->size; i++)
		CHECK(memcmp(array + i * life->items[0].len, life->items[i].data, life->items[0].len) == 0);
	CHECK(databuffer_batch_array(life->batch) == array);
}

static void ask_iovec(struct life *life)
{
	const struct iovec *iovec = databuffer_batch_iovec(life->batch);

	CHECK((iovec != NULL) == (life->size > 0));
	for (size_t i = 0; i < life->size; i++) {
		databuffer_item item = { iovec[i].iov_base, iovec[i].iov_len };

		CHECK(is_same(&item, &life->items[i]));
	}
}

static void ask_view(struct life *life)
{
	databuffer_view view = databuffer_batch_view(life->batch);

	CHECK(view.size == life->size);
	for (size_t i = 0; i < life->size; i++) {
		databuffer_item item = databuffer_view_at(&view, i);

		CHECK(is_same(&item, &life->items[i]));
	}
}

static void ask_the_rest(struct life *life)
{
	size_t bytes = 0;

	for (size_t i = 0; i < life->size; i++)
		bytes += life->items[i].len;
	CHECK(databuffer_batch_bytes(life->batch) == bytes);
	CHECK(databuffer_batch_partition(life->batch) < PARTITIONS);
	CHECK(databuffer_batch_trigger(life->batch) < DATABUFFER_TRIGGER_COUNT);
	CHECK(databuffer_batch_attempt(life->batch) > 0);
	CHECK(databuffer_batch_id(life->batch) > 0);
	CHECK(databuffer_batch_name(life->batch)[0] == '\0');
	CHECK(databuffer_batch_cancelled(life->batch) == 0);
	CHECK(databuffer_batch_deadline(life->batch) >= life->now);
	databuffer_batch_set_result(life->batch, life);
}

static void say_bytes(struct life *life)
{
	static const size_t lens[] = { 0, 1, DATABUFFER_RESULT_MAX, DATABUFFER_RESULT_MAX + 1, SIZE_MAX };
	static const char bytes[DATABUFFER_RESULT_MAX];
	size_t len = lens[decide(&life->decisions, 5)];
	bool nothing = decide(&life->decisions, 4) == 0;
	int rc = databuffer_batch_set_result_bytes(life->batch, nothing ? NULL : bytes, len);

	CHECK(rc == (len > DATABUFFER_RESULT_MAX || (nothing && len > 0) ? DATABUFFER_EINVAL : 0));
}

static void ask_nothing(void)
{
	databuffer_item item;

	CHECK(databuffer_batch_next(NULL, &item) == 0);
	databuffer_batch_rewind(NULL);
	CHECK(!databuffer_batch_at(NULL, 0).data);
	CHECK(databuffer_batch_size(NULL) == 0 && databuffer_batch_bytes(NULL) == 0);
	CHECK(!databuffer_batch_array(NULL) && !databuffer_batch_iovec(NULL));
	CHECK(databuffer_batch_view(NULL).size == 0);
	CHECK(databuffer_batch_fail(NULL, 0, "x") == DATABUFFER_EINVAL);
	CHECK(databuffer_batch_set_result_bytes(NULL, "x", 1) == DATABUFFER_EINVAL);
	CHECK(databuffer_batch_id(NULL) == 0);
	databuffer_batch_set_result(NULL, &item);
}

static void name_an_item(struct life *life)
{
	static char longest[1000];
	const char *reasons[] = { NULL, "", "it is bad", longest };
	size_t i = odd_index(life);
	int rc;

	memset(longest, 'r', sizeof(longest) - 1);
	rc = databuffer_batch_fail(life->batch, i, reasons[decide(&life->decisions, 4)]);
	CHECK(rc == (i < life->size ? 0 : DATABUFFER_EINVAL));
	if (rc == 0 && !life->named[i]) {
		life->named[i] = true;
		life->named_count++;
	}
}

static void insert_some(struct life *life);
static void check_account(struct life *life);

/* What would wait for this very handler is refused. */
static void call_from_inside(struct life *life)
{
	switch (decide(&life->decisions, 4)) {
	case 0:
		CHECK(databuffer_work(life->buf, life->now) == DATABUFFER_EDEADLK);
		break;
	case 1:
		CHECK(databuffer_sync_flush(life->buf, NULL, 0, 0) == DATABUFFER_EDEADLK);
		break;
	case 2:
		CHECK(databuffer_stop(life->buf, 0) == DATABUFFER_EDEADLK);
		break;
	default:
		insert_some(life);
		check_account(life);
	}
}

/* --- The handler -------------------------------------------------------------------------- */

/* The items of a batch are held, and none of its partition is overtaken. */
static void receive(struct life *life, databuffer_batch *batch)
{
	unsigned partition = databuffer_batch_partition(batch);
	uint32_t last = 0;

	life->batch = batch;
	life->size = databuffer_batch_size(batch);
	life->named_count = 0;
	CHECK(life->size <= life->held);
	for (size_t i = 0; i < life->size; i++) {
		life->items[i] = databuffer_batch_at(batch, i);
		life->named[i] = false;
		uint32_t number = check_item(life, &life->items[i]);
		if (is_blank(life))
			continue;
		CHECK(life->outcomes[number] == HELD);
		CHECK(number >= life->flushed_to[partition] && (i == 0 || number > last));
		last = number;
	}
}

/* What an answer comes to, by the manual. */
static void foresee(struct life *life, int answer)
{
	bool names_count = answer == 0 || answer == DATABUFFER_REJECT;
	bool alone = life->size == 1 && (answer == DATABUFFER_REJECT || answer == DATABUFFER_TOO_LARGE);

	life->blank_may_die = 0;
	for (size_t i = 0; i < life->size; i++) {
		if (alone || (names_count && life->named[i])) {
			life->blank_may_die++;
			if (!is_blank(life))
				life->may_die[item_number(&life->items[i])] = true;
		} else if (answer == 0) {
			settle(life, &life->items[i], FLUSHED);
			life->flushed++;
			if (!is_blank(life))
				life->flushed_to[databuffer_batch_partition(life->batch)] =
				    item_number(&life->items[i]) + 1;
		}
	}
}

static int handle_flush(databuffer_batch *batch, void *meta)
{
	static const int answers[] = { 0, 0, 0, DATABUFFER_RETRY, DATABUFFER_REJECT, DATABUFFER_REJECT,
		                       DATABUFFER_TOO_LARGE, -EIO, 77, INT_MIN, INT_MAX };
	struct life *life = meta;
	int answer;

	life->inside = true;
	receive(life, batch);
	for (size_t steps = decide(&life->decisions, 12); steps > 0; steps--) {
		switch (decide(&life->decisions, 11)) {
		case 0:
			ask_next(life);
			break;
		case 1:
		case 2:
			ask_at(life);
			break;
		case 3:
			ask_array(life);
			break;
		case 4:
			ask_iovec(life);
			break;
		case 5:
			ask_view(life);
			break;
		case 6:
			ask_the_rest(life);
			break;
		case 7:
			ask_nothing();
			break;
		case 8:
			name_an_item(life);
			break;
		case 9:
			say_bytes(life);
			break;
		default:
			call_from_inside(life);
		}
	}
	answer = answers[decide(&life->decisions, sizeof(answers) / sizeof(answers[0]))];
	foresee(life, answer);
	life->inside = false;
	return answer;
}

static void handle_dead(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct life *life = meta;

	CHECK(reason->partition < PARTITIONS && reason->attempts > 0 && strlen(reason->text) <= 200);
	if (!life->gives_up) {
		CHECK(life->blank_may_die-- > 0);
		CHECK(is_blank(life) || life->may_die[item_number(item)]);
	}
	settle(life, item, DEAD);
	life->dead++;
}

static void handle_drop(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct life *life = meta;

	CHECK(reason->text[0] && reason->partition < PARTITIONS);
	settle(life, item, DROPPED);
	life->dropped++;
}

static void handle_left(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct life *life = meta;

	CHECK(reason->text);
	settle(life, item, LEFT);
	life->left++;
}

static void handle_log(databuffer_log_level level, const char *line, void *meta)
{
	(void)level;
	(void)meta;
	CHECK(line[0] && !strchr(line, '\n'));
}

/* --- The program --------------------------------------------------------------------------- */

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

static void insert_some(struct life *life)
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

static void check_account(struct life *life)
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
	o.handle_flush = handle_flush;
	o.handle_dead = handle_dead;
	o.handle_drop = handle_drop;
	o.handle_left = handle_left;
	o.handle_log = handle_log;
	o.flush_meta = life;
	CHECK(databuffer_start(&life->buf, &o) == 0);
}

static void step(struct life *life)
{
	int rc;

	switch (decide(&life->decisions, 10)) {
	case 0:
		life->now += (int64_t)decide(&life->decisions, 4000);
		break;
	case 1:
		CHECK(databuffer_flush(life->buf) == 0);
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
		insert_some(life);
	}
	check_account(life);
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
