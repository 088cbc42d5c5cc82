/* SPDX-License-Identifier: MIT */
/* Worker processes that live: what they are born with, what they are told, what comes back from them. */
#include "api/workers.h"

#include <sys/uio.h>

/* Results go into shared memory of the test's own. */
struct report {
	_Atomic(databuffer *) buf;
	_Atomic int pid, rc[16];
	_Atomic uint64_t number[16];
	char text[256];
};

static struct report *report;

static int set_up(void **state)
{
	(void)state;
	ledger_new();
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return report == MAP_FAILED ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_nobody_is_left();
	ledger_free();
	return munmap(report, sizeof(*report));
}

/* --- Start and stop ------------------------------------------------------------------------------------- */

static void each_worker_starts_once_and_stops_once(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 20000);
	flush_all(buf);
	stop_clean(buf);
	assert_int_equal(ledger->calls, 20);
	assert_int_equal(ledger->starts, 1);
	assert_int_equal(ledger->stops, 1);
	assert_int_equal(ledger->inside, 0);
	assert_flushed_but(20000, NO_POISON);
	sink_free(sink);
}

static int note_pid(databuffer_batch *batch, void *meta)
{
	report->pid = getpid();
	return worker_flush(batch, meta);
}

static void a_handler_runs_in_a_process_of_its_own(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.handle_flush = note_pid;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	flush_all(buf);
	assert_int_not_equal(report->pid, 0);
	assert_int_not_equal(report->pid, getpid());
	assert_int_equal(report->pid, the_worker(buf));
	stop_clean(buf);
	sink_free(sink);
}

static void info_names_a_worker_that_has_nothing_to_do(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	flush_all(buf);
	WAIT_FOR(info_of(buf, 0).worker_pid == 0);
	databuffer_partition_info info = info_of(buf, 0);
	assert_int_equal(info.workers, 1);
	assert_int_equal(info.worker_pids[0], the_worker(buf));
	assert_int_equal(info.worker_pids[1], 0);
	kill(info.worker_pids[0], SIGKILL);
	WAIT_FOR(info_of(buf, 0).worker_restarts == 1);
	insert_number(buf, 1);
	flush_all(buf);
	assert_int_equal(info_of(buf, 0).workers, 1);
	assert_int_not_equal(info_of(buf, 0).worker_pids[0], info.worker_pids[0]);
	stop_clean(buf);
	sink_free(sink);
}

static void a_worker_is_recycled_after_its_flushes(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.worker_max_flushes = 3;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 20000);
	flush_all(buf);
	databuffer_stats_t stats = stats_of(buf);
	databuffer_partition_info info = info_of(buf, 0);
	stop_clean(buf);
	assert_int_equal(stats.flushed, 20000);
	assert_int_equal(stats.worker_deaths, 0);
	assert_int_equal(info.worker_restarts, 0); /* to leave in order is not to die */
	assert_string_equal(info.worker_death, "");
	assert_in_range(ledger->starts, 7, 8);
	assert_int_equal(ledger->stops, ledger->starts);
	assert_flushed_but(20000, NO_POISON);
	sink_free(sink);
}

static void a_start_that_fails_is_tried_again(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	ledger->start_answer = 7;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	databuffer_flush(buf);
	WAIT_FOR(ledger->starts >= 5);
	assert_int_equal(ledger->calls, 0);
	assert_string_equal(info_of(buf, 0).worker_death, "handle_worker_start answered 7");
	ledger->start_answer = 0;
	flush_all(buf);
	stop_clean(buf);
	assert_flushed_but(1, NO_POISON);
	assert_int_equal(ledger->stops, 1);
	sink_free(sink);
}

static int start_slowly(void *meta)
{
	int rc = worker_start(meta);
	while (ledger->starts == 1) /* the first for ever */
		pause_ms(1);
	return rc;
}

static void a_start_that_hangs_is_ended_at_flush_timeout(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.handle_worker_start = start_slowly;
	o.flush_timeout = 300 * SLOWNESS;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	flush_all(buf);
	databuffer_partition_info info = info_of(buf, 0);
	stop_clean(buf);
	assert_int_equal(info.worker_restarts, 1);
	assert_string_equal(info.worker_death, "killed by SIGKILL in handle_worker_start, being late (flush_timeout)");
	assert_flushed_but(1, NO_POISON);
	sink_free(sink);
}

