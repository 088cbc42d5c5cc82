/* SPDX-License-Identifier: MIT */
/*
 * Options, as databuffer_start and databuffer_options_set take and refuse them: each row of the table at
 * both ends of its range and beyond; what the sentence says; structs of programs older and newer than the
 * library. And the words for errors.
 *
 * Where each option's field is, the table does not say and this test does, so that an option without a
 * field, or a field without a row, is found.
 */
#include <ctype.h>
#include <limits.h>

#include "api/support.h"

#define FIELD(name) { #name, offsetof(databuffer_options, name) }

static const struct field {
	const char *name;
	size_t offset;
} fields[] = {
	FIELD(name),          FIELD(partitions),     FIELD(max_size),      FIELD(max_size_jitter),
	FIELD(max_bytes),     FIELD(max_in_flight),  FIELD(max_queued),    FIELD(max_stuck),
	FIELD(idle_memory),
	FIELD(flush_interval), FIELD(flush_jitter),  FIELD(flush_timeout), FIELD(flush_empty),
	FIELD(timeout),       FIELD(overflow),       FIELD(retry_min),     FIELD(retry_max),
	FIELD(retry_limit),   FIELD(retry_for),      FIELD(breaker_failures), FIELD(rate_limit),
	FIELD(rate_limit_flushes), FIELD(seed),       FIELD(flusher),
	FIELD(pressure_high), FIELD(pressure_low),
	FIELD(flusher_count), FIELD(worker_memory_limit), FIELD(worker_max_flushes), FIELD(kill_limit),
	FIELD(max_restarts),  FIELD(max_restart_period), FIELD(worker_fallback),
};

#define FIELDS (sizeof(fields) / sizeof(fields[0]))

static size_t offset_of(const char *name)
{
	for (size_t i = 0; i < FIELDS; i++)
		if (strcmp(fields[i].name, name) == 0)
			return fields[i].offset;
	fail_msg("this test knows no option %s", name);
	return 0;
}

static int64_t get(const databuffer_options *options, const char *name)
{
	int64_t value;
	memcpy(&value, (const char *)options + offset_of(name), sizeof(value));
	return value;
}

static void put(databuffer_options *options, const char *name, int64_t value)
{
	memcpy((char *)options + offset_of(name), &value, sizeof(value));
}

/* Row by row; a text has no value to put. */
#define EACH_ROW(row)    for (size_t i_ = 0; (row = databuffer_options_at(i_)) != NULL; i_++)
#define EACH_NUMBER(row) EACH_ROW(row) if ((row)->type != DATABUFFER_OPTION_TEXT)

static bool is_text(const databuffer_option *row)
{
	return row->type == DATABUFFER_OPTION_TEXT;
}

static const databuffer_option *row_of(const char *name)
{
	const databuffer_option *row;
	EACH_ROW(row)
		if (strcmp(row->name, name) == 0)
			return row;
	fail_msg("there is no row for %s", name);
	return NULL;
}

/* --- The table -------------------------------------------------------------------------------- */

static void the_table_has_a_row_for_each_field_and_no_other(void **state)
{
	(void)state;
	const databuffer_option *row;
	size_t rows = 0;
	EACH_ROW(row) {
		offset_of(row->name);
		rows++;
	}
	assert_int_equal(rows, FIELDS);
	for (size_t i = 0; i < FIELDS; i++)
		assert_string_equal(row_of(fields[i].name)->name, fields[i].name);
	for (size_t i = 0; i < 100; i++)
		assert_null(databuffer_options_at(rows + i));
	assert_null(databuffer_options_at(SIZE_MAX));
}

static void each_row_is_whole(void **state)
{
	(void)state;
	const databuffer_option *row;
	EACH_ROW(row) {
		const char *units[] = { "items", "bytes", "ms", "" };
		bool known = false;
		for (size_t i = 0; i < 4; i++)
			known |= strcmp(row->unit, units[i]) == 0;
		assert_true(known);
		assert_true(row->min <= row->max);
		if (!is_text(row))
			assert_true(row->initial >= row->min && row->initial <= row->max);
		assert_true(strlen(row->help) > 10);
		assert_null(strchr(row->help, '\n'));
		assert_int_not_equal(row->help[strlen(row->help) - 1], '.');
		assert_int_equal(row->choices != NULL, row->type == DATABUFFER_OPTION_CHOICE);
		if (row->type == DATABUFFER_OPTION_FLAG)
			assert_true(row->min == 0 && row->max == 1);
	}
	assert_string_equal(row_of("flusher")->choices, "threads|manual|processes");
	assert_int_equal(row_of("flusher")->max, DATABUFFER_PROCESSES);
	assert_string_equal(row_of("overflow")->choices, "block|fail|drop_newest|drop_oldest");
	assert_int_equal(row_of("overflow")->max, DATABUFFER_OVERFLOW_DROP_OLDEST);
}

