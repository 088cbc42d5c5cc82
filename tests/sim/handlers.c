/* SPDX-License-Identifier: MIT */
/* The program's handlers but for handle_flush: what they are told, and when. */
#include <string.h>

#include "sim/actors.h"

void handlers_dawdle(void)
{
	if (fault(FAULT_DAWDLES))
		world_stall_ns(1 + plan_time_ns());
}

static void handle_dead(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct world_own own = world_own_begin();
	if (world_locks() != 0)
		world_fail("handle_dead is called with %d locks held", world_locks());
	oracle_dead(meta, item, reason);
	handlers_dawdle();
	world_own_end(own);
	sink_leave();
}

static void handle_left(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct world_own own = world_own_begin();
	if (world_locks() != 0)
		world_fail("handle_left is called with %d locks held", world_locks());
	oracle_left(meta, item, reason);
	handlers_dawdle();
	world_own_end(own);
}

static void handle_log(databuffer_log_level level, const char *line, void *meta)
{
	struct world_own own = world_own_begin();
	(void)meta;
	if (strlen(line) == 0 || level < DATABUFFER_LOG_ERROR || level > DATABUFFER_LOG_WARNING)
		world_fail("a line of the log, of level %d: %s", (int)level, line);
	handlers_dawdle();
	world_own_end(own);
}

static _Thread_local unsigned dropping[ACCOUNTS_MAX];

bool handlers_are_dropping(const struct account *account)
{
	return dropping[account->number] > 0;
}

static void handle_drop(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct account *account = meta;
	struct world_own own = world_own_begin();
	if (world_locks() != 0)
		world_fail("handle_drop is called with %d locks held", world_locks());
	oracle_dropped(account, item, reason);
	handlers_dawdle();
	dropping[account->number]++;
	if (fault(FAULT_REENTERS))
		actors_act_inside(account);
	dropping[account->number]--;
	world_own_end(own);
}

static void handle_pressure(int high, size_t held_bytes, void *meta)
{
	struct account *account = meta;
	struct world_own own = world_own_begin();
	world_note("pressure", high, (int64_t)held_bytes);
	if (world_locks() != 0)
		world_fail("handle_pressure is called with %d locks held", world_locks());
	if (account->stopped)
		world_fail("handle_pressure is called after stop has returned");
	if (account->pressed)
		world_fail("handle_pressure is called while it runs");
	if ((high != 0 && high != 1) || high == account->pressure)
		world_fail("handle_pressure is told %d, and was told %d", high, account->pressure);
	account->pressed = world_self();
	account->pressure = high;
	handlers_dawdle();
	if (fault(FAULT_REENTERS))
		actors_act_inside(account);
	account->pressed = NULL;
	world_own_end(own);
}

void handlers_attach(databuffer_options *options, struct account *account)
{
	options->handle_flush = sink_flush;
	options->handle_dead = handle_dead;
	options->handle_drop = handle_drop;
	options->handle_left = handle_left;
	options->handle_pressure = handle_pressure;
	options->handle_log = handle_log;
	options->handle_worker_start = workers_start;
	options->handle_worker_stop = workers_stop;
	options->flush_meta = account;
}
