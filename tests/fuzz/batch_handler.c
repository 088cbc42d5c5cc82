/* SPDX-License-Identifier: MIT */
/*
 * batch_handler.c: the handlers of batch.c: what they ask of a batch, with which
 * numbers, and what they answer, is decided by the bytes.
 */
#include "fuzz/batch.h"

#include <errno.h>
#include <limits.h>
#include <sys/uio.h>

/* --- What a handler may ask -------------------------------------------------------------- */

static bool is_same(const databuffer_item *a, const databuffer_item *b)
{
	return a->data == b->data && a->len == b->len;
}

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
		life_insert_some(life);
		life_check(life);
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
		uint32_t number = life_check_item(life, &life->items[i]);
		if (life_is_blank(life))
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
			if (!life_is_blank(life))
				life->may_die[life_item_number(&life->items[i])] = true;
		} else if (answer == 0) {
			life_settle(life, &life->items[i], FLUSHED);
			life->flushed++;
			if (!life_is_blank(life))
				life->flushed_to[databuffer_batch_partition(life->batch)] =
				    life_item_number(&life->items[i]) + 1;
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
		CHECK(life_is_blank(life) || life->may_die[life_item_number(item)]);
	}
	life_settle(life, item, DEAD);
	life->dead++;
}

static void handle_drop(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct life *life = meta;

	CHECK(reason->text[0] && reason->partition < PARTITIONS);
	life_settle(life, item, DROPPED);
	life->dropped++;
}

static void handle_left(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct life *life = meta;

	CHECK(reason->text);
	life_settle(life, item, LEFT);
	life->left++;
}

static void handle_log(databuffer_log_level level, const char *line, void *meta)
{
	(void)level;
	(void)meta;
	CHECK(line[0] && !strchr(line, '\n'));
}

void life_set_handlers(struct life *life, databuffer_options *options)
{
	options->handle_flush = handle_flush;
	options->handle_dead = handle_dead;
	options->handle_drop = handle_drop;
	options->handle_left = handle_left;
	options->handle_log = handle_log;
	options->flush_meta = life;
}
