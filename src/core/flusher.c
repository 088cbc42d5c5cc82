/* SPDX-License-Identifier: MIT */
/* Flushing what is ready in a partition, batch by batch. */
#include "core/flusher.h"

#include "core/debug.h"
#include "core/dispatch.h"
#include "core/guard.h"
#include "core/log.h"
#include "core/registry.h"
#include "core/telemetry.h"

#define QUIET_NS (1000 * PORT_NS_PER_MS)

static _Thread_local struct databuffer *current;

struct databuffer *flusher_current(void)
{
	return current;
}

struct databuffer *flusher_enter(struct databuffer *buf)
{
	struct databuffer *outer = current;
	current = buf;
	return outer;
}

/* --- One batch ----------------------------------------------------------------------- */

static void emit(struct partition *partition, struct segment *segment, databuffer_event_kind kind,
                 int64_t duration_ns, int status)
{
	if (!telemetry_wants(kind))
		return;
	const struct databuffer_batch *batch = &segment->batch;
	databuffer_event event = {
		.kind = kind,
		.buffer = partition->name,
		.partition = partition->number,
		.size = databuffer_batch_size(batch),
		.bytes = databuffer_batch_bytes(batch),
		.trigger = batch->trigger,
		.attempt = batch->attempt,
		.duration_ns = duration_ns,
		.system_time_ns = port_system_time_ns(),
		.status = status,
	};
	telemetry_emit(&event);
}

/* A call as it was, once its verdict has moved the batch on. */
struct attempt {
	unsigned number;
	size_t size;
	int answer;
	const char *why;
};

/* One line a second is enough to see that a sink is down. */
static void warn_of_failure(struct partition *partition, const struct attempt *attempt, const struct verdict *verdict)
{
	struct databuffer *buf = partition->buffer;
	if (atomic_load_explicit(&buf->state, memory_order_acquire) == BUFFER_STOPPED)
		return;
	int64_t now = port_now_ns(), quiet = atomic_load_explicit(&buf->quiet_until_ns, memory_order_relaxed);
	if (now < quiet || !atomic_compare_exchange_strong_explicit(&buf->quiet_until_ns, &quiet, now + QUIET_NS,
	                                                            memory_order_relaxed, memory_order_relaxed))
		return;
	log_line(&buf->options, DATABUFFER_LOG_WARNING,
	         "buffer '%s', partition %u: attempt %u to flush %zu items failed (%d: %s); %s", partition->name,
	         partition->number, attempt->number, attempt->size, attempt->answer, attempt->why,
	         verdict->spent ? "that was the last, and what fails alone is given up" :
	                          "they are kept and tried again");
}

/* The program's handlers are called from here, guarded: not all return. */
struct handler {
	const databuffer_options *options;
	struct databuffer_batch *batch;
	int answer;
	const databuffer_item *item;
	const databuffer_reason *reason;
};

static void call_flush(void *arg)
{
	struct handler *handler = arg;
	handler->answer = handler->options->handle_flush(handler->batch, handler->options->flush_meta);
}

static void call_dead(void *arg)
{
	const struct handler *handler = arg;
	handler->options->handle_dead(handler->item, handler->reason, handler->options->flush_meta);
}

static int flush_guarded(const databuffer_options *options, struct databuffer_batch *batch)
{
	struct handler handler = { .options = options, .batch = batch };
	return guard_run(call_flush, &handler) ? handler.answer : DATABUFFER_ECANCELED;
}

/* Who does not return was told of the item all the same. */
static void bury_guarded(const databuffer_options *options, const databuffer_item *item,
                         const databuffer_reason *reason)
{
	struct handler handler = { .options = options, .item = item, .reason = reason };
	guard_run(call_dead, &handler);
}

static void bury(struct partition *partition, struct segment *segment, const struct verdict *verdict, int answer)
{
	const databuffer_options *options = partition->options;
	for (uint32_t i = 0; i < verdict->dead; i++) {
		const struct batch_dead *dead = &segment->batch.dead[i];
		databuffer_item item = { segment->arena + slot_offset(dead->entry), slot_len(dead->entry) };
		databuffer_reason reason = {
			.partition = partition->number,
			.status = answer == 0 ? DATABUFFER_REJECT : answer,
			.attempts = segment->batch.calls,
			.text = dead->text,
		};
		if (options->handle_dead)
			bury_guarded(options, &item, &reason);
		else
			log_line(options, DATABUFFER_LOG_WARNING,
			         "buffer '%s', partition %u: an item of %zu bytes is lost: %s; set handle_dead to keep such items",
			         partition->name, partition->number, item.len, dead->text);
	}
}

/* In a child that a handler forked there is nothing to go back to: its batch is
 * the parent's, and here the buffer is empty. */
static void end_if_forked(uint32_t generation)
{
	if (generation != fork_generation())
		pthread_exit(NULL);
}

/* In a worker, if there is one, and else here; not at all once a stop has given the
 * batch up, of which the look is the last thing before the call. Returns when it was
 * over. */
