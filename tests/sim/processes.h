/* SPDX-License-Identifier: MIT */
/*
 * The processes of the simulated system: process.h, channel.h and shared.h of
 * src/port for the world. A process is a task that may be killed at any point that it comes to, with its
 * descriptors, and is known by one. What it shares with the program is all memory,
 * so what a worker writes into its own a world of tasks cannot tell apart.
 *
 *      the program's tasks        crew, watch, dispatch, forkserver.c: the library's
 *           │ messages
 *      fork server, spare         servers.c, in place of forkserver_main.c: fork(2)
 *           │ forks                returns twice, which a task cannot
 *      workers                    worker.c, mailbox.c: the library's
 */
#ifndef DATABUFFER_TESTS_SIM_PROCESSES_H
#define DATABUFFER_TESTS_SIM_PROCESSES_H

#include "core/worker.h"
#include "port/channel.h"
#include "port/process.h"
#include "sim/world.h"

struct process {
	struct process *parent;
	struct databuffer *buf;
	uint32_t number;       /* of a worker */
	int pid;
	struct task *task;
	int control;           /* its end of the sockets that it hears on, or -1 */
	uint64_t group;        /* the pipe that it ends with */
	void (*run)(struct process *);
	void (*fate)(void);
	bool is_worker;
	bool ended;
	bool ready;            /* a worker that has said so, and of which that has been said */
	bool reaped;
	unsigned flushes;
	int64_t ended_ns;
	struct port_end end;
	struct worker_birth birth;
};

/* The process that the calling task is; NULL: the program. */
struct process *process_self(void);

/* A child of the calling process or of the program, which is as `like` says: that
 * runs `run`, and dies where `fate` says so. NULL: the system has none to give. */
struct process *process_start(const struct process *like, const char *name);

/* Ends it: by a signal, or with a status. Not a second time. */
void process_end(struct process *process, bool by_signal, int number);

/* As the calling process's own doing: by a signal that a crash is, or a status. */
_Noreturn void process_crash(void);

/* Kills any one of those that there are. */
void process_kill_any(void);

/* A child that has ended and is not reaped, which it is now; NULL: none. */
struct process *process_reap(const struct process *parent);

/* That worker, until it is reaped; or NULL. */
struct process *process_worker(const struct process *parent, uint32_t number);

/* Workers of the buffer that died of themselves from one time to another, but not to
 * that; and when the last of them did. And all that did so far are another buffer's,
 * which was where this one is now. */
unsigned process_deaths(const struct databuffer *buf, int64_t from_ns, int64_t to_ns, int64_t *last_ns);
void process_forget(const struct databuffer *buf);

/* Kills all that are to end with a pipe. */
void process_end_group(uint64_t group);

/* The program is over: it has left no process, no zombie and no descriptor. */
void process_close(void);

/* --- Descriptors (channels.c) -------------------------------------------------------- */

/* The process that one means. */
struct process *process_of(int fd);

/* A descriptor of it; and one is closed that nobody will have. */
int process_describe(struct process *process);
void process_drop(int fd);

/* What the calling task has opened last: the group that ends with a pipe, and an end
 * of a pair of sockets. */
uint64_t process_last_pipe(void);
int process_last_socket(void);
/* A process has the latter now, and the task has a copy to close. */
void process_give(void);

/* What changes about descriptors and processes is counted; whoever has seen nothing
 * newer waits for the next change, or the time. */
void process_change(void);
uint64_t process_changes(void);
void process_wait(uint64_t seen, int64_t until_ns);

/* With whom a descriptor ends: the process, or NULL, the program, which closes it.
 * All of one are closed; none is open any more. */
void process_hold(int fd, const struct process *holder);
void process_close_all(const struct process *holder);
void process_check_closed(void);

#endif
