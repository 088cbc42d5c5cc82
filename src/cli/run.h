/* SPDX-License-Identifier: MIT */
/*
 * run.h: one run of the command: from the inputs through the buffer to the sink.
 *
 *      main thread      read ─> parse ─> insert ─┐
 *      flusher threads             handle_flush <┘─> the sink
 *      watch thread     signals, and the line that is redrawn
 *
 * Each record that was read ends in one of three: flushed, rejected, left. The
 * last two are in the rejects, if there is a file for them.
 */
#ifndef DATABUFFER_CLI_RUN_H
#define DATABUFFER_CLI_RUN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/arguments.h"
#include "cli/host.h"
#include "cli/overlong.h"
#include "cli/record.h"
#include "cli/rejects.h"
#include "cli/sink.h"
#include "cli/source.h"
#include "cli/watch.h"

/* Why reading ended before the input did. */
enum run_cause {
	RUN_GOES_ON,
	RUN_SIGNAL, /* somebody asked for it */
	RUN_STALLED /* the sink fails for too long */
};

/* What the sink did when it was last looked at. */
struct run_stall {
	uint64_t settled, failures;
	int64_t since_ns; /* the first failure after which nothing was flushed; 0: it works */
};

struct run {
	const struct arguments *arguments;
	struct sources sources;
	struct sink sink;
	struct rejects rejects;
	struct host host;
	struct watch watch;
	struct records records;
	struct overlong overlong;
	databuffer *_Atomic buf; /* NULL before the start and after the stop */

	enum run_cause cause;
	struct run_stall stall;
	int64_t deadline_ns; /* of the end, once there is a cause */
	bool failed;         /* an input could not be read, or not to its end */

	_Atomic uint64_t accepted;  /* records that the buffer took */
	_Atomic uint64_t refused;   /* records that did not get that far: they do not fit */
	_Atomic uint64_t forsaken;  /* records that did not, for the end came first */
	_Atomic uint64_t bytes_in;  /* of the input */
	int64_t start_ns;
	_Atomic int64_t end_ns; /* 0 until then */
	int64_t read_ns, parse_ns, insert_ns, wait_ns; /* one after the other, on the main thread */
};

/* Where the records are, at one moment. */
struct run_counts {
	uint64_t records, flushed, rejected, left, held, batches, retries;
	double seconds;
};

/* Runs it; returns the exit status. */
int run_main(const struct arguments *arguments);

/* From any thread. */
struct run_counts run_count(struct run *run);

/* --- feed.c: the way in ------------------------------------------------------------- */

/* Reads one input to its end, or until there is a cause to stop. */
void run_feed(struct run *run, size_t source);

/* Looks for a cause to stop; asked wherever something is waited for. */
enum run_cause run_look(struct run *run);

/* --- summary.c: what it says of itself ------------------------------------------------ */

void run_draw_progress(void *opened);
void run_print_summary(struct run *run);
/* 0, or -1 if standard output takes no more. */
int run_print_json(struct run *run);

#endif
