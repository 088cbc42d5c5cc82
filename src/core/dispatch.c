/* SPDX-License-Identifier: MIT */
/* Posting a batch to a worker, and reading what became of it. */
#include "core/dispatch.h"

/* Of a worker that has ended its fork server says so within this, or never will. */
#define END_NS (1000 * PORT_NS_PER_MS)

static uint64_t offset_of(const struct partition *partition, const void *at)
{
	return (uint64_t)((const unsigned char *)at - partition->store.base);
}

void dispatch_submit(struct dispatch *dispatch, struct crew *crew, struct worker *worker, struct segment *segment,
                     int64_t now_ns)
{
	const struct databuffer_batch *batch = &segment->batch;
	const struct partition *partition = &crew->buf->partitions[batch->partition];
	const struct mailbox_job job = {
		.index = offset_of(partition, segment->index),
		.arena = offset_of(partition, segment->arena),
		.id = batch->id,
		.bytes = segment->bytes,
		.deadline_ns = batch->deadline_ns,
		.partition = batch->partition,
		.from = batch->from,
		.to = batch->to,
		.settled = segment->settled,
		.item_len = segment->item_len,
		.attempt = batch->attempt,
		.trigger = batch->trigger,
	};
	*dispatch = (struct dispatch){
		.crew = crew,
		.worker = worker,
		.mailbox = crew_mailbox(crew, worker->number),
		.segment = segment,
		.begun_ns = now_ns,
		.killed_ns = PORT_NEVER,
		.ended_ns = PORT_NEVER,
	};
	dispatch->posted = mailbox_post(dispatch->mailbox, &job);
}

/* --- Answers ----------------------------------------------------------------------------- */

/* What a worker wrote may be anything. */
static bool say_names(struct dispatch *dispatch, uint32_t named)
{
	for (uint32_t i = 0; i < named && i < dispatch->crew->named_room; i++) {
		struct batch_dead dead = dispatch->mailbox->named[i];
		dead.text[BATCH_REASON_SIZE - 1] = '\0';
		if (databuffer_batch_fail(&dispatch->segment->batch, dead.i, dead.text) == DATABUFFER_ENOMEM)
			return false;
	}
	return true;
}

static void read_answer(struct dispatch *dispatch, int64_t now_ns)
{
	struct mailbox_answer answer = dispatch->mailbox->answer;
	struct databuffer_batch *batch = &dispatch->segment->batch;
	struct outcome *outcome = &dispatch->outcome;
	int64_t most = now_ns - dispatch->begun_ns;
	outcome->answer = answer.answer;
	outcome->duration_ns = answer.duration_ns >= 0 && answer.duration_ns < most ? answer.duration_ns : most;
	if (answer.result_len > 0 && answer.result_len <= DATABUFFER_RESULT_MAX)
		databuffer_batch_set_result_bytes(batch, dispatch->mailbox->result, answer.result_len);
	if (!say_names(dispatch, answer.named))
		outcome->answer = DATABUFFER_ENOMEM; /* without what was said of them the batch has to come again */
}

/* --- Deaths ---------------------------------------------------------------------------------- */

static void read_death(struct dispatch *dispatch, int64_t now_ns)
{
	struct outcome *outcome = &dispatch->outcome;
	outcome->died = true;
	uint32_t was = dispatch->mailbox->was;
	outcome->taken = dispatch->posted && was != MAILBOX_POSTED && !dispatch->worker->orphaned;
	outcome->late = crew_died_late(dispatch->crew, dispatch->worker);
	outcome->duration_ns = now_ns - dispatch->begun_ns;
	crew_tell_death(dispatch->crew, dispatch->worker, outcome->death);
}

static bool is_late(const struct dispatch *dispatch, int64_t now_ns)
{
	return dispatch->segment->batch.deadline_ns <= now_ns;
}

/* A fork server that has stopped tells of no ends. */
static void bury_if_unsaid(struct dispatch *dispatch, int64_t now_ns)
{
	if (now_ns - dispatch->begun_ns < END_NS || !port_process_has_ended(dispatch->worker->process)) {
		dispatch->ended_ns = PORT_NEVER;
		return;
	}
	if (dispatch->ended_ns == PORT_NEVER)
		dispatch->ended_ns = now_ns;
	if (now_ns - dispatch->ended_ns < END_NS)
		return;
	pthread_mutex_lock(&dispatch->crew->lock); /* the watch may be at the same */
	mailbox_bury(dispatch->mailbox, &(struct port_end){ .by_signal = false, .number = END_UNKNOWN });
	pthread_mutex_unlock(&dispatch->crew->lock);
}

bool dispatch_poll(struct dispatch *dispatch, int64_t now_ns)
{
	struct mailbox *mailbox = dispatch->mailbox;
	enum mailbox_state state = mailbox_state(mailbox);
	bool answered = state == MAILBOX_ANSWERED || (state == MAILBOX_GONE && mailbox->was == MAILBOX_ANSWERED);
	if (dispatch->posted && answered) {
		read_answer(dispatch, now_ns);
		return true;
	}
	if (state == MAILBOX_GONE) {
		read_death(dispatch, now_ns);
		return true;
	}
	/* A state that it cannot be in is the work of a handler gone mad. */
	bool mad = state != MAILBOX_POSTED && state != MAILBOX_TAKEN;
	if ((mad || is_late(dispatch, now_ns)) && dispatch->killed_ns == PORT_NEVER) {
		dispatch->killed_ns = now_ns;
		dispatch->worker->condemned = !mad;
		port_process_kill(dispatch->worker->process);
	}
	bury_if_unsaid(dispatch, now_ns);
	return false;
}

void dispatch_wait(struct dispatch *dispatch)
{
	int64_t now;
	while (!dispatch_poll(dispatch, now = port_now_ns())) {
		int64_t deadline = dispatch->segment->batch.deadline_ns;
		/* Now and then, whatever is promised. */
		int64_t until = now + END_NS;
		if (dispatch->killed_ns == PORT_NEVER && deadline < until)
			until = deadline;
		mailbox_wait(dispatch->mailbox, until);
	}
}
