/* SPDX-License-Identifier: MIT */
/* telemetry.c: who is told, in which order, and when nobody is any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <databuffer.h>

#include "base/rng.h"
#include "core/telemetry.h"

static void emit(databuffer_event_kind kind)
{
	databuffer_event event = { .kind = kind, .buffer = "" };

	telemetry_emit(&event);
}

static void attach(const char *id, unsigned events, databuffer_telemetry_fn *fn, void *ctx)
{
	assert_int_equal(databuffer_telemetry_attach(id, events, fn, ctx), 0);
}

static void detach(const char *id)
{
	assert_int_equal(databuffer_telemetry_detach(id), 0);
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

/* Counts its calls in *ctx. */
static void count(const databuffer_event *event, void *ctx)
{
	(void)event;
	atomic_fetch_add((_Atomic unsigned *)ctx, 1);
}

/* Writes its letter to the end of the order. */
static char order[16];

static void write_letter(const databuffer_event *event, void *ctx)
{
	(void)event;
	strncat(order, ctx, 1);
}

static int nobody_is_left(void **state)
{
	(void)state;
	order[0] = '\0';
	return telemetry_wants(~0u) ? -1 : 0;
}

/* --- One thread ------------------------------------------------------------------ */

static void with_nobody_attached_nothing_is_wanted(void **state)
{
	(void)state;
	assert_false(telemetry_wants(DATABUFFER_EVENTS_ALL));
	emit(DATABUFFER_INSERT_STOP);
}

static void a_handler_is_told_of_its_kinds_only(void **state)
{
	_Atomic unsigned calls = 0;

	(void)state;
	attach("a", DATABUFFER_INSERT_STOP | DATABUFFER_FLUSH_STOP, count, &calls);
	assert_true(telemetry_wants(DATABUFFER_INSERT_STOP));
	assert_true(telemetry_wants(DATABUFFER_FLUSH_STOP | DATABUFFER_FLUSH_START));
	assert_false(telemetry_wants(DATABUFFER_FLUSH_START));
	emit(DATABUFFER_INSERT_STOP);
	emit(DATABUFFER_FLUSH_START);
	emit(DATABUFFER_FLUSH_STOP);
	assert_int_equal(calls, 2);
	detach("a");
	emit(DATABUFFER_INSERT_STOP);
	assert_int_equal(calls, 2);
}

static void keep_event(const databuffer_event *event, void *ctx)
{
	*(databuffer_event *)ctx = *event;
}

static void a_handler_sees_the_event_that_was_emitted(void **state)
{
	databuffer_event seen, event = {
		.kind = DATABUFFER_FLUSH_EXCEPTION,
		.buffer = "events",
		.partition = 3,
		.size = 10,
		.bytes = 640,
		.trigger = DATABUFFER_TRIGGER_INTERVAL,
		.attempt = 2,
		.duration_ns = 12345,
		.system_time_ns = 67890,
		.status = DATABUFFER_ETIMEDOUT,
	};

	(void)state;
	memset(&seen, 0, sizeof(seen));
	attach("a", DATABUFFER_EVENTS_ALL, keep_event, &seen);
	telemetry_emit(&event);
	detach("a");
	assert_int_equal(seen.kind, event.kind);
	assert_ptr_equal(seen.buffer, event.buffer);
	assert_int_equal(seen.partition, 3);
	assert_int_equal(seen.size, 10);
	assert_int_equal(seen.attempt, 2);
	assert_int_equal(seen.duration_ns, 12345);
	assert_int_equal(seen.status, DATABUFFER_ETIMEDOUT);
}

static void handlers_are_called_in_order_of_attachment(void **state)
{
	(void)state;
	attach("1", DATABUFFER_EVENTS_ALL, write_letter, "a");
	attach("2", DATABUFFER_EVENTS_ALL, write_letter, "b");
	attach("3", DATABUFFER_EVENTS_ALL, write_letter, "c");
	emit(DATABUFFER_INSERT_START);
	assert_string_equal(order, "abc");
	detach("2");
	attach("2", DATABUFFER_EVENTS_ALL, write_letter, "b");
	emit(DATABUFFER_INSERT_START);
	assert_string_equal(order, "abcacb");
	detach("1");
	detach("2");
	detach("3");
}

