/* SPDX-License-Identifier: MIT */
/* The library's figures against the oracle's, after every step; and, whenever
 * nobody can run, whether anybody waits for what is there already. */
#include "sim/oracle.h"

#include <poll.h>
#include <stdio.h>

#include "core/crew.h"
#include "core/options_table.h"
#include "sim/port.h"
#include "sim/processes.h"

bool oracle_few_threads;
bool oracle_few_bytes;
bool oracle_stalls;

/* --- Figures ----------------------------------------------------------------------- */

static void check_range(const char *name, uint64_t figure, uint64_t least, uint64_t most)
{
	if (figure < least || figure > most)
		world_fail("%s is %llu, and should be %llu to %llu", name, (unsigned long long)figure,
		           (unsigned long long)least, (unsigned long long)most);
}

/* What has been answered, and is perhaps not booked. */
struct unbooked {
	uint64_t flushed, dying, flushed_bytes, failures, rejects, too_large, deaths;
};

static struct unbooked count_unbooked(const struct account *account)
{
	struct unbooked sum = { 0 };
	for (unsigned i = 0; i < FLIGHTS_MAX; i++) {
		const struct flight *flight = &oracle_flights[i];
		if (!flight->in_use || !flight->answered || flight->booked || flight->account != account)
			continue;
		sum.flushed += flight->flushed;
		sum.flushed_bytes += flight->flushed_bytes;
		sum.dying += flight->dying;
		sum.rejects += flight->answer == DATABUFFER_REJECT;
		sum.too_large += flight->answer == DATABUFFER_TOO_LARGE;
		sum.failures += flight->answer != 0;
		sum.deaths += flight->died;
	}
	sum.failures -= sum.rejects + sum.too_large;
	return sum;
}

static void check_outcomes(const struct account *account, const struct databuffer_stats *stats)
{
	struct unbooked unbooked = count_unbooked(account);
	uint64_t dead = account->items[ITEM_DEAD] + account->items[ITEM_DYING];
	uint64_t flushed = account->items[ITEM_FLUSHED], bytes = account->bytes[ITEM_FLUSHED];
	uint64_t dropped = account->items[ITEM_DROPPED], untold = 0;
	/* What an insert gives up is counted first, and then told. */
	if (oracle_drops(account) && oracle_is_inserting(account))
		untold = account->items[ITEM_OFFERED] + account->items[ITEM_HELD];
	check_range("flushed", stats->flushed, flushed - unbooked.flushed, flushed);
	check_range("flushed_bytes", stats->flushed_bytes, bytes - unbooked.flushed_bytes, bytes);
	check_range("dead", stats->dead, dead - unbooked.dying, dead + account->spent);
	check_range("dropped", stats->dropped, dropped, dropped + untold);
	check_range("left", stats->left, 0, 0);
	check_range("failures", stats->failures, account->failures - unbooked.failures, account->failures);
	check_range("rejects", stats->rejects, account->rejects - unbooked.rejects, account->rejects);
	check_range("too_large", stats->too_large, account->too_large - unbooked.too_large, account->too_large);
	check_range("worker_deaths", stats->worker_deaths, account->deaths - unbooked.deaths, account->deaths);
	if (stats->attempts < account->calls)
		world_fail("%llu attempts, and handle_flush was called %llu times", (unsigned long long)stats->attempts,
		           (unsigned long long)account->calls);
}

void oracle_check_stats(const struct account *account, const struct databuffer_stats *stats)
{
	uint64_t accepted = oracle_accepted(account);
	if (stats->inserted != stats->held + stats->flushed + stats->dead + stats->dropped + stats->left)
		world_fail("%llu inserted are not %llu held + %llu flushed + %llu dead + %llu dropped + %llu left",
		           (unsigned long long)stats->inserted, (unsigned long long)stats->held,
		           (unsigned long long)stats->flushed, (unsigned long long)stats->dead,
		           (unsigned long long)stats->dropped, (unsigned long long)stats->left);
	check_range("inserted", stats->inserted, accepted, accepted + account->items[ITEM_OFFERED]);
	if (!oracle_gives_up(account)) /* what stop gives up it counts first, and shows then */
		check_outcomes(account, stats);
}

/* Whether a call, asleep or through in part, has put in what it has not told of. */
static bool is_between(const struct account *account)
{
	for (unsigned i = 0; i < CALLS_MAX; i++) {
		const struct call *call = &oracle_calls[i];
		if (call->in_use && call->account == account && call->kind == CALL_INSERT &&
		    (call->n == 0 || world_is_asleep(call->task)))
			return true;
	}
	return false;
}

