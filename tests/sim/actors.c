/* SPDX-License-Identifier: MIT */
/* Who acts when: the threads of a program, its own loop, its weather; and the
 * buffers' lives around them. */
#include "sim/actors.h"

#include <stdio.h>

#include "sim/port.h"
#include "sim/processes.h"

static unsigned acting;     /* actors that are not done */
static bool over;           /* the buffers are being stopped */
static bool slots_about;    /* this run reserves slots */

/* --- Buffers ----------------------------------------------------------------------- */

static void host_main(void *arg);

static databuffer *start(databuffer_options *options)
{
	databuffer *buf = NULL;
	unsigned failures = port_failures(world_self());
	int rc = databuffer_start(&buf, options);
	if (rc == 0)
		return buf;
	if ((rc != DATABUFFER_ENOMEM && rc != DATABUFFER_EAGAIN) || port_failures(world_self()) == failures)
		world_fail("start answers %d: %s", rc, databuffer_strerror(rc));
	return NULL;
}

bool actors_start_buffer(void)
{
	static const char *const names[ACCOUNTS_MAX] = { "sim-a", "sim-b", "sim-c", "sim-d", "sim-e", "sim-f" };
	if (oracle_account_count == ACCOUNTS_MAX || over)
		return false;
	databuffer_options options = plan_options();
	unsigned number = oracle_account_count;
	options.name = world_permille(700) ? names[number] : NULL;
	struct account *account = oracle_open(&options);
	handlers_attach(&account->options, account);
	account->crashes = fault(FAULT_CRASHES);
	databuffer *buf = start(&account->options);
	if (!buf) {
		account->stopping = account->stopped = true;
		return false;
	}
	oracle_started(account, buf);
	if (options.flusher == DATABUFFER_MANUAL) {
		world_start(host_main, account, "host");
		if (fault(FAULT_TWO_LOOPS))
			world_start(host_main, account, "host");
	}
	return true;
}

/* --- A program's own loop ------------------------------------------------------------- */

/* The program's clock is the world's, and what it has jumped ahead. */
static int64_t jumped_ms;

static int64_t program_now_ms(void)
{
	return world_now_ns() / MS + jumped_ms;
}

static void wait_for_work(struct account *account)
{
	int64_t next_ms = databuffer_next_deadline(account->buf);
	int64_t most_ms = plan_is_healed() ? 10000 : 1 + plan_time_ns() / MS;
	int64_t wait_ms = next_ms == INT64_MAX ? most_ms : next_ms - program_now_ms();
	if (wait_ms > most_ms)
		wait_ms = most_ms;
	if (fault(FAULT_WORKS_LATE))
		wait_ms += plan_time_ns() / MS;
	world_sleep_ns(wait_ms > 0 ? wait_ms * MS : 1000);
}

static void host_main(void *arg)
{
	struct account *account = arg;
	while (!account->stopped) {
		if (fault(FAULT_CLOCK_JUMPS))
			jumped_ms += (int64_t)world_draw(10 * 3600 * 1000);
		struct call *call = oracle_call(account, CALL_OTHER, "work", 0);
		call->allowed = DATABUFFER_EDEADLK;
		int rc = databuffer_work(account->buf, program_now_ms());
		oracle_books(world_self());
		oracle_return(call, rc < 0 ? rc : 0);
		if (rc == DATABUFFER_EDEADLK)
			world_sleep_ns(MS + plan_time_ns());
		else
			wait_for_work(account);
	}
}

/* --- Acts ------------------------------------------------------------------------------- */

static void act(struct actor *actor)
{
	if (fault(FAULT_FLUSH))
		act_flush(actor);
	if (fault(FAULT_SYNC))
		act_sync(actor);
	if (fault(FAULT_LOOK))
		act_look(actor);
	if (fault(FAULT_DUMP))
		act_dump(actor);
	if (fault(FAULT_CHANGES))
		act_change(actor);
	if (fault(FAULT_EVENTS))
		act_events(actor);
	if (fault(FAULT_MISUSE))
		act_misuse(actor);
	if (fault(FAULT_STOP))
		act_stop(actor);
	switch (world_draw(9)) {
	case 0:
		act_insert_many(actor);
		break;
	case 1:
	case 2:
		act_insert_keyed(actor);
		break;
	case 3:
		if (slots_about)
			act_reserve(actor);
		break;
	default:
		act_insert(actor);
	}
	if (slots_about)
		act_resolve(actor);
}

