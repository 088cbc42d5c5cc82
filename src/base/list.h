/* SPDX-License-Identifier: MIT */
/*
 * list.h: an intrusive list. The node stands inside the thing that is listed,
 * so that to list a thing allocates nothing and to take it out needs no search.
 *
 *               ┌──────────────────────────────────────────┐
 *               ▼                                          │
 *           ┌──────┐ next ┌──────┐ next ┌──────┐ next      │
 *           │ head │─────>│ node │─────>│ node │───────────┘
 *           │      │<─────│      │<─────│      │<──────────┐
 *           └──────┘ prev └──────┘ prev └──────┘           │
 *               │ prev                                     │
 *               └──────────────────────────────────────────┘
 *
 * Head and nodes are of one type and stand in one ring, so that no operation
 * has a special case for an end. A head alone in its ring is an empty list; a
 * node alone in its ring is in no list.
 *
 * Invariant, for each node of a ring: node->next->prev == node.
 *
 * Not thread-safe: whoever owns the list has the lock.
 */
#ifndef DATABUFFER_BASE_LIST_H
#define DATABUFFER_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

/* The thing of `type` whose `member` is *node. */
#define LIST_ENTRY(node, type, member) ((type *)(void *)((char *)(node) - offsetof(type, member)))

/* Visits the nodes of `head` from first to last; the list must not change. */
#define LIST_FOREACH(node, head) for ((node) = (head)->next; (node) != (head); (node) = (node)->next)

/* The same, with `after` always one node ahead: `node` itself may be removed. */
#define LIST_FOREACH_SAFE(node, after, head)                                                          \
	for ((node) = (head)->next, (after) = (node)->next; (node) != (head);                         \
	     (node) = (after), (after) = (node)->next)

/* Makes an empty list of a head, or a node that is in no list. */
static inline void list_init(struct list *list)
{
	list->next = list;
	list->prev = list;
}

/* For a head: nothing is listed. For a node: it is in no list. */
static inline bool list_is_empty(const struct list *list)
{
	return list->next == list;
}

/* Whether the invariant holds all around the ring. It comes to an end on a
 * damaged ring too: a node that agrees with its neighbour has one predecessor,
 * so that the walk can only close where it began. */
static inline bool list_is_valid(const struct list *list)
{
	const struct list *node = list;

	do {
		if (!node->next || node->next->prev != node)
			return false;
		node = node->next;
	} while (node != list);
	return true;
}

/* Puts a node that is in no list before `position`, which may be a head. */
static inline void list_insert_before(struct list *position, struct list *node)
{
	node->prev = position->prev;
	node->next = position;
	position->prev->next = node;
	position->prev = node;
}

static inline void list_push_back(struct list *head, struct list *node)
{
	list_insert_before(head, node);
}

static inline void list_push_front(struct list *head, struct list *node)
{
	list_insert_before(head->next, node);
}

/* Takes a node out and leaves it in no list; so a second time does nothing. */
static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

/* The first node, NULL if there is none. */
static inline struct list *list_first(const struct list *head)
{
	return list_is_empty(head) ? NULL : head->next;
}

/* Takes out the first node and returns it, NULL if there is none. */
static inline struct list *list_pop_front(struct list *head)
{
	struct list *node = list_first(head);

	if (node)
		list_remove(node);
	return node;
}

/* Moves all nodes of `from`, in their order, to the end of `to`. They are
 * different lists; `from` is empty afterwards. */
static inline void list_move_all(struct list *from, struct list *to)
{
	if (list_is_empty(from))
		return;
	from->next->prev = to->prev;
	from->prev->next = to;
	to->prev->next = from->next;
	to->prev = from->prev;
	list_init(from);
}

#endif