/* Nothing is between two events: figures are exact. */
static void check_exactly(const struct account *account, const struct databuffer_stats *stats)
{
	uint64_t accepted = oracle_accepted(account), held_bytes = account->bytes[ITEM_HELD];
	check_range("inserted at rest", stats->inserted, accepted, accepted);
	check_range("held_bytes at rest", stats->held_bytes, held_bytes, held_bytes);
	check_range("attempts at rest", stats->attempts, account->calls, account->calls);
}

void oracle_check_infos(const struct account *account, const databuffer_partition_info *infos, unsigned n)
{
	const databuffer_options *o = &account->most;
	for (unsigned i = 0; i < n; i++) {
		const databuffer_partition_info *info = &infos[i];
		check_range("info's partition", info->partition, i, i);
		check_range("flush_size", info->flush_size, (uint64_t)account->least.max_size,
		            (uint64_t)(o->max_size + o->max_size_jitter));
		check_range("in_flight", info->in_flight, 0, (uint64_t)o->max_in_flight);
		check_range("stuck", info->stuck, 0, (uint64_t)(o->max_in_flight + o->max_stuck));
		check_range("size_bound", info->size_bound, 0, (uint64_t)(o->max_size + o->max_size_jitter));
		if (info->next_flush_ms > o->flush_interval + o->flush_jitter)
			world_fail("the next flush is told for %lld ms", (long long)info->next_flush_ms);
		if (info->next_retry_ms > o->retry_max && !oracle_few_threads && !oracle_is_held_up(account))
			world_fail("the next retry is told for %lld ms", (long long)info->next_retry_ms);
	}
}

/* --- After every step ----------------------------------------------------------------- */

/* Whoever is inside a partition may leave it half done. */
static bool look_at_partition(const struct account *account, struct partition *partition,
                              struct databuffer_stats *stats)
{
	const databuffer_options *o = &account->most;
	uint64_t batches = (uint64_t)(1 + o->max_in_flight + o->max_queued + o->max_stuck);
	if (port_is_locked(&partition->lock))
		return false;
	if (!partition_is_valid(partition))
		world_fail("partition %u is not as its invariant says", partition->number);
	check_range("held in a partition", partition_size(partition), 0,
	            batches * (uint64_t)(o->max_size + o->max_size_jitter));
	check_range("held_bytes in a partition", partition_bytes(partition), 0, batches * (uint64_t)o->max_bytes);
	partition_add_stats(partition, stats);
	return true;
}

/* Whether all of it could be looked at. */
static bool look(struct account *account, struct databuffer_stats *stats)
{
	bool whole = true;
	if (account->live && atomic_load_explicit(&account->buf->state, memory_order_relaxed) == BUFFER_STOPPED)
		account->live = false;
	if (!account->live)
		return false;
	*stats = (struct databuffer_stats){ 0 };
	for (unsigned i = 0; i < account->buf->partition_count; i++)
		if (!look_at_partition(account, &account->buf->partitions[i], stats))
			whole = false;
	return whole;
}

static void after_step(void)
{
	struct databuffer_stats stats;
	for (unsigned i = 0; i < oracle_account_count; i++)
		if (look(&oracle_accounts[i], &stats))
			oracle_check_stats(&oracle_accounts[i], &stats);
}

/* --- At rest ------------------------------------------------------------------------------ */

/* Whether a thread of the library may be in the middle of something. */
static bool somebody_is_stalled(void)
{
	return world_last_stall_ns() > world_now_ns();
}

/* Which batches back off is not known for sure. */
static bool is_loose(const struct account *account)
{
	return oracle_is_unsure(account) || account->options.overflow == DATABUFFER_OVERFLOW_DROP_OLDEST ||
	       account->most.breaker_failures > 0 || account->most.rate_limit > 0 ||
	       account->most.rate_limit_flushes > 0;
}

/* A partition waits for a worker: none is idle, and one is on its way, or held back. */
static bool waits_for_worker(const struct account *account, const struct partition *partition)
{
	struct crew *crew = account->buf->crew;
	unsigned coming = 0;
	if (!crew || !partition->waits)
		return false;
	if (partition->called)
		world_fail("partition %u was called to a worker, and nobody comes", partition->number);
	if (crew->idle_count > crew->called)
		world_fail("partition %u waits for a worker, and %u are idle", partition->number, crew->idle_count);
	for (unsigned i = 0; i < crew->count; i++)
		coming += crew->workers[i].state != WORKER_NONE;
	int64_t when = crew->serving ? restarts_when(&crew->restarts) : restarts_when(&crew->server_restarts);
	if (crew->processes && !crew->fallen && !account->stopping && coming == 0 && when <= world_now_ns())
		world_fail("partition %u waits for a worker, and none is on its way", partition->number);
	return true;
}

