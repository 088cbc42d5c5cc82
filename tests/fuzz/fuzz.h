/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h: what the fuzzers share. Each is one file with one function, which
 * libFuzzer calls with bytes of its making, and which aborts when what it looks
 * at does not keep its promises. The same file with replay.c for its main is a
 * test that looks at the bytes in corpus/.
 *
 * A fuzzer that needs decisions rather than text takes them from the bytes, and
 * zeros when these are used up.
 */
#ifndef DATABUFFER_TESTS_FUZZ_FUZZ_H
#define DATABUFFER_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define CHECK(condition)                                                                                    \
	do {                                                                                                \
		if (!(condition)) {                                                                         \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);             \
			abort();                                                                            \
		}                                                                                           \
	} while (0)

struct decisions {
	const uint8_t *at, *end;
};

static inline bool decisions_left(const struct decisions *decisions)
{
	return decisions->at < decisions->end;
}

static inline uint8_t decide_byte(struct decisions *decisions)
{
	return decisions_left(decisions) ? *decisions->at++ : 0;
}

/* One of 0 to below. */
static inline size_t decide(struct decisions *decisions, size_t below)
{
	size_t number = decide_byte(decisions);

	if (below > 256)
		number = number << 8 | decide_byte(decisions);
	return number % below;
}

#endif
