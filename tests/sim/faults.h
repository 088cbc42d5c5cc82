/* SPDX-License-Identifier: MIT */
/*
 * The faults: what goes wrong in a run, and what is promised then. One table; the
 * plan draws from it how often each one happens, the actors and the sink ask it,
 * and docs/reliability.md has it as `sim --faults` prints it.
 */
#ifndef DATABUFFER_TESTS_SIM_FAULTS_H
#define DATABUFFER_TESTS_SIM_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include <databuffer.h>

#include "sim/port.h"
#include "sim/world.h"

/* X(name, most, what, promise): `most` is how many of a thousand chances it takes at most. */
#define FAULTS_OF_SINK(X)                                                                                             \
	X(TRANSIENT, 500, "answers `DATABUFFER_RETRY` or an errno",                                                   \
	  "the same items come again, in order, no sooner than `retry_min` and no later than the bound of the backoff") \
	X(GARBAGE, 200, "answers any number at all", "a number without a meaning is a failure for now")               \
	X(POISON, 60, "never takes certain items",                                                                    \
	  "they come down to `handle_dead`, each once; all others are flushed, each once, in order")                  \
	X(REJECT, 100, "rejects a batch that it would have taken", "items rejected alone are dead, the others come again") \
	X(TOO_LARGE, 150, "takes no more than so many items, or none of a batch now and then",                        \
	  "halves, and later batches no larger, until more are taken; one that is too large alone is dead")           \
	X(NAMES, 200, "names items: any, twice, beyond the end", "those are dead, and no others")                     \
	X(SLOW, 500, "takes its time", "its partition waits for it, others do not")                                   \
	X(LATE, 100, "answers after `flush_timeout`",                                                                 \
	  "the batch is cancelled, its partition goes on; the answer counts when it comes; never two handlers for one item") \
	X(HANGS, 20, "does not answer as long as the run lasts",                                                      \
	  "costs one thread and one batch, `max_stuck` times; then inserts wait, with a deadline")                    \
	X(OUTAGE, 500, "is down for a while", "nothing is lost, backoffs grow to `retry_max`")                        \
	X(LEAVES, 50, "leaves its thread (`pthread_exit`), in `handle_flush` or `handle_dead`",                       \
	  "a failure for now; another thread goes on")                                                                \
	X(REENTERS, 200, "calls its own buffer: insert, flush, info, stats, size, dump, sync_flush, stop",            \
	  "what would wait for itself answers `DATABUFFER_EDEADLK`, the rest works")                                  \
	X(DAWDLES, 200, "`handle_dead`, `handle_drop`, `handle_left`, `handle_pressure`, a handler of events or a visitor takes its time",              \
	  "a slow one costs its own thread, and no deadline of another")

#define FAULTS_OF_PRODUCERS(X)                                                                                        \
	X(BURSTS, 300, "insert without a pause", "a full partition makes inserts wait, and no longer than they may")  \
	X(PAUSES, 300, "stall for long, with room on lease", "a batch that is cut takes the lease back")              \
	X(VANISHES, 50, "end, with room on lease and slots reserved", "lanes are taken back, slots come to nothing")  \
	X(HOLDS, 990, "keep reserved slots while batches are cut", "no flush waits for them; the item goes into a later batch") \
	X(OVERSIZE, 50, "insert what is larger than `max_bytes`", "`DATABUFFER_EMSGSIZE`, and none of it is in")

#define FAULTS_OF_SYSTEM(X)                                                                                           \
	X(NO_MAP, 60, "gives no memory map", "`DATABUFFER_ENOMEM` from start; later nothing fails that was promised") \
	X(NO_MEMORY, 60, "gives no memory", "`DATABUFFER_ENOMEM` or no matter; no item is lost")                      \
	X(NO_THREAD, 100, "gives no thread", "`DATABUFFER_EAGAIN` from start; later a batch waits for one")           \
	X(EARLY, 200, "ends waits for no reason", "nothing happens before its time")                                  \
	X(STALLS, 1000, "keeps a thread from running, at any point where it holds no lock",                           \
	  "costs what that thread was to do, and no deadline of another")                                             \
	X(NO_BARRIER, 500, "has no process-wide barrier", "all the same, with a fence for each insert")

