/* SPDX-License-Identifier: MIT */
/*
 * The simulated system: src/port/port.h for the world, and what the library uses
 * of POSIX threads and of malloc, which the linker leads here (--wrap).
 */
#ifndef DATABUFFER_TESTS_SIM_PORT_H
#define DATABUFFER_TESTS_SIM_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How the system fails; drawn by plan.c. While it is `scarce` the larger figures hold. */
struct port_temper {
	unsigned map_permille;     /* of maps that fail */
	unsigned memory_permille;  /* of allocations */
	unsigned thread_permille;  /* of threads */
	unsigned process_permille; /* of processes and descriptors */
	bool scarce;
	bool fenced;               /* has no process-wide barrier */
};

void port_set_temper(const struct port_temper *temper);
void port_set_scarce(bool scarce);

struct task;

/* What has failed so far on a task. */
unsigned port_failures(const struct task *task);

/* Whether the system fails to give a process, or a descriptor, that is asked for now. */
bool port_gives_no_process(void);

/* Whether anybody holds a pthread_mutex_t. */
bool port_is_locked(const void *mutex);

/* What the library has mapped and not given back. */
size_t port_mapped_bytes(void);

#endif