/* As who wants nothing of what it has inherited, and opens files of its own under the same numbers. */
static int close_everything(void *meta)
{
	for (int fd = 0; fd < 256; fd++)
		close(fd);
	for (int fd = 0; fd < 256; fd++)
		CHECK(open(report->text, O_RDWR | O_APPEND) == fd);
	return worker_start(meta);
}

static int count_descriptors(databuffer_batch *batch, void *meta)
{
	report->number[0] = 0;
	for (int fd = 0; fd < 256; fd++)
		report->number[0] += fcntl(fd, F_GETFD) >= 0;
	report->number[1] = (uint64_t)lseek(0, 0, SEEK_END);
	return worker_flush(batch, meta);
}

static void a_worker_needs_no_descriptor_and_touches_none_that_its_start_has_opened(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	strcpy(report->text, "/tmp/databuffer-test-XXXXXX");
	int file = mkstemp(report->text);
	CHECK(file >= 0);
	o.handle_worker_start = close_everything;
	o.handle_flush = count_descriptors;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 3000);
	flush_all(buf);
	assert_int_equal(report->number[0], 256);
	assert_int_equal(report->number[1], 0); /* nor is anything written there */
	assert_int_equal(info_of(buf, 0).worker_restarts, 0);
	stop_clean(buf);
	assert_int_equal(ledger->starts, 1);
	assert_int_equal(ledger->stops, 1);
	assert_flushed_but(3000, NO_POISON);
	close(file);
	unlink(report->text);
	sink_free(sink);
}

/* Who may send its fork server no signals any more. */
static int become_nobody(void *meta)
{
	if (setgid(65534) != 0 || setuid(65534) != 0)
		return -EPERM;
	return worker_start(meta);
}

static void a_worker_may_become_another_user(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.handle_worker_start = become_nobody;
	o.worker_max_flushes = 1;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 3000);
	flush_all(buf);
	assert_int_equal(info_of(buf, 0).worker_restarts, 0);
	stop_clean(buf);
	assert_flushed_but(3000, NO_POISON);
	sink_free(sink);
}

static void stop_slowly(void *meta)
{
	worker_stop(meta);
	for (;;)
		pause_ms(1000);
}

static void a_stop_that_hangs_does_not_outlast_databuffer_stop(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.handle_worker_stop = stop_slowly;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	flush_all(buf);
	int64_t begin = now_ms();
	assert_int_equal(databuffer_stop(buf, 200), 0);
	assert_in_range(now_ms() - begin, 190, 20000);
	assert_int_equal(ledger->stops, 1);
	assert_nobody_is_left();
	sink_free(sink);
}

/* --- What a batch is in a worker -------------------------------------------------------------------------- */

static int ask_everything(databuffer_batch *batch, void *meta)
{
	databuffer_item item;
	uint64_t walked = 0, sum = 0;
	const struct iovec *iovec = databuffer_batch_iovec(batch);
	databuffer_view view = databuffer_batch_view(batch);
	CHECK(iovec && view.size == databuffer_batch_size(batch));
	for (size_t i = 0; databuffer_batch_next(batch, &item); i++) {
		databuffer_item at = databuffer_batch_at(batch, i), seen = databuffer_view_at(&view, i);
		CHECK(at.data == item.data && at.len == item.len);
		CHECK(seen.data == item.data && seen.len == item.len);
		CHECK(iovec[i].iov_base == item.data && iovec[i].iov_len == item.len);
		sum += number_of(&item);
		walked += item.len;
	}
	CHECK(walked == databuffer_batch_bytes(batch));
	report->number[0] = databuffer_batch_size(batch);
	report->number[1] = sum;
	report->number[2] = databuffer_batch_partition(batch);
	report->number[3] = databuffer_batch_trigger(batch);
	report->number[4] = databuffer_batch_attempt(batch);
	report->number[5] = databuffer_batch_id(batch) != 0;
	report->number[6] = (uint64_t)(databuffer_batch_deadline(batch) - now_ms());
	report->number[7] = databuffer_batch_array(batch) != NULL;
	report->number[8] = (uint64_t)databuffer_batch_cancelled(batch);
	snprintf(report->text, sizeof(report->text), "%s, %s", databuffer_batch_name(batch), (const char *)meta);
	return 0;
}