#define FAULTS_OF_WORKERS(X)                                                                                          \
	X(DIES, 20,                                                                                                   \
	  "die at any point: starting, idle, before the batch is taken, in the handler, when all is written "         \
	  "and not said, or leaving",                                                                                 \
	  "the same batch comes again at once, under the same number; if it was taken that counts as a kill, "        \
	  "and what has killed `kill_limit` workers comes in halves, down to one that `handle_dead` is told of, "     \
	  "with the signal's name")                                                                                   \
	X(CRASHES, 500, "crash on certain items, each time",                                                          \
	  "they come down to `handle_dead`, each once; all others are flushed")                                       \
	X(KILLED, 300, "a process is killed from outside, at any time", "as if it had crashed")                        \
	X(SLOW_START, 100, "`handle_worker_start` or `_stop` takes its time",                                         \
	  "killed after `flush_timeout`; nobody else waits for it")                                                   \
	X(NO_START, 200, "`handle_worker_start` fails", "counts as a death; batches wait, and none is lost")          \
	X(SERVER_DIES, 5, "a fork server or its spare dies, at any point",                                            \
	  "its workers die with it, which is nobody's fault; another takes its place")                                \
	X(SERVER_STOPS, 10, "a fork server is stopped",                                                               \
	  "it is killed and replaced, when that has kept anybody waiting for long")                                   \
	X(NO_PROCESS, 60, "the system gives no process or descriptor",                                                \
	  "`DATABUFFER_EAGAIN` from start; later batches wait, or go to threads by `worker_fallback`")

#define FAULTS_OF_MOMENTS(X)                                                                                          \
	X(FLUSH, 200, "`flush`", "everything held is on its way; backoffs end")                                       \
	X(SYNC, 200, "`sync_flush`, with any timeout", "what was held has its outcome, or `DATABUFFER_ETIMEDOUT`, in time") \
	X(LOOK, 200, "`stats`, `info`, `size`, `pressure`, `check`, `find`", "the sums are right in every answer")                         \
	X(DUMP, 100, "`dump`", "all that is held throughout is shown, each once, with its bytes")                     \
	X(CHANGES, 100, "`reconfigure`, also with what is refused",                                                    \
	  "all of it or nothing; what is inserted afterwards is cut and flushed by the new options")                  \
	X(EVENTS, 100, "events attached and detached", "a handler runs no more once detach has returned")             \
	X(STOP, 30, "`stop`, with any timeout, beside all others",                                                    \
	  "in time; what was not flushed is handed back and counted; nothing is flushed afterwards")                  \
	X(RESTARTS, 500, "another buffer of the same name after it", "the old one's calls answer `DATABUFFER_ESTOPPED`") \
	X(MISUSE, 50, "a name that is taken, options out of range, NULL", "an error, and nothing is changed")

#define FAULTS_OF_LOOP(X)                                                                                             \
	X(CLOCK_JUMPS, 100, "the program's clock jumps ahead by hours", "what is due is done, once")                  \
	X(WORKS_LATE, 300, "comes late", "what is due is done then")                                                  \
	X(TWO_LOOPS, 200, "two threads at once", "`DATABUFFER_EDEADLK` for one of them")

#define FAULTS(X) \
	FAULTS_OF_SINK(X) FAULTS_OF_PRODUCERS(X) FAULTS_OF_SYSTEM(X) FAULTS_OF_WORKERS(X) FAULTS_OF_MOMENTS(X) \
	FAULTS_OF_LOOP(X)

enum fault {
#define FAULT_ENUM(name, most, what, promise) FAULT_##name,
	FAULTS(FAULT_ENUM)
#undef FAULT_ENUM
	FAULT_COUNT
};

/* Whether it happens now. After plan_heal none does. */
bool fault(enum fault which);

/* --- A run's plan (plan.c) ------------------------------------------------------- */

/* Drawn from the seed: which faults are about, how often, and in what system. */
void plan_draw(void);

/* All is well from here on: the system has all, the sink takes all but poison. */
void plan_heal(void);
bool plan_is_healed(void);

/* Options of one more buffer; its handlers are not set. */
databuffer_options plan_options(void);

/* The same options, some that may change drawn anew; or, `wrongly`, one that may not. */
databuffer_options plan_change(const databuffer_options *options, bool wrongly);

/* How many buffers at once, and threads of the program's. */
unsigned plan_buffers(void);
unsigned plan_actors(void);
unsigned plan_acts(void); /* of each */

/* A time as things take in this run: mostly short, now and then long. */
int64_t plan_time_ns(void);

void plan_print_faults(void);

#endif
