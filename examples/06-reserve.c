/*
 * 06-reserve.c: writing items in place.
 *
 * databuffer_insert copies an item. databuffer_reserve gives a thread room in the
 * buffer to write into: here read(2) puts frames there straight from a pipe.
 * What is written counts once it is committed; what is aborted never was.
 */
#define _POSIX_C_SOURCE 200809L

#include <databuffer.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAMES 200
#define FRAME_SIZE 512 /* a write of a frame to a pipe is never cut in two */

struct frame {
	int number;
	int damaged;
	char payload[FRAME_SIZE - 2 * sizeof(int)];
};

struct seen {
	int frames;
	int damaged;
	long sum;
};

static void must(int64_t rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, databuffer_strerror((int)rc));
	exit(1);
}

static int count(databuffer_batch *batch, void *meta)
{
	struct seen *seen = meta;
	databuffer_item item;

	while (databuffer_batch_next(batch, &item)) {
		const struct frame *frame = item.data;
		seen->frames++;
		seen->damaged += frame->damaged;
		seen->sum += frame->number;
	}
	return 0;
}

/* The camera: every tenth frame is damaged. */
static void *film(void *arg)
{
	int fd = *(int *)arg;

	for (int i = 0; i < FRAMES; i++) {
		struct frame frame = { .number = i, .damaged = i % 10 == 9 };
		memset(frame.payload, 'x', sizeof(frame.payload));
		if (write(fd, &frame, sizeof(frame)) != sizeof(frame))
			break;
	}
	close(fd);
	return NULL;
}

/* Reads a whole frame: 1, or 0 at the end. */
static int read_frame(int fd, char *into)
{
	size_t got = 0;

	while (got < FRAME_SIZE) {
		ssize_t n = read(fd, into + got, FRAME_SIZE - got);
		if (n <= 0)
			return 0;
		got += (size_t)n;
	}
	return 1;
}

int main(void)
{
	struct seen seen = { 0, 0, 0 };
	databuffer *buf;
	databuffer_options o = databuffer_options_init();
	databuffer_slot slot;
	pthread_t camera;
	int ends[2];

	if (pipe(ends) != 0 || pthread_create(&camera, NULL, film, &ends[1]) != 0)
		return 1;
	o.max_size = 32;
	o.handle_flush = count;
	o.flush_meta = &seen;
	must(databuffer_start(&buf, &o), "start");

	for (;;) {
		must(databuffer_reserve(buf, FRAME_SIZE, &slot), "reserve");
		if (!read_frame(ends[0], slot.data)) {
			must(databuffer_abort(&slot), "abort");
			break;
		}
		const struct frame *frame = slot.data; /* aligned for any type of this length */
		if (frame->damaged)
			must(databuffer_abort(&slot), "abort");
		else
			must(databuffer_commit(&slot), "commit");
	}
	pthread_join(camera, NULL);
	close(ends[0]);
	must(databuffer_sync_flush(buf, NULL, 0, 5000), "sync_flush");
	int flushed = seen.frames;

	/* A slot that is held delays nobody: a flush goes without it, and its item
	 * moves into the next batch when it is committed. */
	must(databuffer_reserve(buf, FRAME_SIZE, &slot), "reserve");
	memset(slot.data, 0, FRAME_SIZE);
	must(databuffer_sync_flush(buf, NULL, 0, 5000), "sync_flush");
	int without = seen.frames;
	must(databuffer_commit(&slot), "commit");
	must(databuffer_stop(buf, 5000), "stop");

	printf("%d frames of %d were flushed, %d of them damaged; then %d more\n", flushed, FRAMES, seen.damaged,
	       seen.frames - flushed);
	return flushed == FRAMES - FRAMES / 10 && without == flushed && seen.frames == flushed + 1 &&
	                       seen.damaged == 0 && seen.sum == 199L * 200 / 2 - (9 + 199L) * 20 / 2
	               ? 0
	               : 1;
}
