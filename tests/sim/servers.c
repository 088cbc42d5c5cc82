/* SPDX-License-Identifier: MIT */
/* Fork servers and spares, in place of forkserver_main.c: what they hear, and what
 * they say and do then; and fork(2) itself. */
#include "core/crew.h"
#include "core/forkserver.h"
#include "port/port.h"
#include "sim/faults.h"
#include "sim/oracle.h"
#include "sim/port.h"
#include "sim/processes.h"

#define SPARE_PAUSE_NS (100 * PORT_NS_PER_MS)

struct server {
	struct process *self;
	struct process *spare; /* NULL: there is none */
	int64_t spare_ns;      /* when the next may be forked */
};

/* --- What befalls them ----------------------------------------------------------------- */

static void server_fate(void)
{
	if (fault(FAULT_SERVER_DIES))
		process_crash();
}

static void worker_fate(void)
{
	if (fault(FAULT_DIES))
		process_crash();
}

/* Until it is killed. */
static void stop_for_good(void)
{
	static const char never;
	world_note("fork server is stopped", process_self()->pid, 0);
	world_wait(&never, WORLD_NEVER, false);
	world_fail("a process that is stopped goes on");
}

/* --- What they say and hear ---------------------------------------------------------------- */

static bool say(const struct server *server, enum forkserver_word word, uint32_t number, int pid, const int fds[2])
{
	struct forkserver_message message = { .word = word, .number = number, .pid = pid };
	return port_send(server->self->control, &message, sizeof(message), fds, true);
}

static enum port_receive hear(const struct process *self, struct forkserver_message *message)
{
	int fds[2];
	return port_receive(self->control, message, sizeof(*message), fds);
}

/* --- What they fork -------------------------------------------------------------------------- */

static void spare_main(struct process *self);

static void fork_spare(struct server *server)
{
	const struct process *self = server->self;
	int ends[2];
	server->spare_ns = world_now_ns() + SPARE_PAUSE_NS;
	if (!port_socket_pair(ends))
		return;
	const struct process spare = {
		.run = spare_main, .fate = server_fate, .buf = self->buf, .group = self->group, .control = ends[0]
	};
	server->spare = process_start(&spare, "db-spare");
	int fd = server->spare ? process_describe(server->spare) : -1;
	if (server->spare && say(server, FORKSERVER_SPARE, 0, server->spare->pid, (int[]){ fd, ends[1] }))
		return;
	process_drop(server->spare ? fd : ends[0]); /* a spare that nobody was told of finds its end */
	process_drop(ends[1]);
}

static void worker_run(struct process *self)
{
	worker_main(&self->birth);
}

/* More have died in a period than may be made good at once, and it is too soon. A
 * moment is left for what is under way; of threads that are kept from running none
 * would be enough. */
static void check_restarts(const struct databuffer *buf)
{
	const struct restarts *restarts = &buf->crew->restarts;
	int64_t now = world_now_ns() - PORT_NS_PER_MS, last = INT64_MIN;
	if (oracle_stalls || process_deaths(buf, INT64_MIN, now, &last) <= restarts->max)
		return;
	unsigned deaths = process_deaths(buf, last - restarts->period_ns + PORT_NS_PER_MS, now, &last);
	if (deaths > restarts->max && world_now_ns() < last + restarts->backoff_min_ns)
		world_fail("a worker is forked, when %u have died in a period, the last just now", deaths);
}

static void fork_worker(struct server *server, uint32_t number)
{
	const struct process *self = server->self;
	struct crew *crew = self->buf->crew;
	check_restarts(self->buf);
	if (number >= crew->count)
		world_fail("worker %u is asked for, of %u", number, crew->count);
	if (process_worker(self, number))
		return; /* its end is still to be told */
	mailbox_reset(crew_mailbox(crew, number));
	const struct process worker = {
		.run = worker_run,
		.fate = worker_fate,
		.buf = self->buf,
		.group = self->group,
		.control = -1,
		.is_worker = true,
		.number = number,
		.birth = { .buf = self->buf, .number = number, .errors = -1, .parent_pid = self->pid },
	};
	struct process *born = process_start(&worker, "db-worker");
	int fd = born ? process_describe(born) : -1;
	if (!born)
		say(server, FORKSERVER_FAILED, number, -1, NULL);
	else if (!say(server, FORKSERVER_BORN, number, born->pid, (int[]){ fd, -1 }))
		process_drop(fd);
}

/* --- Serving ------------------------------------------------------------------------------------ */

static void bury_children(struct server *server)
{
	struct process *child;
	while ((child = process_reap(server->self)) != NULL) {
		if (child == server->spare)
			server->spare = NULL;
		if (!child->is_worker)
			continue;
		mailbox_bury(crew_mailbox(server->self->buf->crew, child->number), &child->end);
		say(server, FORKSERVER_GONE, child->number, child->pid, NULL);
	}
}

static void tell_who_is_ready(struct server *server)
{
	const struct crew *crew = server->self->buf->crew;
	for (uint32_t number = 0; number < crew->count; number++) {
		struct process *worker = process_worker(server->self, number);
		if (!worker || worker->ready || mailbox_state(crew_mailbox(crew, number)) == MAILBOX_STARTING)
			continue;
		worker->ready = true;
		say(server, FORKSERVER_READY, number, worker->pid, NULL);
	}
}

static void serve(struct process *self)
{
	struct server server = { .self = self };
	struct forkserver_message message;
	for (;;) {
		uint64_t seen = process_changes();
		if (fault(FAULT_SERVER_STOPS))
			stop_for_good();
		bury_children(&server);
		tell_who_is_ready(&server);
		if (!server.spare && server.spare_ns <= world_now_ns())
			fork_spare(&server);
		enum port_receive received = hear(self, &message);
		if (received == PORT_END)
			return;
		if (received == PORT_RECEIVED && message.word == FORKSERVER_FORK)
			fork_worker(&server, message.number);
		else if (received == PORT_NOTHING)
			process_wait(seen, server.spare ? WORLD_NEVER : server.spare_ns);
	}
}

static void spare_main(struct process *self)
{
	struct forkserver_message message;
	for (;;) {
		uint64_t seen = process_changes();
		enum port_receive received = hear(self, &message);
		if (received == PORT_END)
			return;
		if (received == PORT_RECEIVED && message.word == FORKSERVER_SERVE) {
			serve(self);
			return;
		}
		if (received == PORT_NOTHING)
			process_wait(seen, WORLD_NEVER);
	}
}

/* --- The first of them ------------------------------------------------------------------------------ */

/* Of whom the calling task is about to fork one. */
static _Thread_local struct databuffer *starting;

bool __real_forkserver_start(struct forkserver *server, struct databuffer *buf);
bool __wrap_forkserver_start(struct forkserver *server, struct databuffer *buf);
int __wrap_port_fork(void);

bool __wrap_forkserver_start(struct forkserver *server, struct databuffer *buf)
{
	starting = buf;
	if (buf->crew->restarts.total + buf->crew->server_restarts.total == 0)
		process_forget(buf); /* it is new */
	return __real_forkserver_start(server, buf);
}

/* What it is born with is what its parent opened last, for it. */
int __wrap_port_fork(void)
{
	const struct process server = { .run = serve,
		                        .fate = server_fate,
		                        .buf = starting,
		                        .group = process_last_pipe(),
		                        .control = process_last_socket() };
	const struct process *born = process_start(&server, "db-forkserver");
	if (born)
		process_give();
	return born ? born->pid : -1;
}
