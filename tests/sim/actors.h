/* SPDX-License-Identifier: MIT */
/*
 * Those who use the buffers: the sink, which is the program's handlers, and the
 * actors, who insert, ask and stop. What each of them does is drawn as it goes.
 *
 *      sink.c      handle_flush, and all that a sink can do wrong
 *      handlers.c  the program's other handlers
 *      inserts.c   acts that put items in
 *      asks.c      acts that flush, look in, or stop; and misuse
 *      workers.c   batches that go to worker processes, and what these begin and end with
 *      actors.c    who acts when; buffers from their start to their stop
 */
#ifndef DATABUFFER_TESTS_SIM_ACTORS_H
#define DATABUFFER_TESTS_SIM_ACTORS_H

#include "sim/faults.h"
#include "sim/oracle.h"

/* --- sink.c ---------------------------------------------------------------------- */

int sink_flush(databuffer_batch *batch, void *account);

/* Sinks are down, or up again. */
void sink_set_down(bool down);

/* Lets handlers that hang go on. */
void sink_release(void);

/* Leaves the thread, if that is about and it is one of the library's. */
void sink_leave(void);

/* --- workers.c ----------------------------------------------------------------------- */

int workers_start(void *account);
void workers_stop(void *account);

/* --- handlers.c ------------------------------------------------------------------- */

/* Sets all handlers of the options; `account` is their meta. */
void handlers_attach(databuffer_options *options, struct account *account);

/* Whether the calling thread is in the buffer's handle_drop: in the middle of an
 * insert, and where nothing more is given up. */
bool handlers_are_dropping(const struct account *account);

/* Sleeps a while, if that is about, where the library has called the program. */
void handlers_dawdle(void);

/* --- inserts.c ---------------------------------------------------------------------- */

#define HOLDS_MAX 9 /* one more than a thread may have of a buffer */

/* A thread of the program's: the slots that it has reserved. */
struct actor {
	struct held {
		struct account *account; /* NULL: none */
		databuffer_slot slot;
		uint32_t number;
	} held[HOLDS_MAX];
	struct account *account;         /* that it acts on now */
	bool inside;                     /* a handler of that buffer */
};

void act_insert(struct actor *actor);
void act_insert_keyed(struct actor *actor);
void act_insert_many(struct actor *actor);
void act_reserve(struct actor *actor);
void act_resolve(struct actor *actor);  /* commits or aborts one of its slots */
void act_forget(struct actor *actor);   /* ends with what it has reserved */

/* --- asks.c ---------------------------------------------------------------------------- */

void act_flush(struct actor *actor);
void act_sync(struct actor *actor);
void act_look(struct actor *actor);
void act_dump(struct actor *actor);
void act_change(struct actor *actor);
void act_events(struct actor *actor);
void act_misuse(struct actor *actor);
void act_stop(struct actor *actor);     /* and perhaps starts another */

/* Stops the buffer for good, as the calling task; the answer is checked. */
void stop_account(struct account *account, int64_t timeout_ms);
/* All handlers of events are detached. */
void events_end(void);

/* --- actors.c ------------------------------------------------------------------------------ */

/* Another buffer with options of its own; false where the system does not allow it. */
bool actors_start_buffer(void);

/* One act of what is about, for a handler's thread. */
void actors_act_inside(struct account *account);

/* A run, from the first buffer to the last thread. */
void actors_run(void);

#endif