static void everything_can_be_asked_of_a_batch(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	char meta[] = "as it was";
	o.name = "asked";
	o.handle_flush = ask_everything;
	o.handle_worker_start = NULL;
	o.handle_worker_stop = NULL;
	o.handle_dead = NULL;
	o.handle_left = NULL;
	o.handle_log = NULL;
	o.flush_meta = meta;
	o.flush_timeout = 50000;
	databuffer *buf = start(&o);
	memcpy(meta, "changed  ", sizeof(meta)); /* which no worker sees */
	insert_numbers(buf, 0, 100);
	flush_all(buf);
	assert_int_equal(report->number[0], 100);
	assert_int_equal(report->number[1], 4950);
	assert_int_equal(report->number[2], 0);
	assert_int_equal(report->number[3], DATABUFFER_TRIGGER_FLUSH);
	assert_int_equal(report->number[4], 1);
	assert_int_equal(report->number[5], 1);
	assert_in_range(report->number[6], 10000, 50000);
	assert_int_equal(report->number[7], 1);
	assert_int_equal(report->number[8], 0);
	assert_string_equal(report->text, "asked, as it was");
	/* Of mixed lengths there is no array. */
	assert_int_equal(databuffer_insert(buf, "abc", 3), 0);
	insert_number(buf, 5);
	flush_all(buf);
	assert_int_equal(report->number[0], 2);
	assert_int_equal(report->number[7], 0);
	stop_clean(buf);
	sink_free(sink);
}

/* All lengths, all bytes: what is inserted is what a worker reads. */
static int sum_bytes(databuffer_batch *batch, void *meta)
{
	databuffer_item item;
	(void)meta;
	while (databuffer_batch_next(batch, &item)) {
		const unsigned char *bytes = item.data;
		for (size_t i = 0; i < item.len; i++)
			report->number[0] += bytes[i] * (i + 1);
		report->number[1]++;
	}
	return 0;
}

static void a_worker_reads_what_was_inserted(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	uint64_t seed = test_seed(), sum = 0;
	o.handle_flush = sum_bytes;
	o.partitions = 3;
	o.max_size = 100;
	databuffer *buf = start(&o);
	unsigned char bytes[2000];
	for (unsigned n = 0; n < 5000; n++) {
		size_t len = (size_t)dice_below(&seed, sizeof(bytes));
		for (size_t i = 0; i < len; i++) {
			bytes[i] = (unsigned char)dice(&seed);
			sum += bytes[i] * (i + 1);
		}
		assert_int_equal(databuffer_insert(buf, bytes, len), 0);
	}
	flush_all(buf);
	stop_clean(buf);
	assert_int_equal(report->number[1], 5000);
	assert_int_equal(report->number[0], sum);
	sink_free(sink);
}

/* --- What comes back ---------------------------------------------------------------------------------------- */

static int say_bytes(databuffer_batch *batch, void *meta)
{
	char bytes[DATABUFFER_RESULT_MAX];
	memset(bytes, 'a' + (int)databuffer_batch_partition(batch), sizeof(bytes));
	size_t len = databuffer_batch_size(batch) * 1024;
	CHECK(databuffer_batch_set_result_bytes(batch, bytes, len) == (len > sizeof(bytes) ? DATABUFFER_EINVAL : 0));
	databuffer_batch_set_result(batch, bytes);
	return worker_flush(batch, meta);
}

static void sync_flush_returns_the_bytes_of_each_partition(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	databuffer_result results[4];
	o.handle_flush = say_bytes;
	o.partitions = 4;
	databuffer *buf = start(&o);
	for (unsigned n = 1; n <= 4; n++) {
		insert_numbers(buf, 0, 4); /* one more in each partition */
		if (n < 4)
			continue;
		assert_int_equal(databuffer_sync_flush(buf, results, 4, PATIENCE_MS), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(results[i].status, 0);
		assert_int_equal(results[i].size, 4);
		assert_null(results[i].value); /* a pointer means nothing here */
		assert_int_equal(results[i].bytes_len, 4096);
		for (size_t k = 0; k < 4096; k++)
			assert_int_equal(((char *)results[i].bytes)[k], 'a' + (int)i);
	}
	databuffer_results_free(results, 4);
	stop_clean(buf);
	sink_free(sink);
}

static int name_the_odd(databuffer_batch *batch, void *meta)
{
	(void)meta;
	for (size_t i = 0; i < databuffer_batch_size(batch); i++) {
		databuffer_item item = databuffer_batch_at(batch, i);
		char why[300];
		memset(why, 'x', sizeof(why));
		snprintf(why, sizeof(why), "%" PRIu64 " is odd", number_of(&item));
		if (number_of(&item) % 2 == 1)
			CHECK(databuffer_batch_fail(batch, i, why) == 0);
		else
			ledger->flushed[number_of(&item)]++;
	}
	CHECK(databuffer_batch_fail(batch, databuffer_batch_size(batch), "beyond") == DATABUFFER_EINVAL);
	return 0;
}

static void items_that_a_worker_names_are_dead(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.handle_flush = name_the_odd;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 5000);
	databuffer_result result;
	assert_int_equal(databuffer_sync_flush(buf, &result, 1, PATIENCE_MS), 0);
	assert_int_equal(result.status, DATABUFFER_REJECT);
	databuffer_stats_t stats = stats_of(buf);
	stop_clean(buf);
	assert_int_equal(stats.flushed, 2500);
	assert_int_equal(stats.dead, 2500);
	assert_int_equal(sink->dead_count, 2500);
	for (uint64_t i = 0; i < 2500; i++) {
		char why[64];
		snprintf(why, sizeof(why), "%" PRIu64 " is odd", 2 * i + 1);
		assert_int_equal(sink->dead[i].number, 2 * i + 1);
		assert_string_equal(sink->dead[i].text, why);
		assert_int_equal(sink->dead[i].status, DATABUFFER_REJECT);
	}
	sink_free(sink);
}

