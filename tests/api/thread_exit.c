/* SPDX-License-Identifier: MIT */
/*
 * Threads that end, in every way a thread can: what they inserted arrives, what they had on lease goes back
 * to the others, and nothing of theirs stays behind.
 */
#include "api/support.h"

/* What the threads of a test share. */
struct group {
	databuffer *buf;
	_Atomic uint64_t next; /* the next number that nobody has inserted */
	_Atomic uint64_t accepted, waits;
	_Atomic bool ended;
};

static void insert_next(struct group *group, unsigned n)
{
	while (n-- > 0)
		insert_number(group->buf, atomic_fetch_add(&group->next, 1));
}

static void *insert_a_few(void *arg)
{
	struct group *group = arg;
	insert_next(group, 1 + (unsigned)(atomic_load(&group->next) % 5));
	return NULL;
}

static void run_threads(void *(*run)(void *), void *arg, unsigned n)
{
	pthread_t threads[16];
	for (unsigned done = 0; done < n; done += 16) {
		for (unsigned i = 0; i < 16; i++)
			threads[i] = thread_run(run, arg);
		for (unsigned i = 0; i < 16; i++)
			thread_join(threads[i]);
	}
}

/* --- Coming and going ------------------------------------------------------------------------- */

static void thousands_of_short_lived_threads_lose_nothing(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 4;
	o.max_size = 100;
	struct group group = { .buf = start(&o) };
	run_threads(insert_a_few, &group, (unsigned)scaled(8000));
	databuffer_stats_t s = stats_of(group.buf);
	assert_int_equal(s.inserted, atomic_load(&group.next));
	/* Of those that have ended none keeps a batch from being full. */
	assert_in_range(s.held, 0, 4 * (1 + 1) * 100);
	stop_clean(group.buf);
	assert_flushed_once(sink, 0, atomic_load(&group.next));
	for (size_t i = 0; i < sink->call_count; i++)
		assert_true(sink->calls[i].trigger == DATABUFFER_TRIGGER_STOP || sink->calls[i].size == 100);
	sink_free(sink);
}

static void *insert_three(void *arg)
{
	insert_next(arg, 3);
	return NULL;
}

static void what_a_thread_had_on_lease_is_room_for_others_when_it_ends(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 10;
	struct group group = { .buf = start(&o) };
	for (uint64_t round = 1; round <= 20; round++) {
		thread_join(thread_run(insert_three, &group));
		insert_next(&group, 7);
		/* Full, and cut at once. */
		WAIT_FOR(sink_flushed(sink) == 10 * round);
	}
	stop_clean(group.buf);
	assert_flushed(sink, 0, 200);
	for (size_t i = 0; i < sink->call_count; i++) {
		assert_int_equal(sink->calls[i].size, 10);
		assert_int_equal(sink->calls[i].trigger, DATABUFFER_TRIGGER_SIZE);
	}
	sink_free(sink);
}

#define MANY_BUFFERS 100

static void *insert_into_all(void *arg)
{
	databuffer **bufs = arg;
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < MANY_BUFFERS; i++)
			if (bufs[i])
				insert_number(bufs[i], round);
	return NULL;
}

static void a_thread_may_end_that_has_inserted_into_a_hundred_buffers(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *bufs[MANY_BUFFERS];
	o.max_size = 4;
	for (unsigned i = 0; i < MANY_BUFFERS; i++)
		bufs[i] = start(&o);
	thread_join(thread_run(insert_into_all, bufs));
	assert_int_equal(sink_calls(sink), 0);
	for (unsigned i = 0; i < MANY_BUFFERS; i++) {
		insert_number(bufs[i], 3);
		WAIT_FOR(sink_calls(sink) == i + 1);
		stop_clean(bufs[i]);
	}
	for (unsigned i = 0; i < 4 * MANY_BUFFERS; i++)
		assert_int_equal(sink->flushed.at[i], i % 4);
	sink_free(sink);
}

static void *insert_until_refused(void *arg)
{
	struct group *group = arg;
	for (unsigned i = 0; i < 50; i++) {
		uint64_t number = i;
		int rc = databuffer_insert(group->buf, &number, sizeof(number));
		CHECK(rc == 0 || rc == DATABUFFER_ESTOPPED);
		if (rc != 0)
			break;
		atomic_fetch_add(&group->accepted, 1);
	}
	return NULL;
}

