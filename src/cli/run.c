/* SPDX-License-Identifier: MIT */
/* run.c: one run of the command, from start to end. */
#include "cli/run.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/clock.h"
#include "cli/console.h"

#define RUN_NAP_LEAST 1  /* ms: between two looks at what is still held */
#define RUN_NAP_MOST  20

struct run_counts run_count(struct run *run)
{
	int64_t end_ns = run->end_ns;
	struct run_counts counts = {
		.rejected = run->refused + run->host.dead,
		.left = run->forsaken + run->host.returned,
		.batches = run->host.account->batches,
		.retries = run->host.account->retries,
		.seconds = (double)((end_ns ? end_ns : clock_ns()) - run->start_ns) / CLOCK_NS_PER_SEC,
	};
	uint64_t accepted = run->accepted, gone = run->host.dead + run->host.returned;

	counts.records = accepted + run->refused + run->forsaken;
	counts.held = run->buf ? databuffer_size(run->buf) : 0;
	counts.flushed = accepted > gone + counts.held ? accepted - gone - counts.held : 0;
	return counts;
}

/* The second signal, on the watch's thread: what is held is lost, and known. */
static void run_leave(void *opened, int signal)
{
	struct run *run = opened;
	struct run_counts counts = run_count(run);

	console_status("");
	console_say("%s again: leaving at once; %s record%s left unwritten",
	            signal == SIGINT ? "interrupted" : "ended", console_number((double)counts.held),
	            counts.held == 1 ? " was" : "s were");
}

/* --- Start ------------------------------------------------------------------------------ */

/* All that can be known to be wrong is refused before anything is read. */
static int run_prepare(struct run *run)
{
	const struct arguments *arguments = run->arguments;
	databuffer_sentence why;
	bool columns_fit = false;

	if (sink_init(&run->sink, arguments->sink, &why) < 0) {
		console_say("%s", why.text);
		return EXIT_USAGE;
	}
	if (sources_init(&run->sources, arguments->files, arguments->file_count, arguments->format) < 0)
		return EXIT_FAILURE;
	for (size_t i = 0; i < run->sources.count; i++)
		columns_fit = columns_fit || run->sources.list[i].format->has_columns;
	if (arguments->columns && !columns_fit) {
		console_say("--columns is for csv and tsv, and no input is: say --format csv, or tsv");
		return EXIT_USAGE;
	}
	if (rejects_open(&run->rejects, arguments->rejects) < 0)
		return EXIT_FAILURE;
	if (host_open(&run->host, &run->sink, &run->rejects, &run->sources) < 0)
		return EXIT_FAILURE;
	return 0;
}

static int run_start(struct run *run)
{
	databuffer_options options = run->arguments->options;
	bool draws = run->arguments->progress == PROGRESS_ALWAYS ||
	             (run->arguments->progress == PROGRESS_AUTO && isatty(STDERR_FILENO));
	databuffer *buf;
	int rc;

	run->start_ns = clock_ns();
	host_attach(&run->host, &options);
	rc = databuffer_start(&buf, &options);
	if (rc < 0) {
		if (rc == DATABUFFER_ENOMEM)
			console_say("there is not the memory for --partitions times --max-bytes times the batches of each "
			            "(--max-in-flight, --max-queued, --max-stuck): make one of them smaller");
		else
			console_say("%s", rc == DATABUFFER_EINVAL ? options.error : databuffer_strerror(rc));
		return rc == DATABUFFER_EINVAL ? EXIT_USAGE : EXIT_FAILURE;
	}
	run->buf = buf;
	run->watch.draw = draws ? run_draw_progress : NULL;
	run->watch.leave = run_leave;
	run->watch.ctx = run;
	return watch_start(&run->watch) < 0 ? EXIT_FAILURE : 0;
}

/* --- End -------------------------------------------------------------------------------- */

/* The input is at its end: whatever is held is flushed, as long as it takes, if
 * only the sink works. */
static void run_drain(struct run *run)
{
	struct pollfd wake = { .fd = run->watch.wake_fd, .events = POLLIN };
	int nap = RUN_NAP_LEAST;

	databuffer_flush(run->buf);
	while (run_look(run) == RUN_GOES_ON && databuffer_size(run->buf) > 0) {
		poll(&wake, 1, nap);
		nap = nap < RUN_NAP_MOST ? nap + 1 : nap;
	}
}

static void run_stop(struct run *run)
{
	int64_t left_ms = run->arguments->stop_timeout;

	if (run->cause != RUN_GOES_ON)
		left_ms = (run->deadline_ns - clock_ns()) / CLOCK_NS_PER_MS;
	databuffer_stop(run->buf, left_ms > 0 ? left_ms : 0);
	run->buf = NULL;
	run->end_ns = clock_ns();
}

/* Says what was lost; and whether all is well. */
static int run_judge(struct run *run)
{
	uint64_t lost = run->rejects.lost;

	if (rejects_close(&run->rejects) < 0)
		run->failed = true;
	if (lost > 0)
		console_say("%s record%s not written, neither to the sink nor to a file of rejects%s",
		            console_number((double)lost), lost == 1 ? " was" : "s were",
		            run->arguments->rejects ? "" : "; --rejects FILE keeps them");
	return run->failed || lost > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run_finish(struct run *run)
{
	int status;

	/* A flush that does not come back holds its state; nobody may end that. */
	if (run->host.running == 0)
		host_close(&run->host);
	watch_end(&run->watch);
	console_status("");
	status = run_judge(run);
	if (run->arguments->summary || (isatty(STDERR_FILENO) && run->arguments->progress != PROGRESS_NEVER))
		run_print_summary(run);
	if (run->arguments->json && run_print_json(run) < 0)
		status = EXIT_FAILURE;
	if (run->host.running > 0)
		_exit(status);
	records_fini(&run->records);
	sources_fini(&run->sources);
	sink_fini(&run->sink);
	return status;
}

int run_main(const struct arguments *arguments)
{
	static struct run run; /* not on a stack: a late flush may outlive us */
	int status;

	run.arguments = arguments;
	watch_block_signals();
	status = run_prepare(&run);
	if (status == 0)
		status = run_start(&run);
	if (status != 0)
		return status;
	for (size_t i = 0; i < run.sources.count && run.cause == RUN_GOES_ON; i++)
		run_feed(&run, i);
	if (run.cause == RUN_GOES_ON)
		run_drain(&run);
	run_stop(&run);
	return run_finish(&run);
}
