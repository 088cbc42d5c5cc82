/* SPDX-License-Identifier: MIT */
/* Calls of handle_flush: whether this batch may come now, and what its answer means. */
#include "sim/oracle.h"

#include <string.h>

#include "sim/port.h"

struct flight oracle_flights[FLIGHTS_MAX];

bool oracle_gives_up(const struct account *account)
{
	return account->stopping && world_now_ns() >= account->stop_deadline_ns;
}

/* What time it is for the buffer. */
static int64_t now_ns(const struct account *account)
{
	return account->options.flusher == DATABUFFER_MANUAL ? buffer_now_ns(account->buf) : world_now_ns();
}

bool oracle_is_late(const struct flight *flight)
{
	return flight->deadline_ns <= world_now_ns();
}

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

bool oracle_is_busy(const struct account *account, unsigned partition)
{
	struct crowd crowd = count_crowd(account, partition);
	unsigned stuck = (unsigned)account->options.max_stuck;
	unsigned without = crowd.late < stuck ? crowd.late : stuck;
	return crowd.running + crowd.answered - without >= (unsigned)account->options.max_in_flight;
}

void oracle_flush_asked(struct account *account)
{
	for (unsigned i = 0; i < PARTITIONS_MAX; i++)
		account->parts[i].asked_step = world_tally().steps;
}

/* --- What is carried out of an answer ------------------------------------------- */

static void begin_backoff(struct flight *flight, unsigned attempt)
{
	const databuffer_options *o = &flight->account->options;
	struct part *part = &flight->account->parts[flight->partition];
	int64_t most_ms = o->retry_min;
	for (unsigned i = 0; i < attempt && most_ms < o->retry_max; i++)
		most_ms *= 2;
	part->failing++;
	part->failed_step = flight->answered_step;
	part->failed_ns = flight->answered_ns;
	part->backoff_max_ns = (most_ms < o->retry_max ? most_ms : o->retry_max) * MS;
}

/* Without memory to say so, an item rejected alone is held, and asked again. */
static void hold_again(struct flight *flight, struct item *item)
{
	struct account *account = flight->account;
	item->state = ITEM_HELD;
	item->fails = flight->attempt;
	account->dead--;
	account->dead_bytes -= item->len;
	begin_backoff(flight, flight->attempt);
}

static void book(struct flight *flight)
{
	if (oracle_is_late(flight))
		flight->account->parts[flight->partition].overtaken = true; /* by what may be on its way already */
	for (uint32_t i = 0; i < flight->count; i++) {
		struct item *item = &oracle_items[flight->items[i]];
		item->moot = item->moot || oracle_gives_up(flight->account);
		if (item->state == ITEM_FLUSHED || item->state == ITEM_DEAD)
			item->gone = world_tally().steps;
		if (item->state != ITEM_DYING || item->moot)
			continue;
		if (port_failures(flight->task) == flight->failures || flight->named_count > 0)
			world_fail("item %u is dead, and handle_dead was not told", flight->items[i]);
		hold_again(flight, item);
	}
	flight->in_use = false;
}

/* --- A batch comes --------------------------------------------------------------- */

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

/* What was put in together comes together, side by side. */
static void check_together(const struct flight *flight)
{
	for (uint32_t i = 0; i < flight->count; i++) {
		uint32_t number = flight->items[i];
		const struct item *item = &oracle_items[number];
		if (item->presented)
			continue;
		if (number != item->group && (i == 0 || flight->items[i - 1] != number - 1))
			world_fail("item %u is not behind item %u, with which it was put in", number, number - 1);
		if (number + 1 < item->group + item->group_size &&
		    (i + 1 == flight->count || flight->items[i + 1] != number + 1))
			world_fail("item %u is not before item %u, with which it was put in", number, number + 1);
	}
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
	if (flight->count > (uint64_t)(o->max_size + o->max_size_jitter) || bytes > (uint64_t)o->max_bytes)
		world_fail("a batch of %u items and %llu bytes", flight->count, (unsigned long long)bytes);
	if (flight->count == 0 && !o->flush_empty)
		world_fail("a batch of nothing");
	if (databuffer_batch_trigger(batch) >= DATABUFFER_TRIGGER_COUNT)
		world_fail("a batch with trigger %d", (int)databuffer_batch_trigger(batch));
	if (databuffer_batch_cancelled(batch) && !oracle_gives_up(account) &&
	    !(o->flush_timeout > 0 && world_last_stall_ns() > 0))
		world_fail("a batch that is cancelled before it came");
}

/* All items have failed as often as each other, and once less than this attempt. */
static void check_attempt(const struct flight *flight, unsigned attempt)
{
	for (uint32_t i = 0; i < flight->count; i++) {
		const struct item *item = &oracle_items[flight->items[i]];
		if (item->fails + 1u != attempt)
			world_fail("item %u comes as attempt %u, having failed %u times", flight->items[i], attempt,
			           item->fails);
	}
	if (attempt == 0)
		world_fail("a batch comes as attempt 0");
}

static bool is_asked(const struct account *account)
{
	for (unsigned i = 0; i < CALLS_MAX; i++)
		if (oracle_calls[i].in_use && oracle_calls[i].asks && oracle_calls[i].account == account)
			return true;
	return false;
}

