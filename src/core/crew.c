/* SPDX-License-Identifier: MIT */
/* Who is idle, who stands in line, and whose turn it is. */
#include "core/crew.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/debug.h"
#include "core/memory.h"
#include "core/options.h"
#include "core/pool.h"
#include "core/registry.h"
#include "port/shared.h"

/* Processes when flusher_count leaves it to us: at most so many. */
#define PROCESSES_AT_MOST 16
/* How long handle_worker_start or _stop may take where flushes may take any time. */
#define PATIENCE_MS 60000
/* Items that a worker can name in one answer: 14 MiB of addresses, used as needed. */
#define NAMED_AT_MOST 65536

struct mailbox *crew_mailbox(const struct crew *crew, uint32_t number)
{
	return (struct mailbox *)(void *)(crew->mailboxes + number * crew->footprint);
}

/* --- Life ------------------------------------------------------------------------------ */

static unsigned count_for(const databuffer_options *o)
{
	if (o->flusher_count > 0)
		return (unsigned)o->flusher_count;
	int64_t most = o->partitions * o->max_in_flight;
	return most < PROCESSES_AT_MOST ? (unsigned)most : PROCESSES_AT_MOST;
}

static void become_idle(struct crew *crew, struct worker *worker)
{
	worker->state = WORKER_IDLE;
	list_push_front(&crew->idle, &worker->idle);
	crew->idle_count++;
}

/* Nobody is there, or, where there are no processes, all are. */
static void init_workers(struct crew *crew)
{
	list_init(&crew->idle);
	list_init(&crew->line);
	crew->idle_count = crew->called = 0;
	crew->wanted = 1;
	for (unsigned i = 0; i < crew->count; i++) {
		struct worker *worker = &crew->workers[i];
		*worker = (struct worker){ .number = i, .process = -1, .here = !crew->processes };
		list_init(&worker->idle);
		if (worker->here)
			become_idle(crew, worker);
	}
}

static bool map_mailboxes(struct crew *crew)
{
	const databuffer_options *o = &crew->buf->options;
	int64_t items = o->max_size + o->max_size_jitter;
	crew->named_room = items < NAMED_AT_MOST ? (uint32_t)items : NAMED_AT_MOST;
	crew->footprint = mailbox_footprint(crew->named_room);
	crew->mailboxes = port_map_shared(crew->count * crew->footprint, "databuffer-mailboxes");
	return crew->mailboxes != NULL;
}

static bool init_processes(struct crew *crew)
{
	const databuffer_options *o = &crew->buf->options;
	int64_t period = o->max_restart_period * PORT_NS_PER_MS;
	int64_t least = o->retry_min * PORT_NS_PER_MS, most = o->retry_max * PORT_NS_PER_MS;
	crew->bell = -1;
	forkserver_init(&crew->server);
	return map_mailboxes(crew) &&
	       restarts_init(&crew->restarts, (unsigned)o->max_restarts, period, least, most, o->allocator) &&
	       restarts_init(&crew->server_restarts, (unsigned)o->max_restarts, period, least, most, o->allocator);
}

int crew_create(struct databuffer *buf)
{
	const databuffer_options *o = &buf->options;
	bool processes = o->flusher == DATABUFFER_PROCESSES;
	if (!processes && (o->flusher != DATABUFFER_THREADS || o->flusher_count == 0))
		return 0;
	struct crew *crew = buf->crew = memory_get_zeroed(o->allocator, 1, sizeof(*crew));
	if (!crew)
		return DATABUFFER_ENOMEM;
	crew->buf = buf;
	crew->processes = processes;
	pthread_mutex_init(&crew->lock, NULL);
	unsigned count = count_for(o);
	crew->workers = memory_get_zeroed(o->allocator, count, sizeof(*crew->workers));
	if (!crew->workers)
		return DATABUFFER_ENOMEM;
	crew->count = count;
	init_workers(crew);
	return processes && !init_processes(crew) ? DATABUFFER_ENOMEM : 0;
}

void crew_destroy(struct crew *crew)
{
	if (!crew)
		return;
	if (crew->mailboxes)
		port_unmap(crew->mailboxes, crew->count * crew->footprint);
	restarts_fini(&crew->restarts);
	restarts_fini(&crew->server_restarts);
	pthread_mutex_destroy(&crew->lock);
	const databuffer_allocator *allocator = crew->buf->options.allocator;
	memory_free(allocator, crew->workers);
	memory_free(allocator, crew);
}

