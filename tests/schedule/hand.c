/* SPDX-License-Identifier: MIT */
/* Scheduling by a seed. */
#include "schedule/hand.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/debug.h"
#include "port/port.h"

#define LOAD(x) atomic_load_explicit(&(x), memory_order_relaxed)
#define STORE(x, value) atomic_store_explicit(&(x), value, memory_order_relaxed)
#define ADD(x, n) atomic_fetch_add_explicit(&(x), n, memory_order_relaxed)

/* How often a thread that waits looks again, at most, and for how long. Longer than
 * a turn of many steps takes, and short enough that one who waits for a lock costs
 * little; where other programs are busy, each look may take milliseconds. */
#define PATIENCE    20
#define PATIENCE_NS 200000

#define NOBODY 0u
#define ACTORS 16u /* numbers below are actors, others the library's threads */

/* The style of this seed: of 256 steps at how many something is done, for how many
 * steps at most one thread runs alone, and where threads are made to wait. */
#define PARKS 3
static _Atomic uint64_t epoch, style_seed;
static _Atomic uint32_t style_busy, style_turn, style_park[PARKS];

/* Who runs alone, one more than its number, and for how many steps. */
static _Atomic uint32_t chosen, chosen_steps;
static _Atomic uint64_t steps;
static _Atomic uint32_t strangers;

static _Thread_local struct {
	uint64_t epoch, dice;
	unsigned number; /* one more than it is */
} me;

/* The last steps, for who looks for the cause of a failure. */
#define TRACE 96
static _Atomic(const char *) trace_name[TRACE];
static _Atomic uint32_t trace_who[TRACE];

/* Places that have been passed: by the hash of their names. */
#define PLACES 4096
static _Atomic uint32_t places[PLACES];

/* splitmix64 */
static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void take_seed(void)
{
	uint64_t now = LOAD(epoch);
	if (me.epoch == now && me.number > 0)
		return;
	if (me.number == 0)
		me.number = 1 + ACTORS + ADD(strangers, 1) % 64;
	me.epoch = now;
	me.dice = mix(LOAD(style_seed) + me.number * UINT64_C(0x9e3779b97f4a7c15));
}

uint64_t hand_draw(uint64_t n)
{
	take_seed();
	return mix(me.dice += UINT64_C(0x9e3779b97f4a7c15)) % n;
}

static uint32_t hash(const char *name)
{
	uint32_t h = 2166136261u;
	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h | 1;
}

/* Until others have taken so many steps. */
static void let_others(uint64_t n)
{
	uint64_t until = LOAD(steps) + n;
	int64_t until_ns = port_now_ns() + PATIENCE_NS;
	for (unsigned i = 0; i < PATIENCE && LOAD(steps) < until && port_now_ns() < until_ns; i++)
		sched_yield();
}

/* While another runs alone. If it does not get on, its turn is over. */
static void wait_for_turn(void)
{
	uint32_t who = LOAD(chosen);
	if (who == NOBODY || who == me.number)
		return;
	uint32_t left = LOAD(chosen_steps);
	int64_t until_ns = port_now_ns() + PATIENCE_NS;
	for (unsigned i = 0; i < PATIENCE && LOAD(chosen) == who && port_now_ns() < until_ns; i++) {
		sched_yield();
		if (LOAD(chosen_steps) != left) {
			left = LOAD(chosen_steps);
			until_ns = port_now_ns() + PATIENCE_NS;
			i = 0;
		}
	}
	atomic_compare_exchange_strong_explicit(&chosen, &who, NOBODY, memory_order_relaxed, memory_order_relaxed);
}

static void choose(uint32_t who)
{
	STORE(chosen_steps, 1 + (uint32_t)hand_draw(LOAD(style_turn)));
	STORE(chosen, who);
}

static void use_turn(void)
{
	if (LOAD(chosen) == me.number && ADD(chosen_steps, -1u) <= 1)
		STORE(chosen, NOBODY);
}

static bool is_park(uint32_t h)
{
	for (unsigned i = 0; i < PARKS; i++)
		if (LOAD(style_park[i]) == h)
			return true;
	return false;
}

static void note(const char *name, uint32_t h)
{
	uint64_t i = ADD(steps, 1) % TRACE;
	STORE(trace_name[i], name);
	STORE(trace_who[i], me.number - 1);
	if (LOAD(places[h % PLACES]) == 0)
		STORE(places[h % PLACES], h);
	/* From now on threads wait at this place; more often at those of an insert. */
	if (hand_draw(name[0] == 'l' ? 32 : 128) == 0)
		STORE(style_park[hand_draw(PARKS)], h);
}

void hand_step(const char *name)
{
	take_seed();
	uint32_t h = hash(name);
	note(name, h);
	use_turn();
	wait_for_turn();
	if (is_park(h) && hand_draw(2) == 0)
		let_others(1 + hand_draw(40));
	if (hand_draw(256) >= LOAD(style_busy))
		return;
	switch (hand_draw(4)) {
	case 0:
		sched_yield();
		break;
	case 1:
		let_others(1 + hand_draw(8));
		break;
	case 2:
		choose(me.number);
		break;
	case 3:
		/* Any actor, or one of the library's threads. */
		choose(1 + (uint32_t)hand_draw(hand_draw(4) ? 5 : ACTORS + 8));
		wait_for_turn();
		break;
	}
}

void hand_begin(uint64_t seed)
{
	static const uint8_t busy[] = { 4, 16, 48, 96, 160 };
	uint64_t z = mix(seed);
	STORE(style_seed, z);
	STORE(style_busy, busy[z % sizeof(busy)]);
	STORE(style_turn, 1 + (uint32_t)(mix(z) % 40));
	for (unsigned i = 0; i < PARKS; i++)
		STORE(style_park[i], 0);
	STORE(chosen, NOBODY);
	ADD(epoch, 1);
	atomic_store_explicit(&step_hook, hand_step, memory_order_relaxed);
}

void hand_end(void)
{
	atomic_store_explicit(&step_hook, NULL, memory_order_relaxed);
	STORE(chosen, NOBODY);
}

void hand_join(unsigned actor)
{
	me.number = 1 + actor;
	me.epoch = 0;
}

uint64_t hand_steps(void)
{
	return LOAD(steps);
}

unsigned hand_places(void)
{
	unsigned n = 0;
	for (unsigned i = 0; i < PLACES; i++)
		n += LOAD(places[i]) != 0;
	return n;
}

static void put(const char *text)
{
	if (write(2, text, strlen(text)) < 0)
		return;
}

void hand_tell(void)
{
	uint64_t end = LOAD(steps);
	for (uint64_t i = end > TRACE ? end - TRACE : 0; i < end; i++) {
		const char *name = LOAD(trace_name[i % TRACE]);
		uint32_t who = LOAD(trace_who[i % TRACE]);
		char number[] = { (char)('0' + who / 10 % 10), (char)('0' + who % 10), '\0' };
		put("    ");
		put(number);
		put("  ");
		put(name ? name : "?");
		put("\n");
	}
}
