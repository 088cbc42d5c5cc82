/* SPDX-License-Identifier: MIT */
/*
 * What buffers cost: one thread for the timers of all, flusher threads while there is something to flush,
 * and of memory only what has been written to. Read where the system keeps its own account, in /proc/self.
 */
#include <dirent.h>

#include "api/support.h"

#define BUFFERS 1000

/* Under a sanitizer memory is not what it is, and it has threads of its own: from the start. */
#define MEMORY_TELLS (SLOWNESS == 1)

/* What the system had given the process, in KiB, by its own account of each mapping. */
static long smaps(const char *field)
{
	char line[512];
	long sum = 0, lines = 0;
	FILE *file = fopen("/proc/self/smaps", "r");
	CHECK(file);
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, field, strlen(field)) != 0)
			continue;
		sum += strtol(line + strlen(field), NULL, 10);
		lines++;
	}
	fclose(file);
	CHECK(lines > 0);
	return sum;
}

struct footprint {
	long threads, status_kib, rss_kib, dirty_kib;
};

static struct footprint footprint(void)
{
	return (struct footprint){ proc_status("Threads"), proc_status("VmRSS"), smaps("Rss:"),
		                   smaps("Private_Dirty:") };
}

static void assert_cheap(struct footprint before, struct footprint now, long threads)
{
	print_message("%ld threads more, and each %.1f KiB (status), %.1f (smaps), %.1f (written to)\n",
	              now.threads - before.threads, (double)(now.status_kib - before.status_kib) / BUFFERS,
	              (double)(now.rss_kib - before.rss_kib) / BUFFERS,
	              (double)(now.dirty_kib - before.dirty_kib) / BUFFERS);
	assert_true(now.threads <= before.threads + threads);
	if (MEMORY_TELLS) {
		assert_true(now.status_kib - before.status_kib <= 64 * BUFFERS);
		assert_true(now.rss_kib - before.rss_kib <= 64 * BUFFERS);
		assert_true(now.dirty_kib - before.dirty_kib <= 64 * BUFFERS);
	}
}

static long threads_now(void)
{
	return proc_status("Threads");
}

/* Whether every thread but this one is asleep, by the state that stands behind its name. */
static bool others_sleep(void)
{
	char path[64], line[512];
	bool asleep = true;
	DIR *tasks = opendir("/proc/self/task");
	CHECK(tasks);
	for (struct dirent *task; asleep && (task = readdir(tasks));) {
		if (task->d_name[0] == '.' || atol(task->d_name) == getpid())
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%.32s/stat", task->d_name);
		FILE *file = fopen(path, "r");
		const char *name_end = file && fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
		asleep = !name_end || name_end[2] == 'S'; /* or gone meanwhile */
		if (file)
			fclose(file);
	}
	closedir(tasks);
	return asleep;
}

/* None but the program's, and the sanitizer's: those of buffers that are gone take a moment to leave. */
static long threads_alone(void)
{
	WAIT_FOR(threads_now() == 1 + UNDER_TSAN);
	return 1 + UNDER_TSAN;
}

/* --- A thousand buffers ----------------------------------------------------------------------- */

/* Their items say which buffer's they are. */
static void insert_into_all(databuffer **bufs, uint64_t n)
{
	for (uint64_t i = 0; i < BUFFERS; i++)
		for (uint64_t k = 0; k < n; k++)
			insert_number(bufs[i], i);
}

static void assert_all_have(struct sink *sink, uint64_t n)
{
	unsigned count[BUFFERS] = { 0 };
	pthread_mutex_lock(&sink->lock);
	for (size_t i = 0; i < sink->flushed.count; i++) {
		CHECK(sink->flushed.at[i] < BUFFERS);
		count[sink->flushed.at[i]]++;
	}
	pthread_mutex_unlock(&sink->lock);
	for (unsigned i = 0; i < BUFFERS; i++)
		assert_int_equal(count[i], n);
}

/* With the options that a program has that sets none, but for the handler, and so that nothing is flushed by time
 * meanwhile, however slow the machine. */
