/* SPDX-License-Identifier: MIT */
/*
 * support.h: what the tests of <databuffer.h> share. They see the public header and nothing else, as a program of
 * a user's does.
 *
 * A `sink` is a set of handlers that keeps its own account of all it is given: each call of handle_flush, each item
 * in order, what went to handle_dead, handle_drop and handle_left, each line of the log. Its gate holds handlers up, and a
 * function of the test's gives its answers.
 *
 *      struct sink *sink = sink_new();
 *      databuffer_options o = sink_options(sink);
 *      databuffer *buf = start(&o);
 *      sink_close(sink);                  handlers now wait inside
 *      insert_numbers(buf, 0, 10);
 *      WAIT_FOR(sink_inside(sink) == 1);  a condition, never a guess of time
 *      sink_open(sink);
 *      stop_clean(buf);                   nothing is left over
 *      assert_flushed(sink, 0, 10);       by the test's own account
 *      sink_free(sink);
 *
 * Items are numbers of 8 bytes unless a test says otherwise.
 */
#ifndef DATABUFFER_TESTS_API_SUPPORT_H
#define DATABUFFER_TESTS_API_SUPPORT_H

#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <databuffer.h>

/* --- Failing, waiting, sizes ------------------------------------------------------------------------------------ */

/* For every thread; cmocka's own assertions are for the test's only. */
#define CHECK(condition)                                                                                    \
	do {                                                                                                \
		if (!(condition)) {                                                                         \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                     \
			abort();                                                                            \
		}                                                                                           \
	} while (0)

/* How long a condition may take to come about: it is there at once or never, but for a machine that is busy. */
#define PATIENCE_MS 30000

