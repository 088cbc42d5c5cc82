/* SPDX-License-Identifier: MIT */
/* Descriptors of the simulated system: pipes, sockets, processes; and what changes. */
#include "sim/processes.h"

#include <poll.h>
#include <string.h>

#include "port/port.h"
#include "sim/port.h"

#define DESCRIPTORS_MAX 512
#define FIRST_FD        100000 /* those of the machine are smaller */
#define LETTERS_MAX     64
#define LETTER_SIZE     16

static uint64_t changes;

/* --- Changes ------------------------------------------------------------------------- */

uint64_t process_changes(void)
{
	return changes;
}

void process_change(void)
{
	changes++;
	world_wake(&changes, UINT32_MAX);
}

void process_wait(uint64_t seen, int64_t until_ns)
{
	if (changes == seen)
		world_wait(&changes, until_ns, false);
}

/* --- Descriptors ----------------------------------------------------------------------- */

enum kind { NOTHING, PIPE, SOCKET, PROCESS };

struct letter {
	unsigned char bytes[LETTER_SIZE];
	int fds[2];
};

struct descriptor {
	enum kind kind;
	const struct process *holder; /* with whom it ends; NULL: the program's, who closes it */
	int peer;           /* -1: it is closed */
	uint64_t group;     /* PIPE, the writing end: the processes that end with it */
	struct process *process;
	struct letter letters[LETTERS_MAX];
	unsigned first, count;
};

static struct descriptor descriptors[DESCRIPTORS_MAX];
static uint64_t groups;

static struct descriptor *at(int fd)
{
	if (fd < FIRST_FD || fd >= FIRST_FD + DESCRIPTORS_MAX || descriptors[fd - FIRST_FD].kind == NOTHING)
		world_fail("descriptor %d is used, and not open", fd);
	return &descriptors[fd - FIRST_FD];
}

static int open_one(enum kind kind)
{
	for (int i = 0; i < DESCRIPTORS_MAX; i++) {
		if (descriptors[i].kind != NOTHING)
			continue;
		descriptors[i] = (struct descriptor){ .kind = kind, .holder = process_self(), .peer = -1 };
		return FIRST_FD + i;
	}
	world_fail("%d descriptors are open", DESCRIPTORS_MAX);
}

static void open_two(enum kind kind, int ends[2])
{
	ends[0] = open_one(kind);
	ends[1] = open_one(kind);
	at(ends[0])->peer = ends[1];
	at(ends[1])->peer = ends[0];
}

static void close_one(int fd);

static void close_letter(const struct letter *letter)
{
	for (unsigned i = 0; i < 2; i++)
		if (letter->fds[i] >= 0)
			close_one(letter->fds[i]);
}

static void close_one(int fd)
{
	struct descriptor *descriptor = at(fd);
	struct descriptor old = *descriptor;
	descriptor->kind = NOTHING;
	if (old.peer >= 0)
		at(old.peer)->peer = -1;
	for (unsigned i = 0; i < old.count; i++)
		close_letter(&old.letters[(old.first + i) % LETTERS_MAX]);
	if (old.group > 0)
		process_end_group(old.group);
	process_change();
}

static bool is_readable(int fd)
{
	if (fd < FIRST_FD)
		return poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0) == 1;
	const struct descriptor *descriptor = at(fd);
	if (descriptor->kind == PROCESS)
		return descriptor->process->ended;
	return descriptor->count > 0 || descriptor->peer < 0;
}

struct process *process_of(int fd)
{
	return at(fd)->process;
}

int process_describe(struct process *process)
{
	int fd = open_one(PROCESS);
	at(fd)->process = process;
	return fd;
}

void process_drop(int fd)
{
	close_one(fd);
}

static _Thread_local uint64_t last_pipe;
static _Thread_local int last_socket, given = -1;

uint64_t process_last_pipe(void)
{
	return last_pipe;
}

int process_last_socket(void)
{
	return last_socket;
}

void process_give(void)
{
	given = last_socket;
}

void process_hold(int fd, const struct process *holder)
{
	if (fd >= 0)
		at(fd)->holder = holder;
}