/* Whether the library's threads may have something to do that they do not yet. */
static bool may_wait_for_threads(const struct account *account)
{
	return oracle_is_manual(account) || oracle_few_threads || somebody_is_stalled() || world_somebody_yields();
}

/* A batch waits, and a handler could have it; or something is due, and not done. */
static void check_service(const struct account *account, const struct partition *partition)
{
	const struct part *part = &account->parts[partition->number];
	int64_t now = world_now_ns();
	bool busy = oracle_is_busy(account, partition->number);
	if (may_wait_for_threads(account) || waits_for_worker(account, partition))
		return;
	if (partition_is_ready(partition, now) && !busy)
		world_fail("a batch of partition %u is ready, and nobody comes for it", partition->number);
	if (partition_deadline(partition) <= now)
		world_fail("something is due in partition %u, and nobody does it", partition->number);
	if (part->failing > 0 && !part->overtaken && !is_loose(account) && !busy && account->options.flusher_count == 0 &&
	    !oracle_has_workers(account) && now > part->failed_ns + part->backoff_max_ns + MS &&
	    world_last_stall_ns() <= part->failed_ns && !oracle_gives_up(account))
		world_fail("partition %u should have tried again by now", partition->number);
}

/* Items wait, and the time of their flush is past. */
static void check_interval(const struct account *account, struct part *part, const struct partition *partition)
{
	const databuffer_options *o = &account->most;
	int64_t now = world_now_ns();
	bool waiting = !list_is_empty(&partition->queue) || (partition->open && segment_count(partition->open) > 0);
	bool idle = waiting && part->failing == 0 && !oracle_is_busy(account, partition->number);
	if (!idle || somebody_is_stalled() || is_loose(account) || partition->waits)
		part->idle_since_ns = WORLD_NEVER;
	else if (part->idle_since_ns == WORLD_NEVER)
		part->idle_since_ns = now;
	if (account->least.flush_interval == 0 || oracle_is_manual(account) || oracle_few_threads ||
	    part->idle_since_ns == WORLD_NEVER)
		return;
	/* 1 ms: an oracle's deadlines are whole ones. */
	if (now - part->idle_since_ns > (o->flush_interval + o->flush_jitter + 1) * MS)
		world_fail("partition %u holds %llu items, and has not been flushed for %.6f ms", partition->number,
		           (unsigned long long)partition_size(partition), (double)(now - part->idle_since_ns) / 1e6);
}

/* A manual buffer has something to do at once, and its descriptor says nothing. */
static void check_descriptor(const struct account *account)
{
	struct pollfd look = { .fd = account->fd, .events = POLLIN };
	bool ready = false;
	if (account->fd < 0 || somebody_is_stalled() ||
	    atomic_load_explicit(&account->buf->working, memory_order_relaxed))
		return;
	for (unsigned i = 0; i < account->buf->partition_count; i++)
		ready = ready || partition_is_ready(&account->buf->partitions[i], buffer_now_ns(account->buf));
	if (ready && poll(&look, 1, 0) != 1)
		world_fail("a manual buffer has a batch that is ready, and its descriptor is not");
}

static bool has_room(const struct call *call, struct partition *partition)
{
	const databuffer_options *o = &call->account->options;
	uint64_t batches = (uint64_t)(1 + o->max_in_flight + o->max_queued);
	uint64_t size = partition->waiting_items, bytes = partition->waiting_bytes;
	if (partition->open && partition->open->held > 0)
		return false;
	if (partition->open) {
		size += segment_count(partition->open);
		bytes += segment_bytes(partition->open);
	}
	return !list_is_empty(&partition->free) &&
	       size + call->n <= batches * (uint64_t)(o->max_size + o->max_size_jitter) &&
	       bytes + call->bytes <= batches * (uint64_t)o->max_bytes;
}

