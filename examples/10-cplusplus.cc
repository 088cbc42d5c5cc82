/*
 * 10-cplusplus.cc: the same from C++11.
 *
 * The header is a C header, and that is all there is to use: a unique_ptr that
 * stops the buffer, a lambda that captures nothing as the handler, and the one
 * rule that an exception must not leave a handler.
 */
#include <databuffer.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

void must(int64_t rc, const char *what)
{
	if (rc != 0)
		throw std::runtime_error(std::string(what) + ": " + databuffer_strerror(static_cast<int>(rc)));
}

struct Stop {
	void operator()(databuffer *buf) const
	{
		databuffer_stop(buf, 5000);
	}
};

using Buffer = std::unique_ptr<databuffer, Stop>;

Buffer start(const databuffer_options &options)
{
	databuffer *buf;
	must(databuffer_start(&buf, &options), "start");
	return Buffer(buf);
}

struct Lines {
	std::vector<std::string> kept;
	int failures = 0;

	void keep(databuffer_batch *batch)
	{
		if (failures++ == 0)
			throw std::runtime_error("not yet");
		std::vector<std::string> lines;
		databuffer_item item;
		while (databuffer_batch_next(batch, &item))
			lines.emplace_back(static_cast<const char *>(item.data), item.len);
		/* All of the batch or nothing: only now is anything kept. */
		kept.reserve(kept.size() + lines.size());
		for (std::string &line : lines)
			kept.push_back(std::move(line));
	}
};

} // namespace

int main()
{
	constexpr int threads = 4, each = 1000;
	Lines lines;

	databuffer_options o = databuffer_options_init();
	o.max_size = 500;
	o.retry_min = 5;
	o.flush_meta = &lines;
	o.handle_log = [](databuffer_log_level, const char *line, void *) { std::printf("%s\n", line); };
	o.handle_flush = [](databuffer_batch *batch, void *meta) -> int {
		try {
			static_cast<Lines *>(meta)->keep(batch);
			return 0;
		} catch (const std::exception &) {
			return DATABUFFER_RETRY;
		}
	};

	try {
		Buffer buf = start(o);
		std::vector<std::thread> producers;
		for (int t = 0; t < threads; t++)
			producers.emplace_back([&buf, t] {
				for (int i = 0; i < each; i++) {
					std::string line = "thread " + std::to_string(t) + ", line " + std::to_string(i);
					if (databuffer_insert(buf.get(), line.data(), line.size()) != 0)
						std::abort();
				}
			});
		for (std::thread &producer : producers)
			producer.join();
		must(databuffer_sync_flush(buf.get(), nullptr, 0, 5000), "sync_flush");
	} catch (const std::exception &error) {
		std::fprintf(stderr, "%s\n", error.what());
		return 1;
	}
	std::printf("%zu lines\n", lines.kept.size());
	return lines.kept.size() == threads * each ? 0 : 1;
}
