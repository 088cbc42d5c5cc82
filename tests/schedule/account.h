/* SPDX-License-Identifier: MIT */
/*
 * What went in and what became of it: every item of a world has a number of its
 * actor's, carries it in its bytes, and is looked up by it wherever it appears.
 *
 *      actor's number    0      1      2      3      4
 *      accepted          yes    yes    no     yes    yes
 *      outcomes          1      1      0      1      1       in the end
 *
 * Handlers run on threads of the library's. They write here by relaxed atomics,
 * which order nothing, so that the thread sanitizer sees whether the library has
 * ordered the bytes (hand.h).
 */
#ifndef DATABUFFER_TESTS_SCHEDULE_ACCOUNT_H
#define DATABUFFER_TESTS_SCHEDULE_ACCOUNT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <databuffer.h>

#define ACTORS_MAX 4
#define NUMBERS_MAX 2048 /* of one actor's items in a world */
#define ITEM_MIN 8       /* bytes: an item's head */
#define ITEM_MAX 48
#define PARTITIONS_MAX 4

/* What is broken, with the seed, and the end. */
_Noreturn void broken(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define HOLDS(condition, ...)                \
	do {                                 \
		if (!(condition))            \
			broken(__VA_ARGS__); \
	} while (0)

/* What of this world an account has to know. */
struct account_rules {
	size_t max_size, max_bytes; /* of a batch */
	bool ordered;               /* one flight of a partition at a time */
	bool whole;                 /* no batch comes in pieces: those inserted together stand together */
};

void account_begin(const struct account_rules *rules);

/* Writes an item; `place` is its place among those that are inserted with it. */
void account_write(unsigned char *bytes, size_t len, unsigned actor, unsigned number, unsigned place, bool reserved);

/* The insert of items [number, number + n) has answered that they are in. */
void account_accept(unsigned actor, unsigned number, size_t n);

/* A call of handle_flush: looks at the batch, which is then answered. */
void account_look(databuffer_batch *batch);

/* Items [0, n) of the batch are flushed, but for the one at `but`. */
void account_flushed(databuffer_batch *batch, size_t but);

/* An item had another outcome. */
enum account_outcome { FLUSHED, DEAD, DROPPED, LEFT, OUTCOMES };
void account_end_of(const databuffer_item *item, enum account_outcome outcome);

/* A dump shows an item, of each at most one: `seen` is the dump's. */
struct account_dump {
	bool seen[ACTORS_MAX][NUMBERS_MAX];
};
void account_show(struct account_dump *dump, const databuffer_item *item);

/* All items of the actor's that were accepted so far, and not reserved, have their
 * outcome: its sync_flush has answered. */
void account_all_done(unsigned actor, unsigned numbers);

/* Every item has the one outcome that it ought to. `left`: what stop has answered;
 * where it gave items up, a handler may have had them as well. */
void account_balance(const unsigned numbers[ACTORS_MAX], int64_t left);

/* Of all worlds so far. */
uint64_t account_items(enum account_outcome outcome);

#endif
