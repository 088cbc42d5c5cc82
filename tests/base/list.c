/* SPDX-License-Identifier: MIT */
/* list.c: the intrusive list, by what is in it, in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct letter {
	char name;
	struct list node;
};

static struct letter a = { .name = 'a' }, b = { .name = 'b' }, c = { .name = 'c' };

static int setup(void **state)
{
	(void)state;
	list_init(&a.node);
	list_init(&b.node);
	list_init(&c.node);
	return 0;
}

static void assert_list_is(const struct list *head, const char *names)
{
	const struct list *node;

	assert_true(list_is_valid(head));
	LIST_FOREACH(node, head) {
		assert_int_equal(LIST_ENTRY(node, const struct letter, node)->name, *names);
		names++;
	}
	assert_int_equal(*names, '\0');
}

static void a_fresh_list_is_empty(void **state)
{
	struct list head;

	(void)state;
	list_init(&head);
	assert_true(list_is_empty(&head));
	assert_null(list_first(&head));
	assert_null(list_pop_front(&head));
	assert_list_is(&head, "");
}

static void nodes_stand_where_they_were_put(void **state)
{
	struct list head;

	(void)state;
	list_init(&head);
	list_push_back(&head, &b.node);
	list_push_front(&head, &a.node);
	list_push_back(&head, &c.node);
	assert_list_is(&head, "abc");
	assert_false(list_is_empty(&head));
	assert_ptr_equal(list_first(&head), &a.node);

	list_remove(&c.node);
	list_insert_before(&b.node, &c.node);
	assert_list_is(&head, "acb");
}

static void a_removed_node_is_in_no_list_and_may_be_removed_again(void **state)
{
	struct list head;

	(void)state;
	list_init(&head);
	list_push_back(&head, &a.node);
	list_push_back(&head, &b.node);
	list_remove(&a.node);
	assert_true(list_is_empty(&a.node));
	list_remove(&a.node);
	assert_list_is(&head, "b");
	assert_true(list_is_valid(&a.node));
}

static void pop_front_takes_the_first_until_there_is_none(void **state)
{
	struct list head;

	(void)state;
	list_init(&head);
	list_push_back(&head, &a.node);
	list_push_back(&head, &b.node);
	assert_ptr_equal(list_pop_front(&head), &a.node);
	assert_ptr_equal(list_pop_front(&head), &b.node);
	assert_null(list_pop_front(&head));
	assert_true(list_is_empty(&a.node));
}

static void move_all_appends_in_order_and_empties_the_source(void **state)
{
	struct list from, to;

	(void)state;
	list_init(&from);
	list_init(&to);
	list_move_all(&from, &to);
	assert_list_is(&to, "");

	list_push_back(&to, &a.node);
	list_push_back(&from, &b.node);
	list_push_back(&from, &c.node);
	list_move_all(&from, &to);
	assert_list_is(&to, "abc");
	assert_list_is(&from, "");

	list_move_all(&to, &from);
	assert_list_is(&from, "abc");
	assert_list_is(&to, "");
}

static void the_safe_walk_survives_removal_of_every_node(void **state)
{
	struct list head, *node, *after;
	unsigned seen = 0;

	(void)state;
	list_init(&head);
	list_push_back(&head, &a.node);
	list_push_back(&head, &b.node);
	list_push_back(&head, &c.node);
	LIST_FOREACH_SAFE(node, after, &head) {
		list_remove(node);
		seen++;
	}
	assert_int_equal(seen, 3);
	assert_list_is(&head, "");
}

static void a_damaged_ring_is_told_and_does_not_trap_the_check(void **state)
{
	struct list head;

	(void)state;
	list_init(&head);
	list_push_back(&head, &a.node);
	list_push_back(&head, &b.node);
	list_push_back(&head, &c.node);

	c.node.next = &b.node;
	assert_false(list_is_valid(&head));
	c.node.next = NULL;
	assert_false(list_is_valid(&head));
	c.node.next = &head;
	b.node.prev = &head;
	assert_false(list_is_valid(&head));
	b.node.prev = &a.node;
	assert_true(list_is_valid(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_fresh_list_is_empty, setup),
		cmocka_unit_test_setup(nodes_stand_where_they_were_put, setup),
		cmocka_unit_test_setup(a_removed_node_is_in_no_list_and_may_be_removed_again, setup),
		cmocka_unit_test_setup(pop_front_takes_the_first_until_there_is_none, setup),
		cmocka_unit_test_setup(move_all_appends_in_order_and_empties_the_source, setup),
		cmocka_unit_test_setup(the_safe_walk_survives_removal_of_every_node, setup),
		cmocka_unit_test_setup(a_damaged_ring_is_told_and_does_not_trap_the_check, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
