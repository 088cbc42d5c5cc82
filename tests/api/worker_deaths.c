/* SPDX-License-Identifier: MIT */
/* Whatever a worker does, the application goes on: each kind of death, with ten thousand items behind it. */
#include "api/workers.h"

#define ITEMS 10000
#define POISON 6789
/* The last of its batch: of the halves only the item itself is harmful, which saves those that are ended by their time. */
#define LAST_POISON 6999
/* How long a handler may take where one is too slow: others take a few milliseconds, with any sanitizer. */
#define LATE_MS (200 * (SLOWNESS < 5 ? SLOWNESS : 5))

/* Inserts everything, waits for the end of it, and sees that all is well but for the poison, which is dead. */
static void run_to_the_end(databuffer_options *o, const char *death)
{
	struct sink *sink = o->flush_meta;
	databuffer *buf = start(o);
	insert_numbers(buf, 0, ITEMS);
	flush_all(buf);
	databuffer_stats_t stats = stats_of(buf);
	databuffer_partition_info info = info_of(buf, 0);
	stop_clean(buf);

	assert_int_equal(stats.inserted, ITEMS);
	assert_int_equal(stats.flushed, ITEMS - 1);
	assert_int_equal(stats.dead, 1);
	assert_int_equal(stats.held, 0);
	assert_int_equal(sink->dead_count, 1);
	assert_int_equal(sink->dead[0].number, ledger->poison);
	assert_non_null(strstr(sink->dead[0].text, death));
	/* So often its batch and its pieces were given to a worker: the halves of 1000 make at most 10 steps. */
	assert_in_range(sink->dead[0].attempts, 4, 30);
	assert_flushed_but(ITEMS, ledger->poison);
	/* Two for the whole batch, one for each piece that was killed, two for the item alone. */
	assert_in_range(stats.worker_deaths, 4, 14);
	assert_int_equal(info.worker_restarts, stats.worker_deaths);
	assert_non_null(strstr(info.worker_death, death));
	assert_nobody_is_left();
}

static void assert_harm_is_contained(void (*harm)(databuffer_batch *batch), const char *death, int64_t memory_limit)
{
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	ledger_new();
	ledger->poison = POISON;
	ledger->harm = harm;
	o.flush_timeout = 60000;
	o.worker_memory_limit = memory_limit;
	run_to_the_end(&o, death);
	ledger_free();
	sink_free(sink);
}

/* --- By its own doing ----------------------------------------------------------------------------------- */

/* A member of a struct that is not there: no compiler and no sanitizer sees it come. */
static void harm_by_a_null_pointer(databuffer_batch *batch)
{
	(void)batch;
	volatile uintptr_t nowhere = 16;
	*(volatile int *)nowhere = 1;
}

static void a_null_dereference_costs_one_item(void **state)
{
	(void)state;
	assert_harm_is_contained(harm_by_a_null_pointer, "killed by SIGSEGV", 0);
}

static void harm_by_abort(databuffer_batch *batch)
{
	(void)batch;
	abort();
}

static void an_abort_costs_one_item(void **state)
{
	(void)state;
	assert_harm_is_contained(harm_by_abort, "killed by SIGABRT", 0);
}

static void harm_by_a_real_time_signal(databuffer_batch *batch)
{
	(void)batch;
	raise(SIGRTMIN + 3);
}

static void a_real_time_signal_costs_one_item(void **state)
{
	(void)state;
	assert_harm_is_contained(harm_by_a_real_time_signal, "killed by SIGRTMIN+3", 0);
}

static void harm_by_exit(databuffer_batch *batch)
{
	(void)batch;
	_exit(3);
}

static void an_exit_costs_one_item(void **state)
{
	(void)state;
	assert_harm_is_contained(harm_by_exit, "exited with status 3", 0);
}

static void harm_by_exit_that_claims_success(databuffer_batch *batch)
{
	(void)batch;
	_exit(0);
}

static void an_exit_with_status_0_is_no_success(void **state)
{
	(void)state;
	assert_harm_is_contained(harm_by_exit_that_claims_success, "exited with status 0", 0);
}

static volatile bool for_ever = true;

