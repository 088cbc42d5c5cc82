/* SPDX-License-Identifier: MIT */
/*
 * reader.h: an input, as lines that stand in memory.
 *
 *      bytes            begin                         end         capacity
 *        │ taken          │ line │ line │ part of a line │ room        │
 *        └────────────────┴──────┴──────┴────────────────┴─────────────┘
 *
 * READER_PADDING bytes behind a line may be read, whatever they are, for those
 * who look at many bytes at once.
 *
 * The formats look at lines from `begin` on, as far as they need, and take those
 * that they are done with. They never wait: who wants more than is there says so
 * to the loop, which waits for the input, and for signals, in one place.
 */
#ifndef DATABUFFER_CLI_READER_H
#define DATABUFFER_CLI_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define READER_PADDING 64

struct reader {
	int fd;
	char *bytes;
	size_t capacity, begin, end;
	size_t seen; /* from `begin` on, where a line that is not ended was searched for its end */
	size_t max_line;
	uint64_t line; /* the number of the line at `begin`, from 1 */
	bool begun;    /* past the byte order mark, if there is one */
	bool ended;    /* nothing comes after `end` */
};

struct line {
	const char *text; /* valid until the next fill */
	size_t len;       /* without its end */
	size_t size;      /* with it: "\n", "\r\n", or nothing where the input ends */
};

enum reader_answer {
	READER_LINE,
	READER_LONG, /* more than max_line bytes, ended or not */
	READER_MORE, /* not all of it is here: fill and ask again */
	READER_END
};

void reader_init(struct reader *reader, int fd, size_t max_line);
void reader_fini(struct reader *reader);

/* The line that begins `from` bytes after `begin`; it and all before it, which
 * is `from`, count towards max_line together. */
enum reader_answer reader_line(struct reader *reader, size_t from, struct line *line);

/* Takes so many bytes, which are so many lines. */
void reader_take(struct reader *reader, size_t size, uint64_t lines);

/* One read(2): how many bytes came, 0 at the end, or a negative errno. */
ssize_t reader_fill(struct reader *reader);

#endif
