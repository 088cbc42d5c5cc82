/* SPDX-License-Identifier: MIT */
/* options.c: every row of the table against the check and against text; then the
 * structs of other versions, and the sentences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <databuffer.h>

#include "core/options.h"
#include "core/options_table.h"

static char sentence[1024];

static int handle_flush(databuffer_batch *batch, void *meta)
{
	(void)batch;
	(void)meta;
	return 0;
}

/* Options whose every number may go to both its ends without another in its way. */
static databuffer_options roomy(void)
{
	databuffer_options options = databuffer_options_init();

	options.max_size = 1;
	options.retry_min = 1;
	options.retry_max = INT64_C(31536000000);
	options.pressure_high = INT64_C(1125899906842624);
	options.handle_flush = handle_flush;
	options.error = sentence;
	options.error_size = sizeof(sentence);
	sentence[0] = '\0';
	return options;
}

static void assert_sentence_has(const char *part)
{
	if (!strstr(sentence, part))
		fail_msg("\"%s\" is not in \"%s\"", part, sentence);
}

static void assert_sentence_is(const char *whole)
{
	assert_string_equal(sentence, whole);
	sentence[0] = '\0';
}

static void assert_sentence_names(const databuffer_option *option, const char *value)
{
	char range[64];

	assert_sentence_has(option->name);
	assert_sentence_has(value);
	if (option->type == DATABUFFER_OPTION_CHOICE) {
		assert_sentence_has(option->choices);
	} else if (option->type == DATABUFFER_OPTION_FLAG) {
		assert_sentence_has("0 or 1");
	} else {
		snprintf(range, sizeof(range), "from %" PRId64 " to %" PRId64, option->min, option->max);
		assert_sentence_has(range);
		assert_sentence_has(option->unit);
	}
	sentence[0] = '\0';
}

static void assert_accepted(const databuffer_options *options)
{
	databuffer_options full;

	if (options_check(options, &full) != 0)
		fail_msg("refused: %s", sentence);
	assert_memory_equal(&full, options, sizeof(full));
}

static void assert_refused(const databuffer_options *options)
{
	databuffer_options full, before;

	memset(&full, 0x5a, sizeof(full));
	memset(&before, 0x5a, sizeof(before));
	assert_int_equal(options_check(options, &full), DATABUFFER_EINVAL);
	assert_memory_equal(&full, &before, sizeof(full));
}

static void assert_set(databuffer_options *options, const char *name, const char *text)
{
	int rc = databuffer_options_set(options, name, text);

	if (rc != 0)
		fail_msg("%s = \"%s\" is refused: %s", name, text, sentence);
}

static void assert_not_set(databuffer_options *options, const char *name, const char *text, int rc)
{
	databuffer_options before = *options;

	sentence[0] = '\0';
	if (databuffer_options_set(options, name, text) != rc)
		fail_msg("%s = \"%s\" does not answer %d", name, text, rc);
	assert_memory_equal(options, &before, sizeof(before));
	assert_string_not_equal(sentence, "");
}

#define FOR_ALL_ROWS(row) for (size_t row_i_ = 0; ((row) = options_row_at(row_i_)); row_i_++)

/* --- The table --------------------------------------------------------------- */

static void the_table_is_whole(void **state)
{
	const struct options_row *row, *other;
	size_t i = 0;

	(void)state;
	FOR_ALL_ROWS(row) {
		const databuffer_option *option = &row->option;

		assert_ptr_equal(databuffer_options_at(i++), option);
		assert_true(strlen(option->name) > 0);
		assert_true(strlen(option->help) > 0);
		assert_null(strchr(option->help, '\n'));
		assert_int_not_equal(option->help[strlen(option->help) - 1], '.');
		assert_non_null(option->unit);
		assert_true(option->min <= option->max);
		assert_true((option->type == DATABUFFER_OPTION_CHOICE) == (option->choices != NULL));
		if (option->type != DATABUFFER_OPTION_TEXT)
			assert_true(option->initial >= option->min && option->initial <= option->max);
		for (size_t j = 0; (other = options_row_at(j)) != row; j++) {
			assert_string_not_equal(other->option.name, option->name);
			assert_true(other->offset < row->offset);
		}
	}
	assert_null(databuffer_options_at(i));
	assert_null(databuffer_options_at(SIZE_MAX));
}