static void harm_by_recursion(databuffer_batch *batch)
{
	volatile char frame[4096];
	frame[0] = 1;
	if (for_ever)
		harm_by_recursion(batch);
	frame[1] = frame[0];
}

static void a_stack_that_overflows_costs_one_item(void **state)
{
	(void)state;
	assert_harm_is_contained(harm_by_recursion, "killed by SIGSEGV", 0);
}

static void harm_by_greed(databuffer_batch *batch)
{
	static char *volatile more; /* seen by others, or a compiler might do without */
	(void)batch;
	for (;;) {
		more = malloc(1 << 20);
		if (!more)
			abort(); /* as most programs do */
		memset(more, 1, 1 << 20);
	}
}

static void memory_beyond_the_limit_costs_one_item(void **state)
{
	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* the sanitizer's own memory is not to be had either */
#endif
	assert_harm_is_contained(harm_by_greed, "killed by SIGABRT", 64 << 20);
}

static void harm_by_writing_into_items(databuffer_batch *batch)
{
	databuffer_item item = databuffer_batch_at(batch, 0);
	memset((void *)(uintptr_t)item.data, 0xff, 1 << 16);
}

static void items_cannot_be_written_to(void **state)
{
	(void)state;
	assert_harm_is_contained(harm_by_writing_into_items, "killed by SIGSEGV", 0);
}

/* What it has at hand: everything it can write to that it shares with others. */
static void harm_by_writing_everywhere(databuffer_batch *batch)
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "r");
	(void)batch;
	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long from, to;
		char access[8];
		if (sscanf(line, "%lx-%lx %7s", &from, &to, access) != 3 || strcmp(access, "rw-s") != 0)
			continue;
		if ((char *)from <= (char *)ledger && (char *)ledger < (char *)to)
			continue;
		for (unsigned long page = from; page < to && page < from + (1 << 20); page += 4096)
			memset((char *)page, 0x5a, 4096);
	}
	abort();
}

static void wild_writes_reach_nobody_else(void **state)
{
	(void)state;
	assert_harm_is_contained(harm_by_writing_everywhere, "killed by SIG", 0);
}

static void harm_by_closing_everything(databuffer_batch *batch)
{
	(void)batch;
	for (int fd = 0; fd < 1024; fd++)
		close(fd);
}

/* It does no harm at all: a worker needs none of them. */
static void a_worker_that_closes_its_descriptors_goes_on(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	ledger_new();
	ledger->poison = POISON;
	ledger->harm = harm_by_closing_everything;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, ITEMS);
	flush_all(buf);
	databuffer_stats_t stats = stats_of(buf);
	stop_clean(buf);
	assert_int_equal(stats.flushed, ITEMS);
	assert_int_equal(stats.worker_deaths, 0);
	assert_flushed_but(ITEMS, NO_POISON);
	assert_int_equal(ledger->stops, ledger->starts);
	assert_nobody_is_left();
	ledger_free();
	sink_free(sink);
}

/* --- By taking its time --------------------------------------------------------------------------------------- */

static void harm_by_looping(databuffer_batch *batch)
{
	(void)batch;
	while (for_ever)
		;
}

static void assert_lateness_is_contained(void (*harm)(databuffer_batch *batch), uint64_t poison)
{
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	ledger_new();
	ledger->poison = poison;
	ledger->harm = harm;
	o.flush_timeout = LATE_MS;
	run_to_the_end(&o, "killed by SIGKILL, being late (flush_timeout)");
	assert_int_equal(sink->dead[0].status, DATABUFFER_ETIMEDOUT);
	ledger_free();
	sink_free(sink);
}

static void an_endless_loop_costs_one_item(void **state)
{
	(void)state;
	assert_lateness_is_contained(harm_by_looping, POISON);
}

static void harm_by_stopping(databuffer_batch *batch)
{
	(void)batch;
	while (for_ever) /* though somebody may have it continue */
		raise(SIGSTOP);
}

static void a_worker_that_is_stopped_is_late(void **state)
{
	(void)state;
	assert_lateness_is_contained(harm_by_stopping, LAST_POISON);
}