static void a_thousand_idle_buffers_take_two_threads_and_64_kib_each(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = databuffer_options_init();
	static databuffer *bufs[BUFFERS];
	o.handle_flush = sink_flush;
	o.flush_meta = sink;
	o.flush_interval = 3600000;
	o.error = sink->error;
	o.error_size = sizeof(sink->error);
	stop_clean(start(&o)); /* what the first of all takes */
	threads_alone();
	struct footprint before = footprint();

	for (unsigned i = 0; i < BUFFERS; i++)
		bufs[i] = start(&o);
	assert_cheap(before, footprint(), 2);

	/* Used, and idle again. */
	insert_into_all(bufs, 5);
	for (unsigned i = 0; i < BUFFERS; i++)
		flush_all(bufs[i]);
	assert_all_have(sink, 5);
	WAIT_FOR(threads_now() <= before.threads + 1);
	assert_cheap(before, footprint(), 1);

	/* With an item in each, that waits for its time. */
	insert_into_all(bufs, 1);
	assert_cheap(before, footprint(), 2);
	for (unsigned i = 0; i < BUFFERS; i++)
		assert_int_equal(databuffer_size(bufs[i]), 1);

	/* And each works as it did. */
	for (unsigned i = 0; i < BUFFERS; i++)
		assert_int_equal(databuffer_flush(bufs[i]), 0);
	WAIT_FOR(sink_flushed(sink) == 6 * BUFFERS);
	assert_all_have(sink, 6);
	insert_into_all(bufs, 1);
	for (unsigned i = 0; i < BUFFERS; i++)
		stop_clean(bufs[i]);
	assert_all_have(sink, 7);
	threads_alone();
	sink_free(sink);
}

static void one_thread_keeps_the_time_of_all(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	static databuffer *bufs[BUFFERS];
	o.max_size = 10;
	o.max_bytes = 1000;
	o.flush_interval = 100;
	o.flush_jitter = 100;
	long none = threads_alone();
	for (unsigned i = 0; i < BUFFERS; i++)
		bufs[i] = start(&o);
	assert_int_equal(threads_now(), none + 1);
	for (uint64_t round = 1; round <= 2; round++) {
		insert_into_all(bufs, 1);
		WAIT_FOR(sink_flushed(sink) == round * BUFFERS);
		assert_all_have(sink, round);
	}
	for (unsigned i = 0; i < BUFFERS; i++)
		stop_clean(bufs[i]);
	for (size_t i = 0; i < sink->call_count; i++)
		assert_int_equal(sink->calls[i].trigger, DATABUFFER_TRIGGER_INTERVAL);
	sink_free(sink);
}

/* --- Flushers --------------------------------------------------------------------------------- */

static void flushers_start_on_demand_and_leave_when_idle(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 8;
	long none = threads_alone();
	databuffer *buf = start(&o);
	assert_true(threads_now() <= none + 1);
	insert_numbers(buf, 0, 80);
	assert_true(threads_now() <= none + 1); /* nobody has asked */
	for (uint64_t round = 0; round < 2; round++) {
		sink_close(sink);
		insert_numbers(buf, 80, 160);
		databuffer_flush(buf);
		WAIT_FOR(sink_inside(sink) == 8); /* beside each other */
		assert_true(threads_now() >= none + 8);
		sink_open(sink);
		flush_all(buf);
		WAIT_FOR(threads_now() <= none + 1);
	}
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 240);
	threads_alone(); /* the timers' thread has gone too */
	sink_free(sink);
}

/* Of buffers that are flushed one after the other, each by the thread of the last. */
static void one_flusher_serves_many_buffers_in_turn(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *bufs[50];
	long none = threads_alone(), most = 0;
	for (unsigned i = 0; i < 50; i++)
		bufs[i] = start(&o);
	for (uint64_t i = 0; i < 500; i++) {
		insert_number(bufs[i % 50], i);
		flush_all(bufs[i % 50]);
		long threads = threads_now();
		most = threads > most ? threads : most;
		WAIT_FOR(others_sleep()); /* the one that has just answered is ready for the next */
	}
	/* A thread may sleep for other reasons, now and then. */
	assert_in_range(most, none + 1, none + 1 + 3);
	for (unsigned i = 0; i < 50; i++)
		stop_clean(bufs[i]);
	assert_flushed(sink, 0, 500);
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thousand_idle_buffers_take_two_threads_and_64_kib_each),
		cmocka_unit_test(one_thread_keeps_the_time_of_all),
		cmocka_unit_test(flushers_start_on_demand_and_leave_when_idle),
		cmocka_unit_test(one_flusher_serves_many_buffers_in_turn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
