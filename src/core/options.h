/* SPDX-License-Identifier: MIT */
/*
 * options.h: the table of options, and everything that is read off it: the
 * defaults, the check at start, the parsing of text. The public part is in
 * <databuffer.h>; here is what databuffer_start needs.
 *
 * A program may be older or newer than the library that it runs with, and its
 * databuffer_options shorter or longer. `struct_size` tells how long it is:
 *
 *      shorter   an older program: the options that it lacks have their defaults
 *      longer    a newer program: fine while all that is beyond ours is 0,
 *                which databuffer_options_defaults has made it
 *
 * So nothing but this file reads an options struct of the caller's; the rest of
 * the library sees the complete copy that options_check has made.
 */
#ifndef DATABUFFER_CORE_OPTIONS_H
#define DATABUFFER_CORE_OPTIONS_H

#include <stdbool.h>

#include <databuffer.h>

/* Checks what a caller gave and writes a complete copy to *full, its struct_size
 * our own; pointers, `name` among them, stay the caller's. Returns 0, or
 * DATABUFFER_EINVAL, *full then untouched, after options_refuse has given out
 * one sentence that names the option, its value and what would be right. */
int options_check(const databuffer_options *given, databuffer_options *full);

/* The same for a change of what runs: what is not live has to be as it is. Reads
 * nothing of `running` that may change. */
int options_check_change(const databuffer_options *given, databuffer_options *running, databuffer_options *full);

/* Copies the live options. */
void options_change(databuffer_options *running, databuffer_options *full);

/* Writes as much of complete options as a caller's struct has room for. */
void options_give(const databuffer_options *full, databuffer_options *options);

/* Whether struct_size is one that a compiler can have made. */
bool options_size_is_sane(const databuffer_options *given);

/* Gives out the sentence of a refusal: into options->error, cut to error_size,
 * or else to handle_log, or else to standard error. `options` is the caller's,
 * of any struct_size, or NULL. */
void options_refuse(const databuffer_options *options, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
