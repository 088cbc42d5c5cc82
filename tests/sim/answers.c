/* SPDX-License-Identifier: MIT */
/* What the answers of handle_flush mean, and when they are carried out. */
#include "sim/oracle.h"

#include "sim/port.h"

static struct part *part_of(const struct flight *flight)
{
	return &flight->account->parts[flight->partition];
}

/* --- Tried again --------------------------------------------------------------------- */

static void begin_backoff(const struct flight *flight)
{
	const databuffer_options *o = &flight->account->most;
	struct part *part = part_of(flight);
	int64_t most_ms = o->retry_min;
	for (unsigned i = 0; i < flight->attempt && most_ms < o->retry_max; i++)
		most_ms *= 2;
	part->failing++;
	part->failed_step = flight->answered_step;
	part->failed_ns = flight->answered_ns;
	part->backoff_max_ns = (most_ms < o->retry_max ? most_ms : o->retry_max) * MS;
}

/* How a failure for now ends: the items have had their last attempt, or perhaps,
 * since the time that this is decided by may not be that of the answer. */
enum spent { SPENT_NO, SPENT_PERHAPS, SPENT_YES };

static enum spent is_spent(const struct flight *flight)
{
	const databuffer_options *o = &flight->account->options;
	const struct item *first = &oracle_items[flight->items[0]];
	if (flight->account->changed && oracle_is_unsure(flight->account))
		return SPENT_PERHAPS;
	if (o->retry_limit > 0 && flight->attempt >= (uint64_t)o->retry_limit)
		return SPENT_YES;
	if (o->retry_for == 0)
		return first->spent ? SPENT_YES : SPENT_NO;
	if (first->spent || oracle_now_ns(flight->account) - first->failing_since_ns >= o->retry_for * MS)
		return oracle_stalls ? SPENT_PERHAPS : SPENT_YES;
	return oracle_stalls ? SPENT_PERHAPS : SPENT_NO;
}

void oracle_spends(struct flight *flight)
{
	for (uint32_t i = 0; i < flight->count; i++) {
		struct item *item = &oracle_items[flight->items[i]];
		if (item->state != ITEM_HELD || item->spent)
			continue;
		item->spent = true;
		flight->account->spent++;
	}
}

/* --- An answer ------------------------------------------------------------------------ */

static void flush_item(struct flight *flight, struct item *item)
{
	struct part *part = part_of(flight);
	oracle_move(item, ITEM_FLUSHED);
	flight->flushed++;
	flight->flushed_bytes += item->len;
	if (item->ordered && part->flushed[item->task] < item->order)
		part->flushed[item->task] = item->order;
}

void oracle_kills(struct flight *flight, struct item *item)
{
	flight->was_spent = item->spent;
	oracle_move(item, ITEM_DYING);
	flight->dying++;
	flight->dying_bytes += item->len;
}

static void count_answer(struct account *account, int answer)
{
	if (answer == DATABUFFER_REJECT)
		account->rejects++;
	else if (answer == DATABUFFER_TOO_LARGE)
		account->too_large++;
	else if (answer != 0)
		account->failures++;
}

/* What it says of how much the sink takes at once. */
static void learn_fit(const struct account *account, struct part *part, uint32_t count, int answer)
{
	uint32_t whole = (uint32_t)(account->options.max_size + account->options.max_size_jitter);
	if (answer == DATABUFFER_TOO_LARGE && count > 1) {
		/* Beyond what it has taken it was a try, and what is known holds. */
		if (part->fit == 0 || count <= part->fit)
			part->fit = count - count / 2;
		part->fit_taken = 0;
		part->bounded = true;
	} else if (answer == 0 && (count >= whole || account->changing)) {
		part->fit = 0; /* it takes whole batches */
	} else if (answer == 0 && part->fit > 0 && count >= part->fit) {
		part->fit = count;
		part->fit_taken++;
	}
}

static void count_in_row(const struct flight *flight, bool final)
{
	struct part *part = part_of(flight);
	if (final) {
		part->taken++;
	} else if (!oracle_is_late(flight)) { /* which was a failure already */
		part->failed++;
		part->failure_ns = flight->answered_ns;
		part->failure_step = flight->answered_step;
	}
}

void oracle_counts_failure(const struct flight *flight)
{
	count_in_row(flight, false);
}

void oracle_fails_since(const struct flight *flight)
{
	for (uint32_t i = 0; i < flight->count; i++)
		if (oracle_items[flight->items[i]].failing_since_ns == 0)
			oracle_items[flight->items[i]].failing_since_ns = oracle_now_ns(flight->account);
}

/* --- Who is suspect ------------------------------------------------------------------ */

/* Of those among which one was known to be bad, nothing is known any more. */
void oracle_suspects_none(const struct flight *flight)
{
	uint32_t suspect = flight->count > 0 ? oracle_items[flight->items[0]].suspect : 0;
	for (uint32_t i = 0; suspect > 0 && i < oracle_item_count; i++)
		if (oracle_items[i].suspect == suspect)
			oracle_items[i].suspect = 0;
}

void oracle_suspects(const struct flight *flight)
{
	static uint32_t serial;
	oracle_suspects_none(flight);
	serial++;
	for (uint32_t i = 0; i < flight->count; i++)
		oracle_items[flight->items[i]].suspect = serial;
}

/* One that is bad is known by now, or is among these. */
static void learn_suspects(const struct flight *flight, int answer, bool spent)
{
	if (answer == 0 || (!spent && answer != DATABUFFER_REJECT && answer != DATABUFFER_TOO_LARGE))
		return;
	if (flight->count == 1 || (answer != DATABUFFER_TOO_LARGE && flight->named_count > 0))
		oracle_suspects_none(flight);
	else if (answer != DATABUFFER_TOO_LARGE)
		oracle_suspects(flight);
}

