/* SPDX-License-Identifier: MIT */
/* The bound of a batch moves down by an answer, and up by tries. */
#include "core/fit.h"

#define PATIENCE_LEAST 8
#define PATIENCE_MOST 1024

void fit_too_large(struct fit *fit, uint32_t count)
{
	uint32_t half = count - count / 2;
	if (fit->known > 0 && count > fit->known) {
		/* The try has failed, which says nothing against what is known. */
		fit->bound = fit->known;
		fit->patience = fit->patience < PATIENCE_MOST ? fit->patience * 2 : PATIENCE_MOST;
	} else {
		fit->bound = half;
		fit->patience = PATIENCE_LEAST;
	}
	fit->known = 0;
	fit->full = 0;
}

void fit_taken(struct fit *fit, uint32_t count, uint32_t most)
{
	if (fit->bound == 0)
		return;
	if (count >= fit->bound && fit->known > 0) {
		/* The try has come off. */
		fit->known = fit->full = 0;
		fit->patience = PATIENCE_LEAST;
		if (fit->bound >= most)
			fit->bound = 0;
	} else if (count >= fit->bound && ++fit->full >= fit->patience) {
		fit->known = fit->bound;
		fit->bound = fit->bound < most / 2 ? fit->bound * 2 : most;
	} else if (fit->known > 0 && count > fit->known) {
		fit->known = count; /* not all that is to be tried, but more than before */
	}
}
