/*
 * 12-epoll-loop.c: a buffer in an event loop that other threads feed.
 *
 * Where the loop's own thread inserts, asking for the next deadline before it sleeps
 * is enough (09-manual-loop.c). Where other threads do, something has to wake the
 * loop: databuffer_fd is readable when a batch is ready to be flushed, or when the
 * next deadline has come nearer than the loop was told. The loop has it in its epoll
 * set beside its sockets and timers; here, beside a pipe by which the producers say
 * goodbye. It works as well with libuv (uv_poll_start, and a uv_timer_t for the
 * deadline), with GLib, or with plain poll.
 */
#define _POSIX_C_SOURCE 200809L

#include <databuffer.h>

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define PRODUCERS 3
#define READINGS  1000 /* of each */

struct reading {
	int producer;
	int value;
};

struct producer {
	databuffer *buf;
	int number;
	int goodbye; /* a pipe's end */
	pthread_t thread;
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

/* Runs inside databuffer_work: whatever it touches belongs to the loop's thread. */
static int add_up(databuffer_batch *batch, void *meta)
{
	const struct reading *readings = databuffer_batch_array(batch);
	long *sum = meta;

	if (!readings)
		return DATABUFFER_RETRY;
	for (size_t i = 0; i < databuffer_batch_size(batch); i++)
		*sum += readings[i].value;
	return 0;
}

/* May wait for room: it is another thread that makes some. */
static void *measure(void *arg)
{
	struct producer *producer = arg;

	for (int i = 1; i <= READINGS; i++) {
		struct reading reading = { producer->number, i };
		must(databuffer_insert(producer->buf, &reading, sizeof(reading)), "insert");
	}
	if (write(producer->goodbye, "", 1) != 1)
		abort();
	return NULL;
}

static int sleep_ms(databuffer *buf)
{
	int64_t deadline = databuffer_next_deadline(buf), now = now_ms();

	if (deadline == INT64_MAX)
		return -1;
	if (deadline <= now)
		return 0;
	return deadline - now < INT_MAX ? (int)(deadline - now) : INT_MAX;
}

static void watch(int set, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data = { .fd = fd } };

	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) != 0)
		exit(1);
}

int main(void)
{
	struct producer producers[PRODUCERS];
	databuffer *buf;
	databuffer_options o = databuffer_options_init();
	int set = epoll_create1(0), ends[2], left = PRODUCERS;
	long sum = 0, wanted = (long)PRODUCERS * READINGS * (READINGS + 1) / 2;

	if (set < 0 || pipe(ends) != 0)
		return 1;
	o.flusher = DATABUFFER_MANUAL;
	o.max_size = 64;
	o.flush_interval = 20;
	o.flush_jitter = 0;
	o.handle_flush = add_up;
	o.flush_meta = &sum;
	must(databuffer_start(&buf, &o), "start");
	must(databuffer_work(buf, now_ms()), "work"); /* sets the clock */
	must(databuffer_fd(buf), "fd");
	watch(set, databuffer_fd(buf));
	watch(set, ends[0]);
	for (int i = 0; i < PRODUCERS; i++) {
		producers[i] = (struct producer){ .buf = buf, .number = i, .goodbye = ends[1] };
		if (pthread_create(&producers[i].thread, NULL, measure, &producers[i]) != 0)
			return 1;
	}

	/* Until all have said goodbye and what they inserted last has left by time. */
	while (left > 0 || databuffer_size(buf) > 0) {
		struct epoll_event event;
		char byte;
		if (epoll_wait(set, &event, 1, sleep_ms(buf)) == 1 && event.data.fd == ends[0])
			left -= read(ends[0], &byte, 1) == 1;
		must(databuffer_work(buf, now_ms()), "work");
	}
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(producers[i].thread, NULL);
	close(set);
	must(databuffer_stop(buf, 5000), "stop");
	printf("%d readings, together %ld\n", PRODUCERS * READINGS, sum);
	return sum == wanted ? 0 : 1;
}
