/* SPDX-License-Identifier: MIT */
/* A store that processes share: the same bytes in each, until one parts from it. */
#include "store/store.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE (4 * 4096)

static struct store new_store(void)
{
	struct store store;
	assert_true(store_init_shared(&store, SIZE));
	assert_int_equal(store.size, SIZE);
	return store;
}

/* What a child comes to: its status, or minus the signal that killed it. */
static int in_a_child(int (*run)(struct store *), struct store *store)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL); /* a test's own handler would report it */
		_exit(run(store));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int write_a_word(struct store *store)
{
	memcpy(store->base + 4096, "word", 4);
	return 0;
}

static void it_starts_as_zeroes(void **state)
{
	(void)state;
	struct store store = new_store();
	for (size_t i = 0; i < SIZE; i++)
		assert_int_equal(store.base[i], 0);
	store_fini(&store);
	assert_null(store.base);
}

static void what_a_child_writes_the_parent_reads(void **state)
{
	(void)state;
	struct store store = new_store();
	assert_int_equal(in_a_child(write_a_word, &store), 0);
	assert_memory_equal(store.base + 4096, "word", 4);
	store_fini(&store);
}

static int part_and_write(struct store *store)
{
	store_part(store);
	for (size_t i = 0; i < SIZE; i++)
		if (store->base[i] != 0)
			return 1;
	memset(store->base, 'c', SIZE);
	return 0;
}

static void a_child_that_parts_has_memory_of_its_own(void **state)
{
	(void)state;
	struct store store = new_store();
	memset(store.base, 'p', SIZE);
	assert_int_equal(in_a_child(part_and_write, &store), 0);
	for (size_t i = 0; i < SIZE; i++)
		assert_int_equal(store.base[i], 'p');
	store_fini(&store);
}

static int read_and_write(struct store *store)
{
	store_read_only(store);
	if (memcmp(store->base, "parent", 6) != 0)
		return 1;
	return write_a_word(store);
}

static void a_write_into_what_is_read_only_ends_the_child(void **state)
{
	(void)state;
	struct store store = new_store();
	memcpy(store.base, "parent", 6);
	assert_int_equal(in_a_child(read_and_write, &store), -SIGSEGV);
	assert_int_equal(store.base[4096], 0);
	memset(store.base, 'p', SIZE); /* the parent still writes */
	store_fini(&store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_starts_as_zeroes),
		cmocka_unit_test(what_a_child_writes_the_parent_reads),
		cmocka_unit_test(a_child_that_parts_has_memory_of_its_own),
		cmocka_unit_test(a_write_into_what_is_read_only_ends_the_child),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
