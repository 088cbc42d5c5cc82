/* SPDX-License-Identifier: MIT */
/*
 * databuffer.h: gather items in memory, hand them on in batches.
 *
 * A program inserts items from any number of threads. Each partition of the
 * buffer collects its share. When a partition is full, when its time is up,
 * when someone asks, or when the buffer stops, the partition's items go as one
 * batch to the program's `handle_flush`, which writes them where they belong.
 *
 *      insert ─┐   ┌───────────── a buffer ─────────────┐
 *      insert ─┼──>│ partition 0  [open][queued][flight]│──> handle_flush
 *      insert ─┘   │ partition 1  [open][queued][flight]│──> handle_flush
 *                  └────────────────────────────────────┘
 *
 * A whole program:
 *
 *      static int save(databuffer_batch *batch, void *meta)
 *      {
 *          databuffer_item item;
 *          while (databuffer_batch_next(batch, &item))
 *              fwrite(item.data, 1, item.len, meta);
 *          return 0;
 *      }
 *
 *      int main(void)
 *      {
 *          databuffer *buf;
 *          databuffer_options o = databuffer_options_init();
 *          o.handle_flush = save;
 *          o.flush_meta = stdout;
 *          if (databuffer_start(&buf, &o) < 0)
 *              return 1;
 *          databuffer_insert(buf, "hello\n", 6);
 *          return databuffer_stop(buf, 5000) != 0;
 *      }
 *
 * WHAT IS PROMISED
 *
 * One outcome per item. Every accepted item ends in exactly one of: flushed,
 * dead-lettered, dropped, left over at stop. At every moment
 *
 *      inserted == held + flushed + dead + dropped + left
 *
 * An insert that reports failure was not inserted.
 *
 * Bounds. No batch holds more than its flush size or more than `max_bytes`.
 * A partition holds at most `1 + max_in_flight + max_queued` such batches, and
 * `max_stuck` more that a late handler has not given back.
 *
 * Order. Items that one thread puts into one partition reach `handle_flush` in
 * the order of their inserts, across batches and retries too, as long as
 * `max_in_flight` is 1 and no flush outlives `flush_timeout`. With one thread
 * and one partition the batches are exact: the same cuts every time.
 *
 * Deadlines. Every wait has one and none outlives it. What runs in your
 * handlers is yours: a call never waits for one beyond its own deadline.
 *
 * WHO MAY RUN BESIDE WHOM
 *
 *      Beside each other, any threads, no locks of yours needed:
 *          insert*  reserve/commit/abort  flush  sync_flush  dump  size  info
 *          stats  check  pressure  reconfigure  options_of  find
 *          telemetry_attach/detach
 *      A slot belongs to the thread that reserved it until commit or abort.
 *      A batch belongs to the handler call that it was given to.
 *      start: any thread; the handle is yours to share once it has returned.
 *      stop: once, from any thread, beside any of the above: inserts and reconfigure
 *          then answer DATABUFFER_ESTOPPED at once, sync_flush once it has given items
 *          up, the others when it is over. The handle is dead when stop has returned; for
 *          a while longer calls on it still answer DATABUFFER_ESTOPPED, which
 *          is a help in finding a mistake and nothing to rely on.
 *
 *      From a handler of the same buffer: all of these, but for two. insert* may time
 *      out: the handler holds up the very flush it waits for. From a worker process none.
 *      Not sync_flush and not stop: they would wait for themselves, and answer
 *      DATABUFFER_EDEADLK.
 *      From a signal handler: nothing, and so not databuffer_insert_timed with 0
 *      either, if it may have interrupted its thread in a call of this library, or
 *      in any other function that is not async-signal-safe: the call that was
 *      interrupted has the lease, and perhaps a lock, that the insert would need.
 *      Where the signal can come only while the thread waits, in sigsuspend(2),
 *      ppoll(2) and their like, and is blocked otherwise, its handler is ordinary
 *      code and may call everything.
 *
 *      A thread may end at any time, also with slots reserved, which are then
 *      given back. No call is a point of cancellation, nor what it calls (but for
 *      handle_flush and handle_dead, see there): who is cancelled meanwhile, also
 *      while it waits, ends after it. Asynchronous cancellation is not allowed.
 *      Destructors of thread-local data (pthread keys, thread_local) may insert.
 *
 * FORK
 *
 * In a child process every buffer is there, empty and usable: its counters are
 * zero, its threads start again on demand. The items stay with the parent. A
 * child forked by a handler ends that thread when the handler returns. Handlers
 * of events stay attached; what they point to must not be on another thread's
 * stack, which the child does not have.
 *
 * WORKER PROCESSES
 *
 * With DATABUFFER_PROCESSES handle_flush runs in worker processes. It may crash,
 * exit, hang or take all memory: the program goes on, and the batch is tried again
 * in a fresh worker. What has killed `kill_limit` workers counts as rejected, so
 * that the item which kills ends alone in handle_dead ("killed by SIGSEGV"). A call
 * that outlives flush_timeout is ended by killing its worker.
 *
 * Start such a buffer early. databuffer_start forks a process of one thread, and
 * workers are forked from that one, then and later. So a worker has what the program
 * had when it called databuffer_start: a copy of its memory, its open descriptors,
 * its directory and its user. It has none of its other threads, but whatever they
 * had locked at that moment, for ever locked: best start the buffer before them. It
 * has none of its signal handlers: signals have their default action, or are ignored
 * if they were, SIGCHLD apart. Nothing that the program does later reaches it, but
 * batches.
 *
 *      handle_worker_start(meta)   in each worker, before its first batch: open
 *                                  connections here, once in a worker's life
 *      handle_flush(batch, meta)   in a worker, one call at a time
 *      handle_worker_stop(meta)    in each worker that is not killed, at its end; a stop
 *                                  whose time is up kills those that are left
 *      handle_dead, handle_left, handle_log, handlers of events
 *                                  in the program, as ever
 *
 * A handler there may rely on its items, which it can read and not write; on its
 * own memory from one batch to the next, until its worker ends; and on its result
 * being known once it has returned. It needs none of the descriptors that it has
 * inherited, and may close them all. What it prints to stdout is written then; any
 * other stream it has to flush before. What it writes to standard error passes
 * through a fork server that lets 64 KiB through at once and 16 KiB a second. Beyond
 * worker_memory_limit it is given no more memory of its own; what it maps as shared,
 * or of files without writing, does not count.
 * Calls on the program's buffers answer DATABUFFER_ENOTSUP there. To give something
 * back there is databuffer_batch_set_result_bytes; a pointer means nothing elsewhere,
 * so `value` of databuffer_sync_flush is NULL.
 *
 * At least once: a worker that dies after it has written a batch, and before that is
 * known, has the batch written again; databuffer_batch_id is the same.
 *
 * All these processes end with the buffer, and with the program, however it ends.
 * They are children of the program's: a wait(2) for any child may see one end, and who
 * waits until no child is left waits for the buffer's stop, too.
 *
 * UNITS
 *
 * Times are milliseconds and sizes are bytes or items unless the name says
 * otherwise. A negative timeout stands for the buffer's own `timeout` option,
 * 0 for "do not wait". Deadlines are read on CLOCK_MONOTONIC.
 *
 * ERRORS
 *
 * Functions that return int or int64_t answer 0 or a count, or a negative
 * databuffer_error. A failed call leaves its outputs untouched.
 */
