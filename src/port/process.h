/* SPDX-License-Identifier: MIT */
/*
 * Processes, as far as this library knows them: their birth, what they may do, and
 * their end. What they share is in shared.h, how they talk in channel.h. As port.h,
 * a handful of functions that a test may replace.
 *
 * A process is known by a descriptor (pidfd) which goes on meaning that process
 * when its number has been given to another. Descriptors made here are closed on
 * exec.
 */
#ifndef DATABUFFER_PORT_PROCESS_H
#define DATABUFFER_PORT_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* --- Birth ------------------------------------------------------------------------- */

/* fork(2). */
int port_fork(void);

/* Begins a group of processes: this one and all its descendants. */
void port_begin_group(void);
/* The system kills the group as soon as nobody has the writing end of the pipe any
 * more, stopped processes too. */
bool port_end_group_with(int reading_end);

/* The system kills this process when the thread that forked it ends; or, softer,
 * has port_watch_children's descriptor say so. False: the parent has ended already. */
bool port_end_with_parent(int parent_pid);
bool port_watch_parent(int parent_pid);

/* Children of children become this process's when their parent ends. */
void port_adopt_orphans(void);

/* Every signal has its default action but for those that were ignored, and the
 * signals of `mask` are held back: what the program had before port_hold_signals. */
struct port_signals {
	uint64_t mask[16];
};
void port_hold_signals(struct port_signals *before);
void port_default_signals(const struct port_signals *mask);
void port_restore_signals(const struct port_signals *before);

/* What ps shows; 15 characters. */
void port_name_process(const char *name);

/* At most so many bytes of memory of its own beyond what it has now. */
void port_limit_memory(uint64_t bytes);

/* --- Life and end ------------------------------------------------------------------- */

int port_pid(void);
int port_parent_pid(void);

/* The descriptor of a child, or of a process of one's own; -1 if there is none. */
int port_process_open(int pid);
/* Whether the system has such descriptors at all. */
bool port_has_processes(void);

void port_process_kill(int process);
/* Ends once it has been waited for by its parent, too. */
bool port_process_has_ended(int process);

enum { PORT_SIGKILL = 9 };

/* How a process came to its end. */
struct port_end {
	int pid;
	bool by_signal;
	int number; /* of the signal, or the status that it exited with */
};

/* Something that can be read (port_poll) when a child of this process has ended;
 * SIGCHLD is held back from now on, and no longer ignored if it was. */
int port_watch_children(void);
void port_unwatch(int watch); /* what was to be read has been */
/* Has that of another process say so though no child has ended. Takes no descriptor,
 * but the right to send that process a signal. */
void port_nudge(int pid);

/* The next child that has ended, any; its zombie is gone. False: none. */
bool port_reap(struct port_end *end);
/* The zombie of this process, if it is a child's and has ended, is gone. */
void port_reap_one(int process);
/* Kills a child that has no descriptor, and waits for its end; no zombie remains. */
void port_end_child(int pid);

/* "SIGSEGV", "SIGRTMIN+3"; "signal 99" for one without a name. */
#define PORT_SIGNAL_SIZE 24
void port_name_signal(int number, char name[PORT_SIGNAL_SIZE]);

/* Ends this process: nothing that was registered for exit runs. */
_Noreturn void port_exit(int status);

#endif