/* In two runs: those of the first version, and those that came after its last field. */
static void the_rows_are_all_fields_but_handlers(void **state)
{
	const struct options_row *row;
	size_t offset = offsetof(databuffer_options, name);

	(void)state;
	FOR_ALL_ROWS(row) {
		offset = (offset + row->size - 1) / row->size * row->size;
		if (offset == offsetof(databuffer_options, handle_flush))
			offset = offsetof(databuffer_options, error_size) + sizeof(size_t);
		assert_int_equal(row->offset, offset);
		offset += row->size;
	}
	assert_int_equal(offset, offsetof(databuffer_options, handle_worker_start));
}

static void the_defaults_are_the_promised_ones(void **state)
{
	databuffer_options options = databuffer_options_init();

	(void)state;
	assert_int_equal(options.struct_size, sizeof(options));
	assert_null(options.name);
	assert_int_equal(options.partitions, 1);
	assert_int_equal(options.max_size, 5000);
	assert_int_equal(options.max_size_jitter, 0);
	assert_int_equal(options.max_bytes, 8 << 20);
	assert_int_equal(options.max_in_flight, 1);
	assert_int_equal(options.max_queued, 0);
	assert_int_equal(options.max_stuck, 2);
	assert_int_equal(options.idle_memory, 10000);
	assert_int_equal(options.flush_interval, 10000);
	assert_int_equal(options.flush_jitter, 2000);
	assert_int_equal(options.flush_timeout, 60000);
	assert_int_equal(options.flush_empty, 0);
	assert_int_equal(options.timeout, 5000);
	assert_int_equal(options.retry_min, 100);
	assert_int_equal(options.retry_max, 30000);
	assert_int_equal(options.seed, 0);
	assert_int_equal(options.flusher, DATABUFFER_THREADS);
	assert_null(options.handle_flush);
	assert_null(options.handle_dead);
	assert_null(options.error);
	options.handle_flush = handle_flush;
	assert_accepted(&options);
}

/* --- The check ------------------------------------------------------------------ */

static void both_ends_of_each_range_are_accepted(void **state)
{
	const struct options_row *row;

	(void)state;
	FOR_ALL_ROWS(row) {
		databuffer_options options = roomy();

		if (row->option.type == DATABUFFER_OPTION_TEXT)
			continue;
		*options_number(&options, row) = row->option.min;
		assert_accepted(&options);
		*options_number(&options, row) = row->option.max;
		assert_accepted(&options);
	}
}

static void one_beyond_each_range_is_refused_with_name_value_and_range(void **state)
{
	const struct options_row *row;

	(void)state;
	FOR_ALL_ROWS(row) {
		databuffer_options options = roomy();
		char value[32];

		if (row->option.type == DATABUFFER_OPTION_TEXT)
			continue;
		*options_number(&options, row) = row->option.min - 1;
		assert_refused(&options);
		snprintf(value, sizeof(value), " is %" PRId64 ",", row->option.min - 1);
		assert_sentence_names(&row->option, value);
		if (row->option.max == INT64_MAX)
			continue;
		*options_number(&options, row) = row->option.max + 1;
		assert_refused(&options);
		snprintf(value, sizeof(value), " is %" PRId64 ",", row->option.max + 1);
		assert_sentence_names(&row->option, value);
		*options_number(&options, row) = INT64_MIN;
		assert_refused(&options);
	}
}

static void a_name_has_from_1_to_255_bytes_or_is_not_there(void **state)
{
	databuffer_options options = roomy();
	char name[300];

	(void)state;
	memset(name, 'n', sizeof(name));
	options.name = NULL;
	assert_accepted(&options);
	options.name = name;
	name[255] = '\0';
	assert_accepted(&options);
	name[1] = '\0';
	assert_accepted(&options);
	name[0] = '\0';
	assert_refused(&options);
	assert_sentence_is("name has 0 bytes, but must have from 1 to 255");
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	assert_refused(&options);
	assert_sentence_is("name has 256 bytes, but must have from 1 to 255");
}

static void a_refusal_reads_as_one_sentence(void **state)
{
	databuffer_options options = roomy();

	(void)state;
	options.max_size = 0;
	assert_refused(&options);
	assert_sentence_is("max_size is 0, but must be from 1 to 16777216 items");
	options = roomy();
	options.partitions = 1025;
	assert_refused(&options);
	assert_sentence_is("partitions is 1025, but must be from 1 to 1024");
	options = roomy();
	options.flusher = 3;
	assert_refused(&options);
	assert_sentence_is("flusher is 3, but must be one of threads|manual|processes");
}

