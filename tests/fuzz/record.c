/* SPDX-License-Identifier: MIT */
/*
 * record.c: any bytes, opened as a record, as a sink does with what it is given.
 * Checked: what is read lies within them, and two ways of reading agree.
 */
#include "fuzz/fuzz.h"

#include <databuffer/sink.h>

static const uint8_t *first, *last;

static void check_within(const char *text, size_t len)
{
	CHECK(len <= (size_t)(last - first));
	CHECK((const uint8_t *)text >= first && (const uint8_t *)text + len <= last);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	databuffer_record record;
	databuffer_field field, same;
	uint32_t i = 0;

	first = bytes;
	last = bytes + size;
	if (databuffer_record_open(&record, bytes, size) != 0)
		return 0;
	check_within(record.text, record.text_len);
	check_within(record.names, record.names_len);
	while (databuffer_record_next(&record, &field)) {
		CHECK(databuffer_record_value(&record, i, &same));
		CHECK(field.type == same.type && field.text == same.text && field.len == same.len &&
		      field.integer == same.integer);
		check_within(field.name, strlen(field.name) + 1);
		if (field.text)
			check_within(field.text, field.len);
		i++;
	}
	CHECK(i <= record.fields);
	CHECK(!databuffer_record_value(&record, record.fields, &same));
	return 0;
}