static void what_is_wanted_is_what_all_who_are_left_want(void **state)
{
	_Atomic unsigned calls = 0;

	(void)state;
	attach("a", DATABUFFER_INSERT_STOP, count, &calls);
	attach("b", DATABUFFER_FLUSH_STOP, count, &calls);
	assert_true(telemetry_wants(DATABUFFER_INSERT_STOP) && telemetry_wants(DATABUFFER_FLUSH_STOP));
	detach("a");
	assert_false(telemetry_wants(DATABUFFER_INSERT_STOP));
	assert_true(telemetry_wants(DATABUFFER_FLUSH_STOP));
	detach("b");
	assert_false(telemetry_wants(DATABUFFER_EVENTS_ALL));
}

static void an_id_is_copied_and_attached_once(void **state)
{
	_Atomic unsigned calls = 0;
	char id[] = "mine";

	(void)state;
	attach(id, DATABUFFER_EVENTS_ALL, count, &calls);
	id[0] = 'x';
	assert_int_equal(databuffer_telemetry_attach("mine", 1, count, &calls), DATABUFFER_EEXIST);
	assert_int_equal(databuffer_telemetry_detach(id), DATABUFFER_ENOENT);
	emit(DATABUFFER_FLUSH_START);
	assert_int_equal(calls, 1);
	detach("mine");
	assert_int_equal(databuffer_telemetry_detach("mine"), DATABUFFER_ENOENT);
}

static void misuse_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(databuffer_telemetry_attach(NULL, 1, count, NULL), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_telemetry_attach("", 1, count, NULL), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_telemetry_attach("a", 1, NULL, NULL), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_telemetry_attach("a", DATABUFFER_EVENTS_ALL + 1, count, NULL), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_telemetry_detach(NULL), DATABUFFER_ENOENT);
	assert_int_equal(databuffer_telemetry_detach(""), DATABUFFER_ENOENT);
}

static void any_number_may_be_attached(void **state)
{
	enum { HANDLERS = 100 };
	_Atomic unsigned calls = 0;
	char id[16];

	(void)state;
	for (int i = 0; i < HANDLERS; i++) {
		snprintf(id, sizeof(id), "%d", i);
		attach(id, DATABUFFER_EVENTS_ALL, count, &calls);
	}
	emit(DATABUFFER_INSERT_START);
	assert_int_equal(calls, HANDLERS);
	for (int i = 0; i < HANDLERS; i++) {
		snprintf(id, sizeof(id), "%d", i * 37 % HANDLERS);
		detach(id);
	}
}

/* --- From inside of handlers -------------------------------------------------------- */

static void detach_named(const databuffer_event *event, void *ctx)
{
	(void)event;
	strncat(order, "d", 2);
	databuffer_telemetry_detach(ctx);
}

static void a_handler_may_detach_itself(void **state)
{
	(void)state;
	attach("self", DATABUFFER_EVENTS_ALL, detach_named, "self");
	attach("b", DATABUFFER_EVENTS_ALL, write_letter, "b");
	emit(DATABUFFER_INSERT_START);
	emit(DATABUFFER_INSERT_START);
	assert_string_equal(order, "dbb");
	assert_int_equal(databuffer_telemetry_detach("self"), DATABUFFER_ENOENT);
	detach("b");
}

static void who_is_detached_by_a_handler_before_it_is_not_called(void **state)
{
	(void)state;
	attach("a", DATABUFFER_EVENTS_ALL, detach_named, "b");
	attach("b", DATABUFFER_EVENTS_ALL, write_letter, "b");
	attach("c", DATABUFFER_EVENTS_ALL, write_letter, "c");
	emit(DATABUFFER_INSERT_START);
	assert_string_equal(order, "dc");
	detach("a");
	detach("c");
}

static void attach_another(const databuffer_event *event, void *ctx)
{
	(void)event;
	strncat(order, "a", 2);
	databuffer_telemetry_attach("another", DATABUFFER_EVENTS_ALL, write_letter, ctx);
}

static void who_is_attached_by_a_handler_is_told_from_the_next_event_on(void **state)
{
	(void)state;
	attach("a", DATABUFFER_EVENTS_ALL, attach_another, "n");
	emit(DATABUFFER_INSERT_START);
	assert_string_equal(order, "a");
	emit(DATABUFFER_INSERT_START);
	assert_string_equal(order, "aan");
	detach("a");
	detach("another");
}

static void replace_itself(const databuffer_event *event, void *ctx)
{
	char *id = ctx;

	(void)event;
	databuffer_telemetry_detach(id);
	id[0]++;
	databuffer_telemetry_attach(id, DATABUFFER_EVENTS_ALL, replace_itself, ctx);
}

