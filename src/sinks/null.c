/* SPDX-License-Identifier: MIT */
/*
 * null.c: takes everything and keeps nothing. To measure what a stream costs
 * without its end, and, with a delay, to see how it behaves before a slow one.
 */
#include <stdlib.h>
#include <time.h>

#include <databuffer/sink.h>

#define NULL_SLICE 10 /* ms: how soon a cancelled batch is let go */

static const databuffer_sink_parameter null_parameters[] = {
	{
		.name = "delay",
		.type = DATABUFFER_OPTION_NUMBER,
		.unit = "ms",
		.initial = "0",
		.min = 0,
		.max = 3600000,
		.help = "how long each batch takes",
	},
	{ .name = NULL },
};

enum {
	NULL_DELAY
};

struct null {
	int64_t delay;
};

static int null_open(const databuffer_sink_config *config, void **opened, databuffer_sentence *why)
{
	struct null *state = malloc(sizeof(*state));

	if (!state)
		return databuffer_sentence_set(why, -ENOMEM, "memory ran out");
	state->delay = config->values[NULL_DELAY].number;
	*opened = state;
	return 0;
}

static int null_flush(void *opened, databuffer_batch *batch, databuffer_sentence *why)
{
	const struct null *state = opened;

	for (int64_t left = state->delay; left > 0; left -= NULL_SLICE) {
		struct timespec slice = { .tv_nsec = (left < NULL_SLICE ? left : NULL_SLICE) * 1000000 };

		if (databuffer_batch_cancelled(batch))
			return databuffer_sentence_set(why, DATABUFFER_RETRY,
			                               "the batch was cancelled during its delay");
		nanosleep(&slice, NULL);
	}
	return 0;
}

DATABUFFER_SINK(null) = {
	.abi = DATABUFFER_SINK_ABI,
	.name = "null",
	.help = "takes records and keeps none, to measure or to try things out",
	.parameters = null_parameters,
	.open = null_open,
	.flush = null_flush,
	.close = free,
};
