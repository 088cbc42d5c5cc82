/* SPDX-License-Identifier: MIT */
/* The account of a world's items. */
#include "schedule/account.h"

#include <string.h>

#define LOAD(x) atomic_load_explicit(&(x), memory_order_relaxed)
#define STORE(x, value) atomic_store_explicit(&(x), value, memory_order_relaxed)
#define ADD(x, n) atomic_fetch_add_explicit(&(x), n, memory_order_relaxed)

/* What an item begins with. */
struct head {
	uint8_t actor, len, place, reserved;
	uint32_t number;
};

_Static_assert(sizeof(struct head) == ITEM_MIN, "an item is a head at least");

static struct account_rules rules;
static struct {
	_Atomic uint8_t accepted, reserved;
	_Atomic uint8_t outcomes[OUTCOMES];
} entries[ACTORS_MAX][NUMBERS_MAX];
static _Atomic uint64_t newest[PARTITIONS_MAX][ACTORS_MAX]; /* one more than the highest number flushed */
static _Atomic uint64_t totals[OUTCOMES];
static unsigned used[ACTORS_MAX]; /* numbers of the world before */

void account_begin(const struct account_rules *wanted)
{
	rules = *wanted;
	for (unsigned a = 0; a < ACTORS_MAX; a++) {
		for (unsigned p = 0; p < PARTITIONS_MAX; p++)
			STORE(newest[p][a], 0);
		for (unsigned n = 0; n < used[a]; n++) {
			STORE(entries[a][n].accepted, 0);
			for (unsigned o = 0; o < OUTCOMES; o++)
				STORE(entries[a][n].outcomes[o], 0);
		}
	}
}

static unsigned char filling(const struct head *head, size_t i)
{
	return (unsigned char)(head->number * 31 + head->actor * 101 + i * 7);
}

void account_write(unsigned char *bytes, size_t len, unsigned actor, unsigned number, unsigned place, bool reserved)
{
	struct head head = {
		.actor = (uint8_t)actor, .len = (uint8_t)len, .place = (uint8_t)place, .reserved = reserved, .number = number
	};
	HOLDS(number < NUMBERS_MAX, "an actor has more items than the account has room for");
	memcpy(bytes, &head, sizeof(head));
	for (size_t i = sizeof(head); i < len; i++)
		bytes[i] = filling(&head, i);
	STORE(entries[actor][number].reserved, reserved);
}

/* An item as it is found: what it says it is, whole. */
static struct head read_item(const databuffer_item *item)
{
	struct head head;
	const unsigned char *bytes = item->data;
	HOLDS(item->len >= sizeof(head), "an item of %zu bytes was never inserted", item->len);
	memcpy(&head, bytes, sizeof(head));
	HOLDS(head.actor < ACTORS_MAX && head.number < NUMBERS_MAX && head.len == item->len,
	      "an item of %zu bytes says that it is number %u of actor %u and has %u", item->len, head.number,
	      head.actor, head.len);
	for (size_t i = sizeof(head); i < item->len; i++)
		HOLDS(bytes[i] == filling(&head, i), "item %u of actor %u is torn at byte %zu", head.number, head.actor, i);
	return head;
}

void account_accept(unsigned actor, unsigned number, size_t n)
{
	for (; n > 0; n--)
		STORE(entries[actor][number++].accepted, 1);
}

void account_look(databuffer_batch *batch)
{
	size_t size = databuffer_batch_size(batch), bytes = 0, i = 0;
	HOLDS(size > 0 && size <= rules.max_size, "a batch has %zu items, of at most %zu", size, rules.max_size);
	struct head before = { .actor = ACTORS_MAX };
	databuffer_item item;
	for (databuffer_batch_rewind(batch); databuffer_batch_next(batch, &item); i++) {
		struct head head = read_item(&item);
		bool next = before.actor == head.actor && before.number + 1 == head.number;
		HOLDS(head.place == 0 || next || !rules.whole, "item %u of actor %u stands apart from the one it came with",
		      head.number, head.actor);
		before = head;
		bytes += item.len;
	}
	HOLDS(i == size && bytes == databuffer_batch_bytes(batch) && bytes <= rules.max_bytes,
	      "a batch of %zu items and %zu bytes shows %zu and %zu, of at most %zu bytes", size,
	      databuffer_batch_bytes(batch), i, bytes, rules.max_bytes);
}

static void count(const struct head *head, enum account_outcome outcome)
{
	static const char *const words[] = { "flushed", "rejected", "given up", "left over" };
	ADD(totals[outcome], 1);
	HOLDS(ADD(entries[head->actor][head->number].outcomes[outcome], 1) == 0, "item %u of actor %u was %s twice",
	      head->number, head->actor, words[outcome]);
}

void account_flushed(databuffer_batch *batch, size_t but)
{
	size_t size = databuffer_batch_size(batch);
	unsigned partition = databuffer_batch_partition(batch);
	for (size_t i = 0; i < size; i++) {
		databuffer_item item = databuffer_batch_at(batch, i);
		if (i == but)
			continue;
		struct head head = read_item(&item);
		count(&head, FLUSHED);
		if (!rules.ordered || head.reserved)
			continue;
		HOLDS(LOAD(newest[partition][head.actor]) <= head.number, "item %u of actor %u is flushed after item %u",
		      head.number, head.actor, (unsigned)LOAD(newest[partition][head.actor]) - 1);
		STORE(newest[partition][head.actor], head.number + 1);
	}
}

void account_end_of(const databuffer_item *item, enum account_outcome outcome)
{
	struct head head = read_item(item);
	count(&head, outcome);
}

void account_show(struct account_dump *dump, const databuffer_item *item)
{
	struct head head = read_item(item);
	HOLDS(!dump->seen[head.actor][head.number], "a dump shows item %u of actor %u twice", head.number, head.actor);
	dump->seen[head.actor][head.number] = true;
}

static unsigned outcomes(unsigned actor, unsigned number)
{
	unsigned sum = 0;
	for (unsigned o = 0; o < OUTCOMES; o++)
		sum += LOAD(entries[actor][number].outcomes[o]);
	return sum;
}

void account_all_done(unsigned actor, unsigned numbers)
{
	for (unsigned n = 0; n < numbers; n++)
		if (LOAD(entries[actor][n].accepted) && !LOAD(entries[actor][n].reserved))
			HOLDS(outcomes(actor, n) > 0, "item %u of actor %u is neither flushed nor anything else after a sync_flush",
			      n, actor);
}

void account_balance(const unsigned numbers[ACTORS_MAX], int64_t left)
{
	int64_t left_over = 0;
	for (unsigned a = 0; a < ACTORS_MAX; a++) {
		used[a] = numbers[a];
		for (unsigned n = 0; n < numbers[a]; n++) {
			unsigned sum = outcomes(a, n), was_left = LOAD(entries[a][n].outcomes[LEFT]);
			unsigned flushed_too = was_left && LOAD(entries[a][n].outcomes[FLUSHED]);
			left_over += was_left;
			HOLDS(sum - flushed_too == LOAD(entries[a][n].accepted), "item %u of actor %u was %s and has %u outcomes",
			      n, a, LOAD(entries[a][n].accepted) ? "accepted" : "refused", sum);
		}
	}
	HOLDS(left_over == left, "stop has answered %lld, but gave back %lld items", (long long)left,
	      (long long)left_over);
}

uint64_t account_items(enum account_outcome outcome)
{
	return LOAD(totals[outcome]);
}
