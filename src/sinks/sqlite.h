/* SPDX-License-Identifier: MIT */
/*
 * sqlite.h: what the three files of the sqlite sink know of each other.
 *
 *      sqlite.c        a database file: opening it, whose turn it is, what failed
 *      sqlite_write.c  a batch: one transaction, from BEGIN to COMMIT
 *      sqlite_table.c  a record: its columns, and the statement that fills them
 */
#ifndef DATABUFFER_SINKS_SQLITE_H
#define DATABUFFER_SINKS_SQLITE_H

#include <stdbool.h>

#include <sqlite3.h>

#include <databuffer/sink.h>

#define ROWS_AT_ONCE 32 /* inserted by one statement; more gain little */
#define SHAPES_KEPT  64 /* the one used longest ago makes room */

/* Records with the same names, byte for byte, are of one shape. The first of them
 * looks the columns up, or makes them, and prepares the statement; all later ones
 * find it by one comparison. */
struct sqlite_shape {
	char *names; /* as in databuffer_record; NULL: a free place */
	size_t names_len;
	uint64_t used;      /* the table's turn when it was last asked for */
	sqlite3_stmt *one;  /* inserts a row */
	sqlite3_stmt *many; /* inserts ROWS_AT_ONCE; prepared when so many come in a row */
	char *refusal;      /* why no record of this shape can ever be a row; else NULL */
};

struct sqlite_table {
	sqlite3 *db;
	const char *name;
	char **columns; /* when they were last looked up */
	int column_count;
	bool changed; /* a column or the table itself was made in this transaction */
	uint64_t turn;
	struct sqlite_shape *last, shapes[SHAPES_KEPT];
};

/* The turn to write a file, among the states of this process. */
struct sqlite_turn;

struct sqlite {
	const databuffer_sink_config *config;
	const char *path;
	int64_t busy;
	struct sqlite_turn *turn;
	sqlite3 *db;
	bool ready;              /* the file was looked at and is set up */
	databuffer_batch *batch; /* that is being written; NULL at the start */
	int64_t waiting_since;   /* for another process, in ms */
	unsigned one_by_one;     /* so many batches still go row by row */
	struct sqlite_table table;
};

/* The sentence for a code of SQLite's, and the answer that goes with it. */
int sqlite_complain(const struct sqlite *state, int rc, databuffer_sentence *why);

/* Writes a batch into an open database: what a sink's flush answers. */
int sqlite_write(struct sqlite *state, databuffer_batch *batch, databuffer_sentence *why);

/* CLOCK_MONOTONIC in ms. */
int64_t sqlite_now(void);

void sqlite_table_init(struct sqlite_table *table, sqlite3 *db, const char *name);
void sqlite_table_fini(struct sqlite_table *table);

/* Checks what is there under the table's name: SQLITE_OK, SQLITE_MISUSE with the
 * sentence if records cannot go there, or another code of SQLite's. */
int sqlite_table_check(struct sqlite_table *table, const char *path, databuffer_sentence *why);

/* The shape of a record, within a transaction that may write: SQLITE_OK, or a
 * code of SQLite's that is about the transaction and not about this record. */
int sqlite_table_shape(struct sqlite_table *table, const databuffer_record *record,
                       struct sqlite_shape **found);

/* Prepares the shape's statement for ROWS_AT_ONCE rows; it stays NULL where one
 * by one is as good. */
int sqlite_table_prepare_many(struct sqlite_table *table, const databuffer_record *record,
                              struct sqlite_shape *shape);

/* Binds the fields of a record from parameter `first` on. */
int sqlite_table_bind(sqlite3_stmt *statement, int first, const databuffer_record *record);

/* What was worked out is void: the transaction was rolled back, or somebody else
 * has changed the table. */
void sqlite_table_forget(struct sqlite_table *table);

#endif