/* 70000 in one batch: 65536 can be named at once. */
static int name_all(databuffer_batch *batch, void *meta)
{
	size_t i = 0, n = databuffer_batch_size(batch);
	(void)meta;
	while (i < n && databuffer_batch_fail(batch, i, "named") == 0)
		i++;
	report->number[0] = i;
	report->rc[0] = i < n ? databuffer_batch_fail(batch, i, "named") : 0;
	return i < n ? DATABUFFER_REJECT : 0;
}

static void no_more_can_be_named_than_there_is_room_for(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.handle_flush = name_all;
	o.max_size = 70000;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 70000);
	WAIT_FOR(sink_buried(sink) == 70000);
	stop_clean(buf);
	assert_int_equal(report->number[0], 70000 - 65536); /* of what was left, all */
	sink_free(sink);
}

static int answer_by_attempt(databuffer_batch *batch, void *meta)
{
	if (databuffer_batch_attempt(batch) < 3) {
		ledger->calls++;
		return -EIO;
	}
	return worker_flush(batch, meta);
}

static void a_transient_answer_comes_again_after_the_backoff(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.handle_flush = answer_by_attempt;
	o.retry_min = o.retry_max = 20;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 10);
	databuffer_flush(buf);
	WAIT_FOR(stats_of(buf).flushed == 10);
	databuffer_stats_t stats = stats_of(buf);
	assert_int_equal(stats.attempts, 3);
	assert_int_equal(stats.failures, 2);
	assert_int_equal(stats.worker_deaths, 0);
	stop_clean(buf);
	sink_free(sink);
}

/* --- Events ---------------------------------------------------------------------------------------------------- */

struct events {
	pthread_mutex_t lock;
	unsigned starts, stops, exceptions;
	int64_t duration_ns;
	int pid, status;
};

static void on_event(const databuffer_event *event, void *ctx)
{
	struct events *events = ctx;
	pthread_mutex_lock(&events->lock);
	events->pid = getpid();
	if (event->kind == DATABUFFER_FLUSH_START) {
		events->starts++;
	} else {
		events->stops += event->kind == DATABUFFER_FLUSH_STOP;
		events->exceptions += event->kind == DATABUFFER_FLUSH_EXCEPTION;
		events->duration_ns = event->duration_ns;
		events->status = event->status;
	}
	pthread_mutex_unlock(&events->lock);
}

static int take_30_ms_or_die(databuffer_batch *batch, void *meta)
{
	if (databuffer_batch_attempt(batch) == 1)
		abort();
	pause_ms(30);
	return worker_flush(batch, meta);
}

static void events_are_told_in_the_application(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct events events = { .lock = PTHREAD_MUTEX_INITIALIZER };
	databuffer_options o = worker_options(sink);
	unsigned bits = DATABUFFER_FLUSH_START | DATABUFFER_FLUSH_STOP | DATABUFFER_FLUSH_EXCEPTION;
	o.handle_flush = take_30_ms_or_die;
	assert_int_equal(databuffer_telemetry_attach("workers", bits, on_event, &events), 0);
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	flush_all(buf);
	stop_clean(buf);
	databuffer_telemetry_detach("workers");
	assert_int_equal(events.pid, getpid());
	assert_int_equal(events.starts, 2);
	assert_int_equal(events.exceptions, 1);
	assert_int_equal(events.stops, 1);
	assert_int_equal(events.status, 0);
	/* What the worker measured: the handler, and nothing around it. */
	assert_in_range(events.duration_ns, 30000000, 30000000000);
	sink_free(sink);
}

