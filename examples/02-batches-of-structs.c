/*
 * 02-batches-of-structs.c: many items at once, and a batch as a C array.
 *
 * Items of one length stand side by side in memory, so a handler may treat the
 * whole batch as an array. Items that are inserted together stay together: they
 * go into one partition, in order, and into one batch if they fit into one.
 *
 * One thread and one partition give the same batches every time:
 *
 *      insert 250 at once   ->  100, 100, 50 ...
 *      insert 60 at once    ->  does not fit into the 50 that are left: a fresh batch
 */
#include <databuffer.h>

#include <stdio.h>
#include <stdlib.h>

#define MAX_SIZE 100

struct sample {
	int64_t at;
	double value;
};

struct totals {
	size_t sizes[8]; /* of the batches, in order */
	size_t batches;
	double sum;
};

static void must(int64_t rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, databuffer_strerror((int)rc));
	exit(1);
}

static int add_up(databuffer_batch *batch, void *meta)
{
	struct totals *totals = meta;
	size_t n = databuffer_batch_size(batch);
	const struct sample *samples = databuffer_batch_array(batch);
	double sum = 0;

	if (!samples) /* items of several lengths, or no memory to bring them together */
		return DATABUFFER_RETRY;
	for (size_t i = 0; i < n; i++)
		sum += samples[i].value;
	totals->sum += sum;
	if (totals->batches < 8)
		totals->sizes[totals->batches++] = n;
	printf("%3zu samples, %lld to %lld, cut by %s\n", n, (long long)samples[0].at,
	       (long long)samples[n - 1].at, databuffer_trigger_name(databuffer_batch_trigger(batch)));
	return 0;
}

int main(void)
{
	struct totals totals = { .batches = 0 };
	databuffer *buf;
	databuffer_options o = databuffer_options_init();
	struct sample samples[250];
	databuffer_item items[60];

	o.max_size = MAX_SIZE;
	o.handle_flush = add_up;
	o.flush_meta = &totals;
	must(databuffer_start(&buf, &o), "start");

	for (int i = 0; i < 250; i++)
		samples[i] = (struct sample){ .at = i, .value = 1.0 };

	/* An array: equal items, side by side. */
	must(databuffer_insert_array(buf, samples, 250, sizeof(samples[0])), "insert_array");

	/* Items from here and there: every fourth sample. */
	for (int i = 0; i < 60; i++)
		items[i] = (databuffer_item){ &samples[4 * i], sizeof(samples[0]) };
	must(databuffer_insert_batch(buf, items, 60), "insert_batch");

	must(databuffer_stop(buf, 5000), "stop");

	const size_t expected[] = { 100, 100, 50, 60 };
	int same = totals.batches == 4 && totals.sum == 310.0;
	for (size_t i = 0; i < 4; i++)
		same = same && totals.sizes[i] == expected[i];
	return same ? 0 : 1;
}
