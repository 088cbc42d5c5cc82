/* SPDX-License-Identifier: MIT */
/*
 * view: what it costs a handler to walk a batch of 5,000 items of 64 bytes, an
 * item, by each of the ways there are, beside walking a C array of the same.
 * Each walk adds up a word of every item. The buffer is a manual one, so that
 * all happens on one thread, and every walk finds the items in its cache.
 */
#include "figures/figure.h"

#include <sys/uio.h>

#define ITEMS 5000

struct item {
	uint64_t words[8];
};

enum way { WAY_NEXT, WAY_AT, WAY_ARRAY, WAY_VIEW, WAY_IOVEC, WAY_PLAIN, WAYS };

static const char *const names[WAYS] = {
	[WAY_NEXT] = "databuffer_batch_next",   [WAY_AT] = "databuffer_batch_at",
	[WAY_ARRAY] = "databuffer_batch_array", [WAY_VIEW] = "databuffer_batch_view",
	[WAY_IOVEC] = "databuffer_batch_iovec", [WAY_PLAIN] = "plain C array",
};

struct view {
	unsigned rounds;
	double ns[WAYS];
};

static uint64_t walk_plain(const struct item *items, size_t n)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < n; i++)
		sum += items[i].words[3];
	return sum;
}

static uint64_t walk(enum way way, databuffer_batch *batch, const struct item *plain)
{
	size_t n = databuffer_batch_size(batch);
	uint64_t sum = 0;
	if (way == WAY_NEXT) {
		databuffer_item item;
		databuffer_batch_rewind(batch);
		while (databuffer_batch_next(batch, &item))
			sum += ((const struct item *)item.data)->words[3];
	} else if (way == WAY_AT) {
		for (size_t i = 0; i < n; i++)
			sum += ((const struct item *)databuffer_batch_at(batch, i).data)->words[3];
	} else if (way == WAY_ARRAY) {
		sum = walk_plain(databuffer_batch_array(batch), n);
	} else if (way == WAY_VIEW) {
		databuffer_view view = databuffer_batch_view(batch);
		for (size_t i = 0; i < view.size; i++)
			sum += ((const struct item *)databuffer_view_at(&view, i).data)->words[3];
	} else if (way == WAY_IOVEC) {
		const struct iovec *vectors = databuffer_batch_iovec(batch);
		for (size_t i = 0; i < n; i++)
			sum += ((const struct item *)vectors[i].iov_base)->words[3];
	} else {
		sum = walk_plain(plain, n);
	}
	return sum;
}

/* The ways take turns, so that a slower moment is everyone's. */
static int flush(databuffer_batch *batch, void *meta)
{
	static struct item plain[ITEMS];
	struct view *view = meta;
	double *each = malloc(sizeof(double) * WAYS * view->rounds);
	figure_expect(each && databuffer_batch_size(batch) == ITEMS, "the batch is not whole", 0);
	for (size_t i = 0; i < ITEMS; i++)
		memcpy(&plain[i], databuffer_batch_at(batch, i).data, sizeof(plain[i]));
	for (unsigned round = 0; round < view->rounds; round++) {
		for (unsigned way = 0; way < WAYS; way++) {
			int64_t begin = figure_now_ns();
			uint64_t sum = walk(way, batch, plain);
			each[way * view->rounds + round] = (double)(figure_now_ns() - begin) / ITEMS;
			figure_expect(sum == (uint64_t)ITEMS * (ITEMS - 1) / 2, names[way], (long long)sum);
		}
	}
	for (unsigned way = 0; way < WAYS; way++)
		view->ns[way] = figure_median(each + way * view->rounds, view->rounds);
	free(each);
	return 0;
}

int main(int argc, char **argv)
{
	struct figures figures = figures_parse("view", argc, argv);
	struct view view = { .rounds = figures.quick ? 20 : 2000 };
	databuffer_options options = databuffer_options_init();
	options.handle_flush = flush;
	options.flush_meta = &view;
	options.flusher = DATABUFFER_MANUAL;
	databuffer *buffer = figure_start(&options);
	for (uint64_t i = 0; i < ITEMS; i++) {
		struct item item = { .words = { 0, 0, 0, i } };
		int rc = databuffer_insert_timed(buffer, &item, sizeof(item), 0);
		figure_expect(rc == 0, databuffer_strerror(rc), rc);
	}
	figure_expect(databuffer_work(buffer, 1) == 1, "no batch was cut", 0);
	figure_expect(databuffer_stop(buffer, 0) == 0, "items were left", 0);
	for (unsigned way = 0; way < WAYS; way++)
		figure_print(&figures, names[way], view.ns[way], "ns");
	return 0;
}
