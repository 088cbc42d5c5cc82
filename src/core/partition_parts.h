/* SPDX-License-Identifier: MIT */
/*
 * What the parts of a partition share among themselves, and nobody else sees:
 *
 *      partition.c   its life, its numbers, those who wait for it
 *      supply.c      where its segments come from and go to
 *      cut.c         when a batch is cut, and what room there is
 *      gate.c        when the next batch may go
 *      flight.c      a batch from its cut to its outcome
 *      retry.c       whether a failed batch is tried again, and when
 *      overflow.c    what is given up so that there is room
 *
 * All under the partition's lock.
 */
#ifndef DATABUFFER_CORE_PARTITION_PARTS_H
#define DATABUFFER_CORE_PARTITION_PARTS_H

#include "core/partition.h"

#define SEGMENT_OF(node) LIST_ENTRY(node, struct segment, link)

/* --- supply.c ------------------------------------------------------------------- */

/* The memory that the partition starts with. DATABUFFER_ENOMEM. */
int supply_init(struct partition *partition);
void supply_fini(struct partition *partition);

/* In a child after fork: all segments are free but those in flight. */
void supply_reset(struct partition *partition);

/* Whether a free segment can be had, if need be one mapped in place of a pinned one. */
bool supply_has_free(struct partition *partition);

/* Gives the memory of free segments back to the system. */
void supply_give_back(struct partition *partition);

/* A segment whose batch is done; returns TODO_ROOM if it is free at once. */
unsigned supply_release(struct partition *partition, struct segment *segment);

/* --- cut.c ------------------------------------------------------------------------ */

/* A number from base to base + jitter. */
int64_t cut_draw(struct partition *partition, int64_t base, int64_t jitter);

/* As if a batch had just been cut: draws the next one's size and time. */
void cut_restart(struct partition *partition, int64_t now_ns);

bool cut_open_has_items(const struct partition *partition);

/* What the bounds lack for a request that partition_lease has just refused. Both 0:
 * it is memory that is short. */
struct shortage {
	uint64_t items, bytes;
};

struct shortage cut_shortage(const struct partition *partition, const struct lease_request *request);

/* Cuts the open batch, which has items, so that some can be given up. */
void cut_for_room(struct partition *partition, const struct shortage *shortage, int64_t now_ns);

/* Cuts what was asked for or is due by time, if a handler can take it now; then
 * tells whether one should come. Every event of a partition ends with this. */
unsigned cut_advance(struct partition *partition, int64_t now_ns);

/* --- gate.c ------------------------------------------------------------------------- */

/* From when on one more handler may run, as far as that does not depend on the
 * batch; PORT_NEVER: not before another has answered. */
int64_t gate_opens(const struct partition *partition);

/* From when on the oldest batch that waits may go; PORT_NEVER also without one. */
int64_t gate_next(const struct partition *partition);

/* From when on a batch may go that is yet to be cut by time. */
int64_t gate_next_cut(const struct partition *partition);

/* Books the call of the oldest batch, if there is a rate limit and nothing else
 * that it waits for. */
void gate_book(struct partition *partition, int64_t now_ns);

/* Whether the rate limit, and only that, holds up a batch. */
bool gate_is_paced(const struct partition *partition, int64_t now_ns);

/* The batch goes: with no more items than the sink takes, for which it pays. */
void gate_pass(struct partition *partition, struct databuffer_batch *batch);

/* What a call came to says of whether the sink is there at all. */
void gate_answer(struct partition *partition, const struct segment *segment, int answer, int64_t now_ns);

/* How long it is to be left alone; after the verdict, which may be about other
 * items than those that come next. */
void gate_back_off(struct partition *partition, const struct databuffer_batch *batch, int64_t now_ns);

/* The options have changed: a booking at another rate is void, and a breaker that
 * there is to be no more is closed. */
void gate_reconsider(struct partition *partition, const databuffer_options *before, int64_t now_ns);

/* --- flight.c ----------------------------------------------------------------------- */

/* Notes what is to be told of a batch. */
struct news_item *flight_news(struct partition *partition, const struct segment *segment,
                              databuffer_event_kind kind, int64_t now_ns, int status);

/* --- retry.c ------------------------------------------------------------------------ */

struct retry_reason {
	char text[BATCH_REASON_SIZE];
};

/* After a transient answer: whether these items have had all their attempts. If
 * so, the reason that they are given up for. */
bool retry_is_over(const struct partition *partition, const struct databuffer_batch *batch, int answer, int64_t now_ns,
                   struct retry_reason *reason);

/* When they are tried again. */
int64_t retry_at(struct partition *partition, const struct databuffer_batch *batch, int64_t now_ns);

/* --- partition.c ---------------------------------------------------------------------- */

/* A handler has answered for the segment: those who wait for it may be done. */
void partition_tell_waiters(struct partition *partition, const struct segment *segment, int64_t duration_ns,
                            bool dead);

/* Items of the segment were given up. */
void partition_tell_dropped(struct partition *partition, const struct segment *segment);

#endif
