/* SPDX-License-Identifier: MIT */
/* Noting what happens to a partition, and telling it. */
#include "core/news.h"

#include "core/buffer.h"
#include "core/flusher.h"
#include "core/log.h"
#include "core/registry.h"
#include "core/telemetry.h"

struct news_item *news_add(struct partition *partition, databuffer_event_kind kind)
{
	struct news *news = &partition->news;
	struct news_item *item = &news->items[news->count < NEWS_ROOM ? news->count++ : NEWS_ROOM - 1];
	*item = (struct news_item){
		.event = { .kind = kind, .buffer = partition->name, .partition = partition->number },
	};
	return item;
}

bool news_is_heard(databuffer_event_kind kind)
{
	return telemetry_wants(kind);
}

static void log_late(const struct databuffer *buf, const struct news_item *item)
{
	const databuffer_event *event = &item->event;
	log_line(&buf->options, DATABUFFER_LOG_ERROR,
	         "buffer '%s', partition %u: a flush of %zu items is late after %lld ms (flush_timeout); %s",
	         event->buffer, event->partition, event->size, (long long)(event->duration_ns / PORT_NS_PER_MS),
	         item->alone ? "as many as max_stuck are late already, so the partition waits for its answer" :
	                       "the partition goes on, and its answer is awaited");
}

static void log_breaker(const struct databuffer *buf, const struct news_item *item)
{
	const databuffer_event *event = &item->event;
	if (event->kind == DATABUFFER_BREAKER_OPEN)
		log_line(&buf->options, DATABUFFER_LOG_WARNING,
		         "buffer '%s', partition %u: %u flushes in a row have failed, the last by %d (%s); until one "
		         "succeeds one is tried after each backoff (breaker_failures)",
		         event->buffer, event->partition, item->failures, event->status,
		         databuffer_strerror(event->status));
	else
		log_line(&buf->options, DATABUFFER_LOG_WARNING,
		         "buffer '%s', partition %u: the sink answers again, after %lld ms", event->buffer,
		         event->partition, (long long)(event->duration_ns / PORT_NS_PER_MS));
}

static void tell(struct databuffer *buf, struct news_item *item)
{
	if (atomic_load_explicit(&buf->state, memory_order_acquire) == BUFFER_STOPPED)
		return;
	struct databuffer *outer = flusher_enter(buf);
	if (item->event.kind == DATABUFFER_FLUSH_EXCEPTION)
		log_late(buf, item);
	else if (item->event.kind == DATABUFFER_BREAKER_OPEN || item->event.kind == DATABUFFER_BREAKER_CLOSE)
		log_breaker(buf, item);
	item->event.system_time_ns = port_system_time_ns();
	if (telemetry_wants(item->event.kind))
		telemetry_emit(&item->event);
	flusher_enter(outer);
}

void news_unlock(struct partition *partition, unsigned todo)
{
	struct databuffer *buf = partition->buffer;
	uint32_t generation = fork_generation();
	struct news news = { .count = 0 };
	for (; news.count < partition->news.count; news.count++)
		news.items[news.count] = partition->news.items[news.count];
	partition->news.count = 0;
	buffer_unlock(partition, todo);
	for (unsigned i = 0; i < news.count && generation == fork_generation(); i++)
		tell(buf, &news.items[i]);
}
