/* SPDX-License-Identifier: MIT */
/* Telemetry of real buffers: which events there are of what, what is in them, who hears them, until when. */
#include "api/support.h"

#define INSERT_EVENTS (DATABUFFER_INSERT_START | DATABUFFER_INSERT_STOP | DATABUFFER_INSERT_EXCEPTION)
#define FLUSH_EVENTS (DATABUFFER_FLUSH_START | DATABUFFER_FLUSH_STOP | DATABUFFER_FLUSH_EXCEPTION)

/* A handler that keeps what it hears of one buffer, or, without a name, of all. */
struct ear {
	pthread_mutex_t lock;
	const char *name;
	databuffer_event *events;
	pthread_t *threads;
	char (*names)[16];
	size_t count, room;
};

static void hear(const databuffer_event *event, void *ctx)
{
	struct ear *ear = ctx;
	CHECK(event->buffer);
	if (ear->name && strcmp(event->buffer, ear->name) != 0)
		return;
	pthread_mutex_lock(&ear->lock);
	if (ear->count == ear->room) {
		ear->room = ear->room ? 2 * ear->room : 64;
		ear->events = realloc(ear->events, ear->room * sizeof(*ear->events));
		ear->threads = realloc(ear->threads, ear->room * sizeof(*ear->threads));
		ear->names = realloc(ear->names, ear->room * sizeof(*ear->names));
		CHECK(ear->events && ear->threads && ear->names);
	}
	ear->events[ear->count] = *event;
	ear->threads[ear->count] = pthread_self();
	snprintf(ear->names[ear->count], sizeof(*ear->names), "%s", event->buffer);
	ear->count++;
	pthread_mutex_unlock(&ear->lock);
}

static size_t ear_count(struct ear *ear)
{
	pthread_mutex_lock(&ear->lock);
	size_t count = ear->count;
	pthread_mutex_unlock(&ear->lock);
	return count;
}

/* With no thread at it any more. */
static size_t ear_count_of(const struct ear *ear, databuffer_event_kind kind)
{
	size_t count = 0;
	for (size_t i = 0; i < ear->count; i++)
		count += ear->events[i].kind == kind;
	return count;
}

static void ear_free(struct ear *ear)
{
	free(ear->events);
	free(ear->threads);
	free(ear->names);
}

#define EAR(of) { .lock = PTHREAD_MUTEX_INITIALIZER, .name = (of) }

static void listen(struct ear *ear, unsigned events)
{
	assert_int_equal(databuffer_telemetry_attach("ear", events, hear, ear), 0);
}

static void stop_listening(void)
{
	assert_int_equal(databuffer_telemetry_detach("ear"), 0);
}

static int64_t system_time_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* --- Inserts -------------------------------------------------------------------------------------------- */

/* The last two events are of one insert on this thread that was accepted. */
static void assert_inserted(struct ear *ear, size_t calls, size_t size, size_t bytes, int64_t since_ns)
{
	assert_int_equal(ear->count, 2 * calls);
	databuffer_event *begin = &ear->events[2 * calls - 2], *end = begin + 1;
	assert_int_equal(begin->kind, DATABUFFER_INSERT_START);
	assert_int_equal(end->kind, DATABUFFER_INSERT_STOP);
	assert_true(begin->duration_ns == 0);
	assert_true(end->duration_ns >= 0 && end->duration_ns <= system_time_ns() - since_ns + 1000000000);
	for (int i = 0; i < 2; i++) {
		assert_string_equal(ear->names[2 * calls - 2 + i], "heard");
		assert_true(pthread_equal(ear->threads[2 * calls - 2 + i], pthread_self()));
		assert_int_equal(begin[i].size, size);
		assert_int_equal(begin[i].bytes, bytes);
		assert_int_equal(begin[i].status, 0);
		assert_int_equal(begin[i].partition, 0);
		assert_in_range(begin[i].system_time_ns, since_ns, system_time_ns());
	}
}