#define WAIT_FOR(condition)                                                                                 \
	do {                                                                                                \
		int64_t until_ms_ = now_ms() + PATIENCE_MS;                                                 \
		while (!(condition)) {                                                                      \
			if (now_ms() > until_ms_)                                                           \
				fail_msg("not within %d ms: %s", PATIENCE_MS, #condition);                  \
			pause_ms(1);                                                                        \
		}                                                                                           \
	} while (0)

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#define SLOWNESS 20
#elif defined(__SANITIZE_ADDRESS__)
#define UNDER_TSAN 0
#define SLOWNESS 4
#else
#define UNDER_TSAN 0
#define SLOWNESS 1
#endif

static inline int64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static inline int64_t now_ms(void)
{
	return now_ns() / 1000000;
}

static inline void pause_ms(int64_t ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

/* A large number made fit for the sanitizer at work and for DATABUFFER_TEST_SCALE, a percentage. */
static inline uint64_t scaled(uint64_t n)
{
	const char *percent = getenv("DATABUFFER_TEST_SCALE");
	n = n / SLOWNESS * (uint64_t)(percent ? atoi(percent) : 100) / 100;
	return n > 0 ? n : 1;
}

/* Another seed every time, printed; DATABUFFER_TEST_SEED brings one back. */
static inline uint64_t test_seed(void)
{
	const char *given = getenv("DATABUFFER_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : (uint64_t)now_ns() ^ ((uint64_t)getpid() << 40);
	print_message("DATABUFFER_TEST_SEED=%" PRIu64 "\n", seed);
	return seed;
}

/* splitmix64: the next number of a seed. */
static inline uint64_t dice(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline uint64_t dice_below(uint64_t *seed, uint64_t n)
{
	return dice(seed) % n;
}

static inline pthread_t thread_run(void *(*run)(void *), void *arg)
{
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, run, arg) == 0);
	return thread;
}

static inline void thread_join(pthread_t thread)
{
	CHECK(pthread_join(thread, NULL) == 0);
}

/* The first number in a line of /proc/self/status. */
static inline long proc_status(const char *field)
{
	char line[256];
	long value = -1;
	FILE *file = fopen("/proc/self/status", "r");
	CHECK(file);
	while (value < 0 && fgets(line, sizeof(line), file))
		if (strncmp(line, field, strlen(field)) == 0)
			value = strtol(line + strlen(field) + 1, NULL, 10);
	fclose(file);
	CHECK(value >= 0);
	return value;
}

/* --- The sink ------------------------------------------------------------------------------------------------------ */

/* One call of handle_flush, as its batch was. */
struct call {
	unsigned partition, attempt;
	size_t size, bytes;
	databuffer_trigger trigger;
	int64_t begin_ms, end_ms, deadline_ms;
	size_t shown; /* its items are sink->shown[shown, shown + size) */
	int answer;
	bool ended, cancelled;
};

/* One call of handle_dead, handle_drop or handle_left. */
struct gone {
	uint64_t number;
	size_t len;
	unsigned partition, attempts;
	int status;
	char text[256];
};

struct numbers {
	uint64_t *at;
	size_t count, room;
};

struct sink {
	pthread_mutex_t lock;
	pthread_cond_t gate;
	bool closed;
	unsigned passes; /* handlers that may pass the closed gate */
	unsigned inside, most_inside;

	/* The answer to a call; NULL: 0. Runs without the lock, behind the gate. */
	int (*answer)(struct sink *sink, databuffer_batch *batch, const struct call *call);
	void *ctx; /* the test's own */

	struct call *calls;
	size_t call_count, call_room;
	struct numbers shown;   /* the items of all calls */
	struct numbers flushed; /* of those that were answered with 0 */
	struct gone *dead, *dropped, *left;
	size_t dead_count, dropped_count, left_count;
	pthread_t dropped_thread, left_thread;

	unsigned lines;
	char line[512];
	char error[512];

	struct sink *next_kept;
};

static inline struct sink *sink_new(void)
{
	struct sink *sink = calloc(1, sizeof(*sink));
	CHECK(sink);
	pthread_mutex_init(&sink->lock, NULL);
	pthread_cond_init(&sink->gate, NULL);
	return sink;
}

static inline void sink_free(struct sink *sink)
{
	pthread_mutex_lock(&sink->lock);
	CHECK(sink->inside == 0);
	pthread_mutex_unlock(&sink->lock);
	pthread_mutex_destroy(&sink->lock);
	pthread_cond_destroy(&sink->gate);
	free(sink->calls);
	free(sink->shown.at);
	free(sink->flushed.at);
	free(sink->dead);
	free(sink->dropped);
	free(sink->left);
	free(sink);
}

/* For a sink whose buffer was stopped with items left: a flusher that had a batch already may only now be on its way
 * into the handler, and nobody can know. */
static inline void sink_keep(struct sink *sink)
{
	static struct sink *kept;
	sink->next_kept = kept;
	kept = sink;
}

static inline void numbers_add(struct numbers *numbers, uint64_t number)
{
	if (numbers->count == numbers->room) {
		numbers->room = numbers->room ? 2 * numbers->room : 64;
		numbers->at = realloc(numbers->at, numbers->room * sizeof(*numbers->at));
		CHECK(numbers->at);
	}
	numbers->at[numbers->count++] = number;
}

/* The number that an item is; of a shorter one, that of its bytes. */
static inline uint64_t number_of(const databuffer_item *item)
{
	uint64_t number = 0;
	if (item->len > 0)
		memcpy(&number, item->data, item->len < sizeof(number) ? item->len : sizeof(number));
	return number;
}

static inline int sink_flush(databuffer_batch *batch, void *meta)
{
	struct sink *sink = meta;
	struct call call = {
		.partition = databuffer_batch_partition(batch),
		.attempt = databuffer_batch_attempt(batch),
		.size = databuffer_batch_size(batch),
		.bytes = databuffer_batch_bytes(batch),
		.trigger = databuffer_batch_trigger(batch),
		.begin_ms = now_ms(),
		.deadline_ms = databuffer_batch_deadline(batch),
	};
	databuffer_item item;

	pthread_mutex_lock(&sink->lock);
	if (++sink->inside > sink->most_inside)
		sink->most_inside = sink->inside;
	call.shown = sink->shown.count;
	size_t walked = 0, bytes = 0;
	databuffer_view view = databuffer_batch_view(batch);
	CHECK(view.size == call.size);
	while (databuffer_batch_next(batch, &item)) {
		databuffer_item seen = databuffer_view_at(&view, walked);
		CHECK(seen.data == item.data && seen.len == item.len);
		numbers_add(&sink->shown, number_of(&item));
		walked++;
		bytes += item.len;
	}
	if (walked != call.size || bytes != call.bytes)
		fprintf(stderr, "a batch of %zu items and %zu bytes shows %zu and %zu\n", call.size, call.bytes, walked,
		        bytes);
	CHECK(walked == call.size && bytes == call.bytes);
	if (sink->call_count == sink->call_room) {
		sink->call_room = sink->call_room ? 2 * sink->call_room : 16;
		sink->calls = realloc(sink->calls, sink->call_room * sizeof(*sink->calls));
		CHECK(sink->calls);
	}
	size_t number = sink->call_count++;
	sink->calls[number] = call;
	while (sink->closed && sink->passes == 0)
		pthread_cond_wait(&sink->gate, &sink->lock);
	if (sink->closed)
		sink->passes--;
	pthread_mutex_unlock(&sink->lock);

	int answer = sink->answer ? sink->answer(sink, batch, &call) : 0;

	pthread_mutex_lock(&sink->lock);
	sink->calls[number].answer = answer;
	sink->calls[number].end_ms = now_ms();
	sink->calls[number].ended = true;
	sink->calls[number].cancelled = databuffer_batch_cancelled(batch);
	for (size_t i = 0; answer == 0 && i < call.size; i++)
		numbers_add(&sink->flushed, sink->shown.at[call.shown + i]);
	sink->inside--;
	pthread_mutex_unlock(&sink->lock);
	return answer;
}

static inline void gone_add(struct gone **list, size_t *count, const databuffer_item *item,
                            const databuffer_reason *reason)
{
	if ((*count & (*count - 1)) == 0) {
		*list = realloc(*list, (*count ? 2 * *count : 1) * sizeof(**list));
		CHECK(*list);
	}
	struct gone *gone = &(*list)[(*count)++];
	*gone = (struct gone){ .number = number_of(item), .len = item->len, .partition = reason->partition,
		               .attempts = reason->attempts, .status = reason->status };
	CHECK(reason->text && reason->text[0] != '\0');
	snprintf(gone->text, sizeof(gone->text), "%s", reason->text);
}

static inline void sink_dead(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct sink *sink = meta;
	pthread_mutex_lock(&sink->lock);
	gone_add(&sink->dead, &sink->dead_count, item, reason);
	pthread_mutex_unlock(&sink->lock);
}

static inline void sink_drop(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct sink *sink = meta;
	pthread_mutex_lock(&sink->lock);
	sink->dropped_thread = pthread_self();
	gone_add(&sink->dropped, &sink->dropped_count, item, reason);
	pthread_mutex_unlock(&sink->lock);
}

static inline void sink_left(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	struct sink *sink = meta;
	pthread_mutex_lock(&sink->lock);
	sink->left_thread = pthread_self();
	gone_add(&sink->left, &sink->left_count, item, reason);
	pthread_mutex_unlock(&sink->lock);
}

static inline void sink_log(databuffer_log_level level, const char *line, void *meta)
{
	struct sink *sink = meta;
	CHECK(level == DATABUFFER_LOG_ERROR || level == DATABUFFER_LOG_WARNING);
	CHECK(line[0] != '\0' && !strchr(line, '\n'));
	pthread_mutex_lock(&sink->lock);
	sink->lines++;
	snprintf(sink->line, sizeof(sink->line), "%s", line);
	pthread_mutex_unlock(&sink->lock);
}

/* One partition, flushed by time never, and the sink's handlers; inserts wait for room as conditions do. */
static inline databuffer_options sink_options(struct sink *sink)
{
	databuffer_options options = databuffer_options_init();
	options.flush_interval = 0;
	options.flush_jitter = 0;
	options.timeout = PATIENCE_MS;
	options.handle_flush = sink_flush;
	options.handle_dead = sink_dead;
	options.handle_drop = sink_drop;
	options.handle_left = sink_left;
	options.handle_log = sink_log;
	options.flush_meta = sink;
	options.error = sink->error;
	options.error_size = sizeof(sink->error);
	return options;
}

/* Handlers wait inside from now on. */
static inline void sink_close(struct sink *sink)
{
	pthread_mutex_lock(&sink->lock);
	sink->closed = true;
	sink->passes = 0;
	pthread_mutex_unlock(&sink->lock);
}

static inline void sink_open(struct sink *sink)
{
	pthread_mutex_lock(&sink->lock);
	sink->closed = false;
	pthread_cond_broadcast(&sink->gate);
	pthread_mutex_unlock(&sink->lock);
}

/* Lets n handlers pass the closed gate. */
static inline void sink_let_pass(struct sink *sink, unsigned n)
{
	pthread_mutex_lock(&sink->lock);
	sink->passes += n;
	pthread_cond_broadcast(&sink->gate);
	pthread_mutex_unlock(&sink->lock);
}

#define SINK_READER(type, name, field)                                                                      \
	static inline type name(struct sink *sink)                                                          \
	{                                                                                                   \
		pthread_mutex_lock(&sink->lock);                                                            \
		type value = sink->field;                                                                   \
		pthread_mutex_unlock(&sink->lock);                                                          \
		return value;                                                                               \
	}
SINK_READER(unsigned, sink_inside, inside)
SINK_READER(size_t, sink_calls, call_count)
SINK_READER(size_t, sink_flushed, flushed.count)
SINK_READER(size_t, sink_buried, dead_count)
SINK_READER(size_t, sink_dropped, dropped_count)
SINK_READER(size_t, sink_left_over, left_count)
SINK_READER(unsigned, sink_lines, lines)

static inline struct call sink_call(struct sink *sink, size_t i)
{
	pthread_mutex_lock(&sink->lock);
	CHECK(i < sink->call_count);
	struct call call = sink->calls[i];
	pthread_mutex_unlock(&sink->lock);
	return call;
}

/* --- Buffers --------------------------------------------------------------------------------------------------------- */

/* After every step the buffer's account is taken anew. Another thread may have stopped it meanwhile. */
static inline void check(databuffer *buf)
{
	int rc = databuffer_check(buf);
	CHECK(rc == 0 || rc == DATABUFFER_ESTOPPED);
}

static inline databuffer *start(const databuffer_options *options)
{
	databuffer *buf = NULL;
	int rc = databuffer_start(&buf, options);
	if (rc != 0)
		fail_msg("start: %s: %s", databuffer_strerror(rc), options->error ? options->error : "");
	assert_non_null(buf);
	check(buf);
	return buf;
}

static inline void stop_clean(databuffer *buf)
{
	check(buf);
	assert_int_equal(databuffer_stop(buf, PATIENCE_MS), 0);
}

static inline void insert_number(databuffer *buf, uint64_t number)
{
	CHECK(databuffer_insert(buf, &number, sizeof(number)) == 0);
}

static inline int try_number(databuffer *buf, uint64_t number)
{
	int rc = databuffer_insert_timed(buf, &number, sizeof(number), 0);
	check(buf);
	return rc;
}

static inline void insert_numbers(databuffer *buf, uint64_t from, uint64_t to)
{
	for (; from < to; from++)
		insert_number(buf, from);
	check(buf);
}

static inline void flush_all(databuffer *buf)
{
	CHECK(databuffer_sync_flush(buf, NULL, 0, PATIENCE_MS) == 0);
	check(buf);
}

static inline databuffer_stats_t stats_of(databuffer *buf)
{
	databuffer_stats_t stats;
	CHECK(databuffer_stats(buf, &stats) == 0);
	CHECK(stats.inserted == stats.held + stats.flushed + stats.dead + stats.dropped + stats.left);
	check(buf);
	return stats;
}

static inline databuffer_partition_info info_of(databuffer *buf, unsigned partition)
{
	databuffer_partition_info infos[64];
	CHECK(partition < 64 && databuffer_info(buf, infos, 64) > (int)partition);
	check(buf);
	return infos[partition];
}

/* --- What the sink saw --------------------------------------------------------------------------------------------- */

/* Exactly these numbers, in order, were flushed. */
static inline void assert_flushed(struct sink *sink, uint64_t from, uint64_t to)
{
	pthread_mutex_lock(&sink->lock);
	size_t count = sink->flushed.count;
	uint64_t bad = 0;
	while (bad < count && sink->flushed.at[bad] == from + bad)
		bad++;
	uint64_t found = bad < count ? sink->flushed.at[bad] : 0;
	pthread_mutex_unlock(&sink->lock);
	if (bad < count)
		fail_msg("item %" PRIu64 " that was flushed is %" PRIu64, from + bad, found);
	assert_int_equal(count, to - from);
}

/* Exactly these numbers were flushed, each once, in any order. */
static inline void assert_flushed_once(struct sink *sink, uint64_t from, uint64_t to)
{
	unsigned char *seen = calloc(to - from + 1, 1);
	CHECK(seen);
	pthread_mutex_lock(&sink->lock);
	size_t count = sink->flushed.count, bad = 0;
	while (bad < count && sink->flushed.at[bad] >= from && sink->flushed.at[bad] < to &&
	       seen[sink->flushed.at[bad] - from]++ == 0)
		bad++;
	uint64_t found = bad < count ? sink->flushed.at[bad] : 0;
	pthread_mutex_unlock(&sink->lock);
	free(seen);
	if (bad < count)
		fail_msg("item %" PRIu64 " was flushed, which is one too many", found);
	assert_int_equal(count, to - from);
}

/* The sizes of all calls' batches, in order. */
static inline void assert_cuts(struct sink *sink, size_t n, const size_t *sizes)
{
	pthread_mutex_lock(&sink->lock);
	size_t count = sink->call_count, bad = 0;
	while (bad < n && bad < count && sink->calls[bad].size == sizes[bad])
		bad++;
	size_t found = bad < count ? sink->calls[bad].size : 0;
	pthread_mutex_unlock(&sink->lock);
	if (bad < n)
		fail_msg("batch %zu has %zu items instead of %zu, of %zu batches", bad, found, sizes[bad], count);
	assert_int_equal(count, n);
}
#define ASSERT_CUTS(sink, ...)                                                                              \
	assert_cuts(sink, sizeof((size_t[]){ __VA_ARGS__ }) / sizeof(size_t), (size_t[]){ __VA_ARGS__ })

#endif
