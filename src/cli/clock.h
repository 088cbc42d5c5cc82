/* SPDX-License-Identifier: MIT */
/* clock.h: what time it is. */
#ifndef DATABUFFER_CLI_CLOCK_H
#define DATABUFFER_CLI_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_NS_PER_MS  1000000
#define CLOCK_NS_PER_SEC 1000000000

/* Nanoseconds that never go back. */
static inline int64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * CLOCK_NS_PER_SEC + now.tv_nsec;
}

#endif