static void options_that_do_not_fit_each_other_are_refused(void **state)
{
	databuffer_options options = roomy();

	(void)state;
	options.retry_min = 100;
	options.retry_max = 50;
	assert_refused(&options);
	assert_sentence_is("retry_max is 50 ms, but must be at least retry_min, which is 100 ms");
	options.retry_max = 100;
	assert_accepted(&options);

	options = roomy();
	options.max_size = 16777216;
	options.max_size_jitter = 1;
	assert_refused(&options);
	assert_sentence_is("max_size is 16777216 and max_size_jitter is 1, but together they must be "
	                   "at most 16777216 items");
	options.max_size--;
	assert_accepted(&options);
}

static void handle_flush_is_required(void **state)
{
	databuffer_options options = roomy();

	(void)state;
	options.handle_flush = NULL;
	assert_refused(&options);
	assert_sentence_has("handle_flush");
}

/* --- Where the sentence goes -------------------------------------------------------- */

static char logged[1024];
static void *logged_meta;

static void handle_log(databuffer_log_level level, const char *line, void *meta)
{
	assert_int_equal(level, DATABUFFER_LOG_ERROR);
	snprintf(logged, sizeof(logged), "%s", line);
	logged_meta = meta;
}

static void without_error_the_sentence_goes_to_handle_log(void **state)
{
	databuffer_options options = roomy();

	(void)state;
	logged[0] = '\0';
	options.error = NULL;
	options.handle_log = handle_log;
	options.flush_meta = &options;
	options.max_size = -5;
	assert_refused(&options);
	assert_string_equal(logged, "max_size is -5, but must be from 1 to 16777216 items");
	assert_ptr_equal(logged_meta, &options);
}

static void error_without_a_size_is_refused_and_never_written(void **state)
{
	databuffer_options options = roomy();

	(void)state;
	options.error_size = 0;
	options.handle_log = handle_log;
	assert_refused(&options);
	assert_non_null(strstr(logged, "error_size is 0"));
	assert_string_equal(sentence, "");
}

static void a_long_sentence_is_cut_at_error_size(void **state)
{
	databuffer_options options = roomy();
	char small[8] = "1234567";

	(void)state;
	options.error = small;
	options.error_size = 5;
	options.max_size = 0;
	assert_refused(&options);
	assert_string_equal(small, "max_");
	assert_int_equal(small[6], '7');
	options.error_size = 1;
	assert_refused(&options);
	assert_string_equal(small, "");
}

/* --- Programs of other versions -------------------------------------------------------- */

static void defaults_write_no_byte_beyond_the_size_they_are_told(void **state)
{
	databuffer_options full = databuffer_options_init();

	(void)state;
	databuffer_options_defaults(NULL, sizeof(full));
	for (size_t size = 0; size <= sizeof(full) + 64; size++) {
		unsigned char *room = malloc(size + 1);

		assert_non_null(room);
		memset(room, 0x5a, size + 1);
		databuffer_options_defaults((databuffer_options *)(void *)room, size);
		assert_int_equal(room[size], 0x5a);
		if (size >= sizeof(full)) {
			full.struct_size = size;
			assert_memory_equal(room, &full, sizeof(full));
			for (size_t i = sizeof(full); i < size; i++)
				assert_int_equal(room[i], 0);
		}
		free(room);
	}
}

static void an_older_program_gets_defaults_for_what_it_lacks(void **state)
{
	databuffer_options old, full, expected = databuffer_options_init();

	(void)state;
	memset(&old, 0x5a, sizeof(old));
	databuffer_options_defaults(&old, offsetof(databuffer_options, handle_dead));
	old.max_size = 17;
	old.handle_flush = handle_flush;
	assert_int_equal(options_check(&old, &full), 0);
	expected.max_size = 17;
	expected.handle_flush = handle_flush;
	assert_memory_equal(&full, &expected, sizeof(full));
}

static void an_older_program_cannot_set_what_it_has_no_room_for(void **state)
{
	databuffer_options options = roomy();

	(void)state;
	databuffer_options_defaults(&options, offsetof(databuffer_options, seed));
	options.handle_log = handle_log;
	assert_set(&options, "retry_max", "17");
	assert_int_equal(options.retry_max, 17);
	/* The sentence has nowhere to go but standard error: error is beyond as well. */
	assert_int_equal(databuffer_options_set(&options, "seed", "17"), DATABUFFER_ENOENT);
	assert_int_equal(options.seed, 0);
}

