/* SPDX-License-Identifier: MIT */
/* number.c: which texts are numbers. */
#include "cli/number.h"

#include <stdbool.h>

/* "-9223372036854775808" */
#define NUMBER_LONGEST 20

/* A double has at least so many decimal digits; with no more than these, and a
 * power of ten that is exact too, one division gives the nearest double. */
#define NUMBER_DIGITS 15

/* Smaller ones are written with an exponent. */
#define NUMBER_LEAST 1e-4

static bool number_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

enum number_kind number_read(const char *text, size_t len, int64_t *integer, double *real)
{
	static const double powers[NUMBER_DIGITS + 1] = { 1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
	                                                  1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };
	bool negative = len > 0 && text[0] == '-';
	size_t start = negative, i = start, whole;
	uint64_t value = 0;
	double result;

	if (i >= len || len > NUMBER_LONGEST || !number_is_digit(text[i]))
		return NUMBER_NONE;
	for (; i < len && number_is_digit(text[i]); i++)
		value = value * 10 + (uint64_t)(text[i] - '0');
	whole = i - start;
	if (whole > 1 && text[start] == '0')
		return NUMBER_NONE;

	if (i == len) {
		if (whole > 19 || value > (uint64_t)INT64_MAX + negative || (negative && value == 0))
			return NUMBER_NONE;
		*integer = negative ? (int64_t)(0 - value) : (int64_t)value;
		return NUMBER_INTEGER;
	}

	if (text[i] != '.' || i + 1 == len || len - start - 1 > NUMBER_DIGITS)
		return NUMBER_NONE;
	for (size_t j = i + 1; j < len; j++) {
		if (!number_is_digit(text[j]))
			return NUMBER_NONE;
		value = value * 10 + (uint64_t)(text[j] - '0');
	}
	/* "1.0" is written so, "1.10" is not; "-0.0" is not either. */
	if (text[len - 1] == '0' && (len - i != 2 || (negative && value == 0)))
		return NUMBER_NONE;
	result = (double)value / powers[len - i - 1];
	if (result < NUMBER_LEAST && value != 0)
		return NUMBER_NONE;
	*real = negative ? -result : result;
	return NUMBER_REAL;
}
