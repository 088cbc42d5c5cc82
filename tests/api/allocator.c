/* SPDX-License-Identifier: MIT */
/*
 * A program's own allocator: what a buffer takes from it, that all of it comes back, and that none is asked for
 * after the end. (That any request may be refused: core.out_of_memory.)
 */
#include "api/support.h"

/* Counts, and marks each block, so that what is freed is what was given. */
struct heap {
	_Atomic uint64_t given, back, bytes;
	_Atomic int64_t left; /* requests that are granted; negative: any number */
	_Atomic bool closed;  /* no call may come */
};

#define MARK UINT64_C(0x6d61726b6d61726b)

struct block {
	uint64_t mark;
	size_t size;
};

static void *heap_alloc(size_t size, void *ctx)
{
	struct heap *heap = ctx;
	CHECK(!atomic_load(&heap->closed) && size > 0);
	if (atomic_load(&heap->left) >= 0 && atomic_fetch_sub(&heap->left, 1) <= 0) {
		atomic_store(&heap->left, 0);
		return NULL;
	}
	struct block *block = malloc(sizeof(*block) + size);
	CHECK(block);
	*block = (struct block){ MARK, size };
	memset(block + 1, 0xa5, size); /* whoever needs zeros has to make them */
	atomic_fetch_add(&heap->given, 1);
	atomic_fetch_add(&heap->bytes, size);
	return block + 1;
}

static void heap_free(void *memory, void *ctx)
{
	struct heap *heap = ctx;
	struct block *block = (struct block *)memory - 1;
	CHECK(memory && !atomic_load(&heap->closed) && block->mark == MARK);
	block->mark = 0;
	atomic_fetch_add(&heap->back, 1);
	free(block);
}

static struct heap heap;

static databuffer_allocator fresh_heap(void)
{
	memset(&heap, 0, sizeof(heap));
	atomic_store(&heap.left, -1);
	return (databuffer_allocator){ heap_alloc, heap_free, &heap };
}

static int use_memory(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	if (!databuffer_batch_iovec(batch))
		return DATABUFFER_RETRY;
	for (size_t i = 0; i < call->size; i += 3)
		if (databuffer_batch_fail(batch, i, "one in three") != 0)
			return DATABUFFER_RETRY;
	if (databuffer_batch_set_result_bytes(batch, "bytes", 5) != 0)
		return DATABUFFER_RETRY;
	return 0;
}

static int look(const databuffer_item *item, unsigned partition, void *ctx)
{
	(void)item, (void)partition;
	++*(unsigned *)ctx;
	return 0;
}

static databuffer_options heap_options(struct sink *sink, const databuffer_allocator *allocator)
{
	databuffer_options o = sink_options(sink);
	o.name = "heap";
	o.partitions = 3;
	o.max_size = 10;
	o.allocator = allocator;
	return o;
}

static void *insert_some(void *arg)
{
	insert_numbers(arg, 0, 100);
	return NULL;
}

static void all_that_is_taken_comes_back(void **state)
{
	(void)state;
	static const int64_t flushers[] = { DATABUFFER_THREADS, DATABUFFER_MANUAL, DATABUFFER_PROCESSES };
	for (unsigned f = 0; f < 3; f++) {
		struct sink *sink = sink_new();
		databuffer_allocator allocator = fresh_heap();
		databuffer_options o = heap_options(sink, &allocator);
		unsigned looks = 0;
		o.flusher = flushers[f];
		sink->answer = use_memory;
		databuffer *buf = start(&o);
		memset(&allocator, 0, sizeof(allocator)); /* it was copied */
		uint64_t at_start = atomic_load(&heap.given);
		assert_true(at_start >= 5); /* partitions, their batches, the name */
		insert_numbers(buf, 0, 20);
		assert_int_equal(databuffer_dump(buf, look, &looks), 0);
		if (o.flusher == DATABUFFER_MANUAL) {
			CHECK(databuffer_flush(buf) == 0 && databuffer_work(buf, 1) > 0);
		} else {
			thread_join(thread_run(insert_some, buf));
			flush_all(buf);
		}
		assert_true(atomic_load(&heap.given) > at_start);
		stop_clean(buf);
		assert_int_equal(atomic_load(&heap.back), atomic_load(&heap.given));
		atomic_store(&heap.closed, true);
		sink_free(sink);
	}
}