static void a_handler_may_replace_itself_again_and_again(void **state)
{
	char id[] = "0";

	(void)state;
	attach(id, DATABUFFER_EVENTS_ALL, replace_itself, id);
	for (int i = 0; i < 9; i++)
		emit(DATABUFFER_INSERT_START);
	assert_string_equal(id, "9");
	detach("9");
}

/* An insert causes a flush, which a handler sees while the insert's is running; at
 * the bottom all three are detached. */
static void cause_the_next(const databuffer_event *event, void *ctx)
{
	(void)ctx;
	strncat(order, event->kind == DATABUFFER_INSERT_START ? "i" : "f", 2);
	if (event->kind == DATABUFFER_FLUSH_START) {
		databuffer_telemetry_detach("a");
		databuffer_telemetry_detach("b");
	} else {
		emit(DATABUFFER_FLUSH_START);
	}
	strncat(order, ".", 2);
}

static void events_nest_and_may_end_all_in_the_innermost(void **state)
{
	(void)state;
	attach("a", DATABUFFER_EVENTS_ALL, cause_the_next, NULL);
	attach("b", DATABUFFER_EVENTS_ALL, write_letter, "b");
	emit(DATABUFFER_INSERT_START);
	assert_string_equal(order, "if..");
	emit(DATABUFFER_INSERT_START);
	assert_string_equal(order, "if..");
}

/* --- Several threads --------------------------------------------------------------------- */

/* A handler that keeps its threads inside until they are let out. */
struct gate {
	_Atomic unsigned inside;
	_Atomic bool open, out;
};

static void wait_for_inside(struct gate *gate, unsigned threads)
{
	while (gate->inside < threads)
		pause_ms(1);
}

static void stay_inside(const databuffer_event *event, void *ctx)
{
	struct gate *gate = ctx;

	(void)event;
	gate->inside++;
	while (!gate->open)
		pause_ms(1);
	gate->out = true;
}

static void *emit_one(void *arg)
{
	(void)arg;
	emit(DATABUFFER_FLUSH_STOP);
	return NULL;
}

static void *detach_gate(void *arg)
{
	struct gate *gate = arg;

	if (databuffer_telemetry_detach("gate") != 0)
		return NULL;
	return gate->out ? arg : NULL;
}

static void detach_returns_after_the_handler_on_another_thread_has(void **state)
{
	struct gate gate = { 0, false, false };
	pthread_t emitter, detacher;
	void *result;

	(void)state;
	attach("gate", DATABUFFER_EVENTS_ALL, stay_inside, &gate);
	assert_int_equal(pthread_create(&emitter, NULL, emit_one, NULL), 0);
	wait_for_inside(&gate, 1);
	assert_int_equal(pthread_create(&detacher, NULL, detach_gate, &gate), 0);
	while (telemetry_wants(DATABUFFER_EVENTS_ALL))
		pause_ms(1);
	pause_ms(20);
	gate.open = true;
	pthread_join(detacher, &result);
	pthread_join(emitter, NULL);
	assert_ptr_equal(result, &gate);
}

static void detach_waits_for_calls_from_before_the_table_last_changed(void **state)
{
	struct gate gate = { 0, false, false };
	_Atomic unsigned calls = 0;
	pthread_t emitter, detacher;
	void *result;

	(void)state;
	attach("gate", DATABUFFER_FLUSH_STOP, stay_inside, &gate);
	assert_int_equal(pthread_create(&emitter, NULL, emit_one, NULL), 0);
	wait_for_inside(&gate, 1);
	attach("later", DATABUFFER_INSERT_STOP, count, &calls);
	detach("later");
	attach("later", DATABUFFER_INSERT_STOP, count, &calls);
	assert_int_equal(pthread_create(&detacher, NULL, detach_gate, &gate), 0);
	while (telemetry_wants(DATABUFFER_FLUSH_STOP))
		pause_ms(1);
	pause_ms(20);
	emit(DATABUFFER_INSERT_STOP);
	assert_int_equal(calls, 1);
	gate.open = true;
	pthread_join(detacher, &result);
	pthread_join(emitter, NULL);
	assert_ptr_equal(result, &gate);
	detach("later");
}