/* --- What is not theirs -------------------------------------------------------------------------------------------- */

static databuffer *the_other;

static int call_the_application(databuffer_batch *batch, void *meta)
{
	databuffer_stats_t stats;
	databuffer *the_buffer = report->buf; /* since when this worker was born there was none yet */
	int i = 0;
	(void)batch;
	(void)meta;
	report->rc[i++] = databuffer_insert(the_buffer, "x", 1);
	report->rc[i++] = databuffer_insert(the_other, "x", 1);
	report->rc[i++] = databuffer_flush(the_buffer);
	report->rc[i++] = databuffer_sync_flush(the_other, NULL, 0, 1000);
	report->rc[i++] = databuffer_stats(the_buffer, &stats);
	report->rc[i++] = databuffer_info(the_other, NULL, 0);
	report->rc[i++] = (int)databuffer_stop(the_other, 1000);
	report->number[0] = databuffer_find("other") != NULL;
	report->number[1] = databuffer_size(the_buffer);
	return 0;
}

static void a_worker_cannot_touch_the_buffers_of_the_application(void **state)
{
	(void)state;
	struct sink *sink = sink_new(), *other_sink = sink_new();
	databuffer_options other = sink_options(other_sink);
	other.name = "other";
	the_other = start(&other);
	insert_numbers(the_other, 0, 10); /* this thread has a lease there, and so has the worker's copy of it */
	databuffer_options o = worker_options(sink);
	o.handle_flush = call_the_application;
	databuffer *buf = start(&o);
	report->buf = buf;
	insert_number(buf, 0);
	flush_all(buf);
	for (int i = 0; i < 7; i++)
		assert_int_equal(report->rc[i], DATABUFFER_ENOTSUP);
	assert_int_equal(report->number[0], 0);
	assert_int_equal(report->number[1], 0);
	assert_int_equal(databuffer_size(the_other), 10);
	stop_clean(buf);
	stop_clean(the_other);
	assert_flushed(other_sink, 0, 10);
	sink_free(sink);
	sink_free(other_sink);
}

static void on_usr1(int number)
{
	(void)number;
	_exit(99);
}

static int look_at_signals(databuffer_batch *batch, void *meta)
{
	struct sigaction action;
	sigset_t mask;
	sigaction(SIGUSR1, NULL, &action);
	report->rc[0] = action.sa_handler == SIG_DFL;
	sigaction(SIGUSR2, NULL, &action);
	report->rc[1] = action.sa_handler == SIG_IGN;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	report->rc[2] = !sigismember(&mask, SIGTERM) && !sigismember(&mask, SIGCHLD);
	return worker_flush(batch, meta);
}

static void a_worker_has_none_of_the_applications_signal_handlers(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	signal(SIGUSR1, on_usr1);
	signal(SIGUSR2, SIG_IGN);
	o.handle_flush = look_at_signals;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	flush_all(buf);
	stop_clean(buf);
	signal(SIGUSR1, SIG_DFL);
	signal(SIGUSR2, SIG_DFL);
	for (int i = 0; i < 3; i++)
		assert_int_equal(report->rc[i], 1);
	sink_free(sink);
}

/* A mutex that another thread holds for ever, from after the start. */
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static int lock_it(databuffer_batch *batch, void *meta)
{
	pthread_mutex_lock(&held);
	pthread_mutex_unlock(&held);
	return worker_flush(batch, meta);
}

static void a_worker_does_not_inherit_what_was_locked_later(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.handle_flush = lock_it;
	o.worker_max_flushes = 1; /* so that each batch has a worker that is born now */
	databuffer *buf = start(&o);
	pthread_mutex_lock(&held);
	insert_numbers(buf, 0, 5000);
	flush_all(buf);
	pthread_mutex_unlock(&held);
	databuffer_stats_t stats = stats_of(buf);
	stop_clean(buf);
	assert_int_equal(stats.flushed, 5000);
	assert_int_equal(stats.worker_deaths, 0);
	sink_free(sink);
}

/* --- Printing -------------------------------------------------------------------------------------------------------- */

