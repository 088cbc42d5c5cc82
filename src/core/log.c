/* SPDX-License-Identifier: MIT */
/* log.c: one line, to handle_log or to standard error. */
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static void log_replace_controls(char *line)
{
	for (; *line != '\0'; line++) {
		if ((unsigned char)*line < 0x20 || *line == 0x7f)
			*line = '?';
	}
}

void log_line(const databuffer_options *options, databuffer_log_level level, const char *fmt, ...)
{
	int error_before = errno;
	char line[LOG_LINE_SIZE];
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(line, sizeof(line), fmt, args) < 0)
		line[0] = '\0';
	va_end(args);
	log_replace_controls(line);
	/* stderr has no buffer and a lock: one call is one line. */
	if (options && options->handle_log)
		options->handle_log(level, line, options->flush_meta);
	else
		fprintf(stderr, "databuffer: %s\n", line);
	errno = error_before;
}