static void a_start_that_fails_gives_all_back(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer *buf = NULL;
	for (int64_t n = 0;; n++) {
		databuffer_allocator allocator = fresh_heap();
		databuffer_options o = heap_options(sink, &allocator);
		atomic_store(&heap.left, n);
		int rc = databuffer_start(&buf, &o);
		if (rc == 0)
			break;
		assert_int_equal(rc, DATABUFFER_ENOMEM);
		assert_null(buf);
		assert_null(databuffer_find("heap"));
		assert_int_equal(atomic_load(&heap.back), atomic_load(&heap.given));
	}
	atomic_store(&heap.left, -1);
	insert_numbers(buf, 0, 5);
	stop_clean(buf);
	assert_int_equal(atomic_load(&heap.back), atomic_load(&heap.given));
	sink_free(sink);
}

static void calls_that_find_none_say_so_and_lose_nothing(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_allocator allocator = fresh_heap();
	databuffer_options o = heap_options(sink, &allocator);
	databuffer_result result = { .size = 99 };
	unsigned looks = 0;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 20);
	atomic_store(&heap.left, 0);
	assert_int_equal(databuffer_dump(buf, look, &looks), DATABUFFER_ENOMEM);
	assert_int_equal(looks, 0);
	assert_int_equal(databuffer_sync_flush(buf, &result, 1, PATIENCE_MS), DATABUFFER_ENOMEM);
	assert_int_equal(result.size, 99);
	o.max_size = 100;
	assert_int_equal(databuffer_reconfigure(buf, &o), DATABUFFER_ENOMEM);
	insert_numbers(buf, 20, 120); /* which asks for none */
	atomic_store(&heap.left, -1);
	assert_int_equal(databuffer_reconfigure(buf, &o), 0);
	assert_int_equal(databuffer_sync_flush(buf, &result, 1, PATIENCE_MS), 0);
	databuffer_results_free(&result, 1);
	stop_clean(buf);
	assert_flushed_once(sink, 0, 120);
	assert_int_equal(atomic_load(&heap.back), atomic_load(&heap.given));
	sink_free(sink);
}

static void an_allocator_has_both_functions_and_stays_as_it_is(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_allocator allocator = fresh_heap(), half = allocator, copy = allocator;
	databuffer_options o = heap_options(sink, &half), wanted;
	databuffer *buf = NULL;
	half.free = NULL;
	assert_int_equal(databuffer_start(&buf, &o), DATABUFFER_EINVAL);
	assert_non_null(strstr(sink->error, "allocator"));
	half = allocator;
	half.alloc = NULL;
	assert_int_equal(databuffer_start(&buf, &o), DATABUFFER_EINVAL);
	assert_non_null(strstr(sink->error, "allocator"));
	o.allocator = &allocator;
	buf = start(&o);
	wanted = o;
	wanted.allocator = &copy; /* the same, elsewhere */
	assert_int_equal(databuffer_reconfigure(buf, &wanted), 0);
	copy.ctx = NULL;
	sink->error[0] = '\0';
	assert_int_equal(databuffer_reconfigure(buf, &wanted), DATABUFFER_EINVAL);
	assert_non_null(strstr(sink->error, "allocator"));
	wanted.allocator = NULL;
	assert_int_equal(databuffer_reconfigure(buf, &wanted), DATABUFFER_EINVAL);
	/* What the buffer says of itself will do. */
	wanted = databuffer_options_init();
	assert_int_equal(databuffer_options_of(buf, &wanted), 0);
	assert_non_null(wanted.allocator);
	assert_int_equal(databuffer_reconfigure(buf, &wanted), 0);
	stop_clean(buf);
	sink_free(sink);
}

/* Who holds a slot holds the buffer's memory, and the allocator is wanted until he lets it go. */
static void what_outlives_the_stop_comes_back_with_the_last_slot(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_allocator allocator = fresh_heap();
	databuffer_options o = heap_options(sink, &allocator);
	databuffer_slot slot;
	databuffer *buf = start(&o);
	assert_int_equal(databuffer_reserve(buf, 8, &slot), 0);
	stop_clean(buf);
	assert_true(atomic_load(&heap.back) < atomic_load(&heap.given));
	memset(slot.data, 0, 8);
	assert_int_equal(databuffer_commit(&slot), DATABUFFER_ESTOPPED);
	assert_int_equal(atomic_load(&heap.back), atomic_load(&heap.given));
	atomic_store(&heap.closed, true);
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_is_taken_comes_back),
		cmocka_unit_test(a_start_that_fails_gives_all_back),
		cmocka_unit_test(calls_that_find_none_say_so_and_lose_nothing),
		cmocka_unit_test(an_allocator_has_both_functions_and_stays_as_it_is),
		cmocka_unit_test(what_outlives_the_stop_comes_back_with_the_last_slot),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