static void harm_by_flooding(databuffer_batch *batch)
{
	char line[1024];
	(void)batch;
	memset(line, '!', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	for (;;)
		if (write(2, line, sizeof(line)) < 0 && errno != EINTR)
			abort();
}

/* Standard error is a pipe that nobody reads, as it is when whoever should has stopped. */
static void flooding_standard_error_blocks_nobody(void **state)
{
	(void)state;
	int pipe_ends[2], before = dup(2);
	CHECK(pipe(pipe_ends) == 0 && dup2(pipe_ends[1], 2) == 2);
	assert_lateness_is_contained(harm_by_flooding, LAST_POISON);
	/* And this process, whose standard error it is as well, still may write. */
	CHECK(fcntl(2, F_SETFL, O_NONBLOCK) == 0);
	bool writes = write(2, "x", 1) == 1;
	CHECK(dup2(before, 2) == 2);
	close(before);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	assert_true(writes);
}

/* --- From outside ---------------------------------------------------------------------------------------------- */

/* Kills the worker with the signal while it is inside of a batch, as often as that takes to make `deaths`. */
static void assert_outside_is_survived(int signal, unsigned deaths, int64_t flush_timeout)
{
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	ledger_new();
	ledger->closed = true;
	o.kill_limit = 1000;
	o.flush_timeout = flush_timeout;
	o.max_queued = 20;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, ITEMS);
	for (unsigned i = 0; i < deaths; i++) {
		WAIT_FOR(ledger->calls == i + 1);
		int pid = the_worker(buf);
		assert_int_equal(info_of(buf, 0).worker_pid, pid);
		assert_int_equal(kill(pid, signal), 0);
		WAIT_FOR(stats_of(buf).worker_deaths == i + 1);
		assert_true(has_ended(pid));
	}
	ledger->closed = false;
	flush_all(buf);
	databuffer_stats_t stats = stats_of(buf);
	stop_clean(buf);
	assert_int_equal(stats.flushed, ITEMS);
	assert_int_equal(stats.dead, 0);
	assert_flushed_but(ITEMS, NO_POISON);
	assert_nobody_is_left();
	ledger_free();
	sink_free(sink);
}

static void a_sigkill_from_outside_costs_nothing(void **state)
{
	(void)state;
	assert_outside_is_survived(SIGKILL, 5, 60000);
}

static void a_sigterm_from_outside_costs_nothing(void **state)
{
	(void)state;
	assert_outside_is_survived(SIGTERM, 3, 60000);
}

static void a_sigstop_from_outside_costs_nothing(void **state)
{
	(void)state;
	assert_outside_is_survived(SIGSTOP, 2, LATE_MS);
}

/* --- At each step ------------------------------------------------------------------------------------------------ */

static void an_idle_worker_that_is_killed_is_replaced(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	ledger_new();
	databuffer *buf = start(&o);
	WAIT_FOR(ledger->starts == 1);
	for (unsigned i = 0; i < 5; i++) {
		int pid = the_worker(buf);
		WAIT_FOR(ledger->starts == i + 1);
		assert_int_equal(kill(pid, SIGKILL), 0);
		WAIT_FOR(info_of(buf, 0).worker_restarts == i + 1);
		WAIT_FOR(ledger->starts == i + 2);
	}
	insert_numbers(buf, 0, ITEMS);
	flush_all(buf);
	databuffer_stats_t stats = stats_of(buf);
	assert_int_equal(stats.flushed, ITEMS);
	assert_int_equal(stats.failures, 0);
	assert_int_equal(stats.worker_deaths, 0);
	assert_non_null(strstr(info_of(buf, 0).worker_death, "killed by SIGKILL"));
	stop_clean(buf);
	assert_flushed_but(ITEMS, NO_POISON);
	ledger_free();
	sink_free(sink);
}

