/* SPDX-License-Identifier: MIT */
/*
 * file.c: appends each record as a line to a file, as it was written in the
 * input. A batch is there whole or not at all: what a failed write left behind
 * is cut off again. When the file would grow beyond a size it is put aside, at
 * the boundary of two batches:
 *
 *      PATH ─> PATH.1 ─> PATH.2 ─> ... ─> PATH.keep ─> gone
 *
 * All states of one path share one file, under a lock, those in processes that
 * were forked after the first was opened too. Before a batch is written it is
 * noted where it begins. So whoever comes next cuts off what one left behind
 * that died in the middle of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <databuffer/sink.h>

#define FILE_BLOCK (256u << 10) /* one write(2) has about so much */
#define FILE_NAME  4096

static const databuffer_sink_parameter file_parameters[] = {
	{
		.name = "rotate",
		.type = DATABUFFER_OPTION_NUMBER,
		.unit = "bytes",
		.initial = "0",
		.min = 0,
		.max = INT64_MAX,
		.help = "put the file aside before it grows beyond so much; 0: never",
	},
	{
		.name = "keep",
		.type = DATABUFFER_OPTION_NUMBER,
		.unit = "",
		.initial = "5",
		.min = 1,
		.max = 9999,
		.help = "how many files that were put aside are kept",
	},
	{
		.name = "sync",
		.type = DATABUFFER_OPTION_FLAG,
		.initial = "0",
		.help = "1: a batch counts as written when the disk has it",
	},
	{ .name = NULL },
};

enum {
	FILE_ROTATE,
	FILE_KEEP,
	FILE_SYNC
};

/* What is known of a file by whoever writes it, in whatever process. */
struct file_turn {
	pthread_mutex_t lock; /* of whoever dies with it the next hears */
	off_t torn;           /* where something begins that is to be cut off; -1: nowhere */
	dev_t device;         /* of which file */
	ino_t inode;
};

/* A file that is being written, however many states of this process write it. Stays
 * in the list when they are closed, for those of processes that are forked later. */
struct file_shared {
	struct file_shared *next;
	struct file_turn *turn;
	unsigned states;
	int fd;
	bool regular; /* it has a size, and can be cut and put aside */
	char path[];
};

struct file {
	struct file_shared *shared;
	int64_t rotate, keep;
	bool sync;
	char *block;
};

static pthread_mutex_t file_list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct file_shared *file_list;

static int file_complain(databuffer_sentence *why, int error, const char *what, const char *path)
{
	return databuffer_sentence_set(why, -error, "cannot %s %s: %s", what, path, strerror(error));
}

/* --- Opening ------------------------------------------------------------------- */

