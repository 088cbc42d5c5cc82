/* SPDX-License-Identifier: MIT */
/* Counting failures in a row. */
#include "core/breaker.h"

bool breaker_fail(struct breaker *breaker, int64_t limit, int64_t now_ns)
{
	if (breaker->failures < UINT32_MAX)
		breaker->failures++;
	if (breaker->open || limit == 0 || breaker->failures < limit)
		return false;
	breaker->open = true;
	breaker->opened_ns = now_ns;
	return true;
}

bool breaker_answer(struct breaker *breaker)
{
	bool was_open = breaker->open;
	breaker->failures = 0;
	breaker->open = false;
	return was_open;
}
