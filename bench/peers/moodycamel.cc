// SPDX-License-Identifier: MIT
//
// moodycamel: moodycamel::ConcurrentQueue (libconcurrentqueue-dev) as its own documentation recommends it for
// this workload: a token for each producer, bulk dequeue, and as many blocks as the bound needs made
// beforehand.
//
// A queue with tokens has no bound over all producers: blocks that one has taken stay with it. So each
// producer has an even share of the bound here, counts what it has put, and the consumer, which asks one
// producer's part after the other as a consumer's token does, tells it once a batch how many of its records
// are taken.
//
// Two programs are made of this file: moodycamel with the default blocks of 32, and moodycamel_512. The index
// of a part has room for all blocks, as the documentation asks ("should reflect that number's maximum").
#include <concurrentqueue/concurrentqueue.h>

#include <memory>
#include <vector>

#include "harness/bench.h"

#ifndef MOODYCAMEL_BLOCK
#define MOODYCAMEL_BLOCK 32
#endif
#if MOODYCAMEL_BLOCK == 32
#define PEER_NAME "moodycamel"
#else
#define PEER_NAME "moodycamel_512"
#endif
#define PEER_ABOUT "moodycamel::ConcurrentQueue with tokens, bulk dequeue"
#define PEER_CAN   BENCH_BULK

struct record {
	uint64_t words[8];
};

struct traits : public moodycamel::ConcurrentQueueDefaultTraits {
	static const size_t BLOCK_SIZE = MOODYCAMEL_BLOCK;
	static const size_t EXPLICIT_INITIAL_INDEX_SIZE = BENCH_BOUND / MOODYCAMEL_BLOCK;
};

using concurrent_queue = moodycamel::ConcurrentQueue<record, traits>;

static const size_t most = 512; // records of one bulk dequeue

// One producer's part.
struct part {
	explicit part(concurrent_queue &records) : token(records)
	{
	}
	moodycamel::ProducerToken token;
	alignas(BENCH_LINE) uint64_t taken = 0; // the consumer's
	char apart[BENCH_LINE];
};

struct queue {
	explicit queue(unsigned producers)
		: records(BENCH_BOUND + producers * MOODYCAMEL_BLOCK), share(BENCH_BOUND / producers)
	{
		for (unsigned i = 0; i < producers; i++)
			parts.push_back(std::make_unique<part>(records));
	}
	concurrent_queue records;
	std::vector<std::unique_ptr<part>> parts; // after the queue: a token must die before it
	uint64_t share;
	record batch[most];
};

struct producer {
	concurrent_queue *records;
	struct part *part;
	uint64_t put, end; // what it has put, and may put as far as it knows
	uint64_t share;
};

static struct queue *peer_open(struct bench *bench)
{
	return new queue(bench->producers);
}

static void peer_close(struct queue *queue, struct bench *bench)
{
	(void)bench;
	delete queue;
}

static void peer_join(struct queue *queue, struct producer *producer, unsigned id)
{
	*producer = { &queue->records, queue->parts[id].get(), 0, queue->share, queue->share };
	if (!producer->part->token.valid())
		bench_fail("no producer token");
}

static void peer_leave(struct producer *producer)
{
	(void)producer;
}

static inline bool has_room(struct producer *producer, unsigned n)
{
	if (__builtin_expect(producer->put + n <= producer->end, 1))
		return true;
	producer->end = __atomic_load_n(&producer->part->taken, __ATOMIC_ACQUIRE) + producer->share;
	return producer->put + n <= producer->end;
}

static inline bool peer_put(struct producer *producer, const void *data, size_t len)
{
	(void)len;
	if (!has_room(producer, 1))
		return false;
	producer->put++;
	return producer->records->enqueue(producer->part->token, *static_cast<const record *>(data));
}

static inline unsigned peer_put_many(struct producer *producer, const void *base, unsigned n, size_t len)
{
	(void)len;
	if (!has_room(producer, n))
		return 0;
	producer->put += n;
	return producer->records->enqueue_bulk(producer->part->token, static_cast<const record *>(base), n)
	               ? n
	               : 0;
}

static size_t peer_take(struct queue *queue, struct bench *bench)
{
	struct bench_check *check = bench_check_at(bench, 0);
	size_t taken = 0;
	for (auto &part : queue->parts) {
		size_t n = queue->records.try_dequeue_bulk_from_producer(part->token, queue->batch, most);
		if (n == 0)
			continue;
		for (size_t i = 0; i < n; i++)
			bench_look(check, &queue->batch[i], sizeof(record));
		__atomic_store_n(&part->taken, part->taken + n, __ATOMIC_RELEASE);
		taken += n;
	}
	return taken;
}

#include "harness/drive.h"