static void every_insert_begins_and_stops(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ear ear = EAR("heard");
	databuffer_options o = sink_options(sink);
	o.name = "heard";
	databuffer *buf = start(&o);
	uint64_t numbers[5] = { 0, 1, 2, 3, 4 };
	databuffer_item items[3] = { { "a", 1 }, { "bcd", 3 }, { NULL, 0 } };
	insert_number(buf, 0); /* not heard */
	listen(&ear, INSERT_EVENTS);
	int64_t since = system_time_ns();
	size_t calls = 0;
	for (int round = 0; round < 3; round++) {
		insert_number(buf, 1);
		assert_inserted(&ear, ++calls, 1, 8, since);
		assert_int_equal(databuffer_insert_timed(buf, "0123456789", 10, 0), 0);
		assert_inserted(&ear, ++calls, 1, 10, since);
		assert_int_equal(databuffer_insert(buf, NULL, 0), 0);
		assert_inserted(&ear, ++calls, 1, 0, since);
		assert_int_equal(databuffer_insert_keyed(buf, 7, "0123", 4), 0);
		assert_inserted(&ear, ++calls, 1, 4, since);
		assert_int_equal(databuffer_insert_array(buf, numbers, 5, 8), 0);
		assert_inserted(&ear, ++calls, 5, 40, since);
		assert_int_equal(databuffer_insert_batch(buf, items, 3), 0);
		assert_inserted(&ear, ++calls, 3, 4, since);
	}
	stop_listening();
	insert_number(buf, 2); /* nor is this */
	assert_int_equal(ear.count, 2 * calls);
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 2 + 3 * 12);
	ear_free(&ear);
	sink_free(sink);
}

static void a_reserved_item_is_heard_of_when_it_is_committed(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ear ear = EAR("heard");
	databuffer_options o = sink_options(sink);
	o.name = "heard";
	databuffer *buf = start(&o);
	listen(&ear, INSERT_EVENTS);
	int64_t since = system_time_ns();
	databuffer_slot slot, other;
	assert_int_equal(databuffer_reserve(buf, 12, &slot), 0);
	assert_int_equal(databuffer_reserve(buf, 12, &other), 0);
	assert_int_equal(databuffer_abort(&other), 0);
	assert_int_equal(ear.count, 0);
	memset(slot.data, 0, 12);
	assert_int_equal(databuffer_commit(&slot), 0);
	assert_inserted(&ear, 1, 1, 12, since);
	/* Nor is it twice if its batch is cut meanwhile. */
	insert_number(buf, 0);
	assert_int_equal(databuffer_reserve(buf, 12, &slot), 0);
	databuffer_flush(buf);
	memset(slot.data, 0, 12);
	assert_int_equal(databuffer_commit(&slot), 0);
	assert_inserted(&ear, 3, 1, 12, since);
	stop_listening();
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 3);
	ear_free(&ear);
	sink_free(sink);
}

static void an_insert_tells_where_it_went(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ear ear = EAR("heard");
	databuffer_options o = sink_options(sink);
	o.name = "heard";
	o.partitions = 4;
	databuffer *buf = start(&o);
	listen(&ear, DATABUFFER_INSERT_STOP);
	size_t sizes[4] = { 0 };
	for (uint64_t i = 0; i < 100; i++) {
		if (i % 2 == 0)
			insert_number(buf, i);
		else
			assert_int_equal(databuffer_insert_keyed(buf, i, &i, 8), 0);
		assert_int_equal(ear.count, i + 1);
		unsigned partition = ear.events[i].partition;
		assert_true(partition < 4);
		assert_int_equal(info_of(buf, partition).size, ++sizes[partition]);
	}
	stop_listening();
	stop_clean(buf);
	ear_free(&ear);
	sink_free(sink);
}