static int64_t run_handler(struct databuffer *buf, struct worker *worker, struct segment *segment,
                           struct outcome *outcome)
{
	int64_t begin = port_now_ns();
	if (!partition_begin_call(segment))
		return begin;
	if (worker && !worker->here) {
		struct dispatch dispatch;
		dispatch_submit(&dispatch, buf->crew, worker, segment, begin);
		dispatch_wait(&dispatch);
		*outcome = dispatch.outcome;
		return port_now_ns();
	}
	outcome->answer = flush_guarded(&buf->options, &segment->batch);
	int64_t end = port_now_ns();
	outcome->duration_ns = end - begin;
	return end;
}

/* By the time of the answer: the handlers of events that hear of it first may take
 * theirs, which is not the batch's fault. */
static struct verdict judge(struct partition *partition, struct segment *segment, const struct outcome *outcome,
                            int64_t end_ns)
{
	int64_t now_ns = buffer_is_manual(partition->buffer) ? buffer_now_ns(partition->buffer) : end_ns;
	if (!outcome->died)
		return partition_judge(partition, segment, outcome->answer, now_ns);
	const struct worker_death death = { .text = outcome->death, .counts = outcome->taken, .late = outcome->late };
	return partition_judge_death(partition, segment, &death, now_ns);
}

/* Runs the handler on a taken segment and lands it. Returns with the partition
 * locked, and what is to be done in *todo. */
static void flush_segment(struct partition *partition, struct segment *segment, struct worker *worker, unsigned *todo)
{
	struct databuffer *buf = partition->buffer;
	struct databuffer_batch *batch = &segment->batch;
	uint32_t generation = fork_generation();

	struct databuffer *outer = flusher_enter(buf);
	emit(partition, segment, DATABUFFER_FLUSH_START, 0, 0);
	end_if_forked(generation);
	struct outcome outcome = { .answer = DATABUFFER_ESTOPPED };
	int64_t end = run_handler(buf, worker, segment, &outcome);
	end_if_forked(generation);

	int answer = outcome.answer;
	if (outcome.died)
		answer = outcome.late ? DATABUFFER_ETIMEDOUT : DATABUFFER_EWORKER;
	/* Before the verdict, which moves the batch on to its next items. */
	if (answer == 0)
		emit(partition, segment, DATABUFFER_FLUSH_STOP, outcome.duration_ns, 0);
	else
		emit(partition, segment, DATABUFFER_FLUSH_EXCEPTION, outcome.duration_ns, answer);
	end_if_forked(generation);
	pthread_mutex_lock(&buf->times_lock);
	histogram_record(&buf->flush_times, (uint64_t)outcome.duration_ns);
	pthread_mutex_unlock(&buf->times_lock);

	const char *why = outcome.died ? outcome.death : databuffer_strerror(answer);
	struct attempt attempt = { batch->attempt, databuffer_batch_size(batch), answer, why };
	bool failed = !answer_is_final(answer);
	STEP("flusher: has its answer");
	pthread_mutex_lock(&partition->lock);
	struct verdict verdict = judge(partition, segment, &outcome, end);
	if (verdict.dead > 0 || failed) {
		pthread_mutex_unlock(&partition->lock);
		if (failed)
			warn_of_failure(partition, &attempt, &verdict);
		bury(partition, segment, &verdict, answer);
		end_if_forked(generation);
		STEP("flusher: to land");
		pthread_mutex_lock(&partition->lock);
	}
	batch_finish(batch);
	*todo |= partition_land(partition, segment, &verdict, buffer_now_ns(buf));
	flusher_enter(outer);
}

/* Flushes whatever is ready in the partition. Returns the next to serve: one that
 * has waited for who runs the handlers here, and goes first. `sent`: the thread was
 * sent for this partition, and is no longer on its way. */
static struct partition *serve(struct partition *partition, bool sent, unsigned *handlers)
{
	struct crew *crew = partition->buffer->crew;
	struct partition *next = NULL;
	unsigned todo = 0;
	uint32_t generation = fork_generation();
	STEP("flusher: comes");
	pthread_mutex_lock(&partition->lock);
	partition->submitted = partition->submitted && !sent;
	for (int64_t now; !next && partition_is_ready(partition, now = buffer_now_ns(partition->buffer));) {
		struct worker *worker = crew ? crew_claim(crew, partition) : NULL;
		if (crew && !worker)
			break;
		struct segment *segment = partition_take(partition, now);
		segment->in_worker = worker && !worker->here;
		/* More than one flight: another thread may take the next. */
		news_unlock(partition, partition_is_ready(partition, now) ? TODO_FLUSH | todo : todo & ~TODO_FLUSH);
		pressure_tell(partition->buffer);
		end_if_forked(generation);
		STEP("flusher: has taken");
		todo = 0;
		flush_segment(partition, segment, worker, &todo);
		++*handlers;
		if (worker)
			next = crew_release(crew, worker, partition);
		if (guard_is_unfit())
			break; /* what is ready is for another thread, or for the next databuffer_work */
	}
	if (crew && !next)
		next = crew_decline(crew, partition);
	news_unlock(partition, guard_is_unfit() ? todo : todo & ~TODO_FLUSH);
	pressure_tell(partition->buffer);
	end_if_forked(generation);
	if (next && guard_is_unfit()) {
		crew_call(crew, next);
		return NULL;
	}
	return next;
}

unsigned flusher_serve(struct partition *partition)
{
	unsigned handlers = 0;
	struct partition *next = serve(partition, true, &handlers);
	while (next)
		next = serve(next, false, &handlers);
	return handlers;
}
