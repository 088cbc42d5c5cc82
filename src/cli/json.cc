/* SPDX-License-Identifier: MIT */
/*
 * json.cc: one line of JSON, by simdjson.
 *
 * Its on-demand interface walks the text and checks what it is asked for, and
 * nothing else. So every value is asked for, those inside arrays and objects too,
 * though these are then kept as they are written.
 */
#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

#include "cli/json.h"

extern "C" {
#include "cli/memory.h"
#include "cli/utf8.h"
}

#define JSON_FEW_KEYS 16 /* are compared each with each; more are sorted */
#define JSON_DIGITS   19 /* any number of so many fits into 64 bits */

namespace ondemand = simdjson::ondemand;

static_assert(JSON_PADDING >= simdjson::SIMDJSON_PADDING, "simdjson reads beyond JSON_PADDING");

struct json {
	ondemand::parser parser;
	std::string_view *keys; /* of the objects that are open, the innermost last */
	size_t key_count, keys_capacity;
	char *compact; /* a nested value without its blanks */
	size_t compact_capacity;

	/* The line that is being read. */
	const char *text;
	size_t len;
	ondemand::document document;
	json_field_fn *field;
	void *ctx;
	const char *at; /* the value that was looked at last; NULL: none yet */
	char *reason;
	size_t reason_size;
};

/* --- What is wrong ------------------------------------------------------------------ */

static bool json_refuse(struct json *json, const char *fault)
{
	if (json->at)
		snprintf(json->reason, json->reason_size, "malformed JSON: %s (byte %zu)", fault,
		         (size_t)(json->at - json->text) + 1);
	else
		snprintf(json->reason, json->reason_size, "malformed JSON: %s", fault);
	return false;
}

static bool json_refuse_error(struct json *json, simdjson::error_code error)
{
	switch (error) {
	case simdjson::UTF8_ERROR:
		json->at = json->text + utf8_valid(json->text, json->len);
		return json_refuse(json, "it is not UTF-8");
	case simdjson::UNESCAPED_CHARS:
		return json_refuse(json, "a control character stands in a string");
	case simdjson::UNCLOSED_STRING:
		return json_refuse(json, "a string is not closed");
	case simdjson::STRING_ERROR:
		return json_refuse(json, "a string has an escape that stands for no character");
	case simdjson::NUMBER_ERROR:
		return json_refuse(json, "not a number, or one that 64 bits do not hold");
	case simdjson::T_ATOM_ERROR:
	case simdjson::F_ATOM_ERROR:
	case simdjson::N_ATOM_ERROR:
	case simdjson::INCORRECT_TYPE:
		return json_refuse(json, "a word that is not true, false or null");
	case simdjson::INCOMPLETE_ARRAY_OR_OBJECT:
		return json_refuse(json, "a bracket or brace is not closed, or something follows it");
	case simdjson::TAPE_ERROR:
		return json_refuse(json, "a comma, colon, key or value is missing or too many");
	default:
		return json_refuse(json, simdjson::error_message(error));
	}
}

static const char *json_kind(ondemand::json_type type)
{
	switch (type) {
	case ondemand::json_type::array:
		return "an array";
	case ondemand::json_type::string:
		return "a string";
	case ondemand::json_type::number:
		return "a number";
	case ondemand::json_type::boolean:
		return "true or false";
	default:
		return "null";
	}
}

/* Between values: where the walk has come to. */
static bool json_refuse_here(struct json *json, simdjson::error_code error)
{
	if (json->document.current_location().get(json->at))
		json->at = json->text + json->len;
	return json_refuse_error(json, error);
}

/* --- Values --------------------------------------------------------------------------- */

/* The same bytes if there is no escape in them. */
static void json_set_text(databuffer_field *value, const char *written, std::string_view meant)
{
	bool same = memchr(written, '\\', meant.size()) == nullptr;

	value->type = !same && memchr(meant.data(), '\0', meant.size()) ? DATABUFFER_FIELD_BYTES
	                                                                : DATABUFFER_FIELD_TEXT;
	value->text = same ? written : meant.data();
	value->len = meant.size();
}

/* simdjson 3.0.1 checks the form of any number, but misreads some reals with more
 * digits than 64 bits hold: get_double where zeros lead, get_number always. */
static simdjson::error_code json_set_real(databuffer_field *value, ondemand::value from)
{
	std::string_view written = from.raw_json_token();
	simdjson::error_code error = from.get_double().get(value->real);

	if (!error && written.size() > JSON_DIGITS)
		value->real = strtod(written.data(), nullptr);
	value->type = DATABUFFER_FIELD_REAL;
	return error;
}

static simdjson::error_code json_set_number(databuffer_field *value, ondemand::value from)
{
	ondemand::number_type type;
	simdjson::error_code error = from.get_number_type().get(type);

	if (!error && type == ondemand::number_type::floating_point_number)
		error = json_set_real(value, from);
	else if (!error)
		error = from.get_int64().get(value->integer);
	return error ? simdjson::NUMBER_ERROR : simdjson::SUCCESS;
}

static bool json_read_scalar(struct json *json, ondemand::value from, ondemand::json_type type,
                             databuffer_field *value)
{
	simdjson::error_code error;
	std::string_view text;
	bool is = false;

	switch (type) {
	case ondemand::json_type::string:
		error = from.get_string().get(text);
		if (!error)
			json_set_text(value, json->at + 1, text);
		break;
	case ondemand::json_type::number:
		value->type = DATABUFFER_FIELD_INTEGER;
		error = json_set_number(value, from);
		break;
	case ondemand::json_type::boolean:
		error = from.get_bool().get(is);
		value->type = DATABUFFER_FIELD_BOOL;
		value->integer = is;
		break;
	default:
		error = from.is_null().get(is);
		value->type = DATABUFFER_FIELD_NULL;
	}
	return error ? json_refuse_error(json, error) : true;
}

