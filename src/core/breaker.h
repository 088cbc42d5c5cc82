/* SPDX-License-Identifier: MIT */
/*
 * A circuit breaker: what keeps a partition whose sink is down from trying every
 * batch in its turn.
 *
 *      closed ── breaker_failures transient failures in a row ──> open
 *        ^                                                         │
 *        └── the probe is answered: 0, REJECT, TOO_LARGE ──────────┤
 *                                                                  │
 *                       the probe fails for now, or is late: ──────┘
 *                       the next one after a backoff
 *
 * Open, one batch at a time is with its handler, the oldest, and the next not
 * before the end of a backoff, however many flights there may be and whatever
 * waits. A late handler counts as a failure once, when it becomes late, and as
 * an answer when it does answer. That its worker died is a failure, whatever is
 * made of it.
 */
#ifndef DATABUFFER_CORE_BREAKER_H
#define DATABUFFER_CORE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

struct breaker {
	uint32_t failures; /* for now, in a row */
	bool open;
	int64_t opened_ns;
	int64_t until_ns;  /* open: when the next probe may begin */
};

/* One more failure, of which `limit` open it; 0: never. True if this one does. */
bool breaker_fail(struct breaker *breaker, int64_t limit, int64_t now_ns);

/* The sink has answered. True if this closes it. */
bool breaker_answer(struct breaker *breaker);

#endif
