/* SPDX-License-Identifier: MIT */
/*
 * number.h: which texts are numbers. A format without types, such as CSV, has
 * only text; but who stores "10" as a text finds it before "9". So a text counts
 * as a number if the number, written out again, is that very text: then nothing
 * is lost by it. "007", "+1", "1.10", "1e5" and "12345678901234567890" stay texts.
 */
#ifndef DATABUFFER_CLI_NUMBER_H
#define DATABUFFER_CLI_NUMBER_H

#include <stddef.h>
#include <stdint.h>

enum number_kind {
	NUMBER_NONE,
	NUMBER_INTEGER,
	NUMBER_REAL
};

enum number_kind number_read(const char *text, size_t len, int64_t *integer, double *real);

#endif
