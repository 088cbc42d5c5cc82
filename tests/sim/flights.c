/* SPDX-License-Identifier: MIT */
/* Calls of handle_flush: whether this batch may come now, with these items. */
#include "sim/oracle.h"

#include <string.h>

#include "sim/port.h"

struct flight oracle_flights[FLIGHTS_MAX];

bool oracle_is_late(const struct flight *flight)
{
	return flight->deadline_ns <= world_now_ns();
}

/* --- Who flies --------------------------------------------------------------------- */

/* Handlers of the partition: running; of these late; answered, and not known to be booked. */
struct crowd {
	unsigned running, late, answered, answered_late;
};

static struct crowd count_crowd(const struct account *account, unsigned partition)
{
	struct crowd crowd = { 0 };
	for (unsigned i = 0; i < FLIGHTS_MAX; i++) {
		const struct flight *flight = &oracle_flights[i];
		if (!flight->in_use || flight->account != account || flight->partition != partition)
			continue;
		*(flight->answered ? &crowd.answered : &crowd.running) += 1;
		*(flight->answered ? &crowd.answered_late : &crowd.late) += oracle_is_late(flight);
	}
	return crowd;
}

/* All handlers of the buffer, and of these the answered ones, if they count. */
static unsigned count_all(const struct account *account, bool answered)
{
	unsigned count = 0;
	for (unsigned i = 0; i < FLIGHTS_MAX; i++)
		count += oracle_flights[i].in_use && oracle_flights[i].account == account &&
		         (answered || !oracle_flights[i].answered);
	return count;
}

bool oracle_is_busy(const struct account *account, unsigned partition)
{
	if (account->options.flusher_count > 0 && count_all(account, true) >= (uint64_t)account->options.flusher_count)
		return true;
	struct crowd crowd = count_crowd(account, partition);
	unsigned stuck = (unsigned)account->options.max_stuck;
	unsigned without = crowd.late < stuck ? crowd.late : stuck;
	return crowd.running + crowd.answered - without >= (unsigned)account->options.max_in_flight;
}

/* How many handlers may run beside this one. */
static void check_crowd(const struct account *account, struct part *part, unsigned partition, bool late_already)
{
	struct crowd crowd = count_crowd(account, partition);
	unsigned in_time = crowd.running - crowd.late;
	unsigned most = (unsigned)account->options.max_in_flight, stuck = (unsigned)account->options.max_stuck;
	/* Late are also those whose thread was kept from calling the handler, or from
	 * saying what it has answered. */
	if (crowd.running > 0 || crowd.answered_late > 0 || late_already)
		part->overtaken = true;
	if ((in_time >= most && !late_already) || crowd.running >= most + stuck)
		world_fail("partition %u calls a handler while %u run in time and %u late", partition, in_time,
		           crowd.late);
	if (account->options.flusher_count > 0 && !oracle_is_manual(account) &&
	    count_all(account, false) >= (uint64_t)account->options.flusher_count)
		world_fail("a handler is called while %u run, and flusher_count is %lld", count_all(account, false),
		           (long long)account->options.flusher_count);
}

/* Not more are given than the rate allows since it is what it is: a tenth of a second's
 * worth beforehand, or one batch that is larger, and for each partition what it had
 * booked before. Whose thread is kept from running comes late, and then all at once. */
static void check_pace(struct account *account, const struct flight *flight)
{
	const databuffer_options *o = &account->options;
	double seconds = (double)(world_now_ns() - account->paced_ns) / 1e9 + 0.1;
	double batches = (double)account->options.partitions + 1;
	double most = batches * (double)(account->most.max_size + account->most.max_size_jitter);
	account->given += flight->count;
	account->flushes++;
	if (account->changing || oracle_is_manual(account) || oracle_few_threads ||
	    world_last_stall_ns() > account->paced_ns)
		return;
	if (o->rate_limit > 0 && (double)account->given > (double)o->rate_limit * seconds + most)
		world_fail("%llu items are given in %.3f s", (unsigned long long)account->given, seconds);
	if (o->rate_limit_flushes > 0 && (double)account->flushes > (double)o->rate_limit_flushes * seconds + batches)
		world_fail("%llu flushes begin in %.3f s", (unsigned long long)account->flushes, seconds);
}

/* In which order answers of the same moment are judged nobody knows; nor when one
 * is that is not booked. */
void oracle_rests(struct account *account)
{
	for (unsigned i = 0; i < PARTITIONS_MAX; i++) {
		struct part *part = &account->parts[i];
		bool sure = part->taken == 0 && count_crowd(account, i).answered == 0;
		part->failures = sure ? part->failures + part->failed : 0;
		part->taken = part->failed = 0;
		if (part->failures < (uint64_t)account->most.breaker_failures)
			part->opened_ns = WORLD_NEVER;
		else if (part->opened_ns == WORLD_NEVER)
			part->opened_ns = world_now_ns();
	}
}

