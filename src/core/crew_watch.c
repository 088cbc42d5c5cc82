/* SPDX-License-Identifier: MIT */
/*
 * The watch over a crew of processes: a thread that has workers forked, hears of
 * their births and ends, loses patience with those that are slow to start or to
 * leave, and finds another fork server when there is none.
 */
#include "core/crew.h"

#include <limits.h>
#include <stdio.h>

#include "core/log.h"
#include "core/registry.h"

/* A fork server that has not forked for so long has been stopped, or worse. */
#define FORK_NS (5000 * PORT_NS_PER_MS)
/* Between two looks whether those that were killed have ended. */
#define ORPHAN_NS (5 * PORT_NS_PER_MS)
/* Between two looks whether those that were born are ready. */
#define READY_NS (20 * PORT_NS_PER_MS)
#define QUIET_NS (1000 * PORT_NS_PER_MS)

struct watch {
	struct crew *crew;
	uint32_t generation;
	int64_t quiet_ns;     /* when the next death may be told of */
	unsigned backoffs;    /* of which it has been told */
};

static bool is_stopping(struct crew *crew)
{
	pthread_mutex_lock(&crew->lock);
	bool stopping = crew->stopping;
	pthread_mutex_unlock(&crew->lock);
	return stopping;
}

/* --- Telling --------------------------------------------------------------------------- */

/* In a child that handle_log forked there is nothing to watch. */
static void end_if_forked(const struct watch *watch)
{
	if (watch->generation != fork_generation())
		pthread_exit(NULL);
}

static const char *name_of(const struct watch *watch)
{
	const char *name = watch->crew->buf->options.name;
	return name ? name : "";
}

static void tell_death(struct watch *watch, int pid, const char *how)
{
	int64_t now = port_now_ns();
	if (now < watch->quiet_ns)
		return;
	watch->quiet_ns = now + QUIET_NS;
	log_line(&watch->crew->buf->options, DATABUFFER_LOG_WARNING, "buffer '%s': worker %d had no batch and died: %s",
	         name_of(watch), pid, how);
	end_if_forked(watch);
}

static void tell_backoff(struct watch *watch)
{
	const databuffer_options *o = &watch->crew->buf->options;
	pthread_mutex_lock(&watch->crew->lock);
	const struct restarts *restarts = &watch->crew->restarts;
	unsigned backoffs = restarts->backoffs;
	int64_t wait_ms = (restarts_when(restarts) - restarts->last_ns) / PORT_NS_PER_MS;
	char death[CREW_DEATH_SIZE];
	memcpy(death, watch->crew->death, sizeof(death));
	pthread_mutex_unlock(&watch->crew->lock);
	bool news = backoffs > watch->backoffs;
	watch->backoffs = backoffs;
	if (!news)
		return;
	log_line(o, DATABUFFER_LOG_ERROR,
	         "buffer '%s': workers die faster than %lld in %lld ms (max_restarts, max_restart_period), the last "
	         "%s; none is started for %lld ms",
	         name_of(watch), (long long)o->max_restarts, (long long)o->max_restart_period, death,
	         (long long)wait_ms);
	end_if_forked(watch);
}

/* --- Messages --------------------------------------------------------------------------- */

/* It is ready when it says so and is known by its descriptor, whichever comes last. */
static struct partition *welcome_if_ready(struct crew *crew, struct worker *worker)
{
	bool ready = worker->state == WORKER_STARTING && worker->process >= 0 && !worker->condemned &&
	             mailbox_state(crew_mailbox(crew, worker->number)) == MAILBOX_IDLE;
	return ready ? crew_welcome(crew, worker) : NULL;
}

static void take_born(struct crew *crew, struct worker *worker, int pid, int process)
{
	if (worker->state != WORKER_STARTING || worker->process >= 0) {
		port_process_kill(process); /* nobody waits for it any more */
		port_close(&process);
		return;
	}
	worker->pid = pid;
	worker->process = process;
	worker->patience_ns = crew_patience_ns(crew, port_now_ns());
}