static void an_insert_that_is_refused_is_an_exception(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ear ear = EAR("heard");
	databuffer_options o = sink_options(sink);
	o.name = "heard";
	o.max_size = 2;
	o.max_bytes = 1000;
	databuffer *buf = start(&o);
	uint64_t numbers[3] = { 7, 8, 9 };
	static const char large[1001];
	sink_close(sink);
	insert_numbers(buf, 0, 4);
	listen(&ear, INSERT_EVENTS);
	assert_int_equal(try_number(buf, 4), DATABUFFER_ETIMEDOUT);
	assert_int_equal(databuffer_insert_timed(buf, numbers, 8, 30), DATABUFFER_ETIMEDOUT);
	assert_int_equal(databuffer_insert_array_timed(buf, numbers, 3, 8, 30), DATABUFFER_ETIMEDOUT);
	assert_int_equal(databuffer_insert_keyed_timed(buf, 1, numbers, 8, 30), DATABUFFER_ETIMEDOUT);
	assert_int_equal(databuffer_insert(buf, large, sizeof(large)), DATABUFFER_EMSGSIZE);
	stop_listening();
	static const size_t sizes[] = { 1, 1, 3, 1, 1 }, bytes[] = { 8, 8, 24, 8, 1001 };
	static const int64_t least_ns[] = { 0, 30000000, 30000000, 30000000, 0 };
	assert_int_equal(ear.count, 10);
	for (size_t i = 0; i < 5; i++) {
		databuffer_event *begin = &ear.events[2 * i], *end = begin + 1;
		assert_int_equal(begin->kind, DATABUFFER_INSERT_START);
		assert_int_equal(begin->status, 0);
		assert_int_equal(end->kind, DATABUFFER_INSERT_EXCEPTION);
		assert_int_equal(end->status, i < 4 ? DATABUFFER_ETIMEDOUT : DATABUFFER_EMSGSIZE);
		assert_int_equal(end->size, sizes[i]);
		assert_int_equal(end->bytes, bytes[i]);
		assert_int_equal(end->partition, 0);
		assert_true(end->duration_ns >= least_ns[i]);
		assert_true(end->duration_ns <= least_ns[i] + INT64_C(10000000000));
	}
	sink_open(sink);
	stop_clean(buf);
	assert_flushed(sink, 0, 4);
	ear_free(&ear);
	sink_free(sink);
}

static void a_reserve_that_is_refused_is_an_exception(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ear ear = EAR("reserved");
	databuffer_options o = sink_options(sink);
	o.name = "reserved";
	o.max_size = 2;
	o.timeout = 30;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 4);
	databuffer_slot slot;
	listen(&ear, INSERT_EVENTS);
	assert_int_equal(databuffer_reserve(buf, 100, &slot), DATABUFFER_ETIMEDOUT);
	stop_listening();
	assert_int_equal(ear.count, 2);
	assert_int_equal(ear.events[0].kind, DATABUFFER_INSERT_START);
	assert_int_equal(ear.events[1].kind, DATABUFFER_INSERT_EXCEPTION);
	assert_int_equal(ear.events[1].status, DATABUFFER_ETIMEDOUT);
	assert_int_equal(ear.events[1].size, 1);
	assert_int_equal(ear.events[1].bytes, 100);
	assert_true(ear.events[1].duration_ns >= 30000000);
	sink_open(sink);
	stop_clean(buf);
	ear_free(&ear);
	sink_free(sink);
}

static void *insert_until_stopped(void *arg)
{
	CHECK(databuffer_insert_timed(arg, "waiting!", 8, 600000) == DATABUFFER_ESTOPPED);
	return NULL;
}

static void an_insert_that_a_stop_ends_is_an_exception(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ear ear = EAR("heard");
	databuffer_options o = sink_options(sink);
	o.name = "heard";
	o.max_size = 1;
	databuffer *buf = start(&o);
	sink_close(sink);
	insert_numbers(buf, 0, 2);
	listen(&ear, INSERT_EVENTS);
	pthread_t thread = thread_run(insert_until_stopped, buf);
	WAIT_FOR(stats_of(buf).waits == 1);
	assert_int_equal(databuffer_stop(buf, 0), 2);
	thread_join(thread);
	stop_listening();
	assert_int_equal(ear.count, 2);
	assert_int_equal(ear.events[1].kind, DATABUFFER_INSERT_EXCEPTION);
	assert_int_equal(ear.events[1].status, DATABUFFER_ESTOPPED);
	sink_open(sink);
	WAIT_FOR(sink_inside(sink) == 0);
	ear_free(&ear);
	sink_keep(sink);
}

/* --- Flushes -------------------------------------------------------------------------------------------- */

static int answer_in_turn(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	const int *answers = sink->ctx;
	(void)batch;
	pause_ms(10);
	return answers[call->attempt - 1];
}

