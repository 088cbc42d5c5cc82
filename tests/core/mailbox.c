/* SPDX-License-Identifier: MIT */
/* The hand-over of batches between two processes, and what is known when one of them ends. */
#include "core/mailbox.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "port/port.h"
#include "port/shared.h"

#define ROOM 100

static struct mailbox *box;

static int new_box(void **state)
{
	(void)state;
	box = port_map_shared(mailbox_footprint(ROOM), "mailbox");
	if (box)
		mailbox_reset(box);
	return box ? 0 : -1;
}

static int drop_box(void **state)
{
	(void)state;
	port_unmap(box, mailbox_footprint(ROOM));
	return 0;
}

static int64_t soon(void)
{
	return port_now_ns() + 30000 * PORT_NS_PER_MS;
}

/* Runs `work` in another process; the caller stands for the fork server, too. */
static void begin(void (*work)(void))
{
	if (port_fork() == 0) {
		signal(SIGABRT, SIG_DFL);
		mailbox_say_ready(box);
		work();
		port_exit(7);
	}
	while (mailbox_state(box) == MAILBOX_STARTING)
		port_yield(100);
}

static void bury(void)
{
	struct port_end end;
	int64_t until_ns = soon();
	while (!port_reap(&end))
		assert_true(port_now_ns() < until_ns);
	mailbox_bury(box, &end);
	assert_int_equal(mailbox_state(box), MAILBOX_GONE);
}

/* Answers each job with twice its id, after as many microseconds as its deadline says. */
static void answer_all(void)
{
	struct mailbox_job job;
	while (mailbox_take(box, &job)) {
		if (job.deadline_ns > 0)
			usleep((unsigned)job.deadline_ns);
		box->answer.duration_ns = (int64_t)job.id * 2;
		mailbox_say_answered(box);
	}
}

static void exchange(uint64_t n, unsigned pause_us)
{
	for (uint64_t id = 1; id <= n; id++) {
		struct mailbox_job job = { .id = id, .deadline_ns = id % 3 == 0 ? pause_us : 0 };
		if (id % 2 == 0 && pause_us > 0)
			usleep(pause_us);
		assert_true(mailbox_post(box, &job));
		assert_int_equal(mailbox_wait(box, soon()), MAILBOX_ANSWERED);
		assert_int_equal(box->answer.duration_ns, id * 2);
		assert_true(mailbox_collect(box));
	}
}

static void every_job_has_its_answer(void **state)
{
	(void)state;
	begin(answer_all);
	exchange(20000, 0);
	assert_true(mailbox_dismiss(box));
	bury();
	assert_int_equal(box->was, MAILBOX_LEAVING);
	assert_int_equal(box->end_number, 7);
}

/* Longer than a side looks for the other. */
static void a_side_that_sleeps_is_woken(void **state)
{
	(void)state;
	begin(answer_all);
	exchange(300, 300);
	assert_true(mailbox_dismiss(box));
	bury();
}

static void a_wait_ends_at_its_deadline_and_the_answer_may_still_come(void **state)
{
	(void)state;
	begin(answer_all);
	assert_true(mailbox_post(box, &(struct mailbox_job){ .id = 1, .deadline_ns = 200000 }));
	int64_t deadline = port_now_ns() + PORT_NS_PER_MS;
	assert_in_range(mailbox_wait(box, deadline), MAILBOX_POSTED, MAILBOX_TAKEN);
	assert_true(port_now_ns() >= deadline);
	assert_int_equal(mailbox_wait(box, soon()), MAILBOX_ANSWERED);
	assert_true(mailbox_collect(box));
	assert_true(mailbox_dismiss(box));
	bury();
}

static void end_at_once(void)
{
}

static void who_dies_before_it_takes_a_job_has_not_taken_it(void **state)
{
	(void)state;
	begin(end_at_once);
	assert_true(mailbox_post(box, &(struct mailbox_job){ .id = 1 }));
	bury();
	assert_int_equal(mailbox_wait(box, soon()), MAILBOX_GONE);
	assert_int_equal(box->was, MAILBOX_POSTED);
	assert_false(box->end_by_signal);
}

static void take_and_abort(void)
{
	struct mailbox_job job;
	mailbox_take(box, &job);
	abort();
}

static void who_dies_with_a_job_has_taken_it(void **state)
{
	(void)state;
	begin(take_and_abort);
	assert_true(mailbox_post(box, &(struct mailbox_job){ .id = 1 }));
	bury();
	assert_int_equal(box->was, MAILBOX_TAKEN);
	assert_true(box->end_by_signal);
	assert_int_equal(box->end_number, SIGABRT);
}

static void answer_and_end(void)
{
	struct mailbox_job job;
	mailbox_take(box, &job);
	box->answer.answer = 0;
	mailbox_say_answered(box);
}

static void who_dies_after_its_answer_has_answered(void **state)
{
	(void)state;
	begin(answer_and_end);
	assert_true(mailbox_post(box, &(struct mailbox_job){ .id = 1 }));
	assert_int_equal(mailbox_wait(box, soon()), MAILBOX_ANSWERED);
	bury();
	assert_int_equal(box->was, MAILBOX_ANSWERED);
	assert_false(mailbox_collect(box)); /* it is known that there is nobody any more */
}

static void nothing_can_be_posted_to_the_dead(void **state)
{
	(void)state;
	begin(end_at_once);
	bury();
	assert_int_equal(box->was, MAILBOX_IDLE);
	assert_false(mailbox_post(box, &(struct mailbox_job){ .id = 1 }));
	assert_false(mailbox_dismiss(box));
	mailbox_reset(box); /* another may be born */
	assert_int_equal(mailbox_state(box), MAILBOX_STARTING);
	assert_false(mailbox_post(box, &(struct mailbox_job){ .id = 1 }));
}

static void write_nonsense(void)
{
	struct mailbox_job job;
	mailbox_take(box, &job);
	atomic_store(&box->state, 0xdeadbeef);
	mailbox_say_answered(box);
	mailbox_take(box, &job);
}

static void a_worker_that_writes_nonsense_comes_to_an_end(void **state)
{
	(void)state;
	begin(write_nonsense);
	assert_true(mailbox_post(box, &(struct mailbox_job){ .id = 1 }));
	bury();
	assert_false(box->was == MAILBOX_ANSWERED);
}

static void there_is_room_for_what_is_named(void **state)
{
	(void)state;
	assert_true(mailbox_footprint(ROOM) >= sizeof(*box) + ROOM * sizeof(box->named[0]));
	assert_int_equal(mailbox_footprint(ROOM) % 4096, 0);
	memset(&box->named[ROOM - 1], 1, sizeof(box->named[0]));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, new_box, drop_box)
	const struct CMUnitTest tests[] = {
		TEST(every_job_has_its_answer),
		TEST(a_side_that_sleeps_is_woken),
		TEST(a_wait_ends_at_its_deadline_and_the_answer_may_still_come),
		TEST(who_dies_before_it_takes_a_job_has_not_taken_it),
		TEST(who_dies_with_a_job_has_taken_it),
		TEST(who_dies_after_its_answer_has_answered),
		TEST(nothing_can_be_posted_to_the_dead),
		TEST(a_worker_that_writes_nonsense_comes_to_an_end),
		TEST(there_is_room_for_what_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