#ifndef DATABUFFER_H
#define DATABUFFER_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#define DATABUFFER_VERSION_MAJOR 0
#define DATABUFFER_VERSION_MINOR 1
#define DATABUFFER_VERSION_PATCH 0

#if defined(__GNUC__)
#define DATABUFFER_API __attribute__((visibility("default")))
#else
#define DATABUFFER_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

struct iovec;

typedef struct databuffer databuffer;
typedef struct databuffer_batch databuffer_batch;

/* The version of the library that runs, "0.1.0"; the macros above say what the
 * program was compiled against. */
DATABUFFER_API const char *databuffer_version(void);

/* --- Errors ------------------------------------------------------------- */

/* X(name, number, text). The numbers are the system's, negated, so that
 * `strerror(-rc)` is never far off. */
#define DATABUFFER_ERRORS(X)                                                  \
	X(EINVAL, -EINVAL, "an argument or option is missing or out of its range") \
	X(ENOMEM, -ENOMEM, "memory ran out; nothing was changed")             \
	X(ETIMEDOUT, -ETIMEDOUT, "the deadline passed first; nothing was inserted by this call") \
	X(EFULL, -ENOBUFS, "the buffer is full, and its overflow option is not to wait; nothing was inserted") \
	X(EMSGSIZE, -EMSGSIZE, "the item is larger than max_bytes and would never fit in a batch") \
	X(EEXIST, -EEXIST, "that name or id is taken in this process")        \
	X(ENOENT, -ENOENT, "there is nothing of that name")                   \
	X(ESTOPPED, -ESHUTDOWN, "the buffer is stopping or stopped")          \
	X(EDEADLK, -EDEADLK, "called from the buffer's own handler, this would wait for itself") \
	X(EBUSY, -EBUSY, "this thread holds as many reserved slots as it may; commit or abort one") \
	X(EAGAIN, -EAGAIN, "the system gave no thread, process or descriptor; try again") \
	X(EWORKER, -EOWNERDEAD, "the worker process died while it flushed")   \
	X(ENOTSUP, -ENOTSUP, "this kind of buffer does not do that")          \
	X(ECANCELED, -ECANCELED, "the handler left its thread, or threw an exception, instead of returning") \
	X(EBROKEN, -ENOTRECOVERABLE, "the buffer's account does not add up; the log says what is broken")

typedef enum databuffer_error {
#define DATABUFFER_ERROR_ENUM(name, number, text) DATABUFFER_##name = (number),
	DATABUFFER_ERRORS(DATABUFFER_ERROR_ENUM)
#undef DATABUFFER_ERROR_ENUM
	DATABUFFER_OK = 0
} databuffer_error;

/* One sentence for a code of this library's or a negated errno; never NULL,
 * never freed. */
DATABUFFER_API const char *databuffer_strerror(int rc);

/* --- Items and batches ---------------------------------------------------- */

/* Bytes of the caller's, or of the buffer's where the buffer shows them. */
typedef struct databuffer_item {
	const void *data;
	size_t len;
} databuffer_item;

/* Why a batch was cut. */
#define DATABUFFER_TRIGGERS(X)                                                \
	X(SIZE, "size")         /* the flush size was reached, or a batch insert needed the room */ \
	X(BYTES, "bytes")       /* max_bytes was reached, or the next item would not fit */ \
	X(INTERVAL, "interval") /* flush_interval + jitter passed since the last cut */ \
	X(FLUSH, "flush")       /* databuffer_flush or databuffer_sync_flush */   \
	X(STOP, "stop")         /* databuffer_stop */

typedef enum databuffer_trigger {
#define DATABUFFER_TRIGGER_ENUM(name, text) DATABUFFER_TRIGGER_##name,
	DATABUFFER_TRIGGERS(DATABUFFER_TRIGGER_ENUM)
#undef DATABUFFER_TRIGGER_ENUM
	DATABUFFER_TRIGGER_COUNT
} databuffer_trigger;

/* "size", "bytes", "interval", "flush", "stop"; "unknown" for any other. */
DATABUFFER_API const char *databuffer_trigger_name(databuffer_trigger trigger);

/* What a handle_flush may answer besides 0, "all of it is flushed".
 *
 * DATABUFFER_RETRY, or any negative errno: transient. The batch is kept, and
 * given again after a backoff. Any number not named here counts as this. After
 * `retry_limit` attempts, or `retry_for` from the first that failed, it counts
 * as permanent, and the pieces have no attempts of their own: what the sink
 * takes alone is flushed, what fails alone is dead. But once 16 items in a row
 * have failed alone, and none was taken between, the sink is held to be down,
 * and the others of that batch go with them.
 *
 * DATABUFFER_REJECT: permanent. This batch, as it is, will never be taken. It
 * is given again in halves, in order, until the items that are rejected alone
 * have gone to handle_dead and all others are flushed.
 *
 * DATABUFFER_TOO_LARGE: too many items, or bytes, at once. The batch is given in
 * two halves, in order, and half its size is from then on the bound of what this
 * partition gives at once, be it cut into pieces. After some full batches twice
 * as much is tried, and is the bound if it is taken. An item that is too large
 * alone goes to handle_dead. */
