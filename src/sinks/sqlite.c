/* SPDX-License-Identifier: MIT */
/*
 * sqlite.c: each record a row, each batch a transaction. Here is the database
 * file: opening it, taking turns, and saying what failed.
 *
 * SQLite lets one connection write at a time. The states of one file take turns
 * under a lock, which is fair and wakes at once; for writers in other processes
 * SQLite's busy handler waits.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sqlite.h"

static const databuffer_sink_parameter sqlite_parameters[] = {
	{
		.name = "table",
		.type = DATABUFFER_OPTION_TEXT,
		.initial = "records",
		.min = 1,
		.max = 255,
		.help = "the table, made if it is missing",
	},
	{
		.name = "busy",
		.type = DATABUFFER_OPTION_NUMBER,
		.unit = "ms",
		.initial = "1000",
		.min = 0,
		.max = 3600000,
		.help = "how long an attempt waits for another process that writes",
	},
	{
		.name = "synchronous",
		.type = DATABUFFER_OPTION_CHOICE,
		.initial = "normal",
		.choices = "off|normal|full",
		.help = "when the disk is waited for: never, at checkpoints, at each batch",
	},
	{ .name = NULL },
};

#define PAGES_A_CHECKPOINT 4000 /* of 4 KiB each, mostly */

enum {
	PARAMETER_TABLE,
	PARAMETER_BUSY,
	PARAMETER_SYNCHRONOUS
};

struct sqlite_turn {
	struct sqlite_turn *next;
	unsigned states;
	pthread_mutex_t lock;
	char path[];
};

static pthread_mutex_t sqlite_turns_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sqlite_turn *sqlite_turns;

int64_t sqlite_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- Turns ------------------------------------------------------------------------ */

static struct sqlite_turn *sqlite_turn_join(const char *path)
{
	struct sqlite_turn *turn;

	pthread_mutex_lock(&sqlite_turns_lock);
	for (turn = sqlite_turns; turn && strcmp(turn->path, path) != 0; turn = turn->next)
		;
	if (!turn) {
		turn = calloc(1, sizeof(*turn) + strlen(path) + 1);
		if (turn) {
			memcpy(turn->path, path, strlen(path) + 1);
			pthread_mutex_init(&turn->lock, NULL);
			turn->next = sqlite_turns;
			sqlite_turns = turn;
		}
	}
	if (turn)
		turn->states++;
	pthread_mutex_unlock(&sqlite_turns_lock);
	return turn;
}

static void sqlite_turn_leave(struct sqlite_turn *turn)
{
	struct sqlite_turn **at = &sqlite_turns;

	pthread_mutex_lock(&sqlite_turns_lock);
	if (--turn->states == 0) {
		while (*at != turn)
			at = &(*at)->next;
		*at = turn->next;
		pthread_mutex_destroy(&turn->lock);
		free(turn);
	}
	pthread_mutex_unlock(&sqlite_turns_lock);
}

/* Whoever has the turn may wait for another process meanwhile, so that we wait
 * no longer than that would take ourselves. */
static bool sqlite_turn_take(struct sqlite *state)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (time_t)(state->busy / 1000) + 1;
	return pthread_mutex_timedlock(&state->turn->lock, &until) == 0;
}

/* --- What went wrong ---------------------------------------------------------------- */