struct newer {
	databuffer_options known;
	int64_t unknown[2];
};

static void a_newer_program_is_welcome_until_it_sets_something_unknown(void **state)
{
	struct newer options;
	databuffer_options full;

	(void)state;
	databuffer_options_defaults(&options.known, sizeof(options));
	options.known.handle_flush = handle_flush;
	options.known.error = sentence;
	options.known.error_size = sizeof(sentence);
	assert_int_equal(options_check(&options.known, &full), 0);
	assert_int_equal(full.struct_size, sizeof(full));
	options.unknown[1] = 1;
	assert_refused(&options.known);
	assert_sentence_has("struct_size is ");
}

static void a_struct_that_was_never_initialised_is_refused(void **state)
{
	static const size_t sizes[] = { 0, 1, 7, 9, 4104, SIZE_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		databuffer_options options = roomy();

		options.struct_size = sizes[i];
		assert_refused(&options);
		assert_int_equal(databuffer_options_set(&options, "seed", "1"), DATABUFFER_EINVAL);
	}
	assert_refused(NULL);
}

/* --- From text ---------------------------------------------------------------------------- */

static void each_number_is_set_from_text_at_both_ends(void **state)
{
	const struct options_row *row;

	(void)state;
	FOR_ALL_ROWS(row) {
		databuffer_options options = roomy();
		const int64_t ends[] = { row->option.min, row->option.max };

		if (row->option.type != DATABUFFER_OPTION_NUMBER)
			continue;
		for (int i = 0; i < 2; i++) {
			char text[32];

			snprintf(text, sizeof(text), " \t%" PRId64 "\n", ends[i]);
			assert_set(&options, row->option.name, text);
			assert_int_equal(*options_number(&options, row), ends[i]);
		}
	}
}

static void one_beyond_each_range_is_refused_as_text_and_changes_nothing(void **state)
{
	const struct options_row *row;

	(void)state;
	FOR_ALL_ROWS(row) {
		databuffer_options options = roomy();
		char text[32];

		if (row->option.type == DATABUFFER_OPTION_TEXT)
			continue;
		snprintf(text, sizeof(text), "%" PRId64, row->option.min - 1);
		assert_not_set(&options, row->option.name, text, DATABUFFER_EINVAL);
		assert_sentence_names(&row->option, text);
		snprintf(text, sizeof(text), "%" PRIu64, (uint64_t)row->option.max + 1);
		assert_not_set(&options, row->option.name, text, DATABUFFER_EINVAL);
		assert_sentence_names(&row->option, text);
	}
}

static void nonsense_is_refused_by_every_option_that_is_no_text(void **state)
{
	static const char *const nonsense[] = {
		"", " ", "x", "-", "+1", "1x", "1 1", "0x10", "1.5", "1,000", "1e3", "--1", "1-", "- 1", "k",
		"ms", "5kk", "5 k k", "5KB", "5kib", "5MS", "5sec", "5w", "tru", "truer", "thread",
		"threads|manual", "|", "manual|", "NULL", "99999999999999999999", "-99999999999999999999",
		"9223372036854775808", "9223372036854775807d", "9223372036854775807G", "9007199254740992k",
		"\xc2\xb2", "1\x01",
	};
	const struct options_row *row;

	(void)state;
	FOR_ALL_ROWS(row) {
		databuffer_options options = roomy();

		if (row->option.type == DATABUFFER_OPTION_TEXT)
			continue;
		for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
			assert_not_set(&options, row->option.name, nonsense[i], DATABUFFER_EINVAL);
			assert_sentence_names(&row->option, nonsense[i]);
		}
	}
}