static void every_call_of_a_handler_begins_and_ends(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ear ear = EAR("heard");
	int answers[] = { -EIO, DATABUFFER_RETRY, 77, 0 };
	databuffer_options o = sink_options(sink);
	sink->answer = answer_in_turn;
	sink->ctx = answers;
	o.name = "heard";
	o.retry_min = o.retry_max = 1;
	databuffer *buf = start(&o);
	listen(&ear, FLUSH_EVENTS);
	int64_t since = system_time_ns();
	insert_numbers(buf, 0, 6);
	flush_all(buf);
	stop_listening();
	assert_int_equal(ear.count, 8);
	for (size_t i = 0; i < 4; i++) {
		databuffer_event *begin = &ear.events[2 * i], *end = begin + 1;
		assert_int_equal(begin->kind, DATABUFFER_FLUSH_START);
		assert_int_equal(begin->status, 0);
		assert_true(begin->duration_ns == 0);
		assert_int_equal(end->kind, i < 3 ? DATABUFFER_FLUSH_EXCEPTION : DATABUFFER_FLUSH_STOP);
		assert_int_equal(end->status, answers[i]);
		assert_in_range(end->duration_ns, 10000000, system_time_ns() - since + 1000000000);
		for (int k = 0; k < 2; k++) {
			assert_string_equal(ear.names[2 * i + k], "heard");
			assert_int_equal(begin[k].size, 6);
			assert_int_equal(begin[k].bytes, 48);
			assert_int_equal(begin[k].partition, 0);
			assert_int_equal(begin[k].attempt, i + 1);
			assert_int_equal(begin[k].trigger, DATABUFFER_TRIGGER_FLUSH);
			assert_in_range(begin[k].system_time_ns, since, system_time_ns());
			/* On the thread of the handler, which is not this one. */
			assert_true(pthread_equal(ear.threads[2 * i + k], ear.threads[2 * i]));
			assert_false(pthread_equal(ear.threads[2 * i + k], pthread_self()));
		}
	}
	stop_clean(buf);
	ear_free(&ear);
	sink_free(sink);
}

static int reject_3_and_name_7(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	bool rejected = false;
	(void)sink;
	for (size_t i = 0; i < call->size; i++) {
		databuffer_item item = databuffer_batch_at(batch, i);
		rejected |= number_of(&item) == 3;
		if (number_of(&item) == 7 && call->size < 8)
			CHECK(databuffer_batch_fail(batch, i, "seven") == 0);
	}
	return rejected ? DATABUFFER_REJECT : 0;
}

static void the_pieces_of_a_rejected_batch_are_heard_of_as_they_are_given(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ear ear = EAR("heard");
	databuffer_options o = sink_options(sink);
	sink->answer = reject_3_and_name_7;
	o.name = "heard";
	databuffer *buf = start(&o);
	listen(&ear, FLUSH_EVENTS);
	insert_numbers(buf, 0, 8);
	flush_all(buf);
	stop_listening();
	assert_int_equal(sink_buried(sink), 2);
	assert_int_equal(ear.count, 2 * sink->call_count);
	for (size_t i = 0; i < sink->call_count; i++) {
		databuffer_event *begin = &ear.events[2 * i], *end = begin + 1;
		struct call *call = &sink->calls[i];
		assert_int_equal(begin->kind, DATABUFFER_FLUSH_START);
		assert_int_equal(end->kind,
		                 call->answer == 0 ? DATABUFFER_FLUSH_STOP : DATABUFFER_FLUSH_EXCEPTION);
		assert_int_equal(end->status, call->answer);
		for (int k = 0; k < 2; k++) {
			assert_int_equal(begin[k].size, call->size);
			assert_int_equal(begin[k].bytes, 8 * call->size);
			assert_int_equal(begin[k].attempt, call->attempt);
		}
	}
	stop_clean(buf);
	ear_free(&ear);
	sink_free(sink);
}

static void a_late_handler_is_an_exception_before_its_end(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ear ear = EAR("heard");
	databuffer_options o = sink_options(sink);
	o.name = "heard";
	o.partitions = 3;
	o.flush_timeout = 25;
	databuffer *buf = start(&o);
	listen(&ear, FLUSH_EVENTS);
	sink_close(sink);
	insert_numbers(buf, 0, 6);
	databuffer_flush(buf);
	WAIT_FOR(ear_count(&ear) == 6);
	sink_open(sink);
	stop_clean(buf);
	stop_listening();
	/* In each partition a start and an exception, and then a stop. The first two come from two threads: that of
	 * the handler may be slow to tell that it begins. */
	unsigned seen[3] = { 0 };
	assert_int_equal(ear.count, 9);
	for (size_t i = 0; i < 9; i++) {
		databuffer_event *event = &ear.events[i];
		assert_true(event->partition < 3);
		assert_int_equal(event->kind == DATABUFFER_FLUSH_STOP, i >= 6);
		assert_int_equal(seen[event->partition] & event->kind, 0);
		seen[event->partition] |= event->kind;
		assert_int_equal(event->size, 2);
		bool late = event->kind == DATABUFFER_FLUSH_EXCEPTION;
		assert_int_equal(event->status, late ? DATABUFFER_ETIMEDOUT : 0);
		assert_true(event->duration_ns >= (late ? 25000000 : 0));
	}
	ear_free(&ear);
	sink_free(sink);
}

