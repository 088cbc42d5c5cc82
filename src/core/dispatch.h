/* SPDX-License-Identifier: MIT */
/*
 * A batch that goes to a worker and comes back, or does not: posted, looked after
 * until there is an outcome, and its worker killed once it is late. Nothing here
 * waits but dispatch_wait, and the time is told by the caller.
 *
 *      submit ──> poll, poll, ... ──> an answer, with what the handler said of the
 *                   │                 items now said of the application's batch
 *                   │ late: kill
 *                   └───────────────> a death: in which `taken` says whether the
 *                                     handler may have begun
 */
#ifndef DATABUFFER_CORE_DISPATCH_H
#define DATABUFFER_CORE_DISPATCH_H

#include "core/crew.h"

struct outcome {
	int answer;          /* the handler's */
	int64_t duration_ns; /* as the worker measured it; of a death, until it was found */
	bool died;
	bool taken;          /* of a death: the handler may have begun */
	bool late;           /* of a death: it was killed for that */
	char death[CREW_DEATH_SIZE];
};

struct dispatch {
	struct crew *crew;
	struct worker *worker;
	struct mailbox *mailbox;
	struct segment *segment;
	bool posted;         /* else the worker was gone before: whatever its mailbox says is of another batch */
	int64_t begun_ns;
	int64_t killed_ns;   /* PORT_NEVER: not yet */
	int64_t ended_ns;    /* when it was seen to have ended and nobody had said so; or PORT_NEVER */
	struct outcome outcome;
};

/* The worker is claimed, and the segment taken. */
void dispatch_submit(struct dispatch *dispatch, struct crew *crew, struct worker *worker, struct segment *segment,
                     int64_t now_ns);

/* Whether there is an outcome. */
bool dispatch_poll(struct dispatch *dispatch, int64_t now_ns);

/* Waits for it, and looks after the deadline meanwhile. */
void dispatch_wait(struct dispatch *dispatch);

#endif