static void numbers_take_the_suffixes_of_their_unit_and_no_other(void **state)
{
	static const struct {
		const char *unit, *text;
		int64_t value;
	} good[] = {
		{ "items", "7k", 7000 },
		{ "items", "7 k", 7000 },
		{ "items", "16M", 16000000 },
		{ "bytes", "7k", 7 << 10 },
		{ "bytes", "7K", 7 << 10 },
		{ "bytes", "7KiB", 7 << 10 },
		{ "bytes", "7M", 7 << 20 },
		{ "bytes", "7MiB", 7 << 20 },
		{ "bytes", "1G", 1 << 30 },
		{ "bytes", "1GiB", 1 << 30 },
		{ "ms", "7ms", 7 },
		{ "ms", "7s", 7000 },
		{ "ms", "7m", 420000 },
		{ "ms", "7h", 25200000 },
		{ "ms", "7d", 604800000 },
		{ "ms", "365d", INT64_C(31536000000) },
	};
	const struct options_row *row;

	(void)state;
	FOR_ALL_ROWS(row) {
		if (row->option.type != DATABUFFER_OPTION_NUMBER)
			continue;
		for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
			databuffer_options options = roomy();
			bool is_time = strcmp(good[i].unit, "ms") == 0;
			bool takes_time = strcmp(row->option.unit, "ms") == 0;

			if (strcmp(row->option.unit, good[i].unit) == 0) {
				assert_set(&options, row->option.name, good[i].text);
				assert_int_equal(*options_number(&options, row), good[i].value);
			} else if (is_time != takes_time || row->option.unit[0] == '\0') {
				/* Items and bytes have letters in common. */
				assert_not_set(&options, row->option.name, good[i].text, DATABUFFER_EINVAL);
			}
		}
	}
}

static void a_suffix_that_leads_out_of_the_range_is_refused(void **state)
{
	databuffer_options options = roomy();

	(void)state;
	assert_not_set(&options, "max_size", "17M", DATABUFFER_EINVAL);
	assert_sentence_is("max_size is \"17M\", but must be from 1 to 16777216 items (suffixes: k, M, G)");
	assert_not_set(&options, "max_bytes", "2G", DATABUFFER_EINVAL);
	assert_not_set(&options, "timeout", "366d", DATABUFFER_EINVAL);
	assert_not_set(&options, "timeout", "-1s", DATABUFFER_EINVAL);
}

static void flags_have_four_words_for_each_state(void **state)
{
	static const char *const words[] = { "0",  "1",   "false", "true",  "no",
		                             "yes", "off", "ON",    "False", " True " };

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		databuffer_options options = roomy();

		options.flush_empty = i % 2 == 0;
		assert_set(&options, "flush_empty", words[i]);
		assert_int_equal(options.flush_empty, i % 2);
	}
}

static void choices_are_set_by_word(void **state)
{
	databuffer_options options = roomy();

	(void)state;
	assert_set(&options, "flusher", "manual");
	assert_int_equal(options.flusher, DATABUFFER_MANUAL);
	assert_set(&options, "flusher", " threads ");
	assert_int_equal(options.flusher, DATABUFFER_THREADS);
	assert_not_set(&options, "flusher", "fibers", DATABUFFER_EINVAL);
	assert_sentence_is("flusher is \"fibers\", but must be one of threads|manual|processes");
}

static void hyphens_and_underscores_in_names_are_the_same(void **state)
{
	databuffer_options options = roomy();

	(void)state;
	assert_set(&options, "max-size-jitter", "3");
	assert_set(&options, "flush_interval", "4");
	assert_set(&options, "flush-jitter", "5");
	assert_int_equal(options.max_size_jitter, 3);
	assert_int_equal(options.flush_interval, 4);
	assert_int_equal(options.flush_jitter, 5);
}

static void an_unknown_name_is_answered_with_the_nearest(void **state)
{
	static const struct {
		const char *given, *meant;
	} slips[] = {
		{ "max_sise", "max_size" },          { "maxsize", "max_size" },
		{ "max-byte", "max_bytes" },         { "partition", "partitions" },
		{ "flush-intervall", "flush_interval" }, { "nmae", "name" },
		{ "Timeout", "timeout" },            { "max_in_fligth", "max_in_flight" },
		{ "flushers", "flusher" },           { "max_size_", "max_size" },
	};
	databuffer_options options = roomy();

	(void)state;
	for (size_t i = 0; i < sizeof(slips) / sizeof(slips[0]); i++) {
		char expected[128];

		assert_not_set(&options, slips[i].given, "1", DATABUFFER_ENOENT);
		snprintf(expected, sizeof(expected), "there is no option \"%s\"; did you mean %s?",
		         slips[i].given, slips[i].meant);
		assert_sentence_is(expected);
	}
	assert_not_set(&options, "", "1", DATABUFFER_ENOENT);
	assert_not_set(&options, "handle_flush", "1", DATABUFFER_ENOENT);
	assert_not_set(&options, "struct_size", "1", DATABUFFER_ENOENT);
}

