/* SPDX-License-Identifier: MIT */
/* What inserts and reservations share: taking room, with a deadline. */
#ifndef DATABUFFER_CORE_INSERT_H
#define DATABUFFER_CORE_INSERT_H

#include "core/producer.h"

/* The clock is read only when a call has to wait; then for all its waits. */
struct insert_deadline {
	int64_t timeout_ms; /* negative: the `timeout` option; 0: do not wait */
	int64_t ns;         /* 0: not computed yet */
	bool waited;        /* counted among those that did */
};

/* Not inserted: databuffer_reconfigure has made batches smaller than the request. */
#define INSERT_OUTGROWN 1

/* Puts the request into *lane's partition, or, that being NULL, into the next
 * that takes it, and waits for room; *lane is then where it went. With `hold`,
 * reserves instead. 0, DATABUFFER_ETIMEDOUT, DATABUFFER_EFULL,
 * DATABUFFER_ESTOPPED or, for more than one item, INSERT_OUTGROWN. The caller is
 * inside. */
int insert_waiting(struct producer *producer, struct lane **lane, const struct lease_request *request,
                   const void *data, struct hold *hold, struct insert_deadline *deadline);

#define INSERT_EVENTS (DATABUFFER_INSERT_START | DATABUFFER_INSERT_STOP | DATABUFFER_INSERT_EXCEPTION)

/* Tells of an insert, if anybody wants to know. */
void insert_emit(const struct databuffer *buf, databuffer_event_kind kind, unsigned partition, size_t size,
                 size_t bytes, int64_t duration_ns, int status);

#endif
