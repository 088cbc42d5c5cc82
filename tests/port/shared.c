/* SPDX-License-Identifier: MIT */
/* Memory that processes share: words that one waits on and another wakes. */
#include "port/shared.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "port/patience.h"
#include "port/process.h"

static _Atomic uint32_t *word;

static int map_word(void **state)
{
	(void)state;
	word = port_map_shared(sizeof(*word), "word");
	return word ? 0 : -1;
}

static int unmap_word(void **state)
{
	(void)state;
	port_unmap((void *)word, sizeof(*word));
	return 0;
}

static void a_wake_reaches_another_process(void **state)
{
	(void)state;
	for (uint32_t turn = 0; turn < 100; turn += 2) {
		if (turn == 0 && port_fork() == 0) {
			for (uint32_t mine = 0; mine < 100; mine += 2) {
				while (atomic_load(word) != mine + 1)
					port_wait_shared(word, mine, patience());
				atomic_store(word, mine + 2);
				port_wake_shared(word, 1);
			}
			port_exit(0);
		}
		atomic_store(word, turn + 1);
		port_wake_shared(word, 1);
		while (atomic_load(word) != turn + 2)
			assert_true(port_wait_shared(word, turn + 1, patience()));
	}
	struct port_end end;
	WAIT_FOR(port_reap(&end));
	assert_int_equal(end.number, 0);
}

static void a_wait_ends_at_its_deadline(void **state)
{
	(void)state;
	int64_t deadline = port_now_ns() + 20 * PORT_NS_PER_MS;
	while (port_wait_shared(word, 0, deadline))
		;
	assert_true(port_now_ns() >= deadline);
	assert_true(port_wait_shared(word, 1, deadline + PATIENCE_NS)); /* the word is another: at once */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, map_word, unmap_word)
	const struct CMUnitTest tests[] = {
		TEST(a_wake_reaches_another_process),
		TEST(a_wait_ends_at_its_deadline),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
