/* SPDX-License-Identifier: MIT */
/*
 * chaos.h: what the two files of the chaos know of each other.
 *
 *      chaos.c       lives of a buffer with worker processes, eight producers, and the account of every item
 *      assassin.c    who kills and stops workers, fork servers and spares meanwhile, at random
 */
#ifndef DATABUFFER_TESTS_CHAOS_CHAOS_H
#define DATABUFFER_TESTS_CHAOS_CHAOS_H

#include "api/support.h"

struct deeds {
	uint64_t workers, servers, spares, stopped;
};

struct assassin;

/* Begins to kill; `mean_ms` from one deed to the next, on average. */
struct assassin *assassin_start(databuffer *buf, uint64_t seed, unsigned mean_ms);
/* Ends that; adds what it has done. */
void assassin_stop(struct assassin *assassin, struct deeds *deeds);

/* Whether every process that it has seen has ended. */
bool assassin_saw_all_end(void);

#endif
