/* SPDX-License-Identifier: MIT */
/*
 * The descriptor of a manual buffer: readable when there is something to do at once, and not otherwise, so that a
 * loop that sleeps on it misses nothing and does not turn in vain.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "api/support.h"

static bool is_readable(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	CHECK(poll(&poll_fd, 1, 0) >= 0);
	return poll_fd.revents & POLLIN;
}

/* Its clock stands at 1000. */
static databuffer *start_manual(struct sink *sink, databuffer_options *o)
{
	*o = sink_options(sink);
	o->flusher = DATABUFFER_MANUAL;
	o->max_size = 10;
	databuffer *buf = start(o);
	assert_int_equal(databuffer_work(buf, 1000), 0);
	return buf;
}

static int descriptor(databuffer *buf)
{
	int fd = databuffer_fd(buf);
	assert_true(fd >= 0);
	return fd;
}

static void it_is_readable_from_a_cut_until_it_is_flushed(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o;
	databuffer *buf = start_manual(sink, &o);
	int fd = descriptor(buf);
	for (unsigned round = 0; round < 3; round++) {
		assert_false(is_readable(fd));
		insert_numbers(buf, 0, 9);
		assert_false(is_readable(fd));
		insert_number(buf, 9);
		assert_true(is_readable(fd));
		insert_numbers(buf, 10, 20);
		assert_true(is_readable(fd));
		assert_int_equal(databuffer_work(buf, 1000), 2);
	}
	assert_false(is_readable(fd));
	insert_number(buf, 0);
	assert_int_equal(databuffer_flush(buf), 0);
	assert_true(is_readable(fd));
	assert_int_equal(databuffer_work(buf, 1000), 1);
	assert_false(is_readable(fd));
	stop_clean(buf);
	sink_free(sink);
}

static void what_was_cut_before_it_was_asked_for_counts(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o;
	databuffer *buf = start_manual(sink, &o);
	insert_numbers(buf, 0, 10);
	int fd = descriptor(buf);
	assert_true(is_readable(fd));
	assert_int_equal(databuffer_work(buf, 1000), 1);
	assert_false(is_readable(fd));
	stop_clean(buf);
	sink_free(sink);
}

static void it_is_one_and_the_same_and_closed_with_the_buffer(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o;
	databuffer *buf = start_manual(sink, &o);
	int fd = descriptor(buf);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(databuffer_fd(buf), fd);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	stop_clean(buf);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(databuffer_fd(buf), DATABUFFER_ESTOPPED);
	assert_int_equal(databuffer_fd(NULL), DATABUFFER_EINVAL);
	sink_free(sink);
}

static void a_buffer_with_threads_has_none(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	assert_int_equal(databuffer_fd(buf), DATABUFFER_ENOTSUP);
	stop_clean(buf);
	sink_free(sink);
}

static void without_a_descriptor_to_give_it_says_so(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o;
	databuffer *buf = start_manual(sink, &o);
	struct rlimit before, few;
	CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	few = before;
	few.rlim_cur = 0;
	CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	int rc = databuffer_fd(buf);
	CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
	assert_int_equal(rc, DATABUFFER_EAGAIN);
	descriptor(buf);
	stop_clean(buf);
	sink_free(sink);
}

static int fail_once(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink, (void)batch;
	return call->attempt == 1 ? DATABUFFER_RETRY : 0;
}

static void what_is_due_by_time_is_for_the_deadline(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o;
	databuffer *buf = start_manual(sink, &o);
	int fd = descriptor(buf);
	sink->answer = fail_once;
	o.retry_min = o.retry_max = 500;
	o.flush_interval = 100;
	assert_int_equal(databuffer_reconfigure(buf, &o), 0);
	insert_numbers(buf, 0, 10);
	assert_true(is_readable(fd));
	assert_int_equal(databuffer_work(buf, 1000), 1);
	/* It backs off. */
	assert_false(is_readable(fd));
	assert_int_equal(databuffer_next_deadline(buf), 1500);
	assert_int_equal(databuffer_work(buf, 1499), 0);
	assert_false(is_readable(fd));
	assert_int_equal(databuffer_work(buf, 1500), 1);
	assert_false(is_readable(fd));
	stop_clean(buf);
	sink_free(sink);
}

static void a_deadline_that_comes_nearer_than_was_told_is_something_to_do(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o;
	databuffer *buf = start_manual(sink, &o);
	int fd = descriptor(buf);
	o.flush_interval = 100;
	assert_int_equal(databuffer_reconfigure(buf, &o), 0);
	assert_int_equal(databuffer_work(buf, 2000), 0);
	assert_int_equal(databuffer_next_deadline(buf), INT64_MAX);
	insert_number(buf, 0);
	assert_true(is_readable(fd));
	assert_int_equal(databuffer_work(buf, 2000), 0);
	assert_false(is_readable(fd));
	int64_t deadline = databuffer_next_deadline(buf);
	assert_in_range(deadline, 2001, 2100);
	/* That was told; more of the same is no news. */
	insert_numbers(buf, 1, 5);
	assert_false(is_readable(fd));
	o.flush_interval = 1;
	assert_int_equal(databuffer_reconfigure(buf, &o), 0);
	assert_true(is_readable(fd));
	assert_int_equal(databuffer_work(buf, 2100), 1);
	assert_false(is_readable(fd));
	stop_clean(buf);
	sink_free(sink);
}