enum {
	DATABUFFER_RETRY = 1,
	DATABUFFER_REJECT = 2,
	DATABUFFER_TOO_LARGE = 3
};

/* Writes a batch. Runs on a flusher thread (DATABUFFER_THREADS), inside
 * databuffer_work (DATABUFFER_MANUAL) or in a worker process
 * (DATABUFFER_PROCESSES); for one partition at most `max_in_flight` at a time, for
 * several partitions side by side. `meta` is `flush_meta`. Batch and items are
 * valid until it returns.
 *
 * In a process it is killed when it has not returned within `flush_timeout`, and
 * that is that. Elsewhere it is late then: the batch is cancelled
 * (databuffer_batch_cancelled), the attempt counts as failed with
 * DATABUFFER_ETIMEDOUT, and the partition goes on with other memory. Its answer
 * still counts when it comes: 0 and the items are flushed; a failure, and only
 * then the batch is tried again. So one batch never runs twice at once. If the
 * buffer has stopped in the meantime its items are left over already, and the
 * answer is ignored: such a handler may have written items that handle_left was
 * given as well.
 *
 * One that does not return but leaves its thread (pthread_exit, cancellation) or
 * throws an exception through, of C++ or another language, has failed for now,
 * with DATABUFFER_ECANCELED. Its stack is cleaned up as usual. The thread ends
 * and another goes on; inside databuffer_work it is the program's thread that
 * ends, once the buffer is in order, while an exception stops there and the
 * thread goes on. The same holds for handle_dead, whose item then has been told.
 * All other handlers have to return. In a worker process there is no thread to go on:
 * either ends the process, and counts as its death. */
typedef int databuffer_flush_fn(databuffer_batch *batch, void *meta);

/* The next item in order, walking once from the first to the last: 1, or 0 at
 * the end. */
DATABUFFER_API int databuffer_batch_next(databuffer_batch *batch, databuffer_item *item);
/* Starts databuffer_batch_next over. */
DATABUFFER_API void databuffer_batch_rewind(databuffer_batch *batch);
/* Item i of databuffer_batch_size; { NULL, 0 } beyond. */
DATABUFFER_API databuffer_item databuffer_batch_at(const databuffer_batch *batch, size_t i);
/* How many items, and how many bytes they have together. */
DATABUFFER_API size_t databuffer_batch_size(const databuffer_batch *batch);
DATABUFFER_API size_t databuffer_batch_bytes(const databuffer_batch *batch);
/* All items as one C array of databuffer_batch_size elements, if all have the
 * same length (that of databuffer_batch_at(batch, 0)), aligned for any type of
 * that size; else NULL. No copy where they stand side by side in memory, as
 * with one inserting thread they do; gaps that several threads leave are closed
 * by one copy, whose memory lasts as long as the batch (NULL if there is none). */
DATABUFFER_API const void *databuffer_batch_array(databuffer_batch *batch);
/* Where an item is in its batch's bytes. */
typedef struct databuffer_place {
	uint32_t offset, len;
} databuffer_place;

/* All items where they are, for a loop that the compiler can see through: the
 * quickest way to read a batch, whatever the lengths.
 *
 *      databuffer_view view = databuffer_batch_view(batch);
 *      for (size_t i = 0; i < view.size; i++) {
 *          databuffer_item item = databuffer_view_at(&view, i);
 *          ...
 *      }
 */
typedef struct databuffer_view {
	size_t size;                    /* items */
	const unsigned char *bytes;
	const databuffer_place *places; /* of each item; NULL: they stand side by side, */
	size_t item_len;                /* and each is so long */
} databuffer_view;

/* Lasts as long as the handler's call. */
DATABUFFER_API databuffer_view databuffer_batch_view(const databuffer_batch *batch);

/* Item i, which must be below `size`. */
static inline databuffer_item databuffer_view_at(const databuffer_view *view, size_t i)
{
	databuffer_item item;
	size_t offset = view->places ? view->places[i].offset : i * view->item_len;
	item.data = view->bytes + offset;
	item.len = view->places ? view->places[i].len : view->item_len;
	return item;
}

/* All items as databuffer_batch_size elements for writev(2); NULL without
 * memory or items. Lasts as long as the batch. */
DATABUFFER_API const struct iovec *databuffer_batch_iovec(databuffer_batch *batch);
DATABUFFER_API unsigned databuffer_batch_partition(const databuffer_batch *batch);
DATABUFFER_API databuffer_trigger databuffer_batch_trigger(const databuffer_batch *batch);
/* The name of the buffer, or "". */
DATABUFFER_API const char *databuffer_batch_name(const databuffer_batch *batch);
/* 1 for the first time these items are given, one more for each failed time.
 * A smaller piece of a rejected batch starts at 1 again. */
DATABUFFER_API unsigned databuffer_batch_attempt(const databuffer_batch *batch);
/* A number for these very items, unique in the life of the buffer and the same
 * at every attempt, so that a sink which keeps the numbers of what it has written
 * can tell a batch that comes twice. Other items, as a smaller piece of a rejected
 * batch is, have another number. 0 for NULL. */
DATABUFFER_API uint64_t databuffer_batch_id(const databuffer_batch *batch);
/* When the attempt is late: milliseconds on CLOCK_MONOTONIC (in a manual
 * buffer, on the clock given to databuffer_work). INT64_MAX if never. */
DATABUFFER_API int64_t databuffer_batch_deadline(const databuffer_batch *batch);
/* 1 once nobody waits for this attempt any more: it is late, or the buffer has
 * stopped. Worth asking in a long loop. (A worker process is killed then.) */
DATABUFFER_API int databuffer_batch_cancelled(const databuffer_batch *batch);
/* What databuffer_sync_flush returns as `value` for this partition. A pointer means
 * nothing in another process: said in a worker, it is forgotten. */
DATABUFFER_API void databuffer_batch_set_result(databuffer_batch *batch, void *value);
/* What it returns as `bytes`, from wherever the handler runs: a copy of up to
 * DATABUFFER_RESULT_MAX bytes. Said again, the last counts; len 0 takes it back. 0,
 * DATABUFFER_EINVAL for more bytes or NULL, or DATABUFFER_ENOMEM. */
