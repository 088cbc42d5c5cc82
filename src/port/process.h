/* SPDX-License-Identifier: MIT */
/*
 * Processes, as far as this library knows them: memory that they share, waiting
 * and waking across them, their birth and their end. As port.h, a handful of
 * functions that a test may replace.
 *
 * A process is known by a descriptor (pidfd) which goes on meaning that process
 * when its number has been given to another. Descriptors made here are closed on
 * exec.
 */
#ifndef DATABUFFER_PORT_PROCESS_H
#define DATABUFFER_PORT_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- Shared memory ----------------------------------------------------------- */

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

/* --- Descriptors ---------------------------------------------------------------- */

/* A pipe, [0] to read and [1] to write; a pair of sockets that keep messages
 * apart. False if there is none. What wakes a port_poll is a port_event. */
bool port_pipe(int ends[2]);
bool port_socket_pair(int ends[2]);
void port_close(int *fd); /* unless it is -1, which it is then */

/* Waits until one of n descriptors (-1: none) can be read or is at its end; says
 * of each whether it is. */
void port_poll(const int *fds, bool *ready, size_t n, int64_t deadline_ns);

/* Sends and receives one message of exactly `size` bytes and up to 2 descriptors
 * (-1: none). Only one who says so waits for the other side to make room. */
bool port_send(int socket, const void *message, size_t size, const int fds[2], bool may_wait);
enum port_receive {
	PORT_RECEIVED,
	PORT_NOTHING, /* for now */
	PORT_END      /* the other side is gone */
} port_receive(int socket, void *message, size_t size, int fds[2]);

/* Copies from one descriptor to another, at most `most` bytes (16 KiB) and without
 * waiting, as far as `to` takes them; `to` -1: they are thrown away. How many were
 * read; 0 at the end, -1 for now. */
int port_pour(int from, int to, size_t most);

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

/* Whether it has a standard error; which is this descriptor from now on; and a few
 * words to it, unless they would have to wait. */
bool port_has_errors(void);
void port_redirect_errors(int fd);
void port_write_error(const char *text, size_t len);

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

/* "SIGSEGV"; NULL for one without a name. */
const char *port_signal_name(int number);

/* Ends this process: nothing that was registered for exit runs. */
_Noreturn void port_exit(int status);

#endif
