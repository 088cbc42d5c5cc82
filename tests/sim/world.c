/* SPDX-License-Identifier: MIT */
/* Tasks, the baton, the clock. */
#include "sim/world.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/rng.h"

#define STEPS_MAX   UINT64_C(3000000) /* more is a run that goes round and round */
#define BEGIN_NS    INT64_C(1000000000000)
#define STACK_SIZE  (512 * 1024)
#define MOMENTS     64 /* shown when a run fails */

struct task {
	unsigned number;
	const char *name;
	sem_t baton;
	pthread_t thread;
	void (*run)(void *);
	void *arg;

	void (*fate)(void);
	bool killed, leaves;
	bool ended;
	bool asleep;
	bool yields;
	const void *on;       /* what it waits for; NULL: only for the time, or nothing */
	int64_t until_ns;
	int64_t early_ns;     /* when its wait ends for no reason */
	bool woken;
	size_t ready_place;   /* in world.ready; SIZE_MAX: not there */
	size_t wait_place;    /* in world.waiting; likewise */
	unsigned last_moments;
	int locks;
	int64_t lost_ns;
};

struct moment {
	uint64_t step;
	int64_t now_ns;
	const struct task *task;
	const char *what;
	int64_t a, b;
};

static struct {
	uint64_t seed;
	bool trace;
	struct rng order, chance;
	struct world_temper temper;
	void (*after_step)(void);
	void (*at_rest)(void);
	void (*tell)(void);
	bool watching;

	int64_t now_ns;
	uint64_t steps, digest;
	int64_t last_stall_ns;
	unsigned yielding;
	uint64_t switches;

	struct task tasks[WORLD_TASKS_MAX];
	unsigned count, live;
	struct task *ready[WORLD_TASKS_MAX];
	size_t ready_count;
	struct task *waiting[WORLD_TASKS_MAX];
	size_t waiting_count;

	pthread_key_t exit_key;
	struct moment moments[MOMENTS];
	uint64_t moment_count;
} world;

static _Thread_local struct task *self;

static const char *const point_names[] = { "lock", "unlock", "wait", "wake", "clock",
	                                   "sleep", "yield", "start", "end", "act" };

/* --- Telling ------------------------------------------------------------------- */

static void print_moment(const struct moment *moment)
{
	fprintf(stderr, "%9llu %16.6f ms  %3u %-13s %s %lld %lld\n", (unsigned long long)moment->step,
	        (double)(moment->now_ns - BEGIN_NS) / 1e6, moment->task->number, moment->task->name, moment->what,
	        (long long)moment->a, (long long)moment->b);
}

void world_note(const char *what, int64_t a, int64_t b)
{
	struct moment *moment = &world.moments[world.moment_count++ % MOMENTS];
	*moment = (struct moment){ world.steps, world.now_ns, self, what, a, b };
	if (world.trace)
		print_moment(moment);
}

void world_detail(const char *what, int64_t a, int64_t b)
{
	if (world.trace)
		print_moment(&(struct moment){ world.steps, world.now_ns, self, what, a, b });
}

