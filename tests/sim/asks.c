/* SPDX-License-Identifier: MIT */
/* Acts that ask something of a buffer: a flush, a look, an end; and misuse. */
#include <stdio.h>
#include <string.h>

#include "core/options_table.h"
#include "sim/actors.h"

static int64_t draw_timeout(void)
{
	return world_permille(200) ? 0 : world_permille(200) ? -1 : plan_time_ns() / MS;
}

static void expect(const char *what, int64_t answer, int64_t expected)
{
	if (answer != expected)
		world_fail("%s answers %lld instead of %lld", what, (long long)answer, (long long)expected);
}

/* --- Flushing --------------------------------------------------------------------- */

void act_flush(struct actor *actor)
{
	struct account *account = actor->account;
	struct call *call = oracle_call(account, CALL_OTHER, "flush", 0);
	call->asks = true;
	oracle_flush_asked(account);
	int rc = databuffer_flush(account->buf);
	oracle_flush_asked(account);
	oracle_return(call, rc);
}

/* What a worker gives means nothing elsewhere. */
static bool gives_no_pointers(const struct account *account)
{
	return oracle_has_workers(account) && account->options.worker_fallback == DATABUFFER_FALLBACK_WAIT;
}

static void check_results(const struct account *account, const databuffer_result *results, unsigned n)
{
	for (unsigned i = 0; i < n && i < (unsigned)account->options.partitions; i++)
		if (results[i].partition != i || results[i].duration < 0 ||
		    (results[i].status != 0 && results[i].status != DATABUFFER_REJECT &&
		     !(results[i].status == DATABUFFER_EFULL && oracle_drops(account)) &&
		     !(results[i].status == DATABUFFER_EWORKER && oracle_has_workers(account)) &&
		     !(results[i].status == DATABUFFER_ETIMEDOUT && oracle_has_workers(account))) ||
		    (results[i].value && (results[i].value != account || gives_no_pointers(account))) ||
		    (results[i].bytes && (results[i].bytes_len != sizeof(i) || memcmp(results[i].bytes, &i, sizeof(i)) != 0)))
			world_fail("sync_flush tells of partition %u: status %d", results[i].partition, results[i].status);
}

void act_sync(struct actor *actor)
{
	struct account *account = actor->account;
	databuffer_result results[PARTITIONS_MAX];
	int64_t timeout = draw_timeout();
	unsigned n = (unsigned)world_draw(PARTITIONS_MAX);
	if (actor->inside) {
		expect("sync_flush from a handler", databuffer_sync_flush(account->buf, NULL, 0, timeout),
		       DATABUFFER_EDEADLK);
		return;
	}
	struct call *call = oracle_call(account, CALL_SYNC, "sync_flush", timeout);
	if (!call)
		return;
	call->asks = true;
	oracle_flush_asked(account);
	int rc = databuffer_sync_flush(account->buf, n > 0 ? results : NULL, n, timeout);
	oracle_flush_asked(account);
	if (rc == 0)
		check_results(account, results, n);
	if (rc == 0)
		databuffer_results_free(results, n < (unsigned)account->options.partitions ? n : (unsigned)account->options.partitions);
	oracle_return(call, rc);
}

/* --- Looking ------------------------------------------------------------------------ */

/* Nobody else has run: what the call says is what the oracle knows. */
static bool was_alone(const struct call *call)
{
	return world_switches() == call->switches;
}

static void look_at_stats(struct account *account)
{
	struct databuffer_stats stats;
	struct call *call = oracle_call(account, CALL_OTHER, "stats", 0);
	int rc = databuffer_stats(account->buf, &stats);
	if (rc == 0 && stats.inserted != stats.held + stats.flushed + stats.dead + stats.dropped + stats.left)
		world_fail("the counters that stats tells do not balance");
	if (rc == 0 && was_alone(call) && account->live)
		oracle_check_stats(account, &stats);
	oracle_return(call, rc);
}