#define DATABUFFER_RESULT_MAX 4096
DATABUFFER_API int databuffer_batch_set_result_bytes(databuffer_batch *batch, const void *data, size_t len);
/* Names an item that the sink will never take, with a sentence (copied, cut at
 * 200 bytes; NULL: none). When the handler then answers 0, the named items go
 * to handle_dead and all others count as flushed; when it answers
 * DATABUFFER_REJECT, the named items go to handle_dead and the others are given
 * again; on any other answer the names are forgotten. 0, DATABUFFER_EINVAL
 * for an index beyond the batch, or DATABUFFER_ENOMEM, which in a worker process is
 * also the answer to more than 65536 names at a time. */
DATABUFFER_API int databuffer_batch_fail(databuffer_batch *batch, size_t i, const char *reason);

/* Why an item reaches handle_dead, handle_drop or handle_left. */
typedef struct databuffer_reason {
	unsigned partition;
	int status;       /* handle_flush's last answer; DATABUFFER_REJECT for an item that it named;
	                   * DATABUFFER_ETIMEDOUT if it had not answered in time; DATABUFFER_EWORKER
	                   * if its worker died; 0 if never asked */
	unsigned attempts;/* how many times a handler was given its batch */
	const char *text; /* a sentence, never NULL; valid during the call */
} databuffer_reason;

/* Takes one item that leaves the buffer without being flushed. The item is
 * valid during the call. No lock is held. */
typedef void databuffer_item_fn(const databuffer_item *item, const databuffer_reason *reason, void *meta);

/* --- Options -------------------------------------------------------------- */

typedef enum databuffer_flusher {
	DATABUFFER_THREADS = 0, /* flusher threads of the library, started on demand */
	DATABUFFER_MANUAL = 1,  /* no threads: the program calls databuffer_work */
	DATABUFFER_PROCESSES = 2 /* worker processes: see WORKER PROCESSES */
} databuffer_flusher;

/* What an insert does that finds no room. */
typedef enum databuffer_overflow {
	DATABUFFER_OVERFLOW_BLOCK = 0,       /* waits, up to its timeout */
	DATABUFFER_OVERFLOW_FAIL = 1,        /* answers DATABUFFER_EFULL at once */
	DATABUFFER_OVERFLOW_DROP_NEWEST = 2, /* its own items are accepted and given up at once */
	DATABUFFER_OVERFLOW_DROP_OLDEST = 3  /* the oldest that are not in flight are given up for it */
} databuffer_overflow;

typedef enum databuffer_fallback {
	DATABUFFER_FALLBACK_WAIT = 0,   /* batches wait until a process can be forked again */
	DATABUFFER_FALLBACK_THREADS = 1 /* handlers run on flusher threads from then on */
} databuffer_fallback;

/* Runs in a worker process before its first batch, or after its last. A start that
 * answers anything but 0 has failed: the worker ends, and counts as having died. Each
 * may take as long as a flush, `flush_timeout`, or a minute if that is 0. */
typedef int databuffer_worker_start_fn(void *meta);
typedef void databuffer_worker_stop_fn(void *meta);

typedef enum databuffer_log_level {
	DATABUFFER_LOG_ERROR = 0,
	DATABUFFER_LOG_WARNING = 1
} databuffer_log_level;

/* One line without a newline. May come from any thread; no lock is held. */
typedef void databuffer_log_fn(databuffer_log_level level, const char *line, void *meta);

/* The bytes that the whole buffer holds have reached `pressure_high` (high is 1),
 * or have sunk to `pressure_low` after that (0). The two alternate, beginning with 1,
 * and one call ends before the next begins. It comes from whichever thread moved
 * the bytes there, at the end of its insert, commit or flush, and no lock is held: a
 * slow one slows that thread down. It may insert; stop and sync_flush answer
 * DATABUFFER_EDEADLK. A mark that is passed both ways while a call runs is not told. */
typedef void databuffer_pressure_fn(int high, size_t held_bytes, void *meta);

/* Where a buffer gets its heap memory. Both functions may be called from any thread
 * that uses the buffer, and by the library's own, also while locks of the library are
 * held: they must not call it. Copied at start; `ctx` and the functions are used
 * until databuffer_stop has returned and neither a handler that outlived it nor a
 * reserved slot is left.
 *
 * It is asked for what lives as long as the buffer or a call: partitions, the
 * records of their batches, what databuffer_batch_array and its kin return, what a
 * dump, a sync_flush, a reconfigure need. Not for the items' own memory, which is
 * mapped (mmap); not for the handle, nor the record of each thread that inserts, since
 * these may outlive the buffer; not for what belongs to the process: threads, timers,
 * handlers of events, what databuffer_options_set keeps; nor in worker processes. */
typedef struct databuffer_allocator {
	void *(*alloc)(size_t size, void *ctx); /* aligned as malloc's, size above 0; NULL: there is none */
	void (*free)(void *memory, void *ctx);  /* never NULL */
	void *ctx;
} databuffer_allocator;

/* Everything a buffer can be told. Numbers are int64_t all, so that a negative
 * one can be seen and refused. The table that databuffer_options_at reads has
 * for each: name, type, unit, default, range and a line of help. */
