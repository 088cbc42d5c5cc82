/*
 * 11-looking-in.c: waiting for a flush, and seeing what is held.
 *
 * databuffer_sync_flush flushes every partition and gives one result for each,
 * with a value that the handler may set. databuffer_dump shows what is buffered
 * and moves nothing.
 */
#include <databuffer.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARTITIONS 3

static void must(int64_t rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, databuffer_strerror((int)rc));
	exit(1);
}

static const char *places[PARTITIONS] = { "here", "there", "elsewhere" };

static int put(databuffer_batch *batch, void *meta)
{
	(void)meta;
	databuffer_batch_set_result(batch, (void *)places[databuffer_batch_partition(batch)]);
	return 0;
}

static int show(const databuffer_item *item, unsigned partition, void *ctx)
{
	size_t *shown = ctx;

	++*shown;
	printf("partition %u holds %.*s\n", partition, (int)item->len, (const char *)item->data);
	return 0; /* anything else would end the walk */
}

int main(void)
{
	const char *colours[] = { "red", "orange", "yellow", "green", "blue", "indigo", "violet" };
	size_t shown = 0;
	databuffer *buf;
	databuffer_options o = databuffer_options_init();
	databuffer_result results[PARTITIONS];

	/* Options may also come as text, from a file or a command line. */
	must(databuffer_options_set(&o, "partitions", "3"), "partitions");
	must(databuffer_options_set(&o, "flush-interval", "10 s"), "flush-interval");
	o.handle_flush = put;
	must(databuffer_start(&buf, &o), "start");
	for (int i = 0; i < 7; i++)
		must(databuffer_insert(buf, colours[i], strlen(colours[i])), "insert");

	must(databuffer_dump(buf, show, &shown), "dump");
	if (shown != 7 || databuffer_size(buf) != 7)
		return 1;

	must(databuffer_sync_flush(buf, results, PARTITIONS, 5000), "sync_flush");
	int good = databuffer_size(buf) == 0;
	size_t flushed = 0;
	for (int i = 0; i < PARTITIONS; i++) {
		printf("partition %u: %zu items flushed, status %d, put %s\n", results[i].partition,
		       results[i].size, results[i].status, (const char *)results[i].value);
		good = good && results[i].status == 0 && results[i].value == places[i];
		flushed += results[i].size;
	}
	must(databuffer_stop(buf, 5000), "stop");
	return good && flushed == 7 ? 0 : 1;
}
