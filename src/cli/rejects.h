/* SPDX-License-Identifier: MIT */
/*
 * rejects.h: the file of records that did not get where they belong, one JSON
 * object a line:
 *
 *      {"source":"a.csv","line":7,"reason":"2 fields where ...","record":"1,2"}
 *
 * What is not UTF-8 stands under "record_base64". Without a file, rejected
 * records are counted, and the first few shown.
 */
#ifndef DATABUFFER_CLI_REJECTS_H
#define DATABUFFER_CLI_REJECTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rejects {
	pthread_mutex_t lock;
	int fd; /* -1: no file */
	const char *path;
	bool seekable;    /* a torn line can be taken back */
	bool broken;      /* a write failed: nothing is written any more */
	uint64_t written; /* lines in the file, of this run */
	uint64_t lost;    /* rejected and in no file */
	unsigned shown;
	char *bytes; /* of the line that is being written */
	size_t used, capacity;
};

/* Opens the file to append to; path may be NULL. 0, or -1 after saying why. */
int rejects_open(struct rejects *rejects, const char *path);
/* 0, or -1 if the file is not all there, after saying why. */
int rejects_close(struct rejects *rejects);

/* From any thread. */
void rejects_add(struct rejects *rejects, const char *source, uint64_t line, const char *reason,
                 const char *text, size_t len);

#endif
