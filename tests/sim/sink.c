/* SPDX-License-Identifier: MIT */
/* The program's handle_flush, and all that a sink can do wrong. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/uio.h>

#include "sim/actors.h"
#include "sim/port.h"
#include "sim/processes.h"

static bool is_down;
static bool released;

void sink_set_down(bool down)
{
	is_down = down;
}

void sink_release(void)
{
	released = true;
	world_wake(&released, UINT32_MAX);
}

/* --- What it reads ----------------------------------------------------------------- */

/* All items as an array, and as an iovec, where the library makes them. */
static void read_otherwise(const struct flight *flight, databuffer_batch *batch)
{
	unsigned failures = port_failures(world_self());
	const char *array = databuffer_batch_array(batch);
	const struct iovec *iovec = databuffer_batch_iovec(batch);
	databuffer_view view = databuffer_batch_view(batch);
	bool equal = flight->count > 0;
	if (view.size != flight->count)
		world_fail("a view of a batch has %zu items of %u", view.size, flight->count);
	for (uint32_t i = 0; i < flight->count; i++) {
		const struct item *item = &oracle_items[flight->items[i]];
		equal = equal && item->len == oracle_items[flight->items[0]].len;
		databuffer_item shown = { array + (size_t)i * item->len, item->len };
		databuffer_item seen = databuffer_view_at(&view, i);
		if (oracle_read(flight->account, &seen, "databuffer_batch_view") != item)
			world_fail("item %u is not in its place in the view", flight->items[i]);
		if (array && oracle_read(flight->account, &shown, "databuffer_batch_array") != item)
			world_fail("item %u is not in its place in the array", flight->items[i]);
		if (iovec && (iovec[i].iov_base != databuffer_batch_at(batch, i).data || iovec[i].iov_len != item->len))
			world_fail("item %u is not in its place in the iovec", flight->items[i]);
	}
	if (array && !equal)
		world_fail("items of several lengths are shown as an array");
	if (port_failures(world_self()) == failures && ((equal && !array) || (flight->count > 0 && !iovec)))
		world_fail("a batch is not shown as an array or an iovec, and there is memory");
	if (databuffer_batch_at(batch, flight->count).data)
		world_fail("a batch has an item beyond its last");
	const char *its = flight->account->options.name;
	if (strcmp(databuffer_batch_name(batch), its ? its : "") != 0)
		world_fail("a batch is of a buffer named %s", databuffer_batch_name(batch));
	databuffer_item first;
	databuffer_batch_rewind(batch);
	if (databuffer_batch_next(batch, &first) != (flight->count > 0))
		world_fail("a batch that is walked once more has no first item, or has one");
}

/* --- What it names ------------------------------------------------------------------- */

static void name(struct flight *flight, databuffer_batch *batch, uint32_t i)
{
	unsigned failures = port_failures(world_self());
	int rc = databuffer_batch_fail(batch, i, world_permille(500) ? "the simulator says so" : NULL);
	if (i >= flight->count ? rc != DATABUFFER_EINVAL : rc != 0 && rc != DATABUFFER_ENOMEM)
		world_fail("naming item %u of %u answers %d", i, flight->count, rc);
	if (rc == DATABUFFER_ENOMEM && port_failures(world_self()) == failures)
		world_fail("naming an item wants memory, and there is enough");
	if (rc == 0)
		oracle_names(flight, i);
}

static void name_any(struct flight *flight, databuffer_batch *batch)
{
	for (uint64_t n = world_draw(3); n > 0; n--)
		name(flight, batch, (uint32_t)world_draw(flight->count + 1));
}

/* Whether all poison of the batch is named now; there being none is not. */
static bool name_poison(struct flight *flight, databuffer_batch *batch)
{
	bool all = true;
	for (uint32_t i = flight->count; i-- > 0;) {
		if (!oracle_items[flight->items[i]].poison)
			continue;
		name(flight, batch, i);
		all = all && flight->named[i];
	}
	return all;
}

static bool has_poison(const struct flight *flight)
{
	for (uint32_t i = 0; i < flight->count; i++)
		if (oracle_items[flight->items[i]].poison)
			return true;
	return false;
}

/* --- What it answers ------------------------------------------------------------------- */

static int any_error(void)
{
	static const int errors[] = { DATABUFFER_RETRY, -EIO, -ENOSPC, -EAGAIN, DATABUFFER_ETIMEDOUT, -ENOMEM };
	return errors[world_draw(sizeof(errors) / sizeof(errors[0]) - 1)];
}

static int any_number(void)
{
	int number = (int)world_draw(UINT32_MAX);
	return number >= 0 && number <= DATABUFFER_TOO_LARGE ? INT32_MIN : number;
}

/* How many items it takes at once. It changes from time to time, and never to none. */
static uint32_t sink_limit(const struct account *account)
{
	static uint32_t limits[ACCOUNTS_MAX];
	uint32_t *limit = &limits[account->number];
	if (*limit == 0)
		*limit = UINT32_MAX;
	if (fault(FAULT_TOO_LARGE) && world_permille(100))
		*limit = 1 + (uint32_t)world_draw((uint64_t)account->options.max_size);
	return *limit;
}

