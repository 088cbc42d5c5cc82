/* SPDX-License-Identifier: MIT */
/* host.c: the sink's side of the buffer. */
#include "cli/host.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "cli/clock.h"
#include "cli/console.h"

/* --- The account -------------------------------------------------------------------- */

static struct host_account *host_map_account(void)
{
	struct host_account *account =
	    mmap(NULL, sizeof(*account), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t attributes;

	if (account == MAP_FAILED)
		return NULL;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&account->lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
	return account;
}

static void host_lock_account(struct host_account *account)
{
	/* A sentence that was half written is the next one's to write. */
	if (pthread_mutex_lock(&account->lock) == EOWNERDEAD)
		pthread_mutex_consistent(&account->lock);
}

/* --- States ----------------------------------------------------------------------- */

static int host_open_state(struct host *host, void **state, databuffer_sentence *why)
{
	return host->sink->table->open(&host->sink->config, state, why);
}

int host_open(struct host *host, const struct sink *sink, struct rejects *rejects,
              const struct sources *sources)
{
	databuffer_sentence why = { "" };
	void *state = NULL;

	memset(host, 0, sizeof(*host));
	host->sink = sink;
	host->rejects = rejects;
	host->sources = sources;
	host->account = host_map_account();
	if (!host->account) {
		console_say("memory ran out");
		return -1;
	}
	pthread_mutex_init(&host->lock, NULL);
	if (host_open_state(host, &state, &why) != 0) {
		console_say("%s", why.text);
		pthread_mutex_destroy(&host->lock);
		return -1;
	}
	host->idle[host->idle_count++] = state;
	return 0;
}

void host_close(struct host *host)
{
	pthread_mutex_lock(&host->lock);
	while (host->idle_count > 0) {
		void *state = host->idle[--host->idle_count];

		if (host->sink->table->close)
			host->sink->table->close(state);
	}
	pthread_mutex_unlock(&host->lock);
}

/* The state that was used last knows most: its caches are warm. */
static int host_take_state(struct host *host, void **state, databuffer_sentence *why)
{
	bool found;

	pthread_mutex_lock(&host->lock);
	found = host->idle_count > 0;
	if (found)
		*state = host->idle[--host->idle_count];
	pthread_mutex_unlock(&host->lock);
	return found ? 0 : host_open_state(host, state, why);
}

static void host_give_state(struct host *host, void *state)
{
	bool kept;

	pthread_mutex_lock(&host->lock);
	kept = host->idle_count < HOST_STATES;
	if (kept)
		host->idle[host->idle_count++] = state;
	pthread_mutex_unlock(&host->lock);
	if (!kept && host->sink->table->close)
		host->sink->table->close(state);
}

/* --- Telling ---------------------------------------------------------------------- */

/* Once when it begins to fail, again when the cause is another, and when it works
 * again. */
static void host_tell(struct host *host, const databuffer_sentence *why)
{
	struct host_account *account = host->account;
	bool news;

	host_lock_account(account);
	news = strcmp(account->told.text, why->text) != 0;
	if (news)
		account->told = *why;
	pthread_mutex_unlock(&account->lock);
	if (news && why->text[0])
		console_say("%s; trying again", why->text);
	else if (news)
		console_say("the sink takes records again");
}

void host_failure(struct host *host, databuffer_sentence *why)
{
	host_lock_account(host->account);
	*why = host->account->told;
	why->text[sizeof(why->text) - 1] = '\0';
	pthread_mutex_unlock(&host->account->lock);
}

/* --- Handlers --------------------------------------------------------------------- */

/* A call of the sink's, from which it may also throw an exception of C++, or leave its
 * thread: this file is compiled with -fexceptions, so that the call is ended all the
 * same. */
struct host_call {
	struct host *host;
	void *state; /* that it has */
	bool has_state, returned;
};

static void host_end_call(struct host_call *call)
{
	struct host *host = call->host;
	databuffer_sentence why;

	if (!call->returned) {
		databuffer_sentence_set(&why, 0, "the sink threw an exception, or left its thread");
		host_tell(host, &why);
		atomic_fetch_add(&host->account->retries, 1);
		/* Nobody knows how it left that. */
		if (call->has_state && host->sink->table->close)
			host->sink->table->close(call->state);
	}
	atomic_fetch_sub(&host->running, 1);
}

static int host_call_sink(struct host_call *call, databuffer_batch *batch, databuffer_sentence *why)
{
	struct host *host = call->host;
	int answer = host_take_state(host, &call->state, why);

	call->has_state = answer == 0;
	if (answer == 0)
		answer = host->sink->table->flush(call->state, batch, why);
	else if (answer > 0)
		answer = DATABUFFER_RETRY;
	call->returned = true;
	if (call->has_state)
		host_give_state(host, call->state);
	return answer;
}

static int host_flush(databuffer_batch *batch, void *meta)
{
	__attribute__((cleanup(host_end_call))) struct host_call call = { .host = meta };
	databuffer_sentence why = { "" };
	struct host *host = meta;
	int64_t start = clock_ns();
	int answer;

	atomic_fetch_add(&host->running, 1);
	answer = host_call_sink(&call, batch, &why);
	atomic_fetch_add(&host->account->sink_ns, (uint64_t)(clock_ns() - start));

	if (answer == 0) {
		why.text[0] = '\0';
		atomic_fetch_add(&host->account->batches, 1);
	} else if (answer != DATABUFFER_REJECT && answer != DATABUFFER_TOO_LARGE) {
		atomic_fetch_add(&host->account->retries, 1);
	}
	if (answer != 0 && why.text[0] == '\0')
		databuffer_sentence_set(&why, 0, "the sink failed without saying why (%d)", answer);
	/* Alone at last: the sink's sentence is about this record. */
	if ((answer == DATABUFFER_REJECT || answer == DATABUFFER_TOO_LARGE) && databuffer_batch_size(batch) == 1)
		databuffer_batch_fail(batch, 0, why.text);
	if (answer != DATABUFFER_REJECT && answer != DATABUFFER_TOO_LARGE)
		host_tell(host, &why);
	return answer;
}

/* A worker begins with a state, as the command does. If there is none to be had for
 * now, its flushes look for one, and fail as others do. */
static int host_start_worker(void *meta)
{
	databuffer_sentence why = { "" };
	struct host *host = meta;
	void *state = NULL;

	if (host_open_state(host, &state, &why) == 0)
		host_give_state(host, state);
	return 0;
}

static void host_stop_worker(void *meta)
{
	host_close(meta);
}

static void host_reject(struct host *host, const databuffer_item *item, const char *reason)
{
	databuffer_record record;

	if (databuffer_record_open(&record, item->data, item->len) == 0 &&
	    record.source < host->sources->count)
		rejects_add(host->rejects, host->sources->list[record.source].name, record.line, reason,
		            record.text, record.text_len);
}

static void host_on_dead(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct host *host = meta;

	atomic_fetch_add(&host->dead, 1);
	host_reject(host, item, reason->text);
}

static void host_on_left(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct host *host = meta;
	databuffer_sentence why;
	char text[sizeof(why.text) + 64];

	atomic_fetch_add(&host->returned, 1);
	host_failure(host, &why);
	snprintf(text, sizeof(text), "not written before the end: %s", why.text[0] ? why.text : reason->text);
	host_reject(host, item, text);
}

/* Of a flush that failed the sink's own sentence was shown. */
static void host_on_log(databuffer_log_level level, const char *line, void *meta)
{
	struct host *host = meta;
	databuffer_sentence why;

	host_failure(host, &why);
	if (level == DATABUFFER_LOG_ERROR || why.text[0] == '\0')
		console_say("%s", line);
}

void host_attach(struct host *host, databuffer_options *options)
{
	/* What is open is no worker's: it has shown that the sink can work. */
	if (options->flusher == DATABUFFER_PROCESSES)
		host_close(host);
	options->handle_worker_start = host_start_worker;
	options->handle_worker_stop = host_stop_worker;
	options->handle_flush = host_flush;
	options->handle_dead = host_on_dead;
	options->handle_drop = host_on_dead; /* what the overflow option gives up is a reject too */
	options->handle_left = host_on_left;
	options->handle_log = host_on_log;
	options->flush_meta = host;
}
