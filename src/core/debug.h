/* SPDX-License-Identifier: MIT */
/* Assertions of the core: on in debug builds (DATABUFFER_DEBUG), free in others. */
#ifndef DATABUFFER_CORE_DEBUG_H
#define DATABUFFER_CORE_DEBUG_H

#ifdef DATABUFFER_DEBUG
#include <assert.h>
#define ASSERT(condition) assert(condition)
#else
#define ASSERT(condition) ((void)sizeof(condition))
#endif

#endif
