/* SPDX-License-Identifier: MIT */
/* format.c: which formats there are, and the simplest: each line is a record. */
#include "cli/format.h"

#include <string.h>
#include <strings.h>

#include "cli/utf8.h"

static const struct format *const format_table[] = {&format_lines, &format_ndjson, &format_csv, &format_tsv};

#define FORMAT_COUNT (sizeof(format_table) / sizeof(format_table[0]))

const struct format *format_find(const char *name)
{
	for (size_t i = 0; i < FORMAT_COUNT; i++)
		if (strcmp(format_table[i]->name, name) == 0)
			return format_table[i];
	return NULL;
}

static bool format_ends_with(const char *path, const char *endings)
{
	size_t len = strlen(path), word;

	for (; *endings; endings += word + strspn(endings + word, " ")) {
		word = strcspn(endings, " ");
		if (len > word && strncasecmp(path + len - word, endings, word) == 0)
			return true;
	}
	return false;
}

const struct format *format_of_file(const char *path)
{
	for (size_t i = 0; i < FORMAT_COUNT; i++)
		if (format_ends_with(path, format_table[i]->endings))
			return format_table[i];
	return &format_lines;
}

const char *format_names(void)
{
	return "lines, ndjson, csv or tsv";
}

/* --- Lines ---------------------------------------------------------------- */

static const char lines_names[] = "line"; /* the NUL is part of it */

static enum format_answer lines_next(void *state, struct reader *reader, struct records *records,
                                     struct format_reject *reject)
{
	databuffer_field_type type = DATABUFFER_FIELD_TEXT;
	struct line line;

	(void)state;
	(void)reject;
	switch (reader_line(reader, 0, &line)) {
	case READER_MORE:
		return FORMAT_MORE;
	case READER_END:
		return FORMAT_END;
	case READER_LONG:
		return FORMAT_LONG;
	default:
		break;
	}
	if (!utf8_is_plain(line.text, line.len) &&
	    (memchr(line.text, '\0', line.len) || utf8_valid(line.text, line.len) < line.len))
		type = DATABUFFER_FIELD_BYTES;
	records_slice(records, type, 0, line.len);
	records_finish(records, lines_names, sizeof(lines_names), reader->line, line.text, line.len);
	reader_take(reader, line.size, 1);
	return FORMAT_RECORD;
}

static void *lines_open(const char *columns)
{
	(void)columns;
	return NULL;
}

static void lines_close(void *state)
{
	(void)state;
}

const struct format format_lines = {
	.name = "lines",
	.endings = ".txt .log",
	.open = lines_open,
	.next = lines_next,
	.close = lines_close,
};