static int print_it(databuffer_batch *batch, void *meta)
{
	databuffer_item item;
	(void)meta;
	while (databuffer_batch_next(batch, &item))
		printf("%" PRIu64 "\n", number_of(&item));
	return 0;
}

static void what_a_handler_prints_is_written_once(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	char path[] = "/tmp/databuffer-test-XXXXXX";
	int file = mkstemp(path), before = dup(1);
	CHECK(file >= 0 && before >= 0);
	fflush(stdout);
	CHECK(dup2(file, 1) == 1);
	printf("begin\n"); /* not written yet: it is the application's to write */
	o.handle_flush = print_it;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 3000);
	flush_all(buf);
	bool written = lseek(file, 0, SEEK_END) > 0; /* at the latest when it has been answered */
	stop_clean(buf);
	fflush(stdout);
	CHECK(dup2(before, 1) == 1);
	close(before);

	FILE *read = fdopen(file, "r");
	char line[64];
	unsigned begins = 0, numbers = 0;
	rewind(read);
	while (fgets(line, sizeof(line), read))
		if (strcmp(line, "begin\n") == 0)
			begins++;
		else
			numbers++;
	fclose(read);
	unlink(path);
	assert_true(written);
	assert_int_equal(begins, 1);
	assert_int_equal(numbers, 3000);
	sink_free(sink);
}

static int shout(databuffer_batch *batch, void *meta)
{
	char line[1000];
	memset(line, '!', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	fprintf(stderr, "the first word\n");
	for (int i = 0; i < 1000; i++)
		if (write(2, line, sizeof(line)) < 0)
			return -EIO;
	return worker_flush(batch, meta);
}

/* A million bytes: the first of them pass, and the application is not drowned. */
static void standard_error_passes_in_bounds(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	char path[] = "/tmp/databuffer-test-XXXXXX", text[64] = "";
	int file = mkstemp(path), before = dup(2);
	CHECK(file >= 0 && before >= 0 && dup2(file, 2) == 2);
	o.handle_flush = shout;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	flush_all(buf);
	stop_clean(buf);
	CHECK(dup2(before, 2) == 2);
	close(before);
	off_t size = lseek(file, 0, SEEK_END);
	CHECK(pread(file, text, sizeof(text) - 1, 0) > 0);
	close(file);
	unlink(path);
	assert_int_equal(strncmp(text, "the first word\n", 15), 0);
	assert_in_range(size, 60000, 64 * 1024 + 16 * 1024 * 30);
	assert_flushed_but(1, NO_POISON);
	sink_free(sink);
}

/* --- How many -------------------------------------------------------------------------------------------------------- */

static void flusher_count_bounds_the_workers(void **state)
{
	(void)state;
	for (int64_t count = 1; count <= 3; count++) {
		struct sink *sink = sink_new();
		databuffer_options o = worker_options(sink);
		o.flusher_count = count;
		o.partitions = 6;
		ledger->closed = true;
		databuffer *buf = start(&o);
		insert_numbers(buf, 0, 60);
		databuffer_flush(buf);
		WAIT_FOR(ledger->inside == (unsigned)count);
		WAIT_FOR(find_pids(getpid(), "db-worker") == (unsigned)count);
		pause_ms(20); /* for one too many to show */
		assert_int_equal(ledger->inside, count);
		ledger->closed = false;
		flush_all(buf);
		assert_int_equal(find_pids(getpid(), "db-worker"), count);
		stop_clean(buf);
		sink_free(sink);
	}
	for (uint64_t number = 0; number < 60; number++)
		assert_int_equal(ledger->flushed[number], 3);
}

static void every_partition_has_its_turn(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.flusher_count = 1;
	o.partitions = 8;
	o.max_size = 10;
	databuffer *buf = start(&o);
	/* One partition that never is at its end must not keep the others from the one worker. */
	for (uint64_t i = 0; i < 20000; i++) {
		uint64_t number = i % LEDGER_ITEMS;
		CHECK(databuffer_insert_keyed(buf, i % 16 == 0 ? i / 16 : 0, &number, sizeof(number)) == 0);
	}
	flush_all(buf);
	databuffer_stats_t stats = stats_of(buf);
	stop_clean(buf);
	assert_int_equal(stats.flushed, 20000);
	assert_flushed_but(20000, NO_POISON);
	sink_free(sink);
}

/* With threads, too: so many handlers at one time. */
static void flusher_count_bounds_threads(void **state)
{
	(void)state;
	for (int64_t count = 1; count <= 3; count++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		o.flusher_count = count;
		o.partitions = 6;
		databuffer *buf = start(&o);
		sink_close(sink);
		insert_numbers(buf, 0, 60);
		databuffer_flush(buf);
		WAIT_FOR(sink_inside(sink) == (unsigned)count);
		pause_ms(20); /* for one too many to show */
		assert_int_equal(sink_inside(sink), count);
		sink_open(sink);
		flush_all(buf);
		stop_clean(buf);
		assert_int_equal(sink->most_inside, count);
		assert_flushed_once(sink, 0, 60);
		sink_free(sink);
	}
}

/* Producers that fill small batches of few partitions, each of which may have several flights, for fewer who flush. */
static void *insert_many(void *arg)
{
	databuffer *buf = arg;
	for (uint64_t number = 0; number < scaled(20000); number++)
		CHECK(databuffer_insert(buf, &number, sizeof(number)) == 0);
	return NULL;
}

static int count_items(databuffer_batch *batch, void *meta)
{
	(void)meta;
	report->number[0] += databuffer_batch_size(batch);
	return 0;
}

static void nobody_in_line_is_forgotten(void **state)
{
	(void)state;
	for (int64_t flusher = 0; flusher < 2; flusher++) {
		struct sink *sink = sink_new();
		databuffer_options o = worker_options(sink);
		pthread_t threads[4];
		o.flusher = flusher ? DATABUFFER_PROCESSES : DATABUFFER_THREADS;
		o.handle_flush = count_items;
		o.flusher_count = 2;
		o.partitions = 3;
		o.max_in_flight = 3;
		o.max_queued = 4;
		o.max_size = 20;
		databuffer *buf = start(&o);
		report->number[0] = 0;
		for (unsigned i = 0; i < 4; i++)
			threads[i] = thread_run(insert_many, buf);
		for (unsigned i = 0; i < 4; i++)
			thread_join(threads[i]);
		flush_all(buf);
		assert_int_equal(report->number[0], 4 * scaled(20000));
		stop_clean(buf);
		sink_free(sink);
	}
}

/* --- Stopping with work left -------------------------------------------------------------------------------------------- */

static void what_a_stop_gives_up_is_left_and_its_worker_killed(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	ledger->closed = true;
	o.max_queued = 10;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 5000);
	WAIT_FOR(ledger->inside == 1);
	assert_int_equal(databuffer_stop(buf, 50), 5000);
	assert_int_equal(sink_left_over(sink), 5000);
	assert_int_equal(sink->left[0].status, DATABUFFER_ETIMEDOUT);
	assert_nobody_is_left();
	assert_int_equal(ledger->flushed[0], 0);
	sink_keep(sink);
}

