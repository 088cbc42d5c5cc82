/* SPDX-License-Identifier: MIT */
/* Channels between processes: messages with descriptors, bells, and a pipe that is full. */
#include "port/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "port/patience.h"

static void messages_carry_descriptors(void **state)
{
	(void)state;
	int ends[2], pipe[2], got[2], text = 7, read_text;
	char byte = 0;
	assert_true(port_socket_pair(ends) && port_pipe(pipe));
	assert_int_equal(port_receive(ends[1], &read_text, sizeof(read_text), got), PORT_NOTHING);
	assert_true(port_send(ends[0], &text, sizeof(text), (int[]){ pipe[1], -1 }, true));
	text = 8;
	assert_true(port_send(ends[0], &text, sizeof(text), NULL, false));
	assert_int_equal(port_receive(ends[1], &read_text, sizeof(read_text), got), PORT_RECEIVED);
	assert_int_equal(read_text, 7);
	assert_int_equal(got[1], -1);
	assert_int_equal(write(got[0], "x", 1), 1);
	assert_int_equal(read(pipe[0], &byte, 1), 1);
	assert_int_equal(byte, 'x');
	port_close(&got[0]);
	assert_int_equal(port_receive(ends[1], &read_text, sizeof(read_text), got), PORT_RECEIVED);
	assert_int_equal(read_text, 8);
	assert_int_equal(got[0], -1);
	port_close(&ends[0]);
	assert_int_equal(port_receive(ends[1], &read_text, sizeof(read_text), got), PORT_END);
	assert_false(port_send(ends[1], &text, sizeof(text), NULL, false));
	port_close(&ends[1]);
	port_close(&pipe[0]);
	port_close(&pipe[1]);
}

static void a_bell_wakes_a_poll(void **state)
{
	(void)state;
	int bells[2] = { port_event_open(), port_event_open() };
	bool ready[3];
	port_event_set(bells[1]);
	port_event_set(bells[1]);
	port_poll((int[]){ bells[0], -1, bells[1] }, ready, 3, patience());
	assert_false(ready[0]);
	assert_false(ready[1]);
	assert_true(ready[2]);
	port_event_clear(bells[1]);
	int64_t deadline = port_now_ns() + 5 * PORT_NS_PER_MS;
	port_poll(bells, ready, 2, deadline);
	assert_false(ready[1]);
	assert_true(port_now_ns() >= deadline);
	port_close(&bells[0]);
	port_close(&bells[1]);
}

static void what_is_poured_into_a_full_pipe_is_lost_and_waits_for_nobody(void **state)
{
	(void)state;
	int from[2], to[2];
	static char much[16384];
	size_t poured = 0;
	assert_true(port_pipe(from) && port_pipe(to));
	for (int i = 0; i < 20; i++) { /* 320 KiB into a pipe of 64 */
		assert_int_equal(write(from[1], much, sizeof(much)), sizeof(much));
		for (size_t got = 0; got < sizeof(much);) {
			int n = port_pour(from[0], to[1], sizeof(much) - got);
			assert_true(n > 0);
			got += (size_t)n;
			poured += (size_t)n;
		}
	}
	assert_int_equal(poured, 20 * sizeof(much));
	assert_true(read(to[0], much, sizeof(much)) > 0);
	port_close(&from[1]);
	assert_int_equal(port_pour(from[0], to[1], 100), 0);
	port_close(&from[0]);
	port_close(&to[0]);
	port_close(&to[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_carry_descriptors),
		cmocka_unit_test(a_bell_wakes_a_poll),
		cmocka_unit_test(what_is_poured_into_a_full_pipe_is_lost_and_waits_for_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
