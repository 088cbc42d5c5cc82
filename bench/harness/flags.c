/* SPDX-License-Identifier: MIT */
/* flags.c: the command line that all bench programs have. */
#include <getopt.h>
#include <stdio.h>

#include "harness/run.h"

static void __attribute__((noreturn)) usage(const struct bench_peer *peer, int status)
{
	fprintf(status ? stderr : stdout,
	        "%s: %s\n"
	        "  --mode throughput|latency|memory   what is measured (throughput)\n"
	        "  --producers N    threads that insert (1)\n"
	        "  --records N      over all of them (1000000)\n"
	        "  --size B|A-B     bytes of a record, or mixed from A to B (64)\n"
	        "  --batch N        records of one call (1)\n"
	        "  --pace NS        latency: one insert of a producer in so much time (1000)\n"
	        "  --fresh          write each record right before its insert, not some inserts ahead\n"
	        "  --variant TEXT   one of this peer's own\n"
	        "  --json           print a line of JSON\n"
	        "exit status: 0; 1 if what came out is not what was put in; 3 if the peer does not do that\n",
	        peer->name, peer->about);
	exit(status);
}

static uint64_t number(const char *flag, const char *text, uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);
	if (end == text || *end || value < min || value > max)
		bench_fail("--%s must be from %llu to %llu, not \"%s\"", flag, (unsigned long long)min,
		           (unsigned long long)max, text);
	return value;
}

static void set_size(struct bench *bench, char *text)
{
	char *dash = strchr(text, '-');
	if (dash)
		*dash++ = '\0';
	bench->size_min = number("size", text, BENCH_SIZE_MIN, BENCH_SIZE_MAX);
	bench->size_max = dash ? number("size", dash, bench->size_min, BENCH_SIZE_MAX) : bench->size_min;
}

static void set_mode(struct bench *bench, const char *text)
{
	if (strcmp(text, "latency") == 0)
		bench->mode = BENCH_LATENCY;
	else if (strcmp(text, "memory") == 0)
		bench->mode = BENCH_MEMORY;
	else if (strcmp(text, "throughput") != 0)
		bench_fail("--mode must be throughput, latency or memory, not \"%s\"", text);
}

static void refuse_what_it_cannot(const struct bench *bench)
{
	unsigned can = bench->peer->can;
	if ((bench->batch > 1 && !(can & BENCH_BULK)) || (bench->size_max != 64 && !(can & BENCH_VARIABLE)) ||
	    (bench->batch > 1 && bench->size_min != bench->size_max) ||
	    (bench->mode != BENCH_THROUGHPUT && can & BENCH_COPY_ONLY)) {
		fprintf(stderr, "%s does not do that\n", bench->peer->name);
		exit(3);
	}
}

uint64_t bench_parse(struct bench *bench, int argc, char **argv)
{
	static const struct option options[] = {
		{ "mode", required_argument, NULL, 'm' },
		{ "producers", required_argument, NULL, 'p' },
		{ "records", required_argument, NULL, 'r' },
		{ "size", required_argument, NULL, 's' },
		{ "batch", required_argument, NULL, 'b' },
		{ "pace", required_argument, NULL, 'n' },
		{ "variant", required_argument, NULL, 'v' },
		{ "fresh", no_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t records = 1000000;
	int key;
	while ((key = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (key) {
		case 'm':
			set_mode(bench, optarg);
			break;
		case 'p':
			bench->producers = (unsigned)number("producers", optarg, 1, BENCH_PRODUCERS_MAX);
			break;
		case 'r':
			records = number("records", optarg, 1, UINT32_MAX - 1);
			break;
		case 's':
			set_size(bench, optarg);
			break;
		case 'b':
			bench->batch = (unsigned)number("batch", optarg, 1, BENCH_BATCH_MAX);
			break;
		case 'n':
			bench->pace_ns = number("pace", optarg, 1, 1000000000);
			break;
		case 'v':
			bench->variant = optarg;
			break;
		case 'f':
			bench->fresh = true;
			break;
		case 'j':
			bench->internal->json = true;
			break;
		default:
			usage(bench->peer, key == 'h' ? 0 : 2);
		}
	}
	if (optind < argc)
		usage(bench->peer, 2);
	refuse_what_it_cannot(bench);
	return records;
}
