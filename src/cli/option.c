/* SPDX-License-Identifier: MIT */
/* option.c: rows that describe a value, in words and from words. */
#include "cli/option.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int option_parse(const databuffer_option *row, const char *text, int64_t *value, char *wrong, size_t size)
{
	int64_t len = (int64_t)strlen(text);
	char range[160];

	if (row->type == DATABUFFER_OPTION_TEXT ? len >= row->min && len <= row->max :
	                                          databuffer_option_parse(row, text, value) == 0)
		return 0;
	option_range(row, range, sizeof(range));
	snprintf(wrong, size, "must be %s, not \"%.100s\"", range, text);
	return -1;
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
