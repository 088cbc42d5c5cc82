/* SPDX-License-Identifier: MIT */
/*
 * host.h: the sink's side of the buffer. Holds the sink's states, lends one to
 * each flush, tells its failures to the person once, and writes what it will not
 * take to the rejects.
 *
 * With --flusher processes flushes run in workers. Each has a host of its own, a
 * copy, with states of its own, and the account of them all is in memory that
 * they share.
 */
#ifndef DATABUFFER_CLI_HOST_H
#define DATABUFFER_CLI_HOST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "cli/rejects.h"
#include "cli/sink.h"
#include "cli/source.h"

#define HOST_STATES 2048 /* more batches than these are never in flight: a thread each */

/* What flushes do, in whatever process. */
struct host_account {
	pthread_mutex_t lock;     /* of whoever dies with it the next hears */
	databuffer_sentence told; /* why the sink fails; "" while it does not */
	_Atomic uint64_t sink_ns; /* time spent in the sink, by all flushes */
	_Atomic uint64_t batches; /* flushes that the sink took */
	_Atomic uint64_t retries; /* flushes that failed for now */
};

struct host {
	const struct sink *sink;
	struct rejects *rejects;
	const struct sources *sources;
	struct host_account *account;

	pthread_mutex_t lock;
	void *idle[HOST_STATES]; /* states that no flush has; the last used is the next */
	unsigned idle_count;

	atomic_uint running;       /* flushes of this process that have not returned */
	_Atomic uint64_t dead;     /* records that the sink refused */
	_Atomic uint64_t returned; /* records that the stop gave back */
};

/* Opens the first state. 0, or -1 after saying why the sink cannot work. */
int host_open(struct host *host, const struct sink *sink, struct rejects *rejects,
              const struct sources *sources);
/* Closes all states that no flush has. */
void host_close(struct host *host);

/* Sets the handlers; `host` is their meta. */
void host_attach(struct host *host, databuffer_options *options);

/* Copies why the sink fails at the moment; "" if it does not. */
void host_failure(struct host *host, databuffer_sentence *why);

#endif
