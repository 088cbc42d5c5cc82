/* SPDX-License-Identifier: MIT */
/*
 * log.h: what a buffer has to say goes out here, a line at a time: to the
 * program's handle_log, or to standard error.
 */
#ifndef DATABUFFER_CORE_LOG_H
#define DATABUFFER_CORE_LOG_H

#include <databuffer.h>

/* No line is longer, its final NUL included; the rest is cut off. */
#define LOG_LINE_SIZE 1024

/* Gives one line, without a newline, to options->handle_log, or writes it to
 * standard error as "databuffer: ..." in one piece, so that the lines of several
 * threads do not mix. Control characters become '?': a name in the line cannot
 * begin another one. `options` is complete (of options_check), or NULL for
 * standard error. Any thread; no lock may be held. errno stays as it was. */
void log_line(const databuffer_options *options, databuffer_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
