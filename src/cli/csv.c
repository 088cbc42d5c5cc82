/* SPDX-License-Identifier: MIT */
/*
 * csv.c: fields with a comma or a tab between them, quoted where they must be.
 *
 * The parser is fed line by line, so that it is known of each record on which
 * lines it stood and how it was written. A record that begins with a quote that
 * is never closed would swallow all that follows; so what cannot be parsed costs
 * the line on which it began and no other: the reader has taken none yet, and
 * goes on with the next line.
 */
#include <csv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/columns.h"
#include "cli/format.h"
#include "cli/memory.h"
#include "cli/number.h"
#include "cli/utf8.h"

#define CSV_BLOCK (64u << 10) /* by how much the parser's memory for a field grows */

struct csv {
	struct csv_parser parser;
	char delimiter;
	struct columns columns;

	/* The record that is being parsed: lines that were fed, from the reader's
	 * beginning, and the end of the last of them without its line end. */
	size_t fed, text_len, first_size;
	uint64_t lines;
	bool quotes_open; /* an odd number of quotes so far */

	/* In the parser's callbacks. */
	struct records *records;
	const char *text; /* the record as written, as far as it was fed */
	size_t cursor;    /* where the next field begins in it */
	bool plain;       /* ASCII without a NUL, as far as it was fed */
	bool row;         /* the record is complete */
};

/* --- Callbacks ------------------------------------------------------------------ */

/* Where a field's value stands in the record as written, or -1 if it does not
 * stand there as it is: quotes in it are doubled there. Moves the cursor on. */
static ptrdiff_t csv_place(struct csv *state, const char *field, size_t len)
{
	size_t at = state->cursor, doubled = 0;

	if (state->text[at] != '"') {
		state->cursor += len + 1;
		return (ptrdiff_t)at;
	}
	for (const char *quote = field; (quote = memchr(quote, '"', (size_t)(field + len - quote))) != NULL;
	     quote++)
		doubled++;
	state->cursor += len + doubled + 3;
	return doubled ? -1 : (ptrdiff_t)at + 1;
}

static void csv_on_field(void *bytes, size_t len, void *opened)
{
	databuffer_field_type type = DATABUFFER_FIELD_TEXT;
	struct csv *state = opened;
	const char *field = bytes;
	int64_t integer;
	double real;
	ptrdiff_t at;

	if (!state->columns.known) {
		columns_add(&state->columns, field, len);
		return;
	}
	at = csv_place(state, field, len);
	switch (number_read(field, len, &integer, &real)) {
	case NUMBER_INTEGER:
		records_integer(state->records, integer);
		return;
	case NUMBER_REAL:
		records_real(state->records, real);
		return;
	default:
		break;
	}
	if (!state->plain && (memchr(field, '\0', len) || utf8_valid(field, len) < len))
		type = DATABUFFER_FIELD_BYTES;
	if (at >= 0)
		records_slice(state->records, type, (size_t)at, len);
	else
		records_copy(state->records, type, field, len);
}

static void csv_on_row(int ending, void *opened)
{
	struct csv *state = opened;

	(void)ending;
	state->row = true;
}

/* Blanks belong to the field they are in, and only a newline ends a record: the
 * "\r" before it is taken off before the parser sees it. */
static int csv_is_blank(unsigned char c)
{
	(void)c;
	return 0;
}

static int csv_is_end(unsigned char c)
{
	return c == '\n';
}

/* --- Records -------------------------------------------------------------------- */

static void csv_forget(struct csv *state, struct records *records)
{
	records_abandon(records);
	csv_fini(&state->parser, NULL, NULL, NULL);
	state->fed = state->text_len = state->first_size = 0;
	state->lines = 0;
	state->cursor = 0;
	state->row = state->quotes_open = false;
	state->plain = true;
	if (!state->columns.known)
		columns_forget(&state->columns);
}

/* A record without a quote is one line, and whatever stands between delimiters
 * is a field: most records are, and need no parser. */
static void csv_split(struct csv *state, const struct line *line)
{
	const char *field = line->text, *end = field + line->len, *stop;

	while ((stop = memchr(field, state->delimiter, (size_t)(end - field))) != NULL) {
		csv_on_field((void *)field, (size_t)(stop - field), state);
		field = stop + 1;
	}
	csv_on_field((void *)field, (size_t)(end - field), state);
	csv_on_row('\n', state);
}

static bool csv_odd_quotes(const char *text, size_t len)
{
	const char *end = text + len;
	bool odd = false;

	for (; (text = memchr(text, '"', (size_t)(end - text))) != NULL; text++)
		odd = !odd;
	return odd;
}

/* Feeds one more line. Inside quotes its end belongs to the field, as it is. */
static bool csv_feed(struct csv *state, struct reader *reader, const struct line *line,
                     struct records *records)
{
	bool quoted = state->lines > 0 || memchr(line->text, '"', line->len);
	size_t len;

