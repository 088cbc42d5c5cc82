/* SPDX-License-Identifier: MIT */
/* Destructors of thread_local objects, which run when their thread ends, may insert: before the first insert of their
 * thread, after the last one, and of the main thread at exit. */
#include <databuffer.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#define CHECK(condition)                                                                                    \
	do {                                                                                                \
		if (!(condition)) {                                                                         \
			std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                \
			std::abort();                                                                       \
		}                                                                                           \
	} while (0)

namespace {

databuffer *buf;
std::atomic<uint64_t> next{ 0 };
std::vector<uint64_t> flushed;

int flush(databuffer_batch *batch, void *)
{
	databuffer_item item;
	while (databuffer_batch_next(batch, &item))
		flushed.push_back(*static_cast<const uint64_t *>(item.data));
	return 0;
}

void insert()
{
	uint64_t number = next++;
	CHECK(databuffer_insert(buf, &number, sizeof(number)) == 0);
}

/* Says goodbye with an insert, or with a slot that it has held all the time. */
struct goodbye {
	databuffer_slot slot{};
	bool reserves;

	explicit goodbye(bool with_slot) : reserves(with_slot)
	{
		if (reserves)
			CHECK(databuffer_reserve(buf, sizeof(uint64_t), &slot) == 0);
	}
	~goodbye()
	{
		if (reserves) {
			*static_cast<uint64_t *>(slot.data) = next++;
			CHECK(databuffer_commit(&slot) == 0);
		}
		insert();
	}
};

/* Each made when its thread first comes by; the last that was made goes first. */
void say_goodbye_with_an_insert()
{
	thread_local goodbye goodbye(false);
}

void say_goodbye_with_a_slot()
{
	thread_local goodbye goodbye(true);
}

void end_without_an_insert()
{
	say_goodbye_with_an_insert();
}

void end_after_inserts()
{
	say_goodbye_with_an_insert();
	insert();
	say_goodbye_with_a_slot();
	insert();
}

void end_with_the_process()
{
	databuffer_stats_t stats;
	CHECK(databuffer_stats(buf, &stats) == 0);
	CHECK(stats.inserted == next);
	CHECK(databuffer_stop(buf, 30000) == 0);
	CHECK(flushed.size() == next);
	std::vector<bool> seen(next);
	for (uint64_t number : flushed) {
		CHECK(number < next && !seen[number]);
		seen[number] = true;
	}
	std::puts("every goodbye has arrived");
}

}

int main()
{
	databuffer_options o = databuffer_options_init();
	o.flush_interval = 0;
	o.max_size = 7;
	o.handle_flush = flush;
	CHECK(databuffer_start(&buf, &o) == 0);
	/* Those of the main thread end before what was given to atexit. */
	CHECK(std::atexit(end_with_the_process) == 0);
	for (int round = 0; round < 50; round++) {
		std::thread(end_without_an_insert).join();
		std::thread(end_after_inserts).join();
	}
	CHECK(next == 50 * (1 + (2 + 2 + 1)));
	end_after_inserts();
	return 0;
}