/* --- Fork ------------------------------------------------------------------------------------------------------------------ */

/* The child's insides are its own: nothing that it does changes what the parent holds. */
static void a_child_of_the_application_has_workers_of_its_own(void **state)
{
	(void)state;
	if (UNDER_TSAN)
		skip(); /* the sanitizer starts no threads in the child of a process with threads */
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.max_size = 100;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 50);
	int pid = fork();
	if (pid == 0) {
		bool right = databuffer_size(buf) == 0;
		for (uint64_t number = 1000; number < 2000; number++)
			right = right && databuffer_insert(buf, &number, sizeof(number)) == 0;
		right = right && databuffer_sync_flush(buf, NULL, 0, PATIENCE_MS) == 0;
		databuffer_stats_t stats;
		right = right && databuffer_stats(buf, &stats) == 0 && stats.flushed == 1000;
		right = right && databuffer_stop(buf, PATIENCE_MS) == 0;
		right = right && for_descendants(getpid(), NULL) == 0;
		_exit(right ? 0 : 1);
	}
	int status;
	insert_numbers(buf, 50, 90);
	assert_int_equal(databuffer_size(buf), 90);
	CHECK(waitpid(pid, &status, 0) == pid);
	assert_int_equal(WEXITSTATUS(status), 0);
	flush_all(buf);
	stop_clean(buf);
	assert_flushed_but(90, NO_POISON);
	for (uint64_t number = 1000; number < 2000; number++)
		assert_int_equal(ledger->flushed[number], 1);
	sink_free(sink);
}

