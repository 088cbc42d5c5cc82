/* SPDX-License-Identifier: MIT */
/*
 * Changing the options of a running buffer. All or nothing: what can be refused,
 * and the memory that larger batches need, comes first; then the locks of all
 * partitions are taken, the options change, and each partition is let go once it
 * has come to terms with them. So no lock's holder ever sees some of the change.
 */
#include "core/buffer.h"

#include "core/memory.h"
#include "core/options.h"

static uint32_t slots_for(const databuffer_options *options)
{
	return (uint32_t)(options->max_size + options->max_size_jitter);
}

/* --- Memory ---------------------------------------------------------------------------------- */

static void free_growth(struct databuffer *buf, struct supply_growth **growth)
{
	for (unsigned i = 0; growth && i < buf->partition_count; i++)
		supply_unmap(&buf->partitions[i], growth[i]);
	memory_free(buf->options.allocator, growth);
}

/* Workers have the memory that was there when their fork server was born. */
static bool fits_workers(struct databuffer *buf, const databuffer_options *wanted, const databuffer_options *given)
{
	pthread_mutex_lock(&buf->partitions[0].lock);
	uint32_t slots = buf->partitions[0].slots;
	pthread_mutex_unlock(&buf->partitions[0].lock);
	if (buf->options.flusher != DATABUFFER_PROCESSES || slots_for(wanted) <= slots)
		return true;
	options_refuse(given, "max_size and max_size_jitter are %lld and %lld items, but together must be at most %u, "
	               "which is what the worker processes of this buffer have memory for",
	               (long long)wanted->max_size, (long long)wanted->max_size_jitter, slots);
	return false;
}

/* Larger segments for every partition, if they will need them; *growth is NULL if
 * not. What others change meanwhile can only make them needless. */
static int map_growth(struct databuffer *buf, uint32_t slots, struct supply_growth ***growth)
{
	pthread_mutex_lock(&buf->partitions[0].lock);
	bool enough = slots <= buf->partitions[0].slots;
	pthread_mutex_unlock(&buf->partitions[0].lock);
	*growth = NULL;
	if (enough)
		return 0;
	*growth = memory_get_zeroed(buf->options.allocator, buf->partition_count, sizeof(struct supply_growth *));
	for (unsigned i = 0; *growth && i < buf->partition_count; i++) {
		(*growth)[i] = supply_map(&buf->partitions[i], slots);
		if (!(*growth)[i]) {
			free_growth(buf, *growth);
			*growth = NULL;
		}
	}
	return *growth ? 0 : DATABUFFER_ENOMEM;
}

/* --- The change --------------------------------------------------------------------------------- */

static void change(struct databuffer *buf, databuffer_options *wanted, struct supply_growth **growth)
{
	for (unsigned i = 0; i < buf->partition_count; i++)
		pthread_mutex_lock(&buf->partitions[i].lock);
	databuffer_options before = buf->options;
	options_change(&buf->options, wanted);
	buffer_publish_options(buf);
	if (pace_differs(&before, &buf->options))
		pace_init(&buf->pace); /* what is owed at the old rate is nothing to the new one */
	for (unsigned i = 0; i < buf->partition_count; i++) {
		struct partition *partition = &buf->partitions[i];
		if (growth)
			growth[i] = supply_grow(partition, growth[i]);
		unsigned todo = partition_reconfigure(partition, &before, buffer_now_ns(buf));
		buffer_unlock(partition, todo);
	}
}

int databuffer_reconfigure(databuffer *buf, const databuffer_options *options)
{
	databuffer_options wanted;
	struct supply_growth **growth;
	int rc = buffer_enter(buf);
	if (rc != 0)
		return rc;
	if (atomic_load_explicit(&buf->state, memory_order_acquire) != BUFFER_RUNNING)
		rc = DATABUFFER_ESTOPPED;
	if (rc == 0)
		rc = options_check_change(options, &buf->options, &wanted);
	if (rc == 0 && !fits_workers(buf, &wanted, options))
		rc = DATABUFFER_EINVAL;
	if (rc == 0)
		rc = map_growth(buf, slots_for(&wanted), &growth);
	if (rc == 0) {
		change(buf, &wanted, growth);
		free_growth(buf, growth);
	}
	buffer_leave(buf);
	return rc;
}

int databuffer_options_of(databuffer *buf, databuffer_options *options)
{
	if (!options || !options_size_is_sane(options))
		return DATABUFFER_EINVAL;
	int rc = buffer_enter(buf);
	if (rc != 0)
		return rc;
	pthread_mutex_lock(&buf->partitions[0].lock);
	databuffer_options full = buf->options;
	pthread_mutex_unlock(&buf->partitions[0].lock);
	options_give(&full, options);
	buffer_leave(buf);
	return 0;
}
