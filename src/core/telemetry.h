/* SPDX-License-Identifier: MIT */
/*
 * telemetry.h: who is told of inserts and flushes. databuffer_telemetry_attach
 * and _detach are public; here is what tells.
 *
 *      if (telemetry_wants(DATABUFFER_INSERT_START)) {
 *          databuffer_event event = { ... read the clock ... };
 *          telemetry_emit(&event);
 *      }
 *
 * With nobody attached that is one load of a word that hardly ever changes.
 */
#ifndef DATABUFFER_CORE_TELEMETRY_H
#define DATABUFFER_CORE_TELEMETRY_H

#include <stdatomic.h>
#include <stdbool.h>

#include <databuffer.h>

/* The bits of all attached handlers together; written by telemetry.c only. (It
 * says hidden itself: -fvisibility alone would load it through the GOT.) */
extern _Atomic unsigned telemetry_wanted __attribute__((visibility("hidden")));

/* Whether a handler is attached for any of these bits. Relaxed: it is a hint
 * that saves the clock and the call; telemetry_emit looks itself at who is there. */
static inline bool telemetry_wants(unsigned bits)
{
	return (atomic_load_explicit(&telemetry_wanted, memory_order_relaxed) & bits) != 0;
}

/* Calls every handler whose bits have event->kind, in order of attachment, on
 * this thread. Hold no lock: a handler may do whatever a program may, attach and
 * detach and cause further events among it. A handler that causes the very event
 * it is told of is told of that one too, and has to see for itself to an end. */
void telemetry_emit(const databuffer_event *event);

/* For pthread_atfork: before the fork, after it in the parent, and in the child,
 * where whoever was attached stays so, and calls that were under way on threads
 * that the child does not have are forgotten. Nothing is allocated or freed. */
void telemetry_fork_lock(void);
void telemetry_fork_unlock(void);
void telemetry_fork_child(void);

#endif
