/* SPDX-License-Identifier: MIT */
/*
 * option.h: rows that describe a value, in words and from words. The library's
 * options, the command's own numbers and the parameters of sinks are all told
 * and checked by rows of one type.
 */
#ifndef DATABUFFER_CLI_OPTION_H
#define DATABUFFER_CLI_OPTION_H

#include <stddef.h>
#include <stdint.h>

#include <databuffer.h>

/* Reads a value by its row; of a text, only looks at its length. On failure returns
 * -1 and writes what would be right, as the end of a sentence: "must be 1 to 1024,
 * not 0". */
int option_parse(const databuffer_option *row, const char *text, int64_t *value, char *wrong, size_t size);

/* What a value may be: "1 to 1024 items". */
void option_range(const databuffer_option *row, char *text, size_t size);

/* The default: "5000", "threads", "none". */
void option_default(const databuffer_option *row, char *text, size_t size);

/* The word that stands for the value in help: "ITEMS". */
const char *option_word(const databuffer_option *row);

/* The name as it is written on the command line, with - for _. */
void option_flag(const databuffer_option *row, char *text, size_t size);

#endif
