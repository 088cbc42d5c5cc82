/* SPDX-License-Identifier: MIT */
/*
 * The hand that schedules: at each step of the library's (STEP in core/debug.h)
 * the thread that steps may be made to wait while others run.
 *
 *      thread 0   ──step──step─────────────────step──>
 *      thread 1   ──step───────step──step──step──────>    the chosen one, for a while
 *      flusher    ──────step───────────────────step──>
 *
 * What it does is drawn from a seed: go on, let others run, let one run alone for
 * some steps, or wait at some places until others have taken many. Nothing is
 * forced: a thread whose turn it is may wait for a lock of the library's, so every
 * wait has an end, and a replay is alike but not the same.
 *
 * The threads talk by relaxed atomics only. For the thread sanitizer these order
 * nothing, so that it sees what the library itself has ordered and nothing more.
 */
#ifndef DATABUFFER_TESTS_SCHEDULE_HAND_H
#define DATABUFFER_TESTS_SCHEDULE_HAND_H

#include <stdbool.h>
#include <stdint.h>

/* From now on threads are scheduled by this seed. */
void hand_begin(uint64_t seed);
void hand_end(void);

/* The calling thread is this actor. Threads that never say so are the library's. */
void hand_join(unsigned actor);

/* A step of the test's own. */
void hand_step(const char *name);

/* The next number of the calling thread's, below n. */
uint64_t hand_draw(uint64_t n);

/* How many steps there were since the program began, and of how many kinds. */
uint64_t hand_steps(void);
unsigned hand_places(void);

/* The last steps of all threads, to standard error. Async-signal-safe. */
void hand_tell(void);

#endif