static void the_defaults_are_those_of_the_table(void **state)
{
	(void)state;
	databuffer_options o = databuffer_options_init();
	const databuffer_option *row;
	assert_int_equal(o.struct_size, sizeof(o));
	EACH_NUMBER(row)
		assert_int_equal(get(&o, row->name), row->initial);
	assert_null(o.name);
	assert_true(!o.handle_flush && !o.handle_dead && !o.handle_drop && !o.handle_left && !o.handle_log);
	assert_true(!o.flush_meta && !o.error && o.error_size == 0);
	/* And those that programs have been written against. */
	assert_int_equal(o.partitions, 1);
	assert_int_equal(o.max_size, 5000);
	assert_int_equal(o.max_size_jitter, 0);
	assert_int_equal(o.flush_interval, 10000);
	assert_int_equal(o.flush_jitter, 2000);
	assert_int_equal(o.flush_timeout, 60000);
	assert_int_equal(o.timeout, 5000);
	assert_int_equal(o.retry_min, 100);
	assert_int_equal(o.retry_max, 30000);
	assert_int_equal(o.flusher, DATABUFFER_THREADS);
}

/* --- At start --------------------------------------------------------------------------------- */

/* One option at some value, and the others such that nothing but it can be wrong. */
static databuffer_options options_with(struct sink *sink, const databuffer_option *row, int64_t value)
{
	databuffer_options o = sink_options(sink);
	put(&o, row->name, value);
	if (strcmp(row->name, "pressure_low") == 0)
		o.pressure_high = row_of("pressure_high")->max;
	if (strcmp(row->name, "max_size_jitter") == 0 && value > 0)
		o.max_size = 1;
	if (strcmp(row->name, "retry_min") == 0 && value > o.retry_max)
		o.retry_max = row_of("retry_max")->max;
	if (strcmp(row->name, "retry_max") == 0 && value < o.retry_min)
		o.retry_min = row_of("retry_min")->min;
	return o;
}

static void accepts(const databuffer_option *row, int64_t value)
{
	struct sink *sink = sink_new();
	databuffer_options o = options_with(sink, row, value);
	databuffer *buf = NULL;
	int rc = databuffer_start(&buf, &o);
	if (rc == DATABUFFER_ENOMEM) {
		print_message("%s = %" PRId64 " takes more memory than there is here\n", row->name, value);
		sink_free(sink);
		return;
	}
	if (rc != 0)
		fail_msg("%s = %" PRId64 ": %s", row->name, value, sink->error);
	/* And it works with it. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(databuffer_insert_timed(buf, "x", 1, PATIENCE_MS), 0);
	databuffer_stats_t s = stats_of(buf);
	assert_int_equal(s.inserted, 3);
	stop_clean(buf);
	if (o.flusher != DATABUFFER_PROCESSES) /* whose handlers count in memory of their own */
		assert_int_equal(sink->flushed.count, 3);
	assert_int_equal(sink_lines(sink), 0);
	sink_free(sink);
}

static void has_number(const char *sentence, int64_t number)
{
	char digits[32];
	snprintf(digits, sizeof(digits), "%" PRId64, number);
	const char *at = strstr(sentence, digits);
	for (; at; at = strstr(at + 1, digits))
		if (!isdigit((unsigned char)at[strlen(digits)]) &&
		    (at == sentence || (!isdigit((unsigned char)at[-1]) && at[-1] != '-')))
			return;
	fail_msg("no %s in: %s", digits, sentence);
}

static void has_text(const char *sentence, const char *text)
{
	if (!strstr(sentence, text))
		fail_msg("no %s in: %s", text, sentence);
}