void oracle_flush_asked(struct account *account)
{
	for (unsigned i = 0; i < PARTITIONS_MAX; i++)
		account->parts[i].asked_step = world_tally().steps;
}

static bool is_asked(const struct account *account)
{
	for (unsigned i = 0; i < CALLS_MAX; i++)
		if (oracle_calls[i].in_use && oracle_calls[i].asks && oracle_calls[i].account == account)
			return true;
	return false;
}

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
	for (uint32_t i = 0; i < flight->count && !oracle_is_unsure(account); i++) {
		const struct item *item = &oracle_items[flight->items[i]];
		if (item->fails + 1u != flight->attempt)
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

/* What time it is for the buffer. */
static int64_t now_ns(const struct account *account)
{
	return oracle_is_manual(account) ? buffer_now_ns(account->buf) : world_now_ns();
}

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

static void check_backoff(const struct account *account, struct part *part, const struct flight *flight)
{
	const databuffer_options *o = &account->least;
	int64_t waited_ns = now_ns(account) - part->failed_ns;
	if (flight->count == 0 || oracle_items[flight->items[0]].fails == 0)
		return;
	/* When the time for retries is up the last attempt is made at once. */
	int64_t last_ns = o->retry_for ? oracle_items[flight->items[0]].failing_since_ns + o->retry_for * MS : WORLD_NEVER;
	if (part->failing > 0)
		part->failing--;
	if (part->overtaken || oracle_is_unsure(account) || account->options.overflow == DATABUFFER_OVERFLOW_DROP_OLDEST)
		return;
	if (waited_ns < o->retry_min * MS && part->asked_step < part->failed_step && !is_asked(account) &&
	    now_ns(account) < last_ns)
		world_fail("a failed batch comes again after %.6f ms, and retry_min is %lld ms", (double)waited_ns / 1e6,
		           (long long)o->retry_min);
	/* 1 ms: whoever comes for it may have been looking for work, a moment at a time. */
	if (waited_ns > part->backoff_max_ns + MS && world_last_stall_ns() <= part->failed_ns && !oracle_few_threads &&
	    !oracle_is_manual(account) && !oracle_is_held_up(account))
		world_fail("a failed batch comes again after %.6f ms only, and could have in %.6f ms",
		           (double)waited_ns / 1e6, (double)part->backoff_max_ns / 1e6);
}

/* With its breaker open a partition tries one batch at a time, and the next after a backoff. */
static void check_breaker(const struct account *account, const struct part *part, struct flight *flight)
{
	const databuffer_options *o = &account->least;
	/* One that was taken before it opened has come, if its thread was not kept from it. */
	flight->probe = o->breaker_failures > 0 && part->taken == 0 && part->opened_ns != WORLD_NEVER &&
	                world_last_stall_ns() < part->opened_ns;
	for (unsigned i = 0; i < FLIGHTS_MAX && flight->probe; i++) {
		const struct flight *other = &oracle_flights[i];
		if (other->in_use && other != flight && other->probe && !other->answered && !oracle_is_late(other) &&
		    other->account == account && other->partition == flight->partition)
			world_fail("partition %u, whose breaker is open, tries two batches at once", flight->partition);
	}
	if (flight->probe && now_ns(account) < part->failure_ns + o->retry_min * MS &&
	    account->most.retry_for == 0 && part->asked_step < part->failure_step && !is_asked(account))
		world_fail("partition %u, whose breaker is open, tries again before a backoff", flight->partition);
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

struct flight *oracle_takes_off(struct account *account, databuffer_batch *batch)
{
	databuffer_item shown;
	unsigned partition = databuffer_batch_partition(batch);
	if (world_locks() != 0)
		world_fail("a handler is called with %d locks held", world_locks());
	if (partition >= (unsigned)account->options.partitions)
		world_fail("a batch of partition %u", partition);
	if (account->stopped)
		world_fail("a handler is called after stop has returned");
	oracle_books(world_self());

	struct part *part = &account->parts[partition];
	int64_t deadline_ns = deadline_of(account, batch);
	check_crowd(account, part, partition, deadline_ns <= world_now_ns());
	struct flight *flight = new_flight(account, partition);
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
	check_backoff(account, part, flight);
	check_breaker(account, part, flight);
	check_pace(account, flight);
	check_id(part, flight, databuffer_batch_id(batch));
	part->idle_since_ns = WORLD_NEVER; /* the time to the next begins anew */
	account->calls++;
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
