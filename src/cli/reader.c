/* SPDX-License-Identifier: MIT */
/* reader.c: an input, as lines that stand in memory. */
#include "cli/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/memory.h"

/* Small enough to stay in a core's cache between read(2) and the parser. */
#define READER_CAPACITY (256u << 10)
#define READER_ROOM     (64u << 10)

void reader_init(struct reader *reader, int fd, size_t max_line)
{
	*reader = (struct reader){ .fd = fd, .max_line = max_line, .line = 1 };
	memory_grow(&reader->bytes, &reader->capacity, READER_CAPACITY, 1);
}

void reader_fini(struct reader *reader)
{
	free(reader->bytes);
}

/* Skips the mark that some programs put before UTF-8; false: too little is here
 * to tell. */
static bool reader_begin(struct reader *reader)
{
	static const char mark[] = { '\xef', '\xbb', '\xbf' };
	size_t here = reader->end < sizeof(mark) ? reader->end : sizeof(mark);
	bool alike = memcmp(reader->bytes, mark, here) == 0;

	if (alike && here < sizeof(mark) && !reader->ended)
		return false;
	if (alike && here == sizeof(mark))
		reader->begin = sizeof(mark);
	reader->begun = true;
	return true;
}

/* A line that is not ended yet is searched only where it grew: `seen`. */
enum reader_answer reader_line(struct reader *reader, size_t from, struct line *line)
{
	size_t here, skip = reader->seen > from ? reader->seen - from : 0;
	const char *start, *newline;

	if (!reader->begun && !reader_begin(reader))
		return READER_MORE;
	start = reader->bytes + reader->begin + from;
	here = reader->end - reader->begin - from;
	newline = here > skip ? memchr(start + skip, '\n', here - skip) : NULL;
	if (newline) {
		line->size = (size_t)(newline - start) + 1;
		line->len = line->size - 1;
		if (line->len > 0 && start[line->len - 1] == '\r')
			line->len--;
		reader->seen = 0;
	} else {
		/* A "\r" at the end may be half of the line's end, which does not count. */
		bool half_ended = here > 0 && start[here - 1] == '\r' && !reader->ended;

		line->size = line->len = here;
		reader->seen = from + here;
		if (from + here - half_ended <= reader->max_line) {
			if (!reader->ended)
				return READER_MORE;
			if (here == 0)
				return READER_END;
		}
	}
	line->text = start;
	return from + line->len > reader->max_line ? READER_LONG : READER_LINE;
}

void reader_take(struct reader *reader, size_t size, uint64_t lines)
{
	reader->begin += size;
	reader->line += lines;
	reader->seen = 0;
}

ssize_t reader_fill(struct reader *reader)
{
	ssize_t n;

	if (reader->capacity - READER_PADDING - reader->end < READER_ROOM) {
		memmove(reader->bytes, reader->bytes + reader->begin, reader->end - reader->begin);
		reader->end -= reader->begin;
		reader->begin = 0;
		memory_grow(&reader->bytes, &reader->capacity, reader->end + READER_ROOM + READER_PADDING, 1);
	}
	do
		n = read(reader->fd, reader->bytes + reader->end,
			 reader->capacity - READER_PADDING - reader->end);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	reader->end += (size_t)n;
	reader->ended = n == 0;
	return n;
}
