/* SPDX-License-Identifier: MIT */
/*
 * How much a partition's sink takes at once, as far as its answers tell.
 *
 * Nothing is known until it answers DATABUFFER_TOO_LARGE. Then half of that is
 * the bound of all further batches. After some full batches at the bound, twice
 * as many are tried once: if they are taken, that is the new bound, up to the
 * largest batch there is, where the bound is forgotten; if not, the old one
 * holds, and it takes twice as many full batches before the next try, so that
 * a limit that stays where it is costs hardly a call.
 *
 *      bound     0    50 ........ 50   100 (known 50)   50 ............ 100 ...
 *      answer   100            8 full  too large         16 full
 *               too large
 */
#ifndef DATABUFFER_CORE_FIT_H
#define DATABUFFER_CORE_FIT_H

#include <stdint.h>

struct fit {
	uint32_t bound;    /* items that a batch may have; 0: as many as there are */
	uint32_t known;    /* what is known to fit while `bound` is a try; else 0 */
	uint32_t full;     /* batches at the bound that were taken since it was set */
	uint32_t patience; /* how many before the next try */
};

/* A batch of so many items, two at least, was too large. */
void fit_too_large(struct fit *fit, uint32_t count);

/* One was taken, of which `most` is the largest there can be. */
void fit_taken(struct fit *fit, uint32_t count, uint32_t most);

#endif
