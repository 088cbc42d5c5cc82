/* SPDX-License-Identifier: MIT */
/* Whether a batch that failed for now is tried again, and when. */
#include "core/partition_parts.h"

#include <inttypes.h>
#include <stdio.h>

static int64_t retry_for_ns(const databuffer_options *o)
{
	return port_deadline_ns(0, o->retry_for);
}

/* Full jitter: anything from retry_min to a bound that doubles from there with
 * each failed attempt, so that partitions which failed together do not come back
 * together. */
static int64_t draw_backoff(struct partition *partition, unsigned attempt)
{
	const databuffer_options *o = partition->options;
	if (partition->stopping)
		return o->retry_min;
	int64_t cap = o->retry_min;
	for (unsigned i = 0; i < attempt && cap < o->retry_max; i++)
		cap = cap <= o->retry_max / 2 ? cap * 2 : o->retry_max;
	return cut_draw(partition, o->retry_min, cap - o->retry_min);
}

int64_t retry_at(struct partition *partition, const struct databuffer_batch *batch, int64_t now_ns)
{
	const struct breaker *breaker = &partition->breaker;
	/* Probes are not always of one batch: the backoff between them goes by what
	 * the partition has been through. */
	unsigned failures = breaker->open && breaker->failures > batch->attempt ? breaker->failures : batch->attempt;
	int64_t at = port_deadline_ns(now_ns, draw_backoff(partition, failures));
	if (partition->options->retry_for == 0 || !batch->failing)
		return at;
	/* The last attempt is made when the time is up, however long the backoff. */
	int64_t last = batch->failing_since_ns + retry_for_ns(partition->options);
	return at < last ? at : last;
}

bool retry_is_over(const struct partition *partition, const struct databuffer_batch *batch, int answer, int64_t now_ns,
                   struct retry_reason *reason)
{
	const databuffer_options *o = partition->options;
	const char *sentence = databuffer_strerror(answer);
	int64_t failing_ns = batch->failing ? now_ns - batch->failing_since_ns : 0;
	if (batch->from < batch->spent_end)
		snprintf(reason->text, sizeof(reason->text), "given up with its batch, and failed alone too (%d: %s)",
		         answer, sentence);
	else if (o->retry_limit > 0 && batch->attempt >= (uint64_t)o->retry_limit)
		snprintf(reason->text, sizeof(reason->text), "given up after %u attempts, by retry_limit (%d: %s)",
		         batch->attempt, answer, sentence);
	else if (o->retry_for > 0 && failing_ns >= retry_for_ns(o))
		snprintf(reason->text, sizeof(reason->text),
		         "given up after %u attempts in %" PRId64 " ms, by retry_for (%d: %s)", batch->attempt,
		         failing_ns / PORT_NS_PER_MS, answer, sentence);
	else
		return false;
	return true;
}
