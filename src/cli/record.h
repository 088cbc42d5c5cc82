/* SPDX-License-Identifier: MIT */
/*
 * record.h: builds records, as <databuffer/sink.h> lays them out, side by side
 * in one block of memory that is used again and again.
 *
 * A format adds the cells of one record and then finishes or abandons it.
 */
#ifndef DATABUFFER_CLI_RECORD_H
#define DATABUFFER_CLI_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <databuffer/sink.h>

struct records {
	/* What is finished: `count` records, the i-th ending at ends[i]. */
	char *bytes;
	size_t *ends;
	size_t size, capacity, count, ends_capacity;

	/* The record that is being built. Slices of the data, whose place is known
	 * only when the text is, carry RECORD_IN_DATA until then. */
	databuffer_record_cell *cells;
	char *data;
	size_t fields, cells_capacity, data_len, data_capacity;

	uint32_t source;
};

void records_fini(struct records *records);

/* Forgets all that is finished. */
void records_clear(struct records *records);

/* Record i of `count`. */
databuffer_item records_at(const struct records *records, size_t i);

void records_null(struct records *records);
void records_bool(struct records *records, bool value);
void records_integer(struct records *records, int64_t value);
void records_real(struct records *records, double value);
/* Bytes that stand in the text of the record, `at` bytes after its start. */
void records_slice(struct records *records, databuffer_field_type type, size_t at, size_t len);
/* Bytes that do not: copied. */
void records_copy(struct records *records, databuffer_field_type type, const char *bytes, size_t len);

/* The names are of the cells that were added, each ended by a NUL. */
void records_finish(struct records *records, const char *names, size_t names_len, uint64_t line,
                    const char *text, size_t text_len);
void records_abandon(struct records *records);

#endif
