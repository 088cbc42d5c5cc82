/* SPDX-License-Identifier: MIT */
/* Acts that put items in, in every way there is. */
#include <string.h>

#include "sim/actors.h"

#define MANY_MAX   300
#define BYTES_MAX  16384

static int64_t draw_timeout(const struct actor *actor)
{
	if (actor->inside || world_permille(300))
		return 0;
	return world_permille(300) ? -1 : plan_time_ns() / MS;
}

static uint32_t draw_len(const struct account *account)
{
	uint64_t most = (uint64_t)account->options.max_bytes;
	if (fault(FAULT_OVERSIZE))
		return (uint32_t)(most + 1 + world_draw(10));
	if (world_permille(30))
		return (uint32_t)most;
	if (most > ITEM_LEN_MIN + 60)
		most = ITEM_LEN_MIN + 60;
	return ITEM_LEN_MIN + (uint32_t)world_draw(most - ITEM_LEN_MIN);
}

/* An offer of n items, poison among them. In the middle of another insert they have
 * no place of their own among that one's. */
static uint32_t offer(struct account *account, unsigned n, const uint32_t *lens, bool ordered)
{
	uint32_t first = oracle_offer(account, n, lens, ordered && !handlers_are_dropping(account));
	for (unsigned i = 0; i < n; i++)
		oracle_items[first + i].poison = fault(FAULT_POISON);
	return first;
}

static void allow_oversize(struct call *call, uint32_t len)
{
	if (len > (uint64_t)call->account->options.max_bytes)
		call->allowed = DATABUFFER_EMSGSIZE;
}

/* --- One -------------------------------------------------------------------------- */

/* By the function that has no timeout of its own, where none is asked for. */
static int put_one(databuffer *buf, int key, const void *bytes, uint32_t len, int64_t timeout)
{
	if (key >= 0 && timeout < 0)
		return databuffer_insert_keyed(buf, (uint64_t)key, bytes, len);
	if (key >= 0)
		return databuffer_insert_keyed_timed(buf, (uint64_t)key, bytes, len, timeout);
	if (timeout < 0)
		return databuffer_insert(buf, bytes, len);
	return databuffer_insert_timed(buf, bytes, len, timeout);
}

static void insert_one(struct actor *actor, int key)
{
	struct account *account = actor->account;
	unsigned char bytes[BYTES_MAX];
	uint32_t len = draw_len(account);
	if (!oracle_has_room(1))
		return;
	uint32_t number = offer(account, 1, &len, true);
	struct item *item = &oracle_items[number];
	item->key = (int8_t)key;
	oracle_write(number, bytes);
	int64_t timeout = draw_timeout(actor);
	struct call *call = oracle_call(account, CALL_INSERT, key < 0 ? "insert" : "insert_keyed", timeout);
	call->n = 1;
	call->bytes = len;
	call->keeps = handlers_are_dropping(account);
	if (key >= 0)
		call->partition = account->key_partition[key] < 0 ? CALL_SOMEWHERE : account->key_partition[key];
	allow_oversize(call, len);
	int rc = put_one(account->buf, key, bytes, len, timeout);
	oracle_answer(number, 1, rc == 0);
	oracle_return(call, rc);
}

void act_insert(struct actor *actor)
{
	insert_one(actor, -1);
}

void act_insert_keyed(struct actor *actor)
{
	insert_one(actor, (int)world_draw(KEYS - 1));
}

/* --- Many --------------------------------------------------------------------------- */

/* Lengths of as many as come together with the buffer's bytes; how many. */
static unsigned draw_lens(const struct account *account, bool equal, uint32_t *lens)
{
	unsigned n = (unsigned)world_draw(world_permille(700) ? 8 : MANY_MAX - 1);
	uint32_t sum = 0, len = draw_len(account);
	for (unsigned i = 0; i < n; i++) {
		lens[i] = equal ? len : draw_len(account);
		sum += lens[i];
		if (sum > BYTES_MAX)
			return i;
	}
	return n;
}

/* Without `items`: n of `len` bytes. */
static int64_t put_many(databuffer *buf, const databuffer_item *items, const void *bytes, unsigned n, uint32_t len,
                        int64_t timeout)
{
	if (items && timeout < 0)
		return databuffer_insert_batch(buf, items, n);
	if (items)
		return databuffer_insert_batch_timed(buf, items, n, timeout);
	if (timeout < 0)
		return databuffer_insert_array(buf, bytes, n, len);
	return databuffer_insert_array_timed(buf, bytes, n, len, timeout);
}