/* A worker that is stopped is given a batch, and does not take it. The batch has killed nobody. */
static void a_batch_that_was_not_taken_is_not_blamed(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	ledger_new();
	o.kill_limit = 1;
	databuffer *buf = start(&o);
	insert_number(buf, 0);
	flush_all(buf); /* the worker is idle for certain now */
	for (unsigned i = 0; i < 5; i++) {
		int pid = the_worker(buf);
		assert_int_equal(kill(pid, SIGSTOP), 0);
		WAIT_FOR(process_state(pid) == 'T');
		insert_number(buf, i + 1);
		databuffer_flush(buf);
		WAIT_FOR(stats_of(buf).attempts == 2 * i + 2);
		WAIT_FOR(info_of(buf, 0).worker_pid == pid);
		assert_int_equal(kill(pid, SIGKILL), 0);
		flush_all(buf);
	}
	databuffer_stats_t stats = stats_of(buf);
	stop_clean(buf);
	assert_int_equal(stats.flushed, 6);
	assert_int_equal(stats.dead, 0);
	assert_int_equal(stats.worker_deaths, 5);
	assert_flushed_but(6, NO_POISON);
	ledger_free();
	sink_free(sink);
}

/* Writes all that is asked, and dies before it can say so. */
static int flush_and_die(databuffer_batch *batch, void *meta)
{
	int answer = worker_flush(batch, meta);
	if (ledger->mercies > 0)
		ledger->mercies--;
	else
		raise(SIGKILL);
	return answer;
}

struct ids {
	_Atomic uint64_t id[64];
	_Atomic unsigned count;
};

static struct ids *ids;

static int note_id_and_die_once(databuffer_batch *batch, void *meta)
{
	ids->id[ids->count++] = databuffer_batch_id(batch);
	int answer = worker_flush(batch, meta);
	if (databuffer_batch_attempt(batch) == 1)
		raise(SIGKILL);
	return answer;
}

static void success_that_was_not_said_is_flushed_again_under_the_same_id(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	ledger_new();
	ids = mmap(NULL, sizeof(*ids), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(ids != MAP_FAILED);
	o.handle_flush = note_id_and_die_once;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, ITEMS);
	flush_all(buf);
	databuffer_stats_t stats = stats_of(buf);
	stop_clean(buf);
	assert_int_equal(stats.flushed, ITEMS);
	assert_int_equal(stats.dead, 0);
	assert_int_equal(ids->count, 2 * ITEMS / 1000);
	for (unsigned i = 0; i < ids->count; i += 2) {
		assert_int_equal(ids->id[i], ids->id[i + 1]);
		for (unsigned k = 0; k < i; k++)
			assert_int_not_equal(ids->id[i], ids->id[k]);
	}
	for (uint64_t number = 0; number < ITEMS; number++)
		assert_int_equal(ledger->flushed[number], 2); /* at least once */
	munmap(ids, sizeof(*ids));
	ledger_free();
	sink_free(sink);
}

/* A timer of the worker's that ends it some time after its first batches: in the middle of one, just after it has
 * answered, while it waits. */
static int flush_under_a_timer(databuffer_batch *batch, void *meta)
{
	static bool armed;
	if (!armed) {
		uint64_t seed = (uint64_t)now_ns();
		struct itimerval soon = { .it_value.tv_usec = 1 + (long)dice_below(&seed, 2000) };
		armed = true;
		setitimer(ITIMER_REAL, &soon, NULL);
	}
	return worker_flush(batch, meta);
}

static void death_at_any_moment_loses_nothing(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	ledger_new();
	o.handle_flush = flush_under_a_timer;
	o.max_size = 10;
	o.kill_limit = 1000;
	o.max_restarts = 10000;
	o.flusher_count = 2;
	o.partitions = 2;
	databuffer *buf = start(&o);
	uint64_t n = scaled(20000);
	insert_numbers(buf, 0, n);
	flush_all(buf);
	databuffer_stats_t stats = stats_of(buf);
	uint64_t restarts = info_of(buf, 0).worker_restarts;
	stop_clean(buf);
	print_message("%" PRIu64 " workers died, %" PRIu64 " of them with a batch\n", restarts, stats.worker_deaths);
	assert_int_equal(stats.flushed, n);
	assert_int_equal(stats.dead, 0);
	assert_true(restarts > 0);
	assert_flushed_at_least_once(n);
	assert_nobody_is_left();
	ledger_free();
	sink_free(sink);
}

