/* SPDX-License-Identifier: MIT */
/*
 * console.h: all that goes to standard error, from any thread: lines that stay,
 * and under them one line that is redrawn.
 */
#ifndef DATABUFFER_CLI_CONSOLE_H
#define DATABUFFER_CLI_CONSOLE_H

/* A line that stays: "databuffer: " and the sentence. */
void console_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Lines that stay, as they are. */
void console_print(const char *lines);

/* The line that is redrawn, cut to the terminal's width; "" takes it away. */
void console_status(const char *line);

/* A number as people read it, "1,234,567", in one of a few buffers of the
 * calling thread, in turn. */
const char *console_number(double number);

#endif
