/* SPDX-License-Identifier: MIT */
/*
 * options.c: what is known of each option stands in OPTIONS_TABLE and nowhere
 * else. A new option is a line there and a field at the end of the struct in
 * <databuffer.h>. Then the struct of another version, refusing, and the check.
 */
#include "core/options.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/options_table.h"

#define OPTIONS_MAX_SIZE 16777216 /* of max_size and its jitter together */
#define OPTIONS_PRESSURE INT64_C(1125899906842624) /* a pebibyte: more than any buffer holds */
#define OPTIONS_YEAR INT64_C(31536000000) /* in ms: the longest of all times */

/* Whether databuffer_reconfigure may change it. Who reads a live one holds the lock
 * of a partition; or reads a copy of it (buffer.h). */
enum { OPTIONS_FIXED, OPTIONS_LIVE };

/* X(field, type, FIXED or LIVE, unit, default, least, most, choices, help); of a
 * text, least and most are its bytes. */
#define OPTIONS_TABLE(X)                                                                              \
	X(name, TEXT, FIXED, "", 0, 1, 255, NULL,                                                     \
	  "what the buffer is found by, unique in the process")                                       \
	X(partitions, NUMBER, FIXED, "", 1, 1, 1024, NULL,                                            \
	  "parts that fill and flush apart from each other")                                          \
	X(max_size, NUMBER, LIVE, "items", 5000, 1, OPTIONS_MAX_SIZE, NULL,                           \
	  "flush a partition when it holds so many items")                                            \
	X(max_size_jitter, NUMBER, LIVE, "items", 0, 0, OPTIONS_MAX_SIZE - 1, NULL,                   \
	  "up to so many items more, drawn anew for every batch")                                     \
	X(max_bytes, NUMBER, FIXED, "bytes", 8388608, 1, 1073741824, NULL,                            \
	  "flush a partition when it holds so many bytes; also the largest item")                     \
	X(max_in_flight, NUMBER, FIXED, "", 1, 1, 64, NULL,                                           \
	  "flushes of a partition at one time; above 1, batches may overtake each other")             \
	X(max_queued, NUMBER, FIXED, "", 0, 0, 1024, NULL,                                            \
	  "full batches that a partition keeps waiting before inserts wait")                          \
	X(max_stuck, NUMBER, FIXED, "", 2, 0, 64, NULL,                                               \
	  "late flushes that a partition goes on without, with other memory")                         \
	X(idle_memory, NUMBER, LIVE, "ms", 10000, 0, OPTIONS_YEAR, NULL,                              \
	  "time without a batch after which memory goes back to the system; 0: never")                \
	X(flush_interval, NUMBER, LIVE, "ms", 10000, 0, OPTIONS_YEAR, NULL,                           \
	  "flush a partition so long after its last flush; 0: never by time")                         \
	X(flush_jitter, NUMBER, LIVE, "ms", 2000, 0, OPTIONS_YEAR, NULL,                              \
	  "up to so much later, drawn anew for every interval")                                       \
	X(flush_timeout, NUMBER, LIVE, "ms", 60000, 0, OPTIONS_YEAR, NULL,                            \
	  "a flush that takes longer is late, and the partition goes on without it; 0: any time")     \
	X(flush_empty, FLAG, FIXED, "", 0, 0, 1, NULL,                                                \
	  "call the handler at each interval even if there is nothing to flush")                      \
	X(timeout, NUMBER, LIVE, "ms", 5000, 0, OPTIONS_YEAR, NULL,                                   \
	  "how long an insert waits for room; 0: not at all")                                         \
	X(overflow, CHOICE, FIXED, "", DATABUFFER_OVERFLOW_BLOCK, 0, 3, "block|fail|drop_newest|drop_oldest", \
	  "what an insert does without room: wait, fail, or give up its own items or the oldest")     \
	X(pressure_high, NUMBER, FIXED, "bytes", 0, 0, OPTIONS_PRESSURE, NULL,                        \
	  "tell handle_pressure when the buffer holds so many bytes; 0: never")                       \
	X(pressure_low, NUMBER, FIXED, "bytes", 0, 0, OPTIONS_PRESSURE - 1, NULL,                     \
	  "after that, tell it when no more than so many are left")                                   \
	X(retry_min, NUMBER, LIVE, "ms", 100, 1, OPTIONS_YEAR, NULL,                                  \
	  "wait before a failed batch is tried a second time, at least")                              \
	X(retry_max, NUMBER, LIVE, "ms", 30000, 1, OPTIONS_YEAR, NULL,                                \
	  "wait between two tries of a batch, at most")                                               \
	X(retry_limit, NUMBER, LIVE, "", 0, 0, INT32_MAX, NULL,                                       \
	  "attempts after which a batch that fails for now is given up; 0: never")                    \
	X(retry_for, NUMBER, LIVE, "ms", 0, 0, OPTIONS_YEAR, NULL,                                    \
	  "time since its first failed attempt after which a batch is given up; 0: never")            \
	X(breaker_failures, NUMBER, LIVE, "", 0, 0, INT32_MAX, NULL,                                  \
	  "failures in a row after which only one batch is tried per backoff; 0: never")              \
	X(rate_limit, NUMBER, LIVE, "items", 0, 0, 1000000000, NULL,                                  \
	  "items that handlers are given in a second, over all partitions; 0: any number")            \
	X(rate_limit_flushes, NUMBER, LIVE, "", 0, 0, 1000000000, NULL,                               \
	  "flushes in a second, over all partitions; 0: any number")                                  \
	X(seed, NUMBER, FIXED, "", 0, 0, INT64_MAX, NULL,                                             \
	  "where the jitter's random numbers begin; 0: elsewhere every time")                         \
	X(flusher, CHOICE, FIXED, "", DATABUFFER_THREADS, 0, 2, "threads|manual|processes",           \
	  "who flushes: threads of the library, the program's own loop, or worker processes")         \
	X(flusher_count, NUMBER, FIXED, "", 0, 0, 256, NULL,                                          \
	  "handlers that run at one time; 0: as many as may, of processes 16 at most")                \
	X(worker_memory_limit, NUMBER, FIXED, "bytes", 0, 0, INT64_MAX / 2, NULL,                     \
	  "memory that a worker process may take beyond what it was born with; 0: any")               \
	X(worker_max_flushes, NUMBER, FIXED, "", 0, 0, INT64_MAX, NULL,                               \
	  "flushes after which a worker process makes way for a fresh one; 0: never")                 \
	X(kill_limit, NUMBER, FIXED, "", 2, 1, 1000, NULL,                                            \
	  "worker processes that a batch may kill before it counts as rejected")                      \
	X(max_restarts, NUMBER, FIXED, "", 100, 0, 10000, NULL,                                       \
	  "deaths of worker processes in max_restart_period that are made good at once")              \
	X(max_restart_period, NUMBER, FIXED, "ms", 5000, 1, OPTIONS_YEAR, NULL,                       \
	  "time in which deaths of worker processes are counted; after more, restarts wait")          \
	X(worker_fallback, CHOICE, FIXED, "", DATABUFFER_FALLBACK_WAIT, 0, 1, "wait|threads",         \
	  "who flushes when no process can be forked any more: nobody until one can, or threads")