/* --- Who hears what ------------------------------------------------------------------------------------- */

static int eio_once(struct sink *sink, databuffer_batch *batch, const struct call *call)
{
	(void)sink;
	(void)batch;
	return call->attempt == 1 ? -EIO : 0;
}

static void a_handler_hears_what_its_mask_says(void **state)
{
	(void)state;
	for (unsigned mask = 0; mask <= DATABUFFER_EVENTS_ALL; mask += mask < 8 ? 1 : 5) {
		if ((mask & ~(unsigned)DATABUFFER_EVENTS_ALL) != 0)
			continue; /* bits that are no event's */
		struct sink *sink = sink_new();
		struct ear ear = EAR("heard");
		databuffer_options o = sink_options(sink);
		sink->answer = eio_once;
		o.name = "heard";
		o.max_size = 2;
		o.retry_min = o.retry_max = 1;
		databuffer *buf = start(&o);
		listen(&ear, mask);
		sink_close(sink);
		insert_numbers(buf, 0, 4);
		assert_int_equal(try_number(buf, 4), DATABUFFER_ETIMEDOUT);
		sink_open(sink);
		stop_clean(buf);
		stop_listening();
		static const struct {
			databuffer_event_kind kind;
			size_t count;
		} all[] = {
			{ DATABUFFER_INSERT_START, 5 },     { DATABUFFER_INSERT_STOP, 4 },
			{ DATABUFFER_INSERT_EXCEPTION, 1 }, { DATABUFFER_FLUSH_START, 4 },
			{ DATABUFFER_FLUSH_STOP, 2 },       { DATABUFFER_FLUSH_EXCEPTION, 2 },
		};
		for (int i = 0; i < 6; i++)
			assert_int_equal(ear_count_of(&ear, all[i].kind),
			                 mask & all[i].kind ? all[i].count : 0);
		ear_free(&ear);
		sink_free(sink);
	}
}

static void several_handlers_hear_all_buffers(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ear all = EAR(NULL), one = EAR("one"), two = EAR("two");
	databuffer_options o = sink_options(sink);
	databuffer *nameless = start(&o);
	o.name = "one";
	databuffer *first = start(&o);
	o.name = "two";
	databuffer *second = start(&o);
	char id[] = "all";
	assert_int_equal(databuffer_telemetry_attach(id, INSERT_EVENTS, hear, &all), 0);
	memset(id, 'x', 3); /* it is copied */
	assert_int_equal(databuffer_telemetry_attach("one", DATABUFFER_INSERT_STOP, hear, &one), 0);
	assert_int_equal(databuffer_telemetry_attach("two", DATABUFFER_EVENTS_ALL, hear, &two), 0);
	insert_number(nameless, 0);
	insert_number(first, 1);
	insert_number(second, 2);
	assert_int_equal(databuffer_telemetry_detach("one"), 0);
	insert_number(first, 3);
	insert_number(second, 4);
	assert_int_equal(databuffer_telemetry_detach("all"), 0);
	insert_number(first, 5);
	insert_number(second, 6);
	assert_int_equal(databuffer_telemetry_detach("two"), 0);
	assert_int_equal(all.count, 10);
	assert_string_equal(all.names[0], "");
	assert_string_equal(all.names[2], "one");
	assert_string_equal(all.names[4], "two");
	assert_int_equal(one.count, 1);
	assert_int_equal(two.count, 6);
	stop_clean(nameless);
	stop_clean(first);
	stop_clean(second);
	ear_free(&all);
	ear_free(&one);
	ear_free(&two);
	sink_free(sink);
}

