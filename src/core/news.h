/* SPDX-License-Identifier: MIT */
/*
 * What a partition has to tell of itself: that a flush is late, that it goes on
 * without one, that its breaker has opened. The control plane calls no handler; it notes what happened, under
 * the partition's lock, and a flusher or the supervisor tells it after letting
 * go, as events and as lines of the log. A partition that has news is due at
 * once (partition_deadline), so that they come wherever they were noted.
 */
#ifndef DATABUFFER_CORE_NEWS_H
#define DATABUFFER_CORE_NEWS_H

#include <stdbool.h>

#include <databuffer.h>

struct partition;

#define NEWS_ROOM 16

struct news_item {
	databuffer_event event;
	bool alone;        /* of a late flush: the partition cannot go on without it */
	unsigned failures; /* of a breaker that opens: so many in a row */
};

struct news {
	unsigned count;
	struct news_item items[NEWS_ROOM];
};

/* An item to fill in; without room, the last one, whose event is then lost. */
struct news_item *news_add(struct partition *partition, databuffer_event_kind kind);

/* Whether anybody listens to events of that kind, for those that are not logged. */
bool news_is_heard(databuffer_event_kind kind);

/* Lets go of the partition's lock, does what is to be done, and tells. The caller
 * holds a reference to the buffer, and in a child that a handler forked has to
 * see for itself to an end. */
void news_unlock(struct partition *partition, unsigned todo);

#endif
