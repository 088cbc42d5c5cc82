/* SPDX-License-Identifier: MIT */
/*
 * The oracle: an account of every item, kept beside the library and without
 * asking it, and compared with what the library says and does.
 *
 *               answer                  handle_flush
 *      offered ────────> held ───────────────────────────> flushed
 *         │               │ ──> dying ──> dead (handle_dead)
 *         │               │ ──> dropped (handle_drop)
 *         └──> refused    └───> left (handle_left)
 *
 * Every item carries its number, so that whoever shows it can be asked whether it
 * may be shown: it was accepted, has no outcome, is in one handler only, in its
 * place, with its bytes as they were. What the library may do between two events
 * that the oracle sees, it may have done or not: an item that is offered may be in
 * already, an answer may not be booked yet. So figures are compared as ranges
 * after every step, and exactly whenever nobody can run, when nothing is between.
 *
 *      items.c     items: their bytes, and from one state to the next
 *      calls.c     calls of the library: their answers, and when they come
 *      flights.c   calls of handle_flush: whether they are given the right items
 *      turns.c     and at the right time
 *      answers.c   what their answers mean
 *      deaths.c    the same of a worker's end in place of an answer
 *      watch.c     counters, bounds and waits, after every step
 */
#ifndef DATABUFFER_TESTS_SIM_ORACLE_H
#define DATABUFFER_TESTS_SIM_ORACLE_H

#include <databuffer.h>

#include "core/buffer.h"
#include "port/process.h"
#include "sim/world.h"

#define MS PORT_NS_PER_MS

#define ACCOUNTS_MAX   6
#define PARTITIONS_MAX 4
#define ITEMS_MAX      (1u << 16)
#define PRODUCERS_MAX  WORLD_TASKS_MAX /* since every task may insert */
#define FLIGHT_MAX     1024            /* items of one */
#define FLIGHTS_MAX    256
#define CALLS_MAX      256
#define IDS_MAX        (1u << 20)      /* of batches of a partition */
#define ITEM_LEN_MIN   4
#define KEYS           16

enum item_state {
	ITEM_OFFERED,
	ITEM_RESERVED, /* a slot, neither committed nor aborted */
	ITEM_REFUSED,
	ITEM_HELD,     /* this one and those after it are accepted */
	ITEM_FLUSHED,
	ITEM_DYING,    /* its handler has answered so; handle_dead is to come */
	ITEM_DEAD,
	ITEM_DROPPED,
	ITEM_LEFT,
	ITEM_STATES
};

struct item {
	uint8_t state;
	uint8_t account;
	int8_t partition;  /* -1: not seen yet */
	int8_t key;        /* -1: none */
	uint8_t syncs;     /* a bit for each sync_flush that waits for it */
	uint8_t shown, awaited; /* a bit for each dump that has shown it, that has to */
	bool ordered;      /* its place is that of its insert; a reserved slot's is not */
	bool poison;       /* what the sink never takes */
	bool presented;    /* to a handler, once */
	bool spent;        /* has had its last attempt, perhaps: the next failure may be its death */
	bool moot;         /* its handler answered when stop may have given it up already */
	uint16_t flight;   /* the handler that has it, and 1 */
	uint32_t len;
	uint32_t task, order;
	uint32_t group, group_size;     /* its insert's first item, and how many stay together */
	uint32_t fails;                 /* attempts that failed for now, of the piece that it is in */
	uint32_t kills;                 /* workers that died with that piece */
	bool died;                      /* one did at its last attempt */
	bool loose;                     /* and it may come in smaller ones now, */
	bool doomed;                    /* or be dead; `spent` only for that */
	uint32_t suspect;               /* the number of those among which one is known to be bad; 0: none */
	uint32_t piece, piece_size;     /* that piece: its first item, and how many */
	uint64_t piece_id;
	int64_t failing_since_ns;       /* of that piece; 0: not */
	int64_t offered_ns;
	uint64_t offered_step;
	uint64_t gone;     /* the step when its outcome was booked */
};

