/* SPDX-License-Identifier: MIT */
/* Moving the state of a mailbox, and waiting for it to move. */
#include "core/mailbox.h"

#include <limits.h>

#include "core/lane.h"
#include "port/port.h"
#include "port/shared.h"

/* Either side looks this long for the other to move before it sleeps: a wake costs
 * its waker some 16 microseconds, and comes late. */
#define LOOK_NS 50000

size_t mailbox_footprint(uint32_t named_room)
{
	return align_up(sizeof(struct mailbox) + (size_t)named_room * sizeof(struct batch_dead), 4096);
}

enum mailbox_state mailbox_state(struct mailbox *mailbox)
{
	return atomic_load_explicit(&mailbox->state, memory_order_seq_cst);
}

static bool move(struct mailbox *mailbox, uint32_t from, enum mailbox_state to)
{
	return atomic_compare_exchange_strong_explicit(&mailbox->state, &from, to, memory_order_seq_cst,
	                                               memory_order_seq_cst);
}

static void wake(struct mailbox *mailbox, _Atomic uint32_t *sleeps)
{
	if (atomic_load_explicit(sleeps, memory_order_seq_cst) != 0)
		port_wake_shared(&mailbox->state, INT_MAX);
}

/* Whatever else the state may be, there is something to do. */
static bool is_waiting_state(uint32_t state, uint32_t one, uint32_t other)
{
	return state == one || state == other;
}

static void look(struct mailbox *mailbox, uint32_t one, uint32_t other)
{
	int64_t until_ns = port_now_ns() + LOOK_NS;
	for (unsigned round = 0; is_waiting_state(mailbox_state(mailbox), one, other); round++) {
		port_yield(round);
		if (round % 16 == 0 && port_now_ns() >= until_ns)
			break;
	}
}

/* Waits until the state is neither of the two, or the deadline past. */
static uint32_t wait_while(struct mailbox *mailbox, _Atomic uint32_t *sleeps, uint32_t one, uint32_t other,
                           int64_t deadline_ns)
{
	uint32_t state;
	look(mailbox, one, other);
	atomic_store_explicit(sleeps, 1, memory_order_seq_cst);
	while (is_waiting_state(state = mailbox_state(mailbox), one, other))
		if (!port_wait_shared(&mailbox->state, state, deadline_ns))
			break;
	atomic_store_explicit(sleeps, 0, memory_order_relaxed);
	return state;
}

/* --- The application's side ------------------------------------------------------ */

void mailbox_reset(struct mailbox *mailbox)
{
	mailbox->was = MAILBOX_STARTING;
	mailbox->end_by_signal = mailbox->end_number = 0;
	mailbox->start_answer = 0;
	atomic_store_explicit(&mailbox->worker_sleeps, 0, memory_order_relaxed);
	atomic_store_explicit(&mailbox->state, MAILBOX_STARTING, memory_order_seq_cst);
}

bool mailbox_post(struct mailbox *mailbox, const struct mailbox_job *job)
{
	mailbox->job = *job;
	if (!move(mailbox, MAILBOX_IDLE, MAILBOX_POSTED))
		return false;
	wake(mailbox, &mailbox->worker_sleeps);
	return true;
}

bool mailbox_collect(struct mailbox *mailbox)
{
	return move(mailbox, MAILBOX_ANSWERED, MAILBOX_IDLE);
}

bool mailbox_dismiss(struct mailbox *mailbox)
{
	if (!move(mailbox, MAILBOX_IDLE, MAILBOX_LEAVING))
		return false;
	wake(mailbox, &mailbox->worker_sleeps);
	return true;
}

enum mailbox_state mailbox_wait(struct mailbox *mailbox, int64_t deadline_ns)
{
	return wait_while(mailbox, &mailbox->application_sleeps, MAILBOX_POSTED, MAILBOX_TAKEN, deadline_ns);
}

/* --- The worker's side ------------------------------------------------------------- */

void mailbox_say_ready(struct mailbox *mailbox)
{
	move(mailbox, MAILBOX_STARTING, MAILBOX_IDLE);
}

bool mailbox_take(struct mailbox *mailbox, struct mailbox_job *job)
{
	while (!move(mailbox, MAILBOX_POSTED, MAILBOX_TAKEN))
		if (wait_while(mailbox, &mailbox->worker_sleeps, MAILBOX_IDLE, MAILBOX_ANSWERED, PORT_NEVER) !=
		    MAILBOX_POSTED)
			return false;
	*job = mailbox->job;
	return true;
}

void mailbox_say_answered(struct mailbox *mailbox)
{
	move(mailbox, MAILBOX_TAKEN, MAILBOX_ANSWERED);
	wake(mailbox, &mailbox->application_sleeps);
}

/* --- The fork server's --------------------------------------------------------------- */

void mailbox_bury(struct mailbox *mailbox, const struct port_end *end)
{
	uint32_t was = mailbox_state(mailbox);
	if (was == MAILBOX_GONE)
		return; /* what has been said of it is being read */
	mailbox->end_by_signal = end->by_signal;
	mailbox->end_number = end->number;
	/* The application may still post, collect or dismiss. */
	for (mailbox->was = was; !move(mailbox, was, MAILBOX_GONE); mailbox->was = was)
		was = mailbox_state(mailbox);
	wake(mailbox, &mailbox->application_sleeps);
}
