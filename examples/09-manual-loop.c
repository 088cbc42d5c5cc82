/*
 * 09-manual-loop.c: no threads of the library's: the program's own loop flushes.
 *
 * With DATABUFFER_MANUAL nothing happens but in databuffer_work, at the time that
 * it is told. A poll loop asks databuffer_next_deadline how long it may sleep.
 * The clock is the program's: a test may pass any times it likes.
 *
 * A client sends lines over a socket. They leave in batches, by size or 5 ms after
 * the last batch, and the client is told how many have. Fifty lines are no whole
 * number of batches of twenty: the client's last lines leave by time.
 */
#define _POSIX_C_SOURCE 200809L

#include <databuffer.h>

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINES 50

struct seen {
	int client;
	size_t lines;
	size_t by_trigger[DATABUFFER_TRIGGER_COUNT];
};

static void must(int64_t rc, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, databuffer_strerror((int)rc));
	exit(1);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Runs inside databuffer_work, on the thread of the loop. */
static int count(databuffer_batch *batch, void *meta)
{
	struct seen *seen = meta;
	unsigned char n = (unsigned char)databuffer_batch_size(batch);

	if (write(seen->client, &n, 1) != 1)
		return DATABUFFER_RETRY;
	seen->lines += n;
	seen->by_trigger[databuffer_batch_trigger(batch)]++;
	return 0;
}

/* The client: sends all its lines, and waits until it is told that they left. */
static void *talk(void *arg)
{
	int fd = *(int *)arg, left = LINES;

	for (int i = 0; i < LINES; i++) {
		char line[32];
		int len = snprintf(line, sizeof(line), "line %d\n", i);
		if (write(fd, line, (size_t)len) != len)
			break;
	}
	for (unsigned char n; left > 0 && read(fd, &n, 1) == 1;)
		left -= n;
	close(fd);
	return NULL;
}

/* How long poll may sleep: until the buffer has something to do. */
static int sleep_ms(databuffer *buf)
{
	int64_t deadline = databuffer_next_deadline(buf), now = now_ms();

	if (deadline == INT64_MAX)
		return -1;
	if (deadline <= now)
		return 0;
	return deadline - now < INT_MAX ? (int)(deadline - now) : INT_MAX;
}

/* Inserts without waiting: nobody else would make room. */
static void insert_line(databuffer *buf, const char *line, size_t len)
{
	while (databuffer_insert_timed(buf, line, len, 0) == DATABUFFER_ETIMEDOUT)
		must(databuffer_work(buf, now_ms()), "work");
}

/* Takes the whole lines out of the text, and moves the rest to its beginning. */
static size_t insert_lines(databuffer *buf, char *text, size_t len)
{
	char *line = text, *end;

	while ((end = memchr(line, '\n', len - (size_t)(line - text))) != NULL) {
		insert_line(buf, line, (size_t)(end - line));
		line = end + 1;
	}
	len -= (size_t)(line - text);
	memmove(text, line, len);
	return len;
}

int main(void)
{
	struct seen seen = { .lines = 0 };
	databuffer *buf;
	databuffer_options o = databuffer_options_init();
	pthread_t client;
	int ends[2];
	char text[4096];
	size_t len = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
		return 1;
	seen.client = ends[0];
	o.flusher = DATABUFFER_MANUAL;
	o.max_size = 20;
	o.flush_interval = 5;
	o.flush_jitter = 0;
	o.handle_flush = count;
	o.flush_meta = &seen;
	must(databuffer_start(&buf, &o), "start");
	must(databuffer_work(buf, now_ms()), "work"); /* sets the clock */
	if (pthread_create(&client, NULL, talk, &ends[1]) != 0)
		return 1;

	for (;;) {
		struct pollfd in = { .fd = ends[0], .events = POLLIN };
		if (poll(&in, 1, sleep_ms(buf)) > 0) {
			ssize_t n = read(ends[0], text + len, sizeof(text) - len);
			if (n <= 0)
				break;
			len = insert_lines(buf, text, len + (size_t)n);
		}
		must(databuffer_work(buf, now_ms()), "work");
	}
	pthread_join(client, NULL);
	must(databuffer_stop(buf, 5000), "stop"); /* would flush what is held, on this thread */
	close(ends[0]);

	for (int i = 0; i < DATABUFFER_TRIGGER_COUNT; i++)
		if (seen.by_trigger[i] > 0)
			printf("%zu batches by %s\n", seen.by_trigger[i],
			       databuffer_trigger_name((databuffer_trigger)i));
	printf("%zu lines\n", seen.lines);
	return seen.lines == LINES && seen.by_trigger[DATABUFFER_TRIGGER_INTERVAL] > 0 ? 0 : 1;
}
