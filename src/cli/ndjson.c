/* SPDX-License-Identifier: MIT */
/* ndjson.c: each line a JSON object, whose keys are the fields. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arena.h"
#include "cli/format.h"
#include "cli/memory.h"

struct ndjson {
	char *names; /* of the record being built */
	size_t names_len, names_capacity;
	struct arena arena;
};

/* Digits that every real survives, and those that most do, and that people would
 * rather see: 0.1 and not 0.10000000000000001. */
#define NDJSON_DIGITS_SURE 17
#define NDJSON_DIGITS_NICE 15

static bool ndjson_has_real(const json_t *value)
{
	const char *key;
	json_t *inner;
	size_t i;

	if (json_is_object(value)) {
		json_object_foreach ((json_t *)value, key, inner)
			if (ndjson_has_real(inner))
				return true;
	} else if (json_is_array(value)) {
		json_array_foreach (value, i, inner)
			if (ndjson_has_real(inner))
				return true;
	}
	return json_is_real(value);
}

/* Fewer digits are enough if they read back as the same numbers. */
static char *ndjson_dump(const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(NDJSON_DIGITS_NICE));
	json_t *back;
	bool same;

	if (!text || !ndjson_has_real(value))
		return text;
	back = json_loads(text, JSON_ALLOW_NUL, NULL);
	same = json_equal(value, back);
	json_decref(back);
	if (same)
		return text;
	arena_free(text);
	return json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(NDJSON_DIGITS_SURE));
}

static bool ndjson_add_value(struct records *records, const json_t *value)
{
	const char *text;
	char *dump;
	size_t len;

	switch (json_typeof(value)) {
	case JSON_NULL:
		records_null(records);
		return true;
	case JSON_TRUE:
	case JSON_FALSE:
		records_bool(records, json_is_true(value));
		return true;
	case JSON_INTEGER:
		records_integer(records, json_integer_value(value));
		return true;
	case JSON_REAL:
		records_real(records, json_real_value(value));
		return true;
	case JSON_STRING:
		/* The parser lets only valid UTF-8 through. */
		text = json_string_value(value);
		len = json_string_length(value);
		records_copy(records,
		             memchr(text, '\0', len) ? DATABUFFER_FIELD_BYTES : DATABUFFER_FIELD_TEXT, text,
		             len);
		return true;
	default:
		dump = ndjson_dump(value);
		if (!dump)
			return false;
		records_copy(records, DATABUFFER_FIELD_JSON, dump, strlen(dump));
		arena_free(dump);
		return true;
	}
}

static const char *ndjson_kind(const json_t *value)
{
	static const char *const kinds[] = { "an object", "an array", "a string", "a number",
	                                     "a number",  "true",     "false",    "null" };

	return kinds[json_typeof(value)];
}

/* Adds the fields of one line; false with a reason if it does not fit. */
static bool ndjson_parse(struct ndjson *state, const struct line *line, struct records *records, char *reason,
                         size_t size)
{
	json_error_t error;
	json_t *object = json_loadb(line->text, line->len,
	                            JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
	bool fits = false;
	const char *key;
	json_t *value;

	if (!object) {
		snprintf(reason, size, "malformed JSON: %s (column %d)", error.text, error.column);
		return false;
	}
	if (!json_is_object(object)) {
		snprintf(reason, size, "not a JSON object but %s", ndjson_kind(object));
		goto out;
	}
	state->names_len = 0;
	json_object_foreach (object, key, value) {
		size_t len = strlen(key) + 1;

		memory_grow(&state->names, &state->names_capacity, state->names_len + len, 1);
		memcpy(state->names + state->names_len, key, len);
		state->names_len += len;
		if (!ndjson_add_value(records, value)) {
			snprintf(reason, size, "the value of \"%.100s\" is too deep or too large to keep",
			         key);
			goto out;
		}
	}
	fits = true;
out:
	json_decref(object);
	return fits;
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
	struct line line;
	bool fits;

	for (;;) {
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
		if (!ndjson_is_blank(&line))
			break;
		reader_take(reader, line.size, 1);
	}
	arena_enter(&state->arena);
	fits = ndjson_parse(state, &line, records, reject->reason, sizeof(reject->reason));
	arena_leave();
	reject->line = reader->line;
	reject->text = line.text;
	reject->len = line.len;
	if (fits)
		records_finish(records, state->names, state->names_len, reader->line, line.text, line.len);
	else
		records_abandon(records);
	reader_take(reader, line.size, 1);
	return fits ? FORMAT_RECORD : FORMAT_REJECT;
}

static void *ndjson_open(const char *columns)
{
	(void)columns;
	json_set_alloc_funcs(arena_malloc, arena_free);
	return memory_new(sizeof(struct ndjson));
}

static void ndjson_close(void *opened)
{
	struct ndjson *state = opened;

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
