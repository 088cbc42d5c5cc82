/* SPDX-License-Identifier: MIT */
/*
 * The world of a run: threads of which one runs at a time, in an order drawn from
 * a seed, and a clock that moves only when all of them wait.
 *
 *      ready     [task] [task] [task]     one of them has the baton and runs
 *      waiting   [task: for a lock, a wake, a time]
 *      now       ───────────> the earliest time that somebody waits for
 *
 * Tasks are real threads, so that thread-local storage, thread exits and the
 * sanitizers work as they do outside; the baton goes from hand to hand by a
 * semaphore. It may pass on at a scheduling point only: where a task takes or
 * leaves a lock, waits, wakes, sleeps or reads the clock (port.c). Between two
 * points a task is alone in the world. So all that happens is a function of the
 * seed, and a seed replays.
 *
 * Since time stands still while anybody can run, a wait that ends late is late by
 * whole steps of the clock, and no machine is too slow for a deadline. A stall is
 * the exception: the world puts a task that holds no lock to sleep at a
 * scheduling point, as a busy machine would. What a task has lost by it is known.
 *
 * Every function but world_begin is for tasks.
 */
#ifndef DATABUFFER_TESTS_SIM_WORLD_H
#define DATABUFFER_TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#define WORLD_NEVER     INT64_MAX
#define WORLD_TASKS_MAX 8192

/* How a run is scheduled; drawn by plan.c. */
struct world_temper {
	unsigned switch_permille; /* how often a point passes the baton on */
	unsigned stall_ppm;       /* how often it puts the task to sleep */
	int64_t stall_max_ns;
	unsigned early_permille;  /* how often a wait ends early for no reason */
};

/* Begins a world; the calling thread is its first task. `trace`: every step goes to standard error. */
void world_begin(uint64_t seed, bool trace);
void world_set_temper(const struct world_temper *temper);

/* Waits until every other task has ended. */
void world_end(void);

/* What is to be looked at: after every step, and whenever nobody can run, before
 * the clock moves; and what is to be told when the run fails. None of them may
 * come to a scheduling point. */
void world_watch(void (*after_step)(void), void (*at_rest)(void), void (*tell)(void));

/* --- Time and chance ---------------------------------------------------------- */

int64_t world_now_ns(void);

/* From the run's seed: a number from 0 to max, and whether one in a thousand comes up. */
uint64_t world_draw(uint64_t max);
bool world_permille(unsigned permille);

/* --- Tasks ---------------------------------------------------------------------- */

struct task;

/* False if there is no room for one more. `name` is a constant. */
bool world_start(void (*run)(void *), void *arg, const char *name);

/* There will be no room soon: time for the run to come to its end. */
bool world_is_crowded(void);

struct task *world_self(void);
unsigned world_number(const struct task *task);
const char *world_name(const struct task *task);

/* Asleep by world_sleep_ns, or stalled: in the middle of something. */
bool world_is_asleep(const struct task *task);

/* At rest: it waits for another, and neither sleeps nor looks again in a moment. */
bool world_is_waiting(const struct task *task);

/* How long it has slept or been stalled so far, or been in the program's own
 * functions: what a call of the library's cannot help. When the last stall of any
 * task ended, or will. */
int64_t world_lost_ns(const struct task *task);
int64_t world_last_stall_ns(void);

/* A function of the program's, called by the library: all the time until own_end
 * is lost, also that of calls in it. */
struct world_own {
	int64_t began_ns, lost_ns;
};

struct world_own world_own_begin(void);
void world_own_end(struct world_own own);

/* How often the baton has passed on. */
uint64_t world_switches(void);

/* Locks that the calling task holds, as port.c counts them. */
void world_count_locks(int by);
int world_locks(void);

/* --- Scheduling points ------------------------------------------------------------ */

/* What a point is for, as a trace shows it. */
enum world_point {
	POINT_LOCK,
	POINT_UNLOCK,
	POINT_WAIT,
	POINT_WAKE,
	POINT_CLOCK,
	POINT_SLEEP,
	POINT_YIELD,
	POINT_START,
	POINT_END,
	POINT_ACT
};

void world_point(enum world_point point);

/* Waits for a wake on that address, or the time; false if it was the time.
 * `early`: the wait may end for no reason. */
bool world_wait(const void *on, int64_t until_ns, bool early);

/* Wakes up to n tasks that wait there, in any order; returns how many. */
unsigned world_wake(const void *on, unsigned n);

void world_sleep_ns(int64_t ns);

/* Sleeps a moment, in order to look again. Whether anybody does. */
void world_yield(void);
bool world_somebody_yields(void);

/* Sleeps where the library expects nobody to: a stall like those of the world. */
void world_stall_ns(int64_t ns);

/* --- Ends --------------------------------------------------------------------------- */

/* Asked at each point that the calling task comes to from now on; it may kill the task. */
void world_set_fate(void (*fate)(void));

/* The task ends where it is, without another step. The calling one does not return. */
void world_kill(struct task *task);

/* Something worth telling when a run fails; two numbers, `what` a constant. */
void world_note(const char *what, int64_t a, int64_t b);

/* The same where it would be too much: only in a trace. */
void world_detail(const char *what, int64_t a, int64_t b);

/* A promise is broken: says so, with what happened before, and ends the process. */
_Noreturn void world_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What the run has been, so far. */
struct world_tally {
	uint64_t steps, digest;
	int64_t lived_ns;
};

struct world_tally world_tally(void);

#endif
