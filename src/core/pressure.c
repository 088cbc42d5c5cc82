/* SPDX-License-Identifier: MIT */
/* Counting held bytes against the marks, and telling. */
#include "core/pressure.h"

#include "core/buffer.h"
#include "core/flusher.h"
#include "core/registry.h"
#include "core/telemetry.h"

/* In `talk`. */
#define TOLD_HIGH 1u
#define TELLING   2u
#define CALLED    4u /* handle_pressure, or it is about to be */
#define CLOSED    8u

static bool is_on(const struct databuffer *buf)
{
	return buf->options.pressure_high > 0;
}

/* --- Counting ------------------------------------------------------------------------------ */

/* Whoever moves the sum looks at the level after it, and whoever moves the level
 * looks at the sum again, in one order for all: so the last of them leaves a level
 * that is right for the last sum. */
static void settle(struct databuffer *buf)
{
	struct pressure *pressure = &buf->pressure;
	for (;;) {
		uint64_t held = atomic_load_explicit(&pressure->held, memory_order_seq_cst);
		uint32_t level = atomic_load_explicit(&pressure->level, memory_order_seq_cst), wanted = level;
		if (held >= (uint64_t)buf->options.pressure_high)
			wanted = 1;
		else if (held <= (uint64_t)buf->options.pressure_low)
			wanted = 0;
		if (wanted == level)
			return;
		atomic_compare_exchange_strong_explicit(&pressure->level, &level, wanted, memory_order_seq_cst,
		                                        memory_order_seq_cst);
	}
}

void pressure_count(struct partition *partition)
{
	struct databuffer *buf = partition->buffer;
	if (!is_on(buf))
		return;
	uint64_t held = partition_bytes(partition);
	uint64_t promised = partition->held_bytes + (partition->open ? partition->open->promised : 0);
	/* The differences may be negative: then the sums wrap, and come out right. */
	atomic_fetch_add_explicit(&buf->pressure.promised, promised - partition->counted_promised,
	                          memory_order_relaxed);
	partition->counted_promised = promised;
	if (held == partition->counted_held)
		return;
	atomic_fetch_add_explicit(&buf->pressure.held, held - partition->counted_held, memory_order_seq_cst);
	partition->counted_held = held;
	settle(buf);
}

void pressure_limit(struct partition *partition)
{
	struct databuffer *buf = partition->buffer;
	if (!is_on(buf))
		return;
	uint64_t bound = (uint64_t)buf->options.pressure_high;
	uint64_t promised = atomic_load_explicit(&buf->pressure.promised, memory_order_relaxed);
	/* Above, what is held may sink to the low mark under leases that are there, and
	 * rise in them again: so not what is held counts, but they. */
	if (atomic_load_explicit(&buf->pressure.level, memory_order_relaxed) == 1) {
		uint64_t held = atomic_load_explicit(&buf->pressure.held, memory_order_relaxed);
		bound -= (uint64_t)buf->options.pressure_low;
		promised = promised > held ? promised - held : 0;
	}
	uint64_t missing = bound > promised ? bound - promised : 0;
	partition->headroom = missing / (2 * buf->partition_count);
}

/* --- Telling ----------------------------------------------------------------------------------- */

/* Between who is about to call and a stop that has no more time to wait, whoever
 * moves first has it: no call begins after a stop. */
static bool begin_call(struct pressure *pressure)
{
	return !(atomic_fetch_or_explicit(&pressure->talk, CALLED, memory_order_seq_cst) & CLOSED);
}

static void call(struct databuffer *buf, uint32_t level, uint32_t generation)
{
	const databuffer_options *o = &buf->options;
	databuffer_event_kind kind = level ? DATABUFFER_PRESSURE_HIGH : DATABUFFER_PRESSURE_LOW;
	uint64_t held = atomic_load_explicit(&buf->pressure.held, memory_order_relaxed);
	struct databuffer *outer = flusher_enter(buf);
	if (telemetry_wants(kind)) {
		databuffer_event event = {
			.kind = kind,
			.buffer = o->name ? o->name : "",
			.bytes = (size_t)held,
			.system_time_ns = port_system_time_ns(),
		};
		telemetry_emit(&event);
	}
	if (o->handle_pressure && generation == fork_generation() && begin_call(&buf->pressure))
		o->handle_pressure((int)level, (size_t)held, o->flush_meta);
	flusher_enter(outer);
}

void pressure_tell(struct databuffer *buf)
{
	struct pressure *pressure = &buf->pressure;
	if (!is_on(buf))
		return;
	uint32_t generation = fork_generation();
	for (;;) {
		uint32_t talk = atomic_load_explicit(&pressure->talk, memory_order_seq_cst);
		uint32_t level = atomic_load_explicit(&pressure->level, memory_order_seq_cst);
		/* Who tells looks at the level again after TELLING is off: if it was still
		 * on here, that comes later than this level. */
		if ((talk & (TELLING | CLOSED)) || (talk & TOLD_HIGH) == level)
			return;
		if (!atomic_compare_exchange_strong_explicit(&pressure->talk, &talk, TELLING | level,
		                                             memory_order_seq_cst, memory_order_seq_cst))
			continue;
		call(buf, level, generation);
		if (generation != fork_generation())
			return;
		atomic_fetch_and_explicit(&pressure->talk, ~(TELLING | CALLED), memory_order_seq_cst);
		if (atomic_load_explicit(&buf->state, memory_order_acquire) != BUFFER_RUNNING)
			buffer_wake_settled(buf); /* a stop waits for this */
	}
}

void pressure_close(struct databuffer *buf, int64_t deadline_ns)
{
	struct pressure *pressure = &buf->pressure;
	if (!is_on(buf))
		return;
	for (unsigned i = 0; i < buf->partition_count; i++) {
		pthread_mutex_lock(&buf->partitions[i].lock);
		pressure_count(&buf->partitions[i]);
		pthread_mutex_unlock(&buf->partitions[i].lock);
	}
	for (;;) {
		uint32_t seen = atomic_load_explicit(&buf->settled, memory_order_seq_cst);
		pressure_tell(buf);
		uint32_t talk = atomic_load_explicit(&pressure->talk, memory_order_seq_cst);
		if (talk & TELLING) {
			if (port_now_ns() >= deadline_ns)
				break;
			buffer_wait(&buf->settled, &buf->settled_waiters, seen, deadline_ns);
		} else if (atomic_compare_exchange_strong_explicit(&pressure->talk, &talk, talk | CLOSED,
		                                                   memory_order_seq_cst, memory_order_seq_cst)) {
			return;
		}
	}
	atomic_fetch_or_explicit(&pressure->talk, CLOSED, memory_order_seq_cst);
}

void pressure_reset(struct databuffer *buf)
{
	atomic_store_explicit(&buf->pressure.held, 0, memory_order_relaxed);
	atomic_store_explicit(&buf->pressure.promised, 0, memory_order_relaxed);
	atomic_store_explicit(&buf->pressure.level, 0, memory_order_relaxed);
	atomic_store_explicit(&buf->pressure.talk, 0, memory_order_relaxed);
}

/* --- The public function ------------------------------------------------------------------------- */

int databuffer_pressure(databuffer *buf)
{
	int rc = buffer_enter(buf);
	if (rc != 0)
		return rc;
	rc = (int)atomic_load_explicit(&buf->pressure.level, memory_order_acquire);
	buffer_leave(buf);
	return rc;
}
