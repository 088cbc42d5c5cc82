/* SPDX-License-Identifier: MIT */
/* What a seed comes to: each run has some of the faults and not others, and
 * options and times of its own, so that rare things meet each other. */
#include "sim/faults.h"

#include <stdio.h>
#include <string.h>

#include "core/options_table.h"
#include "port/port.h"
#include "sim/oracle.h"

static const struct {
	const char *name, *group, *what, *promise;
	unsigned most;
} faults[] = {
#define FAULT_ROW(group_, name_, most_, what_, promise_) \
	{ .name = #name_, .group = (group_), .what = (what_), .promise = (promise_), .most = (most_) },
#define FAULT_OF_SINK(...)      FAULT_ROW(" The sink", __VA_ARGS__)
#define FAULT_OF_PRODUCERS(...) FAULT_ROW(" Producers", __VA_ARGS__)
#define FAULT_OF_SYSTEM(...)    FAULT_ROW(" The system", __VA_ARGS__)
#define FAULT_OF_WORKERS(...)   FAULT_ROW(" Worker processes", __VA_ARGS__)
#define FAULT_OF_MOMENTS(...)   FAULT_ROW(" At any moment", __VA_ARGS__)
#define FAULT_OF_LOOP(...)      FAULT_ROW(" A program's own loop", __VA_ARGS__)
	FAULTS_OF_SINK(FAULT_OF_SINK) FAULTS_OF_PRODUCERS(FAULT_OF_PRODUCERS) FAULTS_OF_SYSTEM(FAULT_OF_SYSTEM)
		FAULTS_OF_WORKERS(FAULT_OF_WORKERS) FAULTS_OF_MOMENTS(FAULT_OF_MOMENTS) FAULTS_OF_LOOP(FAULT_OF_LOOP)
};

static struct {
	unsigned permille[FAULT_COUNT];
	int64_t scale_ns;
	bool healed;
	unsigned buffers, actors, acts;
} plan;

bool fault(enum fault which)
{
	return !plan.healed && world_permille(plan.permille[which]);
}

void plan_print_faults(void)
{
	printf("| | what is injected | what is promised |\n|---|---|---|\n");
	for (unsigned i = 0; i < FAULT_COUNT; i++)
		printf("|%s | %s | %s |\n", i > 0 && strcmp(faults[i].group, faults[i - 1].group) == 0 ? "" : faults[i].group,
		       faults[i].what, faults[i].promise);
}

/* --- Draws ---------------------------------------------------------------------------- */

static uint64_t between(uint64_t least, uint64_t most)
{
	return least + world_draw(most - least);
}

/* Any order of magnitude as likely as another. */
static uint64_t up_to(uint64_t most)
{
	uint64_t bound = most;
	for (uint64_t halvings = world_draw(6); halvings > 0; halvings--)
		bound /= 4;
	return world_draw(bound);
}

static uint64_t one_of(unsigned n, const uint64_t *choices)
{
	return choices[world_draw(n - 1)];
}
#define ONE_OF(...) one_of(sizeof((uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t), (uint64_t[]){ __VA_ARGS__ })

int64_t plan_time_ns(void)
{
	return (int64_t)up_to((uint64_t)plan.scale_ns);
}

/* --- The system ---------------------------------------------------------------------------- */

static void draw_system(void)
{
	struct world_temper world = {
		.switch_permille = (unsigned)ONE_OF(2, 20, 100, 300, 700),
		.stall_ppm = plan.permille[FAULT_STALLS] ? (unsigned)ONE_OF(50, 300, 2000) : 0,
		.stall_max_ns = plan.scale_ns * (int64_t)ONE_OF(1, 3, 10),
		.early_permille = plan.permille[FAULT_EARLY],
	};
	struct port_temper port = {
		.map_permille = plan.permille[FAULT_NO_MAP],
		.memory_permille = plan.permille[FAULT_NO_MEMORY],
		.thread_permille = plan.permille[FAULT_NO_THREAD],
		.process_permille = plan.permille[FAULT_NO_PROCESS],
		.fenced = fault(FAULT_NO_BARRIER),
	};
	world_set_temper(&world);
	port_set_temper(&port);
	oracle_few_threads = port.thread_permille > 0;
	oracle_few_bytes = port.memory_permille > 0;
	oracle_stalls = plan.permille[FAULT_STALLS] > 0 || plan.permille[FAULT_DAWDLES] > 0;
}

void plan_heal(void)
{
	plan.healed = true;
	world_set_temper(&(struct world_temper){ .switch_permille = 100 });
	port_set_temper(&(struct port_temper){ .fenced = !port_has_barrier() });
}

bool plan_is_healed(void)
{
	return plan.healed;
}

void plan_draw(void)
{
	plan.scale_ns = (int64_t)ONE_OF(UINT64_C(1000000), UINT64_C(50000000), UINT64_C(1000000000),
	                                UINT64_C(60000000000), UINT64_C(3600000000000));
	uint64_t crowd = ONE_OF(150, 350, 600);
	for (unsigned i = 0; i < FAULT_COUNT; i++)
		if (world_draw(999) < crowd)
			plan.permille[i] = (unsigned)between(1, faults[i].most);
	plan.buffers = world_permille(250) ? 2 : 1;
	plan.actors = (unsigned)between(1, 5);
	plan.acts = (unsigned)between(20, 300);
	draw_system();
}

unsigned plan_buffers(void)
{
	return plan.buffers;
}

unsigned plan_actors(void)
{
	return plan.actors;
}

unsigned plan_acts(void)
{
	return plan.acts;
}

/* --- Options ------------------------------------------------------------------------------------ */

static int64_t time_ms(int64_t least)
{
	int64_t ms = plan_time_ns() / PORT_NS_PER_MS;
	return ms > least ? ms : least;
}

/* Who waits for a worker looks up every second: too often where things take hours. */
static bool has_workers(void)
{
	return plan.scale_ns <= INT64_C(60000000000) && world_permille(300);
}

static void draw_workers(databuffer_options *o)
{
	o->flusher = DATABUFFER_PROCESSES;
	o->flusher_count = (int64_t)world_draw(4);
	o->kill_limit = (int64_t)between(1, 4);
	o->worker_max_flushes = world_permille(300) ? (int64_t)between(1, 10) : 0;
	o->max_restarts = world_permille(500) ? 10000 : (int64_t)world_draw(20);
	o->max_restart_period = time_ms(1);
	o->worker_fallback = world_permille(200) ? DATABUFFER_FALLBACK_THREADS : DATABUFFER_FALLBACK_WAIT;
}

/* Ticks that find something, a batch of nothing or a slot that is kept, would be all
 * that there is in a long pause. */
static int64_t least_interval_ms(const databuffer_options *o)
{
	return 1 + plan.scale_ns / MS / (o->flush_empty ? 10 : 1000);
}

databuffer_options plan_options(void)
{
	databuffer_options o = databuffer_options_init();
	/* Many flights of many partitions, and what holds them up, belong together. */
	bool manual = world_permille(150), crowd = world_permille(250);
	o.partitions = (int64_t)between(1 + crowd, !crowd && world_permille(600) ? 1 : PARTITIONS_MAX);
	o.max_size = 1 + (int64_t)up_to(100);
	o.max_size_jitter = world_permille(300) ? (int64_t)world_draw((uint64_t)o.max_size) : 0;
	o.max_bytes = ITEM_LEN_MIN + (int64_t)up_to(world_permille(300) ? 200 : 8000);
	o.max_in_flight = crowd || world_permille(100) ? (int64_t)between(2, 4) : 1;
	o.max_queued = world_permille(400) ? (int64_t)between(1, 3) : 0;
	o.max_stuck = (int64_t)world_draw(3);
	o.flush_empty = world_permille(100);
	o.flush_interval = world_permille(150) ? 0 : time_ms(least_interval_ms(&o));
	o.flush_jitter = world_permille(500) ? time_ms(0) : 0;
	o.flush_timeout = world_permille(200) ? 0 : time_ms(1);
	o.timeout = time_ms(0);
	o.overflow = world_permille(600) ? DATABUFFER_OVERFLOW_BLOCK : (int64_t)world_draw(DATABUFFER_OVERFLOW_DROP_OLDEST);
	o.pressure_high = world_permille(300) ? 1 + (int64_t)up_to((uint64_t)(3 * o.max_bytes * o.partitions)) : 0;
	o.pressure_low = o.pressure_high > 0 ? (int64_t)world_draw((uint64_t)o.pressure_high - 1) : 0;
	o.idle_memory = world_permille(500) ? time_ms(0) : 0;
	o.retry_min = time_ms(1);
	o.retry_max = o.retry_min + time_ms(0);
	o.retry_limit = world_permille(250) ? (int64_t)between(1, 6) : 0;
	o.retry_for = world_permille(150) ? time_ms(1) : 0;
	o.breaker_failures = world_permille(crowd ? 500 : 150) ? (int64_t)between(1, 5) : 0;
	o.rate_limit = world_permille(100) ? 1 + (int64_t)up_to(10000) : 0;
	o.rate_limit_flushes = world_permille(100) ? 1 + (int64_t)up_to(1000) : 0;
	o.flusher_count = world_permille(crowd ? 500 : 100) ? (int64_t)between(1, 3) : 0;
	o.seed = 1 + (int64_t)world_draw(INT64_MAX - 1);
	o.flusher = manual ? DATABUFFER_MANUAL : DATABUFFER_THREADS;
	if (!manual && has_workers())
		draw_workers(&o);
	return o;
}

databuffer_options plan_change(const databuffer_options *options, bool wrongly)
{
	databuffer_options changed = *options, fresh = plan_options();
	for (size_t i = 0; options_row_at(i); i++)
		if (options_row_at(i)->option.live && world_permille(500))
			*options_number(&changed, options_row_at(i)) = *options_number(&fresh, options_row_at(i));
	if (changed.flush_interval > 0 && changed.flush_interval < least_interval_ms(&changed))
		changed.flush_interval = least_interval_ms(&changed);
	if (changed.retry_max < changed.retry_min)
		changed.retry_max = changed.retry_min;
	if (wrongly && world_permille(500))
		changed.max_bytes++;
	else if (wrongly)
		changed.max_size = 0;
	return changed;
}
