/* SPDX-License-Identifier: MIT */
/*
 * soak.c [--minutes N | --seconds N] [--seed N]: a buffer under everything at once, life after life, for as long as
 * one likes.
 *
 * A life is of a few seconds, each with other options, some of which change meanwhile; half end in peace, half in
 * the middle of it all. Every item's
 * outcome is kept (account.h) and held against the counters; at the end of all, threads, descriptors and memory are
 * as they were. What goes wrong ends it, with the place; the seed stands in the first line.
 */
#include "soak/soak.h"

#include <dirent.h>

#define LIFE_LEAST_MS 300
#define LIFE_MOST_MS  3000

struct account account;
struct total total;

static uint64_t seed;
static _Atomic uint64_t seeds; /* how many were drawn of it */

uint64_t fresh_seed(void)
{
	uint64_t fresh = seed + atomic_fetch_add(&seeds, 1) * UINT64_C(0x9e3779b97f4a7c15);

	return dice(&fresh);
}

/* --- Lives --------------------------------------------------------------------------------------- */

void draw_live_options(databuffer_options *o, const struct life *life, uint64_t *dice_seed)
{
	o->max_size = 1 + (int64_t)dice_below(dice_seed, dice_below(dice_seed, 2) ? 2000 : 50);
	o->max_size_jitter = (int64_t)dice_below(dice_seed, 2) * (int64_t)dice_below(dice_seed, 100);
	o->flush_interval = (int64_t)dice_below(dice_seed, 50);
	o->flush_jitter = (int64_t)dice_below(dice_seed, 20);
	o->flush_timeout = life->ordered ? 0 : 5 + (int64_t)dice_below(dice_seed, 20);
	o->timeout = (int64_t)dice_below(dice_seed, 20);
	o->retry_min = 1 + (int64_t)dice_below(dice_seed, 3);
	o->retry_max = o->retry_min + (int64_t)dice_below(dice_seed, 30);
	o->retry_limit = dice_below(dice_seed, 3) ? 0 : 1 + (int64_t)dice_below(dice_seed, 10);
	o->breaker_failures = (int64_t)dice_below(dice_seed, 2) * (1 + (int64_t)dice_below(dice_seed, 5));
	o->rate_limit = dice_below(dice_seed, 4) ? 0 : 100000 + (int64_t)dice_below(dice_seed, 1000000);
	o->rate_limit_flushes = dice_below(dice_seed, 4) ? 0 : 1000 + (int64_t)dice_below(dice_seed, 1000);
}

databuffer_options draw_options(struct life *life, uint64_t *dice_seed)
{
	databuffer_options o = databuffer_options_init();

	life->ordered = dice_below(dice_seed, 2);
	draw_live_options(&o, life, dice_seed);
	atomic_store(&life->most, o.max_size + o.max_size_jitter);
	o.partitions = 1 + (int64_t)dice_below(dice_seed, PARTITIONS_MOST);
	o.max_bytes = dice_below(dice_seed, 2) ? 16 * ITEM_MOST + (int64_t)dice_below(dice_seed, 65536) : 1 << 20;
	o.max_in_flight = life->ordered ? 1 : 1 + (int64_t)dice_below(dice_seed, 3);
	o.max_queued = (int64_t)dice_below(dice_seed, 4);
	o.idle_memory = (int64_t)dice_below(dice_seed, 2) * (1 + (int64_t)dice_below(dice_seed, 50));
	o.flush_empty = dice_below(dice_seed, 4) == 0;
	o.overflow = dice_below(dice_seed, 2) ? DATABUFFER_OVERFLOW_BLOCK : (int64_t)dice_below(dice_seed, 4);
	o.pressure_high = dice_below(dice_seed, 2) ? 1 + (int64_t)dice_below(dice_seed, 100000) : 0;
	o.pressure_low = o.pressure_high / 2;
	sink_set_handlers(&o, life);
	return o;
}

