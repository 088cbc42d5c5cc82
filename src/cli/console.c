/* SPDX-License-Identifier: MIT */
/* console.c: standard error, shared by lines that stay and one that is redrawn. */
#include "cli/console.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CONSOLE_WIDTH 80

static pthread_mutex_t console_lock = PTHREAD_MUTEX_INITIALIZER;
static char console_shown[512]; /* the line that is redrawn, as it stands there */

/* In one write, so that lines of several processes do not mix. What cannot be
 * shown is not worth failing for. */
static void console_write(const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDERR_FILENO, text, len);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

void console_print(const char *lines)
{
	char text[4096];
	int len;

	pthread_mutex_lock(&console_lock);
	len =
	    snprintf(text, sizeof(text), "%s%s%s", console_shown[0] ? "\r\033[K" : "", lines, console_shown);
	console_write(text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
	pthread_mutex_unlock(&console_lock);
}

void console_say(const char *format, ...)
{
	char line[2048] = "databuffer: ";
	size_t len = strlen(line), room = sizeof(line) - len - 1;
	va_list arguments;
	int wanted;

	va_start(arguments, format);
	wanted = vsnprintf(line + len, room, format, arguments);
	va_end(arguments);
	len += wanted < 0 ? 0 : (size_t)wanted < room ? (size_t)wanted : room - 1;
	memcpy(line + len, "\n", 2);
	console_print(line);
}

static size_t console_columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return CONSOLE_WIDTH;
}

void console_status(const char *line)
{
	size_t columns = console_columns(), room;
	char text[sizeof(console_shown) + 8];
	int len;

	pthread_mutex_lock(&console_lock);
	if (line[0] != '\0' || console_shown[0] != '\0') {
		/* One column stays free: a full line would make the terminal wrap. */
		room = columns < sizeof(console_shown) ? columns : sizeof(console_shown);
		snprintf(console_shown, room, "%s", line);
		len = snprintf(text, sizeof(text), "\r\033[K%s", console_shown);
		console_write(text, (size_t)len);
	}
	pthread_mutex_unlock(&console_lock);
}

const char *console_number(double number)
{
	static _Thread_local char ring[8][40];
	static _Thread_local unsigned turn;
	char digits[32], *text = ring[turn++ % 8], *to = text;
	int len = snprintf(digits, sizeof(digits), "%.0f", floor(number + 0.5));

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0 && digits[i - 1] != '-')
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
	return text;
}
