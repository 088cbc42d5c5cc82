/* SPDX-License-Identifier: MIT */
/* sqlite_table.c: the columns of the table, and the statements that fill them. */
#include "sqlite.h"

#include <stdlib.h>
#include <string.h>

#define MANY_COLUMNS 64 /* rows with more fields are inserted one by one */

void sqlite_table_init(struct sqlite_table *table, sqlite3 *db, const char *name)
{
	memset(table, 0, sizeof(*table));
	table->db = db;
	table->name = name;
}

static void sqlite_shape_fini(struct sqlite_shape *shape)
{
	sqlite3_finalize(shape->one);
	sqlite3_finalize(shape->many);
	sqlite3_free(shape->refusal);
	free(shape->names);
	memset(shape, 0, sizeof(*shape));
}

static void sqlite_table_forget_columns(struct sqlite_table *table)
{
	for (int i = 0; i < table->column_count; i++)
		sqlite3_free(table->columns[i]);
	sqlite3_free(table->columns);
	table->columns = NULL;
	table->column_count = 0;
}

void sqlite_table_forget(struct sqlite_table *table)
{
	for (size_t i = 0; i < SHAPES_KEPT; i++)
		sqlite_shape_fini(&table->shapes[i]);
	sqlite_table_forget_columns(table);
	table->last = NULL;
	table->changed = false;
}

void sqlite_table_fini(struct sqlite_table *table)
{
	sqlite_table_forget(table);
}

int sqlite_table_check(struct sqlite_table *table, const char *path, databuffer_sentence *why)
{
	sqlite3_stmt *statement;
	const char *type;
	int rc;

	if (sqlite3_strnicmp(table->name, "sqlite_", 7) == 0)
		return databuffer_sentence_set(
		    why, SQLITE_MISUSE,
		    "no table may be named %s: names that begin with sqlite_ are SQLite's own", table->name);
	rc = sqlite3_prepare_v2(
	    table->db, "SELECT type FROM sqlite_schema WHERE lower(name) = lower(?) AND type <> 'trigger'",
	    -1, &statement, NULL);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_text(statement, 1, table->name, -1, SQLITE_STATIC);
	rc = sqlite3_step(statement);
	if (rc == SQLITE_ROW) {
		type = (const char *)sqlite3_column_text(statement, 0);
		rc = SQLITE_OK;
		if (type && strcmp(type, "table") != 0)
			rc = databuffer_sentence_set(why, SQLITE_MISUSE,
			                             "%s in %s is no table but a%s %s; name another with ?table=NAME",
			                             table->name, path, strcmp(type, "index") == 0 ? "n" : "", type);
	} else if (rc == SQLITE_DONE) {
		rc = SQLITE_OK;
	}
	sqlite3_finalize(statement);
	return rc;
}

/* --- Columns -------------------------------------------------------------------- */

static int sqlite_table_add_known(struct sqlite_table *table, const char *name)
{
	char **columns =
	    sqlite3_realloc64(table->columns, ((sqlite3_uint64)table->column_count + 1) * sizeof(*columns));

	if (!columns)
		return SQLITE_NOMEM;
	table->columns = columns;
	columns[table->column_count] = sqlite3_mprintf("%s", name);
	if (!columns[table->column_count])
		return SQLITE_NOMEM;
	table->column_count++;
	return SQLITE_OK;
}

static bool sqlite_table_knows(const struct sqlite_table *table, const char *name)
{
	for (int i = 0; i < table->column_count; i++)
		if (sqlite3_stricmp(table->columns[i], name) == 0)
			return true;
	return false;
}

