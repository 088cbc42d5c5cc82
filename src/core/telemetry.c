/* SPDX-License-Identifier: MIT */
/*
 * telemetry.c: a table of handlers that is read without a lock and replaced as a
 * whole.
 *
 *      telemetry_current ──> table ──> [handler][handler][handler]
 *      telemetry_retired ──> table ──> [handler][handler]     <── 2 readers
 *      telemetry_reserve ──> table ──> [       ][       ]
 *      telemetry_spare ────> table ──> nothing
 *
 * Attach and detach, one at a time under telemetry_lock, fill in a new list of
 * handlers and make its table the current one. The old one is retired, and its
 * list is freed once nobody reads it. A table itself is never freed but used
 * again, so that its count of readers may be touched at any time:
 *
 *      reader                              writer
 *        readers of table + 1   (a)          current = other table      (c)
 *        current == table?      (b)          readers of table == 0?     (d)
 *        if not: leave, again
 *
 * All four are sequentially consistent. If (b) still finds the table, it comes
 * before (c) in their one order, so (a) comes before (d), and the writer sees the
 * reader. If the table has been used again meanwhile, (b) finds it current once
 * more, and rightly: it has read what that (c) released, and is counted. In the
 * same way a reader that leaves (readers - 1, then current == table?) is either
 * seen by (d), or sees itself that the table is not current, and clears up.
 *
 * Invariants: a list is freed only when its table is neither current nor read; a
 * handler is freed with the last list that it is in; with n handlers attached the
 * reserve has room for n - 1, n - 2, ... 1 of them, so that detach needs no memory.
 */
#include "core/telemetry.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct telemetry_handler {
	databuffer_telemetry_fn *fn;
	void *ctx;
	unsigned events;
	_Atomic bool detached; /* no list that is still being read calls it any more */
	unsigned lists;        /* that it is in; under the lock */
	uint64_t serial;       /* no other handler ever has it, where an address comes again */
	char id[];
};

struct telemetry_list {
	size_t count;
	struct telemetry_handler *handlers[]; /* in order of attachment */
};

struct telemetry_table {
	_Atomic unsigned readers;     /* and whoever has mistaken it for the current one and will leave */
	struct telemetry_list *list;  /* NULL in a spare table; under the lock, or as a reader */
	struct telemetry_table *next; /* of those that are retired, in reserve or spare; under the lock */
};

/* A table that this thread reads: one for each telemetry_emit that it is inside of. */
struct telemetry_pin {
	struct telemetry_table *table;
	struct telemetry_pin *outer;
};

_Atomic unsigned telemetry_wanted;

static pthread_mutex_t telemetry_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t telemetry_unread = PTHREAD_COND_INITIALIZER; /* a retired table now is */

static struct telemetry_table *_Atomic telemetry_current; /* NULL: nobody is attached */
static struct telemetry_table *telemetry_retired;
static struct telemetry_table *telemetry_reserve;
static struct telemetry_table *telemetry_spare;
static uint64_t telemetry_last_serial;

static _Thread_local struct telemetry_pin *telemetry_innermost;

/* --- Tables; the lock is held ------------------------------------------------ */

static void telemetry_push(struct telemetry_table **chain, struct telemetry_table *table)
{
	table->next = *chain;
	*chain = table;
}

static struct telemetry_table *telemetry_pop(struct telemetry_table **chain)
{
	struct telemetry_table *table = *chain;

	if (table)
		*chain = table->next;
	return table;
}

/* Puts a table with an empty list of room for `count` on `chain`; false without memory. */
static bool telemetry_make_table(struct telemetry_table **chain, size_t count)
{
	struct telemetry_table *table = telemetry_pop(&telemetry_spare);

	if (!table)
		table = calloc(1, sizeof(*table));
	if (!table)
		return false;
	table->list = malloc(sizeof(*table->list) + count * sizeof(table->list->handlers[0]));
	if (!table->list) {
		telemetry_push(&telemetry_spare, table);
		return false;
	}
	table->list->count = 0;
	telemetry_push(chain, table);
	return true;
}

/* Takes the first table of `chain` apart, and frees the handlers that are in no other. */
static void telemetry_unmake_table(struct telemetry_table **chain)
{
	struct telemetry_table *table = telemetry_pop(chain);

	for (size_t i = 0; i < table->list->count; i++) {
		struct telemetry_handler *handler = table->list->handlers[i];

		if (--handler->lists == 0)
			free(handler);
	}
	free(table->list);
	table->list = NULL;
	telemetry_push(&telemetry_spare, table);
}

