/* SPDX-License-Identifier: MIT */
/*
 * account.h: what became of each item of one life of a buffer, kept beside the
 * buffer's own counters: one byte for each.
 *
 *      NEVER ──> HELD ──> FLUSHED | DEAD | DROPPED | LEFT
 *        ^        │           └────> LEFT    only where a stop overtook a handler
 *        └────────┘ the insert was refused
 *
 * An item is HELD from before its insert, since a handler may have it before the
 * insert returns.
 */
#ifndef DATABUFFER_TESTS_SOAK_ACCOUNT_H
#define DATABUFFER_TESTS_SOAK_ACCOUNT_H

#include "api/support.h"

#define PRODUCERS    8
#define NUMBERS      (1u << 19) /* of each producer in one life */
#define ITEM_MOST    256

enum outcome { NEVER, HELD, FLUSHED, DEAD, DROPPED, LEFT, OUTCOMES };

/* What an item is made of; bytes that follow are all `producer`. */
struct soak_item {
	uint32_t life, producer, number, sum;
};

struct account {
	uint32_t life;
	atomic_bool overtaken; /* a stop may have left over what a handler is writing */
	_Atomic uint64_t counts[OUTCOMES];
	_Atomic unsigned char outcomes[PRODUCERS][NUMBERS];
};

static inline void account_begin(struct account *account, uint32_t life)
{
	account->life = life;
	atomic_store(&account->overtaken, false);
	for (unsigned i = 0; i < OUTCOMES; i++)
		atomic_store(&account->counts[i], 0);
	memset((void *)account->outcomes, NEVER, sizeof(account->outcomes));
}

/* False if it is something else by now. */
static inline bool account_move(struct account *account, uint32_t producer, uint32_t number, enum outcome from,
                                enum outcome to)
{
	unsigned char was = (unsigned char)from;

	if (!atomic_compare_exchange_strong(&account->outcomes[producer][number], &was, (unsigned char)to))
		return false;
	atomic_fetch_sub(&account->counts[from], 1);
	atomic_fetch_add(&account->counts[to], 1);
	return true;
}

static inline size_t item_make(struct account *account, void *bytes, uint32_t producer, uint32_t number,
                               size_t len)
{
	struct soak_item item = { account->life, producer, number, account->life ^ producer ^ number };

	memset(bytes, (int)producer, len);
	memcpy(bytes, &item, sizeof(item));
	CHECK(account_move(account, producer, number, NEVER, HELD));
	return len;
}

/* Reads one that a handler was given: whole, and of this life. */
static inline struct soak_item item_read(const struct account *account, const databuffer_item *from)
{
	const unsigned char *bytes = from->data;
	struct soak_item item;

	CHECK(from->len >= sizeof(item) && from->len <= ITEM_MOST);
	memcpy(&item, bytes, sizeof(item));
	CHECK(item.life == account->life && item.sum == (item.life ^ item.producer ^ item.number));
	CHECK(item.producer < PRODUCERS && item.number < NUMBERS);
	for (size_t i = sizeof(item); i < from->len; i++)
		CHECK(bytes[i] == item.producer);
	return item;
}

static inline void account_settle(struct account *account, const databuffer_item *from, enum outcome to)
{
	struct soak_item item = item_read(account, from);

	if (account_move(account, item.producer, item.number, HELD, to))
		return;
	/* Only where a stop came between: the answer is ignored, and the item left. */
	CHECK(atomic_load(&account->overtaken));
	if (to == LEFT)
		CHECK(account_move(account, item.producer, item.number, FLUSHED, LEFT));
	else
		CHECK(to == FLUSHED &&
		      atomic_load(&account->outcomes[item.producer][item.number]) == LEFT);
}

static inline uint64_t account_count(struct account *account, enum outcome outcome)
{
	return atomic_load(&account->counts[outcome]);
}

/* At the end nothing is held, and the bytes are what was counted. */
static inline void account_check(struct account *account)
{
	uint64_t counts[OUTCOMES] = { 0 };

	for (unsigned producer = 0; producer < PRODUCERS; producer++)
		for (unsigned number = 0; number < NUMBERS; number++)
			counts[atomic_load_explicit(&account->outcomes[producer][number],
			                            memory_order_relaxed)]++;
	CHECK(counts[HELD] == 0 && account_count(account, HELD) == 0);
	for (unsigned outcome = FLUSHED; outcome < OUTCOMES; outcome++)
		CHECK(counts[outcome] == account_count(account, (enum outcome)outcome));
}

#endif