static int sqlite_table_read_columns(struct sqlite_table *table)
{
	sqlite3_stmt *statement;
	char *sql = sqlite3_mprintf("PRAGMA table_xinfo(\"%w\")", table->name);
	int rc = sql ? sqlite3_prepare_v2(table->db, sql, -1, &statement, NULL) : SQLITE_NOMEM;

	sqlite3_free(sql);
	if (rc != SQLITE_OK)
		return rc;
	sqlite_table_forget_columns(table);
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		rc = sqlite_table_add_known(table, (const char *)sqlite3_column_text(statement, 1));
		if (rc != SQLITE_OK)
			break;
	}
	sqlite3_finalize(statement);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int sqlite_table_run(struct sqlite_table *table, sqlite3_str *text)
{
	char *sql = sqlite3_str_finish(text);
	int rc = sql ? sqlite3_exec(table->db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;

	sqlite3_free(sql);
	return rc;
}

static int sqlite_table_create(struct sqlite_table *table, const databuffer_record *record)
{
	sqlite3_str *text = sqlite3_str_new(table->db);
	const char *name = record->names;

	/* Without types: a value stays what it was in the record. */
	sqlite3_str_appendf(text, "CREATE TABLE \"%w\"(", table->name);
	for (uint32_t i = 0; i < record->fields; i++, name += strlen(name) + 1)
		sqlite3_str_appendf(text, "%s\"%w\"", i ? ", " : "", name);
	sqlite3_str_appendall(text, ")");
	return sqlite_table_run(table, text);
}

static int sqlite_table_add(struct sqlite_table *table, const char *name)
{
	sqlite3_str *text = sqlite3_str_new(table->db);

	sqlite3_str_appendf(text, "ALTER TABLE \"%w\" ADD COLUMN \"%w\"", table->name, name);
	return sqlite_table_run(table, text);
}

/* Sees to it that the table has a column for each field. Which it has is looked
 * up each time: others may have changed it. */
static int sqlite_table_fit(struct sqlite_table *table, const databuffer_record *record)
{
	const char *name, *end = record->names + record->names_len;
	int rc = sqlite_table_read_columns(table);

	if (rc == SQLITE_OK && table->column_count == 0 && record->fields > 0) {
		table->changed = true;
		rc = sqlite_table_create(table, record);
		if (rc == SQLITE_OK)
			rc = sqlite_table_read_columns(table);
	}
	for (name = record->names; rc == SQLITE_OK && name < end; name += strlen(name) + 1) {
		if (sqlite_table_knows(table, name))
			continue;
		table->changed = true;
		rc = sqlite_table_add(table, name);
		if (rc == SQLITE_OK)
			rc = sqlite_table_add_known(table, name);
	}
	return rc;
}

/* --- Shapes --------------------------------------------------------------------- */

/* Two fields that SQLite takes for one column, or NULL: it does not tell "A" from
 * "a". */
static char *sqlite_shape_clash(const databuffer_record *record)
{
	const char *end = record->names + record->names_len;

	for (const char *name = record->names; name < end; name += strlen(name) + 1)
		for (const char *other = record->names; other < name; other += strlen(other) + 1)
			if (sqlite3_stricmp(name, other) == 0)
				return sqlite3_mprintf("\"%.100s\" and \"%.100s\" are one column to SQLite",
				                       other, name);
	return NULL;
}

static int sqlite_shape_prepare(struct sqlite_table *table, const databuffer_record *record, int rows,
                                sqlite3_stmt **statement)
{
	sqlite3_str *text = sqlite3_str_new(table->db);
	const char *name = record->names;
	char *sql;
	int rc;

	sqlite3_str_appendf(text, "INSERT INTO \"%w\"", table->name);
	for (uint32_t i = 0; i < record->fields; i++, name += strlen(name) + 1)
		sqlite3_str_appendf(text, "%s\"%w\"", i ? ", " : "(", name);
	sqlite3_str_appendall(text, record->fields ? ") VALUES " : " DEFAULT VALUES");
	for (int row = 0; row < rows && record->fields > 0; row++)
		for (uint32_t i = 0; i < record->fields; i++)
			sqlite3_str_appendall(text, i ? ",?" : row ? "),(?" : "(?");
	if (record->fields > 0)
		sqlite3_str_appendall(text, ")");
	sql = sqlite3_str_finish(text);
	rc = sql ? sqlite3_prepare_v3(table->db, sql, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL)
	         : SQLITE_NOMEM;
	sqlite3_free(sql);
	return rc;
}

static int sqlite_shape_fill(struct sqlite_table *table, struct sqlite_shape *shape,
                             const databuffer_record *record)
{
	int rc;

	shape->refusal = sqlite_shape_clash(record);
	if (shape->refusal)
		return SQLITE_OK;
	rc = sqlite_table_fit(table, record);
	if (rc == SQLITE_OK && table->column_count == 0) {
		shape->refusal = sqlite3_mprintf("it has no fields, and without any the table %.100s cannot be made",
		                                 table->name);
		return shape->refusal ? SQLITE_OK : SQLITE_NOMEM;
	}
	if (rc == SQLITE_OK)
		rc = sqlite_shape_prepare(table, record, 1, &shape->one);
	/* What SQLite cannot compile, or has no room for, is about these fields. */
	if (rc == SQLITE_ERROR || rc == SQLITE_TOOBIG) {
		shape->refusal = sqlite3_mprintf("%s", sqlite3_errmsg(table->db));
		rc = shape->refusal ? SQLITE_OK : SQLITE_NOMEM;
	}
	return rc;
}

static bool sqlite_shape_is(const struct sqlite_shape *shape, const databuffer_record *record)
{
	return shape->names_len == record->names_len && shape->names &&
	       memcmp(shape->names, record->names, record->names_len) == 0;
}

static int sqlite_shape_new(struct sqlite_table *table, const databuffer_record *record,
                            struct sqlite_shape **found)
{
	struct sqlite_shape *shape = table->shapes;
	int rc;

	for (size_t i = 1; i < SHAPES_KEPT; i++)
		if (table->shapes[i].used < shape->used)
			shape = &table->shapes[i];
	sqlite_shape_fini(shape);
	shape->names = malloc(record->names_len + 1);
	if (!shape->names)
		return SQLITE_NOMEM;
	memcpy(shape->names, record->names, record->names_len);
	shape->names_len = record->names_len;
	rc = sqlite_shape_fill(table, shape, record);
	if (rc != SQLITE_OK)
		sqlite_shape_fini(shape);
	else
		*found = shape;
	return rc;
}

int sqlite_table_shape(struct sqlite_table *table, const databuffer_record *record,
                       struct sqlite_shape **found)
{
	struct sqlite_shape *shape = table->last;
	int rc = SQLITE_OK;

	if (!shape || !sqlite_shape_is(shape, record)) {
		for (shape = table->shapes; shape < table->shapes + SHAPES_KEPT; shape++)
			if (sqlite_shape_is(shape, record))
				break;
		if (shape == table->shapes + SHAPES_KEPT)
			rc = sqlite_shape_new(table, record, &shape);
		if (rc != SQLITE_OK)
			return rc;
		table->last = shape;
		shape->used = ++table->turn;
	}
	/* A record without fields fits as soon as another has made the table. */
	if (shape->refusal && record->fields == 0) {
		sqlite3_free(shape->refusal);
		rc = sqlite_shape_fill(table, shape, record);
	}
	*found = shape;
	return rc;
}

int sqlite_table_prepare_many(struct sqlite_table *table, const databuffer_record *record,
                              struct sqlite_shape *shape)
{
	if (record->fields == 0 || record->fields > MANY_COLUMNS)
		return SQLITE_OK;
	return sqlite_shape_prepare(table, record, ROWS_AT_ONCE, &shape->many);
}

int sqlite_table_bind(sqlite3_stmt *statement, int first, const databuffer_record *record)
{
	int rc = SQLITE_OK;

	for (uint32_t i = 0; i < record->fields && rc == SQLITE_OK; i++) {
		int at = first + (int)i;
		databuffer_field field;

		if (!databuffer_record_value(record, i, &field))
			return SQLITE_MISMATCH;
		switch (field.type) {
		case DATABUFFER_FIELD_NULL:
			rc = sqlite3_bind_null(statement, at);
			break;
		case DATABUFFER_FIELD_INTEGER:
		case DATABUFFER_FIELD_BOOL:
			rc = sqlite3_bind_int64(statement, at, field.integer);
			break;
		case DATABUFFER_FIELD_REAL:
			rc = sqlite3_bind_double(statement, at, field.real);
			break;
		case DATABUFFER_FIELD_BYTES:
			rc = sqlite3_bind_blob64(statement, at, field.text, field.len, SQLITE_STATIC);
			break;
		default:
			rc = sqlite3_bind_text64(statement, at, field.text, field.len, SQLITE_STATIC,
			                         SQLITE_UTF8);
			break;
		}
	}
	return rc;
}
