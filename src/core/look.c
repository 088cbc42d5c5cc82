/* SPDX-License-Identifier: MIT */
/* Looking into a running buffer: dump, size, info, stats. */
#include "core/buffer.h"

#include "core/crew.h"
#include "core/debug.h"
#include "core/memory.h"
#include "core/registry.h"

/* --- Dump ---------------------------------------------------------------------------------- */

/* One segment as it was at one moment: its memory is pinned, its entries copied,
 * since a recall may move them. */
struct view {
	struct segment *segment;
	uint32_t count;
	uint64_t *entries;
};

static bool view_segment(struct view *view, const struct partition *partition, struct segment *segment, uint32_t from,
                         uint32_t to)
{
	size_t size = (size_t)(to - from + 1) * sizeof(*view->entries);
	view->entries = memory_get(partition->options->allocator, size);
	if (!view->entries)
		return false;
	view->segment = segment;
	view->count = 0;
	for (uint32_t slot = from; slot < to; slot++) {
		uint64_t entry = segment_entry(segment, slot);
		if (slot_len(entry) != SLOT_HELD)
			view->entries[view->count++] = entry;
	}
	segment->pins++;
	return true;
}

/* Views of all that the partition holds, oldest first; *views is the caller's to
 * free. False without memory. Under the partition's lock. */
static bool view_partition(struct partition *partition, struct view **views, size_t *count)
{
	struct list *node, *lists[] = { &partition->flying, &partition->queue };
	*count = 0;
	size_t most = partition->segment_count + partition->substitutes + 1;
	*views = memory_get(partition->options->allocator, most * sizeof(**views));
	if (!*views)
		return false;
	for (unsigned i = 0; i < 2; i++) {
		LIST_FOREACH(node, lists[i])
		{
			struct segment *segment = LIST_ENTRY(node, struct segment, link);
			if (!view_segment(&(*views)[*count], partition, segment, segment->batch.from, segment->batch.end))
				return false;
			++*count;
		}
	}
	if (partition->open) {
		segment_recall(partition->open);
		if (!view_segment(&(*views)[*count], partition, partition->open, 0, partition->open->settled))
			return false;
		++*count;
	}
	return true;
}

static int show(const struct view *view, unsigned partition,
                int (*visit)(const databuffer_item *, unsigned, void *), void *ctx)
{
	int answer = 0;
	uint32_t generation = fork_generation();
	for (uint32_t i = 0; i < view->count && answer == 0 && generation == fork_generation(); i++) {
		uint64_t entry = view->entries[i];
		databuffer_item item = { view->segment->arena + slot_offset(entry), slot_len(entry) };
		answer = visit(&item, partition, ctx);
	}
	return answer;
}

static int dump_partition(struct partition *partition, int (*visit)(const databuffer_item *, unsigned, void *),
                          void *ctx)
{
	struct view *views;
	size_t count;
	pthread_mutex_lock(&partition->lock);
	int answer = view_partition(partition, &views, &count) ? 0 : DATABUFFER_ENOMEM;
	/* The recall may have found the batch full. */
	buffer_unlock(partition, partition_filled(partition, buffer_now_ns(partition->buffer)));

	uint32_t generation = fork_generation();
	STEP("look: pinned");
	for (size_t i = 0; i < count && answer == 0; i++)
		answer = show(&views[i], partition->number, visit, ctx);

	unsigned todo = 0;
	STEP("look: shown");
	pthread_mutex_lock(&partition->lock);
	/* In a child that `visit` forked the segments are free, and the pins gone. */
	for (size_t i = 0; i < count && generation == fork_generation(); i++)
		todo |= partition_unpin(partition, views[i].segment);
	buffer_unlock(partition, todo);
	const databuffer_allocator *allocator = partition->options->allocator;
	for (size_t i = 0; i < count; i++)
		memory_free(allocator, views[i].entries);
	memory_free(allocator, views);
	return answer;
}

int databuffer_dump(databuffer *buf, int (*visit)(const databuffer_item *item, unsigned partition, void *ctx),
                    void *ctx)
{
	if (!visit)
		return DATABUFFER_EINVAL;
	int rc = buffer_enter(buf);
	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < buf->partition_count && rc == 0; i++)
		rc = dump_partition(&buf->partitions[i], visit, ctx);
	buffer_leave(buf);
	return rc;
}

/* --- Numbers --------------------------------------------------------------------------------- */

size_t databuffer_size(databuffer *buf)
{
	if (buffer_enter(buf) != 0)
		return 0;
	uint64_t size = 0;
	for (unsigned i = 0; i < buf->partition_count; i++) {
		pthread_mutex_lock(&buf->partitions[i].lock);
		size += partition_size(&buf->partitions[i]);
		pthread_mutex_unlock(&buf->partitions[i].lock);
	}
	buffer_leave(buf);
	return size;
}

int databuffer_info(databuffer *buf, databuffer_partition_info *infos, size_t n_infos)
{
	if (!infos && n_infos > 0)
		return DATABUFFER_EINVAL;
	int rc = buffer_enter(buf);
	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < buf->partition_count && i < n_infos; i++) {
		struct partition *partition = &buf->partitions[i];
		pthread_mutex_lock(&partition->lock);
		partition_read_info(partition, &infos[i], buffer_now_ns(buf));
		pthread_mutex_unlock(&partition->lock);
		crew_read_info(buf->crew, &infos[i], port_now_ns());
	}
	rc = (int)buf->partition_count;
	buffer_leave(buf);
	return rc;
}

int databuffer_stats(databuffer *buf, struct databuffer_stats *stats)
{
	if (!stats)
		return DATABUFFER_EINVAL;
	int rc = buffer_enter(buf);
	if (rc != 0)
		return rc;
	memset(stats, 0, sizeof(*stats));
	for (unsigned i = 0; i < buf->partition_count; i++) {
		pthread_mutex_lock(&buf->partitions[i].lock);
		partition_add_stats(&buf->partitions[i], stats);
		pthread_mutex_unlock(&buf->partitions[i].lock);
	}
	stats->waits = atomic_load_explicit(&buf->waits, memory_order_relaxed);
	stats->refused = atomic_load_explicit(&buf->refused, memory_order_relaxed);
	pthread_mutex_lock(&buf->times_lock);
	histogram_read(&buf->flush_times, &stats->flush);
	pthread_mutex_unlock(&buf->times_lock);
	buffer_leave(buf);
	return 0;
}