static void threads_may_end_while_their_buffer_stops(void **state)
{
	(void)state;
	uint64_t rounds = scaled(400), accepted = 0;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 2;
	for (uint64_t round = 0; round < rounds; round++) {
		struct group group = { .buf = start(&o) };
		pthread_t threads[4];
		for (unsigned i = 0; i < 4; i++)
			threads[i] = thread_run(insert_until_refused, &group);
		stop_clean(group.buf);
		for (unsigned i = 0; i < 4; i++)
			thread_join(threads[i]);
		accepted += atomic_load(&group.accepted);
	}
	assert_int_equal(sink_flushed(sink), accepted);
	sink_free(sink);
}

/* --- Memory ----------------------------------------------------------------------------------- */

/* Under a sanitizer memory that is freed stays for a while, and it finds what is lost by itself. */
#define MEMORY_TELLS (SLOWNESS == 1)

static void *insert_one(void *arg)
{
	insert_next(arg, 1);
	return NULL;
}

static void threads_that_have_ended_take_no_memory(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 64; /* so that there is much to leave behind: 64 lanes a thread */
	struct group group = { .buf = start(&o) };
	run_threads(insert_one, &group, 512);
	long before = proc_status("VmRSS");
	run_threads(insert_one, &group, (unsigned)scaled(4096));
	long grown = proc_status("VmRSS") - before;
	stop_clean(group.buf);
	if (MEMORY_TELLS)
		assert_true(grown < 4096); /* KiB; a thread's lanes alone would be 8 */
	sink_free(sink);
}

static void a_thread_keeps_nothing_of_buffers_that_are_gone(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 64;
	o.max_size = 10;
	o.max_bytes = 100;
	long before = 0;
	for (uint64_t i = 0, n = scaled(4096); i < n; i++) {
		databuffer *buf = start(&o);
		insert_number(buf, i);
		stop_clean(buf);
		if (i == 512)
			before = proc_status("VmRSS");
	}
	if (MEMORY_TELLS)
		assert_true(proc_status("VmRSS") - before < 4096);
	assert_flushed(sink, 0, scaled(4096));
	sink_free(sink);
}

/* --- Destructors of keys ---------------------------------------------------------------------- */

/* A thread's own data, which says goodbye when the thread ends, more than once. */
struct goodbye {
	struct group *group;
	pthread_key_t key;
	unsigned times;
};

static void say_goodbye(void *arg)
{
	struct goodbye *goodbye = arg;
	insert_next(goodbye->group, 2);
	if (--goodbye->times > 0)
		CHECK(pthread_setspecific(goodbye->key, goodbye) == 0);
	else
		free(goodbye);
}

struct goodbyes {
	struct group group;
	pthread_key_t keys[2];
	unsigned times;
	bool inserts_before;
};

static void *end_with_goodbyes(void *arg)
{
	struct goodbyes *goodbyes = arg;
	for (unsigned i = 0; i < 2; i++) {
		struct goodbye *goodbye = malloc(sizeof(*goodbye));
		CHECK(goodbye);
		*goodbye = (struct goodbye){ &goodbyes->group, goodbyes->keys[i], goodbyes->times };
		CHECK(pthread_setspecific(goodbyes->keys[i], goodbye) == 0);
	}
	if (goodbyes->inserts_before)
		insert_next(&goodbyes->group, 1);
	return NULL;
}

/* The first key is made before the library's and the second after it: destructors run in that order. */
static pthread_key_t early_key;

/* Destructors run in four rounds; a sanitizer has the last one, or two, for itself. */
#define MOST_GOODBYES (UNDER_TSAN ? 2 : SLOWNESS > 1 ? 3 : 4)

