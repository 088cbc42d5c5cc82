/* SPDX-License-Identifier: MIT */
/*
 * hash.h: from keys to partitions. databuffer_hash, declared in <databuffer.h>,
 * makes a number of bytes; hash_mix spreads a number over 64 bits; hash_to_range
 * brings it down to one of n.
 *
 * A key may be any number, 0, 1, 2 and all multiples of 4096 as well, so that
 * it goes through hash_mix before hash_to_range, which looks at the upper half.
 *
 * None of this withstands someone who looks for collisions on purpose.
 */
#ifndef DATABUFFER_BASE_HASH_H
#define DATABUFFER_BASE_HASH_H

#include <stdint.h>

/* One to one on the 64-bit numbers, and every bit of the answer depends on every
 * bit of x. The step of splitmix64 (Steele, Lea and Flood, OOPSLA 2014): the
 * addition keeps 0 from staying 0, and each multiplication carries upwards what
 * the shift before it has brought down. */
static inline uint64_t hash_mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* A number below n, for an evenly spread h: its upper half, taken as a fraction
 * of one, times n. n is at least 1. */
static inline uint32_t hash_to_range(uint64_t h, uint32_t n)
{
	return (uint32_t)(((h >> 32) * n) >> 32);
}

#endif