static void an_id_is_taken_until_it_is_detached(void **state)
{
	(void)state;
	struct ear ear = EAR(NULL);
	listen(&ear, DATABUFFER_EVENTS_ALL);
	assert_int_equal(databuffer_telemetry_attach("ear", 1, hear, &ear), DATABUFFER_EEXIST);
	assert_int_equal(databuffer_telemetry_attach("ears", 1, hear, &ear), 0);
	assert_int_equal(databuffer_telemetry_detach("ea"), DATABUFFER_ENOENT);
	stop_listening();
	assert_int_equal(databuffer_telemetry_detach("ear"), DATABUFFER_ENOENT);
	listen(&ear, 1);
	stop_listening();
	assert_int_equal(databuffer_telemetry_detach("ears"), 0);
}

static void what_can_be_no_handler_is_refused(void **state)
{
	(void)state;
	struct ear ear = EAR(NULL);
	assert_int_equal(databuffer_telemetry_attach(NULL, 1, hear, &ear), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_telemetry_attach("ear", 1, NULL, &ear), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_telemetry_attach("ear", DATABUFFER_EVENTS_ALL + 1, hear, &ear),
	                 DATABUFFER_EINVAL);
	assert_int_equal(databuffer_telemetry_attach("ear", DATABUFFER_EVENTS_ALL + 2, hear, &ear), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_telemetry_attach("ear", UINT32_MAX, hear, &ear), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_telemetry_detach(NULL), DATABUFFER_ENOENT);
	assert_int_equal(databuffer_telemetry_detach("ear"), DATABUFFER_ENOENT);
}

/* --- The end of hearing --------------------------------------------------------------------------------- */

struct gate {
	_Atomic bool inside, open, detached;
	_Atomic unsigned calls;
};

static void hear_slowly(const databuffer_event *event, void *ctx)
{
	struct gate *gate = ctx;
	(void)event;
	CHECK(!gate->detached);
	gate->calls++;
	gate->inside = true;
	while (!gate->open)
		pause_ms(1);
	CHECK(!gate->detached); /* as long as it runs */
}

static void *insert_one(void *arg)
{
	insert_number(arg, 1);
	return NULL;
}

static void *detach_slow(void *arg)
{
	struct gate *gate = arg;
	CHECK(databuffer_telemetry_detach("slow") == 0);
	gate->detached = true;
	return NULL;
}

static void detach_waits_for_the_handler_to_return(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct gate gate = { 0 };
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	assert_int_equal(databuffer_telemetry_attach("slow", DATABUFFER_INSERT_START, hear_slowly, &gate), 0);
	pthread_t inserting = thread_run(insert_one, buf);
	WAIT_FOR(gate.inside);
	pthread_t detaching = thread_run(detach_slow, &gate);
	/* It is in vain to attach the name anew only once the detach is on its way. */
	struct ear ear = EAR(NULL);
	WAIT_FOR(databuffer_telemetry_attach("slow", DATABUFFER_FLUSH_START, hear, &ear) == 0);
	insert_number(buf, 2); /* heard no more */
	assert_int_equal(gate.calls, 1);
	assert_false(gate.detached);
	gate.open = true;
	thread_join(inserting);
	thread_join(detaching);
	assert_int_equal(databuffer_telemetry_detach("slow"), 0);
	stop_clean(buf);
	sink_free(sink);
}

static _Atomic unsigned own_calls;

static void detach_oneself(const databuffer_event *event, void *ctx)
{
	(void)event;
	(void)ctx;
	own_calls++;
	CHECK(databuffer_telemetry_detach("own") == 0);
}

static void a_handler_may_detach_itself(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = start(&o);
	for (unsigned i = 1; i <= 10; i++) {
		int rc = databuffer_telemetry_attach("own", DATABUFFER_EVENTS_ALL, detach_oneself, NULL);
		assert_int_equal(rc, 0);
		insert_numbers(buf, 0, 5);
		assert_int_equal(own_calls, i);
	}
	stop_clean(buf);
	assert_int_equal(own_calls, 10);
	sink_free(sink);
}

/* --- Beside each other ---------------------------------------------------------------------------------- */

struct producer {
	databuffer *buf;
	uint64_t n;
	_Atomic bool done;
};

static void *produce(void *arg)
{
	struct producer *producer = arg;
	for (uint64_t i = 0; i < producer->n; i++)
		CHECK(databuffer_insert_timed(producer->buf, &i, 8, PATIENCE_MS) == 0);
	producer->done = true;
	return NULL;
}