static void inserts_of_destructors_of_keys_arrive(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 2;
	o.max_size = 10;
	struct goodbyes goodbyes = { .group.buf = start(&o), .keys = { early_key } };
	insert_next(&goodbyes.group, 1);
	CHECK(pthread_key_create(&goodbyes.keys[1], say_goodbye) == 0);
	uint64_t expected = 1;
	for (unsigned round = 0; round < 60; round++) {
		goodbyes.times = 1 + round % MOST_GOODBYES;
		goodbyes.inserts_before = round % 2;
		thread_join(thread_run(end_with_goodbyes, &goodbyes));
		expected += 2 * 2 * goodbyes.times + goodbyes.inserts_before;
		assert_int_equal(stats_of(goodbyes.group.buf).inserted, expected);
	}
	flush_all(goodbyes.group.buf);
	assert_flushed_once(sink, 0, expected);
	/* None of them has kept a lease: there is room for whole batches. */
	for (unsigned i = 0; i < 2 * 10; i++)
		insert_next(&goodbyes.group, 1);
	WAIT_FOR(sink_flushed(sink) == expected + 2 * 10);
	stop_clean(goodbyes.group.buf);
	pthread_key_delete(goodbyes.keys[1]);
	sink_free(sink);
}

/* Also those of the last round, after which nobody cleans up. */
static void destructors_that_insert_take_no_memory(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 64;
	struct goodbyes goodbyes = { .group.buf = start(&o), .keys = { early_key }, .times = MOST_GOODBYES };
	CHECK(pthread_key_create(&goodbyes.keys[1], say_goodbye) == 0);
	long before = 0;
	for (uint64_t i = 0, n = scaled(2048); i < n; i++) {
		thread_join(thread_run(end_with_goodbyes, &goodbyes));
		if (i == n / 8)
			before = proc_status("VmRSS");
	}
	if (MEMORY_TELLS)
		assert_true(proc_status("VmRSS") - before < 4096); /* KiB; 8 a thread would be 14336 */
	stop_clean(goodbyes.group.buf);
	assert_int_equal(sink_flushed(sink), atomic_load(&goodbyes.group.next));
	pthread_key_delete(goodbyes.keys[1]);
	sink_free(sink);
}

static void reserve_and_commit_at_the_end(void *arg)
{
	struct goodbye *goodbye = arg;
	databuffer_slot slots[2];
	for (unsigned i = 0; i < 2; i++)
		CHECK(databuffer_reserve(goodbye->group->buf, 8, &slots[i]) == 0);
	memcpy(slots[0].data, &(uint64_t){ atomic_fetch_add(&goodbye->group->next, 1) }, 8);
	insert_next(goodbye->group, 1);
	CHECK(databuffer_commit(&slots[0]) == 0);
	CHECK(databuffer_abort(&slots[1]) == 0);
	if (--goodbye->times > 0)
		CHECK(pthread_setspecific(goodbye->key, goodbye) == 0);
	else
		free(goodbye);
}

static void slots_of_destructors_are_kept_until_they_are_committed(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	struct goodbyes goodbyes = { .group.buf = start(&o), .times = MOST_GOODBYES };
	for (unsigned i = 0; i < 2; i++)
		CHECK(pthread_key_create(&goodbyes.keys[i], reserve_and_commit_at_the_end) == 0);
	for (unsigned i = 0; i < 40; i++)
		thread_join(thread_run(end_with_goodbyes, &goodbyes));
	assert_int_equal(stats_of(goodbyes.group.buf).inserted, 40 * 2 * 2 * MOST_GOODBYES);
	stop_clean(goodbyes.group.buf);
	assert_flushed_once(sink, 0, 40 * 2 * 2 * MOST_GOODBYES);
	for (unsigned i = 0; i < 2; i++)
		pthread_key_delete(goodbyes.keys[i]);
	sink_free(sink);
}

/* --- Cancelled threads ------------------------------------------------------------------------ */

static void *insert_until_cancelled(void *arg)
{
	struct group *group = arg;
	for (;;) {
		insert_number(group->buf, atomic_fetch_add(&group->next, 1));
		atomic_fetch_add(&group->accepted, 1);
		pthread_testcancel();
	}
	return NULL;
}