static void look_at_infos(struct account *account)
{
	databuffer_partition_info infos[PARTITIONS_MAX];
	unsigned n = (unsigned)world_draw(PARTITIONS_MAX), partitions = (unsigned)account->options.partitions;
	struct call *call = oracle_call(account, CALL_OTHER, "info", 0);
	int rc = databuffer_info(account->buf, n > 0 ? infos : NULL, n);
	if (rc >= 0 && rc != (int)partitions)
		world_fail("info tells of %d partitions, of %u", rc, partitions);
	if (rc >= 0)
		oracle_check_infos(account, infos, n < partitions ? n : partitions);
	oracle_return(call, rc < 0 ? rc : 0);
}

static void look_at_size(struct account *account)
{
	struct call *call = oracle_call(account, CALL_OTHER, "size", 0);
	size_t size = databuffer_size(account->buf);
	uint64_t held = account->items[ITEM_HELD];
	bool sure = !oracle_gives_up(account) && !(oracle_drops(account) && oracle_is_inserting(account));
	if (was_alone(call) && account->live && sure && size + account->spent < held)
		world_fail("size is %zu, and %llu are held", size, (unsigned long long)held);
	call->in_use = false;
}

static void look_for(struct account *account)
{
	if (!account->options.name)
		return;
	databuffer *found = databuffer_find(account->options.name);
	if (found && found != account->buf && account->live && !account->stopping)
		world_fail("find finds another buffer of that name");
	if (!found && account->live && !account->stopping)
		world_fail("find does not find a buffer that runs");
}

static void look_at_pressure(struct account *account)
{
	struct call *call = oracle_call(account, CALL_OTHER, "pressure", 0);
	int rc = databuffer_pressure(account->buf);
	if (rc > 1 || (rc == 1 && account->options.pressure_high == 0))
		world_fail("pressure is %d", rc);
	oracle_return(call, rc);
}

/* The descriptor of a program's own loop. */
static void look_at_descriptor(struct account *account)
{
	struct call *call = oracle_call(account, CALL_OTHER, "fd", 0);
	call->allowed = oracle_is_manual(account) ? 0 : DATABUFFER_ENOTSUP;
	int fd = databuffer_fd(account->buf);
	if (fd >= 0 && account->fd >= 0 && fd != account->fd)
		world_fail("the descriptor of a buffer is %d, and was %d", fd, account->fd);
	if (fd >= 0)
		account->fd = fd;
	oracle_return(call, fd < 0 ? fd : 0);
}

static void look_at_all(struct account *account)
{
	struct call *call = oracle_call(account, CALL_OTHER, "check", 0);
	oracle_return(call, databuffer_check(account->buf));
}

void act_look(struct actor *actor)
{
	void (*const looks[])(struct account *) = { look_at_stats,    look_at_infos, look_at_size,
		                                    look_at_pressure, look_at_all,   look_for,
		                                    look_at_descriptor };
	looks[world_draw(6)](actor->account);
}

/* --- Dump ------------------------------------------------------------------------------- */

struct visit {
	struct account *account;
	struct dump *dump;
	uint32_t count, end; /* ends after so many */
	unsigned partition;
};

static int show(const databuffer_item *item, unsigned partition, void *ctx)
{
	struct visit *visit = ctx;
	struct world_own own = world_own_begin();
	if (world_locks() != 0)
		world_fail("dump shows an item with %d locks held", world_locks());
	if (partition < visit->partition)
		world_fail("dump shows partition %u after %u", partition, visit->partition);
	visit->partition = partition;
	oracle_shows(visit->account, visit->dump, item, partition);
	handlers_dawdle();
	world_own_end(own);
	return ++visit->count == visit->end ? 77 : 0;
}

void act_dump(struct actor *actor)
{
	struct account *account = actor->account;
	struct visit visit = { .account = account, .end = world_permille(100) ? (uint32_t)world_draw(5) : UINT32_MAX };
	visit.dump = oracle_dump(account);
	if (!visit.dump)
		return;
	struct call *call = oracle_call(account, CALL_OTHER, "dump", 0);
	int rc = databuffer_dump(account->buf, show, &visit);
	oracle_dumped(visit.dump, rc == 0 && account->live && !oracle_gives_up(account));
	if (rc > 0 && (rc != 77 || visit.count != visit.end))
		world_fail("dump answers %d", rc);
	oracle_return(call, rc < 0 ? rc : 0);
}

/* --- Events --------------------------------------------------------------------------------- */

