/* SPDX-License-Identifier: MIT */
/*
 * A batch as its handler sees it: items [from, to) of a sealed segment, and what
 * the handler said of them. One per segment, in it.
 *
 * A batch starts as all the segment's items. When it is rejected it shrinks to
 * a prefix of what is left (see batch_judge); as prefixes are settled, `from`
 * moves up until it meets `end`.
 *
 *      0 <= from <= to <= end <= the segment's settled slots
 */
#ifndef DATABUFFER_CORE_BATCH_H
#define DATABUFFER_CORE_BATCH_H

#include <stdbool.h>

#include <databuffer.h>

struct segment;

#define BATCH_REASON_SIZE 201

/* An item that is to go to handle_dead: where it is, and why. */
struct batch_dead {
	uint64_t entry;
	uint32_t i; /* its number in the batch when it was named */
	char text[BATCH_REASON_SIZE];
};

struct databuffer_batch {
	struct segment *segment;
	const char *name; /* the buffer's */
	const databuffer_allocator *allocator; /* NULL: malloc */
	unsigned partition;
	databuffer_trigger trigger;
	uint32_t from, to, end;
	uint32_t cursor;      /* of databuffer_batch_next */

	/* Bisecting. Items [from, bad_end) are known to hold one that is rejected;
	 * bad_end <= from when nothing is known. `stride` is how many to try at once
	 * when nothing is known: about the distance of one bad item from the next. */
	uint32_t bad_end;
	uint32_t stride;
	uint32_t bad_count;   /* items found bad so far */

	/* Given up (retry.c). Items below spent_end have had all their attempts: the
	 * next failure of any of them is final. `misses` of them in a row have failed
	 * alone, and none been taken. */
	uint32_t spent_end;
	uint32_t misses;
	bool failing;             /* an attempt at these very items has failed for now, */
	int64_t failing_since_ns; /* the first of them then */

	uint64_t id;          /* of these very items; 0 until they are first taken */
	unsigned attempt;     /* of these very items */
	unsigned kills;       /* workers that died with these very items */
	unsigned calls;       /* of the handler, for any of the segment's items */
	int status;           /* the last answer, or DATABUFFER_ETIMEDOUT */
	int64_t deadline_ns;
	_Atomic int cancelled;
	void *value;
	void *result;         /* the handler's result bytes; NULL: none */
	uint32_t result_len;

	/* What the handler named in this call. */
	struct batch_dead *dead;
	uint32_t dead_count, dead_room;
	uint32_t dead_most;   /* how many may be named; 0: any number */

	/* Memory that lasts as long as the handler's call. */
	void *array;
	struct iovec *iovec;
};

void batch_init(struct databuffer_batch *batch, struct segment *segment, uint32_t count, databuffer_trigger trigger);

/* Readies it for a call of the handler, and cleans up after the call's verdict
 * has been carried out. */
void batch_begin(struct databuffer_batch *batch, int64_t deadline_ns);
/* Before that: items that were not given yet go at most `most` at once; 0: any
 * number. */
void batch_limit(struct databuffer_batch *batch, uint32_t most);
void batch_finish(struct databuffer_batch *batch);

/* Its result bytes have been told, or nobody is left to be told. */
void batch_drop_result(struct databuffer_batch *batch);

/* Adds item i to those that go to handle_dead; NULL without memory, or where no
 * more can be named. */
struct batch_dead *batch_add_dead(struct databuffer_batch *batch, uint32_t i, const char *text);

/* Whether the sink has said what it makes of these very items: all but for now. */
static inline bool answer_is_final(int answer)
{
	return answer == 0 || answer == DATABUFFER_REJECT || answer == DATABUFFER_TOO_LARGE;
}

/* What an answer comes to. Bytes and counts are of this call. */
struct verdict {
	bool transient;        /* the same items again, after a backoff */
	bool spent;            /* they would be, but have had all their attempts */
	bool at_once;          /* without one: not their doing, or held back elsewhere */
	uint32_t flushed;
	uint64_t flushed_bytes;
	uint32_t dead;         /* batch->dead[0..dead) go to handle_dead */
	uint64_t dead_bytes;
};

/* Applies the handler's answer: moves from/to on to what comes next. A rejected
 * batch of more than one item is tried in halves, the first half first; what is
 * flushed and what is found bad is settled at once, so that order holds. With k
 * bad items among n this takes about k*log2(n/k) + 2k calls.
 *
 * A transient answer where no attempt is left counts as a rejection: `given_up`
 * then is the sentence that its items die with, and else NULL. The halves have
 * no attempts of their own, so that what the sink takes alone is taken and what
 * it does not is dead, after as many calls as above. But a sink that is down
 * takes nothing, however small, and would be called for each item in vain: so
 * once BATCH_MISSES items in a row have failed alone and none in between was
 * taken, the others that were given up go with them.
 *
 * A batch that was too large is given in its halves, the first one first; an item
 * that is too large alone is bad. */
#define BATCH_MISSES 16

struct verdict batch_judge(struct databuffer_batch *batch, int answer, const char *given_up);

/* The first n of the items that are left have an outcome of another kind. */
void batch_skip(struct databuffer_batch *batch, uint32_t n);

/* The worker that had it has died in the handler, `text` saying how: what that is to
 * be judged as. Items that have killed `limit` workers are rejected; below that they
 * are tried again. A piece of what is known to hold a culprit need only kill one,
 * until the item stands alone. */
int batch_answer_of_death(struct databuffer_batch *batch, unsigned limit, const char *text);

/* Whether every item has its outcome. */
bool batch_is_done(const struct databuffer_batch *batch);

/* Items without an outcome, and their bytes. */
uint32_t batch_left(const struct databuffer_batch *batch);
uint64_t batch_left_bytes(const struct databuffer_batch *batch);

/* Item at entry `slot` of the segment. */
databuffer_item batch_item(const struct segment *segment, uint32_t slot);

#endif