static void cancelled_threads_lose_nothing_and_hold_up_nobody(void **state)
{
	(void)state;
	uint64_t seed = test_seed();
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.partitions = 3;
	o.max_size = 50;
	o.timeout = PATIENCE_MS;
	struct group group = { .buf = start(&o) };
	for (uint64_t round = 0, rounds = scaled(100); round < rounds; round++) {
		pthread_t threads[4];
		for (unsigned i = 0; i < 4; i++)
			threads[i] = thread_run(insert_until_cancelled, &group);
		uint64_t enough = atomic_load(&group.accepted) + dice_below(&seed, 1000);
		WAIT_FOR(atomic_load(&group.accepted) > enough);
		for (unsigned i = 0; i < 4; i++) {
			void *result;
			CHECK(pthread_cancel(threads[i]) == 0);
			CHECK(pthread_join(threads[i], &result) == 0);
			CHECK(result == PTHREAD_CANCELED);
		}
	}
	assert_int_equal(stats_of(group.buf).inserted, atomic_load(&group.accepted));
	stop_clean(group.buf);
	assert_flushed_once(sink, 0, atomic_load(&group.accepted));
	sink_free(sink);
}

static void *wait_and_be_cancelled(void *arg)
{
	struct group *group = arg;
	uint64_t number = 8;
	CHECK(databuffer_insert_timed(group->buf, &number, 8, PATIENCE_MS) == 0);
	atomic_fetch_add(&group->accepted, 1);
	pthread_testcancel();
	return NULL;
}

static void *sync_and_be_cancelled(void *arg)
{
	struct group *group = arg;
	atomic_fetch_add(&group->waits, 1);
	CHECK(databuffer_sync_flush(group->buf, NULL, 0, PATIENCE_MS) == 0);
	pthread_testcancel();
	return NULL;
}

static void a_thread_that_is_cancelled_while_it_waits_leaves_the_buffer_whole(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 4;
	struct group group = { .buf = start(&o) };
	sink_close(sink);
	insert_numbers(group.buf, 0, 8);
	WAIT_FOR(sink_inside(sink) == 1);
	pthread_t waiters[2];
	waiters[0] = thread_run(wait_and_be_cancelled, &group);
	waiters[1] = thread_run(sync_and_be_cancelled, &group);
	WAIT_FOR(stats_of(group.buf).waits == 1 && atomic_load(&group.waits) == 1);
	for (unsigned i = 0; i < 2; i++)
		CHECK(pthread_cancel(waiters[i]) == 0);
	sink_open(sink);
	for (unsigned i = 0; i < 2; i++) {
		void *result;
		CHECK(pthread_join(waiters[i], &result) == 0);
		CHECK(result == PTHREAD_CANCELED);
	}
	uint64_t inserted = 8 + atomic_load(&group.accepted);
	assert_int_equal(stats_of(group.buf).inserted, inserted);
	flush_all(group.buf);
	assert_flushed(sink, 0, inserted);
	stop_clean(group.buf);
	sink_free(sink);
}

/* --- Where a thread can be cancelled: in none of the calls ------------------------------------------ */

/* A handler of the program's that runs inside of a call and is itself a point of cancellation. */
struct meeting {
	struct group *group;
	_Atomic int stage; /* 1: a handler runs, 2: the thread has been cancelled */
	_Atomic bool over;
	databuffer_slot slot;
};

static struct meeting meeting;

static void meet(void)
{
	int stage = 0;
	if (!atomic_compare_exchange_strong(&meeting.stage, &stage, 1))
		return;
	while (atomic_load(&meeting.stage) == 1)
		pause_ms(1); /* nanosleep is a point of cancellation, as are most handlers' writes */
	pthread_testcancel();
}

static void meet_event(const databuffer_event *event, void *ctx)
{
	(void)event, (void)ctx;
	meet();
}

static void meet_drop(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	sink_drop(item, reason, meta);
	meet();
}

static void meet_pressure(int high, size_t bytes, void *meta)
{
	(void)high, (void)bytes, (void)meta;
	meet();
}

static void meet_log(databuffer_log_level level, const char *line, void *meta)
{
	(void)level, (void)line, (void)meta;
	meet();
}

static int meet_visitor(const databuffer_item *item, unsigned partition, void *ctx)
{
	(void)item, (void)partition, (void)ctx;
	meet();
	return 0;
}

static void call_insert(databuffer *buf)
{
	insert_number(buf, 1000);
}