/* --- What is seen meanwhile ---------------------------------------------------------------------- */

static int64_t begin_ms, end_ms;

static void draw(void)
{
	static int64_t last_ms;
	bool terminal = isatty(STDERR_FILENO);
	int64_t now = now_ms(), left_s = end_ms > now ? (end_ms - now + 999) / 1000 : 0;
	uint64_t calls = atomic_load(&total.calls);

	if (now - last_ms < (terminal ? 200 : 60000))
		return;
	last_ms = now;
	fprintf(stderr, "%slife %" PRIu64 ": %" PRIu64 " inserted before it, %" PRIu64 " flushes, %.1f %% failed, "
	        "%" PRId64 ":%02" PRId64 " left%s", terminal ? "\r\033[K" : "", total.lives + 1, total.inserted, calls,
	        calls ? 100.0 * (double)atomic_load(&total.failures) / (double)calls : 0.0, left_s / 60, left_s % 60,
	        terminal ? "" : "\n");
}

static void watch_for(int64_t ms)
{
	int64_t until_ms = now_ms() + ms;

	while (now_ms() < until_ms) {
		draw();
		pause_ms(20);
	}
}

/* --- Ends ------------------------------------------------------------------------------------------ */

/* Nobody inserts any more, the handler takes everything, and the counters of both sides are the same. */
static void end_in_peace(struct life *life)
{
	struct databuffer_stats stats;

	atomic_store(&life->gentle, true);
	CHECK(databuffer_sync_flush(life->buf, NULL, 0, PATIENCE_MS) == 0);
	sink_check(life->buf);
	CHECK(databuffer_stats(life->buf, &stats) == 0);
	CHECK(stats.held == 0 && stats.left == 0);
	CHECK(stats.inserted == atomic_load(&life->accepted));
	CHECK(stats.inserted == stats.flushed + stats.dead + stats.dropped);
	CHECK(stats.flushed == account_count(&account, FLUSHED));
	CHECK(stats.dead == account_count(&account, DEAD));
	CHECK(stats.dropped == account_count(&account, DROPPED));
	CHECK(databuffer_stop(life->buf, PATIENCE_MS) == 0);
}

/* While producers insert and handlers fail. A call that comes a moment later is told so, too. */
static void end_in_the_middle(struct life *life, uint64_t *dice_seed)
{
	int64_t left;

	atomic_store(&account.overtaken, true);
	left = databuffer_stop(life->buf, (int64_t)dice_below(dice_seed, 100));
	CHECK(left >= 0 && (uint64_t)left == account_count(&account, LEFT));
}

static void add_to_total(struct life *life)
{
	uint64_t inserted = 0;

	account_check(&account);
	for (unsigned outcome = FLUSHED; outcome < OUTCOMES; outcome++) {
		total.outcomes[outcome] += account_count(&account, (enum outcome)outcome);
		inserted += account_count(&account, (enum outcome)outcome);
	}
	CHECK(inserted == atomic_load(&life->accepted));
	total.inserted += inserted;
	total.lives++;
}

static struct life *live(struct life *before, int64_t ms, uint64_t *dice_seed)
{
	struct life *life = calloc(1, sizeof(*life));
	bool peace = dice_below(dice_seed, 2);
	struct crowd *crowd;

	CHECK(life);
	life->before = before;
	life->options = draw_options(life, dice_seed);
	account_begin(&account, (uint32_t)total.lives + 1);
	CHECK(databuffer_start(&life->buf, &life->options) == 0);
	crowd = crowd_start(life);
	watch_for(ms);
	if (!peace)
		end_in_the_middle(life, dice_seed);
	atomic_store(&life->ending, true);
	crowd_join(crowd);
	if (peace)
		end_in_peace(life);
	sink_end(life);
	add_to_total(life);
	return life;
}

/* --- What the process has ---------------------------------------------------------------------------- */

