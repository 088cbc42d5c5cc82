/* SPDX-License-Identifier: MIT */
/* The way of a batch to a worker and back, as the oracle sees it: sent, begun,
 * said, and told; each of them may be the last of its worker. */
#include "sim/actors.h"

#include "core/dispatch.h"
#include "sim/processes.h"

void __real_dispatch_submit(struct dispatch *dispatch, struct crew *crew, struct worker *worker,
                            struct segment *segment, int64_t now_ns);
void __wrap_dispatch_submit(struct dispatch *dispatch, struct crew *crew, struct worker *worker,
                            struct segment *segment, int64_t now_ns);
void __real_dispatch_wait(struct dispatch *dispatch);
void __wrap_dispatch_wait(struct dispatch *dispatch);

void __wrap_dispatch_submit(struct dispatch *dispatch, struct crew *crew, struct worker *worker,
                            struct segment *segment, int64_t now_ns)
{
	oracle_sends(crew->buf->options.flush_meta, &segment->batch);
	__real_dispatch_submit(dispatch, crew, worker, segment, now_ns);
}

static struct flight *own_flight(void)
{
	for (unsigned i = 0; i < FLIGHTS_MAX; i++) {
		struct flight *flight = &oracle_flights[i];
		if (flight->in_use && flight->sent && !flight->answered && flight->task == world_self())
			return flight;
	}
	world_fail("a task waits for a batch that it has not sent");
}

/* Nothing can come between what these do and the state of the mailbox. */
bool __real_mailbox_take(struct mailbox *mailbox, struct mailbox_job *job);
bool __wrap_mailbox_take(struct mailbox *mailbox, struct mailbox_job *job);
void __real_mailbox_say_answered(struct mailbox *mailbox);
void __wrap_mailbox_say_answered(struct mailbox *mailbox);

static _Thread_local struct flight *taken; /* by the calling worker */

bool __wrap_mailbox_take(struct mailbox *mailbox, struct mailbox_job *job)
{
	if (!__real_mailbox_take(mailbox, job))
		return false;
	taken = oracle_takes(process_self()->buf->options.flush_meta, job->id);
	return true;
}

void __wrap_mailbox_say_answered(struct mailbox *mailbox)
{
	taken->said = true;
	__real_mailbox_say_answered(mailbox);
}

/* --- What is told of it -------------------------------------------------------------------- */

static void check_death(const struct flight *flight, const struct dispatch *dispatch)
{
	const struct outcome *outcome = &dispatch->outcome;
	if (!process_of(dispatch->worker->process)->ended)
		world_fail("a worker is told to be dead, and lives");
	if (flight->said)
		world_fail("a worker dies after its answer, which is lost");
	if (outcome->taken != (flight->taken && !dispatch->worker->orphaned))
		world_fail("a worker dies that had%s taken its batch, and is told otherwise",
		           flight->taken ? "" : " not");
	if (outcome->late && flight->deadline_ns > world_now_ns() && !oracle_gives_up(flight->account))
		world_fail("a worker is killed for being late before its time");
}

static void check_answer(const struct flight *flight, const struct dispatch *dispatch, unsigned failures)
{
	int answer = dispatch->outcome.answer;
	bool no_memory = answer == DATABUFFER_ENOMEM && port_failures(world_self()) != failures;
	if (!flight->said || !flight->returned || (answer != flight->answer && !no_memory))
		world_fail("a worker's handler answered %d, and is told to have answered %d", flight->answer, answer);
}

void __wrap_dispatch_wait(struct dispatch *dispatch)
{
	struct flight *flight = own_flight();
	unsigned failures = port_failures(world_self());
	__real_dispatch_wait(dispatch);
	if (dispatch->outcome.died) {
		check_death(flight, dispatch);
		oracle_dies(flight, dispatch->outcome.taken, &process_of(dispatch->worker->process)->end);
	} else {
		check_answer(flight, dispatch, failures);
		oracle_lands(flight, dispatch->outcome.answer);
	}
}

/* --- The program's handlers of workers ------------------------------------------------------ */

static void dawdle(void)
{
	if (fault(FAULT_SLOW_START))
		world_sleep_ns(plan_time_ns());
	world_point(POINT_ACT);
}

int workers_start(void *account)
{
	(void)account;
	dawdle();
	return fault(FAULT_NO_START) ? -1 : 0;
}

void workers_stop(void *account)
{
	(void)account;
	dawdle();
}