typedef struct databuffer_options {
	size_t struct_size;      /* set by databuffer_options_init; leave it */

	const char *name;        /* unique in the process, or NULL; copied */
	int64_t partitions;      /* how many, each filling and flushing apart */
	int64_t max_size;        /* items in a batch */
	int64_t max_size_jitter; /* up to so many items more, drawn for every batch */
	int64_t max_bytes;       /* bytes in a batch, and the largest item */
	int64_t max_in_flight;   /* flushes of a partition at one time; above 1, no order */
	int64_t max_queued;      /* full batches a partition may keep beside these */
	int64_t max_stuck;       /* late flushes that a partition goes on without */
	int64_t idle_memory;     /* ms without a batch until memory goes back to the system; 0: never */
	int64_t flush_interval;  /* ms from one cut to the next; 0: none by time */
	int64_t flush_jitter;    /* up to so many ms more, drawn every time */
	int64_t flush_timeout;   /* ms a handler may take; 0: any time */
	int64_t flush_empty;     /* 1: call the handler though nothing is held */
	int64_t timeout;         /* ms an insert waits for room */
	int64_t overflow;        /* a databuffer_overflow: what it does instead */
	int64_t pressure_high;   /* held bytes at which handle_pressure is told 1; 0: never */
	int64_t pressure_low;    /* held bytes at which it is told 0 after that */
	int64_t retry_min;       /* ms before the second attempt, at least */
	int64_t retry_max;       /* ms between attempts, at most */
	int64_t retry_limit;     /* attempts, then a transient failure is permanent; 0: no end */
	int64_t retry_for;       /* ms from the first failed attempt, then likewise; 0: no end */
	int64_t breaker_failures;/* in a row, then a partition tries one batch per backoff; 0: never */
	int64_t rate_limit;      /* items given in a second, over all partitions; 0: any */
	int64_t rate_limit_flushes; /* and flushes; 0: any */
	int64_t seed;            /* of the jitter; 0: another every time */
	int64_t flusher;         /* a databuffer_flusher */

	databuffer_flush_fn *handle_flush; /* required */
	void *flush_meta;                  /* for all handlers */
	databuffer_item_fn *handle_dead;   /* each item rejected; NULL: counted and logged */
	databuffer_item_fn *handle_drop;   /* each item given up for want of room; NULL: counted and logged */
	databuffer_item_fn *handle_left;   /* each item left at stop, on stop's thread; NULL: counted */
	databuffer_pressure_fn *handle_pressure; /* told at pressure_high and pressure_low; or NULL */
	databuffer_log_fn *handle_log;     /* NULL: standard error */

	const databuffer_allocator *allocator; /* NULL: malloc and free */

	/* Where databuffer_start, _reconfigure and _options_set write the sentence
	 * when they refuse; NULL: it goes to handle_log. */
	char *error;
	size_t error_size;

	/* Who runs the handlers, and how often they may die of it. */
	int64_t flusher_count;       /* handlers at one time, over all partitions; 0: as many as may */
	int64_t worker_memory_limit; /* bytes a worker may take beyond what it was born with; 0: any */
	int64_t worker_max_flushes;  /* flushes after which it makes way for a fresh one; 0: never */
	int64_t kill_limit;          /* workers that a batch may kill before it counts as rejected */
	int64_t max_restarts;        /* deaths in max_restart_period that are made good at once */
	int64_t max_restart_period;  /* ms */
	int64_t worker_fallback;     /* a databuffer_fallback */
	databuffer_worker_start_fn *handle_worker_start; /* open what a worker needs; NULL: nothing */
	databuffer_worker_stop_fn *handle_worker_stop;   /* close it; not called when a worker dies */
} databuffer_options;

/* Fills in the defaults for a struct of `size` bytes. Use databuffer_options_init. */
DATABUFFER_API void databuffer_options_defaults(databuffer_options *options, size_t size);

/* The defaults. Inline, so that the caller's own sizeof is recorded and an old
 * program runs with a newer library. */
static inline databuffer_options databuffer_options_init(void)
{
	databuffer_options options;
	databuffer_options_defaults(&options, sizeof(options));
	return options;
}

/* Sets one option from text: "max_size", "1000". Numbers may carry a suffix
 * that fits their unit: k, M, G (1024 for bytes, 1000 for items), ms, s, m, h, d.
 * "-" and "_" in names are the same. A `name` set this way is kept by the
 * library for as long as the process lives. DATABUFFER_ENOENT for an unknown
 * name, DATABUFFER_EINVAL for a value that is malformed or out of range; then
 * nothing is changed, and the sentence says what would be right. */
DATABUFFER_API int databuffer_options_set(databuffer_options *options, const char *name, const char *text);

typedef enum databuffer_option_type {
	DATABUFFER_OPTION_NUMBER,
	DATABUFFER_OPTION_FLAG,
	DATABUFFER_OPTION_CHOICE, /* `choices` has the words, by value, separated by "|" */
	DATABUFFER_OPTION_TEXT
} databuffer_option_type;

/* One row of the table of options. */
typedef struct databuffer_option {
	const char *name;
	databuffer_option_type type;
	int live;            /* 1: databuffer_reconfigure may change it */
	const char *unit;    /* "items", "bytes", "ms", or "" */
	int64_t initial;     /* the default */
	int64_t min, max;    /* the range, both ends allowed */
	const char *choices; /* NULL unless a choice */
	const char *help;    /* one line, no full stop */
} databuffer_option;

/* Row i of the table, NULL beyond the last. */
DATABUFFER_API const databuffer_option *databuffer_options_at(size_t i);

/* Reads a value as databuffer_options_set does, by any row that is not a text, also
 * one of the program's own, for what it has beside the library's options. 0, or
 * DATABUFFER_EINVAL if it is malformed or out of range; then *value is as it was. */
DATABUFFER_API int databuffer_option_parse(const databuffer_option *option, const char *text, int64_t *value);

/* --- Start and stop --------------------------------------------------------- */

/* Starts a buffer. The options are copied. DATABUFFER_EINVAL with a sentence
 * (see `error`) for a bad option, DATABUFFER_EEXIST if the name is taken,
 * DATABUFFER_ENOMEM, DATABUFFER_EAGAIN. */
DATABUFFER_API int databuffer_start(databuffer **buf, const databuffer_options *options);

/* Refuses further inserts, flushes what is held, cutting backoffs short, and
 * frees the buffer. What is not flushed after `timeout_ms` goes item by item
 * to handle_left, partition by partition, oldest first. Returns how many those
 * were: 0 is the good end. The buffer is freed in every case but an error:
 * DATABUFFER_EINVAL (NULL), DATABUFFER_ESTOPPED (a second stop),
 * DATABUFFER_EDEADLK (from its own handler).
 *
 * No handler begins once it has returned. One that outlived the deadline may
 * still run: handle_flush of items that were left over (an answer above 0) or of
 * an empty batch, or handle_dead. It touches nothing of the library's that is
 * not there, but it has its `flush_meta`. */
DATABUFFER_API int64_t databuffer_stop(databuffer *buf, int64_t timeout_ms);

