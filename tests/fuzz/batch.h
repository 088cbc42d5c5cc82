/* SPDX-License-Identifier: MIT */
/*
 * batch.h: the life of one buffer, and the account of its items, which the
 * program (batch.c) and the handlers (batch_handler.c) keep between them.
 */
#ifndef DATABUFFER_TESTS_FUZZ_BATCH_H
#define DATABUFFER_TESTS_FUZZ_BATCH_H

#include "fuzz/fuzz.h"

#include <string.h>

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

static inline bool life_is_blank(const struct life *life)
{
	return life->len < sizeof(uint32_t);
}

static inline uint32_t life_item_number(const databuffer_item *item)
{
	uint32_t number;

	CHECK(item->len >= sizeof(number));
	memcpy(&number, item->data, sizeof(number));
	return number;
}

static inline uint32_t life_check_item(const struct life *life, const databuffer_item *item)
{
	const unsigned char *bytes = item->data;
	uint32_t number;

	CHECK(item->data);
	if (life->len != ANY_LENGTH)
		CHECK(item->len == life->len);
	if (life_is_blank(life))
		return 0;
	number = life_item_number(item);
	CHECK(number < life->inserted);
	for (size_t i = sizeof(number); i < item->len; i++)
		CHECK(bytes[i] == (unsigned char)(number * 7));
	return number;
}

static inline void life_settle(struct life *life, const databuffer_item *item, enum outcome outcome)
{
	uint32_t number = life_check_item(life, item);

	CHECK(life->held > 0);
	life->held--;
	if (life_is_blank(life))
		return;
	CHECK(life->outcomes[number] == HELD);
	life->outcomes[number] = outcome;
}

/* --- The program ---------------------------------------------------------------------- */

void life_insert_some(struct life *life);
/* Holds the counters against ours, and whatever else there is to see. */
void life_check(struct life *life);

/* --- The handlers --------------------------------------------------------------------- */

void life_set_handlers(struct life *life, databuffer_options *options);

#endif