/* Every batch kills at every step, and every item ends dead: the account still balances. */
static void a_handler_that_never_survives_loses_no_item_unsaid(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	ledger_new();
	o.handle_flush = flush_and_die;
	o.max_size = 10;
	o.max_restarts = 10000;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, 30);
	flush_all(buf);
	databuffer_stats_t stats = stats_of(buf);
	stop_clean(buf);
	assert_int_equal(stats.dead, 30);
	assert_int_equal(stats.flushed, 0);
	assert_int_equal(sink->dead_count, 30);
	for (unsigned i = 0; i < 30; i++) {
		assert_int_equal(sink->dead[i].number, i);
		assert_string_equal(sink->dead[i].text, "killed by SIGKILL");
		assert_int_equal(sink->dead[i].status, DATABUFFER_EWORKER);
	}
	ledger_free();
	sink_free(sink);
}

/* --- The limit ------------------------------------------------------------------------------------------------------ */

static void kill_limit_says_how_often_a_batch_may_kill(void **state)
{
	(void)state;
	for (int64_t limit = 1; limit <= 4; limit++) {
		struct sink *sink = sink_new();
		databuffer_options o = worker_options(sink);
		ledger_new();
		ledger->poison = 0;
		ledger->harm = harm_by_abort;
		o.kill_limit = limit;
		databuffer *buf = start(&o);
		insert_number(buf, 0);
		flush_all(buf);
		databuffer_stats_t stats = stats_of(buf);
		stop_clean(buf);
		assert_int_equal(stats.worker_deaths, limit);
		assert_int_equal(sink->dead_count, 1);
		assert_int_equal(sink->dead[0].attempts, limit);
		assert_string_equal(sink->dead[0].text, "killed by SIGABRT");
		ledger_free();
		sink_free(sink);
	}
}

static void harm_once(databuffer_batch *batch)
{
	if (ledger->mercies++ == 0)
		harm_by_abort(batch);
}

static void what_kills_once_and_never_again_is_flushed_whole(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = worker_options(sink);
	ledger_new();
	ledger->poison = POISON;
	ledger->harm = harm_once;
	databuffer *buf = start(&o);
	insert_numbers(buf, 0, ITEMS);
	flush_all(buf);
	databuffer_stats_t stats = stats_of(buf);
	stop_clean(buf);
	assert_int_equal(stats.worker_deaths, 1);
	assert_int_equal(stats.attempts, ITEMS / 1000 + 1);
	assert_int_equal(stats.flushed, ITEMS);
	assert_flushed_but(ITEMS, NO_POISON);
	ledger_free();
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_null_dereference_costs_one_item),
		cmocka_unit_test(an_abort_costs_one_item),
		cmocka_unit_test(a_real_time_signal_costs_one_item),
		cmocka_unit_test(an_exit_costs_one_item),
		cmocka_unit_test(an_exit_with_status_0_is_no_success),
		cmocka_unit_test(a_stack_that_overflows_costs_one_item),
		cmocka_unit_test(memory_beyond_the_limit_costs_one_item),
		cmocka_unit_test(items_cannot_be_written_to),
		cmocka_unit_test(wild_writes_reach_nobody_else),
		cmocka_unit_test(a_worker_that_closes_its_descriptors_goes_on),
		cmocka_unit_test(an_endless_loop_costs_one_item),
		cmocka_unit_test(a_worker_that_is_stopped_is_late),
		cmocka_unit_test(flooding_standard_error_blocks_nobody),
		cmocka_unit_test(a_sigkill_from_outside_costs_nothing),
		cmocka_unit_test(a_sigterm_from_outside_costs_nothing),
		cmocka_unit_test(a_sigstop_from_outside_costs_nothing),
		cmocka_unit_test(an_idle_worker_that_is_killed_is_replaced),
		cmocka_unit_test(a_batch_that_was_not_taken_is_not_blamed),
		cmocka_unit_test(success_that_was_not_said_is_flushed_again_under_the_same_id),
		cmocka_unit_test(death_at_any_moment_loses_nothing),
		cmocka_unit_test(a_handler_that_never_survives_loses_no_item_unsaid),
		cmocka_unit_test(kill_limit_says_how_often_a_batch_may_kill),
		cmocka_unit_test(what_kills_once_and_never_again_is_flushed_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
