/* SPDX-License-Identifier: MIT */
/*
 * format.c: an input of the command, read by FUZZ_FORMAT (csv, tsv, ndjson or
 * lines). Checked:
 *
 *      a record opens, and each of its fields is what its type promises
 *      lines are counted upwards, and no record or reject goes beyond the input
 *      it makes no difference in what pieces the input comes
 *      what is kept of nested JSON is JSON, and a second reading gives the same
 *
 * The last two bytes also choose the pieces, and the limit of a line.
 */
#include "fuzz/fuzz.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/format.h"
#include "cli/json.h"
#include "cli/overlong.h"
#include "cli/utf8.h"

/* All that a reading came to, one thing after the other. */
struct transcript {
	uint8_t *bytes;
	size_t size, room;
};

struct reading {
	const uint8_t *input;
	size_t size, given, piece;
	const struct format *format;
	void *state;
	struct reader reader;
	struct records records;
	struct overlong overlong;
	uint64_t last_line;
	struct transcript transcript;
};

static void transcript_add(struct transcript *transcript, const void *bytes, size_t size)
{
	if (transcript->size + size > transcript->room) {
		transcript->room = 2 * (transcript->size + size);
		transcript->bytes = realloc(transcript->bytes, transcript->room);
		CHECK(transcript->bytes);
	}
	if (size > 0)
		memcpy(transcript->bytes + transcript->size, bytes, size);
	transcript->size += size;
}

/* --- What a field promises ----------------------------------------------------------- */

struct nested {
	const char *text;
	size_t len;
};

static void check_is_nested(void *ctx, const char *name, size_t name_len, const databuffer_field *value)
{
	struct nested *nested = ctx;

	CHECK(name_len == 0 && name);
	CHECK(value->type == DATABUFFER_FIELD_JSON);
	CHECK(value->len == nested->len && memcmp(value->text, nested->text, nested->len) == 0);
}

/* In an object of its own it is read as that very text. */
static void check_json(const char *text, size_t len)
{
	static const char before[] = "{\"\":";
	struct nested nested = { text, len };
	struct json *json = json_new();
	char *line = calloc(1, sizeof(before) + len + 1 + JSON_PADDING);
	char reason[320];

	CHECK(line);
	memcpy(line, before, sizeof(before) - 1);
	memcpy(line + sizeof(before) - 1, text, len);
	line[sizeof(before) - 1 + len] = '}';
	CHECK(json_read(json, line, sizeof(before) + len, check_is_nested, &nested, reason, sizeof(reason)));
	free(line);
	json_delete(json);
}

static void check_field(const databuffer_field *field)
{
	CHECK(field->name);
	CHECK(utf8_valid(field->name, strlen(field->name)) == strlen(field->name));
	switch (field->type) {
	case DATABUFFER_FIELD_REAL:
		CHECK(isfinite(field->real));
		break;
	case DATABUFFER_FIELD_BOOL:
		CHECK(field->integer == 0 || field->integer == 1);
		break;
	case DATABUFFER_FIELD_TEXT:
		CHECK(utf8_valid(field->text, field->len) == field->len);
		CHECK(!memchr(field->text, '\0', field->len));
		break;
	case DATABUFFER_FIELD_JSON:
		check_json(field->text, field->len);
		break;
	default:
		break;
	}
}

static void check_record(const databuffer_item *item)
{
	databuffer_record record;
	databuffer_field field;
	uint32_t count = 0;

	CHECK(databuffer_record_open(&record, item->data, item->len) == 0);
	while (databuffer_record_next(&record, &field)) {
		check_field(&field);
		count++;
	}
	CHECK(count == record.fields);
}

/* --- Reading --------------------------------------------------------------------------- */

/* Makes the next piece of the input the end of the file, and reads it. */
static void reading_fill(struct reading *reading)
{
	size_t more = reading->size - reading->given;

	if (more > reading->piece)
		more = reading->piece;
	CHECK(pwrite(reading->reader.fd, reading->input + reading->given, more, (off_t)reading->given) ==
	      (ssize_t)more);
	reading->given += more;
	while (more > 0) {
		ssize_t n = reader_fill(&reading->reader);

		CHECK(n > 0 && (size_t)n <= more);
		more -= (size_t)n;
	}
	if (reading->given == reading->size)
		CHECK(reader_fill(&reading->reader) == 0);
}

