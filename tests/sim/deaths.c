/* SPDX-License-Identifier: MIT */
/* Workers that end with a batch: what its items come to then. */
#include "sim/oracle.h"

#include <stdio.h>
#include <string.h>

#include "sim/port.h"

/* Whether it is known how often its items have killed, and which of them are suspect. */
static bool is_sure(const struct account *account)
{
	return !oracle_is_unsure(account) && !oracle_few_bytes;
}

/* They come again as they are, at once. */
static void keep(struct flight *flight)
{
	oracle_fails_since(flight);
	for (uint32_t i = 0; i < flight->count; i++) {
		struct item *item = &oracle_items[flight->items[i]];
		item->fails++;
		item->died = true;
	}
}

/* They have killed as many as they may: they come in halves, or that was it. */
static void part_or_kill(struct flight *flight)
{
	oracle_suspects(flight);
	if (flight->count == 1)
		oracle_suspects_none(flight);
	for (uint32_t i = 0; i < flight->count; i++) {
		struct item *item = &oracle_items[flight->items[i]];
		item->fails = item->kills = 0;
		item->failing_since_ns = 0;
		item->died = false;
		if (flight->count == 1 && item->state == ITEM_HELD)
			oracle_kills(flight, item);
	}
}

/* It is one or the other. */
static void keep_or_part(struct flight *flight)
{
	keep(flight);
	for (uint32_t i = 0; i < flight->count; i++)
		oracle_items[flight->items[i]].loose = true;
	if (flight->count > 1)
		return;
	oracle_items[flight->items[0]].doomed = !oracle_items[flight->items[0]].spent;
	oracle_spends(flight);
}

void oracle_lives_on(struct account *account, struct item *item, unsigned attempt)
{
	if (item->loose && attempt == 1) {
		item->fails = item->kills = 0;
		item->failing_since_ns = 0;
	}
	if (item->doomed && item->spent) {
		item->spent = false;
		account->spent--;
	}
	item->loose = item->doomed = false;
}

void oracle_dies(struct flight *flight, bool counts, const struct port_end *end)
{
	struct account *account = flight->account;
	const struct item *first = flight->count > 0 ? &oracle_items[flight->items[0]] : NULL;
	uint64_t limit = first && first->suspect && flight->count > 1 ? 1 : (uint64_t)account->options.kill_limit;
	world_note("worker is dead, counts", flight->count, counts);
	flight->named_count = 0;
	flight->end = *end;
	flight->died = true;
	oracle_comes_back(flight);
	for (uint32_t i = 0; i < flight->count; i++)
		oracle_items[flight->items[i]].kills += counts;
	flight->kills = first ? first->kills : 0;
	if (counts && first && !is_sure(account))
		keep_or_part(flight);
	else if (counts && first && first->kills >= limit)
		part_or_kill(flight);
	else
		keep(flight);
	for (uint32_t i = 0; i < flight->count; i++)
		flight->settled[i] = oracle_items[flight->items[i]].state != ITEM_HELD;
	flight->failing_since_ns = first ? first->failing_since_ns : 0;
	oracle_counts_failure(flight);
	account->failures++;
	account->deaths++;
	oracle_is_answered(flight, DATABUFFER_EWORKER);
}

void oracle_check_death(const struct flight *flight, const databuffer_reason *reason)
{
	char text[64], name[PORT_SIGNAL_SIZE];
	port_name_signal(flight->end.number, name);
	if (flight->end.by_signal)
		snprintf(text, sizeof(text), "killed by %s", name);
	else
		snprintf(text, sizeof(text), "exited with status %d", flight->end.number);
	if (reason->status != DATABUFFER_EWORKER && reason->status != DATABUFFER_ETIMEDOUT)
		world_fail("handle_dead: status %d, and its worker died", reason->status);
	if (!strstr(reason->text, text) && !strstr(reason->text, "did not say how"))
		world_fail("handle_dead: its worker was %s, and is told to have been %s", text, reason->text);
}
