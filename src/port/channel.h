/* SPDX-License-Identifier: MIT */
/*
 * Descriptors by which processes talk to each other: pipes, sockets that carry
 * messages, and waiting for several of them. Those made here are closed on exec;
 * none has a wait in it that its caller did not ask for.
 */
#ifndef DATABUFFER_PORT_CHANNEL_H
#define DATABUFFER_PORT_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A pipe, [0] to read and [1] to write; a pair of sockets that keep messages
 * apart. False if there is none. What wakes a port_poll is a port_event. */
bool port_pipe(int ends[2]);
bool port_socket_pair(int ends[2]);
void port_close(int *fd); /* unless it is -1, which it is then */

/* Waits until one of n descriptors (-1: none) can be read or is at its end; says
 * of each whether it is. */
void port_poll(const int *fds, bool *ready, size_t n, int64_t deadline_ns);

/* Sends and receives one message of exactly `size` bytes and up to 2 descriptors
 * (-1: none). Only one who says so waits for the other side to make room. */
bool port_send(int socket, const void *message, size_t size, const int fds[2], bool may_wait);
enum port_receive {
	PORT_RECEIVED,
	PORT_NOTHING, /* for now */
	PORT_END      /* the other side is gone */
} port_receive(int socket, void *message, size_t size, int fds[2]);

/* Copies from one descriptor to another, at most `most` bytes (16 KiB) and without
 * waiting, as far as `to` takes them; `to` -1: they are thrown away. How many were
 * read; 0 at the end, -1 for now. */
int port_pour(int from, int to, size_t most);

/* Whether this process has a standard error; which is this descriptor from now on;
 * and a few words to it, unless they would have to wait. */
bool port_has_errors(void);
void port_redirect_errors(int fd);
void port_write_error(const char *text, size_t len);

#endif
