/* SPDX-License-Identifier: MIT */
/* option.c: rows that describe a value, in words and from words. */
#include "cli/option.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option_suffix {
	const char *unit, *word;
	int64_t factor;
} option_suffixes[] = {
	{ "bytes", "k", 1 << 10 },
	{ "bytes", "K", 1 << 10 },
	{ "bytes", "KiB", 1 << 10 },
	{ "bytes", "M", 1 << 20 },
	{ "bytes", "MiB", 1 << 20 },
	{ "bytes", "G", 1 << 30 },
	{ "bytes", "GiB", 1 << 30 },
	{ "items", "k", 1000 },
	{ "items", "M", 1000000 },
	{ "items", "G", 1000000000 },
	{ "ms", "ms", 1 },
	{ "ms", "s", 1000 },
	{ "ms", "m", 60000 },
	{ "ms", "h", 3600000 },
	{ "ms", "d", 86400000 },
};

#define OPTION_SUFFIXES (sizeof(option_suffixes) / sizeof(option_suffixes[0]))

static bool option_number(const char *unit, const char *text, int64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoll(text, &end, 10);
	if (end == text || errno != 0 || text[0] == '+' || text[0] == ' ')
		return false;
	if (*end == '\0')
		return true;
	for (size_t i = 0; i < OPTION_SUFFIXES; i++) {
		const struct option_suffix *suffix = &option_suffixes[i];

		if (strcmp(suffix->unit, unit) == 0 && strcmp(suffix->word, end) == 0)
			return !__builtin_mul_overflow(*value, suffix->factor, value);
	}
	return false;
}

/* The place of a word among those separated by "|", or -1. */
static int64_t option_place(const char *words, const char *text)
{
	size_t len = strlen(text);

	for (int64_t i = 0;; i++) {
		size_t word = strcspn(words, "|");

		if (word == len && memcmp(words, text, len) == 0)
			return i;
		if (words[word] == '\0')
			return -1;
		words += word + 1;
	}
}

int option_parse(const databuffer_option *row, const char *text, int64_t *value, char *wrong, size_t size)
{
	char range[160];
	int64_t parsed = 0;
	bool right;

	switch (row->type) {
	case DATABUFFER_OPTION_FLAG:
		parsed = option_place("0|1|no|yes|off|on|false|true", text);
		right = parsed >= 0;
		parsed %= 2;
		break;
	case DATABUFFER_OPTION_CHOICE:
		parsed = option_place(row->choices, text);
		right = parsed >= 0;
		break;
	case DATABUFFER_OPTION_NUMBER:
		right = option_number(row->unit, text, &parsed) && parsed >= row->min && parsed <= row->max;
		break;
	default:
		right = (int64_t)strlen(text) >= row->min && (int64_t)strlen(text) <= row->max;
		break;
	}
	if (!right) {
		option_range(row, range, sizeof(range));
		snprintf(wrong, size, "must be %s, not \"%.100s\"", range, text);
		return -1;
	}
	*value = parsed;
	return 0;
}

void option_range(const databuffer_option *row, char *text, size_t size)
{
	const char *word;
	size_t len;

	switch (row->type) {
	case DATABUFFER_OPTION_FLAG:
		snprintf(text, size, "0 or 1");
		break;
	case DATABUFFER_OPTION_CHOICE:
		text[0] = '\0';
		for (word = row->choices;; word += len + 1) {
			size_t used = strlen(text);

			len = strcspn(word, "|");
			snprintf(text + used, size - used, "%s%.*s", used ? " or " : "", (int)len, word);
			if (word[len] == '\0')
				break;
		}
		break;
	case DATABUFFER_OPTION_NUMBER:
		snprintf(text, size, "%" PRId64 " to %" PRId64 "%s%s", row->min, row->max,
		         row->unit[0] ? " " : "", row->unit);
		break;
	default:
		snprintf(text, size, "a text of %" PRId64 " to %" PRId64 " bytes", row->min, row->max);
		break;
	}
}

void option_default(const databuffer_option *row, char *text, size_t size)
{
	const char *word = row->choices;

	switch (row->type) {
	case DATABUFFER_OPTION_CHOICE:
		for (int64_t i = 0; i < row->initial; i++)
			word += strcspn(word, "|") + 1;
		snprintf(text, size, "%.*s", (int)strcspn(word, "|"), word);
		break;
	case DATABUFFER_OPTION_TEXT:
		snprintf(text, size, "none");
		break;
	default:
		snprintf(text, size, "%" PRId64, row->initial);
		break;
	}
}

const char *option_word(const databuffer_option *row)
{
	if (row->type == DATABUFFER_OPTION_FLAG)
		return "0|1";
	if (row->type == DATABUFFER_OPTION_CHOICE)
		return row->choices;
	if (row->type == DATABUFFER_OPTION_TEXT)
		return "TEXT";
	if (strcmp(row->unit, "items") == 0)
		return "ITEMS";
	if (strcmp(row->unit, "bytes") == 0)
		return "BYTES";
	if (strcmp(row->unit, "ms") == 0)
		return "MS";
	return "N";
}

void option_flag(const databuffer_option *row, char *text, size_t size)
{
	snprintf(text, size, "%s", row->name);
	for (; *text; text++)
		if (*text == '_')
			*text = '-';
}
