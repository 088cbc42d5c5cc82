/* SPDX-License-Identifier: MIT */
/*
 * The fork server: a process with one thread that is forked when the buffer starts,
 * and forks the workers. Not the application itself, since a worker would inherit
 * whatever mutex another of its threads holds at that moment, for ever locked.
 *
 *      application ──fork──> fork server ──fork──> worker 0
 *           │                     │                worker 1
 *           │ control             └──────fork──> spare
 *           └──────────────────────────────────────┘ control of its own
 *
 * The spare is what takes the fork server's place when that dies: it was forked
 * before anything else could happen, and is as clean. Its first act is to fork the
 * next spare. Only if both die at once another fork server is forked from the
 * application as it is then.
 *
 * None of them outlives the application. A worker is killed by the system when its
 * fork server ends. The fork server looks up when the thread that forked it ends,
 * and ends if that was the process. And all of them are a group of processes that
 * the system kills as soon as nobody holds the writing end of the pipe `life`,
 * which only the application has: also if it was killed, also if they are stopped.
 *
 * What they say to each other are struct forkserver_message, each in one piece, on
 * `control`. Batches do not go this way (mailbox.h).
 */
#ifndef DATABUFFER_CORE_FORKSERVER_H
#define DATABUFFER_CORE_FORKSERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "port/channel.h"
#include "port/process.h"

struct databuffer;

enum forkserver_word {
	FORKSERVER_FORK,   /* to it: worker `number` */
	FORKSERVER_SERVE,  /* to the spare: its time has come */
	FORKSERVER_BORN,   /* from it: worker `number` is `pid`, with its descriptor */
	FORKSERVER_FAILED, /* there is no process to be had for it */
	FORKSERVER_READY,  /* worker `number`, which is `pid`: its handle_worker_start has succeeded */
	FORKSERVER_GONE,   /* `pid`, which was worker `number`, has ended; its mailbox says how */
	FORKSERVER_SPARE   /* the next spare is `pid`, with its descriptor and its control */
};

struct forkserver_message {
	uint32_t word, number;
	int32_t pid;
};

/* --- The application's side ---------------------------------------------------------- */

/* Descriptors, -1 if there is none. */
struct forkserver {
	struct list link; /* of all in the process: a child after fork closes them */
	int life;
	int control, process, pid;
	int spare_control, spare_process, spare_pid;
};

void forkserver_init(struct forkserver *server);

/* Forks one. False: the system has no process or no descriptor to give. */
bool forkserver_start(struct forkserver *server, struct databuffer *buf);

bool forkserver_say(struct forkserver *server, enum forkserver_word word, uint32_t number);

/* The next message, with the descriptor of BORN in *process. A SPARE is put in its
 * place and not told. */
enum port_receive forkserver_hear(struct forkserver *server, struct forkserver_message *message, int *process);

/* It is dead, or good for nothing and is killed. */
void forkserver_dismiss(struct forkserver *server);
/* The spare takes its place. False: there is none. */
bool forkserver_replace(struct forkserver *server);

/* All of them end. */
void forkserver_stop(struct forkserver *server);

/* Whether the calling thread is about to be one: asked in the child after fork. */
bool forkserver_is_being_born(void);

void forkserver_fork_lock(void);
void forkserver_fork_unlock(void);
void forkserver_fork_child(void);

/* --- In the process itself ------------------------------------------------------------- */

/* What it is born with. */
struct forkserver_birth {
	struct databuffer *buf; /* a copy */
	int application_pid;
	int life;               /* the reading end */
	int control;
	struct port_signals signals; /* what the application holds back */
};

_Noreturn void forkserver_main(const struct forkserver_birth *birth);

#endif