/* An insert waits, and there is room. */
static void check_inserts(void)
{
	if (somebody_is_stalled())
		return; /* in the middle of waking it, perhaps */
	for (unsigned c = 0; c < CALLS_MAX; c++) {
		const struct call *call = &oracle_calls[c];
		const struct account *account = call->account;
		if (!call->in_use || call->kind != CALL_INSERT || call->n == 0 || !account->live ||
		    !world_is_waiting(call->task))
			continue;
		if (account->stopping)
			world_fail("%s waits for room in a buffer that is stopping", call->name);
		for (unsigned i = 0; i < account->buf->partition_count; i++)
			if ((call->partition == CALL_ANYWHERE || call->partition == (int)i) &&
			    has_room(call, &account->buf->partitions[i]))
				world_fail("%s of task %u waits, and partition %u has room", call->name, world_number(call->task), i);
	}
}

/* Whether it may wait for items that came in at the same moment as it, for those of a
 * batch that was cut late and has come in parts, and for batches of nothing. */
static bool may_wait(const struct call *call)
{
	if (call->sync_left > 0 || call->account->options.flush_empty || is_between(call->account))
		return true;
	for (uint32_t i = 0; i < oracle_item_count; i++) {
		const struct item *item = &oracle_items[i];
		if (item->account == call->account->number &&
		    (item->offered_ns <= call->waits_ns || item->presented) &&
		    (item->state == ITEM_HELD || item->state == ITEM_DYING))
			return true;
	}
	return false;
}

/* A sync_flush waits, and nothing is held that it could wait for. */
static void check_waits(void)
{
	for (unsigned c = 0; c < CALLS_MAX; c++) {
		struct call *call = &oracle_calls[c];
		if (!call->in_use || call->kind != CALL_SYNC || !call->account->live || !world_is_waiting(call->task))
			continue;
		if (call->waits_ns == 0)
			call->waits_ns = world_now_ns();
		if (!somebody_is_stalled() && !oracle_gives_up(call->account) && !may_wait(call))
			world_fail("%s waits, and all that it waits for has its outcome", call->name);
	}
}

static void check_account_at_rest(struct account *account)
{
	struct databuffer_stats stats;
	if (!account->live)
		return;
	if (!look(account, &stats)) {
		if (account->live)
			world_fail("a lock of buffer %u is held, and nobody can run", account->number);
		return;
	}
	oracle_check_stats(account, &stats);
	if (!oracle_gives_up(account) && !somebody_is_stalled() && !is_between(account))
		check_exactly(account, &stats);
	oracle_rests(account);
	check_descriptor(account);
	for (unsigned i = 0; i < account->buf->partition_count; i++) {
		struct partition_fault fault;
		if (!partition_check(&account->buf->partitions[i], &fault))
			world_fail("partition %u: %s", i, fault.text);
		check_service(account, &account->buf->partitions[i]);
		check_interval(account, &account->parts[i], &account->buf->partitions[i]);
	}
}

static void at_rest(void)
{
	for (unsigned i = 0; i < FLIGHTS_MAX; i++)
		if (oracle_flights[i].in_use && oracle_flights[i].answered && !world_is_asleep(oracle_flights[i].task))
			oracle_books(oracle_flights[i].task);
	for (unsigned i = 0; i < oracle_account_count; i++)
		check_account_at_rest(&oracle_accounts[i]);
	check_inserts();
	check_waits();
}

/* What the buffers are, where they are not as by default. */
static void tell(void)
{
	databuffer_options usual = databuffer_options_init();
	for (unsigned i = 0; i < oracle_account_count; i++) {
		databuffer_options *options = &oracle_accounts[i].options;
		fprintf(stderr, "buffer %u%s:", i, oracle_accounts[i].stopping ? ", stopping or stopped" : "");
		for (size_t row = 0; options_row_at(row); row++) {
			const struct options_row *option = options_row_at(row);
			if (option->option.type == DATABUFFER_OPTION_TEXT ||
			    *options_number(options, option) == *options_number(&usual, option))
				continue;
			fprintf(stderr, " %s=%lld", option->option.name, (long long)*options_number(options, option));
		}
		fprintf(stderr, "\n");
	}
}

void oracle_watch(void)
{
	world_watch(after_step, at_rest, tell);
}

/* --- The end -------------------------------------------------------------------------------- */

void oracle_close(void)
{
	for (uint32_t i = 0; i < oracle_item_count; i++) {
		const struct item *item = &oracle_items[i];
		if (item->state < ITEM_FLUSHED ? item->state != ITEM_REFUSED : item->state == ITEM_DYING)
			world_fail("item %u is in state %u when all has ended: it has no outcome", i, item->state);
		if (item->flight)
			world_fail("item %u is with a handler when all has ended", i);
	}
	if (port_mapped_bytes() != 0)
		world_fail("%zu bytes are still mapped when all has ended", port_mapped_bytes());
	process_close();
}