static int file_reopen(struct file_shared *shared, databuffer_sentence *why)
{
	int fd = open(shared->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	struct stat status;

	if (fd < 0)
		return file_complain(why, errno, "write", shared->path);
	if (shared->fd >= 0)
		close(shared->fd);
	shared->fd = fd;
	shared->regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
	return 0;
}

static struct file_turn *file_make_turn(void)
{
	struct file_turn *turn = mmap(NULL, sizeof(*turn), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t attributes;

	if (turn == MAP_FAILED)
		return NULL;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&turn->lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
	turn->torn = -1;
	return turn;
}

static struct file_shared *file_find(const char *path)
{
	struct file_shared *shared = file_list;

	while (shared && strcmp(shared->path, path) != 0)
		shared = shared->next;
	if (shared)
		return shared;
	shared = calloc(1, sizeof(*shared) + strlen(path) + 1);
	if (!shared)
		return NULL;
	memcpy(shared->path, path, strlen(path) + 1);
	shared->fd = -1;
	shared->turn = file_make_turn();
	if (!shared->turn) {
		free(shared);
		return NULL;
	}
	shared->next = file_list;
	file_list = shared;
	return shared;
}

/* Finds or makes the file of a path; the list is locked. */
static int file_share(const char *path, struct file_shared **found, databuffer_sentence *why)
{
	struct file_shared *shared = file_find(path);
	int rc = 0;

	if (!shared)
		return databuffer_sentence_set(why, -ENOMEM, "memory ran out");
	if (shared->states == 0)
		rc = file_reopen(shared, why);
	if (rc == 0) {
		shared->states++;
		*found = shared;
	}
	return rc;
}

static void file_unshare(struct file_shared *shared)
{
	if (--shared->states > 0)
		return;
	close(shared->fd);
	shared->fd = -1;
}

static void file_close(void *opened)
{
	struct file *state = opened;

	pthread_mutex_lock(&file_list_lock);
	file_unshare(state->shared);
	pthread_mutex_unlock(&file_list_lock);
	free(state->block);
	free(state);
}

static int file_open(const databuffer_sink_config *config, void **opened, databuffer_sentence *why)
{
	struct file *state = calloc(1, sizeof(*state));
	char *block = malloc(FILE_BLOCK);
	int rc;

	if (!state || !block) {
		rc = databuffer_sentence_set(why, -ENOMEM, "memory ran out");
	} else if (strlen(config->target) > FILE_NAME - 16) {
		rc = databuffer_sentence_set(why, -ENAMETOOLONG,
		                             "the path of the file is longer than %d bytes", FILE_NAME - 16);
	} else {
		state->rotate = config->values[FILE_ROTATE].number;
		state->keep = config->values[FILE_KEEP].number;
		state->sync = config->values[FILE_SYNC].number;
		state->block = block;
		pthread_mutex_lock(&file_list_lock);
		rc = file_share(config->target, &state->shared, why);
		pthread_mutex_unlock(&file_list_lock);
	}
	if (rc != 0) {
		free(block);
		free(state);
		return rc;
	}
	*opened = state;
	return 0;
}

/* --- Putting aside --------------------------------------------------------------- */

/* PATH.1 becomes PATH.2 and so on, from the oldest; then PATH becomes PATH.1. */
static int file_put_aside(const struct file *state, databuffer_sentence *why)
{
	char from[FILE_NAME], to[FILE_NAME];

	for (int64_t i = state->keep; i > 0; i--) {
		snprintf(to, sizeof(to), "%s.%lld", state->shared->path, (long long)i);
		if (i > 1)
			snprintf(from, sizeof(from), "%s.%lld", state->shared->path, (long long)i - 1);
		else
			snprintf(from, sizeof(from), "%s", state->shared->path);
		if (rename(from, to) != 0 && errno != ENOENT)
			return file_complain(why, errno, "put aside", from);
	}
	return file_reopen(state->shared, why);
}

/* Somebody else may have put it aside, or removed it: a line that is written into
 * a file without a name is lost. */
static bool file_has_moved(const struct file_shared *shared, const struct stat *ours)
{
	struct stat named;

	return stat(shared->path, &named) != 0 || named.st_ino != ours->st_ino ||
	       named.st_dev != ours->st_dev;
}

/* Cuts off what was written of a batch that did not come to its end. Of a file that
 * has been put aside since, it stays. */
static int file_cut_torn(struct file_shared *shared, databuffer_sentence *why)
{
	struct file_turn *turn = shared->turn;
	struct stat status;

	if (turn->torn < 0)
		return 0;
	if (fstat(shared->fd, &status) == 0 && turn->device == status.st_dev && turn->inode == status.st_ino &&
	    turn->torn < status.st_size && ftruncate(shared->fd, turn->torn) != 0)
		return file_complain(why, errno, "cut a torn line off", shared->path);
	turn->torn = -1;
	return 0;
}

/* Makes the file ready for so many bytes more; *size is what it has. */
static int file_prepare(const struct file *state, int64_t more, off_t *size, databuffer_sentence *why)
{
	struct file_shared *shared = state->shared;
	struct stat status;
	int rc = 0;

	if (!shared->regular)
		return 0;
	if (fstat(shared->fd, &status) != 0)
		return file_complain(why, errno, "look at", shared->path);
	if (file_has_moved(shared, &status) && (rc = file_reopen(shared, why)) != 0)
		return rc;
	if ((rc = file_cut_torn(shared, why)) != 0)
		return rc;
	if (fstat(shared->fd, &status) != 0)
		return file_complain(why, errno, "look at", shared->path);
	if (state->rotate > 0 && status.st_size > 0 && status.st_size + more > state->rotate)
		rc = file_put_aside(state, why);
	if (rc == 0 && fstat(shared->fd, &status) != 0)
		return file_complain(why, errno, "look at", shared->path);
	*size = status.st_size;
	return rc;
}

/* --- Writing ------------------------------------------------------------------ */

static int file_write(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0) {
			bytes += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* The lines of a batch, through a block. 0, or the errno of the first write that
 * failed. */
static int file_write_batch(const struct file *state, databuffer_batch *batch)
{
	int fd = state->shared->fd, error = 0;
	databuffer_record record;
	databuffer_item item;
	size_t used = 0;

	databuffer_batch_rewind(batch);
	while (error == 0 && databuffer_batch_next(batch, &item)) {
		if (databuffer_record_open(&record, item.data, item.len) != 0)
			continue;
		if (used + record.text_len + 1 > FILE_BLOCK) {
			error = file_write(fd, state->block, used);
			used = 0;
		}
		if (record.text_len + 1 > FILE_BLOCK) {
			error = error ? error : file_write(fd, record.text, record.text_len);
		} else {
			memcpy(state->block + used, record.text, record.text_len);
			used += record.text_len;
		}
		state->block[used++] = '\n';
	}
	if (error == 0)
		error = file_write(fd, state->block, used);
	if (error == 0 && state->sync && state->shared->regular && fdatasync(fd) != 0)
		error = errno;
	return error;
}

/* Adds up what the batch will take, and names what is no record. */
static int64_t file_measure(databuffer_batch *batch)
{
	databuffer_record record;
	databuffer_item item;
	int64_t bytes = 0;

	for (size_t i = 0; databuffer_batch_next(batch, &item); i++) {
		if (databuffer_record_open(&record, item.data, item.len) == 0)
			bytes += (int64_t)record.text_len + 1;
		else
			databuffer_batch_fail(batch, i, "not a record");
	}
	return bytes;
}

/* From here on until file_note_written the file is torn at its end. */
static void file_note_begin(struct file_shared *shared, off_t size)
{
	struct stat status;

	if (!shared->regular || fstat(shared->fd, &status) != 0)
		return;
	shared->turn->device = status.st_dev;
	shared->turn->inode = status.st_ino;
	shared->turn->torn = size;
}

static int file_flush(void *opened, databuffer_batch *batch, databuffer_sentence *why)
{
	const struct file *state = opened;
	struct file_shared *shared = state->shared;
	int64_t bytes = file_measure(batch);
	off_t size = 0;
	int rc, error;

	if (pthread_mutex_lock(&shared->turn->lock) == EOWNERDEAD)
		pthread_mutex_consistent(&shared->turn->lock);
	rc = file_prepare(state, bytes, &size, why);
	if (rc == 0) {
		file_note_begin(shared, size);
		error = file_write_batch(state, batch);
		/* What cannot be cut off now the next one cuts off. */
		if (!error || !shared->regular || ftruncate(shared->fd, size) == 0)
			shared->turn->torn = -1;
		if (error)
			rc = file_complain(why, error, "write", shared->path);
	}
	pthread_mutex_unlock(&shared->turn->lock);
	return rc;
}

DATABUFFER_SINK(file) = {
	.abi = DATABUFFER_SINK_ABI,
	.name = "file",
	.target = "PATH",
	.help = "appends each record as a line, as it was written",
	.parameters = file_parameters,
	.open = file_open,
	.flush = file_flush,
	.close = file_close,
};
