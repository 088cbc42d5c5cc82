/* SPDX-License-Identifier: MIT */
/*
 * workers.h: what the tests of DATABUFFER_PROCESSES share. Their handlers run in other processes, so that what they
 * did is written into a `ledger`, memory that was shared before the buffer started.
 *
 *      ledger_new();
 *      databuffer_options o = worker_options();    handlers that count into the ledger
 *      ledger->harm = harm_by_signal;              what the handler does when it meets ledger->poison
 */
#ifndef DATABUFFER_TESTS_API_WORKERS_H
#define DATABUFFER_TESTS_API_WORKERS_H

#include "api/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

#define LEDGER_ITEMS 1000000
#define NO_POISON UINT64_MAX
#define LEDGER_PIDS 4096

struct ledger {
	_Atomic unsigned char flushed[LEDGER_ITEMS]; /* how often each number was, in calls that were answered with 0 */
	_Atomic unsigned char begun[LEDGER_ITEMS];   /* how often it was shown */
	_Atomic unsigned calls, starts, stops;
	_Atomic int start_pids[LEDGER_PIDS];

	/* What the test wants of its handlers. */
	_Atomic uint64_t poison;
	void (*harm)(databuffer_batch *batch); /* on meeting the poison */
	_Atomic int answer;
	_Atomic int start_answer;
	_Atomic bool closed; /* handlers wait inside */
	_Atomic unsigned inside;
	_Atomic unsigned mercies; /* how often the poison does no harm, from now on */
};

static struct ledger *ledger;

static inline void ledger_new(void)
{
	ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(ledger != MAP_FAILED);
	ledger->poison = NO_POISON;
}

static inline void ledger_free(void)
{
	munmap(ledger, sizeof(*ledger));
}

/* --- Handlers ---------------------------------------------------------------------------------------------------- */

static inline int worker_flush(databuffer_batch *batch, void *meta)
{
	databuffer_item item;
	(void)meta;
	ledger->calls++;
	ledger->inside++;
	while (ledger->closed)
		pause_ms(1);
	while (databuffer_batch_next(batch, &item)) {
		uint64_t number = number_of(&item);
		CHECK(number < LEDGER_ITEMS && item.len >= sizeof(number));
		ledger->begun[number]++;
		if (number == ledger->poison && ledger->harm)
			ledger->harm(batch);
	}
	int answer = ledger->answer;
	databuffer_batch_rewind(batch);
	while (answer == 0 && databuffer_batch_next(batch, &item))
		ledger->flushed[number_of(&item)]++;
	ledger->inside--;
	return answer;
}

static inline int worker_start(void *meta)
{
	(void)meta;
	unsigned i = ledger->starts++;
	if (i < LEDGER_PIDS)
		ledger->start_pids[i] = getpid();
	return ledger->start_answer;
}

static inline void worker_stop(void *meta)
{
	(void)meta;
	ledger->stops++;
}

/* One partition, batches of 1000, no flush by time; the sink keeps what dies and what is said. */
static inline databuffer_options worker_options(struct sink *sink)
{
	databuffer_options o = sink_options(sink);
	o.flusher = DATABUFFER_PROCESSES;
	o.max_size = 1000;
	o.handle_flush = worker_flush;
	o.handle_worker_start = worker_start;
	o.handle_worker_stop = worker_stop;
	o.timeout = PATIENCE_MS;
	return o;
}

/* --- Accounts ------------------------------------------------------------------------------------------------------- */

/* Each number from 0 to n was flushed once, but for `dead`, which was not. */
static inline void assert_flushed_but(uint64_t n, uint64_t dead)
{
	for (uint64_t number = 0; number < n; number++) {
		unsigned expected = number == dead ? 0 : 1;
		if (ledger->flushed[number] != expected)
			fail_msg("item %" PRIu64 " was flushed %u times instead of %u", number, ledger->flushed[number],
			         expected);
	}
}

/* Each at least once: a worker may die after it has flushed and before it could say so. */
static inline void assert_flushed_at_least_once(uint64_t n)
{
	for (uint64_t number = 0; number < n; number++)
		if (ledger->flushed[number] == 0)
			fail_msg("item %" PRIu64 " was not flushed", number);
}

/* --- Processes ------------------------------------------------------------------------------------------------------- */

/* 'R', 'S', 'Z', ...; 0 if there is no such process. */
static inline char process_state(int pid)
{
	char path[64], text[256] = "", *end;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		return 0;
	ssize_t got = read(fd, text, sizeof(text) - 1);
	close(fd);
	end = got > 0 ? strrchr(text, ')') : NULL;
	return end ? end[2] : 0;
}

/* Ended, though somebody may still have to hear of it. */
static inline bool has_ended(int pid)
{
	char state = process_state(pid);
	return state == 0 || state == 'Z' || state == 'X';
}

/* Calls `visit` for every process that is a child, or a child's child, of `pid`. */
static inline unsigned for_descendants(int pid, void (*visit)(int pid, const char *name))
{
	unsigned count = 0;
	DIR *proc = opendir("/proc");
	CHECK(proc);
	for (struct dirent *entry; (entry = readdir(proc)) != NULL;) {
		char path[300], text[512] = "", name[64] = "";
		int its = atoi(entry->d_name), parent = 0;
		if (its <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/stat", its);
		FILE *file = fopen(path, "r");
		if (!file)
			continue;
		bool got = fgets(text, sizeof(text), file) != NULL;
		fclose(file);
		char *end = got ? strrchr(text, ')') : NULL, *begin = got ? strchr(text, '(') : NULL;
		if (!end || !begin || sscanf(end + 2, "%*c %d", &parent) != 1 || parent != pid)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)(end - begin - 1), begin + 1);
		count += 1 + for_descendants(its, visit);
		if (visit)
			visit(its, name);
	}
	closedir(proc);
	return count;
}

/* The pids of the descendants of this process that have the name, as far as there is room. */
static int pids_found[64];
static unsigned pids_count;
static const char *pids_name;

static inline void pids_add(int pid, const char *name)
{
	if (strcmp(name, pids_name) == 0 && pids_count < 64)
		pids_found[pids_count++] = pid;
}

static inline unsigned find_pids(int of, const char *name)
{
	pids_count = 0;
	pids_name = name;
	for_descendants(of, pids_add);
	return pids_count;
}

/* The one worker that there is; a fork server that has taken over is no descendant of ours. */
static inline int the_worker(databuffer *buf)
{
	WAIT_FOR(find_pids(info_of(buf, 0).fork_server_pid, "db-worker") == 1);
	return pids_found[0];
}

static inline void assert_nobody_is_left(void)
{
	WAIT_FOR(for_descendants(getpid(), NULL) == 0);
}

#endif