void process_close_all(const struct process *holder)
{
	for (int i = 0; i < DESCRIPTORS_MAX; i++)
		if (descriptors[i].kind != NOTHING && descriptors[i].holder == holder)
			close_one(FIRST_FD + i);
}

void process_check_closed(void)
{
	for (int i = 0; i < DESCRIPTORS_MAX; i++)
		if (descriptors[i].kind != NOTHING)
			world_fail("descriptor %d is open when all has ended", FIRST_FD + i);
}

/* --- src/port/channel.h: what the linker leads here (--wrap) ---------------------------- */

void __real_port_close(int *fd);
void __real_port_event_set(int fd);
bool __wrap_port_pipe(int ends[2]);
bool __wrap_port_socket_pair(int ends[2]);
void __wrap_port_close(int *fd);
void __wrap_port_event_set(int fd);
void __wrap_port_poll(const int *fds, bool *ready, size_t n, int64_t deadline_ns);
bool __wrap_port_send(int socket, const void *message, size_t size, const int fds[2], bool may_wait);
enum port_receive __wrap_port_receive(int socket, void *message, size_t size, int fds[2]);

bool __wrap_port_pipe(int ends[2])
{
	world_point(POINT_ACT);
	if (port_gives_no_process())
		return false;
	open_two(PIPE, ends);
	at(ends[1])->group = last_pipe = ++groups;
	return true;
}

bool __wrap_port_socket_pair(int ends[2])
{
	world_point(POINT_ACT);
	if (port_gives_no_process())
		return false;
	open_two(SOCKET, ends);
	last_socket = ends[0];
	return true;
}

/* What a process closes is its process_self() copy, and so is what the program closes of what
 * it has given to one. */
void __wrap_port_close(int *fd)
{
	if (*fd >= 0 && *fd == given)
		given = -1;
	else if (*fd >= 0 && *fd < FIRST_FD)
		__real_port_close(fd);
	else if (*fd >= 0 && !process_self() && !at(*fd)->holder)
		close_one(*fd);
	*fd = -1;
}

void __wrap_port_event_set(int fd)
{
	__real_port_event_set(fd);
	process_change();
}

void __wrap_port_poll(const int *fds, bool *ready, size_t n, int64_t deadline_ns)
{
	for (bool some = false; !some;) {
		world_point(POINT_WAIT);
		uint64_t seen = changes;
		for (size_t i = 0; i < n; i++)
			some |= ready[i] = fds[i] >= 0 && is_readable(fds[i]);
		if (!some && world_now_ns() >= deadline_ns)
			return;
		if (!some)
			process_wait(seen, deadline_ns);
	}
}

bool __wrap_port_send(int socket, const void *message, size_t size, const int fds[2], bool may_wait)
{
	(void)may_wait; /* there is room for all that is ever under way */
	world_point(POINT_ACT);
	int to = socket >= 0 ? at(socket)->peer : -1;
	if (to < 0)
		return false;
	struct descriptor *other = at(to);
	if (other->count == LETTERS_MAX || size > LETTER_SIZE)
		world_fail("%u messages are under way", other->count);
	struct letter *letter = &other->letters[(other->first + other->count++) % LETTERS_MAX];
	memcpy(letter->bytes, message, size);
	for (unsigned i = 0; i < 2; i++) {
		letter->fds[i] = fds ? fds[i] : -1;
		if (letter->fds[i] >= 0)
			at(letter->fds[i])->holder = NULL;
	}
	process_change();
	world_point(POINT_ACT);
	return true;
}

enum port_receive __wrap_port_receive(int socket, void *message, size_t size, int fds[2])
{
	world_point(POINT_ACT);
	struct descriptor *descriptor = at(socket);
	if (descriptor->count == 0)
		return descriptor->peer < 0 ? PORT_END : PORT_NOTHING;
	struct letter *letter = &descriptor->letters[descriptor->first];
	descriptor->first = (descriptor->first + 1) % LETTERS_MAX;
	descriptor->count--;
	memcpy(message, letter->bytes, size);
	memcpy(fds, letter->fds, sizeof(letter->fds));
	return PORT_RECEIVED;
}
