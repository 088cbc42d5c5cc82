/* SPDX-License-Identifier: MIT */
/* rejects.c: the file of records that did not get where they belong. */
#include "cli/rejects.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/console.h"
#include "cli/memory.h"
#include "cli/utf8.h"

#define REJECTS_PIECE (64u << 10) /* a longer line is written in such pieces */
#define REJECTS_SHOWN 10          /* so many are shown where none is kept */

int rejects_open(struct rejects *rejects, const char *path)
{
	struct stat status;

	*rejects = (struct rejects){ .fd = -1, .path = path, .lock = PTHREAD_MUTEX_INITIALIZER };
	if (!path)
		return 0;
	rejects->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (rejects->fd < 0) {
		console_say("cannot write rejected records to %s: %s", path, strerror(errno));
		return -1;
	}
	rejects->seekable = fstat(rejects->fd, &status) == 0 && S_ISREG(status.st_mode);
	return 0;
}

int rejects_close(struct rejects *rejects)
{
	int rc = 0;

	if (rejects->fd >= 0 && close(rejects->fd) != 0 && !rejects->broken) {
		console_say("cannot write rejected records to %s: %s", rejects->path, strerror(errno));
		rc = -1;
	}
	free(rejects->bytes);
	pthread_mutex_destroy(&rejects->lock);
	return rejects->broken ? -1 : rc;
}

/* --- Bytes ---------------------------------------------------------------------- */

static void rejects_write(struct rejects *rejects)
{
	const char *bytes = rejects->bytes;
	ssize_t n;

	for (; rejects->used > 0 && !rejects->broken; bytes += n, rejects->used -= (size_t)n) {
		n = write(rejects->fd, bytes, rejects->used);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0) {
			rejects->broken = true;
			console_say(
			    "cannot write rejected records to %s: %s; from here on they are only counted",
			    rejects->path, strerror(errno));
			n = 0;
		}
	}
	rejects->used = 0;
}

static void rejects_put(struct rejects *rejects, const char *bytes, size_t len)
{
	if (rejects->used + len > REJECTS_PIECE)
		rejects_write(rejects);
	memory_grow(&rejects->bytes, &rejects->capacity, rejects->used + len, 1);
	memcpy(rejects->bytes + rejects->used, bytes, len);
	rejects->used += len;
}

static void rejects_puts(struct rejects *rejects, const char *text)
{
	rejects_put(rejects, text, strlen(text));
}

/* Text as a JSON string. Bytes that are not UTF-8 become U+FFFD. */
static void rejects_put_string(struct rejects *rejects, const char *text, size_t len)
{
	rejects_put(rejects, "\"", 1);
	while (len > 0) {
		unsigned char c = (unsigned char)*text;
		char escape[8];
		size_t run = 0;

		while (run < len && run < REJECTS_PIECE / 2 && (unsigned char)text[run] >= ' ' &&
		       text[run] != '"' && text[run] != '\\' && (signed char)text[run] > 0)
			run++;
		if (run > 0) {
			rejects_put(rejects, text, run);
		} else if (c == '"' || c == '\\') {
			snprintf(escape, sizeof(escape), "\\%c", c);
			rejects_puts(rejects, escape);
			run = 1;
		} else if (c < 0x80) {
			snprintf(escape, sizeof(escape), "\\u%04x", c);
			rejects_puts(rejects, c == '\n'   ? "\\n"
			                      : c == '\t' ? "\\t"
			                      : c == '\r' ? "\\r"
			                                  : escape);
			run = 1;
		} else {
			/* Four bytes hold one character at least, if it is one. */
			run = utf8_valid(text, len < 4 ? len : 4);
			if (run > 0)
				rejects_put(rejects, text, run);
			else
				rejects_puts(rejects, "\\ufffd");
			run += run == 0;
		}
		text += run;
		len -= run;
	}
	rejects_put(rejects, "\"", 1);
}

static void rejects_put_base64(struct rejects *rejects, const char *text, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *at = (const unsigned char *)text;

	rejects_put(rejects, "\"", 1);
	for (size_t i = 0; i < len; i += 3) {
		unsigned bits = (unsigned)at[i] << 16 | (i + 1 < len ? (unsigned)at[i + 1] << 8 : 0) |
		                (i + 2 < len ? at[i + 2] : 0);
		char four[4] = {digits[bits >> 18], digits[bits >> 12 & 63],
				i + 1 < len ? digits[bits >> 6 & 63] : '=',
				i + 2 < len ? digits[bits & 63] : '='};

		rejects_put(rejects, four, sizeof(four));
	}
	rejects_put(rejects, "\"", 1);
}

/* --- Lines ---------------------------------------------------------------------- */

static void rejects_write_line(struct rejects *rejects, const char *source, uint64_t line, const char *reason,
                               const char *text, size_t len)
{
	off_t before = rejects->seekable ? lseek(rejects->fd, 0, SEEK_END) : 0;
	char number[32];

	snprintf(number, sizeof(number), ",\"line\":%" PRIu64, line);
	rejects_puts(rejects, "{\"source\":");
	rejects_put_string(rejects, source, strlen(source));
	rejects_puts(rejects, number);
	rejects_puts(rejects, ",\"reason\":");
	rejects_put_string(rejects, reason, strlen(reason));
	if (utf8_valid(text, len) == len) {
		rejects_puts(rejects, ",\"record\":");
		rejects_put_string(rejects, text, len);
	} else {
		rejects_puts(rejects, ",\"record_base64\":");
		rejects_put_base64(rejects, text, len);
	}
	rejects_puts(rejects, "}\n");
	rejects_write(rejects);
	if (rejects->broken && rejects->seekable && ftruncate(rejects->fd, before) != 0)
		console_say("the last line of %s is torn", rejects->path);
}

void rejects_add(struct rejects *rejects, const char *source, uint64_t line, const char *reason,
                 const char *text, size_t len)
{
	pthread_mutex_lock(&rejects->lock);
	if (rejects->fd >= 0 && !rejects->broken)
		rejects_write_line(rejects, source, line, reason, text, len);
	if (rejects->fd >= 0 && !rejects->broken) {
		rejects->written++;
	} else {
		rejects->lost++;
		if (rejects->shown++ < REJECTS_SHOWN)
			console_say("%s:%" PRIu64 ": %s", source, line, reason);
		if (rejects->shown == REJECTS_SHOWN && rejects->fd < 0)
			console_say(
			    "further rejected records are only counted; --rejects FILE keeps them all");
	}
	pthread_mutex_unlock(&rejects->lock);
}
