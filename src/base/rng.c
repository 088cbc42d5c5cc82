/* SPDX-License-Identifier: MIT */
/* rng.c: xoshiro256**, seeded by splitmix64; rng.h names the papers. */
#include "base/rng.h"

#include "base/hash.h"

/* What splitmix64 adds at every step; hash_mix adds it once more and scrambles. */
#define RNG_SEED_STEP UINT64_C(0x9e3779b97f4a7c15)

static uint64_t rng_rotate(uint64_t x, unsigned bits)
{
	return (x << bits) | (x >> (64 - bits));
}

/* hash_mix is one to one, and at most one of four different numbers becomes 0:
 * that is the invariant. */
void rng_seed(struct rng *rng, uint64_t seed)
{
	for (unsigned i = 0; i < 4; i++)
		rng->word[i] = hash_mix(seed + i * RNG_SEED_STEP);
}

uint64_t rng_next(struct rng *rng)
{
	uint64_t *word = rng->word;
	uint64_t answer = rng_rotate(word[1] * 5, 7) * 9;
	uint64_t shifted = word[1] << 17;

	word[2] ^= word[0];
	word[3] ^= word[1];
	word[1] ^= word[2];
	word[0] ^= word[3];
	word[2] ^= shifted;
	word[3] = rng_rotate(word[3], 45);
	return answer;
}

/* Numbers of as many bits as max has, until one is not above it. Less than two
 * are needed on average, and none is more likely than another, which it would be
 * with a remainder. */
uint64_t rng_below_inclusive(struct rng *rng, uint64_t max)
{
	uint64_t answer;
	int surplus;

	if (max == 0)
		return 0;
	surplus = __builtin_clzll(max);
	do {
		answer = rng_next(rng) >> surplus;
	} while (answer > max);
	return answer;
}