static void telemetry_add(struct telemetry_list *list, struct telemetry_handler *handler)
{
	list->handlers[list->count++] = handler;
	handler->lists++;
}

/* Takes the retired tables apart that nobody reads, and tells those who wait for it. */
static void telemetry_sweep(void)
{
	struct telemetry_table **link = &telemetry_retired;

	while (*link) {
		if (atomic_load_explicit(&(*link)->readers, memory_order_seq_cst) > 0)
			link = &(*link)->next;
		else
			telemetry_unmake_table(link);
	}
	pthread_cond_broadcast(&telemetry_unread);
}

static struct telemetry_list *telemetry_current_list(void)
{
	static struct telemetry_list nobody;
	struct telemetry_table *table = atomic_load_explicit(&telemetry_current, memory_order_relaxed);

	return table ? table->list : &nobody;
}

/* Makes a table current, NULL for nobody, and retires the one before. */
static void telemetry_replace(struct telemetry_table *table)
{
	struct telemetry_table *old = atomic_load_explicit(&telemetry_current, memory_order_relaxed);
	unsigned wanted = 0;

	for (size_t i = 0; table && i < table->list->count; i++)
		wanted |= table->list->handlers[i]->events;
	atomic_store_explicit(&telemetry_current, table, memory_order_seq_cst);
	atomic_store_explicit(&telemetry_wanted, wanted, memory_order_relaxed);
	if (old)
		telemetry_push(&telemetry_retired, old);
	telemetry_sweep();
}

/* --- Reading ------------------------------------------------------------------ */

/* A reader that was the last of a table that is not current clears up after itself. */
static void telemetry_leave(struct telemetry_table *table)
{
	if (atomic_fetch_sub_explicit(&table->readers, 1, memory_order_seq_cst) > 1 ||
	    atomic_load_explicit(&telemetry_current, memory_order_seq_cst) == table)
		return;
	pthread_mutex_lock(&telemetry_lock);
	telemetry_sweep();
	pthread_mutex_unlock(&telemetry_lock);
}

/* The current table, counted as a reader; NULL if nobody is attached. */
static struct telemetry_table *telemetry_enter(void)
{
	struct telemetry_table *table = atomic_load_explicit(&telemetry_current, memory_order_seq_cst);

	while (table) {
		struct telemetry_table *now;

		atomic_fetch_add_explicit(&table->readers, 1, memory_order_seq_cst);
		now = atomic_load_explicit(&telemetry_current, memory_order_seq_cst);
		if (now == table)
			break;
		telemetry_leave(table);
		table = now;
	}
	return table;
}

void telemetry_emit(const databuffer_event *event)
{
	struct telemetry_pin pin = { .table = telemetry_enter(), .outer = telemetry_innermost };
	struct telemetry_list *list;

	if (!pin.table)
		return;
	telemetry_innermost = &pin;
	list = pin.table->list;
	for (size_t i = 0; i < list->count; i++) {
		struct telemetry_handler *handler = list->handlers[i];

		if ((handler->events & (unsigned)event->kind) != 0 &&
		    !atomic_load_explicit(&handler->detached, memory_order_acquire))
			handler->fn(event, handler->ctx);
	}
	telemetry_innermost = pin.outer;
	telemetry_leave(pin.table);
}

/* --- Attach and detach ---------------------------------------------------------- */

static struct telemetry_handler *telemetry_find(const char *id)
{
	struct telemetry_list *list = telemetry_current_list();

	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->handlers[i]->id, id) == 0)
			return list->handlers[i];
	}
	return NULL;
}

/* Attaches a handler, the lock held: a table for all of them, and one in reserve
 * for all but one, for the detach that is to come. */
static int telemetry_attach_locked(struct telemetry_handler *handler)
{
	struct telemetry_list *list = telemetry_current_list();
	struct telemetry_table *fresh = NULL;

	if (telemetry_find(handler->id))
		return DATABUFFER_EEXIST;
	if (!telemetry_make_table(&fresh, list->count + 1))
		return DATABUFFER_ENOMEM;
	if (list->count > 0 && !telemetry_make_table(&telemetry_reserve, list->count)) {
		telemetry_unmake_table(&fresh);
		return DATABUFFER_ENOMEM;
	}
	handler->serial = ++telemetry_last_serial;
	for (size_t i = 0; i < list->count; i++)
		telemetry_add(fresh->list, list->handlers[i]);
	telemetry_add(fresh->list, handler);
	telemetry_replace(fresh);
	return 0;
}

