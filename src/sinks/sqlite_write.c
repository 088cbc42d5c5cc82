/* SPDX-License-Identifier: MIT */
/*
 * sqlite_write.c: a batch is a transaction.
 *
 *      BEGIN IMMEDIATE   the only writer from here on, or the batch waits
 *      INSERT ...        columns that are missing are added on the way; what a
 *                        constraint refuses is named, and the rest goes on
 *      COMMIT            from here on the batch is written
 *
 * Records of one shape that follow each other are inserted several at a time,
 * which saves a quarter of the work. When one of these is refused the
 * transaction is rolled back and goes one by one, to know which.
 */
#include <stdlib.h>
#include <string.h>

#include "sqlite.h"

#define BATCHES_ONE_BY_ONE 16 /* once a row was refused */
#define ROWS_UNASKED 256      /* then it is asked whether anybody still waits for the batch */

/* How far a transaction came. */
enum write_progress {
	WRITE_ALL,   /* each record is inserted or named */
	WRITE_AGAIN, /* start over: one more record is named, or rows now go one by one */
	WRITE_FAILED /* the transaction failed; the code says why */
};

struct transaction {
	struct sqlite *state;
	databuffer_batch *batch;
	size_t size;
	bool many;
	unsigned char *refused; /* 1 for each item that is named; NULL: none yet */
	int rc;
};

/* Whether the buffer has stopped, and given the items to somebody else. A batch
 * that is merely late still counts. */
static bool write_is_unwanted(const databuffer_batch *batch)
{
	return databuffer_batch_cancelled(batch) && sqlite_now() < databuffer_batch_deadline(batch);
}

static bool write_refuse(struct transaction *work, size_t i, const char *reason)
{
	if (!work->refused)
		work->refused = calloc(work->size, 1);
	if (!work->refused || databuffer_batch_fail(work->batch, i, reason) != 0) {
		work->rc = SQLITE_NOMEM;
		return false;
	}
	work->refused[i] = 1;
	return true;
}

/* Whether a failed statement is about the row, and not about the file. */
static bool write_is_about_row(int rc)
{
	rc &= 0xff;
	return rc == SQLITE_CONSTRAINT || rc == SQLITE_MISMATCH || rc == SQLITE_TOOBIG || rc == SQLITE_RANGE;
}

/* Inserts the record at i. */
static enum write_progress write_insert_one(struct transaction *work, size_t i,
                                            const databuffer_record *record, sqlite3_stmt *statement)
{
	sqlite3 *db = work->state->db;
	int rc = sqlite_table_bind(statement, 1, record);

	if (rc == SQLITE_OK) {
		sqlite3_step(statement);
		rc = sqlite3_reset(statement);
	}
	if (rc == SQLITE_OK)
		return WRITE_ALL;
	work->rc = rc;
	if (!write_is_about_row(rc) || !write_refuse(work, i, sqlite3_errmsg(db)))
		return WRITE_FAILED;
	/* The table may say ON CONFLICT ROLLBACK: then all of it is undone. */
	return sqlite3_get_autocommit(db) ? WRITE_AGAIN : WRITE_ALL;
}

/* Inserts ROWS_AT_ONCE records of one shape at once. */
static enum write_progress write_insert_many(struct transaction *work, const databuffer_record *records,
                                               sqlite3_stmt *statement)
{
	int rc = SQLITE_OK;

	for (int row = 0; row < ROWS_AT_ONCE && rc == SQLITE_OK; row++)
		rc = sqlite_table_bind(statement, row * (int)records->fields + 1, &records[row]);
	if (rc == SQLITE_OK) {
		sqlite3_step(statement);
		rc = sqlite3_reset(statement);
	}
	if (rc == SQLITE_OK)
		return WRITE_ALL;
	work->rc = rc;
	if (!write_is_about_row(rc))
		return WRITE_FAILED;
	work->many = false;
	work->state->one_by_one = BATCHES_ONE_BY_ONE;
	return WRITE_AGAIN;
}

/* Opens up to ROWS_AT_ONCE records from i on that have the fields of the first;
 * how many. None if i is no record. */