static void note_failure(struct crew *crew, struct worker *worker)
{
	if (worker->state != WORKER_STARTING)
		return;
	worker->state = WORKER_NONE;
	snprintf(crew->death, sizeof(crew->death), "not born, since the system gives no process");
	restarts_note(&crew->restarts, port_now_ns());
}

static void take_message(struct watch *watch, const struct forkserver_message *message, int process)
{
	struct crew *crew = watch->crew;
	if (message->number >= crew->count) {
		port_close(&process);
		return;
	}
	struct worker *worker = &crew->workers[message->number];
	struct partition *next = NULL;
	bool died = false;
	char how[CREW_DEATH_SIZE];
	pthread_mutex_lock(&crew->lock);
	switch (message->word) {
	case FORKSERVER_BORN:
		take_born(crew, worker, message->pid, process);
		next = welcome_if_ready(crew, worker);
		break;
	case FORKSERVER_READY:
		next = welcome_if_ready(crew, worker);
		break;
	case FORKSERVER_FAILED:
		note_failure(crew, worker);
		break;
	case FORKSERVER_GONE:
		/* One that is BUSY is its flusher's, who sees for itself. */
		if (worker->pid == message->pid && worker->state != WORKER_BUSY)
			died = crew_part(crew, worker) && !crew->stopping;
		memcpy(how, crew->death, sizeof(how));
		break;
	default:
		break;
	}
	pthread_mutex_unlock(&crew->lock);
	if (next)
		crew_call(crew, next);
	if (died)
		tell_death(watch, message->pid, how);
}

/* False: the fork server is gone. */
static bool hear_all(struct watch *watch)
{
	struct forkserver_message message;
	int process;
	enum port_receive received;
	while ((received = forkserver_hear(&watch->crew->server, &message, &process)) == PORT_RECEIVED)
		take_message(watch, &message, process);
	return received != PORT_END;
}

/* --- The fork server ------------------------------------------------------------------------ */

/* Its workers die with it, or else by us. */
static void lose_server(struct watch *watch, const char *why)
{
	struct crew *crew = watch->crew;
	pthread_mutex_lock(&crew->lock);
	int pid = crew->server_pid;
	crew->serving = false;
	for (unsigned i = 0; i < crew->count; i++) {
		struct worker *worker = &crew->workers[i];
		if (worker->process >= 0) {
			worker->orphaned = true;
			port_process_kill(worker->process);
		} else if (worker->state == WORKER_STARTING) {
			worker->state = WORKER_NONE;
		}
	}
	restarts_note(&crew->server_restarts, port_now_ns());
	bool waits = restarts_when(&crew->server_restarts) > port_now_ns();
	pthread_mutex_unlock(&crew->lock);
	forkserver_dismiss(&crew->server);
	log_line(&crew->buf->options, DATABUFFER_LOG_ERROR, "buffer '%s': fork server %d %s; %s", name_of(watch), pid,
	         why, waits ? "too many have died, and there is none for a while" : "another takes its place");
	end_if_forked(watch);
}

/* There is no fork server, and the program said what is to be done then. */
static void fall_back(struct watch *watch)
{
	struct crew *crew = watch->crew;
	const databuffer_options *o = &crew->buf->options;
	int rc = o->handle_worker_start ? o->handle_worker_start(o->flush_meta) : 0;
	end_if_forked(watch);
	if (rc != 0)
		return;
	crew->fallen = true;
	for (unsigned i = 0; i < crew->count; i++) {
		pthread_mutex_lock(&crew->lock);
		crew->workers[i].here = true;
		struct partition *next = crew_welcome(crew, &crew->workers[i]);
		pthread_mutex_unlock(&crew->lock);
		crew_call(crew, next);
	}
	log_line(o, DATABUFFER_LOG_ERROR,
	         "buffer '%s': no fork server is to be had; handlers run on threads from now on (worker_fallback)",
	         name_of(watch));
	end_if_forked(watch);
}