int sqlite_complain(const struct sqlite *state, int rc, databuffer_sentence *why)
{
	const char *path = state->path;
	int system = state->db ? sqlite3_system_errno(state->db) : 0;

	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return databuffer_sentence_set(why, -EBUSY, "%s is locked by another process", path);
	case SQLITE_FULL:
		return databuffer_sentence_set(why, -ENOSPC, "the disk is full: no room for more rows in %s",
		                               path);
	case SQLITE_READONLY:
		return databuffer_sentence_set(why, -EROFS,
		                               "%s cannot be written: it or its folder is read-only", path);
	case SQLITE_NOTADB:
		return databuffer_sentence_set(
		    why, -EINVAL, "%s is no SQLite database; name another file, or move this one away", path);
	case SQLITE_CORRUPT:
		return databuffer_sentence_set(why, -EIO, "%s is damaged (%s)", path,
		                               sqlite3_errmsg(state->db));
	case SQLITE_CANTOPEN:
		return databuffer_sentence_set(why, system ? -system : -EIO, "cannot open %s: %s", path,
		                               system ? strerror(system) : sqlite3_errmsg(state->db));
	case SQLITE_IOERR:
		if (system == ENOSPC)
			return databuffer_sentence_set(why, -ENOSPC,
			                               "the disk is full: no room for more rows in %s", path);
		return databuffer_sentence_set(why, system ? -system : -EIO, "cannot read or write %s: %s",
		                               path, system ? strerror(system) : sqlite3_errmsg(state->db));
	case SQLITE_ABORT:
		return databuffer_sentence_set(why, DATABUFFER_RETRY,
		                               "the end came before the batch was written");
	case SQLITE_NOMEM:
		return databuffer_sentence_set(why, -ENOMEM, "memory ran out");
	default:
		return databuffer_sentence_set(why, DATABUFFER_RETRY, "%s: %s", path,
		                               sqlite3_errmsg(state->db));
	}
}

/* --- Opening ---------------------------------------------------------------------- */

/* What the operating system can tell, in clearer words than SQLite's. */
static int sqlite_check_path(const char *path, databuffer_sentence *why)
{
	char copy[PATH_MAX], real[PATH_MAX];
	const char *folder;
	struct stat status;
	bool there = stat(path, &status) == 0;

	if (strcmp(path, ":memory:") == 0)
		return databuffer_sentence_set(why, -EINVAL,
		                               "a database in memory would be gone at the end; name a file");
	if (there && S_ISDIR(status.st_mode))
		return databuffer_sentence_set(why, -EISDIR, "%s is a folder; name a file", path);
	if (there && !S_ISREG(status.st_mode))
		return databuffer_sentence_set(why, -EINVAL, "%s is no regular file", path);
	/* Root may write anything, and means it no more often than others do. */
	if (there && ((status.st_mode & 0222) == 0 || access(path, W_OK) != 0))
		return databuffer_sentence_set(
		    why, -EACCES, "%s is read-only (mode %04o); chmod u+w it, or name another file", path,
		    (unsigned)status.st_mode & 07777);
	if ((size_t)snprintf(copy, sizeof(copy), "%s", there && realpath(path, real) ? real : path) >=
	    sizeof(copy))
		return databuffer_sentence_set(why, -ENAMETOOLONG, "the path of the database is too long");
	folder = dirname(copy);
	if (stat(folder, &status) != 0)
		return databuffer_sentence_set(why, -errno, "cannot make %s: the folder %s: %s", path, folder,
		                               strerror(errno));
	if (!S_ISDIR(status.st_mode))
		return databuffer_sentence_set(why, -ENOTDIR, "cannot make %s: %s is no folder", path,
		                               folder);
	if (access(folder, W_OK | X_OK) != 0)
		return databuffer_sentence_set(why, -errno,
		                               "cannot write in the folder %s, as SQLite must for %s: %s",
		                               folder, path, strerror(errno));
	return 0;
}

/* SQLite asks whether to try once more for a lock of another process. */
static int sqlite_on_busy(void *opened, int count)
{
	static const int naps[] = { 1, 2, 5, 10, 20, 25, 50 };
	struct sqlite *state = opened;
	int last = (int)(sizeof(naps) / sizeof(naps[0])) - 1;
	struct timespec nap = { .tv_nsec = naps[count < last ? count : last] * 1000000L };
	int64_t now = sqlite_now();

	if (count == 0)
		state->waiting_since = now;
	if (now - state->waiting_since >= state->busy ||
	    (state->batch && databuffer_batch_cancelled(state->batch)))
		return 0;
	nanosleep(&nap, NULL);
	return 1;
}

