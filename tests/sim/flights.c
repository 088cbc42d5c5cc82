/* SPDX-License-Identifier: MIT */
/* Calls of handle_flush: whether this batch may come now, with these items. */
#include "sim/oracle.h"

#include <string.h>

#include "sim/port.h"

struct flight oracle_flights[FLIGHTS_MAX];

/* --- Which items --------------------------------------------------------------------- */

/* What one thread put in comes in the order in which it did. */
static void check_order(const struct flight *flight, struct part *part)
{
	static uint32_t last[PRODUCERS_MAX], flight_of[PRODUCERS_MAX], serial;
	serial++;
	for (uint32_t i = 0; i < flight->count; i++) {
		struct item *item = &oracle_items[flight->items[i]];
		if (!item->ordered)
			continue;
		if (flight_of[item->task] == serial && last[item->task] >= item->order)
			world_fail("item %u stands behind one that its thread put in later", flight->items[i]);
		flight_of[item->task] = serial;
		last[item->task] = item->order;
		if (part->overtaken)
			continue;
		if (part->flushed[item->task] >= item->order)
			world_fail("item %u comes when one that its thread put in later is flushed", flight->items[i]);
		if (!item->presented && part->presented[item->task] >= item->order)
			world_fail("item %u comes after one that its thread put in later", flight->items[i]);
		if (part->presented[item->task] < item->order)
			part->presented[item->task] = item->order;
	}
}

/* Items that were put in together stand side by side; where the sink takes only so
 * many at once they come so, and where there was no room the first may be given up. */
static void check_together(const struct account *account, const struct flight *flight)
{
	const struct part *part = &account->parts[flight->partition];
	bool fits = !part->bounded, drops = account->options.overflow == DATABUFFER_OVERFLOW_DROP_OLDEST;
	for (uint32_t i = 0; i < flight->count; i++) {
		uint32_t number = flight->items[i];
		const struct item *item = &oracle_items[number];
		if (item->presented)
			continue;
		bool follows = i > 0 && flight->items[i - 1] == number - 1;
		bool precedes = i + 1 < flight->count && flight->items[i + 1] == number + 1;
		if (number != item->group && !follows && !drops && (fits || i > 0))
			world_fail("item %u is not behind item %u, with which it was put in", number, number - 1);
		if (number + 1 < item->group + item->group_size && !precedes && (fits || i + 1 < flight->count))
			world_fail("item %u is not before item %u, with which it was put in", number, number + 1);
	}
}

static void take_item(struct flight *flight, const databuffer_item *shown)
{
	struct item *item = oracle_read(flight->account, shown, "handle_flush");
	uint32_t number = oracle_number(item);
	oracle_seen(flight->account, item, flight->partition);
	oracle_revives(item);
	if (item->state != ITEM_HELD)
		world_fail("item %u comes to a handler in state %u, with its outcome", number, item->state);
	if (item->flight)
		world_fail("item %u is with two handlers at once", number);
	if (flight->count == FLIGHT_MAX)
		world_fail("a batch of more than %d items", FLIGHT_MAX);
	world_detail("with item, partition", number, flight->partition);
	item->flight = (uint16_t)(flight->number + 1);
	flight->items[flight->count++] = number;
}

/* --- What kind of batch ------------------------------------------------------------------ */

/* The largest that it may be: by the options of now, if one of its items came in when
 * they were there. */
static uint64_t most_items(const struct account *account, const struct flight *flight)
{
	const databuffer_options *o = &account->most;
	for (uint32_t i = 0; i < flight->count && !account->changing; i++) {
		const struct item *item = &oracle_items[flight->items[i]];
		if (!item->presented && item->offered_step > account->changed_step)
			o = &account->options;
	}
	return (uint64_t)(o->max_size + o->max_size_jitter);
}