/* It says of which option, and what would be right. */
static void names_the_option(const char *sentence, const databuffer_option *row)
{
	char words[64], *word, *rest = words;
	has_text(sentence, row->name);
	if (row->type == DATABUFFER_OPTION_CHOICE) {
		snprintf(words, sizeof(words), "%s", row->choices);
		while ((word = strsep(&rest, "|")))
			has_text(sentence, word);
		return;
	}
	has_number(sentence, row->min);
	has_number(sentence, row->max);
	if (!is_text(row))
		has_text(sentence, row->unit);
}

static void refuses(const databuffer_option *row, int64_t value)
{
	struct sink *sink = sink_new();
	databuffer_options o = options_with(sink, row, value);
	databuffer *buf = NULL;
	assert_int_equal(databuffer_start(&buf, &o), DATABUFFER_EINVAL);
	assert_null(buf);
	names_the_option(sink->error, row);
	has_number(sink->error, value);
	assert_null(strchr(sink->error, '\n'));
	assert_int_equal(sink_lines(sink), 0); /* told once, and here */
	sink_free(sink);
}

static void each_option_is_accepted_at_both_ends_of_its_range(void **state)
{
	(void)state;
	const databuffer_option *row;
	EACH_NUMBER(row) {
		accepts(row, row->min);
		accepts(row, row->initial);
		accepts(row, row->max);
	}
}

static void each_option_is_refused_beyond_its_range_by_a_sentence_that_says_so(void **state)
{
	(void)state;
	const databuffer_option *row;
	unsigned refused = 0;
	EACH_NUMBER(row) {
		int64_t beyond[] = { row->min - 1, -1, INT64_MIN, row->max == INT64_MAX ? -2 : row->max + 1,
			             row->max == INT64_MAX ? -3 : INT64_MAX };
		for (size_t i = 0; i < 5; i++, refused++)
			refuses(row, beyond[i]);
	}
	assert_int_equal(refused, 5 * (FIELDS - 1));
}

static void a_name_has_from_1_to_255_bytes(void **state)
{
	(void)state;
	const databuffer_option *row = row_of("name");
	char name[300];
	assert_int_equal(row->min, 1);
	assert_int_equal(row->max, 255);
	size_t lens[] = { 0, 1, 255, 256, 299 };
	for (size_t i = 0; i < 5; i++) {
		struct sink *sink = sink_new();
		databuffer_options o = sink_options(sink);
		databuffer *buf = NULL;
		memset(name, 'n', sizeof(name));
		name[lens[i]] = '\0';
		o.name = name;
		int rc = databuffer_start(&buf, &o);
		if (lens[i] >= 1 && lens[i] <= 255) {
			assert_int_equal(rc, 0);
			assert_ptr_equal(databuffer_find(name), buf);
			stop_clean(buf);
		} else {
			assert_int_equal(rc, DATABUFFER_EINVAL);
			assert_null(buf);
			names_the_option(sink->error, row);
			has_number(sink->error, (int64_t)lens[i]);
		}
		sink_free(sink);
	}
}

static void refuses_together(databuffer_options *o, const char *one, const char *other)
{
	databuffer *buf = NULL;
	o->error[0] = '\0';
	assert_int_equal(databuffer_start(&buf, o), DATABUFFER_EINVAL);
	assert_null(buf);
	has_text(o->error, one);
	has_text(o->error, other);
	if (strcmp(one, "handle_flush") != 0) {
		has_number(o->error, get(o, one));
		has_number(o->error, get(o, other));
	}
}

static void options_that_do_not_fit_each_other_are_refused(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	o.retry_min = 2000;
	o.retry_max = 1999;
	refuses_together(&o, "retry_min", "retry_max");
	o.retry_max = 2000;
	stop_clean(start(&o));

	o = sink_options(sink);
	o.max_size = row_of("max_size")->max;
	o.max_size_jitter = 1;
	refuses_together(&o, "max_size", "max_size_jitter");
	o.max_size--;
	stop_clean(start(&o));

	o = sink_options(sink);
	o.pressure_low = o.pressure_high = 100;
	refuses_together(&o, "pressure_low", "pressure_high");
	o.pressure_high = 0;
	refuses_together(&o, "pressure_low", "pressure_high");
	o.pressure_high = 101;
	stop_clean(start(&o));

	o = sink_options(sink);
	o.handle_flush = NULL;
	refuses_together(&o, "handle_flush", "NULL");
	sink_free(sink);
}