int crew_start(struct crew *crew, const databuffer_options *given)
{
	if (!crew || !crew->processes)
		return 0;
	if (!port_has_processes()) {
		options_refuse(given, "flusher is 'processes', but this system has no pidfd_open; Linux has it since 5.3");
		return DATABUFFER_ENOTSUP;
	}
	if (registry_prepare() != 0)
		return DATABUFFER_ENOMEM;
	crew->serving = forkserver_start(&crew->server, crew->buf);
	crew->server_pid = crew->server.pid;
	pthread_mutex_lock(&crew->lock);
	bool watched = crew->serving && crew_watch_start(crew);
	pthread_mutex_unlock(&crew->lock);
	return watched ? 0 : DATABUFFER_EAGAIN;
}

/* The watch sees to the rest. */
static void abandon(struct crew *crew)
{
	pthread_mutex_lock(&crew->lock);
	crew->abandoned = true;
	pthread_mutex_unlock(&crew->lock);
}

void crew_stop(struct crew *crew, int64_t deadline_ns)
{
	if (!crew)
		return;
	pthread_mutex_lock(&crew->lock);
	bool watched = crew->watched;
	crew->stopping = true;
	crew->stop_ns = deadline_ns;
	if (watched)
		port_event_set(crew->bell);
	pthread_mutex_unlock(&crew->lock);
	if (!watched && crew->serving)
		forkserver_stop(&crew->server);
	while (watched && atomic_load_explicit(&crew->over, memory_order_acquire) == 0) {
		if (!port_wait(&crew->over, 0, deadline_ns)) {
			abandon(crew);
			return;
		}
	}
}

void crew_reset(struct crew *crew)
{
	if (!crew)
		return;
	pthread_mutex_init(&crew->lock, NULL);
	/* The descriptors are the parent's; those of the fork server are closed already. */
	for (unsigned i = 0; i < crew->count; i++)
		port_close(&crew->workers[i].process);
	if (crew->processes) {
		port_close(&crew->bell);
		crew->serving = crew->watched = crew->stopping = crew->abandoned = false;
		restarts_forget(&crew->restarts);
		restarts_forget(&crew->server_restarts);
		crew->restarts.total = 0;
		crew->death[0] = '\0';
		struct store mailboxes = { crew->mailboxes, crew->count * crew->footprint };
		store_part(&mailboxes);
	}
	init_workers(crew);
}

/* --- The line ----------------------------------------------------------------------------- */

/* The first in line, if there is a worker for it. */
struct partition *crew_call_first(struct crew *crew)
{
	if (crew->idle_count <= crew->called || list_is_empty(&crew->line))
		return NULL;
	struct partition *partition = LIST_ENTRY(list_pop_front(&crew->line), struct partition, in_line);
	partition->called = true;
	crew->called++;
	return partition;
}

unsigned crew_alive(const struct crew *crew)
{
	unsigned count = 0;
	for (unsigned i = 0; i < crew->count; i++)
		count += crew->workers[i].state != WORKER_NONE;
	return count;
}

static unsigned at_work(const struct crew *crew)
{
	unsigned count = 0;
	for (unsigned i = 0; i < crew->count; i++)
		count += crew->workers[i].state == WORKER_BUSY || crew->workers[i].state == WORKER_IDLE;
	return count;
}

static unsigned in_line(const struct crew *crew)
{
	unsigned count = 0;
	const struct list *node;
	LIST_FOREACH(node, &crew->line)
		count++;
	return count;
}

/* Somebody waits: there should be one more for each who does. */
static void want_more(struct crew *crew)
{
	if (!crew->processes)
		return;
	unsigned needed = at_work(crew) + in_line(crew);
	if (needed > crew->count)
		needed = crew->count;
	if (needed > crew->wanted)
		crew->wanted = needed;
	if (crew_alive(crew) < crew->wanted && (crew->watched || crew_watch_start(crew)))
		port_event_set(crew->bell);
}

/* Who was called, and finds the worker dead, is still the first. Who is called, as a
 * partition of several flights may be while one of them is released, is past the line. */
static void stand_in_line(struct crew *crew, struct partition *partition, bool first)
{
	partition->waits = true;
	if (!list_is_empty(&partition->in_line) || partition->called)
		return;
	if (first)
		list_push_front(&crew->line, &partition->in_line);
	else
		list_push_back(&crew->line, &partition->in_line);
}