static struct watcher {
	char id[8];
	bool busy, attached, ending;
	unsigned running;
} watchers[3];

static void on_event(const databuffer_event *event, void *ctx)
{
	struct watcher *watcher = ctx;
	struct world_own own = world_own_begin();
	if (world_locks() != 0)
		world_fail("an event is told with %d locks held", world_locks());
	if (!watcher->attached)
		world_fail("an event is told to a handler that is detached");
	if ((event->kind & (event->kind - 1)) != 0 || !event->buffer || event->duration_ns < 0 ||
	    event->partition >= PARTITIONS_MAX)
		world_fail("an event of kind %u, partition %u", (unsigned)event->kind, event->partition);
	watcher->running++;
	handlers_dawdle();
	watcher->running--;
	world_own_end(own);
}

static void detach(struct watcher *watcher)
{
	watcher->busy = true;
	if (databuffer_telemetry_detach(watcher->id) != 0)
		world_fail("a handler of events cannot be detached");
	if (watcher->running > 0)
		world_fail("a handler of events runs, and detach has returned");
	watcher->attached = watcher->busy = false;
}

void act_events(struct actor *actor)
{
	struct watcher *watcher = &watchers[world_draw(2)];
	if (actor->inside || watcher->busy)
		return;
	if (watcher->attached) {
		detach(watcher);
		return;
	}
	watcher->busy = watcher->attached = true;
	snprintf(watcher->id, sizeof(watcher->id), "sim-%d", (int)(watcher - watchers));
	unsigned events = (unsigned)world_draw(UINT32_MAX) & DATABUFFER_EVENTS_ALL, failures = port_failures(world_self());
	int rc = databuffer_telemetry_attach(watcher->id, events, on_event, watcher);
	if (rc != 0 && (rc != DATABUFFER_ENOMEM || port_failures(world_self()) == failures))
		world_fail("a handler of events is not attached: %d", rc);
	watcher->attached = rc == 0;
	watcher->busy = false;
}

void events_end(void)
{
	for (unsigned i = 0; i < 3; i++)
		if (watchers[i].attached)
			detach(&watchers[i]);
}

/* --- Other options ---------------------------------------------------------------------------- */

static void check_options_of(struct account *account)
{
	databuffer_options now = databuffer_options_init();
	struct call *call = oracle_call(account, CALL_OTHER, "options_of", 0);
	int rc = databuffer_options_of(account->buf, &now);
	for (size_t i = 0; rc == 0 && options_row_at(i); i++) {
		const struct options_row *row = options_row_at(i);
		if (row->option.type != DATABUFFER_OPTION_TEXT &&
		    *options_number(&now, row) != *options_number(&account->options, row))
			world_fail("%s is %lld, and was set to %lld", row->option.name,
			           (long long)*options_number(&now, row),
			           (long long)*options_number(&account->options, row));
	}
	oracle_return(call, rc);
}

static int64_t largest(const databuffer_options *options)
{
	return options->max_size + options->max_size_jitter;
}

void act_change(struct actor *actor)
{
	struct account *account = actor->account;
	bool wrongly = world_permille(200);
	char error[400] = "";
	if (account->changing)
		return;
	databuffer_options wanted = plan_change(&account->options, wrongly);
	/* Workers have the memory that they were born with. */
	wrongly = wrongly || (oracle_has_workers(account) && largest(&wanted) > account->first_largest);
	wanted.error = error;
	wanted.error_size = sizeof(error);
	if (!wrongly)
		oracle_widens(account, &wanted);
	account->changing = true;
	struct call *call = oracle_call(account, CALL_OTHER, "reconfigure", 0);
	call->allowed = wrongly ? DATABUFFER_EINVAL : 0;
	int rc = databuffer_reconfigure(account->buf, &wanted);
	if (rc == 0 && wrongly)
		world_fail("options that cannot change are changed");
	if (rc == DATABUFFER_EINVAL && !strstr(error, "max_"))
		world_fail("an option is refused without its name: %s", error);
	if (rc == 0)
		oracle_changes(account, &wanted);
	oracle_return(call, rc);
	check_options_of(account);
	account->changing = false;
}

/* --- Misuse ------------------------------------------------------------------------------------ */