static const struct options_row options_rows[] = {
#define OPTIONS_ROW(field, kind, when, unit_, initial_, min_, max_, choices_, help_)                  \
	{                                                                                             \
		.option = {                                                                           \
			.name = #field,                                                               \
			.type = DATABUFFER_OPTION_##kind,                                             \
			.live = OPTIONS_##when,                                                       \
			.unit = (unit_),                                                              \
			.initial = (initial_),                                                        \
			.min = (min_),                                                                \
			.max = (max_),                                                                \
			.choices = (choices_),                                                        \
			.help = (help_),                                                              \
		},                                                                                    \
		.offset = offsetof(databuffer_options, field),                                        \
		.size = sizeof(((databuffer_options *)NULL)->field),                                  \
	},
	OPTIONS_TABLE(OPTIONS_ROW)
#undef OPTIONS_ROW
};

#define OPTIONS_COUNT (sizeof(options_rows) / sizeof(options_rows[0]))

static const databuffer_options options_initial = {
	.struct_size = sizeof(databuffer_options),
#define OPTIONS_INITIAL(field, kind, when, unit_, initial_, min_, max_, choices_, help_) .field = (initial_),
	OPTIONS_TABLE(OPTIONS_INITIAL)
#undef OPTIONS_INITIAL
};

const struct options_row *options_row_at(size_t i)
{
	return i < OPTIONS_COUNT ? &options_rows[i] : NULL;
}

const databuffer_option *databuffer_options_at(size_t i)
{
	return i < OPTIONS_COUNT ? &options_rows[i].option : NULL;
}

/* --- The struct of an older or newer program ------------------------------ */

/* No version's struct is longer, so that garbage is not taken for a size. */
#define OPTIONS_STRUCT_MAX 4096

bool options_size_is_sane(const databuffer_options *given)
{
	return given->struct_size >= sizeof(given->struct_size) && given->struct_size <= OPTIONS_STRUCT_MAX &&
	       given->struct_size % _Alignof(databuffer_options) == 0;
}

/* A complete struct: what was given, over the defaults. */
static databuffer_options options_complete(const databuffer_options *given)
{
	databuffer_options full = options_initial;

	memcpy(&full, given, options_smaller(given->struct_size, sizeof(full)));
	full.struct_size = sizeof(full);
	return full;
}

static bool options_are_all_known(const databuffer_options *given)
{
	const unsigned char *bytes = (const unsigned char *)given;

	for (size_t i = sizeof(*given); i < given->struct_size; i++) {
		if (bytes[i] != 0)
			return false;
	}
	return true;
}

void databuffer_options_defaults(databuffer_options *options, size_t size)
{
	databuffer_options full = options_initial;

	if (!options || size < sizeof(options->struct_size))
		return;
	full.struct_size = size;
	memset(options, 0, size);
	memcpy(options, &full, options_smaller(size, sizeof(full)));
}