/* What is known of a partition. */
struct part {
	uint32_t presented[PRODUCERS_MAX]; /* the highest order that a handler has seen */
	uint32_t flushed[PRODUCERS_MAX];
	uint64_t ids[IDS_MAX / 64];        /* of batches that came, a bit each */
	bool overtaken;         /* several flew at once: there is no order any more */
	unsigned failing;       /* batches that failed for now, and have not come again */
	int64_t failed_ns, backoff_max_ns;
	uint64_t failed_step;
	uint64_t asked_step;    /* when a flush was asked for last, which cuts a backoff short */
	int64_t idle_since_ns;  /* since when it could have flushed, and held something */
	unsigned taken, failed; /* answers since the last rest: final ones, and for now */
	int64_t failure_ns;     /* the last answer that was a failure for now */
	uint64_t failure_step;
	unsigned failures;      /* for now, in a row up to the last rest, at least */
	int64_t opened_ns;      /* since when its breaker is surely open; WORLD_NEVER: perhaps it is not */
	bool bounded;           /* the sink has said once that a batch is too large */
	uint32_t fit, fit_taken;/* the bound since DATABUFFER_TOO_LARGE, full batches taken since; 0: none */
};

struct account {
	unsigned number;
	databuffer *buf;        /* NULL until it has started */
	databuffer_options options;     /* of now */
	int64_t first_largest;          /* the most items of a batch that it was started for */
	databuffer_options most, least; /* each number's extremes, of all that it has had */
	bool changed;           /* it has had others, or is about to */
	bool changing;          /* a reconfigure is under way */
	uint64_t changed_step;  /* when the last one had returned */
	int fd;                 /* of a manual one; -1: nobody has asked */
	bool crashes;           /* its sink dies of poison, where it can */
	bool live;              /* its insides may be looked at */
	bool stopping, stopped;
	int64_t stop_deadline_ns;
	const struct task *stopper;

	uint64_t items[ITEM_STATES], bytes[ITEM_STATES];
	uint64_t spent;         /* of those held */
	uint64_t calls, failures, rejects, too_large; /* of handle_flush */
	uint64_t deaths;        /* of workers with a batch */
	uint64_t given, flushes;/* items, and calls, since the pace is what it is */
	int64_t paced_ns;       /* since when */
	int8_t key_partition[KEYS];
	int pressure;           /* that was told last */
	const struct task *pressed; /* being told */
	struct part parts[PARTITIONS_MAX];
};

extern struct account oracle_accounts[ACCOUNTS_MAX];
extern unsigned oracle_account_count;
extern struct item oracle_items[ITEMS_MAX];
extern uint32_t oracle_item_count;

/* A buffer that is to start with these options; the next account. */
struct account *oracle_open(const databuffer_options *options);
/* It has. */
void oracle_started(struct account *account, databuffer *buf);

bool oracle_is_manual(const struct account *account);
/* Its handlers run in worker processes. */
bool oracle_has_workers(const struct account *account);
/* Its inserts give up items when there is no room. */
bool oracle_drops(const struct account *account);

/* Whether an item's attempts are over may be decided at another time than that of
 * the answer, or by other options. */
bool oracle_is_unsure(const struct account *account);

/* When a batch may come is also for others to say: a breaker, a rate limit, or a line
 * of partitions for a few flushers. */
bool oracle_is_held_up(const struct account *account);

/* It is about to run with these options, perhaps; now it does. */
void oracle_widens(struct account *account, const databuffer_options *options);
void oracle_changes(struct account *account, const databuffer_options *options);

/* Whether stop may have given up on what has no outcome. */
bool oracle_gives_up(const struct account *account);

/* --- Items (items.c) ------------------------------------------------------------- */

/* Numbers n items; the first number. Its bytes are written by oracle_write. */
uint32_t oracle_offer(struct account *account, unsigned n, const uint32_t *lens, bool ordered);
bool oracle_has_room(unsigned n);
void oracle_write(uint32_t number, void *to);

uint32_t oracle_number(const struct item *item);
uint64_t oracle_accepted(const struct account *account);

/* From one state to another, with all that hangs on it. */
void oracle_move(struct item *item, enum item_state state);

