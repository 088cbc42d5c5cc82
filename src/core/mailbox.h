/* SPDX-License-Identifier: MIT */
/*
 * A mailbox: what the application and one worker process say to each other, in
 * memory that both share. A batch is handed over by where it is, and nothing is
 * copied but what the handler says of it.
 *
 *                 ready        post          take        answer
 *      STARTING ────────> IDLE ────> POSTED ────> TAKEN ────────> ANSWERED
 *                          │ ^                                        │
 *                 dismiss  │ └────────────────── collect ─────────────┘
 *                          v
 *                       LEAVING           from anywhere:  bury ──> GONE
 *
 * The worker moves it by ready, take and answer, the application by post, collect
 * and dismiss. The fork server, whose child the worker is, buries it when the
 * process has ended, and says in what state it was:
 *
 *      was POSTED       the batch was not taken: nothing has come of it
 *      was TAKEN        it died in the handler, or after it and before it could say
 *                       so: the batch may have been written
 *      was ANSWERED     the answer stands
 *
 * `state` is the only word of it that both sides write, and what each sleeps on.
 * Whoever is to be seen to have moved it wakes the other only if that sleeps: each
 * side says that it sleeps and then looks once more, the other moves the state
 * and then looks who sleeps, all of it sequentially consistent, so that one of the
 * two sees the other. What else a side writes is the other's to read once the state
 * has moved.
 *
 * A worker may have gone mad: whatever it writes here is checked before it is
 * believed, and the worst that it can do to its own mailbox is to be killed late.
 */
#ifndef DATABUFFER_CORE_MAILBOX_H
#define DATABUFFER_CORE_MAILBOX_H

#include "core/batch.h"
#include "port/process.h"

/* The status of a process whose end nobody saw. */
#define END_UNKNOWN (-1)

enum mailbox_state {
	MAILBOX_STARTING,
	MAILBOX_IDLE,
	MAILBOX_POSTED,
	MAILBOX_TAKEN,
	MAILBOX_ANSWERED,
	MAILBOX_LEAVING,
	MAILBOX_GONE
};

/* A batch, by where it is in its partition's store. */
struct mailbox_job {
	uint64_t index, arena; /* offsets from the store's base */
	uint64_t id, bytes;
	int64_t deadline_ns;
	uint32_t partition, from, to, settled;
	uint32_t item_len; /* the segment's */
	uint32_t attempt, trigger;
};

/* What the handler said. */
struct mailbox_answer {
	int64_t duration_ns;
	int32_t answer;
	uint32_t named;      /* items, named with databuffer_batch_fail */
	uint32_t result_len;
};

struct mailbox {
	_Atomic uint32_t state; /* enum mailbox_state */
	_Atomic uint32_t worker_sleeps, application_sleeps;

	/* Once it is GONE. */
	uint32_t was;
	int32_t end_by_signal, end_number; /* or END_UNKNOWN */

	int32_t start_answer; /* of handle_worker_start, if that failed */
	struct mailbox_job job;
	struct mailbox_answer answer;
	unsigned char result[DATABUFFER_RESULT_MAX];
	struct batch_dead named[]; /* as many as there is room for */
};

/* Whole pages, with room to name so many items. */
size_t mailbox_footprint(uint32_t named_room);

/* --- The application's side ------------------------------------------------------ */

/* For a worker that is about to be born. */
void mailbox_reset(struct mailbox *mailbox);

enum mailbox_state mailbox_state(struct mailbox *mailbox);

/* False if the worker is gone. */
bool mailbox_post(struct mailbox *mailbox, const struct mailbox_job *job);
bool mailbox_collect(struct mailbox *mailbox);
bool mailbox_dismiss(struct mailbox *mailbox);

/* Waits until what was posted is ANSWERED, or the worker GONE, or the deadline past. */
enum mailbox_state mailbox_wait(struct mailbox *mailbox, int64_t deadline_ns);

/* --- The worker's side ------------------------------------------------------------- */

void mailbox_say_ready(struct mailbox *mailbox);

/* Waits for the next job and takes it; false: the worker is dismissed, or what the
 * mailbox says makes no sense any more. */
bool mailbox_take(struct mailbox *mailbox, struct mailbox_job *job);

/* `answer`, result and named are written. */
void mailbox_say_answered(struct mailbox *mailbox);

/* --- The fork server's --------------------------------------------------------------- */

/* Of one that is buried already, nothing. One at a time. */
void mailbox_bury(struct mailbox *mailbox, const struct port_end *end);

#endif
