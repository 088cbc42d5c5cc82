/* SPDX-License-Identifier: MIT */
/* record.c: builds records side by side. */
#include "cli/record.h"

#include <stdlib.h>
#include <string.h>

#include "cli/memory.h"

#define RECORD_IN_DATA (UINT64_C(1) << 63)

void records_fini(struct records *records)
{
	free(records->bytes);
	free(records->ends);
	free(records->cells);
	free(records->data);
}

void records_clear(struct records *records)
{
	records->size = 0;
	records->count = 0;
}

databuffer_item records_at(const struct records *records, size_t i)
{
	size_t begin = i > 0 ? records->ends[i - 1] : 0;

	return (databuffer_item){ records->bytes + begin, records->ends[i] - begin };
}

static databuffer_record_cell *records_cell(struct records *records, databuffer_field_type type)
{
	databuffer_record_cell *cell;

	if (records->fields == records->cells_capacity)
		memory_grow(&records->cells, &records->cells_capacity, records->fields + 1, sizeof(*cell));
	cell = &records->cells[records->fields++];
	cell->type = type;
	cell->len = 0;
	cell->value.integer = 0;
	return cell;
}

void records_null(struct records *records)
{
	records_cell(records, DATABUFFER_FIELD_NULL);
}

void records_bool(struct records *records, bool value)
{
	records_cell(records, DATABUFFER_FIELD_BOOL)->value.integer = value;
}

void records_integer(struct records *records, int64_t value)
{
	records_cell(records, DATABUFFER_FIELD_INTEGER)->value.integer = value;
}

void records_real(struct records *records, double value)
{
	records_cell(records, DATABUFFER_FIELD_REAL)->value.real = value;
}

void records_slice(struct records *records, databuffer_field_type type, size_t at, size_t len)
{
	databuffer_record_cell *cell = records_cell(records, type);

	cell->value.at = at;
	cell->len = (uint32_t)len;
}

void records_copy(struct records *records, databuffer_field_type type, const char *bytes, size_t len)
{
	databuffer_record_cell *cell = records_cell(records, type);

	memory_grow(&records->data, &records->data_capacity, records->data_len + len, 1);
	if (len > 0)
		memcpy(records->data + records->data_len, bytes, len);
	cell->value.at = records->data_len | RECORD_IN_DATA;
	cell->len = (uint32_t)len;
	records->data_len += len;
}

static char *records_append(char *to, const void *bytes, size_t len)
{
	if (len > 0)
		memcpy(to, bytes, len);
	return to + len;
}

void records_finish(struct records *records, const char *names, size_t names_len, uint64_t line,
                    const char *text, size_t text_len)
{
	databuffer_record_head head = {
		.magic = DATABUFFER_RECORD_MAGIC,
		.source = records->source,
		.line = line,
		.fields = (uint32_t)records->fields,
		.names_len = (uint32_t)names_len,
		.text_len = (uint32_t)text_len,
		.data_len = (uint32_t)records->data_len,
	};
	size_t cells = records->fields * sizeof(*records->cells);
	size_t size = sizeof(head) + cells + names_len + text_len + records->data_len;
	char *to;

	for (size_t i = 0; i < records->fields; i++) {
		databuffer_record_cell *cell = &records->cells[i];

		if (cell->type >= DATABUFFER_FIELD_TEXT && (cell->value.at & RECORD_IN_DATA))
			cell->value.at = (cell->value.at & ~RECORD_IN_DATA) + text_len;
	}
	memory_grow(&records->bytes, &records->capacity, records->size + size, 1);
	memory_grow(&records->ends, &records->ends_capacity, records->count + 1, sizeof(*records->ends));
	to = records_append(records->bytes + records->size, &head, sizeof(head));
	to = records_append(to, records->cells, cells);
	to = records_append(to, names, names_len);
	to = records_append(to, text, text_len);
	records_append(to, records->data, records->data_len);
	records->size += size;
	records->ends[records->count++] = records->size;
	records_abandon(records);
}

void records_abandon(struct records *records)
{
	records->fields = 0;
	records->data_len = 0;
}
