/* SPDX-License-Identifier: MIT */
/*
 * feed.c: reads an input, parses it a block of records at a time and inserts
 * them, all on the main thread. Whatever waits here wakes up for signals.
 *
 * When there is a cause to stop, what was read of a file is forgotten: it can be
 * read again. What came through a pipe cannot: it is inserted as long as there
 * is time, and then goes to the rejects.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "cli/clock.h"
#include "cli/console.h"
#include "cli/run.h"

#define FEED_RECORDS 128         /* in a block: few enough to stay in the cache */
#define FEED_BYTES   (64u << 10) /* or about so many bytes */
#define FEED_SLICE   100         /* ms: how long nobody looks around */

struct feed {
	struct run *run;
	const struct source *source;
	struct reader reader;
	void *state; /* of the format */
	bool ended;
};

/* --- Looking around ------------------------------------------------------------------ */

/* A sink is stalled from its first failure on after which nothing was flushed. */
static bool run_is_stalled(struct run *run)
{
	struct run_stall *stall = &run->stall;
	struct databuffer_stats stats;
	uint64_t settled, failures;
	int64_t now = clock_ns();

	if (run->arguments->stall_timeout == 0 || databuffer_stats(run->buf, &stats) != 0)
		return false;
	settled = stats.flushed + stats.dead;
	failures = stats.failures + stats.timeouts;
	if (settled != stall->settled || stats.held == 0)
		stall->since_ns = 0;
	else if (failures != stall->failures && stall->since_ns == 0)
		stall->since_ns = now;
	stall->settled = settled;
	stall->failures = failures;
	return stall->since_ns != 0 &&
	       now - stall->since_ns >= run->arguments->stall_timeout * CLOCK_NS_PER_MS;
}

enum run_cause run_look(struct run *run)
{
	if (run->cause != RUN_GOES_ON)
		return run->cause;
	if (atomic_load_explicit(&run->watch.signal, memory_order_relaxed) != 0)
		run->cause = RUN_SIGNAL;
	else if (run_is_stalled(run))
		run->cause = RUN_STALLED;
	if (run->cause == RUN_STALLED)
		console_say("nothing could be flushed for %s ms: giving up",
		            console_number((double)run->arguments->stall_timeout));
	if (run->cause != RUN_GOES_ON)
		run->deadline_ns = clock_ns() + run->arguments->stop_timeout * CLOCK_NS_PER_MS;
	return run->cause;
}

/* Whether what was read and not inserted still has a chance. */
static bool feed_may_insert(struct run *run)
{
	return run->cause == RUN_GOES_ON || (run->cause == RUN_SIGNAL && clock_ns() < run->deadline_ns);
}

/* --- Inserting ------------------------------------------------------------------------- */

static void feed_reject(struct feed *feed, const databuffer_item *item, const char *reason)
{
	databuffer_record record;

	if (databuffer_record_open(&record, item->data, item->len) == 0)
		rejects_add(&feed->run->rejects, feed->source->name, record.line, reason, record.text,
		            record.text_len);
}

static void feed_forsake(struct feed *feed, const databuffer_item *item)
{
	databuffer_sentence why;
	char text[sizeof(why.text) + 64];

	if (feed->source->regular)
		return;
	host_failure(&feed->run->host, &why);
	snprintf(text, sizeof(text), "not written before the end: %s",
	         why.text[0] ? why.text : "the sink took no more");
	atomic_fetch_add(&feed->run->forsaken, 1);
	feed_reject(feed, item, text);
}

/* There is no room: the sink is behind. */
static int feed_insert_waiting(struct feed *feed, const databuffer_item *item)
{
	struct run *run = feed->run;
	int64_t start = clock_ns();
	int rc = databuffer_insert_timed(run->buf, item->data, item->len, FEED_SLICE);

	run->wait_ns += clock_ns() - start;
	if (rc == DATABUFFER_ETIMEDOUT)
		run_look(run);
	return rc;
}

static void feed_insert(struct feed *feed, const databuffer_item *item)
{
	struct run *run = feed->run;
	int rc = 0;

	do {
		if (run->cause != RUN_GOES_ON && (feed->source->regular || !feed_may_insert(run))) {
			feed_forsake(feed, item);
			return;
		}
		rc = databuffer_insert_timed(run->buf, item->data, item->len, 0);
		if (rc == DATABUFFER_ETIMEDOUT)
			rc = feed_insert_waiting(feed, item);
	} while (rc == DATABUFFER_ETIMEDOUT);

	if (rc == 0) {
		atomic_store_explicit(&run->accepted, run->accepted + 1, memory_order_relaxed);
		return;
	}
	atomic_fetch_add(&run->refused, 1);
	feed_reject(feed, item,
	            rc == DATABUFFER_EMSGSIZE ? "with its fields it is larger than --max-bytes"
	                                      : databuffer_strerror(rc));
}

static void feed_insert_block(struct feed *feed)
{
	struct run *run = feed->run;
	int64_t start = clock_ns(), waited = run->wait_ns;

	for (size_t i = 0; i < run->records.count; i++) {
		databuffer_item item = records_at(&run->records, i);

		feed_insert(feed, &item);
	}
	records_clear(&run->records);
	run->insert_ns += clock_ns() - start - (run->wait_ns - waited);
}