struct possessions {
	long threads, descriptors, resident_kb;
};

static long count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	long count = 0;

	CHECK(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

/* When the flushers have left, for want of work. */
static struct possessions take_stock(long threads)
{
	int64_t until_ms = now_ms() + PATIENCE_MS;
	struct possessions stock;

	while ((stock.threads = proc_status("Threads:")) > threads) {
		CHECK(now_ms() < until_ms);
		pause_ms(10);
	}
	stock.descriptors = count_descriptors();
	stock.resident_kb = proc_status("VmRSS:");
	return stock;
}

/* The struct of a stopped buffer is kept for a while, and allocators keep what they have. */
#define RESIDENT_MORE_KB 65536

static void compare_stock(const struct possessions *before, const struct possessions *after)
{
	CHECK(after->descriptors == before->descriptors);
	if (SLOWNESS == 1) /* sanitizers have memory of their own, and look for leaks better than we can */
		CHECK(after->resident_kb < before->resident_kb + RESIDENT_MORE_KB);
}

/* --- All of it ------------------------------------------------------------------------------------------ */

static int usage(void)
{
	fprintf(stderr, "usage: soak [--minutes N | --seconds N] [--seed N]\n");
	return 2;
}

static bool parse(int argc, char **argv)
{
	int64_t ms = 10000;

	seed = (uint64_t)now_ns() ^ (uint64_t)getpid() << 40;
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--minutes") == 0)
			ms = (int64_t)(atof(argv[i + 1]) * 60000);
		else if (strcmp(argv[i], "--seconds") == 0)
			ms = (int64_t)(atof(argv[i + 1]) * 1000);
		else if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 0);
		else
			return false;
	}
	begin_ms = now_ms();
	end_ms = begin_ms + ms;
	return argc % 2 == 1 && ms > 0;
}

static void print_total(void)
{
	uint64_t calls = atomic_load(&total.calls), failures = atomic_load(&total.failures);

	CHECK(total.inserted == total.outcomes[FLUSHED] + total.outcomes[DEAD] + total.outcomes[DROPPED] +
	                            total.outcomes[LEFT]);
	printf("%" PRIu64 " lives in %" PRId64 " s, %" PRIu64 " flushes, of which %" PRIu64 " failed (%.1f %%)\n",
	       total.lives, (now_ms() - begin_ms) / 1000, calls, failures,
	       calls ? 100.0 * (double)failures / (double)calls : 0.0);
	printf("%" PRIu64 " inserted = %" PRIu64 " flushed + %" PRIu64 " dead + %" PRIu64 " dropped + %" PRIu64
	       " left; %" PRIu64 " refused\n", total.inserted, total.outcomes[FLUSHED], total.outcomes[DEAD],
	       total.outcomes[DROPPED], total.outcomes[LEFT], atomic_load(&total.refused));
	printf("options were changed %" PRIu64 " times\n", atomic_load(&total.changes));
}

int main(int argc, char **argv)
{
	struct possessions before, after;
	struct life *last = NULL;
	uint64_t dice_seed;
	long threads;

	if (!parse(argc, argv))
		return usage();
	fprintf(stderr, "seed %" PRIu64 "\n", seed);
	dice_seed = seed;
	threads = proc_status("Threads:") + 1; /* the supervisor stays */
	last = live(NULL, LIFE_LEAST_MS, &dice_seed);
	before = take_stock(threads);
	do {
		int64_t ms = LIFE_LEAST_MS + (int64_t)dice_below(&dice_seed, LIFE_MOST_MS - LIFE_LEAST_MS);

		last = live(last, ms < end_ms - now_ms() ? ms : LIFE_LEAST_MS, &dice_seed);
	} while (now_ms() < end_ms);
	after = take_stock(threads);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	compare_stock(&before, &after);
	print_total();
	while (last) {
		struct life *earlier = last->before;

		free(last);
		last = earlier;
	}
	return 0;
}
