/* SPDX-License-Identifier: MIT */
/* utf8.c: what kind of bytes these are. */
#include "cli/utf8.h"

#include <stdint.h>
#include <string.h>

#define UTF8_HIGH UINT64_C(0x8080808080808080)
#define UTF8_ONES UINT64_C(0x0101010101010101)

/* Eight bytes at a time. Subtracting one from each borrows into a high bit that
 * was not there only at a zero byte, or above one. */
bool utf8_is_plain(const char *text, size_t len)
{
	uint64_t word, bad = 0;
	size_t i = 0;

	for (; i + sizeof(word) <= len; i += sizeof(word)) {
		memcpy(&word, text + i, sizeof(word));
		bad |= word | (word - UTF8_ONES);
	}
	for (; i < len; i++)
		bad |= (signed char)text[i] > 0 ? 0 : UTF8_HIGH;
	return (bad & UTF8_HIGH) == 0;
}

/* How many bytes the character at `at` has, or 0: Unicode's table of well-formed
 * sequences, which leaves out surrogates and longer forms than need be. */
static size_t utf8_character(const unsigned char *at, size_t len)
{
	unsigned char low = 0x80, high = 0xbf;
	size_t more;

	if (at[0] < 0x80)
		return 1;
	if (at[0] >= 0xc2 && at[0] <= 0xdf) {
		more = 1;
	} else if (at[0] >= 0xe0 && at[0] <= 0xef) {
		more = 2;
		if (at[0] == 0xe0)
			low = 0xa0;
		if (at[0] == 0xed)
			high = 0x9f;
	} else if (at[0] >= 0xf0 && at[0] <= 0xf4) {
		more = 3;
		if (at[0] == 0xf0)
			low = 0x90;
		if (at[0] == 0xf4)
			high = 0x8f;
	} else {
		return 0;
	}
	if (len <= more || at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i <= more; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return more + 1;
}

size_t utf8_valid(const char *text, size_t len)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t i = 0, size;

	while (i < len) {
		if (len - i >= sizeof(uint64_t)) {
			uint64_t word;

			memcpy(&word, at + i, sizeof(word));
			if ((word & UTF8_HIGH) == 0) {
				i += sizeof(word);
				continue;
			}
		}
		size = utf8_character(at + i, len - i);
		if (size == 0)
			break;
		i += size;
	}
	return i;
}