static void the_sentence_is_cut_to_the_room_there_is(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = NULL;
	char whole[512];
	o.max_size = 0;
	assert_int_equal(databuffer_start(&buf, &o), DATABUFFER_EINVAL);
	strcpy(whole, sink->error);
	assert_true(strlen(whole) > 20);
	for (size_t size = 1; size <= strlen(whole) + 2; size++) {
		memset(sink->error, '#', sizeof(sink->error));
		o.error_size = size;
		assert_int_equal(databuffer_start(&buf, &o), DATABUFFER_EINVAL);
		size_t len = size - 1 < strlen(whole) ? size - 1 : strlen(whole);
		assert_int_equal(strnlen(sink->error, size), len);
		assert_memory_equal(sink->error, whole, len);
		for (size_t i = size; i < sizeof(sink->error); i++)
			assert_int_equal(sink->error[i], '#');
	}
	assert_int_equal(sink_lines(sink), 0);
	sink_free(sink);
}

static void no_options_are_refused(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	databuffer *buf = NULL;
	assert_int_equal(databuffer_start(&buf, NULL), DATABUFFER_EINVAL);
	assert_null(buf);
	assert_int_equal(databuffer_start(NULL, &o), DATABUFFER_EINVAL);
	assert_string_not_equal(sink->error, "");
	sink_free(sink);
}

/* --- Structs of other versions ---------------------------------------------------------------- */

/* What a program has that was compiled when the struct ended sooner: there is no such memory behind it. */
static databuffer_options *older_options(size_t size, struct sink *sink)
{
	databuffer_options *o = malloc(size), now = sink_options(sink);
	CHECK(o);
	databuffer_options_defaults(o, size);
	assert_int_equal(o->struct_size, size);
	now.struct_size = size;
	memcpy(o, &now, size);
	return o;
}

static void a_program_older_than_an_option_has_its_default(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	size_t sizes[] = {
		offsetof(databuffer_options, handle_dead),
		offsetof(databuffer_options, handle_left),
		offsetof(databuffer_options, handle_log),
		offsetof(databuffer_options, error),
	};
	for (size_t i = 0; i < 4; i++) {
		databuffer_options *o = older_options(sizes[i], sink);
		databuffer *buf = NULL;
		o->max_size = 7;
		o->seed = 9;
		int rc = databuffer_start(&buf, o);
		free(o);
		assert_int_equal(rc, 0);
		insert_numbers(buf, 0, 7);
		WAIT_FOR(sink_flushed(sink) == 7 * (i + 1));
		stop_clean(buf);
	}
	sink_free(sink);
}

static void a_program_older_than_the_sentence_has_it_in_the_log(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options *o = older_options(offsetof(databuffer_options, error), sink);
	databuffer *buf = NULL;
	o->max_size = -3;
	assert_int_equal(databuffer_start(&buf, o), DATABUFFER_EINVAL);
	assert_null(buf);
	assert_int_equal(sink_lines(sink), 1);
	names_the_option(sink->line, row_of("max_size"));
	assert_string_equal(sink->error, "");
	free(o);
	sink_free(sink);
}

static void an_option_that_the_struct_has_no_room_for_cannot_be_set(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	size_t size = offsetof(databuffer_options, flusher);
	databuffer_options *o = older_options(size, sink), *before = malloc(size);
	CHECK(before);
	memcpy(before, o, size);
	assert_int_equal(databuffer_options_set(o, "seed", "5"), 0);
	assert_int_equal(o->seed, 5);
	size_t seed = offsetof(databuffer_options, seed);
	memcpy((char *)o + seed, (char *)before + seed, sizeof(int64_t));
	assert_int_equal(databuffer_options_set(o, "flusher", "manual"), DATABUFFER_ENOENT);
	assert_memory_equal(o, before, size);
	free(o);
	free(before);
	sink_free(sink);
}