_Noreturn void world_fail(const char *fmt, ...)
{
	va_list args;
	if (world.tell)
		world.tell();
	fprintf(stderr, "\nwhat happened last (step, virtual time, task):\n");
	uint64_t first = world.moment_count > MOMENTS ? world.moment_count - MOMENTS : 0;
	for (uint64_t i = first; i < world.moment_count; i++)
		print_moment(&world.moments[i % MOMENTS]);
	fprintf(stderr, "\nseed %llu, step %llu, %.6f ms of virtual time, task %u (%s):\n    ",
	        (unsigned long long)world.seed, (unsigned long long)world.steps,
	        (double)(world.now_ns - BEGIN_NS) / 1e6, self->number, self->name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\n");
	_exit(1);
}

struct world_tally world_tally(void)
{
	return (struct world_tally){ world.steps, world.digest, world.now_ns - BEGIN_NS };
}

/* --- Time and chance -------------------------------------------------------------- */

int64_t world_now_ns(void)
{
	return world.now_ns;
}

uint64_t world_draw(uint64_t max)
{
	return rng_below_inclusive(&world.chance, max);
}

bool world_permille(unsigned permille)
{
	return permille > 0 && world_draw(999) < permille;
}

static uint64_t order_draw(uint64_t max)
{
	return rng_below_inclusive(&world.order, max);
}

/* --- Who is ready, who waits ---------------------------------------------------------- */

static void add_ready(struct task *task)
{
	task->ready_place = world.ready_count;
	world.ready[world.ready_count++] = task;
}

static void remove_ready(struct task *task)
{
	struct task *last = world.ready[--world.ready_count];
	world.ready[task->ready_place] = last;
	last->ready_place = task->ready_place;
	task->ready_place = SIZE_MAX;
}

static void add_waiting(struct task *task)
{
	task->wait_place = world.waiting_count;
	world.waiting[world.waiting_count++] = task;
}

static void remove_waiting(struct task *task)
{
	struct task *last = world.waiting[--world.waiting_count];
	world.waiting[task->wait_place] = last;
	last->wait_place = task->wait_place;
	task->wait_place = SIZE_MAX;
}

static void make_ready(struct task *task, bool woken)
{
	remove_waiting(task);
	task->on = NULL;
	task->woken = woken;
	add_ready(task);
}

static int64_t due_ns(const struct task *task)
{
	return task->early_ns < task->until_ns ? task->early_ns : task->until_ns;
}

/* Nobody can run: the clock moves on to the first who waits for it. */
static void move_clock(void)
{
	int64_t next = WORLD_NEVER;
	if (world.at_rest) {
		world.watching = true;
		world.at_rest();
		world.watching = false;
	}
	for (size_t i = 0; i < world.waiting_count; i++)
		if (due_ns(world.waiting[i]) < next)
			next = due_ns(world.waiting[i]);
	if (next == WORLD_NEVER) {
		for (size_t i = 0; i < world.waiting_count; i++)
			fprintf(stderr, "task %u (%s) waits for ever\n", world.waiting[i]->number, world.waiting[i]->name);
		world_fail("nobody can run, and nobody waits for a time");
	}
	world.now_ns = next;
	for (size_t i = world.waiting_count; i-- > 0;) {
		struct task *task = world.waiting[i];
		if (due_ns(task) <= next)
			make_ready(task, task->until_ns > next);
	}
}

static struct task *choose(void)
{
	while (world.ready_count == 0)
		move_clock();
	return world.ready[order_draw(world.ready_count - 1)];
}

/* --- The baton --------------------------------------------------------------------------- */

static void take_baton(void)
{
	while (sem_wait(&self->baton) != 0 && errno == EINTR)
		;
}

/* It may have been killed in the middle of a wait. */
static void leave_if_killed(void)
{
	if (!self->killed || self->leaves)
		return;
	self->leaves = true;
	world.yielding -= self->yields;
	self->yields = self->asleep = false;
	pthread_exit(NULL);
}

static void hand_to(struct task *next)
{
	if (next == self)
		return;
	world.switches++;
	sem_post(&next->baton);
	if (self->ended)
		return;
	take_baton();
	leave_if_killed();
}

static void count_step(enum world_point point)
{
	if (world.watching)
		world_fail("whoever watches the world may not act in it");
	world.digest = hash_mix(world.digest ^ ((uint64_t)world.now_ns << 8) ^ ((uint64_t)self->number << 4) ^
	                        (uint64_t)point);
	if (++world.steps > STEPS_MAX)
		world_fail("the run comes to no end");
	if (world.trace)
		print_moment(&(struct moment){ world.steps, world.now_ns, self, point_names[point], 0, 0 });
	if (world.after_step) {
		world.watching = true;
		world.after_step();
		world.watching = false;
	}
	if (self->fate && !self->leaves)
		self->fate();
}

static bool wait_until(const void *on, int64_t until_ns, int64_t early_ns)
{
	remove_ready(self);
	self->on = on;
	self->until_ns = until_ns;
	self->early_ns = early_ns;
	add_waiting(self);
	hand_to(choose());
	return self->woken;
}

static void stall(int64_t ns)
{
	int64_t end = world.now_ns + ns;
	self->lost_ns += ns;
	self->asleep = true;
	if (end > world.last_stall_ns)
		world.last_stall_ns = end;
	world_note("stalls for ns", ns, 0);
	wait_until(NULL, end, WORLD_NEVER);
	self->asleep = false;
}

void world_point(enum world_point point)
{
	count_step(point);
	if (world.temper.stall_ppm > 0 && self->locks == 0 && order_draw(999999) < world.temper.stall_ppm)
		stall(1 + (int64_t)(order_draw((uint64_t)world.temper.stall_max_ns) >> order_draw(16)));
	else if (order_draw(999) < world.temper.switch_permille)
		hand_to(choose());
}

bool world_wait(const void *on, int64_t until_ns, bool early)
{
	int64_t early_ns = WORLD_NEVER;
	count_step(POINT_WAIT);
	if (until_ns <= world.now_ns)
		return false;
	if (early && order_draw(999) < world.temper.early_permille)
		early_ns = world.now_ns + (int64_t)order_draw(100000000);
	return wait_until(on, until_ns, early_ns);
}

unsigned world_wake(const void *on, unsigned n)
{
	unsigned woken = 0;
	while (woken < n) {
		size_t places[64], count = 0;
		for (size_t i = 0; i < world.waiting_count && count < 64; i++)
			if (world.waiting[i]->on == on)
				places[count++] = i;
		if (count == 0)
			break;
		make_ready(world.waiting[places[order_draw(count - 1)]], true);
		woken++;
	}
	return woken;
}

void world_sleep_ns(int64_t ns)
{
	count_step(POINT_SLEEP);
	self->asleep = true;
	self->lost_ns += ns;
	wait_until(NULL, world.now_ns + ns, WORLD_NEVER);
	self->asleep = false;
}

void world_yield(void)
{
	count_step(POINT_YIELD);
	world.yielding++;
	self->yields = true;
	wait_until(NULL, world.now_ns + 1 + (int64_t)order_draw(20000), WORLD_NEVER);
	self->yields = false;
	world.yielding--;
}

bool world_somebody_yields(void)
{
	return world.yielding > 0;
}

void world_stall_ns(int64_t ns)
{
	count_step(POINT_SLEEP);
	stall(ns);
}

/* --- Tasks ----------------------------------------------------------------------------------- */

struct task *world_self(void)
{
	return self;
}

void world_set_fate(void (*fate)(void))
{
	self->fate = fate;
}

void world_kill(struct task *task)
{
	task->killed = true;
	if (task == self)
		leave_if_killed();
	else if (task->wait_place != SIZE_MAX)
		make_ready(task, false);
}

unsigned world_number(const struct task *task)
{
	return task->number;
}

const char *world_name(const struct task *task)
{
	return task->name;
}

bool world_is_asleep(const struct task *task)
{
	return task->asleep;
}

bool world_is_waiting(const struct task *task)
{
	return !task->asleep && !task->yields;
}

int64_t world_lost_ns(const struct task *task)
{
	return task->lost_ns;
}

struct world_own world_own_begin(void)
{
	return (struct world_own){ world.now_ns, self->lost_ns };
}

void world_own_end(struct world_own own)
{
	self->lost_ns = own.lost_ns + (world.now_ns - own.began_ns);
}

uint64_t world_switches(void)
{
	return world.switches;
}

int64_t world_last_stall_ns(void)
{
	return world.last_stall_ns;
}

void world_count_locks(int by)
{
	self->locks += by;
}

int world_locks(void)
{
	return self->locks;
}

bool world_is_crowded(void)
{
	return world.count > WORLD_TASKS_MAX / 2 || world.steps > STEPS_MAX / 6;
}

static struct task *new_task(const char *name)
{
	struct task *task = &world.tasks[world.count];
	*task = (struct task){ .number = world.count, .name = name, .ready_place = SIZE_MAX, .wait_place = SIZE_MAX };
	sem_init(&task->baton, 0, 0);
	world.count++;
	world.live++;
	add_ready(task);
	return task;
}

/* The destructors of a thread's storage run in rounds. The library's, whose key
 * is younger than ours, has had its turn when ours comes the second time; what it
 * or another has stored anew, when ours comes the third time. So the task has the
 * baton until nothing of the library's can run on it. */
static void end_thread(void *task)
{
	if (++self->last_moments < 3) {
		pthread_setspecific(world.exit_key, task);
		return;
	}
	count_step(POINT_END);
	if (self->locks != 0)
		world_fail("a thread has ended with %d locks held", self->locks);
	remove_ready(self);
	self->ended = true;
	world.live--;
	world_wake(&world.live, 1);
	hand_to(choose());
}

static void *thread_main(void *arg)
{
	self = arg;
	take_baton();
	pthread_setspecific(world.exit_key, self);
	leave_if_killed();
	self->run(self->arg);
	return NULL;
}

bool world_start(void (*run)(void *), void *arg, const char *name)
{
	if (world.count == WORLD_TASKS_MAX)
		return false;
	struct task *task = new_task(name);
	task->run = run;
	task->arg = arg;
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	int rc = pthread_create(&task->thread, &attributes, thread_main, task);
	pthread_attr_destroy(&attributes);
	if (rc != 0)
		world_fail("this machine gives no thread to the simulator: %s", strerror(rc));
	world_note("starts task", task->number, 0);
	world_point(POINT_START);
	return true;
}

void world_begin(uint64_t seed, bool trace)
{
	world.seed = seed;
	world.trace = trace;
	world.now_ns = BEGIN_NS;
	rng_seed(&world.order, seed);
	rng_seed(&world.chance, ~seed);
	pthread_key_create(&world.exit_key, end_thread);
	self = new_task("main");
	self->thread = pthread_self();
}

void world_set_temper(const struct world_temper *temper)
{
	world.temper = *temper;
}

void world_watch(void (*after_step)(void), void (*at_rest)(void), void (*tell)(void))
{
	world.tell = tell;
	world.after_step = after_step;
	world.at_rest = at_rest;
}

void world_end(void)
{
	while (world.live > 1)
		world_wait(&world.live, WORLD_NEVER, false);
	for (unsigned i = 1; i < world.count; i++)
		pthread_join(world.tasks[i].thread, NULL);
}
