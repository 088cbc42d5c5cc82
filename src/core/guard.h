/* SPDX-License-Identifier: MIT */
/*
 * Calls of the program that come back to us whatever they do: return, leave
 * their thread (pthread_exit, cancellation), or throw an exception of C++ or
 * another language through.
 *
 *      guard_run ──> the frame with our personality ──> the program's frames
 *          ^                        │                          │ leaves
 *          └── longjmp ─────────────┘<── unwinding ────────────┘
 *
 * Leaving and throwing are both an unwinding of the stack, frame by frame, in
 * which each frame's personality routine is asked: that of C++ runs destructors
 * and finds `catch`. One frame of ours has a routine too (guard.c). It is asked
 * after all frames of the program have been cleaned up, and jumps back into
 * guard_run, so that our own frames, which have no clean-up of their own, are
 * not unwound at all: no lock is left held, nothing leaks, and whoever called
 * goes on in a straight line, with an error.
 *
 * A thread that has been left has to end. It does so where nothing of ours is on
 * its stack any more: a flusher returns from its main function; in a program's
 * own thread guard_leave takes the unwinding up again where it was stopped, so
 * that the thread ends as its handler wanted, with the value that it gave.
 *
 * Cancellation. Our code has no clean-up, so it must not be cancelled: threads
 * of the library start with cancellation disabled, calls that run handlers on a
 * thread of the program's disable it (guard_enter). While the program's function
 * runs it is as the program had it, for a flusher enabled.
 */
#ifndef DATABUFFER_CORE_GUARD_H
#define DATABUFFER_CORE_GUARD_H

#include <stdbool.h>

/* Runs the program's function; false if it did not return. */
bool guard_run(void (*run)(void *arg), void *arg);

/* Whether a function on this thread did not return, so that the thread is to run
 * no other: what it kept in it may be broken. */
bool guard_is_unfit(void);

/* Whether it left for good: the thread has to end. */
bool guard_is_leaving(void);

/* Forgets that: the thread goes on. */
void guard_forgive(void);

/* Ends the thread if it is leaving, and else returns. Nothing of ours may be left
 * on the stack that needs to be cleaned up. */
void guard_leave(void);

/* Around code that runs guarded functions on a thread of the program's. */
int guard_enter(void);
void guard_exit(int state);

#endif