static int sqlite_connect(struct sqlite *state)
{
	int rc = sqlite3_open_v2(state->path, &state->db,
	                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

	sqlite_table_init(&state->table, state->db, state->config->values[PARAMETER_TABLE].text);
	state->ready = false;
	if (rc == SQLITE_OK)
		rc = sqlite3_busy_handler(state->db, sqlite_on_busy, state);
	return rc;
}

static void sqlite_disconnect(struct sqlite *state)
{
	sqlite_table_fini(&state->table);
	sqlite3_close(state->db);
	state->db = NULL;
}

/* Looks into the file, which creates it, and sets it up. SQLITE_MISUSE: `why` has
 * the sentence.
 *
 * A checkpoint waits for the disk three times. SQLite's own pace, one each 1,000
 * pages, has a fast stream wait as long as it works where others use the disk. */
static int sqlite_prepare(struct sqlite *state, databuffer_sentence *why)
{
	static const char *const synchronous[] = {
		"PRAGMA synchronous = off",
		"PRAGMA synchronous = normal",
		"PRAGMA synchronous = full",
	};
	int rc = sqlite3_exec(state->db, synchronous[state->config->values[PARAMETER_SYNCHRONOUS].number],
	                      NULL, NULL, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(state->db, "PRAGMA journal_mode = wal", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_wal_autocheckpoint(state->db, PAGES_A_CHECKPOINT);
	if (rc == SQLITE_OK)
		rc = sqlite_table_check(&state->table, state->path, why);
	if (rc == SQLITE_OK && sqlite3_db_readonly(state->db, "main"))
		rc = SQLITE_READONLY;
	state->ready = rc == SQLITE_OK;
	return rc;
}

static int sqlite_open(const databuffer_sink_config *config, void **opened, databuffer_sentence *why)
{
	struct sqlite *state = calloc(1, sizeof(*state));
	int rc, answer = 0;

	if (!state)
		return databuffer_sentence_set(why, -ENOMEM, "memory ran out");
	state->config = config;
	state->path = config->target;
	state->busy = config->values[PARAMETER_BUSY].number;
	answer = sqlite_check_path(state->path, why);
	if (answer == 0) {
		state->turn = sqlite_turn_join(state->path);
		rc = state->turn ? sqlite_connect(state) : SQLITE_NOMEM;
		if (rc == SQLITE_OK)
			rc = sqlite_prepare(state, why);
		if (rc == SQLITE_MISUSE)
			answer = -EINVAL;
		else if (rc != SQLITE_OK && rc != SQLITE_BUSY) /* locked: that passes */
			answer = sqlite_complain(state, rc, why);
	}
	if (answer == 0) {
		*opened = state;
		return 0;
	}
	if (state->turn) {
		sqlite_disconnect(state);
		sqlite_turn_leave(state->turn);
	}
	free(state);
	return answer;
}

static void sqlite_close(void *opened)
{
	struct sqlite *state = opened;

	sqlite_disconnect(state);
	sqlite_turn_leave(state->turn);
	free(state);
}

/* Rows that go into a file without a name are lost: it may have been moved. */
static bool sqlite_has_moved(const struct sqlite *state)
{
	int moved = 0;

	return sqlite3_file_control(state->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved;
}

static int sqlite_flush_in_turn(struct sqlite *state, databuffer_batch *batch, databuffer_sentence *why)
{
	int rc = SQLITE_OK;

	if (state->db && sqlite_has_moved(state)) {
		sqlite_disconnect(state);
		return databuffer_sentence_set(
		    why, -ENOENT, "%s was moved or removed; what comes goes into a new one", state->path);
	}
	if (!state->db)
		rc = sqlite_connect(state);
	if (rc == SQLITE_OK && !state->ready)
		rc = sqlite_prepare(state, why);
	if (rc == SQLITE_MISUSE)
		return DATABUFFER_RETRY;
	if (rc != SQLITE_OK)
		return sqlite_complain(state, rc, why);
	return sqlite_write(state, batch, why);
}

static int sqlite_flush(void *opened, databuffer_batch *batch, databuffer_sentence *why)
{
	struct sqlite *state = opened;
	int answer;

	if (!sqlite_turn_take(state))
		return sqlite_complain(state, SQLITE_BUSY, why);
	state->batch = batch;
	answer = sqlite_flush_in_turn(state, batch, why);
	state->batch = NULL;
	pthread_mutex_unlock(&state->turn->lock);
	return answer;
}

DATABUFFER_SINK(sqlite) = {
	.abi = DATABUFFER_SINK_ABI,
	.name = "sqlite",
	.target = "FILE",
	.help = "inserts each record as a row of a table, each batch in a transaction",
	.parameters = sqlite_parameters,
	.open = sqlite_open,
	.flush = sqlite_flush,
	.close = sqlite_close,
};
