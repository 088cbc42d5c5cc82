/* SPDX-License-Identifier: MIT */
/* Taking tokens, now or ahead of time. */
#include "core/pace.h"

#define NS_PER_S (1000 * PORT_NS_PER_MS)

/* What so many tokens are in time. At most some months: a batch has 2^24 items. */
static int64_t cost_ns(uint64_t tokens, int64_t rate)
{
	return (int64_t)(tokens * (uint64_t)NS_PER_S / (uint64_t)rate);
}

static int64_t later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

void pace_init(struct pace *pace)
{
	/* Long ago, and far enough from the least number to subtract from. */
	atomic_store_explicit(&pace->items_ns, INT64_MIN / 2, memory_order_relaxed);
	atomic_store_explicit(&pace->flushes_ns, INT64_MIN / 2, memory_order_relaxed);
}

static int64_t take(_Atomic int64_t *empty_ns, int64_t cost, int64_t now_ns)
{
	int64_t need = cost < PACE_BURST_NS ? cost : PACE_BURST_NS;
	int64_t seen = atomic_load_explicit(empty_ns, memory_order_relaxed), from, to;
	do {
		from = later(seen, now_ns - PACE_BURST_NS); /* never more than full */
		to = from < PORT_NEVER - cost ? from + cost : PORT_NEVER - PACE_BURST_NS;
	} while (!atomic_compare_exchange_weak_explicit(empty_ns, &seen, to, memory_order_relaxed,
	                                                memory_order_relaxed));
	return later(now_ns, from + need);
}

int64_t pace_book(struct pace *pace, const databuffer_options *options, uint64_t items, int64_t now_ns)
{
	int64_t begin_ns = now_ns;
	if (options->rate_limit > 0)
		begin_ns = take(&pace->items_ns, cost_ns(items, options->rate_limit), now_ns);
	if (options->rate_limit_flushes > 0)
		begin_ns = later(begin_ns, take(&pace->flushes_ns, cost_ns(1, options->rate_limit_flushes), now_ns));
	return begin_ns;
}

void pace_correct(struct pace *pace, const databuffer_options *options, uint64_t booked, uint64_t items)
{
	if (options->rate_limit > 0 && booked != items)
		atomic_fetch_add_explicit(&pace->items_ns,
		                          cost_ns(items, options->rate_limit) -
		                                  cost_ns(booked, options->rate_limit),
		                          memory_order_relaxed);
}
