/* SPDX-License-Identifier: MIT */
/*
 * soak.h: what the three files of the soak know of each other.
 *
 *      sink.c    the handlers: one call of handle_flush in three fails
 *      crowd.c   those who call: producers and meddlers
 *      soak.c    lives, one after the other, and what is left at the end
 */
#ifndef DATABUFFER_TESTS_SOAK_SOAK_H
#define DATABUFFER_TESTS_SOAK_SOAK_H

#include "soak/account.h"

#define PARTITIONS_MOST 8

/* Kept until the end of all: a flusher may be on its way into a handler when stop returns. */
struct life {
	databuffer *buf;
	databuffer_options options;
	struct life *before;
	_Atomic int64_t most; /* items in a batch, by any options so far */
	bool ordered;        /* no flush overtakes another */
	atomic_bool ending;  /* producers and meddlers leave */
	atomic_bool gentle;  /* the handler fails no more */
	atomic_bool over;    /* whoever comes now is too late */
	atomic_uint inside;  /* handlers */
	atomic_int pressed;  /* what handle_pressure was told last */
	_Atomic uint64_t accepted;
	uint32_t next[PRODUCERS];
	uint32_t flushed_to[PARTITIONS_MOST][PRODUCERS];
};

struct total {
	uint64_t lives, inserted, outcomes[OUTCOMES];
	_Atomic uint64_t calls, failures, refused, changes;
};

extern struct account account; /* of the life that is on */
extern struct total total;

/* Options for a life that begins, or for one that is on: then only such as may change. */
databuffer_options draw_options(struct life *life, uint64_t *dice_seed);
void draw_live_options(databuffer_options *o, const struct life *life, uint64_t *dice_seed);

/* Another for each thread and each call, all of the one that was printed. */
uint64_t fresh_seed(void);

/* --- sink.c ----------------------------------------------------------------------------------- */

void sink_set_handlers(databuffer_options *options, struct life *life);
/* Waits until no handler is in that life; whoever comes later does nothing. */
void sink_end(struct life *life);
/* databuffer_check, whose sentences are shown. */
void sink_check(databuffer *buf);

/* --- crowd.c ---------------------------------------------------------------------------------- */

struct crowd;

struct crowd *crowd_start(struct life *life);
/* Waits until all have left, as they do once the life is ending. */
void crowd_join(struct crowd *crowd);

#endif