/* What came of the offer: the first `taken` of n are held, the others refused. */
void oracle_answer(uint32_t first, unsigned n, unsigned taken);

/* Whose item it is, bytes and all, or the run fails. */
struct item *oracle_read(const struct account *account, const databuffer_item *item, const char *who);

/* It is in a handler's hands or a visitor's, so it has been accepted. */
void oracle_seen(struct account *account, struct item *item, unsigned partition);

void oracle_dead(struct account *account, const databuffer_item *item, const databuffer_reason *reason);
void oracle_dropped(struct account *account, const databuffer_item *item, const databuffer_reason *reason);
void oracle_left(struct account *account, const databuffer_item *item, const databuffer_reason *reason);

/* --- Calls (calls.c) ----------------------------------------------------------------- */

enum call_kind {
	CALL_INSERT,
	CALL_SYNC,
	CALL_STOP,
	CALL_OTHER /* does not wait at all */
};

#define CALL_ANYWHERE  (-1)
#define CALL_SOMEWHERE (-2)

/* A call of the library that a task is in. */
struct call {
	bool in_use;
	enum call_kind kind;
	const char *name;
	struct account *account;
	const struct task *task;
	int64_t began_ns, lost_ns;
	int64_t timeout_ms;    /* 0: none */
	bool by_option;        /* the buffer's own */
	bool was_stopped;
	unsigned failures;     /* of the system's, before it */
	uint64_t switches;
	int64_t allowed;       /* a failure that the call asks for */
	bool asks;             /* for a flush */
	bool keeps;            /* an insert that can give up nothing for itself */
	/* CALL_INSERT */
	uint32_t n, bytes;     /* of items that go in together; 0: they may go in one by one */
	int partition;         /* that it is for; CALL_ANYWHERE, CALL_SOMEWHERE: nobody knows */
	/* CALL_SYNC */
	uint8_t sync_bit;
	uint32_t sync_left;
	int64_t waits_ns;      /* since when; 0: not yet */
};

extern struct call oracle_calls[CALLS_MAX];

/* NULL if as many run as the oracle can follow. */
struct call *oracle_call(struct account *account, enum call_kind kind, const char *name, int64_t timeout_ms);

/* Checks the answer's number, and when it came. */
void oracle_return(struct call *call, int64_t answer);

/* An item's outcome is there: the sync_flushes that wait for it wait for one less. */
void oracle_settle(struct item *item);

/* Whether an insert is under way that may have done more than it has told. */
bool oracle_is_inserting(const struct account *account);

/* A dump begins, of which there are at most eight at once; one of its items; it
 * has shown all. */
struct dump {
	const struct account *account; /* NULL: not in use */
	uint8_t bit;
	uint64_t began;                /* the step */
};

struct dump *oracle_dump(const struct account *account);
void oracle_shows(struct account *account, const struct dump *dump, const databuffer_item *shown, unsigned partition);
void oracle_dumped(struct dump *dump, bool whole);

/* --- Handlers (flights.c) --------------------------------------------------------------- */

struct flight {
	struct account *account;
	const struct task *task;
	unsigned number, partition, attempt;
	uint64_t id;
	int64_t deadline_ns;   /* when it is late */
	bool probe;            /* it came while its partition's breaker was open */
	uint32_t count;
	uint32_t items[FLIGHT_MAX];
	bool named[FLIGHT_MAX], settled[FLIGHT_MAX]; /* by the handler; by its answer */
	uint32_t named_count;
	bool in_use, answered; /* answered, and not known to be booked */
	bool booked;           /* the library has surely carried the answer out */
	int answer;
	bool sent;             /* to a worker, and `task` is who sent it */
	bool taken;            /* by the worker, whose handler may begin */
	bool returned, said;   /* the worker's handler has; and that has been said */
	struct port_end end;   /* of the worker, if there is no answer */
	bool died;
	uint32_t kills;        /* workers that its items had killed by then */
	bool spent;            /* it was the last attempt, perhaps */
	bool was_spent;        /* and of an item that is to die another was */
	int64_t answered_ns, failing_since_ns;
	uint64_t answered_step;
	unsigned failures;     /* of the system's on this task when it answered */
	uint32_t flushed, dying;
	uint64_t flushed_bytes, dying_bytes;
};

