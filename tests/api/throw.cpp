/* SPDX-License-Identifier: MIT */
/* Handlers in C++: an exception that nobody catches is a failed flush and not the end of the process; what stands on the
 * handler's stack is destroyed, whether it throws or leaves its thread. */
#include <databuffer.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <vector>

#define CHECK(condition)                                                                                    \
	do {                                                                                                \
		if (!(condition)) {                                                                         \
			std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                \
			std::abort();                                                                       \
		}                                                                                           \
	} while (0)

namespace {

/* How many there are now. */
struct counted {
	static std::atomic<int> alive;
	counted() { alive++; }
	counted(const counted &) { alive++; }
	~counted() { alive--; }
};
std::atomic<int> counted::alive{ 0 };

struct failure : std::runtime_error {
	counted one;
	failure() : std::runtime_error("the sink has fallen over") {}
};

struct sink {
	std::atomic<int> troubles{ 0 }; /* calls that do not return, before one does */
	void (*trouble)() = nullptr;
	std::atomic<int> uncaught{ 0 };
	std::vector<uint64_t> flushed;
	std::vector<int> dead;
	std::string line;
};

void throw_failure()
{
	throw failure();
}

void throw_number()
{
	throw 42;
}

void throw_what_was_caught()
{
	try {
		throw_failure();
	} catch (const std::exception &) {
		throw; /* the same one again */
	}
}

void leave_thread()
{
	pthread_exit(nullptr);
}

int flush(databuffer_batch *batch, void *meta)
{
	struct sink *to = static_cast<struct sink *>(meta);
	counted local;
	std::string another = "on the heap, so that a leak would be seen";
	to->uncaught += std::uncaught_exceptions();
	if (to->troubles > 0) {
		to->troubles--;
		to->trouble();
	}
	databuffer_item item;
	while (databuffer_batch_next(batch, &item))
		to->flushed.push_back(*static_cast<const uint64_t *>(item.data));
	return 0;
}

void bury(const databuffer_item *, const databuffer_reason *reason, void *meta)
{
	struct sink *to = static_cast<struct sink *>(meta);
	counted local;
	to->dead.push_back(reason->status);
	throw failure(); /* it has been told all the same */
}

void log(databuffer_log_level, const char *line, void *meta)
{
	static_cast<struct sink *>(meta)->line = line;
}

databuffer *start(struct sink *to, databuffer_flusher flusher, int64_t retry_limit)
{
	char error[256] = "";
	databuffer *buf = nullptr;
	databuffer_options o = databuffer_options_init();
	o.flush_interval = o.flush_jitter = 0;
	o.retry_min = o.retry_max = 1;
	o.retry_limit = retry_limit;
	o.flusher = flusher;
	o.handle_flush = flush;
	o.handle_dead = bury;
	o.handle_log = log;
	o.flush_meta = to;
	o.error = error;
	o.error_size = sizeof(error);
	CHECK(databuffer_start(&buf, &o) == 0);
	return buf;
}

void insert(databuffer *buf, uint64_t from, uint64_t to)
{
	for (; from < to; from++)
		CHECK(databuffer_insert(buf, &from, sizeof(from)) == 0);
}

void flush_all(databuffer *buf, databuffer_flusher flusher)
{
	if (flusher == DATABUFFER_THREADS) {
		CHECK(databuffer_sync_flush(buf, nullptr, 0, 30000) == 0);
		return;
	}
	CHECK(databuffer_flush(buf) == 0);
	for (int64_t now = 1; databuffer_size(buf) > 0; now += 10)
		CHECK(databuffer_work(buf, now) >= 0);
}

void is_a_failed_flush(void (*trouble)(), databuffer_flusher flusher)
{
	struct sink to;
	to.trouble = trouble;
	to.troubles = 3;
	databuffer *buf = start(&to, flusher, 0);
	insert(buf, 0, 10);
	flush_all(buf, flusher);
	databuffer_stats_t stats;
	CHECK(databuffer_check(buf) == 0);
	CHECK(databuffer_stats(buf, &stats) == 0);
	CHECK(stats.failures == 3 && stats.attempts == 4 && stats.flushed == 10);
	CHECK(to.line.find("exception") != std::string::npos);
	insert(buf, 10, 20);
	CHECK(databuffer_stop(buf, 30000) == 0);
	CHECK(to.flushed.size() == 20);
	for (uint64_t i = 0; i < 20; i++)
		CHECK(to.flushed[i] == i);
	CHECK(to.uncaught == 0);
	CHECK(std::uncaught_exceptions() == 0);
	CHECK(counted::alive == 0);
}

void is_dead_at_the_limit(databuffer_flusher flusher)
{
	struct sink to;
	to.trouble = throw_number;
	to.troubles = 4;
	databuffer *buf = start(&to, flusher, 1);
	insert(buf, 0, 2); /* the batch, then each alone */
	flush_all(buf, flusher);
	CHECK(databuffer_stop(buf, 30000) == 0);
	CHECK(to.dead.size() == 2);
	CHECK(to.dead[0] == DATABUFFER_ECANCELED && to.dead[1] == DATABUFFER_ECANCELED);
	CHECK(counted::alive == 0);
}

/* A manual buffer that a handler works: the exception stops there. */
int work_inner(databuffer_batch *, void *meta)
{
	databuffer *inner = static_cast<databuffer *>(meta);
	counted local;
	CHECK(databuffer_work(inner, 1) == 1);
	return 0;
}

void stops_where_it_is_called_from()
{
	struct sink to;
	to.trouble = throw_failure;
	to.troubles = 1;
	databuffer *inner = start(&to, DATABUFFER_MANUAL, 0), *outer = nullptr;
	insert(inner, 0, 3);
	CHECK(databuffer_flush(inner) == 0);
	databuffer_options o = databuffer_options_init();
	o.handle_flush = work_inner;
	o.flush_meta = inner;
	CHECK(databuffer_start(&outer, &o) == 0);
	insert(outer, 0, 1);
	CHECK(databuffer_stop(outer, 30000) == 0);
	databuffer_stats_t stats;
	CHECK(databuffer_stats(inner, &stats) == 0);
	CHECK(stats.failures == 1 && stats.held == 3);
	CHECK(databuffer_stop(inner, 30000) == 0);
	CHECK(to.flushed.size() == 3 && counted::alive == 0);
}

/* A thread that works a buffer may be handling an exception of its own. */
void leaves_the_programs_own_exceptions_alone()
{
	struct sink to;
	to.trouble = throw_failure;
	to.troubles = 1;
	databuffer *buf = start(&to, DATABUFFER_MANUAL, 0);
	insert(buf, 0, 3);
	CHECK(databuffer_flush(buf) == 0);
	try {
		throw failure();
	} catch (const failure &caught) {
		CHECK(databuffer_work(buf, 1) == 1);
		CHECK(std::string(caught.what()) == "the sink has fallen over");
		CHECK(std::current_exception() != nullptr);
	}
	CHECK(databuffer_stop(buf, 30000) == 0);
	CHECK(to.flushed.size() == 3 && counted::alive == 0);
}

} // namespace

int main()
{
	for (databuffer_flusher flusher : { DATABUFFER_THREADS, DATABUFFER_MANUAL }) {
		is_a_failed_flush(throw_failure, flusher);
		is_a_failed_flush(throw_number, flusher);
		is_a_failed_flush(throw_what_was_caught, flusher);
		is_dead_at_the_limit(flusher);
	}
	is_a_failed_flush(leave_thread, DATABUFFER_THREADS);
	stops_where_it_is_called_from();
	leaves_the_programs_own_exceptions_alone();
	std::puts("an exception of a handler's is a failed flush");
	return 0;
}
