/* SPDX-License-Identifier: MIT */
/*
 * databuffer/sink.h: for authors of sinks, the places where records end up.
 *
 * A sink is one constant table of functions. The `databuffer` command has a few
 * built in, each a single file that includes this header and its engine's; one
 * outside the tree is the same file made into a shared object:
 *
 *      #include <databuffer/sink.h>
 *      #include <stdio.h>
 *
 *      static int print_open(const databuffer_sink_config *config, void **state, databuffer_sentence *why)
 *      {
 *          *state = fopen(config->target, "a");
 *          return *state ? 0 : databuffer_sentence_set(why, -errno, "cannot open %s", config->target);
 *      }
 *
 *      static int print_flush(void *state, databuffer_batch *batch, databuffer_sentence *why)
 *      {
 *          databuffer_item item;
 *          databuffer_record record;
 *          while (databuffer_batch_next(batch, &item))
 *              if (databuffer_record_open(&record, item.data, item.len) == 0)
 *                  fprintf(state, "%.*s\n", (int)record.text_len, record.text);
 *          return fflush(state) == 0 ? 0 : databuffer_sentence_set(why, -errno, "cannot write");
 *      }
 *
 *      static void print_close(void *state)
 *      {
 *          fclose(state);
 *      }
 *
 *      DATABUFFER_SINK(print) = {
 *          .abi = DATABUFFER_SINK_ABI,
 *          .name = "print",
 *          .target = "FILE",
 *          .help = "prints records into FILE",
 *          .open = print_open,
 *          .flush = print_flush,
 *          .close = print_close,
 *      };
 *
 *      cc -shared -fPIC print.c -o print.so
 *      databuffer run --sink ./print.so:out.txt records.txt
 *
 * STATES
 *
 * What a sink knows between two batches is a state: a connection, an open file.
 * The host opens one before it reads anything, so that a target that cannot
 * work is refused at once, and further ones as soon as batches are flushed
 * beside each other. Then:
 *
 *      open ─> flush ─> flush ─> ... ─> close      one state: one call at a time,
 *                                                  each from any thread
 *      open ─> flush ─> ...                        another state: beside the first
 *
 * What all states of a sink share, if anything, the sink guards by itself. No
 * call comes from a signal handler, none while a lock of the host's is held.
 *
 * PROCESSES
 *
 * With --flusher processes flushes run in worker processes. The host opens its
 * first state and closes it again; then workers are forked, each of which opens one
 * of its own, and a sink is called there by one thread. So nothing that is open is
 * carried into another process. But what is static, as a lock over all states, each
 * process has a copy of: what states share beyond that has to be in memory that
 * open has mapped with MAP_SHARED, under a lock that is made for it, or be guarded
 * by the target itself. A worker may die anywhere, also of the sink's own doing: its
 * states are not closed then, and what it was writing comes again.
 */
#ifndef DATABUFFER_SINK_H
#define DATABUFFER_SINK_H

#include <databuffer.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when the structs of this header change. A host refuses any other. */
#define DATABUFFER_SINK_ABI 1

/* --- Sentences ------------------------------------------------------------ */

/* Where a sink says to a person why it failed: what, which value, what would be
 * right. One line, no newline. The host shows it once, and again only when it
 * has changed: so it should not carry what differs with each attempt. */
typedef struct databuffer_sentence {
	char text[512];
} databuffer_sentence;

/* Writes the sentence (cut to fit) and returns rc, so that a failure is one
 * statement: return databuffer_sentence_set(why, -ENOSPC, "%s is full", path); */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4), unused))
#endif
static int databuffer_sentence_set(databuffer_sentence *why, int rc, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why->text, sizeof(why->text), format, arguments);
	va_end(arguments);
	return rc;
}

/* --- The table ------------------------------------------------------------ */

/* What may stand after the "?" of --sink NAME:TARGET?a=b&c=d. From this row the
 * host parses, checks the range, refuses with a sentence, and makes the help. */
typedef struct databuffer_sink_parameter {
	const char *name;
	databuffer_option_type type;
	const char *unit;    /* of a NUMBER: "items", "bytes", "ms" or "" */
	const char *initial; /* the default, as text; never NULL */
	int64_t min, max;    /* of a NUMBER: the range, both ends allowed */
	const char *choices; /* of a CHOICE: the words, separated by "|" */
	const char *help;    /* one line, no full stop */
} databuffer_sink_parameter;

/* What was given for a parameter, or its default. */
typedef struct databuffer_sink_value {
	const char *text; /* never NULL */
	int64_t number;   /* of a NUMBER its value, of a FLAG 0 or 1, of a CHOICE the word's place from 0 */
} databuffer_sink_value;

/* Lives, unchanged, from before the first open until after the last close. */
typedef struct databuffer_sink_config {
	const char *target;                  /* never NULL; "" if none was given */
	const databuffer_sink_value *values; /* one for each row of `parameters`, in their order */
} databuffer_sink_config;

