/* SPDX-License-Identifier: MIT */
/*
 * A worker from the inside: a process that the fork server has forked, which calls
 * handle_worker_start, then handle_flush for each batch that is put into its
 * mailbox, then handle_worker_stop.
 *
 * It has a copy of all that the application had when the buffer started, and
 * shares two things with it: the items, which it can only read, and its own
 * mailbox. Nothing else that it does to its memory reaches anyone. And it needs none
 * of its descriptors: the program's handlers may close any, and open others there.
 */
#ifndef DATABUFFER_CORE_WORKER_H
#define DATABUFFER_CORE_WORKER_H

#include "core/mailbox.h"

struct databuffer;

struct worker_birth {
	struct databuffer *buf; /* a copy */
	uint32_t number;
	int errors;             /* what its standard error becomes; -1: as it is */
	int parent_pid;
	const struct port_signals *signals;
};

_Noreturn void worker_main(const struct worker_birth *birth);

#endif