static void call_commit(databuffer *buf)
{
	(void)buf;
	CHECK(databuffer_commit(&meeting.slot) == 0);
}

static void call_dump(databuffer *buf)
{
	CHECK(databuffer_dump(buf, meet_visitor, NULL) == 0);
}

static void call_reserve_and_commit(databuffer *buf)
{
	CHECK(databuffer_reserve(buf, 8, &meeting.slot) == 0);
	memcpy(meeting.slot.data, &(uint64_t){ 1000 }, 8);
	call_commit(buf);
}

static void (*meeting_call)(databuffer *buf);

static void *call_and_be_cancelled(void *arg)
{
	struct group *group = arg;
	meeting_call(group->buf);
	atomic_store(&meeting.over, true);
	pthread_testcancel();
	return NULL;
}

/* The call comes to its end, and then the thread. */
static void expect_a_whole_call(struct group *group, void (*call)(databuffer *buf))
{
	void *result;
	meeting = (struct meeting){ .group = group };
	meeting_call = call;
	pthread_t thread = thread_run(call_and_be_cancelled, group);
	WAIT_FOR(atomic_load(&meeting.stage) == 1);
	CHECK(pthread_cancel(thread) == 0);
	atomic_store(&meeting.stage, 2);
	CHECK(pthread_join(thread, &result) == 0);
	CHECK(result == PTHREAD_CANCELED);
	CHECK(atomic_load(&meeting.over));
	check(group->buf);
}

static void no_call_is_a_point_of_cancellation_whatever_handler_it_runs(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 4;
	o.overflow = DATABUFFER_OVERFLOW_DROP_OLDEST;
	o.handle_drop = meet_drop;
	o.handle_pressure = meet_pressure;
	o.pressure_high = 40;
	struct group group = { .buf = start(&o) };
	sink_close(sink);
	insert_numbers(group.buf, 0, 4);
	WAIT_FOR(sink_inside(sink) == 1);
	expect_a_whole_call(&group, call_insert); /* handle_pressure */
	assert_int_equal(databuffer_pressure(group.buf), 1);
	insert_numbers(group.buf, 4, 7);
	expect_a_whole_call(&group, call_insert); /* handle_drop */
	expect_a_whole_call(&group, call_reserve_and_commit);
	expect_a_whole_call(&group, call_dump);
	CHECK(databuffer_telemetry_attach("meets", DATABUFFER_INSERT_STOP, meet_event, NULL) == 0);
	expect_a_whole_call(&group, call_insert);
	expect_a_whole_call(&group, call_reserve_and_commit);
	CHECK(databuffer_telemetry_detach("meets") == 0);
	databuffer_stats_t s = stats_of(group.buf);
	assert_int_equal(s.inserted, 4 + 1 + 3 + 1 + 1 + 2);
	assert_int_equal(s.dropped, sink_dropped(sink));
	sink_open(sink);
	stop_clean(group.buf);
	sink_free(sink);
}

static void start_what_is_there(databuffer *buf)
{
	databuffer *other = buf;
	databuffer_options o = databuffer_options_init();
	o.name = "once";
	o.handle_flush = sink_flush;
	o.handle_log = meet_log;
	CHECK(databuffer_start(&other, &o) == DATABUFFER_EEXIST);
	CHECK(other == buf);
}

static void a_start_that_is_refused_is_none_either(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.name = "once";
	struct group group = { .buf = start(&o) };
	expect_a_whole_call(&group, start_what_is_there);
	stop_clean(group.buf);
	sink_free(sink);
}

static void *insert_and_stay(void *arg)
{
	struct group *group = arg;
	insert_number(group->buf, 0);
	return NULL;
}

static void *detach_and_be_cancelled(void *arg)
{
	(void)arg;
	CHECK(databuffer_telemetry_detach("stays") == 0);
	atomic_store(&meeting.over, true);
	pthread_testcancel();
	return NULL;
}