int64_t crew_patience_ns(const struct crew *crew, int64_t now_ns)
{
	int64_t timeout = atomic_load_explicit(&crew->buf->flush_timeout, memory_order_relaxed);
	return port_deadline_ns(now_ns, timeout > 0 ? timeout : PATIENCE_MS);
}

/* Somebody has come for a partition that was called, if it was. */
static bool answer_call(struct crew *crew, struct partition *partition)
{
	bool called = partition->called;
	if (called) {
		partition->called = partition->waits = false;
		crew->called--;
	}
	return called;
}

struct worker *crew_claim(struct crew *crew, struct partition *partition)
{
	struct worker *worker = NULL;
	pthread_mutex_lock(&crew->lock);
	bool called = answer_call(crew, partition);
	if (crew->idle_count > crew->called && (called || list_is_empty(&crew->line))) {
		worker = LIST_ENTRY(list_pop_front(&crew->idle), struct worker, idle);
		crew->idle_count--;
		worker->state = WORKER_BUSY;
		worker->partition = partition->number;
	} else {
		stand_in_line(crew, partition, called);
		want_more(crew);
	}
	pthread_mutex_unlock(&crew->lock);
	return worker;
}

struct partition *crew_welcome(struct crew *crew, struct worker *worker)
{
	become_idle(crew, worker);
	return crew_call_first(crew);
}

/* Whether it has flushed as often as a worker may. */
static bool has_served(const struct crew *crew, const struct worker *worker)
{
	int64_t most = crew->buf->options.worker_max_flushes;
	return most > 0 && worker->flushes >= (uint64_t)most;
}

void crew_dismiss(struct crew *crew, struct worker *worker, int64_t now_ns)
{
	if (worker->state == WORKER_IDLE) {
		list_remove(&worker->idle);
		crew->idle_count--;
	}
	worker->state = WORKER_LEAVING;
	worker->patience_ns = crew_patience_ns(crew, now_ns);
	mailbox_dismiss(crew_mailbox(crew, worker->number));
	port_event_set(crew->bell); /* the watch has one more to be patient with */
}

struct partition *crew_release(struct crew *crew, struct worker *worker, struct partition *partition)
{
	struct partition *next = NULL;
	pthread_mutex_lock(&crew->lock);
	ASSERT(worker->state == WORKER_BUSY);
	worker->flushes++;
	struct mailbox *mailbox = crew_mailbox(crew, worker->number);
	if (worker->here) {
		next = crew_welcome(crew, worker);
	} else {
		/* One that was not asked after all has no answer to collect. */
		mailbox_collect(mailbox);
		if (mailbox_state(mailbox) == MAILBOX_GONE)
			crew_part(crew, worker);
		else if (worker->condemned || has_served(crew, worker) || crew->stopping)
			crew_dismiss(crew, worker, port_now_ns());
		else
			next = crew_welcome(crew, worker);
	}
	if (next && next != partition && partition_is_ready(partition, buffer_now_ns(crew->buf)))
		stand_in_line(crew, partition, false);
	pthread_mutex_unlock(&crew->lock);
	return next;
}

struct partition *crew_decline(struct crew *crew, struct partition *partition)
{
	struct partition *next = NULL;
	pthread_mutex_lock(&crew->lock);
	if (answer_call(crew, partition))
		next = crew_call_first(crew);
	pthread_mutex_unlock(&crew->lock);
	return next;
}

/* Whether a flusher comes to it, or is on its way. */
static bool send_flusher(struct partition *partition)
{
	int64_t now = buffer_now_ns(partition->buffer);
	if (!partition_is_ready(partition, now))
		return false;
	if (partition->submitted || pool_submit(partition))
		return true;
	partition_defer(partition, port_deadline_ns(now, 100)); /* no thread to be had */
	return false;
}

void crew_call(struct crew *crew, struct partition *partition)
{
	while (partition) {
		struct partition *next = NULL;
		pthread_mutex_lock(&partition->lock);
		if (!send_flusher(partition))
			next = crew_decline(crew, partition);
		buffer_unlock(partition, 0);
		partition = next;
	}
}

/* --- Ends ------------------------------------------------------------------------------------ */