static void check_bounds(const struct account *account, const struct flight *flight, const databuffer_batch *batch)
{
	const databuffer_options *o = &account->options;
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < flight->count; i++)
		bytes += oracle_items[flight->items[i]].len;
	if (bytes != databuffer_batch_bytes(batch))
		world_fail("a batch of %llu bytes says that it has %zu", (unsigned long long)bytes,
		           databuffer_batch_bytes(batch));
	if (flight->count > most_items(account, flight) || bytes > (uint64_t)o->max_bytes)
		world_fail("a batch of %u items and %llu bytes", flight->count, (unsigned long long)bytes);
	if (flight->count == 0 && !o->flush_empty)
		world_fail("a batch of nothing");
	if (databuffer_batch_trigger(batch) >= DATABUFFER_TRIGGER_COUNT)
		world_fail("a batch with trigger %d", (int)databuffer_batch_trigger(batch));
	if (databuffer_batch_cancelled(batch) && !oracle_gives_up(account) &&
	    !(account->most.flush_timeout > 0 && world_last_stall_ns() > 0))
		world_fail("a batch that is cancelled before it came");
}

/* What the sink has said of its size holds; once it has taken so many, twice as
 * many may be tried, and one more if those are all that a batch can have. */
static void check_fit(const struct part *part, const struct flight *flight)
{
	uint32_t most = part->fit_taken > 0 ? 2 * part->fit + 1 : part->fit;
	if (part->fit > 0 && !part->overtaken && flight->count > most)
		world_fail("a batch of %u items, when one of twice as many as %u was too large", flight->count,
		           part->fit);
}

/* All items have failed as often as each other, and once less than this attempt. */
static void check_attempt(const struct account *account, const struct flight *flight)
{
	for (uint32_t i = 0; i < flight->count; i++) {
		struct item *item = &oracle_items[flight->items[i]];
		oracle_lives_on(flight->account, item, flight->attempt);
		if (!oracle_is_unsure(account) && item->fails + 1u != flight->attempt)
			world_fail("item %u comes as attempt %u, having failed %u times", flight->items[i],
			           flight->attempt, item->fails);
	}
	if (flight->attempt == 0)
		world_fail("a batch comes as attempt 0");
}

/* The number is that of these very items, and of no others. */
static void check_id(struct part *part, const struct flight *flight, uint64_t id)
{
	uint32_t first = flight->count > 0 ? flight->items[0] : 0;
	const struct item *item = &oracle_items[first];
	bool again = flight->count > 0 && item->piece == first && item->piece_size == flight->count &&
	             item->presented && flight->attempt > 1;
	uint64_t place = id & ((UINT64_C(1) << 48) - 1);
	if (id >> 48 != flight->partition || place == 0 || place >= IDS_MAX)
		world_fail("a batch of partition %u has the number %llx", flight->partition, (unsigned long long)id);
	uint64_t bit = UINT64_C(1) << (place % 64), *word = &part->ids[place / 64];
	if (again ? id != item->piece_id : (*word & bit) != 0)
		world_fail("a batch %s has the number %llx", again ? "that comes again" : "of other items",
		           (unsigned long long)id);
	*word |= bit;
	for (uint32_t i = 0; i < flight->count; i++) {
		struct item *each = &oracle_items[flight->items[i]];
		each->piece = first;
		each->piece_size = flight->count;
		each->piece_id = id;
		each->presented = true;
	}
}

/* --- When ------------------------------------------------------------------------------------ */

static int64_t deadline_of(const struct account *account, const databuffer_batch *batch)
{
	int64_t given_ms = databuffer_batch_deadline(batch), least = account->least.flush_timeout;
	if (oracle_is_manual(account) || (given_ms == INT64_MAX && least == 0))
		return WORLD_NEVER;
	int64_t most_ms = (world_now_ns() + account->most.flush_timeout * MS) / MS;
	int64_t least_ms = (world_now_ns() + (world_last_stall_ns() > 0 ? 0 : least) * MS) / MS;
	if (account->most.flush_timeout == 0 || given_ms > most_ms ||
	    (given_ms < least_ms && world_last_stall_ns() == 0))
		world_fail("a batch has its deadline at %lld ms, and should at %lld to %lld ms", (long long)given_ms,
		           (long long)least_ms, (long long)most_ms);
	return given_ms * MS;
}

/* --- A batch comes -------------------------------------------------------------------------------- */

static struct flight *new_flight(struct account *account, unsigned partition)
{
	for (unsigned i = 0; i < FLIGHTS_MAX; i++) {
		struct flight *flight = &oracle_flights[i];
		if (flight->in_use)
			continue;
		memset(flight, 0, sizeof(*flight));
		flight->in_use = true;
		flight->number = i;
		flight->account = account;
		flight->partition = partition;
		flight->task = world_self();
		return flight;
	}
	world_fail("%d handlers at once", FLIGHTS_MAX);
}