static void a_program_newer_than_the_library_may_set_only_what_it_knows(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	struct {
		databuffer_options known;
		int64_t later[3];
	} newer, filled;
	memset(&filled, 0x5a, sizeof(filled));
	newer = filled;
	databuffer_options_defaults(&newer.known, sizeof(newer));
	assert_int_equal(newer.known.struct_size, sizeof(newer));
	for (int i = 0; i < 3; i++)
		assert_int_equal(newer.later[i], 0);
	newer.known = sink_options(sink);
	newer.known.struct_size = sizeof(newer);
	databuffer *buf = start(&newer.known);
	stop_clean(buf);
	buf = NULL;
	newer.later[2] = 1;
	assert_int_equal(databuffer_start(&buf, &newer.known), DATABUFFER_EINVAL);
	assert_null(buf);
	assert_string_not_equal(sink->error, "");
	sink_free(sink);
}

static void a_size_that_no_struct_has_is_refused(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	size_t sizes[] = { 0, 1, sizeof(size_t) - 1, sizeof(databuffer_options) + 1, SIZE_MAX, SIZE_MAX / 2 };
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		databuffer_options o = sink_options(sink);
		databuffer *buf = NULL;
		/* Nothing of it can be believed, so this may go to standard error. */
		o.handle_log = NULL;
		o.struct_size = sizes[i];
		assert_int_equal(databuffer_start(&buf, &o), DATABUFFER_EINVAL);
		assert_null(buf);
		assert_int_equal(databuffer_options_set(&o, "max_size", "5"), DATABUFFER_EINVAL);
		assert_int_equal(o.max_size, 5000);
	}
	databuffer_options_defaults(NULL, sizeof(databuffer_options));
	sink_free(sink);
}

/* --- From text -------------------------------------------------------------------------------- */

static void sets(const char *name, const char *text, int64_t value)
{
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink), expected = o;
	put(&expected, name, value);
	put(&o, name, row_of(name)->initial ^ 1);
	int rc = databuffer_options_set(&o, name, text);
	if (rc != 0)
		fail_msg("%s = \"%s\": %s", name, text, sink->error);
	assert_memory_equal(&o, &expected, sizeof(o));
	assert_string_equal(sink->error, "");
	sink_free(sink);
}

static void does_not_set(const char *name, const char *text)
{
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink), before = o;
	if (databuffer_options_set(&o, name, text) != DATABUFFER_EINVAL)
		fail_msg("%s takes \"%s\"", name, text);
	assert_memory_equal(&o, &before, sizeof(o));
	names_the_option(sink->error, row_of(name));
	has_text(sink->error, text);
	assert_int_equal(sink_lines(sink), 0);
	sink_free(sink);
}

static const char *decimal(int64_t value)
{
	static char text[32];
	snprintf(text, sizeof(text), "%" PRId64, value);
	return text;
}

static void each_option_is_set_from_text_within_its_range_and_no_further(void **state)
{
	(void)state;
	const databuffer_option *row;
	EACH_NUMBER(row) {
		if (row->type == DATABUFFER_OPTION_CHOICE)
			continue; /* by its words */
		sets(row->name, decimal(row->min), row->min);
		sets(row->name, decimal(row->initial), row->initial);
		sets(row->name, decimal(row->max), row->max);
		does_not_set(row->name, decimal(row->min - 1));
		if (row->max < INT64_MAX)
			does_not_set(row->name, decimal(row->max + 1));
		does_not_set(row->name, decimal(INT64_MIN));
		does_not_set(row->name, "9223372036854775808");
		does_not_set(row->name, "99999999999999999999999999999999");
		/* What wraps around to something small. */
		does_not_set(row->name, "18446744073709551617");
		does_not_set(row->name, "-18446744073709551615");
	}
	sets("flusher", "threads", DATABUFFER_THREADS);
	sets("flusher", "manual", DATABUFFER_MANUAL);
	sets("flusher", "processes", DATABUFFER_PROCESSES);
	does_not_set("flusher", "thread");
	sets("overflow", "block", DATABUFFER_OVERFLOW_BLOCK);
	sets("overflow", "fail", DATABUFFER_OVERFLOW_FAIL);
	sets("overflow", "drop_newest", DATABUFFER_OVERFLOW_DROP_NEWEST);
	sets("overflow", "drop_oldest", DATABUFFER_OVERFLOW_DROP_OLDEST);
	does_not_set("overflow", "drop");
	does_not_set("flusher", "manually");
	does_not_set("flusher", "threads|manual");
}

