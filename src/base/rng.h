/* SPDX-License-Identifier: MIT */
/*
 * rng.h: random numbers that a seed brings back, for jitter, backoff and tests.
 *
 * The generator is xoshiro256** by David Blackman and Sebastiano Vigna
 * ("Scrambled Linear Pseudorandom Number Generators", ACM TOMS 47:4, 2021), its
 * state drawn from the seed by splitmix64 (Steele, Lea and Flood, "Fast
 * Splittable Pseudorandom Number Generators", OOPSLA 2014). It repeats itself
 * after 2^256 - 1 numbers and is the same on every machine. It keeps no secret:
 * who sees a few numbers can tell the next.
 *
 * Not thread-safe: whoever owns one has the lock.
 */
#ifndef DATABUFFER_BASE_RNG_H
#define DATABUFFER_BASE_RNG_H

#include <stdint.h>

/* Invariant, from rng_seed on: not all words are 0, the one state without a way out. */
struct rng {
	uint64_t word[4];
};

/* Starts over; every seed is good, 0 too, and neighbours have nothing in common. */
void rng_seed(struct rng *rng, uint64_t seed);

/* The next 64 bits. */
uint64_t rng_next(struct rng *rng);

/* A number from 0 to max, both ends allowed, each as likely as any other. */
uint64_t rng_below_inclusive(struct rng *rng, uint64_t max);

#endif
