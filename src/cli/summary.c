/* SPDX-License-Identifier: MIT */
/* summary.c: the line that is redrawn, and what is said at the end. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/clock.h"
#include "cli/console.h"
#include "cli/run.h"

#define SUMMARY_SMOOTH 0.2 /* how much the newest tenth of a second weighs in the rate */

static double summary_rate(const struct run_counts *counts)
{
	return counts->seconds > 0 ? (double)counts->flushed / counts->seconds : 0;
}

static double summary_mean_batch(const struct run_counts *counts)
{
	return counts->batches ? (double)counts->flushed / (double)counts->batches : 0;
}

static double summary_seconds(int64_t ns)
{
	return (double)ns / CLOCK_NS_PER_SEC;
}

/* --- While it runs ---------------------------------------------------------------------- */

/* The rate of late, rather than since the start. */
static double progress_rate(const struct run_counts *counts)
{
	static struct run_counts last;
	static double rate;
	double seconds = counts->seconds - last.seconds;
	double now = seconds > 0 ? (double)(counts->flushed - last.flushed) / seconds : rate;

	if (counts->flushed >= last.flushed)
		rate = last.seconds > 0 ? rate + (now - rate) * SUMMARY_SMOOTH : now;
	last = *counts;
	return rate;
}

/* How far the files are read, and how long the rest will take at this pace. */
static void progress_part(struct run *run, const struct run_counts *counts, char *text, size_t size)
{
	double done = (double)run->bytes_in, all = (double)run->sources.size;
	long left;

	text[0] = '\0';
	if (all == 0)
		return;
	done = done < all ? done : all;
	left = done > 0 ? (long)(counts->seconds * (all - done) / done + 0.5) : 0;
	snprintf(text, size, "  %3.0f %%  %ld:%02ld left", 100 * done / all, left / 60, left % 60);
}

void run_draw_progress(void *opened)
{
	struct run *run = opened;
	struct run_counts counts;
	char line[400], part[64];

	if (!run->buf)
		return;
	counts = run_count(run);
	progress_part(run, &counts, part, sizeof(part));
	snprintf(line, sizeof(line), "%s in  %s flushed  %s/s  %s held  %s %s%s",
	         console_number((double)counts.records), console_number((double)counts.flushed),
	         console_number(progress_rate(&counts)), console_number((double)counts.held),
	         console_number((double)counts.retries), counts.retries == 1 ? "retry" : "retries", part);
	console_status(line);
}

/* --- At the end --------------------------------------------------------------------------- */

void run_print_summary(struct run *run)
{
	struct run_counts counts = run_count(run);
	char text[2048];
	size_t used;

	used = (size_t)snprintf(text, sizeof(text),
				"records   %14s   in %.2f s, %s a second\n"
				"flushed   %14s   in %s batch%s, %s records in each on average\n"
				"rejected  %14s%s%s\n",
				console_number((double)counts.records), counts.seconds,
				console_number(summary_rate(&counts)), console_number((double)counts.flushed),
				console_number((double)counts.batches), counts.batches == 1 ? "" : "es",
				console_number(summary_mean_batch(&counts)),
				console_number((double)counts.rejected),
				counts.rejected && run->arguments->rejects ? "   in " : "",
				counts.rejected && run->arguments->rejects ? run->arguments->rejects : "");
	if (counts.left > 0)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
		                         "left      %14s   not written before the end\n",
		                         console_number((double)counts.left));
	if (counts.retries > 0)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "retries   %14s\n",
		                         console_number((double)counts.retries));
	snprintf(text + used, sizeof(text) - used,
	         "reading %.2f s, parsing %.2f s, in the buffer %.2f s, waiting for room %.2f s; "
	         "beside these, in the sink %.2f s\n",
	         summary_seconds(run->read_ns), summary_seconds(run->parse_ns), summary_seconds(run->insert_ns),
	         summary_seconds(run->wait_ns), summary_seconds((int64_t)run->host.account->sink_ns));
	console_print(text);
}

int run_print_json(struct run *run)
{
	static const char *const ends[] = {
		[RUN_GOES_ON] = "end of input",
		[RUN_SIGNAL] = "signal",
		[RUN_STALLED] = "stall",
	};
	struct run_counts counts = run_count(run);

	printf("{\"records\":%" PRIu64 ",\"flushed\":%" PRIu64 ",\"batches\":%" PRIu64 ",\"mean_batch\":%.1f"
	       ",\"rate_per_s\":%.1f,\"rejected\":%" PRIu64 ",\"left\":%" PRIu64 ",\"retries\":%" PRIu64
	       ",\"seconds\":%.6f,\"ended_by\":\"%s\"",
	       counts.records, counts.flushed, counts.batches, summary_mean_batch(&counts),
	       summary_rate(&counts), counts.rejected, counts.left, counts.retries, counts.seconds,
	       ends[run->cause]);
	/* Reading to waiting follow each other on one thread; the sink works beside. */
	printf(",\"read_seconds\":%.6f,\"parse_seconds\":%.6f,\"insert_seconds\":%.6f,\"wait_seconds\":%.6f"
	       ",\"sink_seconds\":%.6f}\n",
	       summary_seconds(run->read_ns), summary_seconds(run->parse_ns),
	       summary_seconds(run->insert_ns), summary_seconds(run->wait_ns),
	       summary_seconds((int64_t)run->host.account->sink_ns));
	if (fflush(stdout) != 0 || ferror(stdout)) {
		console_say("cannot write the summary to standard output");
		return -1;
	}
	return 0;
}
