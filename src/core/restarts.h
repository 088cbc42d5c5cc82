/* SPDX-License-Identifier: MIT */
/*
 * Restart intensity: how often what has died may be started again. Up to `max`
 * deaths in any `period` are made good at once. One more, and nothing is started
 * for a while: `backoff_min`, and twice as long after each further death, up to
 * `backoff_max`, until a whole period has passed without any.
 *
 *      deaths     x x x x            x         x                   x
 *      started    ^ ^ ^   └─backoff─>^ └─twice as long─>^  period   ^
 *                 max = 3
 *
 * Time is told by the caller.
 */
#ifndef DATABUFFER_CORE_RESTARTS_H
#define DATABUFFER_CORE_RESTARTS_H

#include <stdbool.h>
#include <stdint.h>

#include <databuffer.h>

struct restarts {
	const databuffer_allocator *allocator;
	int64_t *deaths;    /* when the last `max` were: a ring */
	unsigned max, count, next;
	int64_t period_ns, backoff_min_ns, backoff_max_ns;
	unsigned backoffs;  /* in a row */
	int64_t until_ns;   /* nothing is started before */
	int64_t last_ns;    /* the last death */
	uint64_t total;
};

/* False without memory. */
bool restarts_init(struct restarts *restarts, unsigned max, int64_t period_ns, int64_t backoff_min_ns,
                   int64_t backoff_max_ns, const databuffer_allocator *allocator);
void restarts_fini(struct restarts *restarts);

/* Something has died that is to be started again. */
void restarts_note(struct restarts *restarts, int64_t now_ns);

/* When the next may be started; at once if that is past. */
int64_t restarts_when(const struct restarts *restarts);

/* As new, but for the total. */
void restarts_forget(struct restarts *restarts);

#endif