static size_t write_gather(const struct transaction *work, size_t i, databuffer_record *records)
{
	size_t most = work->many ? ROWS_AT_ONCE : 1, n = 0;

	for (; n < most && i + n < work->size; n++) {
		databuffer_item item = databuffer_batch_at(work->batch, i + n);

		if ((work->refused && work->refused[i + n]) ||
		    databuffer_record_open(&records[n], item.data, item.len) != 0)
			break;
		if (n > 0 && (records[n].names_len != records->names_len ||
		              memcmp(records[n].names, records->names, records->names_len) != 0))
			break;
	}
	return n;
}

static enum write_progress write_insert_all(struct transaction *work)
{
	databuffer_record records[ROWS_AT_ONCE];
	enum write_progress progress = WRITE_ALL;
	struct sqlite_shape *shape;
	size_t n, looked = 0;

	for (size_t i = 0; i < work->size && progress == WRITE_ALL; i += n) {
		if (i - looked >= ROWS_UNASKED) {
			looked = i;
			work->rc = SQLITE_ABORT;
			if (write_is_unwanted(work->batch))
				return WRITE_FAILED;
		}
		n = write_gather(work, i, records);
		if (n == 0) {
			n = 1;
			if (!(work->refused && work->refused[i]) && !write_refuse(work, i, "not a record"))
				return WRITE_FAILED;
			continue;
		}
		work->rc = sqlite_table_shape(&work->state->table, &records[0], &shape);
		if (work->rc != SQLITE_OK)
			return WRITE_FAILED;
		if (n == ROWS_AT_ONCE && !shape->many && !shape->refusal) {
			work->rc = sqlite_table_prepare_many(&work->state->table, &records[0], shape);
			if (work->rc != SQLITE_OK)
				return WRITE_FAILED;
		}
		if (n == ROWS_AT_ONCE && shape->many) {
			progress = write_insert_many(work, records, shape->many);
			continue;
		}
		for (size_t row = 0; row < n && progress == WRITE_ALL; row++) {
			if (!shape->refusal)
				progress = write_insert_one(work, i + row, &records[row], shape->one);
			else if (!write_refuse(work, i + row, shape->refusal))
				progress = WRITE_FAILED;
		}
	}
	return progress;
}

static void write_roll_back(struct sqlite *state)
{
	if (!sqlite3_get_autocommit(state->db))
		sqlite3_exec(state->db, "ROLLBACK", NULL, NULL, NULL);
	if (state->table.changed)
		sqlite_table_forget(&state->table);
}

/* One transaction, or as many as it takes until one goes through. */
static int write_transactions(struct transaction *work, databuffer_sentence *why)
{
	struct sqlite *state = work->state;
	enum write_progress progress;
	int answer;

	do {
		work->rc = sqlite3_exec(state->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
		if (work->rc != SQLITE_OK)
			return sqlite_complain(state, work->rc, why);
		progress = write_insert_all(work);
		if (progress == WRITE_ALL) {
			work->rc = write_is_unwanted(work->batch) ?
			                   SQLITE_ABORT :
			                   sqlite3_exec(state->db, "COMMIT", NULL, NULL, NULL);
			if (work->rc == SQLITE_OK) {
				state->table.changed = false;
				return 0;
			}
			progress = WRITE_FAILED;
		}
		answer =
		    (work->rc & 0xff) == SQLITE_CONSTRAINT
			? databuffer_sentence_set(why, DATABUFFER_REJECT, "%s", sqlite3_errmsg(state->db))
			: sqlite_complain(state, work->rc, why);
		write_roll_back(state);
	} while (progress == WRITE_AGAIN);
	/* The table may have been changed under our statements. */
	if ((work->rc & 0xff) == SQLITE_ERROR)
		sqlite_table_forget(&state->table);
	return answer;
}

int sqlite_write(struct sqlite *state, databuffer_batch *batch, databuffer_sentence *why)
{
	struct transaction work = {
		.state = state,
		.batch = batch,
		.size = databuffer_batch_size(batch),
		.many = state->one_by_one == 0,
		.rc = SQLITE_OK,
	};
	int answer;

	if (state->one_by_one > 0)
		state->one_by_one--;
	answer = write_transactions(&work, why);
	free(work.refused);
	return answer;
}
