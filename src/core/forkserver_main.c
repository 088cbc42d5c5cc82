/* SPDX-License-Identifier: MIT */
/* The fork server from the inside: it forks, it reaps, it passes on what workers
 * write to standard error. All its signals are held back. */
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>

#include "core/crew.h"
#include "core/forkserver.h"
#include "core/worker.h"

#define ERRORS_BURST (64 * 1024)
#define ERRORS_PER_MS 16
#define SPARE_PAUSE_NS (100 * PORT_NS_PER_MS)
#define LEAVE_NS (1000 * PORT_NS_PER_MS)

struct child {
	int pid;    /* 0: there is none */
	bool ready; /* and that has been said */
};

struct forkserver_self {
	const struct forkserver_birth *birth;
	struct crew *crew;  /* a copy; its mailboxes are shared */
	int parent_pid;     /* the application; 0 if that is not the parent */
	int control;
	int watch;          /* of children */
	int errors[2];      /* what workers write to, and what is read here; -1: nobody minds */
	struct child *workers;
	int spare_pid;      /* 0: there is none */
	int64_t spare_ns;   /* when the next may be forked */
	uint64_t allowance; /* bytes of errors that may be passed on now */
	int64_t allowed_ns; /* when it was reckoned last */
	uint64_t left_out;
};

static void serve(struct forkserver_self *self) __attribute__((noreturn));

static bool say(struct forkserver_self *self, enum forkserver_word word, uint32_t number, int pid,
                const int fds[2])
{
	struct forkserver_message message = { .word = word, .number = number, .pid = pid };
	return port_send(self->control, &message, sizeof(message), fds, true);
}

/* --- Standard error ------------------------------------------------------------------- */

/* A worker that floods standard error must neither block nor drown who else writes
 * there. So what it writes comes here, and goes on as fast as is fit for reading. */
static void pass_errors_on(struct forkserver_self *self)
{
	int64_t now = port_now_ns();
	uint64_t earned = (uint64_t)((now - self->allowed_ns) / PORT_NS_PER_MS) * ERRORS_PER_MS;
	if (earned > 0) {
		self->allowance = self->allowance + earned < ERRORS_BURST ? self->allowance + earned : ERRORS_BURST;
		self->allowed_ns = now;
	}
	if (self->left_out > 0 && self->allowance > ERRORS_BURST / 2) {
		char line[128];
		int len = snprintf(line, sizeof(line),
		                   "\ndatabuffer: %llu bytes that workers wrote to standard error were left out\n",
		                   (unsigned long long)self->left_out);
		self->left_out = 0;
		port_write_error(line, (size_t)len);
	}
	bool pass = self->allowance > 0;
	int got = port_pour(self->errors[0], pass ? 2 : -1, pass ? self->allowance : ERRORS_BURST);
	if (got <= 0)
		return;
	if (pass)
		self->allowance -= (uint64_t)got;
	else
		self->left_out += (uint64_t)got;
}

/* --- Children --------------------------------------------------------------------------- */

_Noreturn static void wait_as_spare(struct forkserver_self *self, int control)
{
	struct forkserver_message message;
	int fds[2];
	bool ready;
	port_name_process("db-spare");
	port_close(&self->control);
	port_close(&self->watch);
	port_close(&self->errors[0]);
	port_close(&self->errors[1]);
	free(self->workers);
	self->control = control;
	self->parent_pid = 0;
	for (;;) {
		port_poll(&control, &ready, 1, PORT_NEVER);
		enum port_receive received = port_receive(control, &message, sizeof(message), fds);
		if (received == PORT_END)
			port_exit(0);
		if (received == PORT_RECEIVED && message.word == FORKSERVER_SERVE)
			serve(self);
	}
}

static void fork_spare(struct forkserver_self *self)
{
	int ends[2];
	self->spare_ns = port_now_ns() + SPARE_PAUSE_NS;
	if (!port_socket_pair(ends))
		return;
	int pid = port_fork();
	if (pid == 0) {
		port_close(&ends[1]);
		wait_as_spare(self, ends[0]);
	}
	int process = pid > 0 ? port_process_open(pid) : -1;
	if (process >= 0 && say(self, FORKSERVER_SPARE, 0, pid, (int[]){ process, ends[1] }))
		self->spare_pid = pid;
	port_close(&process);
	port_close(&ends[0]);
	port_close(&ends[1]); /* a spare that nobody was told of finds its end here */
}

