/* SPDX-License-Identifier: MIT */
/* hash.c: that hashes are for good, differ where keys differ, and spread evenly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <databuffer.h>

#include "base/hash.h"

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void assert_all_differ(uint64_t *hashes, size_t n)
{
	qsort(hashes, n, sizeof(hashes[0]), compare);
	for (size_t i = 1; i < n; i++)
		assert_int_not_equal(hashes[i - 1], hashes[i]);
}

/* The hash again, from what hash.c says of it, without a word of its code. */
static uint64_t hash_by_the_book(const char *key, size_t len)
{
	uint64_t h = hash_mix(len);

	for (size_t at = 0; at < len; at += 8) {
		uint64_t word = 0;

		for (size_t i = at; i < at + 8; i++)
			word += i < len ? (uint64_t)(unsigned char)key[i] << (i - at) * 8 : 0;
		h = hash_mix(h ^ word);
	}
	return h;
}

static void hashes_are_the_same_on_every_machine_and_in_every_version(void **state)
{
	(void)state;
	assert_int_equal(databuffer_hash(NULL, 0), UINT64_C(0xe220a8397b1dcdaf));
	assert_int_equal(databuffer_hash("a", 1), UINT64_C(0x5e025f9ade9eaf3e));
	assert_int_equal(databuffer_hash("databuffer", 10), UINT64_C(0xac5d5b3c67126fe5));
	assert_int_equal(databuffer_hash("0123456789abcdef\xff\x80", 18), UINT64_C(0x1c464f53a4dd635e));
}

static void mix_is_splitmix64(void **state)
{
	(void)state;
	assert_int_equal(hash_mix(0), UINT64_C(0xe220a8397b1dcdaf));
}

static void the_description_is_what_the_code_does(void **state)
{
	char key[64];

	(void)state;
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (char)(i * 37 + 11);
	for (size_t len = 0; len <= sizeof(key); len++)
		assert_int_equal(databuffer_hash(key, len), hash_by_the_book(key, len));
}

static void only_the_bytes_count_and_not_where_they_are(void **state)
{
	const char key[] = "nineteen bytes long";
	uint64_t hash = databuffer_hash(key, 19);
	char room[64];

	(void)state;
	for (size_t shift = 0; shift < 16; shift++) {
		memset(room, (int)shift, sizeof(room));
		memcpy(room + shift, key, 19);
		assert_int_equal(databuffer_hash(room + shift, 19), hash);
	}
}

static void zeros_of_every_length_differ(void **state)
{
	static const char zeros[1000];
	static uint64_t hashes[1000];

	(void)state;
	for (size_t len = 0; len < 1000; len++)
		hashes[len] = databuffer_hash(zeros, len);
	assert_all_differ(hashes, 1000);
}

static void a_million_short_keys_differ(void **state)
{
	enum { KEYS = 1000000 };
	uint64_t *hashes = malloc(KEYS * sizeof(*hashes));

	(void)state;
	assert_non_null(hashes);
	for (unsigned i = 0; i < KEYS; i++) {
		char key[32];
		int len = snprintf(key, sizeof(key), "user:%u", i);

		hashes[i] = databuffer_hash(key, (size_t)len);
	}
	assert_all_differ(hashes, KEYS);
	free(hashes);
}

static void a_bit_of_the_key_changes_each_bit_of_the_hash_half_the_time(void **state)
{
	enum { KEYS = 4000, LEN = 20 };
	static unsigned changed[LEN * 8][64];

	(void)state;
	memset(changed, 0, sizeof(changed));
	for (unsigned i = 0; i < KEYS; i++) {
		unsigned char key[LEN] = { 0 };
		uint64_t before;

		memcpy(key, &i, sizeof(i));
		before = databuffer_hash(key, LEN);
		for (unsigned bit = 0; bit < LEN * 8; bit++) {
			uint64_t difference;

			key[bit / 8] ^= (unsigned char)(1u << bit % 8);
			difference = before ^ databuffer_hash(key, LEN);
			key[bit / 8] ^= (unsigned char)(1u << bit % 8);
			for (unsigned out = 0; out < 64; out++)
				changed[bit][out] += difference >> out & 1;
		}
	}
	/* 200 is more than six standard deviations. */
	for (unsigned bit = 0; bit < LEN * 8; bit++) {
		for (unsigned out = 0; out < 64; out++)
			assert_in_range(changed[bit][out], KEYS / 2 - 200, KEYS / 2 + 200);
	}
}

static void a_range_is_kept_and_both_its_ends_are_reached(void **state)
{
	(void)state;
	assert_int_equal(hash_to_range(0, 7), 0);
	assert_int_equal(hash_to_range(UINT64_MAX, 7), 6);
	assert_int_equal(hash_to_range(UINT64_MAX, 1), 0);
	assert_int_equal(hash_to_range(UINT64_MAX, UINT32_MAX), UINT32_MAX - 1);
}

static void keys_with_a_pattern_fill_a_range_evenly(void **state)
{
	static const uint64_t steps[] = { 1, 2, 4096, UINT64_C(1) << 32, UINT64_C(1) << 50 };
	enum { KEYS = 8000, PARTS = 8 };

	(void)state;
	for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
		unsigned counts[PARTS] = { 0 };

		for (uint64_t i = 0; i < KEYS; i++)
			counts[hash_to_range(hash_mix(i * steps[s]), PARTS)]++;
		for (unsigned part = 0; part < PARTS; part++)
			assert_in_range(counts[part], KEYS / PARTS - 150, KEYS / PARTS + 150);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_are_the_same_on_every_machine_and_in_every_version),
		cmocka_unit_test(mix_is_splitmix64),
		cmocka_unit_test(the_description_is_what_the_code_does),
		cmocka_unit_test(only_the_bytes_count_and_not_where_they_are),
		cmocka_unit_test(zeros_of_every_length_differ),
		cmocka_unit_test(a_million_short_keys_differ),
		cmocka_unit_test(a_bit_of_the_key_changes_each_bit_of_the_hash_half_the_time),
		cmocka_unit_test(a_range_is_kept_and_both_its_ends_are_reached),
		cmocka_unit_test(keys_with_a_pattern_fill_a_range_evenly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