static void detach_from_a_handler_does_not_wait_for_another_thread(void **state)
{
	struct gate gate = { 0, false, false };
	pthread_t emitter;

	(void)state;
	attach("gate", DATABUFFER_FLUSH_STOP, stay_inside, &gate);
	attach("d", DATABUFFER_INSERT_STOP, detach_named, "gate");
	assert_int_equal(pthread_create(&emitter, NULL, emit_one, NULL), 0);
	wait_for_inside(&gate, 1);
	emit(DATABUFFER_INSERT_STOP);
	assert_false(gate.out);
	assert_false(telemetry_wants(DATABUFFER_FLUSH_STOP));
	gate.open = true;
	pthread_join(emitter, NULL);
	detach("d");
}

/* Two handlers, each inside on a thread of its own, detach one of the two each. */
struct duel {
	pthread_barrier_t both_inside;
	const char *ids[2];
	_Atomic unsigned next;
};

static void detach_the_next(const databuffer_event *event, void *ctx)
{
	struct duel *duel = ctx;

	(void)event;
	pthread_barrier_wait(&duel->both_inside);
	databuffer_telemetry_detach(duel->ids[duel->next++ % 2]);
}

static void two_handlers_may_detach_both_of_them_at_once(void **state)
{
	struct duel duel = { .ids = { "one", "two" } };
	pthread_t thread;

	(void)state;
	pthread_barrier_init(&duel.both_inside, NULL, 2);
	attach("one", DATABUFFER_FLUSH_STOP, detach_the_next, &duel);
	attach("two", DATABUFFER_INSERT_STOP, detach_the_next, &duel);
	assert_int_equal(pthread_create(&thread, NULL, emit_one, NULL), 0);
	emit(DATABUFFER_INSERT_STOP);
	pthread_join(thread, NULL);
	assert_false(telemetry_wants(DATABUFFER_EVENTS_ALL));
	pthread_barrier_destroy(&duel.both_inside);
}

/* What a handler of the storm works on: freed as soon as detach has returned, so
 * that a call after that is seen by the sanitizers, and by `alive` without them. */
#define ALIVE 0x600dbeefu

struct target {
	_Atomic unsigned alive, calls;
};

static void hit(const databuffer_event *event, void *ctx)
{
	struct target *target = ctx;

	(void)event;
	if (target->alive != ALIVE)
		abort();
	target->calls++;
}

static _Atomic bool storm_over;
static _Atomic unsigned steady_calls, storm_hits;

static void *emit_until_over(void *arg)
{
	uintptr_t emitted = 0;

	(void)arg;
	do {
		emit(emitted % 2 == 0 ? DATABUFFER_INSERT_STOP : DATABUFFER_FLUSH_STOP);
		emitted++;
	} while (!storm_over);
	return (void *)emitted;
}

static void *come_and_go(void *arg)
{
	struct rng rng;
	char id[32];

	rng_seed(&rng, (uintptr_t)arg);
	for (int i = 0; i < 500; i++) {
		struct target *target = calloc(1, sizeof(*target));

		if (!target)
			abort();
		target->alive = ALIVE;
		snprintf(id, sizeof(id), "%ju", (uintmax_t)(uintptr_t)arg);
		if (databuffer_telemetry_attach(id, DATABUFFER_EVENTS_ALL, hit, target) != 0)
			abort();
		for (uint64_t n = rng_below_inclusive(&rng, 3); n > 0; n--)
			emit(DATABUFFER_INSERT_STOP);
		if (databuffer_telemetry_detach(id) != 0)
			abort();
		storm_hits += target->calls;
		target->alive = 0;
		free(target);
	}
	return NULL;
}

static void no_handler_runs_after_its_detach_however_many_threads_emit(void **state)
{
	enum { EMITTERS = 4, CHANGERS = 3, SEED = 90210 };
	pthread_t emitters[EMITTERS], changers[CHANGERS];
	uintptr_t emitted = 0;

	(void)state;
	print_message("seed %d\n", SEED);
	storm_over = false;
	steady_calls = 0;
	attach("steady", DATABUFFER_FLUSH_STOP, count, &steady_calls);
	for (int i = 0; i < EMITTERS; i++)
		assert_int_equal(pthread_create(&emitters[i], NULL, emit_until_over, NULL), 0);
	for (uintptr_t i = 0; i < CHANGERS; i++)
		assert_int_equal(pthread_create(&changers[i], NULL, come_and_go, (void *)(SEED + i)), 0);
	for (int i = 0; i < CHANGERS; i++)
		pthread_join(changers[i], NULL);
	storm_over = true;
	for (int i = 0; i < EMITTERS; i++) {
		void *count_of_one;

		pthread_join(emitters[i], &count_of_one);
		emitted += (uintptr_t)count_of_one / 2;
	}
	/* Whoever stays attached misses no event, whatever happens around it. */
	assert_int_equal(steady_calls, emitted);
	assert_true(storm_hits > 0);
	detach("steady");
}

