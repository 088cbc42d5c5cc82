/* SPDX-License-Identifier: MIT */
/* The application's end of its fork servers. */
#include "core/forkserver.h"

#include <pthread.h>

#include "port/port.h"

/* A process that was told to end, or killed, has ended within this or hardly ever. */
#define END_NS (2000 * PORT_NS_PER_MS)

/* Every process inherits what is open when it is forked. So all ends that are the
 * application's alone stand in one list, and every child closes them: a pipe of
 * which another holds the writing end would end nobody. */
static struct {
	pthread_mutex_t lock;
	struct list servers;
} known = { .lock = PTHREAD_MUTEX_INITIALIZER, .servers = { &known.servers, &known.servers } };

static _Thread_local bool being_born;

bool forkserver_is_being_born(void)
{
	return being_born;
}

/* --- Start and stop ------------------------------------------------------------------ */

void forkserver_init(struct forkserver *server)
{
	*server = (struct forkserver){
		.life = -1, .control = -1, .process = -1, .spare_control = -1, .spare_process = -1
	};
	list_init(&server->link);
}

static void close_ends(struct forkserver *server)
{
	port_close(&server->life);
	port_close(&server->control);
	port_close(&server->process);
	port_close(&server->spare_control);
	port_close(&server->spare_process);
	server->pid = 0;
}

static void forget(struct forkserver *server)
{
	pthread_mutex_lock(&known.lock);
	list_remove(&server->link);
	close_ends(server);
	pthread_mutex_unlock(&known.lock);
}

/* Makes both ends of everything, and enters ours. */
static bool open_ends(struct forkserver *server, struct forkserver_birth *birth)
{
	int life[2] = { -1, -1 }, control[2] = { -1, -1 };
	pthread_mutex_lock(&known.lock);
	bool opened = port_pipe(life) && port_socket_pair(control);
	server->life = life[1];
	server->control = control[1];
	list_push_back(&known.servers, &server->link);
	birth->life = life[0];
	birth->control = control[0];
	pthread_mutex_unlock(&known.lock);
	return opened;
}

bool forkserver_start(struct forkserver *server, struct databuffer *buf)
{
	struct forkserver_birth birth = { .buf = buf, .application_pid = port_pid() };
	int pid = -1;
	forget(server); /* one that it was before */
	if (open_ends(server, &birth)) {
		port_hold_signals(&birth.signals);
		being_born = true;
		pid = port_fork();
		if (pid == 0) {
			being_born = false;
			forkserver_main(&birth);
		}
		being_born = false;
		port_restore_signals(&birth.signals);
	}
	port_close(&birth.life);
	port_close(&birth.control);
	if (pid > 0)
		server->process = port_process_open(pid);
	server->pid = pid;
	if (server->process >= 0)
		return true;
	forget(server);
	if (pid > 0)
		port_end_child(pid); /* nobody would wait for it */
	return false;
}

/* Waits for its end, but not for ever; a zombie, if it was our child, waits for us. */
static bool await_end(int process)
{
	bool ended = false;
	if (process >= 0)
		port_poll(&process, &ended, 1, port_now_ns() + END_NS);
	if (ended)
		port_reap_one(process);
	return ended;
}

void forkserver_dismiss(struct forkserver *server)
{
	if (server->process >= 0)
		port_process_kill(server->process);
	await_end(server->process);
	pthread_mutex_lock(&known.lock);
	port_close(&server->process);
	port_close(&server->control);
	pthread_mutex_unlock(&known.lock);
}

/* A spare that has died in the meantime cannot be told, or does not answer: then
 * its descriptor shows that. */
bool forkserver_replace(struct forkserver *server)
{
	pthread_mutex_lock(&known.lock);
	server->control = server->spare_control;
	server->process = server->spare_process;
	server->pid = server->spare_pid;
	server->spare_control = server->spare_process = -1;
	pthread_mutex_unlock(&known.lock);
	return server->control >= 0 && forkserver_say(server, FORKSERVER_SERVE, 0);
}

void forkserver_stop(struct forkserver *server)
{
	/* Without anybody to hear from they leave, the spare first. */
	pthread_mutex_lock(&known.lock);
	port_close(&server->spare_control);
	port_close(&server->control);
	pthread_mutex_unlock(&known.lock);
	if (!await_end(server->process))
		forkserver_dismiss(server);
	forget(server);
}

/* --- Messages --------------------------------------------------------------------------- */

bool forkserver_say(struct forkserver *server, enum forkserver_word word, uint32_t number)
{
	struct forkserver_message message = { .word = word, .number = number };
	return port_send(server->control, &message, sizeof(message), NULL, false);
}

static void take_spare(struct forkserver *server, const struct forkserver_message *message, const int fds[2])
{
	port_close(&server->spare_process);
	port_close(&server->spare_control);
	server->spare_process = fds[0];
	server->spare_control = fds[1];
	server->spare_pid = message->pid;
}

/* What is received must be in its place before anybody forks, since a child closes
 * what it finds there: a spare whose control another holds does not see its end. */
enum port_receive forkserver_hear(struct forkserver *server, struct forkserver_message *message, int *process)
{
	int fds[2];
	enum port_receive received;
	pthread_mutex_lock(&known.lock);
	while ((received = port_receive(server->control, message, sizeof(*message), fds)) == PORT_RECEIVED) {
		if (message->word != FORKSERVER_SPARE)
			break;
		take_spare(server, message, fds);
	}
	pthread_mutex_unlock(&known.lock);
	*process = received == PORT_RECEIVED ? fds[0] : -1;
	return received;
}

/* --- Fork --------------------------------------------------------------------------------- */

void forkserver_fork_lock(void)
{
	pthread_mutex_lock(&known.lock);
}

void forkserver_fork_unlock(void)
{
	pthread_mutex_unlock(&known.lock);
}

void forkserver_fork_child(void)
{
	struct list *node;
	while ((node = list_pop_front(&known.servers)) != NULL)
		close_ends(LIST_ENTRY(node, struct forkserver, link));
	pthread_mutex_unlock(&known.lock);
}