/* --- Parsing --------------------------------------------------------------------------- */

static void feed_refuse(struct feed *feed, uint64_t line, const char *reason, const char *text, size_t len)
{
	atomic_fetch_add(&feed->run->refused, 1);
	rejects_add(&feed->run->rejects, feed->source->name, line, reason, text, len);
}

static void feed_end_overlong(struct feed *feed)
{
	struct overlong *overlong = &feed->run->overlong;
	const char *text = overlong_text(overlong);
	size_t len = text ? overlong->size : 0;
	char reason[160];

	snprintf(reason, sizeof(reason), "%s bytes, over the limit of %s%s",
	         console_number((double)overlong->size), console_number((double)feed->reader.max_line),
	         text || !overlong->spool ? "" : ", and there is no room to keep it");
	if (len > 0 && text[len - 1] == '\r')
		len--;
	feed_refuse(feed, overlong->line, reason, text ? text : "", len);
	overlong_end(overlong, text);
}

/* Parses until the block is full, or the reader is empty (FORMAT_MORE), or ended.
 * What is to be refused ends the block too, so that it is after what it follows. */
static enum format_answer feed_parse_block(struct feed *feed, struct format_reject *reject)
{
	struct run *run = feed->run;
	struct overlong *overlong = &run->overlong;

	while (run->records.count < FEED_RECORDS && run->records.size < FEED_BYTES) {
		enum format_answer answer;

		if (overlong->active) {
			if (!overlong_take(overlong, &feed->reader))
				return FORMAT_MORE;
			feed_end_overlong(feed);
		}
		answer = feed->source->format->next(feed->state, &feed->reader, &run->records, reject);
		if (answer == FORMAT_LONG)
			overlong_begin(overlong, &feed->reader, run->rejects.fd >= 0);
		if (answer != FORMAT_RECORD)
			return answer;
	}
	return FORMAT_RECORD;
}

/* --- Reading --------------------------------------------------------------------------- */

/* Waits until there is something to read, or a cause to stop. */
static void feed_wait(struct feed *feed)
{
	struct pollfd fds[] = {
		{ .fd = feed->reader.fd, .events = POLLIN },
		{ .fd = feed->run->watch.wake_fd, .events = POLLIN },
	};

	while (run_look(feed->run) == RUN_GOES_ON && poll(fds, 2, FEED_SLICE) <= 0)
		;
	run_look(feed->run);
}

static void feed_fill(struct feed *feed)
{
	struct run *run = feed->run;
	int64_t start = clock_ns();
	ssize_t n;

	if (!feed->source->regular)
		feed_wait(feed);
	if (run->cause == RUN_GOES_ON) {
		n = reader_fill(&feed->reader);
		if (n < 0 && n != -EAGAIN) {
			console_say("cannot read on in %s: %s", feed->source->name, strerror((int)-n));
			run->failed = true;
			feed->ended = true;
		}
		if (n > 0)
			atomic_fetch_add(&run->bytes_in, (uint64_t)n);
	}
	run->read_ns += clock_ns() - start;
}

/* What is in the reader goes on through, where it cannot be read again. */
static bool feed_goes_on(struct feed *feed, enum format_answer answer)
{
	if (feed->ended || answer == FORMAT_END)
		return false;
	if (run_look(feed->run) == RUN_GOES_ON)
		return true;
	return !feed->source->regular && answer != FORMAT_MORE;
}

static void feed_loop(struct feed *feed)
{
	struct run *run = feed->run;
	enum format_answer answer = FORMAT_MORE;
	struct format_reject reject;

	while (feed_goes_on(feed, answer)) {
		int64_t start;

		if (answer == FORMAT_MORE)
			feed_fill(feed);
		start = clock_ns();
		answer = feed_parse_block(feed, &reject);
		run->parse_ns += clock_ns() - start;
		feed_insert_block(feed);
		if (answer == FORMAT_REJECT && !(feed->source->regular && run->cause != RUN_GOES_ON))
			feed_refuse(feed, reject.line, reject.reason, reject.text, reject.len);
	}
	if (answer != FORMAT_END && !feed->ended)
		run->failed = run->failed || run->cause == RUN_STALLED;
}

void run_feed(struct run *run, size_t source)
{
	struct feed feed = { .run = run, .source = &run->sources.list[source] };
	int fd = source_open(feed.source);

	if (fd < 0) {
		run->failed = true;
		return;
	}
	run->records.source = (uint32_t)source;
	reader_init(&feed.reader, fd, (size_t)run->arguments->max_line);
	feed.state =
	    feed.source->format->open(feed.source->format->has_columns ? run->arguments->columns : NULL);
	feed_loop(&feed);
	if (run->overlong.active)
		overlong_end(&run->overlong, NULL);
	records_abandon(&run->records);
	feed.source->format->close(feed.state);
	reader_fini(&feed.reader);
	source_close(feed.source, fd);
}