static void find_server(struct watch *watch)
{
	struct crew *crew = watch->crew;
	if (crew->serving || crew->fallen || is_stopping(crew))
		return;
	bool waits = restarts_when(&crew->server_restarts) > port_now_ns();
	bool found = !waits && (forkserver_replace(&crew->server) || forkserver_start(&crew->server, crew->buf));
	pthread_mutex_lock(&crew->lock);
	crew->serving = found;
	crew->server_pid = found ? crew->server.pid : 0;
	if (!found && !waits)
		restarts_note(&crew->server_restarts, port_now_ns());
	bool alone = crew_alive(crew) == 0;
	pthread_mutex_unlock(&crew->lock);
	if (!found && alone && crew->buf->options.worker_fallback == DATABUFFER_FALLBACK_THREADS)
		fall_back(watch);
}

/* --- Workers ------------------------------------------------------------------------------------ */

static void ask_for_one(struct crew *crew, struct worker *worker, int64_t now_ns)
{
	worker->state = WORKER_STARTING;
	worker->patience_ns = now_ns + FORK_NS;
	if (!forkserver_say(&crew->server, FORKSERVER_FORK, worker->number))
		worker->state = WORKER_NONE; /* its end is about to be heard of */
}

static void ask_for_workers(struct crew *crew, unsigned alive, int64_t now_ns)
{
	if (!crew->serving || restarts_when(&crew->restarts) > now_ns)
		return;
	for (unsigned i = 0; i < crew->count && alive < crew->wanted; i++) {
		if (crew->workers[i].state != WORKER_NONE)
			continue;
		ask_for_one(crew, &crew->workers[i], now_ns);
		alive++;
	}
}

/* A worker that has become another user in handle_worker_start may not nudge its fork
 * server any more, which so does not say that it is ready. */
static void welcome_the_silent(struct crew *crew)
{
	for (unsigned i = 0; i < crew->count; i++) {
		pthread_mutex_lock(&crew->lock);
		struct partition *next = welcome_if_ready(crew, &crew->workers[i]);
		pthread_mutex_unlock(&crew->lock);
		crew_call(crew, next);
	}
}

static void bury_orphan(struct crew *crew, struct worker *worker)
{
	mailbox_bury(crew_mailbox(crew, worker->number), &(struct port_end){ .by_signal = true, .number = PORT_SIGKILL });
	if (worker->state != WORKER_BUSY)
		crew_part(crew, worker);
}

struct round {
	int64_t until_ns; /* when to look again */
	unsigned alive;
	bool stuck;       /* the fork server does not fork, or tells of no ends */
};

static void look_sooner(struct round *round, int64_t at_ns)
{
	if (at_ns < round->until_ns)
		round->until_ns = at_ns;
}

/* It is killed; and if it has ended for long, and the fork server has not said so,
 * that says nothing any more. */
static void lose_patience(struct worker *worker, struct round *round, int64_t now_ns)
{
	if (worker->process < 0 || (worker->condemned && port_process_has_ended(worker->process))) {
		round->stuck = true;
		return;
	}
	worker->condemned = true;
	worker->patience_ns = now_ns + FORK_NS;
	port_process_kill(worker->process);
}

static void look_after(struct crew *crew, struct worker *worker, struct round *round, int64_t now_ns)
{
	if (crew->stopping && worker->state == WORKER_IDLE && !worker->here)
		crew_dismiss(crew, worker, now_ns);
	if (crew->stopping && worker->state == WORKER_STARTING && worker->process >= 0)
		port_process_kill(worker->process);
	if (worker->orphaned && port_process_has_ended(worker->process))
		bury_orphan(crew, worker);
	if (worker->orphaned)
		look_sooner(round, now_ns + ORPHAN_NS);
	if (worker->state == WORKER_STARTING || worker->state == WORKER_LEAVING) {
		if (worker->patience_ns <= now_ns)
			lose_patience(worker, round, now_ns);
		look_sooner(round, worker->patience_ns);
	}
	if (worker->state == WORKER_STARTING && worker->process >= 0)
		look_sooner(round, now_ns + READY_NS);
	round->alive += worker->state != WORKER_NONE && !worker->here;
}