static void a_name_of_any_length_may_be_unknown(void **state)
{
	databuffer_options options = roomy();
	char name[5000];

	(void)state;
	memset(name, 'm', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_not_set(&options, name, "1", DATABUFFER_ENOENT);
	assert_not_set(&options, "max_size", name, DATABUFFER_EINVAL);
	assert_not_set(&options, "name", name, DATABUFFER_EINVAL);
	assert_sentence_is("name has 4999 bytes, but must have from 1 to 255");
}

static void missing_arguments_are_refused(void **state)
{
	databuffer_options options = roomy();

	(void)state;
	assert_not_set(&options, NULL, "1", DATABUFFER_EINVAL);
	assert_not_set(&options, "max_size", NULL, DATABUFFER_EINVAL);
	assert_int_equal(databuffer_options_set(NULL, "max_size", "1"), DATABUFFER_EINVAL);
}

static void a_name_set_from_text_outlives_the_text(void **state)
{
	databuffer_options options = roomy(), other = roomy();
	char text[] = "  events of today ";

	(void)state;
	assert_set(&options, "name", text);
	memset(text, 'x', sizeof(text) - 1);
	assert_string_equal(options.name, "events of today");
	assert_set(&other, "name", "events of today");
	assert_ptr_equal(options.name, other.name);
	assert_accepted(&options);
	assert_not_set(&options, "name", "  ", DATABUFFER_EINVAL);
	assert_sentence_is("name has 0 bytes, but must have from 1 to 255");
}

enum { NAMES = 200, THREADS = 4 };

static void *set_names(void *arg)
{
	const char **names = arg;

	for (int i = 0; i < NAMES; i++) {
		databuffer_options options = databuffer_options_init();
		char text[32];

		snprintf(text, sizeof(text), "buffer %d", i);
		if (databuffer_options_set(&options, "name", text) == 0)
			names[i] = options.name;
	}
	return NULL;
}

static void names_set_by_many_threads_are_kept_once_each(void **state)
{
	static const char *names[THREADS][NAMES];
	pthread_t threads[THREADS];

	(void)state;
	for (int t = 0; t < THREADS; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, set_names, names[t]), 0);
	for (int t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	for (int i = 0; i < NAMES; i++) {
		assert_non_null(names[0][i]);
		for (int t = 1; t < THREADS; t++)
			assert_ptr_equal(names[t][i], names[0][i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_whole),
		cmocka_unit_test(the_rows_are_all_fields_but_handlers),
		cmocka_unit_test(the_defaults_are_the_promised_ones),
		cmocka_unit_test(both_ends_of_each_range_are_accepted),
		cmocka_unit_test(one_beyond_each_range_is_refused_with_name_value_and_range),
		cmocka_unit_test(a_name_has_from_1_to_255_bytes_or_is_not_there),
		cmocka_unit_test(a_refusal_reads_as_one_sentence),
		cmocka_unit_test(options_that_do_not_fit_each_other_are_refused),
		cmocka_unit_test(handle_flush_is_required),
		cmocka_unit_test(without_error_the_sentence_goes_to_handle_log),
		cmocka_unit_test(error_without_a_size_is_refused_and_never_written),
		cmocka_unit_test(a_long_sentence_is_cut_at_error_size),
		cmocka_unit_test(defaults_write_no_byte_beyond_the_size_they_are_told),
		cmocka_unit_test(an_older_program_gets_defaults_for_what_it_lacks),
		cmocka_unit_test(an_older_program_cannot_set_what_it_has_no_room_for),
		cmocka_unit_test(a_newer_program_is_welcome_until_it_sets_something_unknown),
		cmocka_unit_test(a_struct_that_was_never_initialised_is_refused),
		cmocka_unit_test(each_number_is_set_from_text_at_both_ends),
		cmocka_unit_test(one_beyond_each_range_is_refused_as_text_and_changes_nothing),
		cmocka_unit_test(nonsense_is_refused_by_every_option_that_is_no_text),
		cmocka_unit_test(numbers_take_the_suffixes_of_their_unit_and_no_other),
		cmocka_unit_test(a_suffix_that_leads_out_of_the_range_is_refused),
		cmocka_unit_test(flags_have_four_words_for_each_state),
		cmocka_unit_test(choices_are_set_by_word),
		cmocka_unit_test(hyphens_and_underscores_in_names_are_the_same),
		cmocka_unit_test(an_unknown_name_is_answered_with_the_nearest),
		cmocka_unit_test(a_name_of_any_length_may_be_unknown),
		cmocka_unit_test(missing_arguments_are_refused),
		cmocka_unit_test(a_name_set_from_text_outlives_the_text),
		cmocka_unit_test(names_set_by_many_threads_are_kept_once_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
