// SPDX-License-Identifier: MIT
//
// spdlog: its asynchronous logger (libspdlog-dev), the usual way for a C++ program to get lines off its
// threads: a queue of 64 Ki messages that blocks when it is full, one thread behind it, and a sink that reads
// each message's payload. A record is logged as a string view, so that nothing is formatted. It has no call
// for many.
#include <spdlog/async.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include "harness/bench.h"

#define PEER_NAME  "spdlog"
#define PEER_ABOUT "spdlog's asynchronous logger, and a sink that reads"
#define PEER_CAN   (BENCH_VARIABLE | BENCH_PUSH)

class reading_sink : public spdlog::sinks::base_sink<spdlog::details::null_mutex>
{
	struct bench *bench;

public:
	explicit reading_sink(struct bench *given) : bench(given)
	{
	}

protected:
	void sink_it_(const spdlog::details::log_msg &message) override
	{
		bench_gate(bench);
		bench_look(bench_check_at(bench, 0), message.payload.data(), message.payload.size());
		bench_consumed(bench, 1);
	}

	void flush_() override
	{
	}
};

struct queue {
	std::shared_ptr<spdlog::details::thread_pool> pool;
	std::shared_ptr<spdlog::async_logger> logger;
};

struct producer {
	spdlog::async_logger *logger;
};

static struct queue *peer_open(struct bench *bench)
{
	struct queue *queue = new struct queue;
	queue->pool = std::make_shared<spdlog::details::thread_pool>(BENCH_BOUND, 1);
	queue->logger =
		std::make_shared<spdlog::async_logger>("bench", std::make_shared<reading_sink>(bench),
	                                               queue->pool, spdlog::async_overflow_policy::block);
	return queue;
}

static void peer_close(struct queue *queue, struct bench *bench)
{
	(void)bench;
	delete queue;
}

static void peer_join(struct queue *queue, struct producer *producer, unsigned id)
{
	(void)id;
	producer->logger = queue->logger.get();
}

static void peer_leave(struct producer *producer)
{
	(void)producer;
}

static inline bool peer_put(struct producer *producer, const void *data, size_t len)
{
	producer->logger->log(spdlog::level::info,
	                      spdlog::string_view_t(static_cast<const char *>(data), len));
	return true;
}

#include "harness/drive.h"