typedef struct databuffer_sink {
	int abi;            /* DATABUFFER_SINK_ABI */
	const char *name;   /* what stands before the ":" */
	const char *target; /* a word for the target in help, as "FILE"; NULL: there must be none */
	const char *help;   /* one line, no full stop */
	const databuffer_sink_parameter *parameters; /* ended by a row without a name; NULL: none */

	/* Makes a state. The first time on the host's main thread, before anything
	 * is read; later on flusher threads, beside flushes of other states.
	 *
	 * Checks all that can be known before the first record. May block, for as
	 * long as a person waits for a command to begin. Must not free `config`.
	 *
	 * 0: *state is set, to anything, and will be closed. Negative errno: nothing
	 * was made, *state is as it was and `why` says why. At the start this ends
	 * the host; later it is transient, and open is asked again. What may pass
	 * (the target is locked) is better left to flush: answer 0. */
	int (*open)(const databuffer_sink_config *config, void **state, databuffer_sentence *why);

	/* Writes a batch: all of it, or nothing, so far as the engine can.
	 *
	 * On a flusher thread; one call of a state at a time. May block, but not
	 * beyond databuffer_batch_deadline, and in a long wait asks now and then
	 * databuffer_batch_cancelled. Items are records (see below) in the order of
	 * the input. They, and what databuffer_record_open shows of them, are valid
	 * until flush returns; nothing of the batch is the sink's to free.
	 *
	 * 0: the whole batch is written, but for the items that were named by
	 * databuffer_batch_fail with a reason: those the target will never take.
	 * DATABUFFER_RETRY or a negative errno: transient; nothing was written, `why`
	 * says why; the same batch comes again after a while, maybe to another state.
	 * DATABUFFER_REJECT: something of this batch will never be taken, and it is
	 * not known what; nothing was written; it comes again in smaller pieces.
	 * DATABUFFER_TOO_LARGE: more than the target takes at once; nothing was
	 * written; it comes again in halves, and what follows in no larger pieces.
	 *
	 * A flush that throws an exception, or leaves its thread, has failed for now;
	 * its state is closed, and another opened for the next.
	 *
	 * If only a part could be written and cannot be taken back, name nothing and
	 * answer as transient: what is given again may then be written twice, which
	 * the sink's documentation must say. */
	int (*flush)(void *state, databuffer_batch *batch, databuffer_sentence *why);

	/* Ends a state and frees it. On any thread, after the state's last flush has
	 * returned, or thrown. Not called for a state whose flush has not returned when the host
	 * ends. May block. May be NULL. */
	void (*close)(void *state);
} databuffer_sink;

/* Defines a sink so that a host finds it: in libNAME.so or NAME.so it looks for
 * this symbol. */
#ifdef __cplusplus
#define DATABUFFER_SINK(name)                                                 \
	extern "C" DATABUFFER_API const databuffer_sink databuffer_sink_##name; \
	const databuffer_sink databuffer_sink_##name
#else
#define DATABUFFER_SINK(name)                                                 \
	DATABUFFER_API extern const databuffer_sink databuffer_sink_##name;    \
	const databuffer_sink databuffer_sink_##name
#endif

/* --- Records -------------------------------------------------------------- */

/* A record is an item that holds all of itself, without pointers, so that it
 * may be kept in a file or cross to another process:
 *
 *      ┌──────┬──────────────────┬───────────────┬──────┬──────┐
 *      │ head │ values: one cell │ names: each   │ text │ data │
 *      │      │ for each field   │ ended by NUL  │      │      │
 *      └──────┴──────────────────┴───────────────┴──────┴──────┘
 *
 * The text is the record as it stood in the input, without the line's end. A
 * value that is bytes is a slice of text and data taken together: of the text
 * where it stands there as it is, else of the data. Numbers are in the machine's
 * own byte order. Records of one kind have the same names, byte for byte: what a
 * sink works out for them (a statement, a mapping of columns) it may keep under
 * `names`, and find again by one comparison.
 *
 * Valid if and only if: head.magic is DATABUFFER_RECORD_MAGIC; the five lengths
 * add up to the item's; as many NULs are in names as there are fields and the
 * last byte of names is one; each slice ends within text and data. */
#define DATABUFFER_RECORD_MAGIC 0x31524244u /* "DBR1" */

typedef enum databuffer_field_type {
	DATABUFFER_FIELD_NULL,
	DATABUFFER_FIELD_INTEGER,
	DATABUFFER_FIELD_REAL,
	DATABUFFER_FIELD_BOOL,  /* integer is 0 or 1 */
	DATABUFFER_FIELD_TEXT,  /* valid UTF-8 without a NUL */
	DATABUFFER_FIELD_BYTES, /* any bytes: what is not such a text */
	DATABUFFER_FIELD_JSON   /* an array or object, as JSON text */
} databuffer_field_type;