static void a_number_may_carry_a_suffix_of_its_unit(void **state)
{
	(void)state;
	sets("max_size", "3k", 3000);
	sets("max_size", "2M", 2000000);
	sets("max_bytes", "3k", 3 * 1024);
	sets("max_bytes", "2M", 2 * 1024 * 1024);
	sets("max_bytes", "1G", 1024 * 1024 * 1024);
	sets("flush_interval", "250ms", 250);
	sets("flush_interval", "90s", 90000);
	sets("flush_interval", "5m", 300000);
	sets("flush_interval", "2h", 7200000);
	sets("flush_interval", "0s", 0);
	/* And of no other. */
	does_not_set("max_size", "3s");
	does_not_set("max_size", "3ms");
	does_not_set("max_bytes", "3h");
	does_not_set("flush_interval", "3k");
	does_not_set("flush_interval", "3G");
	does_not_set("partitions", "1k");
	does_not_set("partitions", "1s");
	does_not_set("seed", "1k");
	does_not_set("max_in_flight", "1M");
	/* The range holds for what it comes to, and no product wraps around. */
	does_not_set("max_size", "1G");
	does_not_set("max_bytes", "2G");
	does_not_set("flush_interval", "9000h");
	does_not_set("flush_interval", "5124095576030431h");
	does_not_set("max_bytes", "17179869185G");
	does_not_set("max_bytes", "-1k");
}

static void a_row_of_the_programs_own_is_read_like_an_option(void **state)
{
	(void)state;
	databuffer_option pause = { .name = "pause", .type = DATABUFFER_OPTION_NUMBER, .unit = "ms", .min = 10, .max = 60000 };
	databuffer_option colour = { .name = "colour", .type = DATABUFFER_OPTION_CHOICE, .choices = "red|green" };
	databuffer_option loud = { .name = "loud", .type = DATABUFFER_OPTION_FLAG, .max = 1 };
	databuffer_option title = { .name = "title", .type = DATABUFFER_OPTION_TEXT, .max = 9 };
	int64_t value = 7;
	assert_int_equal(databuffer_option_parse(&pause, "9", &value), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_option_parse(&pause, "2m", &value), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_option_parse(&pause, "2k", &value), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_option_parse(&colour, "blue", &value), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_option_parse(&loud, "2", &value), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_option_parse(&title, "text", &value), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_option_parse(NULL, "9", &value), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_option_parse(&pause, NULL, &value), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_option_parse(&pause, "10", NULL), DATABUFFER_EINVAL);
	assert_int_equal(value, 7);
	assert_int_equal(databuffer_option_parse(&pause, " 1 m", &value), 0);
	assert_int_equal(value, 60000);
	assert_int_equal(databuffer_option_parse(&colour, "green", &value), 0);
	assert_int_equal(value, 1);
	assert_int_equal(databuffer_option_parse(&loud, "off", &value), 0);
	assert_int_equal(value, 0);
}

static void what_is_no_number_is_refused(void **state)
{
	(void)state;
	const char *texts[] = {
		"",     "-",   "k",    "ms",  "x",   "1x",   "x1",  "1.5",  "1,000", "1 000", "1e3",
		"0x10", "--1", "+ 1",  "1kk", "1 2", "five", "nan", "NULL", "1\n2",  "1k1",   "1-",
		"\xd9\xa3", /* a digit, in Arabic */
	};
	const char *names[] = {
		"partitions", "max_size", "max_bytes", "flush_interval", "seed", "flush_empty",
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
			does_not_set(names[k], texts[i]);
	/* However long. */
	char *endless = malloc(1000001);
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink), before = o;
	CHECK(endless);
	memset(endless, '7', 1000000);
	endless[1000000] = '\0';
	assert_int_equal(databuffer_options_set(&o, "max_size", endless), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_options_set(&o, "name", endless), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_options_set(&o, endless, "1"), DATABUFFER_ENOENT);
	assert_memory_equal(&o, &before, sizeof(o));
	assert_true(strlen(sink->error) < sizeof(sink->error) - 1);
	free(endless);
	sink_free(sink);
}