/* An array or object that was walked and began here. What follows it is a comma
 * or a brace, maybe after blanks. */
static bool json_set_nested(struct json *json, databuffer_field *value, const char *begin)
{
	const char *end;
	size_t len;

	if (json->document.current_location().get(end))
		return json_refuse_here(json, simdjson::INCOMPLETE_ARRAY_OR_OBJECT);
	len = (size_t)(end - begin);
	memory_grow(&json->compact, &json->compact_capacity, len + JSON_PADDING, 1);
	if (simdjson::minify(begin, len, json->compact, value->len))
		return json_refuse_here(json, simdjson::UNCLOSED_STRING);
	value->type = DATABUFFER_FIELD_JSON;
	value->text = value->len == len ? begin : json->compact;
	return true;
}

static bool json_walk_object(struct json *json, ondemand::object object, unsigned depth);
static bool json_walk_array(struct json *json, ondemand::array array, unsigned depth);

/* The value of a field or of an array at that depth. */
static bool json_read_value(struct json *json, ondemand::value from, unsigned depth, databuffer_field *value)
{
	simdjson::error_code error = from.current_location().get(json->at);
	const char *begin = json->at;
	ondemand::json_type type;
	ondemand::object object;
	ondemand::array array;

	*value = databuffer_field{};
	if (error || (error = from.type().get(type)))
		return json_refuse_here(json, error);
	if (type != ondemand::json_type::array && type != ondemand::json_type::object)
		return json_read_scalar(json, from, type, value);
	if (depth == JSON_DEPTH)
		return json_refuse(json, "arrays and objects stand in each other too deep");
	if (type == ondemand::json_type::array) {
		error = from.get_array().get(array);
		if (!error && !json_walk_array(json, array, depth + 1))
			return false;
	} else {
		error = from.get_object().get(object);
		if (!error && !json_walk_object(json, object, depth + 1))
			return false;
	}
	if (error)
		return json_refuse_here(json, error);
	return depth > 1 || json_set_nested(json, value, begin);
}

/* --- Arrays and objects --------------------------------------------------------------- */

static bool json_walk_array(struct json *json, ondemand::array array, unsigned depth)
{
	for (auto each : array) {
		databuffer_field ignored;
		ondemand::value value;
		simdjson::error_code error = each.get(value);

		if (error)
			return json_refuse_here(json, error);
		if (!json_read_value(json, value, depth, &ignored))
			return false;
	}
	return true;
}

/* Leaves the innermost object, whose keys begin there, if none is there twice. */
static bool json_leave_object(struct json *json, size_t first)
{
	std::string_view *begin = json->keys + first, *end = json->keys + json->key_count, *twice = end;

	json->key_count = first;
	if (end - begin > JSON_FEW_KEYS) {
		std::sort(begin, end);
		twice = std::adjacent_find(begin, end);
	} else {
		for (std::string_view *key = begin; key < end && twice == end; key++)
			if (std::find(begin, key, *key) != key)
				twice = key;
	}
	if (twice != end)
		snprintf(json->reason, json->reason_size, "the key \"%.*s\" is there twice",
		         (int)std::min(twice->size(), (size_t)100), twice->data());
	return twice == end;
}

static bool json_walk_object(struct json *json, ondemand::object object, unsigned depth)
{
	size_t first = json->key_count;

	for (auto each : object) {
		ondemand::field field;
		databuffer_field value;
		std::string_view key;
		simdjson::error_code error = std::move(each).get(field);

		if (error || (error = field.unescaped_key().get(key)))
			return json_refuse_here(json, error);
		if (!json_read_value(json, field.value(), depth, &value))
			return false;
		if (memchr(key.data(), '\0', key.size()))
			return json_refuse(json, "a key has a NUL in it");
		if (depth == 1)
			json->field(json->ctx, key.data(), key.size(), &value);
		memory_grow(&json->keys, &json->keys_capacity, json->key_count + 1, sizeof(*json->keys));
		json->keys[json->key_count++] = key;
	}
	return json_leave_object(json, first);
}

/* --- Lines ---------------------------------------------------------------------------- */

bool json_read(struct json *json, const char *text, size_t len, json_field_fn *field, void *ctx, char *reason,
               size_t reason_size)
{
	simdjson::error_code error;
	ondemand::json_type type;
	ondemand::object object;

	json->text = text;
	json->len = len;
	json->field = field;
	json->ctx = ctx;
	json->reason = reason;
	json->reason_size = reason_size;
	json->at = nullptr;
	json->key_count = 0;
	if ((error = json->parser.iterate(text, len, len + JSON_PADDING).get(json->document)) ||
	    (error = json->document.type().get(type)))
		return json_refuse_error(json, error);
	if (type != ondemand::json_type::object) {
		snprintf(reason, reason_size, "not a JSON object but %s", json_kind(type));
		return false;
	}
	if ((error = json->document.get_object().get(object)))
		return json_refuse_here(json, error);
	if (!json_walk_object(json, object, 1))
		return false;
	if (json->document.current_location().get(json->at) == simdjson::SUCCESS)
		return json_refuse(json, "something follows the object");
	return true;
}

struct json *json_new(void)
{
	return new (memory_new(sizeof(struct json))) json();
}

void json_delete(struct json *json)
{
	free(json->keys);
	free(json->compact);
	json->~json();
	free(json);
}
