/* SPDX-License-Identifier: MIT */
/*
 * The registry: every buffer of the process, by name; the threads that insert
 * into them are entered here too (producer.h). It carries the process over a
 * fork: all locks are taken before, in their order, so that the child finds
 * every structure whole, and there empties each buffer.
 *
 * A stopped buffer's struct is kept for a while, the newest few hundred of them,
 * so that a call on a handle that is dead finds `state` and answers
 * DATABUFFER_ESTOPPED.
 */
#ifndef DATABUFFER_CORE_REGISTRY_H
#define DATABUFFER_CORE_REGISTRY_H

#include "core/buffer.h"

void registry_lock(void);
void registry_unlock(void);

/* Another number in every child: code that calls the program's asks before and
 * after whether it is still in the process that it was in. */
uint32_t fork_generation(void);

/* From now on every fork of the process is seen to. 0 or DATABUFFER_ENOMEM; what
 * registry_add does first. */
int registry_prepare(void);

/* Enters a buffer; DATABUFFER_EEXIST if its name is taken, DATABUFFER_ENOMEM. */
int registry_add(struct databuffer *buf);
/* Takes it out: its name is free, its producers are told. Its insides stay. */
void registry_remove(struct databuffer *buf);

/* Keeps the struct of a buffer whose insides are gone, and frees the oldest. */
void registry_retire(struct databuffer *buf);

#endif
