/* SPDX-License-Identifier: MIT */
/*
 * Watermarks: how many bytes a buffer holds, roughly at all times and exactly
 * where it matters, and who is told that they have reached the high mark or have
 * sunk to the low one.
 *
 *      held
 *      high ─────────────────x───────────────     x  told: 1
 *                           / \     _
 *      low  ───────────────/───\───/─\───o───     o  told: 0
 *                         /     \_/   \_/
 *
 * An insert that has a lease counts nothing. Each partition's bytes are taken
 * whenever its lock is let go (a lease, one that is used up, a cut, a landing),
 * and the difference to the time before is added to one sum for all. What lanes
 * have put into their leases since is not seen. So that the sum does not pass the
 * high mark unseen, a lease below it promises only a share of the bytes that are
 * missing: leases shrink as the mark comes near, the last ones are of one item, and
 * the insert that reaches the mark has used its lease up and takes the lock. Above
 * it all leases together promise less than what lies between the marks, and so do
 * not reach from the low one to the high one again.
 *
 * Whoever moves the sum moves `level`, and tells of it once it is out of the
 * library's way: no lock held, nothing of the call left to do. One thread tells at
 * a time, and looks again when it has, so that the last that is told is the last
 * that was.
 */
#ifndef DATABUFFER_CORE_PRESSURE_H
#define DATABUFFER_CORE_PRESSURE_H

#include <stdatomic.h>
#include <stdint.h>

struct databuffer;
struct partition;

struct pressure {
	_Atomic uint64_t held;     /* bytes that were seen */
	_Atomic uint64_t promised; /* and what leases may add to them */
	_Atomic uint32_t level;    /* 1 from the high mark on, until the low one */
	_Atomic uint32_t talk;     /* what was told last, and whether somebody tells */
};

/* Takes what a partition holds; its lock is held. */
void pressure_count(struct partition *partition);

/* How much the partition's next lease may promise; its lock is held. */
void pressure_limit(struct partition *partition);

/* Calls handle_pressure if there is news; no lock is held, and what the caller was
 * about is done. */
void pressure_tell(struct databuffer *buf);

/* At the end of a stop: counts and tells once more, and nobody tells after that.
 * Waits for a call that is under way, up to the deadline. */
void pressure_close(struct databuffer *buf, int64_t deadline_ns);

/* In a child after fork. */
void pressure_reset(struct databuffer *buf);

#endif