bool crew_died_late(const struct crew *crew, const struct worker *worker)
{
	const struct mailbox *mailbox = crew_mailbox(crew, worker->number);
	bool killed = mailbox->end_by_signal && mailbox->end_number == PORT_SIGKILL;
	bool unknown = !mailbox->end_by_signal && mailbox->end_number == END_UNKNOWN;
	return worker->condemned && (killed || unknown);
}

void crew_tell_death(const struct crew *crew, const struct worker *worker, char text[CREW_DEATH_SIZE])
{
	const struct mailbox *mailbox = crew_mailbox(crew, worker->number);
	const char *where = mailbox->was == MAILBOX_STARTING ? " in handle_worker_start" :
	                    mailbox->was == MAILBOX_LEAVING  ? " in handle_worker_stop" :
	                                                       "";
	char signal[PORT_SIGNAL_SIZE];
	port_name_signal(mailbox->end_number, signal);
	if (worker->orphaned)
		snprintf(text, CREW_DEATH_SIZE, "killed, since its fork server died");
	else if (mailbox->was == MAILBOX_STARTING && mailbox->start_answer != 0)
		snprintf(text, CREW_DEATH_SIZE, "handle_worker_start answered %d", mailbox->start_answer);
	else if (!mailbox->end_by_signal && mailbox->end_number == END_UNKNOWN)
		snprintf(text, CREW_DEATH_SIZE, "ended, and its fork server did not say how");
	else if (!mailbox->end_by_signal)
		snprintf(text, CREW_DEATH_SIZE, "exited with status %d%s", mailbox->end_number, where);
	else if (crew_died_late(crew, worker))
		snprintf(text, CREW_DEATH_SIZE, "killed by SIGKILL%s, being late (flush_timeout)", where);
	else
		snprintf(text, CREW_DEATH_SIZE, "killed by %s%s", signal, where);
}

bool crew_part(struct crew *crew, struct worker *worker)
{
	const struct mailbox *mailbox = crew_mailbox(crew, worker->number);
	bool left = mailbox->was == MAILBOX_LEAVING && !mailbox->end_by_signal && mailbox->end_number == 0;
	if (worker->state == WORKER_IDLE) {
		list_remove(&worker->idle);
		crew->idle_count--;
	}
	if (!left) {
		crew_tell_death(crew, worker, crew->death);
		if (!worker->orphaned)
			restarts_note(&crew->restarts, port_now_ns());
	}
	port_close(&worker->process);
	*worker = (struct worker){ .number = worker->number, .process = -1 };
	list_init(&worker->idle);
	if (crew->watched)
		port_event_set(crew->bell);
	return !left;
}

void crew_kill(struct crew *crew, unsigned partition)
{
	if (!crew)
		return;
	pthread_mutex_lock(&crew->lock);
	for (unsigned i = 0; i < crew->count; i++) {
		struct worker *worker = &crew->workers[i];
		if (worker->state == WORKER_BUSY && !worker->here && worker->partition == partition) {
			worker->condemned = true;
			port_process_kill(worker->process);
		}
	}
	pthread_mutex_unlock(&crew->lock);
}

/* --- Looking in -------------------------------------------------------------------------------- */

void crew_read_info(struct crew *crew, databuffer_partition_info *info, int64_t now_ns)
{
	info->worker_retry_ms = -1;
	if (!crew || !crew->processes)
		return;
	pthread_mutex_lock(&crew->lock);
	for (unsigned i = 0; i < crew->count; i++) {
		const struct worker *worker = &crew->workers[i];
		if (worker->state == WORKER_NONE || worker->process < 0)
			continue;
		if (info->workers < DATABUFFER_WORKER_PIDS)
			info->worker_pids[info->workers] = worker->pid;
		info->workers++;
		if (worker->state == WORKER_BUSY && worker->partition == info->partition)
			info->worker_pid = worker->pid;
	}
	info->fork_server_pid = crew->serving ? crew->server_pid : 0;
	info->worker_restarts = crew->restarts.total;
	memcpy(info->worker_death, crew->death, sizeof(info->worker_death));
	int64_t when = restarts_when(&crew->restarts);
	if (!crew->serving && restarts_when(&crew->server_restarts) > when)
		when = restarts_when(&crew->server_restarts);
	if (when > now_ns && crew_alive(crew) < crew->wanted)
		info->worker_retry_ms = (when - now_ns + PORT_NS_PER_MS - 1) / PORT_NS_PER_MS;
	pthread_mutex_unlock(&crew->lock);
}