/* The default, as one writes it. */
static const char *as_text(const databuffer_option *row)
{
	static char word[32];
	const char *at = row->choices;
	if (row->type != DATABUFFER_OPTION_CHOICE)
		return decimal(row->initial);
	for (int64_t i = 0; i < row->initial; i++)
		at = strchr(at, '|') + 1;
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(at, "|"), at);
	return word;
}

static void a_dash_and_an_underscore_are_the_same_in_a_name(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	const databuffer_option *row;
	EACH_NUMBER(row) {
		char name[64];
		snprintf(name, sizeof(name), "%s", row->name);
		for (char *c = name; *c; c++)
			*c = *c == '_' ? '-' : *c;
		put(&o, row->name, row->initial ^ 1);
		assert_int_equal(databuffer_options_set(&o, name, as_text(row)), 0);
		assert_int_equal(get(&o, row->name), row->initial);
	}
	assert_int_equal(databuffer_options_set(&o, "max-size_jitter", "3"), 0);
	assert_int_equal(o.max_size_jitter, 3);
	sink_free(sink);
}

static void an_unknown_name_is_told_so(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink), before = o;
	const char *names[] = {
		"max_sizes",   "max_siz", "maxsize",    "",           "_",          "handle_flush",
		"struct_size", "error",   "flush_meta", "partitions ", "PARTITIONS=",
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		sink->error[0] = '\0';
		assert_int_equal(databuffer_options_set(&o, names[i], "1"), DATABUFFER_ENOENT);
		assert_memory_equal(&o, &before, sizeof(o));
		has_text(sink->error, names[i]);
	}
	sink->error[0] = '\0';
	assert_int_equal(databuffer_options_set(&o, "max_sizes", "1"), DATABUFFER_ENOENT);
	has_text(sink->error, "did you mean max_size?");
	sink_free(sink);
}

static void nothing_is_set_without_options_a_name_and_a_text(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink), before = o;
	assert_int_equal(databuffer_options_set(&o, NULL, "1"), DATABUFFER_EINVAL);
	assert_int_equal(databuffer_options_set(&o, "max_size", NULL), DATABUFFER_EINVAL);
	assert_memory_equal(&o, &before, sizeof(o));
	assert_string_not_equal(sink->error, "");
	sink_free(sink);
}

static void a_name_from_text_is_kept(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	char name[] = "spoken";
	assert_int_equal(databuffer_options_set(&o, "name", name), 0);
	memset(name, 'x', sizeof(name) - 1);
	databuffer *buf = start(&o);
	assert_ptr_equal(databuffer_find("spoken"), buf);
	assert_string_equal(o.name, "spoken");
	stop_clean(buf);
	assert_int_equal(databuffer_options_set(&o, "name", ""), DATABUFFER_EINVAL);
	assert_string_equal(o.name, "spoken");
	names_the_option(sink->error, row_of("name"));
	sink_free(sink);
}

static void what_text_has_set_is_what_the_buffer_does(void **state)
{
	(void)state;
	struct sink *sink = sink_new();
	databuffer_options o = sink_options(sink);
	assert_int_equal(databuffer_options_set(&o, "max-size", "4"), 0);
	assert_int_equal(databuffer_options_set(&o, "partitions", "2"), 0);
	assert_int_equal(databuffer_options_set(&o, "flush_interval", "1h"), 0);
	assert_int_equal(databuffer_options_set(&o, "flush_jitter", "2m"), 0);
	databuffer *buf = start(&o);
	databuffer_partition_info info = info_of(buf, 1);
	assert_int_equal(databuffer_info(buf, NULL, 0), 2);
	assert_int_equal(info.flush_size, 4);
	assert_int_equal(info.flush_interval, 3600000);
	assert_int_equal(info.flush_jitter, 120000);
	insert_numbers(buf, 0, 8);
	WAIT_FOR(sink_flushed(sink) == 8);
	stop_clean(buf);
	sink_free(sink);
}

/* --- Words ------------------------------------------------------------------------------------ */

