/* SPDX-License-Identifier: MIT */
/*
 * The pace of a buffer: how many items, and how many flushes, its handlers are
 * given in a second, for sinks behind a quota. All partitions share it, since
 * the sink is one.
 *
 * Each of the two is a token bucket, which fills by `rate` tokens a second, up
 * to PACE_BURST worth of them. A call takes a token for each of its items from
 * the one, and one token from the other. It may begin when all of them are
 * there, or, where it takes more than a bucket holds, when that is full; then
 * the bucket owes the rest.
 *
 *      level   ┌ full        ┌────
 *              │╲   ╱╲   ╱╲ ╱
 *            0 ┼─╲─╱──╲─╱──╳───────> time
 *              │  ╲    ╲  ╱           a batch larger than the bucket
 *
 * A bucket is one number: the time at which it is empty, on the line by which it
 * fills. Its level at another time is the distance to that. Taking tokens moves
 * the time on. So tokens can be taken before they are there: a partition books
 * its next call, and is told when it may begin. Who books first goes first,
 * each waits for its own time and for no other, and nobody has to come back to
 * see whether there are tokens by now.
 *
 * In any t seconds at most rate * (t + 0.1) tokens are used, or rate * t and one
 * batch that is larger than the bucket. The numbers move by compare and
 * exchange, so that partitions need no lock between them.
 */
#ifndef DATABUFFER_CORE_PACE_H
#define DATABUFFER_CORE_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <databuffer.h>

#include "port/port.h"

/* A tenth of a second: what a sink sees in a second is hardly above the rate, and
 * small batches need not be strung out one by one. */
#define PACE_BURST_NS (100 * PORT_NS_PER_MS)

struct pace {
	_Atomic int64_t items_ns, flushes_ns; /* when each is empty */
};

/* Both full. */
void pace_init(struct pace *pace);

/* Whether these options limit anything. */
static inline bool pace_limits(const databuffer_options *options)
{
	return options->rate_limit > 0 || options->rate_limit_flushes > 0;
}

/* Whether they limit otherwise than before. */
static inline bool pace_differs(const databuffer_options *before, const databuffer_options *options)
{
	return before->rate_limit != options->rate_limit || before->rate_limit_flushes != options->rate_limit_flushes;
}

/* Takes the tokens of a call with so many items; returns when it may begin. */
int64_t pace_book(struct pace *pace, const databuffer_options *options, uint64_t items, int64_t now_ns);

/* The call that was booked has another number of items. */
void pace_correct(struct pace *pace, const databuffer_options *options, uint64_t booked, uint64_t items);

#endif