static void insert_one_more(struct sink *sink, databuffer *buf)
{
	if (sink_calls(sink) < 3)
		insert_numbers(buf, 0, 10);
}

static int insert_inside(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)batch, (void)call;
	insert_one_more(sink, sink->ctx);
	return 0;
}

static void what_handlers_cut_meanwhile_is_flushed_by_the_same_work(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o;
	databuffer *buf = start_manual(sink, &o);
	int fd = descriptor(buf);
	sink->ctx = buf;
	sink->answer = insert_inside;
	insert_numbers(buf, 0, 10);
	assert_int_equal(databuffer_work(buf, 1000), 3);
	assert_false(is_readable(fd));
	stop_clean(buf);
	sink_free(sink);
}

/* --- In a child -------------------------------------------------------------------------------------- */

static void a_child_has_one_of_its_own_with_the_same_number(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o;
	databuffer *buf = start_manual(sink, &o);
	int fd = descriptor(buf), status;
	insert_numbers(buf, 0, 10);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		CHECK(databuffer_fd(buf) == fd && !is_readable(fd));
		CHECK(databuffer_work(buf, 2000) == 0);
		for (uint64_t i = 0; i < 10; i++)
			CHECK(databuffer_insert(buf, &i, 8) == 0);
		CHECK(is_readable(fd));
		CHECK(databuffer_work(buf, 2000) == 1);
		CHECK(!is_readable(fd));
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child);
	assert_int_equal(status, 0);
	assert_true(is_readable(fd)); /* the child has taken nothing away */
	assert_int_equal(databuffer_work(buf, 1000), 1);
	assert_false(is_readable(fd));
	stop_clean(buf);
	sink_free(sink);
}

/* --- In a loop ----------------------------------------------------------------------------------------- */

#define PRODUCERS 4

struct crowd {
	databuffer *buf;
	uint64_t each, seed;
	_Atomic unsigned number;
};

static void *insert_now_and_then(void *arg)
{
	struct crowd *crowd = arg;
	uint64_t number = atomic_fetch_add(&crowd->number, 1), seed = crowd->seed + number;
	for (uint64_t i = number * crowd->each; i < (number + 1) * crowd->each; i++) {
		CHECK(databuffer_insert_timed(crowd->buf, &i, 8, PATIENCE_MS) == 0);
		if (dice_below(&seed, 500) == 0)
			pause_ms((int64_t)dice_below(&seed, 4));
	}
	return NULL;
}

/* It sleeps until there is something to do, and for nothing else: were one batch or deadline not told, it would
 * sleep for ever, and the producers wait in vain. */
static void a_loop_that_sleeps_on_it_misses_nothing(void **state)
{
	(void)state;
	for (unsigned partitions = 1; partitions <= 3; partitions += 2) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		struct crowd crowd = { .each = scaled(20000), .seed = test_seed() };
		pthread_t threads[PRODUCERS];
		o.flusher = DATABUFFER_MANUAL;
		o.partitions = partitions;
		o.max_size = 100;
		o.flush_interval = 2;
		crowd.buf = start(&o);
		int fd = descriptor(crowd.buf), set = epoll_create1(EPOLL_CLOEXEC);
		struct epoll_event event = { .events = EPOLLIN };
		CHECK(set >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
		CHECK(databuffer_work(crowd.buf, now_ms()) == 0);
		for (unsigned i = 0; i < PRODUCERS; i++)
			threads[i] = thread_run(insert_now_and_then, &crowd);
		uint64_t turns = 0;
		for (int64_t until = now_ms() + PATIENCE_MS; sink_flushed(sink) < PRODUCERS * crowd.each; turns++) {
			int64_t now = now_ms(), deadline = databuffer_next_deadline(crowd.buf);
			CHECK(now < until);
			if (deadline > until)
				deadline = until;
			CHECK(epoll_wait(set, &event, 1, deadline > now ? (int)(deadline - now) : 0) >= 0);
			CHECK(databuffer_work(crowd.buf, now_ms()) >= 0);
		}
		for (unsigned i = 0; i < PRODUCERS; i++)
			thread_join(threads[i]);
		print_message("%" PRIu64 " turns for %zu batches\n", turns, sink_calls(sink));
		close(set);
		stop_clean(crowd.buf);
		assert_flushed_once(sink, 0, PRODUCERS * crowd.each);
		sink_free(sink);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_readable_from_a_cut_until_it_is_flushed),
		cmocka_unit_test(what_was_cut_before_it_was_asked_for_counts),
		cmocka_unit_test(it_is_one_and_the_same_and_closed_with_the_buffer),
		cmocka_unit_test(a_buffer_with_threads_has_none),
		cmocka_unit_test(without_a_descriptor_to_give_it_says_so),
		cmocka_unit_test(what_is_due_by_time_is_for_the_deadline),
		cmocka_unit_test(a_deadline_that_comes_nearer_than_was_told_is_something_to_do),
		cmocka_unit_test(what_handlers_cut_meanwhile_is_flushed_by_the_same_work),
		cmocka_unit_test(a_child_has_one_of_its_own_with_the_same_number),
		cmocka_unit_test(a_loop_that_sleeps_on_it_misses_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