static void check_backoff(const struct account *account, struct part *part, const struct flight *flight)
{
	int64_t waited_ns = now_ns(account) - part->failed_ns;
	if (flight->count == 0 || oracle_items[flight->items[0]].fails == 0)
		return;
	part->failing--;
	if (part->overtaken)
		return;
	if (waited_ns < account->options.retry_min * MS && part->asked_step < part->failed_step && !is_asked(account))
		world_fail("a failed batch comes again after %.6f ms, and retry_min is %lld ms", (double)waited_ns / 1e6,
		           (long long)account->options.retry_min);
	/* 1 ms: whoever comes for it may have been looking for work, a moment at a time. */
	if (waited_ns > part->backoff_max_ns + MS && world_last_stall_ns() <= part->failed_ns && !oracle_few_threads &&
	    account->options.flusher == DATABUFFER_THREADS)
		world_fail("a failed batch comes again after %.6f ms only, and could have in %.6f ms",
		           (double)waited_ns / 1e6, (double)part->backoff_max_ns / 1e6);
}

static int64_t deadline_of(const struct account *account, const databuffer_batch *batch)
{
	int64_t given_ms = databuffer_batch_deadline(batch), timeout = account->options.flush_timeout;
	if (timeout == 0 && given_ms != INT64_MAX)
		world_fail("a batch has a deadline, and flush_timeout is 0");
	if (timeout == 0 || account->options.flusher == DATABUFFER_MANUAL)
		return WORLD_NEVER;
	int64_t wanted_ns = world_now_ns() + timeout * MS;
	if (given_ms > wanted_ns / MS || (given_ms < wanted_ns / MS && world_last_stall_ns() == 0))
		world_fail("a batch has its deadline at %lld ms, and should at %lld ms", (long long)given_ms,
		           (long long)(wanted_ns / MS));
	return given_ms * MS;
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
}

/* Whose answer for the item is not known to be booked; the caller if nobody's. */
static const struct task *last_handler_of(uint32_t number)
{
	for (unsigned i = 0; i < FLIGHTS_MAX; i++)
		for (uint32_t k = 0; oracle_flights[i].in_use && k < oracle_flights[i].count; k++)
			if (oracle_flights[i].answered && oracle_flights[i].items[k] == number)
				return oracle_flights[i].task;
	return world_self();
}

static struct flight *free_flight(void)
{
	for (unsigned i = 0; i < FLIGHTS_MAX; i++)
		if (!oracle_flights[i].in_use) {
			memset(&oracle_flights[i], 0, sizeof(oracle_flights[i]));
			oracle_flights[i].number = i;
			return &oracle_flights[i];
		}
	world_fail("%d handlers at once", FLIGHTS_MAX);
}

static void take_item(struct flight *flight, const databuffer_item *shown)
{
	struct item *item = oracle_read(flight->account, shown, "handle_flush");
	uint32_t number = (uint32_t)(item - oracle_items);
	oracle_seen(flight->account, item, flight->partition);
	if (item->state == ITEM_DYING)
		oracle_books(last_handler_of(number));
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
	struct flight *flight = free_flight();
	flight->in_use = true;
	flight->account = account;
	flight->task = world_self();
	flight->partition = partition;
	flight->deadline_ns = deadline_ns;
	while (databuffer_batch_next(batch, &shown))
		take_item(flight, &shown);
	if (flight->count != databuffer_batch_size(batch))
		world_fail("a batch of %u items says that it has %zu", flight->count, databuffer_batch_size(batch));
	world_note("handler of items, attempt", flight->count, databuffer_batch_attempt(batch));

	check_bounds(account, flight, batch);
	check_together(flight);
	check_order(flight, part);
	check_attempt(flight, databuffer_batch_attempt(batch));
	check_backoff(account, part, flight);
	for (uint32_t i = 0; i < flight->count; i++)
		oracle_items[flight->items[i]].presented = true;
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

/* --- Its answer --------------------------------------------------------------------- */

static void flush_item(struct flight *flight, struct item *item)
{
	struct part *part = &flight->account->parts[flight->partition];
	item->state = ITEM_FLUSHED;
	flight->flushed++;
	flight->flushed_bytes += item->len;
	flight->account->flushed++;
	flight->account->flushed_bytes += item->len;
	if (item->ordered && part->flushed[item->task] < item->order)
		part->flushed[item->task] = item->order;
	oracle_settle(item);
}

static void kill_item(struct flight *flight, struct item *item)
{
	item->state = ITEM_DYING;
	flight->dying++;
	flight->dying_bytes += item->len;
	flight->account->dead++;
	flight->account->dead_bytes += item->len;
}

void oracle_lands(struct flight *flight, databuffer_batch *batch, int answer)
{
	struct account *account = flight->account;
	bool rejected = answer == DATABUFFER_REJECT, alone = rejected && flight->count == 1;
	world_note("handler answers", answer, flight->named_count);
	for (uint32_t i = 0; i < flight->count; i++) {
		struct item *item = &oracle_items[flight->items[i]];
		item->flight = 0;
		item->moot = oracle_gives_up(account);
		if (item->state == ITEM_LEFT)
			continue; /* it was given up, and the answer is ignored */
		if ((answer == 0 || rejected) && (flight->named[i] || alone))
			kill_item(flight, item);
		else if (answer == 0)
			flush_item(flight, item);
		item->fails = answer == 0 || rejected ? 0 : item->fails + 1;
	}
	flight->attempt = databuffer_batch_attempt(batch);
	flight->answered_ns = now_ns(account);
	flight->answered_step = world_tally().steps;
	if (answer != 0 && !rejected && flight->count > 0) /* of an empty batch there is nothing to try again */
		begin_backoff(flight, flight->attempt);
	if (rejected)
		account->rejects++;
	else if (answer != 0)
		account->failures++;
	flight->answered = true;
	flight->answer = answer;
	flight->failures = port_failures(world_self());
}

void oracle_books(const struct task *task)
{
	for (unsigned i = 0; i < FLIGHTS_MAX; i++)
		if (oracle_flights[i].in_use && oracle_flights[i].answered && oracle_flights[i].task == task)
			book(&oracle_flights[i]);
}