static int judge(struct flight *flight, databuffer_batch *batch)
{
	if (is_down && !plan_is_healed())
		return any_error();
	if (fault(FAULT_NAMES))
		name_any(flight, batch);
	if (has_poison(flight)) {
		bool told = world_permille(300) && name_poison(flight, batch);
		return told && world_permille(500) ? 0 : DATABUFFER_REJECT;
	}
	if (flight->count > sink_limit(flight->account) || fault(FAULT_TOO_LARGE))
		return DATABUFFER_TOO_LARGE;
	if (fault(FAULT_TRANSIENT))
		return any_error();
	if (fault(FAULT_GARBAGE))
		return any_number();
	return fault(FAULT_REJECT) ? DATABUFFER_REJECT : 0;
}

/* --- How long it takes -------------------------------------------------------------------- */

static void check_cancelled(const struct flight *flight, const databuffer_batch *batch, int64_t began_ns)
{
	const struct account *account = flight->account;
	bool cancelled = databuffer_batch_cancelled(batch), quiet = world_last_stall_ns() <= began_ns;
	/* At the very moment either is right. */
	if (!cancelled && quiet && flight->deadline_ns < world_now_ns() - MS && !account->stopped)
		world_fail("a batch is late, and not cancelled");
	if (cancelled && !oracle_is_late(flight) && !oracle_gives_up(account))
		world_fail("a batch is cancelled before its time");
}

/* A thread of the program's that works a buffer is needed to end the run. */
static void hang(const struct account *account)
{
	if (oracle_is_manual(account))
		world_sleep_ns(100 * plan_time_ns());
	else if (!released)
		world_wait(&released, WORLD_NEVER, false);
}

static void take_time(struct flight *flight, const databuffer_batch *batch)
{
	const databuffer_options *o = &flight->account->options;
	int64_t began_ns = world_now_ns();
	if (fault(FAULT_HANGS))
		hang(flight->account);
	if (fault(FAULT_SLOW))
		world_sleep_ns(plan_time_ns());
	if (o->flush_timeout > 0 && fault(FAULT_LATE))
		world_sleep_ns(o->flush_timeout * MS + plan_time_ns());
	check_cancelled(flight, batch, began_ns);
}

/* --- The handlers ------------------------------------------------------------------------------ */

/* Only a thread of the library's may leave: who else calls handlers is needed on. */
static bool is_flusher(void)
{
	return strcmp(world_name(world_self()), "db-flusher") == 0;
}

void sink_leave(void)
{
	if (is_flusher() && fault(FAULT_LEAVES))
		pthread_exit(NULL);
}

/* What a sync_flush is to be told, and where it came from. */
static void set_result(const struct flight *flight, databuffer_batch *batch)
{
	unsigned failures = port_failures(world_self());
	databuffer_batch_set_result(batch, flight->account);
	int rc = databuffer_batch_set_result_bytes(batch, &flight->partition, sizeof(flight->partition));
	if (rc != 0 && (rc != DATABUFFER_ENOMEM || port_failures(world_self()) == failures))
		world_fail("a result of bytes answers %d", rc);
}

/* In a worker: it may end at any point, and is ended at its deadline. */
static int flush_in_worker(struct account *account, databuffer_batch *batch)
{
	struct flight *flight = oracle_begins(account, batch);
	uint64_t most = (uint64_t)account->options.worker_max_flushes;
	if (++process_self()->flushes > most && most > 0)
		world_fail("a worker flushes %u times, and makes way for no other", process_self()->flushes);
	world_point(POINT_ACT);
	if (world_permille(100))
		read_otherwise(flight, batch);
	if (fault(FAULT_HANGS) || (account->options.flush_timeout > 0 && fault(FAULT_LATE)))
		hang(account);
	if (fault(FAULT_SLOW))
		world_sleep_ns(plan_time_ns());
	if (account->crashes && has_poison(flight))
		process_crash();
	if (world_permille(200))
		set_result(flight, batch);
	int answer = judge(flight, batch);
	oracle_reads_again(flight, batch);
	flight->returned = true;
	flight->answer = answer;
	world_note("worker's handler answers", answer, flight->named_count);
	world_point(POINT_ACT);
	return answer;
}

int sink_flush(databuffer_batch *batch, void *meta)
{
	struct account *account = meta;
	if (process_self())
		return flush_in_worker(account, batch);
	struct world_own own = world_own_begin();
	struct flight *flight = oracle_takes_off(account, batch);
	if (world_permille(100))
		read_otherwise(flight, batch);
	take_time(flight, batch);
	if (fault(FAULT_REENTERS))
		actors_act_inside(account);
	if (world_permille(200))
		set_result(flight, batch);
	bool leaves = is_flusher() && fault(FAULT_LEAVES);
	int answer = leaves ? DATABUFFER_ECANCELED : judge(flight, batch);
	oracle_reads_again(flight, batch);
	oracle_lands(flight, answer);
	world_own_end(own);
	if (leaves)
		pthread_exit(NULL);
	return answer;
}