static void start_twice(const struct account *account)
{
	databuffer *untouched = (databuffer *)&watchers, *buf = untouched;
	databuffer_options options = account->options;
	char error[400];
	unsigned failures = port_failures(world_self());
	options.error = error;
	options.error_size = sizeof(error);
	options.flush_empty = 0;
	int rc = databuffer_start(&buf, &options);
	if (rc == 0) {
		if (account->live && !account->stopping && options.name)
			world_fail("two buffers have one name");
		expect("stop of an empty buffer", databuffer_stop(buf, 0), 0);
	} else if (buf != untouched) {
		world_fail("a start that fails has written its output");
	} else if (rc != DATABUFFER_EEXIST && port_failures(world_self()) == failures) {
		world_fail("start answers %d", rc);
	}
}

static void start_wrongly(const struct account *account)
{
	databuffer *buf;
	databuffer_options options = account->options;
	char error[400] = "";
	options.error = error;
	options.error_size = sizeof(error);
	options.retry_max = options.retry_min - 1;
	expect("a start with retry_max below retry_min", databuffer_start(&buf, &options), DATABUFFER_EINVAL);
	if (!strstr(error, "retry_m"))
		world_fail("a wrong option is refused without its name: %s", error);
}

void act_misuse(struct actor *actor)
{
	struct account *account = actor->account;
	switch (world_draw(3)) {
	case 0:
		/* One that fails waits for the processes that it has started. */
		if (!actor->inside || !oracle_has_workers(account))
			start_twice(account);
		break;
	case 1:
		start_wrongly(account);
		break;
	case 2:
		expect("an insert into nothing", databuffer_insert(NULL, "", 0), DATABUFFER_EINVAL);
		expect("a stop of nothing", databuffer_stop(NULL, 0), DATABUFFER_EINVAL);
		expect("a commit of nothing", databuffer_commit(NULL), DATABUFFER_EINVAL);
		break;
	default:
		if (account->options.flusher == DATABUFFER_THREADS && account->live && !account->stopping) {
			int rc = databuffer_work(account->buf, 1);
			if (!account->stopping)
				expect("work of a buffer with threads", rc, DATABUFFER_ENOTSUP);
		}
	}
}

/* --- Stopping ------------------------------------------------------------------------------------ */

/* Beside a loop that is in a handler, stop looks every millisecond: not for hours. */
static int64_t draw_stop_timeout(const struct account *account)
{
	int64_t timeout_ms = draw_timeout();
	if (account->options.flusher == DATABUFFER_MANUAL && (timeout_ms < 0 || timeout_ms > 2000))
		return 2000;
	return timeout_ms;
}

void stop_account(struct account *account, int64_t timeout_ms)
{
	struct call *call = oracle_call(account, CALL_STOP, "stop", timeout_ms);
	call->asks = true;
	account->stopping = true;
	account->stopper = world_self();
	account->stop_deadline_ns = port_deadline_ns(world_now_ns(), call->timeout_ms);
	oracle_flush_asked(account);
	int64_t left = databuffer_stop(account->buf, timeout_ms);
	account->stopped = true;
	account->live = false;
	if (account->pressure && !account->pressed && world_now_ns() < account->stop_deadline_ns)
		world_fail("stop has returned, and handle_pressure was told high last");
	if (left >= 0 && left != (int64_t)account->items[ITEM_LEFT])
		world_fail("stop says that %lld items are left, and has shown %llu", (long long)left,
		           (unsigned long long)account->items[ITEM_LEFT]);
	oracle_return(call, left < 0 ? left : 0);
}

void act_stop(struct actor *actor)
{
	struct account *account = actor->account;
	if (actor->inside) {
		expect("a stop from a handler", databuffer_stop(account->buf, 0), DATABUFFER_EDEADLK);
	} else if (!account->stopping) {
		stop_account(account, draw_stop_timeout(account));
		if (fault(FAULT_RESTARTS))
			actors_start_buffer();
	} else if (!account->live ||
	           atomic_load_explicit(&account->buf->state, memory_order_relaxed) != BUFFER_RUNNING) {
		expect("a second stop", databuffer_stop(account->buf, draw_timeout()), DATABUFFER_ESTOPPED);
	}
}
