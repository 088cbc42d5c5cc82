/* SPDX-License-Identifier: MIT */
/* A flusher: a thread that runs handlers, of the pool or of the program. */
#ifndef DATABUFFER_CORE_FLUSHER_H
#define DATABUFFER_CORE_FLUSHER_H

#include "core/buffer.h"

/* Flushes whatever is ready in the partition, on the calling thread; returns
 * how many handlers it ran. */
unsigned flusher_serve(struct partition *partition);

/* The buffer whose handler the calling thread is in, or NULL; and says so,
 * returning what it was before. */
struct databuffer *flusher_current(void);
struct databuffer *flusher_enter(struct databuffer *buf);

#endif