static void of_everything_that_begins_the_end_is_heard(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct ear ear = EAR("heard");
	databuffer_options o = sink_options(sink);
	o.name = "heard";
	o.partitions = 2;
	o.max_size = 64;
	databuffer *buf = start(&o);
	listen(&ear, DATABUFFER_EVENTS_ALL);
	struct producer producers[3];
	pthread_t threads[3];
	uint64_t n = scaled(20000), inserted = 0, flushed = 0;
	for (int i = 0; i < 3; i++) {
		producers[i] = (struct producer){ .buf = buf, .n = n };
		threads[i] = thread_run(produce, &producers[i]);
	}
	for (int i = 0; i < 3; i++)
		thread_join(threads[i]);
	stop_clean(buf);
	stop_listening();
	assert_int_equal(ear_count_of(&ear, DATABUFFER_INSERT_START), 3 * n);
	assert_int_equal(ear_count_of(&ear, DATABUFFER_INSERT_STOP), 3 * n);
	assert_int_equal(ear_count_of(&ear, DATABUFFER_FLUSH_START), sink->call_count);
	assert_int_equal(ear_count_of(&ear, DATABUFFER_FLUSH_STOP), sink->call_count);
	for (size_t i = 0; i < ear.count; i++) {
		databuffer_event *event = &ear.events[i];
		assert_true(event->partition < 2);
		assert_int_equal(event->bytes, 8 * event->size);
		inserted += event->kind == DATABUFFER_INSERT_STOP ? event->size : 0;
		flushed += event->kind == DATABUFFER_FLUSH_STOP ? event->size : 0;
	}
	assert_int_equal(inserted, 3 * n);
	assert_int_equal(flushed, 3 * n);
	ear_free(&ear);
	sink_free(sink);
}

static void count_up(const databuffer_event *event, void *ctx)
{
	(void)event;
	atomic_fetch_add((_Atomic unsigned *)ctx, 1);
}

static void handlers_come_and_go_beside_inserts(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.max_size = 64;
	databuffer *buf = start(&o);
	struct producer producers[2];
	pthread_t threads[2];
	uint64_t n = scaled(300000), sum = 0;
	for (int k = 0; k < 2; k++) {
		producers[k] = (struct producer){ .buf = buf, .n = n };
		threads[k] = thread_run(produce, &producers[k]);
	}
	uint64_t i = 0;
	for (; i < 20 || !producers[0].done || !producers[1].done; i++) {
		/* What it counts in may go once detach has returned. */
		_Atomic unsigned *calls = calloc(1, sizeof(*calls));
		CHECK(calls);
		int rc = databuffer_telemetry_attach("brief", DATABUFFER_EVENTS_ALL, count_up, calls);
		assert_int_equal(rc, 0);
		insert_number(buf, i);
		for (unsigned k = 0; k < i % 8; k++)
			databuffer_flush(buf);
		assert_int_equal(databuffer_telemetry_detach("brief"), 0);
		sum += *calls;
		free(calls);
	}
	for (int k = 0; k < 2; k++)
		thread_join(threads[k]);
	assert_true(sum >= 2 * i); /* its own at the least */
	stop_clean(buf);
	assert_int_equal(sink->flushed.count, 2 * n + i);
	sink_free(sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_insert_begins_and_stops),
		cmocka_unit_test(a_reserved_item_is_heard_of_when_it_is_committed),
		cmocka_unit_test(an_insert_tells_where_it_went),
		cmocka_unit_test(an_insert_that_is_refused_is_an_exception),
		cmocka_unit_test(a_reserve_that_is_refused_is_an_exception),
		cmocka_unit_test(an_insert_that_a_stop_ends_is_an_exception),
		cmocka_unit_test(every_call_of_a_handler_begins_and_ends),
		cmocka_unit_test(the_pieces_of_a_rejected_batch_are_heard_of_as_they_are_given),
		cmocka_unit_test(a_late_handler_is_an_exception_before_its_end),
		cmocka_unit_test(a_handler_hears_what_its_mask_says),
		cmocka_unit_test(several_handlers_hear_all_buffers),
		cmocka_unit_test(an_id_is_taken_until_it_is_detached),
		cmocka_unit_test(what_can_be_no_handler_is_refused),
		cmocka_unit_test(detach_waits_for_the_handler_to_return),
		cmocka_unit_test(a_handler_may_detach_itself),
		cmocka_unit_test(of_everything_that_begins_the_end_is_heard),
		cmocka_unit_test(handlers_come_and_go_beside_inserts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