extern struct flight oracle_flights[FLIGHTS_MAX];

struct flight *oracle_takes_off(struct account *account, databuffer_batch *batch);
/* The same for a batch that the calling task sends to a worker; this takes it; and it
 * is with the worker's handler, whose batch has to be the one that was sent. */
void oracle_sends(struct account *account, databuffer_batch *batch);
struct flight *oracle_takes(struct account *account, uint64_t id);
struct flight *oracle_begins(struct account *account, databuffer_batch *batch);
/* Its items are what they were. */
void oracle_reads_again(const struct flight *flight, databuffer_batch *batch);
void oracle_names(struct flight *flight, uint32_t i);

/* --- Whose turn it is (turns.c) --------------------------------------------------------------- */

/* What time it is for the buffer. */
int64_t oracle_now_ns(const struct account *account);

/* Whether one more handler of the partition may run; `late`: it is late already. */
void oracle_check_crowd(struct account *account, unsigned partition, bool late);

/* Whether the batch may come now. */
void oracle_check_turn(struct flight *flight);

/* A flush was asked for: backoffs may have been cut short. */
void oracle_flush_asked(struct account *account);

/* When it is late: at its deadline, or, since a worker is killed then, once that has
 * not helped. Whether it is. */
int64_t oracle_late_ns(int64_t deadline_ns, bool sent);
bool oracle_is_late(const struct flight *flight);

/* At rest: whether as many handlers as may have not come to an end, of the partition
 * or of the whole buffer. */
bool oracle_is_busy(const struct account *account, unsigned partition);

/* At rest: counts failures in a row. */
void oracle_rests(struct account *account);

/* --- Their answers (answers.c) -------------------------------------------------------------- */

void oracle_lands(struct flight *flight, int answer);

/* Answers of the task have been carried out, since it has gone on. */
void oracle_books(const struct task *task);

/* The options change: what has been answered may be judged by the others. */
void oracle_doubts(const struct account *account);

/* An item that was to die, and shows itself: there was no memory to say so, or the
 * run fails. */
void oracle_revives(struct item *item);

/* An item is to die; and one that was is held and tried again. */
void oracle_kills(struct flight *flight, struct item *item);
/* When the items began to fail, if they have not before. */
void oracle_fails_since(const struct flight *flight);

/* Its items are with nobody any more; and in the end: what that came to. */
void oracle_comes_back(struct flight *flight);
void oracle_is_answered(struct flight *flight, int answer);
/* A failure that may have been the last: handle_dead may be told of its items. */
void oracle_spends(struct flight *flight);
/* What a failure for now counts towards a breaker. */
void oracle_counts_failure(const struct flight *flight);
/* The batch has failed for good, and one of its items is bad (or none is known to be). */
void oracle_suspects(const struct flight *flight);
void oracle_suspects_none(const struct flight *flight);

/* --- Deaths (deaths.c) ---------------------------------------------------------------------- */

/* Its worker has ended and given no answer; `counts`: its handler may have begun. */
void oracle_dies(struct flight *flight, bool counts, const struct port_end *end);

/* It comes again: what was in doubt is known. */
void oracle_lives_on(struct account *account, struct item *item, unsigned attempt);

/* Whether that is what handle_dead has to say of it. */
void oracle_check_death(const struct flight *flight, const databuffer_reason *reason);

/* --- Watching (watch.c) --------------------------------------------------------------------- */

void oracle_watch(void);

/* Figures that the library gives, while others may be at work. */
void oracle_check_stats(const struct account *account, const struct databuffer_stats *stats);
void oracle_check_infos(const struct account *account, const databuffer_partition_info *infos, unsigned n);

/* Threads may be refused, so that a batch may wait for one. */
extern bool oracle_few_threads;
/* Memory may be refused, so that what has failed alone may have to fail once more. */
extern bool oracle_few_bytes;
/* A thread may be kept from running between an answer and what follows from it. */
extern bool oracle_stalls;

/* Every buffer has stopped, every thread has ended: is everything accounted for? */
void oracle_close(void);

#endif
