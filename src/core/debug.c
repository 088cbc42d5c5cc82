/* SPDX-License-Identifier: MIT */
/* Where a test takes a hand (debug.h); only in builds with DATABUFFER_STEPS. */
#include "core/debug.h"

_Atomic(step_fn *) step_hook;
