/* SPDX-License-Identifier: MIT */
/*
 * <databuffer/sink.h>: a record is what the header draws, and bytes that are none are told apart from it, whatever
 * they are: the reader looks at nothing outside of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <databuffer/sink.h>

static const char names[] = "n\0i\0r\0b\0t\0x\0j"; /* seven, each ended by a NUL */
static const char text[] = "the text of it";
static const char data[] = "and the data";

#define FIELDS 7

/* Written as the header says, by hand. The caller frees it. */
static char *make_record(size_t *len)
{
	const databuffer_record_head head = {
		.magic = DATABUFFER_RECORD_MAGIC,
		.source = 3,
		.line = 42,
		.fields = FIELDS,
		.names_len = sizeof(names),
		.text_len = sizeof(text) - 1,
		.data_len = sizeof(data) - 1,
	};
	const databuffer_record_cell cells[FIELDS] = {
		{ .type = DATABUFFER_FIELD_NULL },
		{ .type = DATABUFFER_FIELD_INTEGER, .value.integer = INT64_MIN },
		{ .type = DATABUFFER_FIELD_REAL, .value.real = -0.5 },
		{ .type = DATABUFFER_FIELD_BOOL, .value.integer = 1 },
		{ .type = DATABUFFER_FIELD_TEXT, .len = 4, .value.at = 4 },
		{ .type = DATABUFFER_FIELD_BYTES, .len = 3, .value.at = 14 },
		{ .type = DATABUFFER_FIELD_JSON, .len = 4, .value.at = 22 },
	};
	const struct {
		const void *bytes;
		size_t len;
	} parts[] = {
		{ &head, sizeof(head) }, { cells, sizeof(cells) },    { names, sizeof(names) },
		{ text, sizeof(text) - 1 }, { data, sizeof(data) - 1 },
	};
	char *bytes, *to;

	*len = 0;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		*len += parts[i].len;
	to = bytes = malloc(*len);
	assert_non_null(bytes);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		memcpy(to, parts[i].bytes, parts[i].len);
		to += parts[i].len;
	}
	return bytes;
}

static void assert_slice(const databuffer_field *field, const char *expected)
{
	assert_int_equal(field->len, strlen(expected));
	assert_memory_equal(field->text, expected, field->len);
}

static void a_record_shows_its_text_and_its_fields(void **state)
{
	databuffer_record record = { .fields = 0 };
	databuffer_field fields[FIELDS], none;
	size_t len;
	char *bytes = make_record(&len);

	(void)state;
	assert_int_equal(databuffer_record_open(&record, bytes, len), 0);
	assert_int_equal(record.source, 3);
	assert_int_equal(record.line, 42);
	assert_int_equal(record.fields, FIELDS);
	assert_int_equal(record.names_len, sizeof(names));
	assert_memory_equal(record.names, names, sizeof(names));
	assert_int_equal(record.text_len, strlen(text));
	assert_memory_equal(record.text, text, strlen(text));

	for (int i = 0; i < FIELDS; i++) {
		assert_int_equal(databuffer_record_next(&record, &fields[i]), 1);
		assert_string_equal(fields[i].name, &names[2 * i]);
	}
	assert_int_equal(databuffer_record_next(&record, &none), 0);
	assert_int_equal(databuffer_record_next(&record, &none), 0);

	assert_int_equal(fields[0].type, DATABUFFER_FIELD_NULL);
	assert_true(fields[1].type == DATABUFFER_FIELD_INTEGER && fields[1].integer == INT64_MIN);
	assert_true(fields[2].type == DATABUFFER_FIELD_REAL && fields[2].real == -0.5);
	assert_true(fields[3].type == DATABUFFER_FIELD_BOOL && fields[3].integer == 1);
	assert_int_equal(fields[4].type, DATABUFFER_FIELD_TEXT);
	assert_slice(&fields[4], "text");
	assert_int_equal(fields[5].type, DATABUFFER_FIELD_BYTES);
	assert_slice(&fields[5], "and");
	assert_int_equal(fields[6].type, DATABUFFER_FIELD_JSON);
	assert_slice(&fields[6], "data");

	assert_int_equal(databuffer_record_value(&record, 6, &fields[0]), 1);
	assert_slice(&fields[0], "data");
	assert_int_equal(databuffer_record_value(&record, FIELDS, &fields[0]), 0);
	free(bytes);
}

/* Reads all there is, as a sink would; the sanitizers watch. */
static int walk(const void *bytes, size_t len)
{
	databuffer_record record = { .fields = 0 };
	databuffer_field field;
	unsigned sum = 0;

	if (databuffer_record_open(&record, bytes, len) != 0)
		return 0;
	for (size_t i = 0; i < record.text_len; i++)
		sum += (unsigned char)record.text[i];
	while (databuffer_record_next(&record, &field)) {
		sum += (unsigned)strlen(field.name);
		for (size_t i = 0; i < field.len; i++)
			sum += (unsigned char)field.text[i];
	}
	return 1 + (sum == 0);
}

/* Bytes of their own, so that one beyond them is noticed. */
static int walk_copy(const char *bytes, size_t len)
{
	char *copy = malloc(len ? len : 1);
	int answer;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	answer = walk(copy, len);
	free(copy);
	return answer;
}

static void a_part_of_a_record_is_none(void **state)
{
	databuffer_record before, record;
	size_t len;
	char *bytes = make_record(&len);

	(void)state;
	for (size_t i = 0; i < len; i++)
		assert_int_equal(walk_copy(bytes, i), 0);
	assert_int_not_equal(walk_copy(bytes, len), 0);

	memset(&before, 0x5a, sizeof(before));
	memset(&record, 0x5a, sizeof(record));
	assert_int_equal(databuffer_record_open(&record, bytes, len - 1), -EINVAL);
	assert_memory_equal(&record, &before, sizeof(record));
	free(bytes);
}

static void no_damage_leads_outside_of_a_record(void **state)
{
	static const unsigned char values[] = { 0, 1, 2, 0x7f, 0x80, 0xff };
	size_t len;
	char *bytes = make_record(&len);

	(void)state;
	for (size_t i = 0; i < len; i++) {
		char kept = bytes[i];

		for (size_t j = 0; j < sizeof(values); j++) {
			bytes[i] = (char)values[j];
			walk_copy(bytes, len);
		}
		bytes[i] = kept;
	}
	free(bytes);
}

static void a_sentence_is_cut_and_the_answer_returned(void **state)
{
	databuffer_sentence why;
	char longer[2 * sizeof(why.text)];

	(void)state;
	assert_int_equal(databuffer_sentence_set(&why, -ENOSPC, "%s is full to %d %%", "it", 100), -ENOSPC);
	assert_string_equal(why.text, "it is full to 100 %");
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(databuffer_sentence_set(&why, DATABUFFER_RETRY, "%s", longer), DATABUFFER_RETRY);
	assert_int_equal(strlen(why.text), sizeof(why.text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_shows_its_text_and_its_fields),
		cmocka_unit_test(a_part_of_a_record_is_none),
		cmocka_unit_test(no_damage_leads_outside_of_a_record),
		cmocka_unit_test(a_sentence_is_cut_and_the_answer_returned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
