/* SPDX-License-Identifier: MIT */
/* The life of a worker. */
#include "core/worker.h"

#include <stdio.h>

#include "core/crew.h"
#include "core/segment.h"
#include "port/shared.h"

/* Statuses that say which step of its own a worker could not take. */
enum {
	EXIT_ORDERLY = 0,
	EXIT_START_FAILED = 112
};

/* A batch as the handler sees it: the application's, by where it is, in memory that
 * is this process's. */
static struct databuffer_batch *open_batch(struct segment *segment, const struct databuffer *buf,
                                           const struct mailbox_job *job)
{
	const struct partition *partition = &buf->partitions[job->partition];
	unsigned char *base = partition->store.base;
	struct databuffer_batch *batch = &segment->batch;
	memset(segment, 0, sizeof(*segment));
	segment->index = (_Atomic uint64_t *)(void *)(base + job->index);
	segment->arena = base + job->arena;
	segment->settled = job->settled;
	segment->bytes = job->bytes;
	segment->item_len = job->item_len;
	batch_init(batch, segment, job->to, (databuffer_trigger)job->trigger);
	batch->name = partition->name;
	batch->partition = job->partition;
	batch->from = batch->cursor = job->from;
	batch->id = job->id;
	batch->attempt = job->attempt;
	batch->deadline_ns = job->deadline_ns;
	batch->dead_most = buf->crew->named_room;
	return batch;
}

static void answer(struct mailbox *mailbox, const struct databuffer_batch *batch, int answer, int64_t duration_ns)
{
	mailbox->answer = (struct mailbox_answer){
		.answer = answer,
		.duration_ns = duration_ns,
		.named = batch->dead_count,
		.result_len = batch->result_len,
	};
	if (batch->result_len > 0)
		memcpy(mailbox->result, batch->result, batch->result_len);
	if (batch->dead_count > 0)
		memcpy(mailbox->named, batch->dead, batch->dead_count * sizeof(*batch->dead));
	mailbox_say_answered(mailbox);
}

static void flush(struct databuffer *buf, struct mailbox *mailbox, const struct mailbox_job *job)
{
	struct segment segment;
	struct databuffer_batch *batch = open_batch(&segment, buf, job);
	int64_t begin = port_now_ns();
	int answered = buf->options.handle_flush(batch, buf->options.flush_meta);
	/* What a handler prints belongs to its batch. */
	fflush(stdout);
	answer(mailbox, batch, answered, port_now_ns() - begin);
	batch_finish(batch);
	batch_drop_result(batch);
}

static void start(const struct worker_birth *birth, struct mailbox *mailbox)
{
	const databuffer_options *o = &birth->buf->options;
	int rc = o->handle_worker_start ? o->handle_worker_start(o->flush_meta) : 0;
	if (rc != 0) {
		mailbox->start_answer = rc;
		port_exit(EXIT_START_FAILED);
	}
	/* A change of user on the way has made the system forget this. */
	if (!port_end_with_parent(birth->parent_pid))
		port_exit(EXIT_ORDERLY);
	mailbox_say_ready(mailbox);
	port_nudge(birth->parent_pid);
}

/* A wild write must not reach what belongs to others. */
static void shut_out(const struct crew *crew, uint32_t number)
{
	size_t before = number * crew->footprint, after = (crew->count - number - 1) * crew->footprint;
	if (before > 0)
		port_forbid_access(crew->mailboxes, before);
	if (after > 0)
		port_forbid_access(crew->mailboxes + before + crew->footprint, after);
}

void worker_main(const struct worker_birth *birth)
{
	struct databuffer *buf = birth->buf;
	const databuffer_options *o = &buf->options;
	struct mailbox *mailbox = crew_mailbox(buf->crew, birth->number);
	struct mailbox_job job;
	if (!port_end_with_parent(birth->parent_pid))
		port_exit(EXIT_ORDERLY);
	port_name_process("db-worker");
	if (birth->errors >= 0)
		port_redirect_errors(birth->errors);
	shut_out(buf->crew, birth->number);
	if (o->worker_memory_limit > 0)
		port_limit_memory((uint64_t)o->worker_memory_limit);
	port_default_signals(birth->signals);
	start(birth, mailbox);
	while (mailbox_take(mailbox, &job))
		flush(buf, mailbox, &job);
	if (o->handle_worker_stop)
		o->handle_worker_stop(o->flush_meta);
	fflush(stdout);
	port_exit(EXIT_ORDERLY);
}
