/* SPDX-License-Identifier: MIT */
/*
 * sinks.h: the sinks that the command has built in. Each is a file of its name
 * in this folder that defines DATABUFFER_SINK(name), as one outside it would.
 */
#ifndef DATABUFFER_SINKS_H
#define DATABUFFER_SINKS_H

#define DATABUFFER_SINKS(X) X(sqlite) X(file) X(null)

#endif
