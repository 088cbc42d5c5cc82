/* SPDX-License-Identifier: MIT */
/*
 * hash.c: databuffer_hash, a chain of hash_mix over the words of a key.
 *
 *      h = hash_mix(len)
 *      for each 8 bytes:  h = hash_mix(h ^ word)
 *
 * 1. The bytes are cut into words of 8, the last one filled up with zeros. The
 *    first byte is the lowest of its word on every machine.
 * 2. The length goes in first, so that "a" and "a\0", which make the same words,
 *    do not make the same hash.
 * 3. Each word is mixed in before the next. hash_mix is one to one, so a step is
 *    one to one in h and in the word: two keys of one length that differ in a
 *    single word never collide, and all others do so by chance.
 *
 * The numbers go into files and into other programs' partitions: this is the
 * function for good, and tests/base/hash.c holds it to its values.
 */
#include "base/hash.h"

#include <databuffer.h>

/* Eight bytes as a number; written out like this, compilers make one load of it. */
static uint64_t hash_word(const unsigned char *bytes)
{
	return (uint64_t)bytes[0] | (uint64_t)bytes[1] << 8 | (uint64_t)bytes[2] << 16 |
	       (uint64_t)bytes[3] << 24 | (uint64_t)bytes[4] << 32 | (uint64_t)bytes[5] << 40 |
	       (uint64_t)bytes[6] << 48 | (uint64_t)bytes[7] << 56;
}

uint64_t databuffer_hash(const void *data, size_t len)
{
	const unsigned char *bytes = data;
	uint64_t h = hash_mix(len), last = 0;
	size_t at = 0;

	for (; len - at >= 8; at += 8)
		h = hash_mix(h ^ hash_word(bytes + at));
	if (at == len)
		return h;
	for (unsigned shift = 0; at < len; at++, shift += 8)
		last |= (uint64_t)bytes[at] << shift;
	return hash_mix(h ^ last);
}
