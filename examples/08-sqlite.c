/*
 * 08-sqlite.c: a real handler: a batch is a transaction of SQLite.
 *
 * It shows the whole of a handler's answers: 0 when the transaction is committed,
 * a transient failure while the database is locked, and items named that the
 * table will never take. Give it a file name to keep the database.
 */
#include <databuffer.h>

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#define READINGS 10000

struct reading {
	int id;
	int sensor;
	double celsius;
};

struct table {
	sqlite3 *db;
	sqlite3_stmt *insert;
	int rejected;
};

static void must(int64_t rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, databuffer_strerror((int)rc));
	exit(1);
}

static void must_sql(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK)
		return;
	fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
	exit(1);
}

static int insert_row(sqlite3_stmt *insert, const struct reading *reading)
{
	sqlite3_bind_int(insert, 1, reading->id);
	sqlite3_bind_int(insert, 2, reading->sensor);
	sqlite3_bind_double(insert, 3, reading->celsius);
	sqlite3_step(insert);
	return sqlite3_reset(insert); /* the error of the step, if there was one */
}

/* Nothing of the batch is written, and it comes again. */
static int give_up_for_now(struct table *table)
{
	fprintf(stderr, "for now: %s\n", sqlite3_errmsg(table->db));
	sqlite3_exec(table->db, "ROLLBACK", NULL, NULL, NULL);
	return DATABUFFER_RETRY;
}

static int save(databuffer_batch *batch, void *meta)
{
	struct table *table = meta;
	size_t n = databuffer_batch_size(batch);

	if (sqlite3_exec(table->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return DATABUFFER_RETRY;
	for (size_t i = 0; i < n; i++) {
		int rc = insert_row(table->insert, databuffer_batch_at(batch, i).data);
		if (rc == SQLITE_OK)
			continue;
		/* A constraint undoes its row and leaves the transaction as it is. */
		if (rc != SQLITE_CONSTRAINT || databuffer_batch_fail(batch, i, sqlite3_errmsg(table->db)) < 0)
			return give_up_for_now(table);
	}
	if (sqlite3_exec(table->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
		return give_up_for_now(table);
	return 0;
}

static void reject(const databuffer_item *item, const databuffer_reason *reason, void *meta)
{
	const struct reading *reading = item->data;
	struct table *table = meta;

	if (table->rejected++ == 0)
		printf("reading %d was rejected: %s\n", reading->id, reason->text);
}

/* One number from the database. */
static int ask(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *question;
	int answer = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &question, NULL) == SQLITE_OK && sqlite3_step(question) == SQLITE_ROW)
		answer = sqlite3_column_int(question, 0);
	sqlite3_finalize(question);
	return answer;
}

int main(int argc, char **argv)
{
	struct table table = { NULL, NULL, 0 };
	databuffer *buf;
	databuffer_options o = databuffer_options_init();

	if (sqlite3_open(argc > 1 ? argv[1] : ":memory:", &table.db) != SQLITE_OK)
		return 1;
	must_sql(table.db, "DROP TABLE IF EXISTS reading");
	must_sql(table.db, "CREATE TABLE reading (id INTEGER PRIMARY KEY, sensor INTEGER, "
	                   "celsius REAL CHECK (celsius > -273.15))");
	if (sqlite3_prepare_v2(table.db, "INSERT INTO reading VALUES (?, ?, ?)", -1, &table.insert, NULL) !=
	    SQLITE_OK)
		return 1;

	o.max_size = 1000;
	o.handle_flush = save;
	o.handle_dead = reject;
	o.flush_meta = &table;
	must(databuffer_start(&buf, &o), "start");
	for (int i = 0; i < READINGS; i++) {
		/* A broken sensor tells now and then of a cold that there is not. */
		struct reading reading = { .id = i, .sensor = i % 7, .celsius = i % 500 == 499 ? -300 : 20 };
		must(databuffer_insert(buf, &reading, sizeof(reading)), "insert");
	}
	must(databuffer_stop(buf, 10000), "stop");

	int rows = ask(table.db, "SELECT count(*) FROM reading");
	printf("%d rows in the table, %d readings rejected\n", rows, table.rejected);
	sqlite3_finalize(table.insert);
	sqlite3_close(table.db);
	return rows == READINGS - READINGS / 500 && table.rejected == READINGS / 500 ? 0 : 1;
}
