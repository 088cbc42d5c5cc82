/*
 * 05-telemetry.c: seeing what a buffer does.
 *
 * Events tell of each insert and each flush as it happens, to any number of
 * handlers, for all buffers of the process. Counters tell of the whole. Clocks
 * are read only for events that somebody is attached for.
 */
#include <databuffer.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define ITEMS 1000

static void must(int64_t rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, databuffer_strerror((int)rc));
	exit(1);
}

static int take(databuffer_batch *batch, void *meta)
{
	(void)batch;
	(void)meta;
	return 0;
}

/* Events come on the thread on which they happen, several at once: so these are
 * atomic. */
struct seen {
	atomic_size_t flushes, flushed_items;
	atomic_size_t refused;
};

static void on_flush(const databuffer_event *event, void *ctx)
{
	struct seen *seen = ctx;

	printf("%s, partition %u: %zu items, %zu bytes, cut by %s, flushed in %lld us\n", event->buffer,
	       event->partition, event->size, event->bytes, databuffer_trigger_name(event->trigger),
	       (long long)(event->duration_ns / 1000));
	atomic_fetch_add(&seen->flushes, 1);
	atomic_fetch_add(&seen->flushed_items, event->size);
}

static void on_refused(const databuffer_event *event, void *ctx)
{
	struct seen *seen = ctx;

	printf("%s: an insert of %zu bytes was refused: %s\n", event->buffer, event->bytes,
	       databuffer_strerror(event->status));
	atomic_fetch_add(&seen->refused, 1);
}

int main(void)
{
	struct seen seen = { 0 };
	char item[64] = "an item";
	static char large[2048];
	databuffer *buf;
	databuffer_options o = databuffer_options_init();
	databuffer_partition_info infos[2];
	struct databuffer_stats stats;

	must(databuffer_telemetry_attach("flushes", DATABUFFER_FLUSH_STOP, on_flush, &seen), "attach");
	must(databuffer_telemetry_attach("refused", DATABUFFER_INSERT_EXCEPTION, on_refused, &seen), "attach");

	o.name = "events";
	o.partitions = 2;
	o.max_size = 200;
	o.max_bytes = 1024 * 12; /* less than 200 items have: so the bytes decide */
	o.handle_flush = take;
	must(databuffer_start(&buf, &o), "start");

	for (int i = 0; i < ITEMS; i++)
		must(databuffer_insert(buf, item, sizeof(item)), "insert");
	for (int i = 0; i < 8; i++)
		must(databuffer_insert(buf, large, sizeof(large)), "insert");
	static char huge[1024 * 12 + 1];
	if (databuffer_insert(buf, huge, sizeof(huge)) != DATABUFFER_EMSGSIZE)
		return 1;

	/* What the partitions are at. */
	int n = databuffer_info(databuffer_find("events"), infos, 2);
	for (int i = 0; i < n && i < 2; i++)
		printf("partition %u holds %zu items, %zu bytes; its next flush by time is in %lld ms\n",
		       infos[i].partition, infos[i].size, infos[i].bytes, (long long)infos[i].next_flush_ms);

	must(databuffer_sync_flush(buf, NULL, 0, 5000), "sync_flush");
	must(databuffer_stats(buf, &stats), "stats");
#define PRINT(field, text) printf("%14s %8llu  %s\n", #field, (unsigned long long)stats.field, text);
	DATABUFFER_COUNTERS(PRINT)
	printf("flushes took %llu ns in the middle, %llu ns at most\n", (unsigned long long)stats.flush.p50_ns,
	       (unsigned long long)stats.flush.max_ns);

	/* When detach has returned the handler runs no more. */
	must(databuffer_telemetry_detach("flushes"), "detach");
	must(databuffer_telemetry_detach("refused"), "detach");
	must(databuffer_stop(buf, 5000), "stop");
	return n == 2 && seen.flushed_items == ITEMS + 8 && seen.flushes == stats.batches && seen.refused == 1 &&
	                       stats.inserted == stats.flushed
	               ? 0
	               : 1;
}
