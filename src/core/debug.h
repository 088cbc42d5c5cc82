/* SPDX-License-Identifier: MIT */
/* What the core has for those who look for its faults: assertions, and steps. */
#ifndef DATABUFFER_CORE_DEBUG_H
#define DATABUFFER_CORE_DEBUG_H

/* On in debug builds (DATABUFFER_DEBUG), free in others. */
#ifdef DATABUFFER_DEBUG
#include <assert.h>
#define ASSERT(condition) assert(condition)
#else
#define ASSERT(condition) ((void)sizeof(condition))
#endif

/* A place between two steps that others can see or come between: a test may have
 * another thread run there. Only in builds with DATABUFFER_STEPS, where each calls
 * step_hook, if there is one, on the thread that steps; whichever locks it holds.
 * `name` is a constant, one for each place. */
#ifdef DATABUFFER_STEPS
#include <stdatomic.h>
typedef void step_fn(const char *name);
extern _Atomic(step_fn *) step_hook;
#define STEP(name)                                                                        \
	do {                                                                              \
		step_fn *hook_ = atomic_load_explicit(&step_hook, memory_order_relaxed);  \
		if (hook_)                                                                \
			hook_(name);                                                      \
	} while (0)
#else
#define STEP(name) ((void)0)
#endif

#endif
