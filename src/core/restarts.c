/* SPDX-License-Identifier: MIT */
/* Counting deaths, and holding back. */
#include "core/restarts.h"

#include <string.h>

#include "core/memory.h"

bool restarts_init(struct restarts *restarts, unsigned max, int64_t period_ns, int64_t backoff_min_ns,
                   int64_t backoff_max_ns, const databuffer_allocator *allocator)
{
	memset(restarts, 0, sizeof(*restarts));
	restarts->max = max;
	restarts->period_ns = period_ns;
	restarts->backoff_min_ns = backoff_min_ns;
	restarts->backoff_max_ns = backoff_max_ns;
	restarts_forget(restarts);
	restarts->allocator = allocator;
	restarts->deaths = memory_get_zeroed(allocator, (size_t)max + 1, sizeof(*restarts->deaths));
	return restarts->deaths != NULL;
}

void restarts_fini(struct restarts *restarts)
{
	memory_free(restarts->allocator, restarts->deaths);
}

void restarts_forget(struct restarts *restarts)
{
	restarts->count = restarts->next = restarts->backoffs = 0;
	restarts->until_ns = restarts->last_ns = INT64_MIN;
}

/* Whether this death is one more than `max` in a period. */
static bool is_too_many(const struct restarts *restarts, int64_t now_ns)
{
	if (restarts->max == 0)
		return true;
	/* The ring is full of deaths, and the oldest is not old. */
	return restarts->count == restarts->max && restarts->deaths[restarts->next] > now_ns - restarts->period_ns;
}

/* When the quiet began: at the last death, or when something was started after it. */
static int64_t quiet_since(const struct restarts *restarts)
{
	return restarts->until_ns > restarts->last_ns ? restarts->until_ns : restarts->last_ns;
}

static int64_t backoff_ns(const struct restarts *restarts)
{
	int64_t wait = restarts->backoff_min_ns;
	for (unsigned i = 0; i < restarts->backoffs && wait < restarts->backoff_max_ns; i++)
		wait = wait <= restarts->backoff_max_ns / 2 ? wait * 2 : restarts->backoff_max_ns;
	return wait;
}

void restarts_note(struct restarts *restarts, int64_t now_ns)
{
	bool in_trouble = restarts->backoffs > 0 && now_ns - quiet_since(restarts) < restarts->period_ns;
	if (!in_trouble)
		restarts->backoffs = 0;
	if (in_trouble || is_too_many(restarts, now_ns)) {
		restarts->until_ns = now_ns + backoff_ns(restarts);
		restarts->backoffs++;
	}
	if (restarts->max > 0) {
		restarts->deaths[restarts->next] = now_ns;
		restarts->next = (restarts->next + 1) % restarts->max;
		if (restarts->count < restarts->max)
			restarts->count++;
	}
	restarts->last_ns = now_ns;
	restarts->total++;
}

int64_t restarts_when(const struct restarts *restarts)
{
	return restarts->until_ns;
}