static void fork_worker(struct forkserver_self *self, uint32_t number)
{
	if (number >= self->crew->count || self->workers[number].pid != 0)
		return;
	mailbox_reset(crew_mailbox(self->crew, number));
	struct worker_birth birth = {
		.buf = self->birth->buf,
		.number = number,
		.errors = self->errors[1],
		.parent_pid = port_pid(),
		.signals = &self->birth->signals,
	};
	int pid = port_fork();
	if (pid == 0) {
		port_close(&self->control);
		port_close(&self->watch);
		port_close(&self->errors[0]);
		worker_main(&birth);
	}
	int process = pid > 0 ? port_process_open(pid) : -1;
	if (process >= 0) {
		self->workers[number] = (struct child){ .pid = pid };
		say(self, FORKSERVER_BORN, number, pid, (int[]){ process, -1 });
	} else {
		if (pid > 0)
			port_end_child(pid); /* nobody could give it a batch, or kill it */
		say(self, FORKSERVER_FAILED, number, pid, NULL);
	}
	port_close(&process);
}

static void bury(struct forkserver_self *self, const struct port_end *end)
{
	if (end->pid == self->spare_pid)
		self->spare_pid = 0;
	for (uint32_t number = 0; number < self->crew->count; number++) {
		if (self->workers[number].pid != end->pid)
			continue;
		self->workers[number].pid = 0;
		mailbox_bury(crew_mailbox(self->crew, number), end);
		say(self, FORKSERVER_GONE, number, end->pid, NULL);
	}
}

static void bury_all(struct forkserver_self *self)
{
	struct port_end end;
	port_unwatch(self->watch);
	while (port_reap(&end))
		bury(self, &end);
}

static void tell_who_is_ready(struct forkserver_self *self)
{
	for (uint32_t number = 0; number < self->crew->count; number++) {
		struct child *worker = &self->workers[number];
		if (worker->pid == 0 || worker->ready ||
		    mailbox_state(crew_mailbox(self->crew, number)) == MAILBOX_STARTING)
			continue;
		worker->ready = true;
		say(self, FORKSERVER_READY, number, worker->pid, NULL);
	}
}

/* Nobody is there to serve. The spare finds the same, and workers that are left have
 * been killed; they leave no zombies. What then is left ends with the group. */
_Noreturn static void leave(struct forkserver_self *self)
{
	int64_t until_ns = port_now_ns() + LEAVE_NS;
	bool ready, some = true;
	while (some && port_now_ns() < until_ns) {
		bury_all(self);
		some = self->spare_pid != 0;
		for (uint32_t number = 0; number < self->crew->count; number++)
			some = some || self->workers[number].pid != 0;
		if (some)
			port_poll(&self->watch, &ready, 1, until_ns);
	}
	port_exit(0);
}

/* --- Serving ------------------------------------------------------------------------------ */

static void open_errors(struct forkserver_self *self)
{
	self->errors[0] = self->errors[1] = -1;
	if (!port_has_errors() || !port_pipe(self->errors))
		return;
	self->allowance = ERRORS_BURST;
	self->allowed_ns = port_now_ns();
}

static void serve(struct forkserver_self *self)
{
	port_name_process("db-forkserver");
	port_adopt_orphans();
	self->watch = port_watch_children();
	self->workers = calloc(self->crew->count, sizeof(*self->workers));
	open_errors(self);
	self->spare_pid = 0;
	self->left_out = 0;
	if (self->watch < 0 || !self->workers)
		port_exit(1);
	fork_spare(self);
	for (;;) {
		struct forkserver_message message;
		int fds[2];
		bool ready[3];
		port_poll((int[]){ self->errors[0], self->watch, self->control }, ready, 3,
		          self->spare_pid ? PORT_NEVER : self->spare_ns);
		if (ready[0])
			pass_errors_on(self);
		if (ready[1]) {
			bury_all(self);
			tell_who_is_ready(self);
		}
		if (self->spare_pid == 0 && port_now_ns() >= self->spare_ns)
			fork_spare(self);
		enum port_receive received = port_receive(self->control, &message, sizeof(message), fds);
		bool orphaned = self->parent_pid != 0 && port_parent_pid() != self->parent_pid;
		if (received == PORT_END || orphaned)
			leave(self);
		if (received == PORT_RECEIVED && message.word == FORKSERVER_FORK)
			fork_worker(self, message.number);
	}
}

void forkserver_main(const struct forkserver_birth *birth)
{
	struct databuffer *buf = birth->buf;
	struct forkserver_self self = { .birth = birth, .crew = buf->crew, .control = birth->control,
		                         .parent_pid = birth->application_pid };
	port_begin_group();
	if (!port_end_group_with(birth->life) || !port_watch_parent(birth->application_pid))
		port_exit(1);
	/* What the application had not written yet is the application's to write. */
	__fpurge(stdout);
	atomic_store_explicit(&buf->state, BUFFER_ELSEWHERE, memory_order_relaxed);
	for (unsigned i = 0; i < buf->partition_count; i++)
		store_read_only(&buf->partitions[i].store);
	serve(&self);
}