static void reading_note_line(struct reading *reading, uint64_t line)
{
	CHECK(line > reading->last_line);
	reading->last_line = line;
	transcript_add(&reading->transcript, &line, sizeof(line));
}

static void reading_note(struct reading *reading, enum format_answer answer, const struct format_reject *reject)
{
	transcript_add(&reading->transcript, &answer, sizeof(answer));
	if (answer == FORMAT_RECORD) {
		databuffer_item item = records_at(&reading->records, 0);
		databuffer_record record;

		check_record(&item);
		CHECK(databuffer_record_open(&record, item.data, item.len) == 0);
		reading_note_line(reading, record.line);
		transcript_add(&reading->transcript, item.data, item.len);
		records_clear(&reading->records);
	} else {
		CHECK(reject->len <= reading->size);
		CHECK(strlen(reject->reason) < sizeof(reject->reason) && reject->reason[0]);
		reading_note_line(reading, reject->line);
		transcript_add(&reading->transcript, reject->reason, strlen(reject->reason));
		transcript_add(&reading->transcript, reject->text, reject->len);
	}
}

/* A line over the limit is passed over, as feed.c does. */
static bool reading_pass_overlong(struct reading *reading)
{
	if (!overlong_take(&reading->overlong, &reading->reader))
		return false;
	reading_note_line(reading, reading->overlong.line);
	transcript_add(&reading->transcript, &reading->overlong.size, sizeof(reading->overlong.size));
	overlong_end(&reading->overlong, NULL);
	return true;
}

static void reading_run(struct reading *reading)
{
	struct format_reject reject;
	enum format_answer answer;

	for (;;) {
		if (reading->overlong.active && !reading_pass_overlong(reading)) {
			reading_fill(reading);
			continue;
		}
		memset(&reject, 0, sizeof(reject));
		answer = reading->format->next(reading->state, &reading->reader, &reading->records, &reject);
		if (answer == FORMAT_END)
			break;
		if (answer == FORMAT_LONG) {
			overlong_begin(&reading->overlong, &reading->reader, false);
		} else if (answer == FORMAT_MORE) {
			CHECK(!reading->reader.ended);
			reading_fill(reading);
		} else {
			reading_note(reading, answer, &reject);
		}
	}
	CHECK(reading->given == reading->size);
	CHECK(reading->reader.begin == reading->reader.end);
}

static struct transcript read_in_pieces(const char *format, const void *input, size_t size, size_t piece,
                                        size_t max_line)
{
	struct reading reading = { .input = input, .size = size, .piece = piece, .format = format_find(format) };

	CHECK(reading.format);
	reader_init(&reading.reader, memfd_create("input", MFD_CLOEXEC), max_line);
	CHECK(reading.reader.fd >= 0);
	reading.state = reading.format->open(NULL);
	reading_run(&reading);
	records_abandon(&reading.records);
	reading.format->close(reading.state);
	close(reading.reader.fd);
	reader_fini(&reading.reader);
	records_fini(&reading.records);
	return reading.transcript;
}

/* --- The promises ------------------------------------------------------------------------ */

static bool transcript_is(const struct transcript *a, const struct transcript *b)
{
	return a->size == b->size && (a->size == 0 || memcmp(a->bytes, b->bytes, a->size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const size_t limits[] = { 1, 2, 7, 16, 33, 100, 1000, 1 << 20 };
	size_t piece = 1 + (size > 0 ? bytes[size - 1] % 40 : 0);
	size_t max_line = limits[size > 1 ? bytes[size - 2] % 8 : 7];
	struct transcript whole = read_in_pieces(FUZZ_FORMAT, bytes, size, size + 1, max_line);
	struct transcript pieces = read_in_pieces(FUZZ_FORMAT, bytes, size, piece, max_line);

	CHECK(transcript_is(&whole, &pieces));
	free(whole.bytes);
	free(pieces.bytes);
	return 0;
}