	state->records = records;
	state->text = reader->bytes + reader->begin;
	state->text_len = state->fed + line->len;
	state->plain = state->plain && utf8_is_plain(line->text, line->len);
	state->fed += line->size;
	if (state->lines++ == 0)
		state->first_size = line->size;
	if (!quoted) {
		csv_split(state, line);
		return true;
	}
	state->quotes_open ^= csv_odd_quotes(line->text, line->len);
	len = state->quotes_open ? line->size : line->len;
	return csv_parse(&state->parser, line->text, len, csv_on_field, csv_on_row, state) == len &&
	       (state->quotes_open ||
		csv_parse(&state->parser, "\n", 1, csv_on_field, csv_on_row, state) == 1);
}

static enum format_answer csv_refuse(struct csv *state, struct reader *reader, struct records *records,
                                     struct format_reject *reject, size_t size, uint64_t lines, size_t len)
{
	reject->line = reader->line;
	reject->text = reader->bytes + reader->begin;
	reject->len = len;
	reader_take(reader, size, lines);
	csv_forget(state, records);
	return FORMAT_REJECT;
}

/* The line on which the record began does not fit, and no other is blamed. */
static enum format_answer csv_refuse_line(struct csv *state, struct reader *reader, struct records *records,
                                          struct format_reject *reject, const char *reason)
{
	const char *text = reader->bytes + reader->begin;
	size_t size = state->first_size, len = size;

	snprintf(reject->reason, sizeof(reject->reason), "%s", reason);
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (!state->columns.known)
		columns_fail(&state->columns, reason);
	return csv_refuse(state, reader, records, reject, size, 1, len);
}

/* The record that was fed whole. */
static enum format_answer csv_complete(struct csv *state, struct reader *reader, struct records *records,
                                       struct format_reject *reject)
{
	const struct columns *columns = &state->columns;

	if (columns->fault[0] || records->fields != columns->count) {
		if (columns->fault[0])
			snprintf(reject->reason, sizeof(reject->reason), "the header does not fit: %s",
			         columns->fault);
		else
			snprintf(reject->reason, sizeof(reject->reason),
			         "%zu field%s where there %s %zu column%s", records->fields,
			         records->fields == 1 ? "" : "s", columns->count == 1 ? "is" : "are",
			         columns->count, columns->count == 1 ? "" : "s");
		return csv_refuse(state, reader, records, reject, state->fed, state->lines, state->text_len);
	}
	records_finish(records, columns->names, columns->len, reader->line, reader->bytes + reader->begin,
	               state->text_len);
	reader_take(reader, state->fed, state->lines);
	csv_forget(state, records);
	return FORMAT_RECORD;
}

static enum format_answer csv_next(void *opened, struct reader *reader, struct records *records,
                                   struct format_reject *reject)
{
	struct csv *state = opened;
	struct line line;

	for (;;) {
		switch (reader_line(reader, state->fed, &line)) {
		case READER_MORE:
			return FORMAT_MORE;
		case READER_END:
			if (state->lines == 0)
				return FORMAT_END;
			return csv_refuse_line(state, reader, records, reject,
			                       "a quote is opened and never closed");
		case READER_LONG:
			if (state->lines == 0) {
				if (!state->columns.known)
					columns_fail(&state->columns, "its line is over the limit");
				return FORMAT_LONG;
			}
			return csv_refuse_line(
			    state, reader, records, reject,
			    "a quote is opened and not closed within the limit of a record");
		default:
			break;
		}
		if (state->lines == 0 && line.len == 0) {
			reader_take(reader, line.size, 1);
			continue;
		}
		if (!csv_feed(state, reader, &line, records))
			return csv_refuse_line(state, reader, records, reject,
			                       state->lines > 1
			                           ? "a quote is opened and not closed where it should be"
			                           : "a quote stands where none may be: quotes enclose "
			                             "a whole field, and are doubled within");
		if (!state->row)
			continue;
		if (state->columns.known)
			return csv_complete(state, reader, records, reject);
		state->columns.known = true;
		reader_take(reader, state->fed, state->lines);
		csv_forget(state, records);
	}
}

/* --- The tables ----------------------------------------------------------------- */

static void *csv_open_with(char delimiter, const char *columns)
{
	struct csv *state = memory_new(sizeof(*state));

	csv_init(&state->parser, CSV_STRICT);
	csv_set_delim(&state->parser, (unsigned char)delimiter);
	csv_set_space_func(&state->parser, csv_is_blank);
	csv_set_term_func(&state->parser, csv_is_end);
	csv_set_blk_size(&state->parser, CSV_BLOCK);
	state->delimiter = delimiter;
	if (columns)
		columns_add_list(&state->columns, columns);
	return state;
}

static void *csv_open(const char *columns)
{
	return csv_open_with(',', columns);
}

static void *tsv_open(const char *columns)
{
	return csv_open_with('\t', columns);
}

static void csv_close(void *opened)
{
	struct csv *state = opened;

	csv_free(&state->parser);
	columns_fini(&state->columns);
	free(state);
}

const struct format format_csv = {
	.name = "csv",
	.endings = ".csv",
	.has_columns = true,
	.open = csv_open,
	.next = csv_next,
	.close = csv_close,
};

const struct format format_tsv = {
	.name = "tsv",
	.endings = ".tsv .tab",
	.has_columns = true,
	.open = tsv_open,
	.next = csv_next,
	.close = csv_close,
};
