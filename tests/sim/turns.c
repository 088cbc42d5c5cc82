/* SPDX-License-Identifier: MIT */
/* Calls of handle_flush: whether it is this batch's turn. How many may fly at once,
 * and what a backoff, a breaker, a rate limit have to say. */
#include "sim/oracle.h"

int64_t oracle_now_ns(const struct account *account)
{
	return oracle_is_manual(account) ? buffer_now_ns(account->buf) : world_now_ns();
}

#define KILL_NS (5000 * MS)

int64_t oracle_late_ns(int64_t deadline_ns, bool sent)
{
	return sent && deadline_ns != WORLD_NEVER ? deadline_ns + KILL_NS : deadline_ns;
}

bool oracle_is_late(const struct flight *flight)
{
	return oracle_late_ns(flight->deadline_ns, flight->sent) <= world_now_ns();
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
void oracle_check_crowd(struct account *account, unsigned partition, bool late_already)
{
	struct part *part = &account->parts[partition];
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

/* --- Failures ------------------------------------------------------------------------------ */

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

static void check_backoff(const struct account *account, struct part *part, const struct flight *flight)
{
	const databuffer_options *o = &account->least;
	int64_t waited_ns = oracle_now_ns(account) - part->failed_ns;
	/* Behind a worker that died it comes at once, or when there is another. */
	if (flight->count == 0 || oracle_items[flight->items[0]].fails == 0 || oracle_items[flight->items[0]].died)
		return;
	/* When the time for retries is up the last attempt is made at once. */
	int64_t last_ns = o->retry_for ? oracle_items[flight->items[0]].failing_since_ns + o->retry_for * MS : WORLD_NEVER;
	if (part->failing > 0)
		part->failing--;
	if (part->overtaken || oracle_is_unsure(account) || account->options.overflow == DATABUFFER_OVERFLOW_DROP_OLDEST)
		return;
	if (waited_ns < o->retry_min * MS && part->asked_step < part->failed_step && !is_asked(account) &&
	    oracle_now_ns(account) < last_ns)
		world_fail("a failed batch comes again after %.6f ms, and retry_min is %lld ms", (double)waited_ns / 1e6,
		           (long long)o->retry_min);
	/* 1 ms: whoever comes for it may have been looking for work, a moment at a time. */
	if (waited_ns > part->backoff_max_ns + MS && world_last_stall_ns() <= part->failed_ns && !oracle_few_threads &&
	    !oracle_is_manual(account) && !oracle_is_held_up(account) && !oracle_has_workers(account))
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
	if (flight->probe && oracle_now_ns(account) < part->failure_ns + o->retry_min * MS &&
	    account->most.retry_for == 0 && part->asked_step < part->failure_step && !is_asked(account))
		world_fail("partition %u, whose breaker is open, tries again before a backoff", flight->partition);
}

/* --- The pace ------------------------------------------------------------------------------- */

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

void oracle_check_turn(struct flight *flight)
{
	struct part *part = &flight->account->parts[flight->partition];
	check_backoff(flight->account, part, flight);
	check_breaker(flight->account, part, flight);
	check_pace(flight->account, flight);
}
