/* SPDX-License-Identifier: MIT */
/*
 * Memory that processes share, and waiting and waking across them: what port.h has
 * for one process and its threads.
 */
#ifndef DATABUFFER_PORT_SHARED_H
#define DATABUFFER_PORT_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As port_map, but the same memory in every process forked from now on. `name` is
 * what /proc/PID/maps shows. */
void *port_map_shared(size_t size, const char *name);

/* Puts fresh zeroed memory at the place of what port_map_shared gave; the other
 * processes keep the old. For a child after fork. False: the old is still there. */
bool port_map_shared_anew(void *base, size_t size, const char *name);

/* What this process may do there from now on. */
void port_forbid_writes(void *base, size_t size);
void port_forbid_access(void *base, size_t size);

/* port_wait and port_wake on a word in shared memory. */
bool port_wait_shared(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns);
void port_wake_shared(_Atomic uint32_t *word, int n);

#endif
