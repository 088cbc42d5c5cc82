/* SPDX-License-Identifier: MIT */
/* Births and ends of processes. */
#include "sim/processes.h"

#include <signal.h>

#include "port/port.h"
#include "port/shared.h"
#include "sim/port.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

#define PROCESSES_MAX WORLD_TASKS_MAX
#define FIRST_PID     1001

static struct process processes[PROCESSES_MAX];
static unsigned process_count;

static _Thread_local struct process *own;

struct process *process_self(void)
{
	return own;
}

/* --- Births and ends ---------------------------------------------------------------------- */

static void process_main(void *arg)
{
	struct process *process = arg;
	if (process->ended)
		return;
	own = process;
	process->task = world_self();
#if defined(__SANITIZE_ADDRESS__)
	__lsan_disable(); /* a process's memory goes with it */
#endif
	world_set_fate(process->fate);
	process->run(process);
	process_end(process, false, 0);
}

struct process *process_start(const struct process *like, const char *name)
{
	if (process_count == PROCESSES_MAX || port_gives_no_process())
		return NULL;
	struct process *process = &processes[process_count];
	*process = *like;
	process->parent = own;
	process->pid = FIRST_PID + (int)process_count++;
	process_hold(process->control, process);
	if (world_start(process_main, process, name))
		return process;
	process_hold(process->control, own);
	process->ended = process->reaped = true;
	return NULL;
}

void process_end(struct process *process, bool by_signal, int number)
{
	if (process->ended)
		return;
	process->ended = true;
	process->ended_ns = world_now_ns();
	process->end = (struct port_end){ .pid = process->pid, .by_signal = by_signal, .number = number };
	world_note(by_signal ? "process ends by signal" : "process exits", process->pid, number);
	process_close_all(process);
	for (unsigned i = 0; i < process_count; i++) {
		struct process *child = &processes[i];
		if (child->parent == process && child->is_worker)
			process_end(child, true, PORT_SIGKILL);
	}
	process_change();
	if (process->task)
		world_kill(process->task);
}

void process_end_group(uint64_t group)
{
	for (unsigned i = 0; i < process_count; i++)
		if (processes[i].group == group)
			process_end(&processes[i], true, PORT_SIGKILL);
}

unsigned process_deaths(const struct databuffer *buf, int64_t from_ns, int64_t to_ns, int64_t *last_ns)
{
	unsigned count = 0;
	for (unsigned i = 0; i < process_count; i++) {
		const struct process *process = &processes[i];
		bool orderly = !process->end.by_signal && process->end.number == 0;
		if (process->buf != buf || !process->is_worker || !process->ended || process->parent->ended || orderly ||
		    process->ended_ns < from_ns || process->ended_ns >= to_ns)
			continue;
		count++;
		if (process->ended_ns > *last_ns)
			*last_ns = process->ended_ns;
	}
	return count;
}

void process_forget(const struct databuffer *buf)
{
	for (unsigned i = 0; i < process_count; i++)
		if (processes[i].buf == buf)
			processes[i].buf = NULL;
}

void process_crash(void)
{
	static const int signals[] = { SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGTERM };
	unsigned number = (unsigned)world_draw(2 * sizeof(signals) / sizeof(signals[0]) - 1);
	if (number < sizeof(signals) / sizeof(signals[0]))
		process_end(own, true, signals[number]);
	else
		process_end(own, false, (int)world_draw(255));
	world_fail("a process goes on after its end");
}

void process_kill_any(void)
{
	unsigned alive = 0;
	for (unsigned i = 0; i < process_count; i++)
		alive += !processes[i].ended;
	uint64_t which = alive > 0 ? world_draw(alive - 1) : 0;
	for (unsigned i = 0; i < process_count && alive > 0; i++) {
		if (processes[i].ended || which-- > 0)
			continue;
		process_end(&processes[i], true, PORT_SIGKILL);
		return;
	}
}

struct process *process_reap(const struct process *parent)
{
	for (unsigned i = 0; i < process_count; i++) {
		struct process *process = &processes[i];
		if (process->parent != parent || !process->ended || process->reaped)
			continue;
		process->reaped = true;
		return process;
	}
	return NULL;
}

struct process *process_worker(const struct process *parent, uint32_t number)
{
	for (unsigned i = 0; i < process_count; i++) {
		struct process *process = &processes[i];
		if (process->parent == parent && process->is_worker && process->number == number && !process->reaped)
			return process;
	}
	return NULL;
}

void process_close(void)
{
	for (unsigned i = 0; i < process_count; i++) {
		if (!processes[i].ended)
			world_fail("process %d goes on when all has ended", processes[i].pid);
		if (!processes[i].parent && !processes[i].reaped)
			world_fail("process %d is a zombie when all has ended", processes[i].pid);
	}
	process_check_closed();
}

/* --- src/port/process.h and shared.h: what the linker leads here (--wrap) --------------- */

_Noreturn void __real_port_exit(int status);
void *__wrap_port_map_shared(size_t size, const char *name);
void __wrap_port_forbid_access(void *base, size_t size);
bool __wrap_port_wait_shared(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns);
void __wrap_port_wake_shared(_Atomic uint32_t *word, int n);
bool __wrap_port_end_with_parent(int parent_pid);
void __wrap_port_nudge(int pid);
void __wrap_port_default_signals(const struct port_signals *mask);
void __wrap_port_name_process(const char *name);
int __wrap_port_process_open(int pid);
bool __wrap_port_has_processes(void);
void __wrap_port_process_kill(int process);
bool __wrap_port_process_has_ended(int process);
void __wrap_port_reap_one(int process);
void __wrap_port_end_child(int pid);
_Noreturn void __wrap_port_exit(int status);

/* All memory is shared. */
void *__wrap_port_map_shared(size_t size, const char *name)
{
	(void)name;
	return port_map(size);
}

void __wrap_port_forbid_access(void *base, size_t size)
{
	(void)base, (void)size;
}

bool __wrap_port_wait_shared(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns)
{
	return port_wait(word, expected, deadline_ns);
}

void __wrap_port_wake_shared(_Atomic uint32_t *word, int n)
{
	port_wake(word, n);
}

bool __wrap_port_end_with_parent(int parent_pid)
{
	(void)parent_pid; /* which would have taken it along */
	return true;
}

/* Which the system may not allow. */
void __wrap_port_nudge(int pid)
{
	(void)pid;
	world_point(POINT_ACT);
	if (!world_permille(200))
		process_change();
}

void __wrap_port_default_signals(const struct port_signals *mask)
{
	(void)mask;
}

void __wrap_port_name_process(const char *name)
{
	(void)name;
}

int __wrap_port_process_open(int pid)
{
	if (port_gives_no_process())
		return -1;
	return process_describe(&processes[pid - FIRST_PID]);
}

bool __wrap_port_has_processes(void)
{
	return true;
}

void __wrap_port_process_kill(int process)
{
	world_point(POINT_ACT);
	process_end(process_of(process), true, PORT_SIGKILL);
}

bool __wrap_port_process_has_ended(int process)
{
	world_point(POINT_ACT);
	return process_of(process)->ended;
}

void __wrap_port_reap_one(int process)
{
	process_of(process)->reaped = process_of(process)->ended;
}

void __wrap_port_end_child(int pid)
{
	struct process *process = &processes[pid - FIRST_PID];
	process_end(process, true, PORT_SIGKILL);
	process->reaped = true;
}

void __wrap_port_exit(int status)
{
	process_end(own, false, status);
	__real_port_exit(status);
}