/* Changes the options of a running buffer, beside inserts and flushes on any
 * threads. `options` is a whole set, as for databuffer_start; what is not `live` in
 * the table has to be as it is. All or nothing: DATABUFFER_EINVAL with a sentence
 * (see `error`) for a value that is refused or an option that cannot change while
 * the buffer runs, DATABUFFER_ENOMEM without the memory that larger batches need,
 * DATABUFFER_ESTOPPED; and then nothing has changed.
 *
 * From when it has returned, what is inserted is cut and flushed by the new options.
 * An open batch that has reached the new flush size is cut. One that is cut already
 * stays as it is. The time of the next cut is drawn anew, from the last cut on.
 * Attempts that run keep their deadline and waits theirs; no backoff ends later
 * than retry_max from now. Batches may become larger than any before, but with
 * worker processes, which see no memory but what there was at start. */
DATABUFFER_API int databuffer_reconfigure(databuffer *buf, const databuffer_options *options);

/* The options that a buffer runs with, into a struct of databuffer_options_init.
 * `name` is the buffer's own and lives as long as it; `error` is NULL. 0,
 * DATABUFFER_EINVAL or DATABUFFER_ESTOPPED. */
DATABUFFER_API int databuffer_options_of(databuffer *buf, databuffer_options *options);

/* The running buffer of that name, or NULL. Borrowed: it lives until its owner
 * stops it. */
DATABUFFER_API databuffer *databuffer_find(const char *name);

/* --- Insert ----------------------------------------------------------------- */

/* All inserts copy the bytes. All answer 0 or
 *      DATABUFFER_ETIMEDOUT  no room came in time,
 *      DATABUFFER_EFULL      there is no room, and `overflow` is "fail",
 *      DATABUFFER_EMSGSIZE   an item is larger than max_bytes,
 *      DATABUFFER_ESTOPPED, DATABUFFER_EINVAL, DATABUFFER_ENOMEM (a thread's
 *      first insert into a buffer allocates; later ones do not, unless held
 *      slots or a slow dump keep the memory of batches that are done),
 * and then nothing was inserted.
 *
 * What an insert that finds no room does is the `overflow` option's. "block", the
 * default, waits up to the timeout. The others never wait, whatever the timeout:
 *      fail         answers DATABUFFER_EFULL.
 *      drop_newest  accepts its own items and gives them up: they count as
 *                   inserted and as dropped.
 *      drop_oldest  gives up the oldest items of the partition that it would go
 *                   to, as many as it needs, and never what is in flight. A batch
 *                   that waits for another try is not in flight. Only if nothing
 *                   is left to give up its own items are, as with drop_newest.
 * Each item that is given up goes to `handle_drop`, in order, on the thread of the
 * insert and before that returns; without one, a line a second says how many. So
 * the answer 0 says, as always, that the items are accounted for, not that they
 * will be flushed. Before an item drops, an insert without a key tries all other
 * partitions. databuffer_reserve has no item yet that could be given up, and answers
 * DATABUFFER_EFULL where an insert would give up its own; so does any insert that
 * handle_drop itself makes into a buffer without room. */

/* Inserts one item into the next partition, round-robin for each thread; if
 * that is full into another; if all are, waits up to the `timeout` option. */
DATABUFFER_API int databuffer_insert(databuffer *buf, const void *data, size_t len);

/* The same with a timeout of this call's own; 0: try. */
DATABUFFER_API int databuffer_insert_timed(databuffer *buf, const void *data, size_t len, int64_t timeout_ms);

/* Inserts into the partition that the key belongs to, and waits for that one
 * only. Any number is a key; databuffer_hash makes one of bytes. */
DATABUFFER_API int databuffer_insert_keyed(databuffer *buf, uint64_t key, const void *data, size_t len);
DATABUFFER_API int databuffer_insert_keyed_timed(databuffer *buf, uint64_t key, const void *data, size_t len,
                                                 int64_t timeout_ms);
/* A 64-bit hash of bytes, the same on every machine and in every version. */
DATABUFFER_API uint64_t databuffer_hash(const void *data, size_t len);

/* Inserts n items into one partition, in order, together in one flush. What
 * does not fit into what is left of the partition's batch starts a fresh one;
 * more than a whole batch is cut into whole batches, in order.
 *
 * 0: all are inserted. Negative: none is. Above 0, only where they are more
 * than one batch: the deadline passed in the middle (or the buffer stopped, or
 * was full and `overflow` is "fail"), and the first so many are inserted, the
 * rest is not; as with write(2). */
DATABUFFER_API int64_t databuffer_insert_batch(databuffer *buf, const databuffer_item *items, size_t n);
DATABUFFER_API int64_t databuffer_insert_batch_timed(databuffer *buf, const databuffer_item *items, size_t n,
                                                     int64_t timeout_ms);
/* The same for n items of item_size bytes, side by side. */
DATABUFFER_API int64_t databuffer_insert_array(databuffer *buf, const void *base, size_t n, size_t item_size);
DATABUFFER_API int64_t databuffer_insert_array_timed(databuffer *buf, const void *base, size_t n,
                                                     size_t item_size, int64_t timeout_ms);

/* Room in the buffer that a thread writes into itself, saving the copy. */
typedef struct databuffer_slot {
	void *data; /* aligned for any type of this length */
	size_t len;
	void *internal_owner; /* the rest is the library's */
	uint64_t internal_place;
} databuffer_slot;

/* Takes room for len bytes, as databuffer_insert would, waiting up to the
 * `timeout` option. Write slot->data, then commit or abort, on the same thread.
 * A thread may hold up to 8 slots of a buffer (DATABUFFER_EBUSY). A slot that
 * is held delays no flush: a batch that is cut meanwhile goes without it, and
 * commit then moves the item into the next one. The events of an insert are told
 * at commit, or here if it is refused. */
DATABUFFER_API int databuffer_reserve(databuffer *buf, size_t len, databuffer_slot *slot);
/* Inserts what was written. 0, or, only if its batch was cut meanwhile, what
 * databuffer_insert may answer. The slot is used up in every case. */
DATABUFFER_API int databuffer_commit(databuffer_slot *slot);
/* Gives the room back. 0, or DATABUFFER_EINVAL for a slot that is not held. */
DATABUFFER_API int databuffer_abort(databuffer_slot *slot);

/* --- Flush ------------------------------------------------------------------ */

/* Starts a flush of every partition and returns. A backoff is cut short. */
DATABUFFER_API int databuffer_flush(databuffer *buf);

