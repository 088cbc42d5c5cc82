/* SPDX-License-Identifier: MIT */
/*
 * The descriptor of a manual buffer, by which a program's loop learns that there
 * is something to do: readable from when a batch can be flushed until
 * databuffer_work has nothing left to do at once.
 *
 * A loop that sleeps until databuffer_next_deadline would also miss a deadline that
 * comes nearer meanwhile, by an insert on another thread. So the buffer remembers
 * what it told, and makes the descriptor readable when that no longer holds.
 */
#ifndef DATABUFFER_CORE_LOOP_H
#define DATABUFFER_CORE_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct databuffer;

struct loop {
	_Atomic int fd;          /* -1 until somebody asks for it */
	_Atomic int64_t told_ns; /* the deadline that was told last; INT64_MIN: none was */
};

void loop_init(struct loop *loop);
void loop_fini(struct loop *loop);

/* Something has happened in a partition whose lock is held: `ready`, a batch can be
 * flushed; its next deadline is as given. */
void loop_look(struct databuffer *buf, bool ready, int64_t deadline_ns);

/* At the end of databuffer_work. */
void loop_settle(struct databuffer *buf);

/* The program has been told this deadline. */
void loop_told(struct databuffer *buf, int64_t deadline_ns);

/* In a child after fork: a descriptor of its own, with the same number. */
void loop_reset(struct loop *loop);

#endif