typedef struct databuffer_record_head {
	uint32_t magic;
	uint32_t source; /* which input, counted from 0 */
	uint64_t line;   /* where in it the record begins, counted from 1 */
	uint32_t fields;
	uint32_t names_len;
	uint32_t text_len;
	uint32_t data_len;
} databuffer_record_head;

typedef struct databuffer_record_cell {
	uint32_t type; /* a databuffer_field_type */
	uint32_t len;  /* of TEXT, BYTES and JSON */
	union {
		int64_t integer;
		double real;
		uint64_t at; /* of TEXT, BYTES and JSON: where the slice begins */
	} value;
} databuffer_record_cell;

/* A record, opened. The pointers lead into the item. */
typedef struct databuffer_record {
	uint32_t source;
	uint32_t fields;
	uint64_t line;
	const char *names;
	size_t names_len;
	const char *text;
	size_t text_len;

	const char *internal_cells;
	const char *internal_name; /* of the next field */
	size_t internal_slices;    /* how long text and data are together */
	uint32_t internal_next;
} databuffer_record;

typedef struct databuffer_field {
	databuffer_field_type type;
	const char *name; /* ended by a NUL */
	int64_t integer;  /* of INTEGER and BOOL */
	double real;      /* of REAL */
	const char *text; /* of TEXT, BYTES and JSON: len bytes; no NUL follows */
	size_t len;
} databuffer_field;

/* Opens a record: 0, or -EINVAL for bytes that are none; then *record is as it
 * was. */
static inline int databuffer_record_open(databuffer_record *record, const void *data, size_t len)
{
	const char *bytes = (const char *)data;
	databuffer_record_head head;
	uint64_t cells;
	uint32_t nuls = 0;

	if (len < sizeof(head))
		return -EINVAL;
	memcpy(&head, bytes, sizeof(head));
	cells = (uint64_t)head.fields * sizeof(databuffer_record_cell);
	if (head.magic != DATABUFFER_RECORD_MAGIC ||
	    sizeof(head) + cells + head.names_len + head.text_len + head.data_len != len)
		return -EINVAL;
	bytes += sizeof(head);
	for (uint32_t i = 0; i < head.names_len; i++)
		nuls += bytes[cells + i] == '\0';
	if (nuls != head.fields || (head.names_len > 0 && bytes[cells + head.names_len - 1] != '\0'))
		return -EINVAL;
	record->source = head.source;
	record->line = head.line;
	record->fields = head.fields;
	record->internal_cells = bytes;
	record->names = bytes + cells;
	record->names_len = head.names_len;
	record->text = record->names + head.names_len;
	record->text_len = head.text_len;
	record->internal_name = record->names;
	record->internal_slices = (size_t)head.text_len + head.data_len;
	record->internal_next = 0;
	return 0;
}

/* Field i of `fields`, all but its name: 1, or 0 if there is none, or its slice
 * is not in the record. */
static inline int databuffer_record_value(const databuffer_record *record, uint32_t i,
                                          databuffer_field *field)
{
	databuffer_record_cell cell;

	if (i >= record->fields)
		return 0;
	memcpy(&cell, record->internal_cells + (size_t)i * sizeof(cell), sizeof(cell));
	field->name = NULL;
	field->integer = 0;
	field->real = 0;
	field->text = NULL;
	field->len = 0;
	field->type = (databuffer_field_type)cell.type;
	switch (cell.type) {
	case DATABUFFER_FIELD_NULL:
		return 1;
	case DATABUFFER_FIELD_INTEGER:
	case DATABUFFER_FIELD_BOOL:
		field->integer = cell.value.integer;
		return 1;
	case DATABUFFER_FIELD_REAL:
		field->real = cell.value.real;
		return 1;
	case DATABUFFER_FIELD_TEXT:
	case DATABUFFER_FIELD_BYTES:
	case DATABUFFER_FIELD_JSON:
		if (cell.value.at > record->internal_slices ||
		    cell.len > record->internal_slices - cell.value.at)
			return 0;
		field->text = record->text + cell.value.at;
		field->len = cell.len;
		return 1;
	default:
		return 0;
	}
}

/* The next field in order, walking once from the first to the last: 1, or 0 at
 * the end. What does not belong to its type is 0. */
static inline int databuffer_record_next(databuffer_record *record, databuffer_field *field)
{
	const char *end = record->names + record->names_len;

	if (record->internal_name == end || !databuffer_record_value(record, record->internal_next, field))
		return 0;
	field->name = record->internal_name;
	record->internal_name += strlen(record->internal_name) + 1;
	record->internal_next++;
	return 1;
}

#ifdef __cplusplus
}
#endif

#endif
