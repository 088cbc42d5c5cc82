/* SPDX-License-Identifier: MIT */
/*
 * watch.h: a thread that looks after what happens beside the stream: signals,
 * and the line that is redrawn. The first SIGINT, SIGTERM or SIGHUP is noted and
 * wakes the reader; the second ends the command then and there. Nothing is done
 * in a signal handler: there is none.
 */
#ifndef DATABUFFER_CLI_WATCH_H
#define DATABUFFER_CLI_WATCH_H

#include <pthread.h>
#include <stdatomic.h>

struct watch {
	pthread_t thread;
	int signal_fd, end_fd;
	int wake_fd;         /* readable from the first signal on */
	atomic_int signal;   /* the first, or 0 */
	void (*draw)(void *ctx); /* ten times a second; NULL: there is nothing to draw */
	void (*leave)(void *ctx, int signal); /* at the second */
	void *ctx;
};

/* Blocks the signals in this thread, and so in all that it starts: before any. */
void watch_block_signals(void);

/* 0, or -1 after saying why not. */
int watch_start(struct watch *watch);
void watch_end(struct watch *watch);

#endif