int databuffer_telemetry_attach(const char *id, unsigned events, databuffer_telemetry_fn *fn, void *ctx)
{
	struct telemetry_handler *handler;
	size_t id_size;
	int rc;

	if (!id || id[0] == '\0' || !fn || (events & ~(unsigned)DATABUFFER_EVENTS_ALL) != 0)
		return DATABUFFER_EINVAL;
	id_size = strlen(id) + 1;
	handler = malloc(sizeof(*handler) + id_size);
	if (!handler)
		return DATABUFFER_ENOMEM;
	handler->fn = fn;
	handler->ctx = ctx;
	handler->events = events;
	handler->lists = 0;
	atomic_init(&handler->detached, false);
	memcpy(handler->id, id, id_size);

	pthread_mutex_lock(&telemetry_lock);
	rc = telemetry_attach_locked(handler);
	pthread_mutex_unlock(&telemetry_lock);
	if (rc < 0)
		free(handler);
	return rc;
}

/* Whether a retired table that somebody reads has this handler. */
static bool telemetry_is_read(uint64_t serial)
{
	for (struct telemetry_table *table = telemetry_retired; table; table = table->next) {
		for (size_t i = 0; i < table->list->count; i++) {
			if (table->list->handlers[i]->serial == serial)
				return true;
		}
	}
	return false;
}

/* No point of cancellation: the lock would be left held. */
static void telemetry_wait_until_unread(uint64_t serial)
{
	int state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	while (telemetry_is_read(serial))
		pthread_cond_wait(&telemetry_unread, &telemetry_lock);
	pthread_setcancelstate(state, NULL);
}

/* Inside of a handler there is no waiting: it would be for itself, or for one on
 * another thread that waits for this one. */
int databuffer_telemetry_detach(const char *id)
{
	struct telemetry_list *list;
	struct telemetry_handler *handler;
	struct telemetry_table *fresh = NULL;
	uint64_t serial;

	if (!id)
		return DATABUFFER_ENOENT;
	pthread_mutex_lock(&telemetry_lock);
	handler = telemetry_find(id);
	if (!handler) {
		pthread_mutex_unlock(&telemetry_lock);
		return DATABUFFER_ENOENT;
	}
	list = telemetry_current_list();
	if (list->count > 1)
		fresh = telemetry_pop(&telemetry_reserve);
	for (size_t i = 0; i < list->count && fresh; i++) {
		if (list->handlers[i] != handler)
			telemetry_add(fresh->list, list->handlers[i]);
	}
	serial = handler->serial;
	atomic_store_explicit(&handler->detached, true, memory_order_release);
	telemetry_replace(fresh);
	if (!telemetry_innermost)
		telemetry_wait_until_unread(serial);
	pthread_mutex_unlock(&telemetry_lock);
	return 0;
}

/* --- Fork ------------------------------------------------------------------------- */

void telemetry_fork_lock(void)
{
	pthread_mutex_lock(&telemetry_lock);
}

void telemetry_fork_unlock(void)
{
	pthread_mutex_unlock(&telemetry_lock);
}

static void telemetry_forget_readers(struct telemetry_table *table)
{
	for (; table; table = table->next)
		atomic_store_explicit(&table->readers, 0, memory_order_relaxed);
}

/* This thread is the only one now. It may have forked in a handler, and then goes
 * on reading what it has pinned. */
void telemetry_fork_child(void)
{
	struct telemetry_table *current = atomic_load_explicit(&telemetry_current, memory_order_relaxed);

	if (current)
		atomic_store_explicit(&current->readers, 0, memory_order_relaxed);
	telemetry_forget_readers(telemetry_retired);
	telemetry_forget_readers(telemetry_reserve);
	telemetry_forget_readers(telemetry_spare);
	for (struct telemetry_pin *pin = telemetry_innermost; pin; pin = pin->outer)
		atomic_fetch_add_explicit(&pin->table->readers, 1, memory_order_relaxed);
	pthread_cond_init(&telemetry_unread, NULL);
	pthread_mutex_unlock(&telemetry_lock);
}