static void each_error_has_a_sentence_of_its_own(void **state)
{
	(void)state;
	const int numbers[] = {
#define NUMBER(name, number, text) DATABUFFER_##name,
		DATABUFFER_ERRORS(NUMBER) DATABUFFER_OK, DATABUFFER_RETRY, DATABUFFER_REJECT
#undef NUMBER
	};
	size_t count = sizeof(numbers) / sizeof(numbers[0]);
	assert_true(count >= 11 + 3);
	for (size_t i = 0; i < count; i++) {
		const char *text = databuffer_strerror(numbers[i]);
		assert_non_null(text);
		assert_true(strlen(text) >= 10);
		assert_null(strchr(text, '\n'));
		for (size_t k = 0; k < i; k++) {
			assert_int_not_equal(numbers[i], numbers[k]);
			assert_string_not_equal(text, databuffer_strerror(numbers[k]));
		}
	}
#define SAME(name, number, text)                                                                            \
	assert_true(DATABUFFER_##name < 0);                                                                 \
	assert_string_equal(databuffer_strerror(DATABUFFER_##name), text);
	DATABUFFER_ERRORS(SAME)
#undef SAME
}

static void strerror_is_never_null(void **state)
{
	(void)state;
	for (int rc = -5000; rc < 5000; rc++) {
		assert_non_null(databuffer_strerror(rc));
		assert_string_not_equal(databuffer_strerror(rc), "");
	}
	assert_non_null(databuffer_strerror(INT_MIN));
	assert_non_null(databuffer_strerror(INT_MIN + 1));
	assert_non_null(databuffer_strerror(INT_MAX));
	assert_string_equal(databuffer_strerror(-ENOSPC), "No space left on device");
}

static void triggers_have_names(void **state)
{
	(void)state;
#define NAMED(name, text) assert_string_equal(databuffer_trigger_name(DATABUFFER_TRIGGER_##name), text);
	DATABUFFER_TRIGGERS(NAMED)
#undef NAMED
	assert_string_equal(databuffer_trigger_name(DATABUFFER_TRIGGER_COUNT), "unknown");
	assert_string_equal(databuffer_trigger_name((databuffer_trigger)1000), "unknown");
	assert_string_equal(databuffer_trigger_name((databuffer_trigger)-1), "unknown");
}

static void the_version_is_the_headers(void **state)
{
	(void)state;
	char version[64];
	snprintf(version, sizeof(version), "%d.%d.%d", DATABUFFER_VERSION_MAJOR, DATABUFFER_VERSION_MINOR,
	         DATABUFFER_VERSION_PATCH);
	assert_string_equal(databuffer_version(), version);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_has_a_row_for_each_field_and_no_other),
		cmocka_unit_test(each_row_is_whole),
		cmocka_unit_test(the_defaults_are_those_of_the_table),
		cmocka_unit_test(each_option_is_accepted_at_both_ends_of_its_range),
		cmocka_unit_test(each_option_is_refused_beyond_its_range_by_a_sentence_that_says_so),
		cmocka_unit_test(a_name_has_from_1_to_255_bytes),
		cmocka_unit_test(options_that_do_not_fit_each_other_are_refused),
		cmocka_unit_test(the_sentence_is_cut_to_the_room_there_is),
		cmocka_unit_test(no_options_are_refused),
		cmocka_unit_test(a_program_older_than_an_option_has_its_default),
		cmocka_unit_test(a_program_older_than_the_sentence_has_it_in_the_log),
		cmocka_unit_test(an_option_that_the_struct_has_no_room_for_cannot_be_set),
		cmocka_unit_test(a_program_newer_than_the_library_may_set_only_what_it_knows),
		cmocka_unit_test(a_size_that_no_struct_has_is_refused),
		cmocka_unit_test(each_option_is_set_from_text_within_its_range_and_no_further),
		cmocka_unit_test(a_number_may_carry_a_suffix_of_its_unit),
		cmocka_unit_test(a_row_of_the_programs_own_is_read_like_an_option),
		cmocka_unit_test(what_is_no_number_is_refused),
		cmocka_unit_test(a_dash_and_an_underscore_are_the_same_in_a_name),
		cmocka_unit_test(an_unknown_name_is_told_so),
		cmocka_unit_test(nothing_is_set_without_options_a_name_and_a_text),
		cmocka_unit_test(a_name_from_text_is_kept),
		cmocka_unit_test(what_text_has_set_is_what_the_buffer_does),
		cmocka_unit_test(each_error_has_a_sentence_of_its_own),
		cmocka_unit_test(strerror_is_never_null),
		cmocka_unit_test(triggers_have_names),
		cmocka_unit_test(the_version_is_the_headers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
