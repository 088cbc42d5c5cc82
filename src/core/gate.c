/* SPDX-License-Identifier: MIT */
/* When the next batch may go: a slot, the breaker, its backoff, the rate limit. */
#include "core/partition_parts.h"

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

int64_t gate_opens(const struct partition *partition)
{
	if (partition->in_flight >= (unsigned)partition->options->max_in_flight)
		return PORT_NEVER;
	if (!partition->breaker.open)
		return INT64_MIN;
	return partition->in_flight > 0 ? PORT_NEVER : partition->breaker.until_ns;
}

/* But for the rate limit. */
static int64_t next_unpaced(const struct partition *partition)
{
	const struct list *first = list_first(&partition->queue);
	return first ? later(gate_opens(partition), SEGMENT_OF(first)->not_before_ns) : PORT_NEVER;
}

int64_t gate_next(const struct partition *partition)
{
	int64_t next = next_unpaced(partition);
	return partition->booked ? later(next, partition->booked_ns) : next;
}

int64_t gate_next_cut(const struct partition *partition)
{
	return later(gate_opens(partition), partition->next_cut_ns);
}

bool partition_is_ready(const struct partition *partition, int64_t now_ns)
{
	return gate_next(partition) <= now_ns && (partition->booked || !pace_limits(partition->options));
}

bool gate_is_paced(const struct partition *partition, int64_t now_ns)
{
	return partition->booked && partition->booked_ns > now_ns && next_unpaced(partition) <= now_ns;
}

void partition_defer(struct partition *partition, int64_t until_ns)
{
	SEGMENT_OF(list_first(&partition->queue))->not_before_ns = until_ns;
}

/* --- The rate limit ------------------------------------------------------------------------ */

void gate_book(struct partition *partition, int64_t now_ns)
{
	if (!pace_limits(partition->options) || partition->booked || next_unpaced(partition) > now_ns)
		return;
	struct segment *segment = SEGMENT_OF(list_first(&partition->queue));
	batch_limit(&segment->batch, partition->fit.bound);
	partition->booked = true;
	partition->booked_items = segment->batch.to - segment->batch.from;
	partition->booked_ns = pace_book(partition->pace, partition->options, partition->booked_items, now_ns);
	if (partition->booked_ns > now_ns && news_is_heard(DATABUFFER_RATE_LIMITED)) {
		databuffer_event *event = &flight_news(partition, segment, DATABUFFER_RATE_LIMITED, now_ns, 0)->event;
		event->attempt++; /* which is yet to come */
		event->duration_ns = partition->booked_ns - now_ns;
	}
}

void gate_pass(struct partition *partition, struct databuffer_batch *batch)
{
	batch_limit(batch, partition->fit.bound);
	if (partition->booked)
		pace_correct(partition->pace, partition->options, partition->booked_items, batch->to - batch->from);
	partition->booked = false;
}

/* --- The breaker ------------------------------------------------------------------------------ */

void gate_answer(struct partition *partition, const struct segment *segment, int answer, int64_t now_ns)
{
	struct breaker *breaker = &partition->breaker;
	if (answer_is_final(answer)) {
		int64_t opened_ns = breaker->opened_ns;
		if (breaker_answer(breaker))
			/* The answer may have come before that of another flight opened it. */
			flight_news(partition, segment, DATABUFFER_BREAKER_CLOSE, now_ns, answer)->event.duration_ns =
				now_ns > opened_ns ? now_ns - opened_ns : 0;
	} else if (breaker_fail(breaker, partition->options->breaker_failures, now_ns)) {
		struct news_item *item = flight_news(partition, segment, DATABUFFER_BREAKER_OPEN, now_ns, answer);
		item->failures = breaker->failures;
	}
}

void gate_back_off(struct partition *partition, const struct databuffer_batch *batch, int64_t now_ns)
{
	if (partition->breaker.open)
		partition->breaker.until_ns = retry_at(partition, batch, now_ns);
}

/* --- Other options ------------------------------------------------------------------------------ */

void gate_reconsider(struct partition *partition, const databuffer_options *before, int64_t now_ns)
{
	struct breaker *breaker = &partition->breaker;
	if (pace_differs(before, partition->options))
		partition->booked = false;
	if (partition->options->breaker_failures == 0 && breaker->open) {
		news_add(partition, DATABUFFER_BREAKER_CLOSE)->event.duration_ns = now_ns - breaker->opened_ns;
		breaker->open = false;
	}
}