/* --- Refusing --------------------------------------------------------------- */

void options_refuse(const databuffer_options *options, const char *fmt, ...)
{
	bool readable = options && options_size_is_sane(options);
	databuffer_options full = readable ? options_complete(options) : options_initial;
	char line[LOG_LINE_SIZE];
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(line, sizeof(line), fmt, args) < 0)
		line[0] = '\0';
	va_end(args);
	if (full.error && full.error_size > 0)
		snprintf(full.error, full.error_size, "%s", line);
	else
		log_line(&full, DATABUFFER_LOG_ERROR, "%s", line);
}

struct options_range options_range(const databuffer_option *option)
{
	struct options_range range;
	const char *blank = option->unit[0] != '\0' ? " " : "";

	switch (option->type) {
	case DATABUFFER_OPTION_FLAG:
		snprintf(range.text, sizeof(range.text), "0 or 1");
		break;
	case DATABUFFER_OPTION_CHOICE:
		snprintf(range.text, sizeof(range.text), "one of %s", option->choices);
		break;
	default:
		snprintf(range.text, sizeof(range.text), "from %lld to %lld%s%s", (long long)option->min,
		         (long long)option->max, blank, option->unit);
		break;
	}
	return range;
}

int options_refuse_length(const databuffer_options *given, const databuffer_option *option, size_t len)
{
	options_refuse(given, "%s has %zu bytes, but must have %s", option->name, len,
	               options_range(option).text);
	return DATABUFFER_EINVAL;
}

/* --- The check at start ------------------------------------------------------- */

static int options_check_row(const databuffer_options *given, databuffer_options *full,
                             const struct options_row *row)
{
	const databuffer_option *option = &row->option;
	int64_t value;

	if (option->type == DATABUFFER_OPTION_TEXT) {
		const char *text;
		size_t len;

		memcpy(&text, (const char *)full + row->offset, sizeof(text));
		if (!text)
			return 0;
		len = strlen(text);
		if (len < (size_t)option->min || len > (size_t)option->max)
			return options_refuse_length(given, option, len);
		return 0;
	}
	value = *options_number(full, row);
	if (value >= option->min && value <= option->max)
		return 0;
	options_refuse(given, "%s is %lld, but must be %s", option->name, (long long)value,
	               options_range(option).text);
	return DATABUFFER_EINVAL;
}

/* What no row can say: how the options fit each other, and what has no row. */
static int options_check_together(const databuffer_options *given, const databuffer_options *full)
{
	if (full->max_size + full->max_size_jitter > OPTIONS_MAX_SIZE)
		options_refuse(given,
		               "max_size is %lld and max_size_jitter is %lld, but together they must be at "
		               "most %d items",
		               (long long)full->max_size, (long long)full->max_size_jitter, OPTIONS_MAX_SIZE);
	else if (full->retry_max < full->retry_min)
		options_refuse(given,
		               "retry_max is %lld ms, but must be at least retry_min, which is %lld ms",
		               (long long)full->retry_max, (long long)full->retry_min);
	else if (full->pressure_low > 0 && full->pressure_low >= full->pressure_high)
		options_refuse(given,
		               "pressure_low is %lld bytes, but must be below pressure_high, which is %lld bytes",
		               (long long)full->pressure_low, (long long)full->pressure_high);
	else if (!full->handle_flush)
		options_refuse(given, "handle_flush is NULL, but must be the function that writes a batch");
	else if (full->allocator && (!full->allocator->alloc || !full->allocator->free))
		options_refuse(given, "allocator has no %s, but must have both functions, or be NULL",
		               full->allocator->alloc ? "free" : "alloc");
	else if (full->error && full->error_size == 0)
		options_refuse(given, "error_size is 0, but must be the number of bytes at error");
	else
		return 0;
	return DATABUFFER_EINVAL;
}

int options_check(const databuffer_options *given, databuffer_options *full)
{
	databuffer_options copy;
	int rc;

	if (!given) {
		options_refuse(NULL, "options is NULL; start from databuffer_options_init()");
		return DATABUFFER_EINVAL;
	}
	if (!options_size_is_sane(given)) {
		options_refuse(NULL, "struct_size is %zu; start from databuffer_options_init()",
		               given->struct_size);
		return DATABUFFER_EINVAL;
	}
	if (!options_are_all_known(given)) {
		options_refuse(given,
		               "struct_size is %zu, and an option beyond byte %zu is set, which version %s "
		               "does not have",
		               given->struct_size, sizeof(copy), databuffer_version());
		return DATABUFFER_EINVAL;
	}
	copy = options_complete(given);
	for (size_t i = 0; i < OPTIONS_COUNT; i++) {
		rc = options_check_row(given, &copy, &options_rows[i]);
		if (rc < 0)
			return rc;
	}
	rc = options_check_together(given, &copy);
	if (rc == 0)
		*full = copy;
	return rc;
}