static void a_detach_that_waits_is_none_either(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	struct group group = { .buf = start(&o) };
	void *result;
	meeting = (struct meeting){ .group = &group };
	CHECK(databuffer_telemetry_attach("stays", DATABUFFER_INSERT_START, meet_event, NULL) == 0);
	pthread_t stays = thread_run(insert_and_stay, &group);
	WAIT_FOR(atomic_load(&meeting.stage) == 1);
	pthread_t waits = thread_run(detach_and_be_cancelled, NULL);
	/* From when its id is free it waits for the handler. */
	WAIT_FOR(databuffer_telemetry_attach("stays", DATABUFFER_FLUSH_STUCK, meet_event, NULL) == 0);
	CHECK(pthread_cancel(waits) == 0);
	assert_false(atomic_load(&meeting.over));
	atomic_store(&meeting.stage, 2);
	CHECK(pthread_join(waits, &result) == 0);
	CHECK(result == PTHREAD_CANCELED);
	CHECK(atomic_load(&meeting.over));
	thread_join(stays);
	CHECK(databuffer_telemetry_detach("stays") == 0);
	stop_clean(group.buf);
	sink_free(sink);
}

static void *reserve_and_be_cancelled(void *arg)
{
	struct group *group = arg;
	databuffer_slot slots[3];
	for (unsigned i = 0; i < 3; i++)
		CHECK(databuffer_reserve(group->buf, 8, &slots[i]) == 0);
	memcpy(slots[0].data, &(uint64_t){ 99 }, 8);
	atomic_fetch_add(&group->accepted, 1);
	for (;; sched_yield())
		pthread_testcancel(); /* here, and not in a call of the system's, where the sanitizer loses track */
	return NULL;
}

/* Neither the batch that they were in waits for its slots, nor the next, nor the memory of either. */
static void a_thread_cancelled_between_reserve_and_commit_gives_its_slots_back(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 8;
	o.timeout = PATIENCE_MS;
	struct group group = { .buf = start(&o) };
	uint64_t next = 0;
	for (unsigned cut_first = 0; cut_first <= 1; cut_first++) {
		for (unsigned round = 0; round < 50; round++) {
			void *result;
			atomic_store(&group.accepted, 0);
			insert_numbers(group.buf, next, next + 2);
			pthread_t thread = thread_run(reserve_and_be_cancelled, &group);
			WAIT_FOR(atomic_load(&group.accepted) == 1);
			if (cut_first)
				flush_all(group.buf); /* without the slots, which pin its memory */
			CHECK(pthread_cancel(thread) == 0);
			CHECK(pthread_join(thread, &result) == 0);
			CHECK(result == PTHREAD_CANCELED);
			insert_numbers(group.buf, next + 2, next + 8);
			next += 8;
			if (!cut_first)
				WAIT_FOR(sink_flushed(sink) == next); /* a full batch */
			flush_all(group.buf);
		}
	}
	stop_clean(group.buf);
	assert_flushed(sink, 0, next);
	sink_free(sink);
}

int main(void)
{
	CHECK(pthread_key_create(&early_key, say_goodbye) == 0);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thousands_of_short_lived_threads_lose_nothing),
		cmocka_unit_test(what_a_thread_had_on_lease_is_room_for_others_when_it_ends),
		cmocka_unit_test(a_thread_may_end_that_has_inserted_into_a_hundred_buffers),
		cmocka_unit_test(threads_may_end_while_their_buffer_stops),
		cmocka_unit_test(threads_that_have_ended_take_no_memory),
		cmocka_unit_test(a_thread_keeps_nothing_of_buffers_that_are_gone),
		cmocka_unit_test(inserts_of_destructors_of_keys_arrive),
		cmocka_unit_test(destructors_that_insert_take_no_memory),
		cmocka_unit_test(slots_of_destructors_are_kept_until_they_are_committed),
		cmocka_unit_test(cancelled_threads_lose_nothing_and_hold_up_nobody),
		cmocka_unit_test(a_thread_that_is_cancelled_while_it_waits_leaves_the_buffer_whole),
		cmocka_unit_test(no_call_is_a_point_of_cancellation_whatever_handler_it_runs),
		cmocka_unit_test(a_start_that_is_refused_is_none_either),
		cmocka_unit_test(a_detach_that_waits_is_none_either),
		cmocka_unit_test(a_thread_cancelled_between_reserve_and_commit_gives_its_slots_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