static struct flight *take_off(struct account *account, databuffer_batch *batch, bool sent)
{
	databuffer_item shown;
	unsigned partition = databuffer_batch_partition(batch);
	if (world_locks() != 0)
		world_fail("a handler is called with %d locks held", world_locks());
	if (partition >= (unsigned)account->options.partitions)
		world_fail("a batch of partition %u", partition);
	if (account->stopped && !sent)
		world_fail("a handler is called after stop has returned");
	oracle_books(world_self());

	struct part *part = &account->parts[partition];
	int64_t deadline_ns = deadline_of(account, batch);
	oracle_check_crowd(account, partition, oracle_late_ns(deadline_ns, sent) <= world_now_ns());
	struct flight *flight = new_flight(account, partition);
	flight->sent = sent;
	flight->deadline_ns = deadline_ns;
	flight->attempt = databuffer_batch_attempt(batch);
	while (databuffer_batch_next(batch, &shown))
		take_item(flight, &shown);
	if (flight->count != databuffer_batch_size(batch))
		world_fail("a batch of %u items says that it has %zu", flight->count, databuffer_batch_size(batch));
	world_note("handler of items, attempt", flight->count, flight->attempt);

	check_bounds(account, flight, batch);
	check_fit(part, flight);
	check_together(account, flight);
	check_order(flight, part);
	check_attempt(account, flight);
	oracle_check_turn(flight);
	flight->id = databuffer_batch_id(batch);
	check_id(part, flight, flight->id);
	part->idle_since_ns = WORLD_NEVER; /* the time to the next begins anew */
	account->calls++;
	return flight;
}

struct flight *oracle_takes_off(struct account *account, databuffer_batch *batch)
{
	return take_off(account, batch, false);
}

void oracle_sends(struct account *account, databuffer_batch *batch)
{
	take_off(account, batch, true);
}

static struct flight *sent_flight(const struct account *account, uint64_t id)
{
	for (unsigned i = 0; i < FLIGHTS_MAX; i++) {
		struct flight *flight = &oracle_flights[i];
		if (flight->in_use && flight->sent && !flight->answered && flight->account == account &&
		    flight->id == id)
			return flight;
	}
	world_fail("a worker has batch %llx, and nobody has sent it", (unsigned long long)id);
}

struct flight *oracle_takes(struct account *account, uint64_t id)
{
	struct flight *flight = sent_flight(account, id);
	if (flight->taken)
		world_fail("batch %llx comes to two workers", (unsigned long long)id);
	flight->taken = true;
	return flight;
}

struct flight *oracle_begins(struct account *account, databuffer_batch *batch)
{
	struct flight *flight = sent_flight(account, databuffer_batch_id(batch));
	databuffer_item shown;
	uint32_t count = 0;
	if (account->stopped)
		world_fail("a worker's handler is called after stop has returned");
	if (flight->partition != databuffer_batch_partition(batch) || flight->count != databuffer_batch_size(batch) ||
	    flight->attempt != databuffer_batch_attempt(batch))
		world_fail("batch %llx is not in its worker what it was: %zu items, attempt %u",
		           (unsigned long long)flight->id, databuffer_batch_size(batch), databuffer_batch_attempt(batch));
	while (databuffer_batch_next(batch, &shown))
		count++;
	if (count != flight->count)
		world_fail("a worker walks %u items of %u", count, flight->count);
	oracle_reads_again(flight, batch);
	return flight;
}

void oracle_reads_again(const struct flight *flight, databuffer_batch *batch)
{
	for (uint32_t i = 0; i < flight->count; i++) {
		databuffer_item shown = databuffer_batch_at(batch, i);
		if (oracle_read(flight->account, &shown, "handle_flush, later") != &oracle_items[flight->items[i]])
			world_fail("item %u has changed places in its batch", flight->items[i]);
	}
}

void oracle_names(struct flight *flight, uint32_t i)
{
	if (!flight->named[i])
		flight->named_count++;
	flight->named[i] = true;
}