static int run_a_command(databuffer_batch *batch, void *meta)
{
	report->rc[0] = system("exit 5");
	FILE *pipe = popen("echo word", "r");
	CHECK(pipe && fgets(report->text, sizeof(report->text), pipe));
	pclose(pipe);
	int pid = fork();
	if (pid == 0)
		_exit(6);
	int status = 0;
	waitpid(pid, &status, 0);
	report->rc[1] = WEXITSTATUS(status);
	return worker_flush(batch, meta);
}

static void a_handler_may_have_children(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	o.handle_flush = run_a_command;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	flush_all(buf);
	stop_clean(buf);
	assert_int_equal(WEXITSTATUS(report->rc[0]), 5);
	assert_int_equal(report->rc[1], 6);
	assert_string_equal(report->text, "word\n");
	sink_free(sink);
}

/* --- Memory ------------------------------------------------------------------------------------------------------- */

static void shared_memory_goes_back_when_a_partition_is_idle(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	static char item[4096];
	o.max_bytes = 64 << 20;
	o.max_size = 10000;
	o.idle_memory = 50;
	databuffer *buf = start(&o);
	long before = proc_status("RssShmem:");
	for (uint64_t number = 0; number < 9000; number++) {
		memcpy(item, &number, sizeof(number));
		assert_int_equal(databuffer_insert(buf, item, sizeof(item)), 0);
	}
	assert_true(proc_status("RssShmem:") > before + 30000);
	flush_all(buf);
	WAIT_FOR(proc_status("RssShmem:") < before + 3000);
	insert_number(buf, 9000);
	flush_all(buf); /* and comes again */
	stop_clean(buf);
	assert_flushed_but(9001, NO_POISON);
	sink_free(sink);
}

/* --- Two buffers --------------------------------------------------------------------------------------------------------------- */

static void buffers_have_workers_apart(void **state)
{
	(void)state;
	struct sink *sinks[3];
	databuffer *bufs[3];
	for (unsigned i = 0; i < 3; i++) {
		sinks[i] = sink_new();
		databuffer_options o = worker_options(sinks[i]);
		bufs[i] = start(&o);
	}
	for (uint64_t number = 0; number < 9000; number++)
		insert_number(bufs[number % 3], number);
	WAIT_FOR(ledger->starts == 3);
	for (unsigned i = 0; i < 3; i++) {
		flush_all(bufs[i]);
		assert_int_equal(stats_of(bufs[i]).flushed, 3000);
		stop_clean(bufs[i]); /* which leaves the others' alone */
		WAIT_FOR(find_pids(getpid(), "db-worker") == 2 - i);
		sink_free(sinks[i]);
	}
	assert_flushed_but(9000, NO_POISON);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(each_worker_starts_once_and_stops_once),
		TEST(a_handler_runs_in_a_process_of_its_own),
		TEST(info_names_a_worker_that_has_nothing_to_do),
		TEST(a_worker_is_recycled_after_its_flushes),
		TEST(a_start_that_fails_is_tried_again),
		TEST(a_start_that_hangs_is_ended_at_flush_timeout),
		TEST(a_worker_needs_no_descriptor_and_touches_none_that_its_start_has_opened),
		TEST(a_worker_may_become_another_user),
		TEST(a_stop_that_hangs_does_not_outlast_databuffer_stop),
		TEST(everything_can_be_asked_of_a_batch),
		TEST(a_worker_reads_what_was_inserted),
		TEST(sync_flush_returns_the_bytes_of_each_partition),
		TEST(items_that_a_worker_names_are_dead),
		TEST(no_more_can_be_named_than_there_is_room_for),
		TEST(a_transient_answer_comes_again_after_the_backoff),
		TEST(events_are_told_in_the_application),
		TEST(a_worker_cannot_touch_the_buffers_of_the_application),
		TEST(a_worker_has_none_of_the_applications_signal_handlers),
		TEST(a_worker_does_not_inherit_what_was_locked_later),
		TEST(what_a_handler_prints_is_written_once),
		TEST(standard_error_passes_in_bounds),
		TEST(flusher_count_bounds_the_workers),
		TEST(every_partition_has_its_turn),
		TEST(flusher_count_bounds_threads),
		TEST(nobody_in_line_is_forgotten),
		TEST(what_a_stop_gives_up_is_left_and_its_worker_killed),
		TEST(a_child_of_the_application_has_workers_of_its_own),
		TEST(a_handler_may_have_children),
		TEST(shared_memory_goes_back_when_a_partition_is_idle),
		TEST(buffers_have_workers_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