void act_insert_many(struct actor *actor)
{
	struct account *account = actor->account;
	const databuffer_options *o = &account->options;
	bool array = world_permille(500);
	uint32_t lens[MANY_MAX], bytes = 0;
	unsigned char memory[BYTES_MAX];
	databuffer_item items[MANY_MAX];
	unsigned n = draw_lens(account, array, lens);
	if (!oracle_has_room(n))
		return;
	uint32_t first = offer(account, n, lens, true);
	int64_t timeout = draw_timeout(actor);
	for (unsigned i = 0; i < n; i++) {
		items[i] = (databuffer_item){ memory + bytes, lens[i] };
		oracle_write(first + i, memory + bytes);
		bytes += lens[i];
	}
	struct call *call = oracle_call(account, CALL_INSERT, array ? "insert_array" : "insert_batch", timeout);
	bool together = n <= (uint64_t)account->least.max_size && bytes <= (uint64_t)o->max_bytes;
	call->n = together ? n : 0;
	call->keeps = handlers_are_dropping(account);
	call->bytes = bytes;
	for (unsigned i = 0; i < n; i++)
		allow_oversize(call, lens[i]);
	int64_t rc = put_many(account->buf, array ? NULL : items, memory, n, n > 0 ? lens[0] : 0, timeout);
	if (rc > 0 && (together || rc >= n))
		world_fail("%s of %u items, of which all go together, answers %lld", call->name, n, (long long)rc);
	oracle_answer(first, n, rc == 0 ? n : rc > 0 ? (unsigned)rc : 0);
	oracle_return(call, rc);
}

/* --- In place ------------------------------------------------------------------------- */

static struct held *free_place(struct actor *actor)
{
	for (unsigned i = 0; i < HOLDS_MAX; i++)
		if (!actor->held[i].account)
			return &actor->held[i];
	return NULL;
}

static unsigned held_of(const struct actor *actor, const struct account *account)
{
	unsigned count = 0;
	for (unsigned i = 0; i < HOLDS_MAX; i++)
		count += actor->held[i].account == account;
	return count;
}

void act_reserve(struct actor *actor)
{
	struct account *account = actor->account;
	struct held *held = free_place(actor);
	uint32_t len = draw_len(account);
	if (!held || actor->inside || !oracle_has_room(1))
		return;
	uint32_t number = offer(account, 1, &len, false);
	struct call *call = oracle_call(account, CALL_INSERT, "reserve", -1);
	call->n = 1;
	call->bytes = len;
	call->keeps = true;
	allow_oversize(call, len);
	if (held_of(actor, account) >= 8 && !call->allowed)
		call->allowed = DATABUFFER_EBUSY;
	databuffer_slot slot = { 0 };
	int rc = databuffer_reserve(account->buf, len, &slot);
	if (rc == 0) {
		oracle_move(&oracle_items[number], ITEM_RESERVED);
		if (slot.len != len || (uintptr_t)slot.data % slot_alignment(len) != 0)
			world_fail("a slot of %u bytes has %zu, at %p", len, slot.len, slot.data);
		oracle_write(number, slot.data);
		*held = (struct held){ account, slot, number };
	} else {
		oracle_answer(number, 1, 0);
	}
	oracle_return(call, rc);
}

static void commit(struct held *held)
{
	struct account *account = held->account;
	uint32_t number = held->number;
	held->account = NULL;
	oracle_move(&oracle_items[number], ITEM_OFFERED);
	struct call *call = oracle_call(account, CALL_INSERT, "commit", -1);
	call->n = 1;
	call->bytes = oracle_items[number].len;
	int rc = databuffer_commit(&held->slot);
	oracle_answer(number, 1, rc == 0);
	oracle_return(call, rc);
	if (databuffer_commit(&held->slot) != DATABUFFER_EINVAL)
		world_fail("a slot is committed twice");
}

static void abort_slot(struct held *held)
{
	struct account *account = held->account;
	held->account = NULL;
	oracle_move(&oracle_items[held->number], ITEM_OFFERED);
	oracle_answer(held->number, 1, 0);
	struct call *call = oracle_call(account, CALL_OTHER, "abort", 0);
	call->was_stopped = false;
	oracle_return(call, databuffer_abort(&held->slot));
}

void act_resolve(struct actor *actor)
{
	struct held *held = &actor->held[world_draw(HOLDS_MAX - 1)];
	if (!held->account || actor->inside || fault(FAULT_HOLDS))
		return;
	if (world_permille(700))
		commit(held);
	else
		abort_slot(held);
}

void act_forget(struct actor *actor)
{
	for (unsigned i = 0; i < HOLDS_MAX; i++) {
		struct held *held = &actor->held[i];
		if (!held->account)
			continue;
		oracle_move(&oracle_items[held->number], ITEM_OFFERED);
		oracle_answer(held->number, 1, 0);
		held->account = NULL;
	}
}
