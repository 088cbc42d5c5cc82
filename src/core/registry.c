/* SPDX-License-Identifier: MIT */
/* The list of buffers, and the handlers of fork. */
#include "core/registry.h"

#include <stdlib.h>

#include "core/forkserver.h"
#include "core/pool.h"
#include "core/producer.h"
#include "core/supervisor.h"
#include "core/telemetry.h"

#define RETIRED_KEPT 256

static struct {
	pthread_mutex_t lock;
	pthread_once_t once;
	struct list buffers;
	struct list retired;
	unsigned retired_count;
	int fork_handlers;   /* what pthread_atfork answered */
	uint32_t generation; /* written in a child while it has one thread */
} registry = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.once = PTHREAD_ONCE_INIT,
	.buffers = { &registry.buffers, &registry.buffers },
	.retired = { &registry.retired, &registry.retired },
};

void registry_lock(void)
{
	pthread_mutex_lock(&registry.lock);
}

void registry_unlock(void)
{
	pthread_mutex_unlock(&registry.lock);
}

/* --- Fork -------------------------------------------------------------------------------- */

uint32_t fork_generation(void)
{
	return registry.generation;
}

static void before_fork(void)
{
	struct list *node;
	registry_lock();
	LIST_FOREACH(node, &registry.buffers)
	{
		struct databuffer *buf = LIST_ENTRY(node, struct databuffer, link);
		for (unsigned i = 0; i < buf->partition_count; i++)
			pthread_mutex_lock(&buf->partitions[i].lock);
		pthread_mutex_lock(&buf->times_lock);
	}
	supervisor_fork_lock();
	pool_fork_lock();
	telemetry_fork_lock();
	forkserver_fork_lock();
}

static void unlock_buffers(void)
{
	struct list *node;
	LIST_FOREACH(node, &registry.buffers)
	{
		struct databuffer *buf = LIST_ENTRY(node, struct databuffer, link);
		pthread_mutex_unlock(&buf->times_lock);
		for (unsigned i = 0; i < buf->partition_count; i++)
			pthread_mutex_unlock(&buf->partitions[i].lock);
	}
}

static void after_fork_in_parent(void)
{
	forkserver_fork_unlock();
	telemetry_fork_unlock();
	pool_fork_unlock();
	supervisor_fork_unlock();
	unlock_buffers();
	registry_unlock();
}

/* In a fork server, and so in each of its workers, the buffers are the application's
 * and not to be touched, least of all their memory, which may be shared. */
static void renounce(struct databuffer *buf)
{
	producer_orphan_all(buf);
	atomic_store_explicit(&buf->state, BUFFER_ELSEWHERE, memory_order_relaxed);
}

static void after_fork_in_child(void)
{
	struct list *node;
	registry.generation++;
	forkserver_fork_child();
	telemetry_fork_child();
	pool_fork_child();
	supervisor_fork_child();
	LIST_FOREACH(node, &registry.buffers)
	{
		struct databuffer *buf = LIST_ENTRY(node, struct databuffer, link);
		if (forkserver_is_being_born()) {
			renounce(buf);
			continue;
		}
		producer_reset_all(buf);
		buffer_reset(buf);
	}
	unlock_buffers();
	if (forkserver_is_being_born())
		list_init(&registry.buffers);
	registry_unlock();
}

static void install_fork_handlers(void)
{
	registry.fork_handlers = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* --- Buffers -------------------------------------------------------------------------------- */

static struct databuffer *lookup(const char *name)
{
	struct list *node;
	LIST_FOREACH(node, &registry.buffers)
	{
		struct databuffer *buf = LIST_ENTRY(node, struct databuffer, link);
		if (buf->options.name && strcmp(buf->options.name, name) == 0)
			return buf;
	}
	return NULL;
}

databuffer *databuffer_find(const char *name)
{
	if (!name)
		return NULL;
	registry_lock();
	struct databuffer *buf = lookup(name);
	if (buf && atomic_load_explicit(&buf->state, memory_order_relaxed) != BUFFER_RUNNING)
		buf = NULL;
	registry_unlock();
	return buf;
}

int registry_prepare(void)
{
	pthread_once(&registry.once, install_fork_handlers);
	return registry.fork_handlers == 0 ? 0 : DATABUFFER_ENOMEM;
}

int registry_add(struct databuffer *buf)
{
	int rc = registry_prepare();
	if (rc != 0)
		return rc;
	registry_lock();
	rc = buf->options.name && lookup(buf->options.name) ? DATABUFFER_EEXIST : 0;
	if (rc == 0) {
		list_push_back(&registry.buffers, &buf->link);
		buf->registered = true;
	}
	registry_unlock();
	return rc;
}

void registry_remove(struct databuffer *buf)
{
	registry_lock();
	list_remove(&buf->link);
	buf->registered = false;
	producer_orphan_all(buf);
	registry_unlock();
}

void registry_retire(struct databuffer *buf)
{
	struct list *oldest = NULL;
	registry_lock();
	list_push_back(&registry.retired, &buf->link);
	if (++registry.retired_count > RETIRED_KEPT) {
		oldest = list_pop_front(&registry.retired);
		registry.retired_count--;
	}
	registry_unlock();
	if (oldest)
		free(LIST_ENTRY(oldest, struct databuffer, link));
}