void oracle_comes_back(struct flight *flight)
{
	flight->answered_ns = oracle_now_ns(flight->account);
	flight->answered_step = world_tally().steps;
	for (uint32_t i = 0; i < flight->count; i++) {
		struct item *item = &oracle_items[flight->items[i]];
		item->flight = 0;
		item->moot = oracle_gives_up(flight->account);
	}
}

void oracle_is_answered(struct flight *flight, int answer)
{
	flight->answered = true;
	flight->answer = answer;
	flight->failures = port_failures(flight->task);
}

void oracle_lands(struct flight *flight, int answer)
{
	struct account *account = flight->account;
	bool final = answer == 0 || answer == DATABUFFER_REJECT || answer == DATABUFFER_TOO_LARGE;
	bool names = answer == 0 || answer == DATABUFFER_REJECT || (final && flight->count == 1);
	enum spent spent = SPENT_NO;
	world_note("handler answers", answer, flight->named_count);
	if (!final && flight->count > 0) {
		oracle_fails_since(flight);
		spent = is_spent(flight);
	}
	if (flight->count > 0)
		flight->kills = oracle_items[flight->items[0]].kills;
	if (flight->count > 0)
		flight->failing_since_ns = oracle_items[flight->items[0]].failing_since_ns;
	if (!names)
		flight->named_count = 0;
	bool permanent = final || spent == SPENT_YES;
	bool alone = answer != 0 && permanent && flight->count == 1 && flight->named_count == 0;
	oracle_comes_back(flight);
	for (uint32_t i = 0; i < flight->count; i++) {
		struct item *item = &oracle_items[flight->items[i]];
		if (item->state == ITEM_LEFT)
			continue; /* it was given up, and the answer is ignored */
		if (alone || (flight->named_count > 0 && flight->named[i]))
			oracle_kills(flight, item);
		else if (answer == 0)
			flush_item(flight, item);
		flight->settled[i] = item->state != ITEM_HELD;
		item->fails = permanent ? 0 : item->fails + 1;
		item->died = false;
		if (permanent)
			item->failing_since_ns = item->kills = 0;
	}
	learn_suspects(flight, answer, spent == SPENT_YES);
	flight->spent = spent != SPENT_NO;
	if (flight->spent)
		oracle_spends(flight);
	if (!permanent && flight->count > 0) /* of an empty batch there is nothing to try again */
		begin_backoff(flight);
	learn_fit(account, part_of(flight), flight->count, answer);
	count_in_row(flight, final);
	count_answer(account, answer);
	oracle_is_answered(flight, answer);
}

/* --- Carried out ---------------------------------------------------------------------------- */

/* Its item was to die, and is held and asked again: there was no memory to say so,
 * or by other options it has more attempts. */
static void hold_again(struct flight *flight, struct item *item)
{
	oracle_move(item, ITEM_HELD);
	item->fails = flight->attempt;
	item->failing_since_ns = flight->failing_since_ns ? flight->failing_since_ns : flight->answered_ns;
	item->kills = flight->kills;
	if (flight->spent || flight->was_spent)
		oracle_spends(flight);
	if (!flight->died)
		begin_backoff(flight);
}

static void book(struct flight *flight)
{
	if (oracle_is_late(flight))
		part_of(flight)->overtaken = true; /* by what may be on its way already */
	for (uint32_t i = 0; i < flight->count; i++) {
		struct item *item = &oracle_items[flight->items[i]];
		if (!flight->settled[i])
			continue;
		item->moot = item->moot || oracle_gives_up(flight->account);
		if (item->state == ITEM_FLUSHED || item->state == ITEM_DEAD)
			item->gone = world_tally().steps;
		if (item->state != ITEM_DYING)
			continue;
		bool no_memory = port_failures(flight->task) != flight->failures && flight->named_count == 0;
		bool other_options = flight->spent && flight->account->changed_step > flight->answered_step;
		if (no_memory || other_options)
			hold_again(flight, item);
		else if (!item->moot)
			world_fail("item %u is dead, and handle_dead was not told", flight->items[i]);
	}
	flight->in_use = false;
}

void oracle_doubts(const struct account *account)
{
	if (account->most.retry_limit == 0 && account->most.retry_for == 0)
		return; /* there is no last attempt by any of them */
	for (unsigned i = 0; i < FLIGHTS_MAX; i++) {
		struct flight *flight = &oracle_flights[i];
		bool final = flight->answer == 0 || flight->answer == DATABUFFER_REJECT ||
		             flight->answer == DATABUFFER_TOO_LARGE;
		if (!flight->in_use || !flight->answered || flight->account != account || final)
			continue;
		flight->spent = true;
		oracle_spends(flight);
	}
}

void oracle_books(const struct task *task)
{
	for (unsigned i = 0; i < FLIGHTS_MAX; i++)
		if (oracle_flights[i].in_use && oracle_flights[i].answered && oracle_flights[i].task == task)
			book(&oracle_flights[i]);
}

void oracle_revives(struct item *item)
{
	for (unsigned i = 0; i < FLIGHTS_MAX && item->state == ITEM_DYING; i++) {
		struct flight *flight = &oracle_flights[i];
		for (uint32_t k = 0; flight->in_use && flight->answered && k < flight->count; k++)
			if (flight->items[k] == oracle_number(item))
				book(flight);
	}
}
