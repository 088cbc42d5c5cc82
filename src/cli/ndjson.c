/* SPDX-License-Identifier: MIT */
/* ndjson.c: each line a JSON object, whose keys are the fields. */
#include <stdlib.h>
#include <string.h>

#include "cli/format.h"
#include "cli/json.h"
#include "cli/memory.h"

struct ndjson {
	struct json *json;

	/* The record that is being built. */
	struct records *records;
	struct line line;
	char *names;
	size_t names_len, names_capacity;
};

static void ndjson_add_name(struct ndjson *state, const char *name, size_t len)
{
	memory_grow(&state->names, &state->names_capacity, state->names_len + len + 1, 1);
	memcpy(state->names + state->names_len, name, len);
	state->names[state->names_len + len] = '\0';
	state->names_len += len + 1;
}

static void ndjson_on_field(void *opened, const char *name, size_t name_len, const databuffer_field *value)
{
	struct ndjson *state = opened;
	struct records *records = state->records;

	ndjson_add_name(state, name, name_len);
	switch (value->type) {
	case DATABUFFER_FIELD_NULL:
		records_null(records);
		break;
	case DATABUFFER_FIELD_BOOL:
		records_bool(records, value->integer != 0);
		break;
	case DATABUFFER_FIELD_INTEGER:
		records_integer(records, value->integer);
		break;
	case DATABUFFER_FIELD_REAL:
		records_real(records, value->real);
		break;
	default:
		if ((uintptr_t)value->text - (uintptr_t)state->line.text < state->line.len)
			records_slice(records, value->type, (size_t)(value->text - state->line.text),
			              value->len);
		else
			records_copy(records, value->type, value->text, value->len);
	}
}

static bool ndjson_is_blank(const struct line *line)
{
	for (size_t i = 0; i < line->len; i++)
		if (line->text[i] != ' ' && line->text[i] != '\t' && line->text[i] != '\r')
			return false;
	return true;
}

static enum format_answer ndjson_next(void *opened, struct reader *reader, struct records *records,
                                      struct format_reject *reject)
{
	struct ndjson *state = opened;
	struct line *line = &state->line;
	bool fits;

	for (;;) {
		switch (reader_line(reader, 0, line)) {
		case READER_MORE:
			return FORMAT_MORE;
		case READER_END:
			return FORMAT_END;
		case READER_LONG:
			return FORMAT_LONG;
		default:
			break;
		}
		if (!ndjson_is_blank(line))
			break;
		reader_take(reader, line->size, 1);
	}
	state->records = records;
	state->names_len = 0;
	fits = json_read(state->json, line->text, line->len, ndjson_on_field, state, reject->reason,
	                 sizeof(reject->reason));
	reject->line = reader->line;
	reject->text = line->text;
	reject->len = line->len;
	if (fits)
		records_finish(records, state->names, state->names_len, reader->line, line->text, line->len);
	else
		records_abandon(records);
	reader_take(reader, line->size, 1);
	return fits ? FORMAT_RECORD : FORMAT_REJECT;
}

static void *ndjson_open(const char *columns)
{
	struct ndjson *state = memory_new(sizeof(*state));

	(void)columns;
	state->json = json_new();
	return state;
}

static void ndjson_close(void *opened)
{
	struct ndjson *state = opened;

	json_delete(state->json);
	free(state->names);
	free(state);
}

const struct format format_ndjson = {
	.name = "ndjson",
	.endings = ".ndjson .jsonl .jsonlines",
	.open = ndjson_open,
	.next = ndjson_next,
	.close = ndjson_close,
};
