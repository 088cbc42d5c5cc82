/* SPDX-License-Identifier: MIT */
/*
 * Telling of items that an overflow policy gave up: to handle_drop, or a line of
 * the log. Here the program's code runs in the middle of an insert, without a lock.
 */
#ifndef DATABUFFER_CORE_DROP_H
#define DATABUFFER_CORE_DROP_H

#include "core/producer.h"

/* Whether the calling thread is in the buffer's handle_drop. An insert from there
 * drops nothing, or it would come back to where it is. */
bool drop_is_inside(const struct databuffer *buf);

/* Tells of older items, and lets their memory go. Nothing if there are none. */
void drop_tell_oldest(struct producer *producer, struct partition *partition, const struct dropped *dropped);

/* Tells of a request's own items. */
void drop_tell_newest(struct producer *producer, struct partition *partition, const struct lease_request *request,
                      const void *data);

#endif
