/* SPDX-License-Identifier: MIT */
/* options_text.c: databuffer_options_set and databuffer_option_parse: names, numbers
 * with suffixes, words. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/options.h"
#include "core/options_table.h"

/* --- Values ------------------------------------------------------------------------ */

/* What may stand behind a number, by unit. */
static const struct options_suffix {
	const char *unit, *word;
	int64_t factor;
} options_suffixes[] = {
	{ "items", "k", 1000 },
	{ "items", "M", 1000000 },
	{ "items", "G", 1000000000 },
	{ "bytes", "k", 1 << 10 },
	{ "bytes", "K", 1 << 10 },
	{ "bytes", "KiB", 1 << 10 },
	{ "bytes", "M", 1 << 20 },
	{ "bytes", "MiB", 1 << 20 },
	{ "bytes", "G", 1 << 30 },
	{ "bytes", "GiB", 1 << 30 },
	{ "ms", "ms", 1 },
	{ "ms", "s", 1000 },
	{ "ms", "m", 60000 },
	{ "ms", "h", 3600000 },
	{ "ms", "d", 86400000 },
};

#define OPTIONS_SUFFIX_COUNT (sizeof(options_suffixes) / sizeof(options_suffixes[0]))

/* The suffixes that may stand behind a number of this row, in parentheses. */
static struct options_range options_suffixes_of(const databuffer_option *option)
{
	struct options_range list = { "" };
	size_t used = 0;

	for (size_t i = 0; i < OPTIONS_SUFFIX_COUNT; i++) {
		if (strcmp(options_suffixes[i].unit, option->unit) != 0)
			continue;
		used += (size_t)snprintf(list.text + used, sizeof(list.text) - used, "%s%s",
		                         used > 0 ? ", " : " (suffixes: ", options_suffixes[i].word);
	}
	if (used > 0)
		snprintf(list.text + used, sizeof(list.text) - used, ")");
	return list;
}

/* Characters of a longer text; it is not ended by a NUL. */
struct options_span {
	const char *at;
	size_t len;
};

static bool options_is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct options_span options_trim(struct options_span span)
{
	while (span.len > 0 && options_is_blank(span.at[0])) {
		span.at++;
		span.len--;
	}
	while (span.len > 0 && options_is_blank(span.at[span.len - 1]))
		span.len--;
	return span;
}

static bool options_span_is(struct options_span span, const char *word)
{
	return strlen(word) == span.len && strncasecmp(span.at, word, span.len) == 0;
}

/* Decimal digits, with a "-" before them if need be, so that a negative number is
 * read as one and refused for its value. Leaves the rest in *span. */
static bool options_parse_digits(struct options_span *span, int64_t *value)
{
	bool negative = span->len > 0 && span->at[0] == '-';
	size_t i = negative ? 1 : 0, first = i;

	for (*value = 0; i < span->len && span->at[i] >= '0' && span->at[i] <= '9'; i++) {
		int digit = span->at[i] - '0';

		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, negative ? -digit : digit, value))
			return false;
	}
	if (i == first)
		return false;
	span->at += i;
	span->len -= i;
	return true;
}

/* Suffixes are told apart by case: "m" is a minute, "M" a million. */
static bool options_parse_number(const databuffer_option *option, struct options_span span, int64_t *value)
{
	if (!options_parse_digits(&span, value))
		return false;
	span = options_trim(span);
	if (span.len == 0)
		return true;
	for (size_t i = 0; i < OPTIONS_SUFFIX_COUNT; i++) {
		const struct options_suffix *suffix = &options_suffixes[i];

		if (strcmp(suffix->unit, option->unit) == 0 && strlen(suffix->word) == span.len &&
		    memcmp(suffix->word, span.at, span.len) == 0)
			return !__builtin_mul_overflow(*value, suffix->factor, value);
	}
	return false;
}

static bool options_parse_flag(struct options_span span, int64_t *value)
{
	static const char *const words[][4] = {
		{ "0", "false", "no", "off" },
		{ "1", "true", "yes", "on" },
	};

	for (size_t i = 0; i < 8; i++) {
		if (options_span_is(span, words[i / 4][i % 4])) {
			*value = (int64_t)(i / 4);
			return true;
		}
	}
	return false;
}

static bool options_parse_choice(const databuffer_option *option, struct options_span span, int64_t *value)
{
	const char *word = option->choices;

	for (*value = 0;; ++*value) {
		size_t len = strcspn(word, "|");

		if (len == span.len && strncasecmp(word, span.at, len) == 0)
			return true;
		if (word[len] == '\0')
			return false;
		word += len + 1;
	}
}

static bool options_parse(const databuffer_option *option, struct options_span span, int64_t *value)
{
	switch (option->type) {
	case DATABUFFER_OPTION_FLAG:
		return options_parse_flag(span, value);
	case DATABUFFER_OPTION_CHOICE:
		return options_parse_choice(option, span, value);
	default:
		return options_parse_number(option, span, value) && *value >= option->min &&
		       *value <= option->max;
	}
}