/* How one partition fared in a databuffer_sync_flush. */
typedef struct databuffer_result {
	unsigned partition;
	size_t size;      /* items held when called, each of which has its outcome now */
	int status;       /* 0: all flushed; DATABUFFER_REJECT: some went to handle_dead;
	                   * DATABUFFER_EFULL: some were given up by `overflow` */
	void *value;      /* the last databuffer_batch_set_result, or NULL */
	int64_t duration; /* ms spent in the handler */
	void *bytes;      /* the last databuffer_batch_set_result_bytes, yours to free; or NULL */
	size_t bytes_len;
} databuffer_result;

/* Flushes every partition and waits until each item held at the time of the
 * call has its outcome, transient failures being tried again as usual. Then
 * writes the results of the first n_results partitions, in partition order
 * (NULL if 0), and returns 0. DATABUFFER_ETIMEDOUT: not all have; they go on.
 * DATABUFFER_ESTOPPED: a stop has left items over. */
DATABUFFER_API int databuffer_sync_flush(databuffer *buf, databuffer_result *results, size_t n_results,
                                         int64_t timeout_ms);

/* Frees the bytes of n results that databuffer_sync_flush has written. Only
 * results of handlers that say databuffer_batch_set_result_bytes have any. */
DATABUFFER_API void databuffer_results_free(databuffer_result *results, size_t n);

/* --- Looking in --------------------------------------------------------------- */

/* Shows every held item, in flight or not, partition by partition in order,
 * without moving any. Each partition is shown as it was at one moment. A
 * non-zero answer of `visit` ends the walk and is returned; else 0, or
 * DATABUFFER_ENOMEM. Inserts and flushes go on meanwhile. */
DATABUFFER_API int databuffer_dump(databuffer *buf,
                                   int (*visit)(const databuffer_item *item, unsigned partition, void *ctx),
                                   void *ctx);

/* Items held: accepted, and without an outcome yet. 0 for NULL. */
DATABUFFER_API size_t databuffer_size(databuffer *buf);

/* For those who poll instead of being told: 1 from the time when the held bytes
 * reached `pressure_high` until they sink to `pressure_low`, else 0.
 *
 * Held bytes are seen when an insert takes a lease or has used it up, and when a
 * batch is cut, flushed or given up; never by an insert that has a lease, which so
 * pays nothing. Leases are kept so small that together they do not reach beyond the
 * high mark: with one thread inserting the mark is seen by the very insert that
 * reaches it, with several to within what other threads have put into leases that
 * they have not used up. (With several partitions and items of different lengths it
 * may be an insert later, by as much as one of them is longer than another.) */
DATABUFFER_API int databuffer_pressure(databuffer *buf);

#define DATABUFFER_WORKER_PIDS 16

typedef struct databuffer_partition_info {
	const char *name;       /* of the buffer, or ""; lives as long as it */
	unsigned partition;
	size_t size;            /* items held: open, queued and in flight */
	size_t bytes;           /* bytes they have together */
	size_t flush_size;      /* at how many items the open batch is cut */
	size_t size_bound;      /* items a handler is given at once since DATABUFFER_TOO_LARGE; 0: any */
	int64_t flush_interval; /* the options */
	int64_t flush_jitter;
	int64_t flush_timeout;
	unsigned in_flight;     /* handlers running in time */
	unsigned stuck;         /* handlers running late */
	unsigned queued;        /* batches cut and waiting */
	unsigned attempt;       /* failed attempts of the oldest batch */
	unsigned failures;      /* transient failures in a row, of any batches */
	unsigned breaker_open;  /* 1: only one batch at a time is tried, once per backoff */
	int last_status;        /* what the last handler answered */
	int64_t next_flush_ms;  /* until the cut by time; -1: none by time */
	int64_t next_retry_ms;  /* until the backoff ends; -1: none */
	int64_t rate_wait_ms;   /* until the rate limit lets the oldest batch go; -1: it holds up none */
	/* DATABUFFER_PROCESSES; all but the first are of the buffer as a whole. */
	int worker_pid;           /* the worker that flushes now, of several one; 0: none */
	unsigned workers;         /* workers that there are, whether they flush or not */
	int worker_pids[DATABUFFER_WORKER_PIDS]; /* of the first of them; then 0 */
	int fork_server_pid;      /* 0: there is none at the moment */
	uint64_t worker_restarts; /* workers that died */
	char worker_death[96];    /* how the last of them did: "killed by SIGSEGV"; or "" */
	int64_t worker_retry_ms;  /* until workers that died are started again; -1: they are */
} databuffer_partition_info;

/* Fills in the first n_infos partitions' records (NULL if 0); returns how many
 * partitions there are. */
DATABUFFER_API int databuffer_info(databuffer *buf, databuffer_partition_info *infos, size_t n_infos);

/* Times of one kind, in nanoseconds, to within 1/16 of each. */
typedef struct databuffer_latency {
	uint64_t count, mean_ns, p50_ns, p90_ns, p99_ns, p999_ns, max_ns;
} databuffer_latency;

/* X(field, text): the counters of a buffer since its start. */
#define DATABUFFER_COUNTERS(X)                                                \
	X(inserted, "items accepted")                                         \
	X(held, "items accepted that have no outcome yet")                    \
	X(flushed, "items that a handler took")                               \
	X(dead, "items rejected alone, or named by databuffer_batch_fail")    \
	X(dropped, "items given up by an overflow policy")                    \
	X(left, "items left over at stop")                                    \
	X(held_bytes, "bytes of the held items")                              \
	X(flushed_bytes, "bytes of the flushed items")                        \
	X(batches, "batches cut that had their last item's outcome")          \
	X(attempts, "calls of handle_flush")                                  \
	X(failures, "calls of handle_flush that failed for now")              \
	X(rejects, "calls of handle_flush that failed for good")              \
	X(too_large, "calls of handle_flush that were given too much at once") \
	X(timeouts, "calls of handle_flush that were late")                   \
	X(worker_deaths, "calls of handle_flush whose worker process died")   \
	X(waits, "inserts that waited for room")                              \
	X(refused, "inserts that failed for want of room")

typedef struct databuffer_stats {
#define DATABUFFER_COUNTER_FIELD(field, text) uint64_t field;
	DATABUFFER_COUNTERS(DATABUFFER_COUNTER_FIELD)
#undef DATABUFFER_COUNTER_FIELD
	databuffer_latency flush; /* calls of handle_flush */
} databuffer_stats_t;