void actors_act_inside(struct account *account)
{
	struct actor actor = { .account = account, .inside = true };
	act(&actor);
}

/* A buffer of those that have been started, mostly one that runs. */
static struct account *any_account(void)
{
	struct account *account = NULL;
	for (unsigned tries = 0; tries < 8; tries++) {
		struct account *one = &oracle_accounts[world_draw(oracle_account_count - 1)];
		if (one->buf)
			account = one;
		if (one->live && !one->stopping)
			break;
	}
	return account;
}

static void pause(void)
{
	if (fault(FAULT_PAUSES))
		world_sleep_ns(10 * plan_time_ns());
	else if (world_permille(300))
		world_sleep_ns(plan_time_ns());
	else
		world_point(POINT_ACT);
}

static void actor_main(void *arg)
{
	struct actor actor = { 0 };
	for (uintptr_t acts = (uintptr_t)arg; acts > 0 && !world_is_crowded(); acts--) {
		actor.account = any_account();
		if (!actor.account)
			break;
		unsigned burst = fault(FAULT_BURSTS) ? (unsigned)world_draw(100) : 0;
		act(&actor);
		while (burst-- > 0)
			act_insert(&actor);
		pause();
		if (fault(FAULT_VANISHES) && world_start(actor_main, (void *)(acts - 1), "actor")) {
			acting++;
			break;
		}
	}
	act_forget(&actor);
	acting--;
	world_wake(&acting, UINT32_MAX);
}

/* --- Weather ------------------------------------------------------------------------------- */

/* Sinks go down and come up again; the system is short of everything for a while. */
static void weather_main(void *arg)
{
	(void)arg;
	while (acting > 0) {
		sink_set_down(fault(FAULT_OUTAGE));
		port_set_scarce(world_permille(200));
		if (fault(FAULT_KILLED))
			process_kill_any();
		world_sleep_ns(1 + 5 * plan_time_ns());
	}
	sink_set_down(false);
	port_set_scarce(false);
}

/* --- A run ----------------------------------------------------------------------------------- */

static void start_actors(void)
{
	acting = plan_actors();
	for (unsigned i = 0; i < plan_actors(); i++)
		if (!world_start(actor_main, (void *)(uintptr_t)plan_acts(), "actor"))
			world_fail("there is no room for an actor");
	world_start(weather_main, NULL, "weather");
	while (acting > 0)
		world_wait(&acting, WORLD_NEVER, false);
}

/* All that was held, and is not stopped over, comes to its end once nothing is wrong. */
static void settle_account(struct account *account)
{
	const int64_t year_ms = INT64_C(365) * 24 * 3600 * 1000;
	struct call *call = oracle_call(account, CALL_SYNC, "sync_flush", year_ms);
	call->asks = true;
	oracle_flush_asked(account);
	int rc = databuffer_sync_flush(account->buf, NULL, 0, year_ms);
	oracle_flush_asked(account);
	if (rc != 0)
		world_fail("nothing is wrong, and sync_flush answers %d", rc);
	oracle_return(call, rc);
}

static void end_account(struct account *account, bool settle)
{
	while (account->stopping && !account->stopped)
		world_sleep_ns(MS);
	if (account->stopped)
		return;
	if (settle)
		settle_account(account);
	stop_account(account, settle ? 3600 * 1000 : plan_time_ns() / MS % 2000);
	if (settle && account->items[ITEM_LEFT] > 0)
		world_fail("nothing is wrong, and stop leaves %llu items", (unsigned long long)account->items[ITEM_LEFT]);
}

void actors_run(void)
{
	plan_draw();
	oracle_watch();
	slots_about = world_permille(400);
	bool settle = world_permille(600);
	for (unsigned i = 0; i < plan_buffers(); i++)
		while (oracle_account_count < ACCOUNTS_MAX && !actors_start_buffer())
			;
	if (any_account())
		start_actors();
	over = true;
	if (settle) {
		plan_heal();
		sink_release();
	}
	for (unsigned i = 0; i < oracle_account_count; i++)
		end_account(&oracle_accounts[i], settle);
	plan_heal();
	sink_release();
	events_end();
	world_end();
	oracle_close();
}