int databuffer_option_parse(const databuffer_option *option, const char *text, int64_t *value)
{
	int64_t parsed;

	if (!option || !text || !value || option->type == DATABUFFER_OPTION_TEXT ||
	    !options_parse(option, options_trim((struct options_span){ text, strlen(text) }), &parsed))
		return DATABUFFER_EINVAL;
	*value = parsed;
	return 0;
}

/* --- Texts ------------------------------------------------------------------------ */

/* Texts that options point to. They stay as long as the process, each once, and
 * only ever grow in front: no lock that a fork could leave behind, and leak
 * checkers find them all from here. */
struct options_text {
	struct options_text *next;
	char text[];
};

static struct options_text *_Atomic options_texts;

/* The one text of these characters, NULL without memory. The store that puts a
 * node in front releases its contents to whoever walks the list. */
static const char *options_intern(struct options_span span)
{
	struct options_text *first = atomic_load_explicit(&options_texts, memory_order_acquire);
	struct options_text *fresh = NULL;

	do {
		for (struct options_text *node = first; node; node = node->next) {
			if (strlen(node->text) == span.len && memcmp(node->text, span.at, span.len) == 0) {
				free(fresh);
				return node->text;
			}
		}
		if (!fresh) {
			fresh = malloc(sizeof(*fresh) + span.len + 1);
			if (!fresh)
				return NULL;
			memcpy(fresh->text, span.at, span.len);
			fresh->text[span.len] = '\0';
		}
		fresh->next = first;
	} while (!atomic_compare_exchange_weak_explicit(&options_texts, &first, fresh, memory_order_release,
	                                                memory_order_acquire));
	return fresh->text;
}

static int options_set_text(databuffer_options *options, const struct options_row *row,
                            struct options_span span)
{
	const char *text;

	if (span.len < (size_t)row->option.min || span.len > (size_t)row->option.max)
		return options_refuse_length(options, &row->option, span.len);
	text = options_intern(span);
	if (!text) {
		options_refuse(options, "%s: memory ran out", row->option.name);
		return DATABUFFER_ENOMEM;
	}
	memcpy((char *)options + row->offset, &text, sizeof(text));
	return 0;
}

/* --- Names ------------------------------------------------------------------------ */

static char options_letter(char c)
{
	return c == '-' ? '_' : c;
}

static bool options_name_is(const char *given, const char *name)
{
	while (*given != '\0' && options_letter(*given) == *name)
		given++, name++;
	return *given == '\0' && *name == '\0';
}

/* Longer names than this have nothing in common with any of ours. */
#define OPTIONS_NAME_MAX 32

/* How many letters have to be put in, taken out or changed to make `name` of
 * `given` (Levenshtein's distance), row by row of the usual table. */
static size_t options_distance(const char *given, const char *name)
{
	size_t rows = strnlen(given, OPTIONS_NAME_MAX), columns = strlen(name);
	size_t row[OPTIONS_NAME_MAX + 1];

	for (size_t j = 0; j <= columns; j++)
		row[j] = j;
	for (size_t i = 1; i <= rows; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= columns; j++) {
			size_t changed = diagonal + (options_letter(given[i - 1]) != name[j - 1]);
			size_t moved = options_smaller(row[j], row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = options_smaller(changed, moved);
		}
	}
	return row[columns];
}

static const struct options_row *options_find(const char *name)
{
	const struct options_row *row;

	for (size_t i = 0; (row = options_row_at(i)); i++) {
		if (options_name_is(name, row->option.name))
			break;
	}
	return row;
}

static const char *options_nearest(const char *name)
{
	const struct options_row *row;
	const char *nearest = NULL;
	size_t least = SIZE_MAX;

	for (size_t i = 0; (row = options_row_at(i)); i++) {
		size_t distance = options_distance(name, row->option.name);

		if (distance < least) {
			least = distance;
			nearest = row->option.name;
		}
	}
	return nearest;
}

int databuffer_options_set(databuffer_options *options, const char *name, const char *text)
{
	const struct options_row *row;
	struct options_span span;
	int64_t value;

	if (!options || !name || !text || !options_size_is_sane(options)) {
		options_refuse(options, "to set an option takes options of databuffer_options_init(), a name "
		                        "and a text");
		return DATABUFFER_EINVAL;
	}
	row = options_find(name);
	if (!row) {
		options_refuse(options, "there is no option \"%.64s\"; did you mean %s?", name,
		               options_nearest(name));
		return DATABUFFER_ENOENT;
	}
	if (row->offset + row->size > options->struct_size) {
		options_refuse(options, "%s is an option that the program was compiled without",
		               row->option.name);
		return DATABUFFER_ENOENT;
	}
	span = options_trim((struct options_span){ text, strlen(text) });
	if (row->option.type == DATABUFFER_OPTION_TEXT)
		return options_set_text(options, row, span);
	if (!options_parse(&row->option, span, &value)) {
		options_refuse(options, "%s is \"%.*s\", but must be %s%s", row->option.name,
		               (int)options_smaller(span.len, 64), span.at, options_range(&row->option).text,
		               options_suffixes_of(&row->option).text);
		return DATABUFFER_EINVAL;
	}
	*options_number(options, row) = value;
	return 0;
}