/* Reads the counters. Each partition's are of one moment, so that
 * inserted == held + flushed + dead + dropped + left in every answer. (In C++,
 * and beside the function in C, the type is `struct databuffer_stats` or
 * `databuffer_stats_t`.) */
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* the function and the struct share their name, as stat(2)'s do */
#endif
DATABUFFER_API int databuffer_stats(databuffer *buf, struct databuffer_stats *stats);
#if defined(__cplusplus) && defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/* Counts all that is held anew, partition by partition, each at one moment, and
 * holds it against the counters and against what the library knows of itself:
 * inserted == held + flushed + dead + dropped + left, the order of batches, the
 * bounds' account, the bytes of every item. 0, or DATABUFFER_EBROKEN, and a
 * sentence in the log names what does not agree. For tests and for doubts: it
 * walks over all items, and inserts that need the lock wait. */
DATABUFFER_API int databuffer_check(databuffer *buf);

/* --- Telemetry ------------------------------------------------------------------ */

/* X(name, bit, text) */
#define DATABUFFER_EVENTS(X)                                                  \
	X(INSERT_START, 1, "an insert begins")                                \
	X(INSERT_STOP, 2, "an insert was accepted")                           \
	X(INSERT_EXCEPTION, 4, "an insert was refused")                       \
	X(FLUSH_START, 8, "a handler is about to run")                        \
	X(FLUSH_STOP, 16, "a handler answered 0")                             \
	X(FLUSH_EXCEPTION, 32, "a handler answered anything else, or is late") \
	X(FLUSH_STUCK, 64, "a handler is late, and its partition goes on without it") \
	X(BREAKER_OPEN, 128, "a partition's flushes have failed breaker_failures times in a row") \
	X(BREAKER_CLOSE, 256, "a partition's sink has answered again")        \
	X(PRESSURE_HIGH, 512, "the held bytes have reached pressure_high")    \
	X(PRESSURE_LOW, 1024, "the held bytes have sunk to pressure_low again") \
	X(RATE_LIMITED, 2048, "a batch is ready, and waits for the rate limit")

typedef enum databuffer_event_kind {
#define DATABUFFER_EVENT_ENUM(name, bit, text) DATABUFFER_##name = (bit),
	DATABUFFER_EVENTS(DATABUFFER_EVENT_ENUM)
#undef DATABUFFER_EVENT_ENUM
#define DATABUFFER_EVENT_BIT(name, bit, text) | (bit)
	DATABUFFER_EVENTS_ALL = 0 DATABUFFER_EVENTS(DATABUFFER_EVENT_BIT)
#undef DATABUFFER_EVENT_BIT
} databuffer_event_kind;

typedef struct databuffer_event {
	databuffer_event_kind kind;
	const char *buffer;         /* its name, or "" */
	unsigned partition;         /* of an insert: the one that took it, or was tried last */
	size_t size;                /* items in the insert or the batch */
	size_t bytes;               /* of these; of a pressure event, all that are held */
	databuffer_trigger trigger; /* of a flush */
	unsigned attempt;           /* of a flush: 1 the first time */
	int64_t duration_ns;        /* of the call; 0 at its start; of BREAKER_CLOSE, how long
	                             * it was open; of RATE_LIMITED, how long it will wait */
	int64_t system_time_ns;     /* since 1970, UTC */
	int status;                 /* 0, or what failed: an error, or the handler's answer */
} databuffer_event;

/* Runs on the thread that the event happens on; no lock is held. The event is
 * valid during the call. A slow one slows that thread down. */
typedef void databuffer_telemetry_fn(const databuffer_event *event, void *ctx);

/* Calls `fn` for the events of every buffer of the process whose bits are in
 * `events`. Any number may be attached, each under an id of its own (copied).
 * 0, DATABUFFER_EEXIST, DATABUFFER_EINVAL (no id, no function, or bits that
 * are no event's), DATABUFFER_ENOMEM. Clocks are read only for those that are
 * attached; with none, an insert pays nothing. */
DATABUFFER_API int databuffer_telemetry_attach(const char *id, unsigned events, databuffer_telemetry_fn *fn,
                                               void *ctx);
/* Ends that. When it returns, fn runs nowhere any more, unless it is fn itself
 * (or another handler of events) that calls. 0 or DATABUFFER_ENOENT. */
DATABUFFER_API int databuffer_telemetry_detach(const char *id);

/* --- A program's own loop: DATABUFFER_MANUAL -------------------------------------- */

/* A manual buffer has no threads. Its clock is the `now_ms` that the program
 * passes, any that never goes back. Inserts may come from any threads, but only
 * databuffer_work flushes, so that an insert that waits waits for another
 * thread's work: single-threaded programs use a timeout of 0. */

/* Does what is due at now_ms: cuts by time, late flushes, handlers. Returns how
 * many handlers it ran. One thread at a time; another is answered
 * DATABUFFER_EDEADLK. DATABUFFER_ENOTSUP for a buffer with threads. */
DATABUFFER_API int databuffer_work(databuffer *buf, int64_t now_ms);
/* When databuffer_work has something to do next if nothing is inserted:
 * milliseconds on the program's clock, at once if in the past; INT64_MAX: never. */
DATABUFFER_API int64_t databuffer_next_deadline(databuffer *buf);

/* A descriptor for poll(2), epoll(7) and their like, of a manual buffer: readable
 * from when databuffer_work has something to do at once, because a batch was cut, on
 * whichever thread, or a flush asked for, until databuffer_work has done it. For what
 * is due by time the loop sleeps until databuffer_next_deadline; if that comes nearer
 * after it was told, the descriptor is readable as well, and the loop asks anew:
 *
 *      for (;;) {
 *          poll(&(struct pollfd){ databuffer_fd(buf), POLLIN, 0 }, 1, until the deadline);
 *          databuffer_work(buf, now);
 *      }
 *
 * It is the buffer's: nobody reads, writes or closes it, and it is closed with the
 * buffer. In a child after fork it is another with the same number, which the child
 * has to add to an epoll set anew. DATABUFFER_ENOTSUP for a buffer with threads,
 * DATABUFFER_EAGAIN if the system has no descriptor to give. */
DATABUFFER_API int databuffer_fd(databuffer *buf);

#ifdef __cplusplus
}
#endif

#endif
