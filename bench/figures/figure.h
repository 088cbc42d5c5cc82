/* SPDX-License-Identifier: MIT */
/*
 * figure.h: what the programs share that measure this library alone. Each prints
 * a line for every figure, with --json as JSON; with --quick it does less, to
 * see that it works. What is measured is checked too: a figure whose items do
 * not add up ends the program with 1.
 */
#ifndef BENCH_FIGURE_H
#define BENCH_FIGURE_H

#include <databuffer.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct figures {
	const char *program;
	bool json, quick;
};

static inline void figure_fail(const char *what, long long value)
{
	fprintf(stderr, "NOT VERIFIED: %s (%lld)\n", what, value);
	exit(1);
}

static inline void figure_expect(bool holds, const char *what, long long value)
{
	if (!holds)
		figure_fail(what, value);
}

static inline struct figures figures_parse(const char *program, int argc, char **argv)
{
	struct figures figures = { .program = program };
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			figures.json = true;
		} else if (strcmp(argv[i], "--quick") == 0) {
			figures.quick = true;
		} else {
			fprintf(stderr, "usage: %s [--quick] [--json]\n", program);
			exit(strcmp(argv[i], "--help") == 0 ? 0 : 2);
		}
	}
	return figures;
}

static inline void figure_print(const struct figures *figures, const char *name, double value,
                                const char *unit)
{
	if (figures->json)
		printf("{\"figure\":\"%s\",\"name\":\"%s\",\"value\":%.4f,\"unit\":\"%s\","
		       "\"verified\":true}\n",
		       figures->program, name, value, unit);
	else
		printf("%s: %s: %.2f %s\n", figures->program, name, value, unit);
	fflush(stdout);
}

static inline int64_t figure_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void figure_sleep_until(int64_t ns)
{
	struct timespec at = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
		;
}

static inline int figure_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static inline double figure_median(double *values, unsigned n)
{
	qsort(values, n, sizeof(*values), figure_compare);
	return values[n / 2];
}

static inline databuffer *figure_start(const databuffer_options *options)
{
	databuffer *buffer;
	int rc = databuffer_start(&buffer, options);
	figure_expect(rc == 0, databuffer_strerror(rc), rc);
	return buffer;
}

#endif