/* --- Fork --------------------------------------------------------------------------------- */

static pid_t fork_as_a_buffer_does(void)
{
	pid_t child;

	telemetry_fork_lock();
	child = fork();
	if (child == 0)
		telemetry_fork_child();
	else
		telemetry_fork_unlock();
	return child;
}

static void assert_exits_with_0(pid_t child)
{
	int status;

	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_child_keeps_who_is_attached_and_forgets_who_is_inside(void **state)
{
	struct gate gate = { 0, false, false };
	_Atomic unsigned calls = 0;
	pthread_t before, after;
	pid_t child;

	(void)state;
	attach("gate", DATABUFFER_FLUSH_STOP, stay_inside, &gate);
	assert_int_equal(pthread_create(&before, NULL, emit_one, NULL), 0);
	wait_for_inside(&gate, 1);
	attach("a", DATABUFFER_INSERT_STOP, count, &calls);
	assert_int_equal(pthread_create(&after, NULL, emit_one, NULL), 0);
	wait_for_inside(&gate, 2);
	child = fork_as_a_buffer_does();
	if (child == 0) {
		bool detached;

		/* Nobody lets the gate's threads out in here: to wait for it is to wait for ever. */
		alarm(60);
		detached = databuffer_telemetry_detach("gate") == 0;
		emit(DATABUFFER_INSERT_STOP);
		_exit(detached && calls == 1 && databuffer_telemetry_detach("a") == 0 ? 0 : 1);
	}
	assert_exits_with_0(child);
	gate.open = true;
	pthread_join(before, NULL);
	pthread_join(after, NULL);
	assert_int_equal(calls, 0);
	detach("gate");
	detach("a");
}

static void fork_inside(const databuffer_event *event, void *ctx)
{
	(void)event;
	*(pid_t *)ctx = fork_as_a_buffer_does();
}

static void a_child_forked_in_a_handler_comes_out_of_it_like_its_parent(void **state)
{
	pid_t child = -1;

	(void)state;
	attach("a", DATABUFFER_FLUSH_STOP, fork_inside, &child);
	attach("b", DATABUFFER_FLUSH_STOP, detach_named, "a");
	emit(DATABUFFER_FLUSH_STOP);
	if (child == 0) {
		alarm(60);
		_exit(strcmp(order, "d") == 0 && databuffer_telemetry_detach("a") == DATABUFFER_ENOENT &&
		      databuffer_telemetry_detach("b") == 0 ? 0 : 1);
	}
	assert_exits_with_0(child);
	detach("b");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, nobody_is_left, nobody_is_left)
	const struct CMUnitTest tests[] = {
		TEST(with_nobody_attached_nothing_is_wanted),
		TEST(a_handler_is_told_of_its_kinds_only),
		TEST(a_handler_sees_the_event_that_was_emitted),
		TEST(handlers_are_called_in_order_of_attachment),
		TEST(what_is_wanted_is_what_all_who_are_left_want),
		TEST(an_id_is_copied_and_attached_once),
		TEST(misuse_is_an_error),
		TEST(any_number_may_be_attached),
		TEST(a_handler_may_detach_itself),
		TEST(who_is_detached_by_a_handler_before_it_is_not_called),
		TEST(who_is_attached_by_a_handler_is_told_from_the_next_event_on),
		TEST(a_handler_may_replace_itself_again_and_again),
		TEST(events_nest_and_may_end_all_in_the_innermost),
		TEST(detach_returns_after_the_handler_on_another_thread_has),
		TEST(detach_waits_for_calls_from_before_the_table_last_changed),
		TEST(detach_from_a_handler_does_not_wait_for_another_thread),
		TEST(two_handlers_may_detach_both_of_them_at_once),
		TEST(no_handler_runs_after_its_detach_however_many_threads_emit),
		TEST(a_child_keeps_who_is_attached_and_forgets_who_is_inside),
		TEST(a_child_forked_in_a_handler_comes_out_of_it_like_its_parent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
