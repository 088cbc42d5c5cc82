/* SPDX-License-Identifier: MIT */
/* overlong.c: a line over the limit. */
#include "cli/overlong.h"

#include <string.h>
#include <sys/mman.h>

void overlong_begin(struct overlong *overlong, const struct reader *reader, bool keep)
{
	overlong->active = true;
	overlong->line = reader->line;
	overlong->size = 0;
	overlong->spool = keep ? tmpfile() : NULL;
}

bool overlong_take(struct overlong *overlong, struct reader *reader)
{
	const char *start = reader->bytes + reader->begin;
	size_t here = reader->end - reader->begin;
	const char *newline = memchr(start, '\n', here);
	size_t len = newline ? (size_t)(newline - start) : here;

	if (overlong->spool && fwrite(start, 1, len, overlong->spool) != len) {
		fclose(overlong->spool);
		overlong->spool = NULL;
	}
	overlong->size += len;
	reader_take(reader, newline ? len + 1 : len, newline ? 1 : 0);
	return newline || reader->ended;
}

const char *overlong_text(struct overlong *overlong)
{
	void *text;

	if (!overlong->spool || overlong->size == 0 || fflush(overlong->spool) != 0)
		return NULL;
	text = mmap(NULL, overlong->size, PROT_READ, MAP_PRIVATE, fileno(overlong->spool), 0);
	return text == MAP_FAILED ? NULL : text;
}

void overlong_end(struct overlong *overlong, const char *text)
{
	if (text)
		munmap((void *)text, overlong->size);
	if (overlong->spool)
		fclose(overlong->spool);
	overlong->active = false;
}
