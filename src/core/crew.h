/* SPDX-License-Identifier: MIT */
/*
 * A crew: those who may run a buffer's handlers at one time, flusher_count of them.
 * With DATABUFFER_PROCESSES each is a worker process; with DATABUFFER_THREADS and a
 * flusher_count, leave to run the handler on the thread that asks.
 *
 *      partitions with a batch ready                    the crew
 *
 *      partition 3 ─┐  claim   ┌ idle: a worker of its own, until release
 *      partition 1 ─┼─────────>┤
 *      partition 7 ─┘          └ none: it stands in line, and its flusher thread
 *                                leaves; whoever releases a worker serves the
 *                                first in line next
 *
 *      a worker:  NONE ──ask──> STARTING ──ready──> IDLE <──claim, release──> BUSY
 *                   ^                                │ dismiss                  │
 *                   └──────────── gone ──────────────┴──> LEAVING               │
 *                   └──────────────────────────── released, and gone ───────────┘
 *
 * One thread of the application watches over it (crew_watch.c): it has workers
 * forked when they are wanted, hears what the fork server says, and replaces what
 * dies, but not too often (restarts.h). A worker that is BUSY is its flusher's, and
 * nobody else's, until it is released.
 *
 * `lock` is a leaf: it may be taken under a partition's, and nothing is called or
 * waited for under it.
 */
#ifndef DATABUFFER_CORE_CREW_H
#define DATABUFFER_CORE_CREW_H

#include <pthread.h>

#include "core/buffer.h"
#include "core/forkserver.h"
#include "core/mailbox.h"
#include "core/restarts.h"

enum worker_state {
	WORKER_NONE,
	WORKER_STARTING,
	WORKER_IDLE,
	WORKER_BUSY,
	WORKER_LEAVING
};

struct worker {
	struct list idle;   /* in crew->idle while it is */
	enum worker_state state;
	bool here;          /* no process: the handler runs on the thread that claims it */
	uint32_t number;
	int pid, process;   /* once it is born; 0 and -1 */
	int64_t patience_ns; /* STARTING and LEAVING: killed if it takes longer than that */
	_Atomic bool condemned; /* it has been killed for being late, whatever its mailbox says */
	_Atomic bool orphaned;  /* it has been killed because its fork server died */
	uint64_t flushes;
	unsigned partition; /* BUSY: whose batch it has */
};

#define CREW_DEATH_SIZE 96

struct crew {
	pthread_mutex_t lock;
	struct databuffer *buf;
	bool processes;
	struct worker *workers;
	unsigned count;
	unsigned wanted;    /* how many there should be: as many as have been missed at once */
	struct list idle;   /* the last to have become so first */
	unsigned idle_count;
	struct list line;   /* partitions, the first to have come first */
	unsigned called;    /* partitions for which a worker is kept idle */

	/* Processes only. */
	unsigned char *mailboxes;
	size_t footprint;   /* of one */
	uint32_t named_room;
	struct forkserver server;
	bool serving;       /* there is a fork server */
	int server_pid;
	struct restarts restarts, server_restarts;
	char death[CREW_DEATH_SIZE]; /* how the last that died did */
	int bell;           /* wakes the watch */
	bool watched;       /* its thread runs */
	bool fallen;        /* back to threads: there was no fork server to be had */
	bool stopping;
	int64_t stop_ns;    /* and when it must have ended */
	bool abandoned;     /* it had not: no handler of the program's begins any more */
	_Atomic uint32_t over; /* 1 once the watch has ended after that */
};

/* The crew of a buffer whose options say that it needs one; else NULL is left in
 * buf->crew. 0, DATABUFFER_ENOMEM. */
int crew_create(struct databuffer *buf);
void crew_destroy(struct crew *crew);

/* Forks the fork server and sets the watch. The partitions have their memory. 0, or
 * DATABUFFER_EAGAIN if the system has no process, descriptor or thread to give,
 * DATABUFFER_ENOTSUP, `given` being told why, if it does not know what is needed. */
int crew_start(struct crew *crew, const databuffer_options *given);
/* Has all workers leave; when it returns they have, or were killed at the deadline. */
void crew_stop(struct crew *crew, int64_t deadline_ns);

/* In a child after fork: nobody is there, and whoever is wanted will be started. */
void crew_reset(struct crew *crew);

struct mailbox *crew_mailbox(const struct crew *crew, uint32_t number);

/* Whether one whose mailbox is GONE was killed for being late, and had not died
 * otherwise just before. */
bool crew_died_late(const struct crew *crew, const struct worker *worker);

/* How it died, for whose mailbox is GONE: "killed by SIGSEGV". */
void crew_tell_death(const struct crew *crew, const struct worker *worker, char text[CREW_DEATH_SIZE]);

/* --- For flushers -------------------------------------------------------------------- */

/* Somebody to run the handler for the partition's next batch. NULL: there is nobody
 * now, and the partition stands in line until it is called: it `waits`, and no
 * flusher need be sent to it. Under the partition's lock. */
struct worker *crew_claim(struct crew *crew, struct partition *partition);

/* The partition is done with it. Returns the one whose turn it is now, which is called
 * and must be served, or NULL; if there is one, and this partition has more to flush,
 * it stands in line again. Under this partition's lock. */
struct partition *crew_release(struct crew *crew, struct worker *worker, struct partition *partition);

/* A partition that was called and has nothing to flush says so, and the next one is
 * called. For a partition that was not: NULL. Under its lock. */
struct partition *crew_decline(struct crew *crew, struct partition *partition);

/* Has a flusher come to a partition that was called, or to the next, and so on. */
void crew_call(struct crew *crew, struct partition *partition);

/* What became of the batch is nobody's concern any more: ends its handlers. */
void crew_kill(struct crew *crew, unsigned partition);

/* --- For those who look in --------------------------------------------------------------- */

void crew_read_info(struct crew *crew, databuffer_partition_info *info, int64_t now_ns);

/* --- Among crew.c and crew_watch.c, under the lock ---------------------------------------- */

/* Workers that are there, or on the way. */
unsigned crew_alive(const struct crew *crew);

/* The worker is ready for work; the partition whose turn it is, or NULL. */
struct partition *crew_welcome(struct crew *crew, struct worker *worker);

/* How long a worker may take to start or to leave. */
int64_t crew_patience_ns(const struct crew *crew, int64_t now_ns);

/* Has an idle worker, or one that is being released, leave. */
void crew_dismiss(struct crew *crew, struct worker *worker, int64_t now_ns);

/* It has ended, and its mailbox is buried. True if it died, rather than left. */
bool crew_part(struct crew *crew, struct worker *worker);

/* The first in line, who is called if there is a worker for it; or NULL. */
struct partition *crew_call_first(struct crew *crew);

bool crew_watch_start(struct crew *crew);

#endif