/* What is due; says when to look again. */
static struct round look_after_all(struct crew *crew)
{
	struct round round = { .until_ns = PORT_NEVER };
	int64_t now = port_now_ns();
	pthread_mutex_lock(&crew->lock);
	for (unsigned i = 0; i < crew->count; i++)
		look_after(crew, &crew->workers[i], &round, now);
	if (!crew->stopping && !crew->fallen && round.alive < crew->wanted) {
		ask_for_workers(crew, round.alive, now);
		if (!crew->serving)
			look_sooner(&round, restarts_when(&crew->server_restarts));
		else if (restarts_when(&crew->restarts) > now)
			look_sooner(&round, restarts_when(&crew->restarts));
		else
			look_sooner(&round, now + FORK_NS);
	}
	if (crew->stopping)
		look_sooner(&round, crew->stop_ns);
	pthread_mutex_unlock(&crew->lock);
	return round;
}

/* --- The thread ------------------------------------------------------------------------------------ */

static bool is_over(struct crew *crew, const struct round *round)
{
	pthread_mutex_lock(&crew->lock);
	bool over = crew->stopping && (round->alive == 0 || port_now_ns() >= crew->stop_ns);
	pthread_mutex_unlock(&crew->lock);
	return over;
}

static void watch_until(struct watch *watch, int64_t until_ns)
{
	struct crew *crew = watch->crew;
	bool ready[3];
	int control = crew->serving ? crew->server.control : -1, server = crew->serving ? crew->server.process : -1;
	port_poll((int[]){ crew->bell, control, server }, ready, 3, until_ns);
	if (ready[0])
		port_event_clear(crew->bell);
	if (ready[1] && !hear_all(watch))
		ready[2] = true;
	if (ready[2])
		lose_server(watch, "has died");
}

/* Whoever is still there is killed with its group; flushers that wait are told. */
static void end_all(struct crew *crew)
{
	pthread_mutex_lock(&crew->lock);
	crew->serving = false;
	for (unsigned i = 0; i < crew->count; i++) {
		crew->workers[i].orphaned = true;
		if (crew->workers[i].process >= 0)
			port_process_kill(crew->workers[i].process);
	}
	pthread_mutex_unlock(&crew->lock);
	forkserver_stop(&crew->server);
	for (bool some = true; some;) {
		some = false;
		pthread_mutex_lock(&crew->lock);
		for (unsigned i = 0; i < crew->count; i++) {
			struct worker *worker = &crew->workers[i];
			if (worker->process < 0)
				continue;
			if (port_process_has_ended(worker->process))
				bury_orphan(crew, worker);
			some = some || worker->process >= 0;
		}
		pthread_mutex_unlock(&crew->lock);
		if (some)
			port_wait(&crew->over, 0, port_now_ns() + ORPHAN_NS);
	}
	const databuffer_options *o = &crew->buf->options;
	pthread_mutex_lock(&crew->lock);
	bool here = crew->fallen && !crew->abandoned;
	pthread_mutex_unlock(&crew->lock);
	if (here && o->handle_worker_stop)
		o->handle_worker_stop(o->flush_meta);
}

static void watch_main(void *arg)
{
	struct watch watch = { .crew = arg, .generation = fork_generation() };
	struct crew *crew = arg;
	struct databuffer *buf = crew->buf;
	struct round round;
	for (;;) {
		find_server(&watch);
		welcome_the_silent(crew);
		round = look_after_all(crew);
		if (is_over(crew, &round))
			break;
		if (round.stuck)
			lose_server(&watch, "does not answer any more");
		else
			watch_until(&watch, round.until_ns);
		tell_backoff(&watch);
	}
	end_all(crew);
	end_if_forked(&watch);
	port_close(&crew->bell);
	atomic_store_explicit(&crew->over, 1, memory_order_release);
	port_wake(&crew->over, INT_MAX);
	buffer_return(buf);
}

/* Under the lock. */
bool crew_watch_start(struct crew *crew)
{
	if (crew->bell < 0)
		crew->bell = port_event_open();
	if (crew->bell < 0)
		return false;
	buffer_lend(crew->buf);
	crew->watched = port_thread_start(watch_main, crew, "db-crew");
	if (!crew->watched)
		buffer_return(crew->buf);
	return crew->watched;
}
