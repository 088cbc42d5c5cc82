/* SPDX-License-Identifier: MIT */
/*
 * sink.h: from the text of --sink to a sink and what it is told:
 *
 *      NAME:TARGET?a=b&c=d          one that is built in
 *      ./libNAME.so:TARGET?a=b      one from a shared object
 *
 * %XX stands for any byte in target and values.
 */
#ifndef DATABUFFER_CLI_SINK_H
#define DATABUFFER_CLI_SINK_H

#include <databuffer/sink.h>

#include "cli/option.h"

struct sink {
	const databuffer_sink *table;
	databuffer_sink_config config;
	databuffer_sink_value *values; /* which config shows */
	char *target;
};

/* Reads the text. On failure returns -1 and writes the sentence. */
int sink_init(struct sink *sink, const char *text, databuffer_sentence *why);
void sink_fini(struct sink *sink);

/* Built-in sink i, NULL beyond the last. */
const databuffer_sink *sink_at(size_t i);

/* Prints what can be said of it: "sqlite:FILE", help, parameters. */
void sink_describe(const databuffer_sink *table);

/* Loads ./libNAME.so: its table, which stays for as long as the process does. */
const databuffer_sink *sink_load(const char *path, databuffer_sentence *why);

#endif
