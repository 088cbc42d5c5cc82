/* SPDX-License-Identifier: MIT */
/*
 * chaos.c [--minutes N | --seconds N] [--seed N]: a buffer with worker processes, life after life, while eight
 * producers insert, and workers, fork servers and spares are killed at random; handlers die of their own accord,
 * too, and always of some items.
 *
 * Of every item is kept, in memory that all processes share, how often it was flushed, and in the application
 * whether it died or was left over. At the end of a life each has been flushed, or died, or was left over; the
 * counters say the same; and no process is left. What goes wrong ends it, with the place; the seed stands in the
 * first line.
 */
#include "chaos/chaos.h"

#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define PRODUCERS 8
#define NUMBERS   (1u << 18) /* of each producer in one life */
#define POISON    5003       /* one in so many items kills whoever reads it */

/* What the processes share: what handlers have done. */
struct ledger {
	_Atomic unsigned char flushed[PRODUCERS][NUMBERS];
	_Atomic uint64_t calls, suicides;
};

static struct ledger *ledger;

struct chaos_item {
	uint32_t life, producer, number, sum;
};

/* What the application was told. */
struct life {
	databuffer *buf;
	databuffer_options options;
	uint32_t number;
	_Atomic bool ending;
	_Atomic unsigned char dead[PRODUCERS][NUMBERS], left[PRODUCERS][NUMBERS];
	_Atomic uint64_t dead_count, left_count;
	uint32_t accepted[PRODUCERS];
};

static struct life life;

static struct total {
	uint64_t lives, inserted, flushed, dead, innocent, left, deaths;
	struct deeds deeds;
} total;

static bool is_poison(const struct chaos_item *item)
{
	return item->number % POISON == POISON - 1;
}

static struct chaos_item read_item(const databuffer_item *from)
{
	struct chaos_item item;
	CHECK(from->len >= sizeof(item));
	memcpy(&item, from->data, sizeof(item));
	CHECK(item.sum == (item.life ^ item.producer ^ item.number));
	CHECK(item.producer < PRODUCERS && item.number < NUMBERS);
	return item;
}

/* --- In a worker --------------------------------------------------------------------------------- */

static uint64_t worker_seed;

static int start_worker(void *meta)
{
	(void)meta;
	worker_seed = (uint64_t)now_ns() ^ (uint64_t)getpid() << 40;
	return dice_below(&worker_seed, 50) == 0 ? 1 : 0;
}

static void die_somehow(void)
{
	ledger->suicides++;
	switch (dice_below(&worker_seed, 5)) {
	case 0:
		abort();
	case 1:
		_exit(0);
	case 2:
		raise(SIGSTOP);
		break;
	case 3:
		raise(SIGSEGV);
		break;
	default:
		raise(SIGKILL);
	}
}

/* Before, in the middle, or after all is done and before that is said. */
static void die_now_and_then(void)
{
	if (dice_below(&worker_seed, 200) == 0)
		die_somehow();
}

static int flush(databuffer_batch *batch, void *meta)
{
	databuffer_item from;
	uint32_t of_life = 0;
	(void)meta;
	ledger->calls++;
	die_now_and_then();
	for (size_t i = 0; databuffer_batch_next(batch, &from); i++) {
		struct chaos_item item = read_item(&from);
		CHECK(i == 0 || item.life == of_life);
		of_life = item.life;
		if (is_poison(&item))
			abort();
	}
	die_now_and_then();
	databuffer_batch_rewind(batch);
	while (databuffer_batch_next(batch, &from)) {
		struct chaos_item item = read_item(&from);
		if (ledger->flushed[item.producer][item.number] < 255)
			ledger->flushed[item.producer][item.number]++;
	}
	die_now_and_then();
	return dice_below(&worker_seed, 20) == 0 ? -EIO : 0;
}

/* --- In the application ------------------------------------------------------------------------------ */

static void on_dead(const databuffer_item *from, const databuffer_reason *reason, void *meta)
{
	struct chaos_item item = read_item(from);
	(void)meta;
	CHECK(item.life == life.number);
	CHECK(reason->text[0] != '\0' && reason->attempts > 0);
	CHECK(reason->status == DATABUFFER_EWORKER || reason->status == DATABUFFER_ETIMEDOUT);
	CHECK(atomic_fetch_add(&life.dead[item.producer][item.number], 1) == 0);
	life.dead_count++;
}

static void on_left(const databuffer_item *from, const databuffer_reason *reason, void *meta)
{
	struct chaos_item item = read_item(from);
	(void)reason;
	(void)meta;
	CHECK(item.life == life.number);
	CHECK(atomic_fetch_add(&life.left[item.producer][item.number], 1) == 0);
	life.left_count++;
}

static void on_log(databuffer_log_level level, const char *line, void *meta)
{
	(void)level;
	(void)line;
	(void)meta;
}

struct producer {
	pthread_t thread;
	uint32_t number;
	uint64_t seed;
};

static void *produce(void *arg)
{
	struct producer *me = arg;
	unsigned char bytes[256];
	uint32_t next = 0;
	memset(bytes, 0, sizeof(bytes));
	while (!life.ending && next < NUMBERS) {
		struct chaos_item item = { life.number, me->number, next, life.number ^ me->number ^ next };
		memcpy(bytes, &item, sizeof(item));
		size_t len = dice_below(&me->seed, 2) ? sizeof(item) : sizeof(item) + dice_below(&me->seed, 200);
		int rc = databuffer_insert(life.buf, bytes, len);
		CHECK(rc == 0 || rc == DATABUFFER_ETIMEDOUT || rc == DATABUFFER_ESTOPPED);
		next += rc == 0;
		if (dice_below(&me->seed, 1000) == 0)
			pause_ms(1);
	}
	life.accepted[me->number] = next;
	return NULL;
}

/* --- Lives ---------------------------------------------------------------------------------------------- */

static databuffer_options draw_options(uint64_t *seed)
{
	databuffer_options o = databuffer_options_init();
	o.flusher = DATABUFFER_PROCESSES;
	o.handle_flush = flush;
	o.handle_worker_start = start_worker;
	o.handle_dead = on_dead;
	o.handle_left = on_left;
	o.handle_log = on_log;
	o.partitions = 1 + (int64_t)dice_below(seed, 6);
	o.flusher_count = (int64_t)dice_below(seed, 6);
	o.max_size = 1 + (int64_t)dice_below(seed, dice_below(seed, 2) ? 2000 : 100);
	o.max_in_flight = 1 + (int64_t)dice_below(seed, 3);
	o.max_queued = (int64_t)dice_below(seed, 4);
	o.flush_interval = 1 + (int64_t)dice_below(seed, 50);
	o.flush_jitter = 5;
	o.flush_timeout = (50 + (int64_t)dice_below(seed, 200)) * SLOWNESS;
	o.timeout = 10;
	o.retry_min = 1;
	o.retry_max = 20;
	o.kill_limit = 1 + (int64_t)dice_below(seed, 4);
	o.worker_max_flushes = dice_below(seed, 2) ? 0 : 1 + (int64_t)dice_below(seed, 100);
	o.max_restarts = dice_below(seed, 2) ? 10000 : 20;
	o.max_restart_period = 1000;
	return o;
}

static uint64_t count_accepted(void)
{
	uint64_t accepted = 0;
	for (unsigned producer = 0; producer < PRODUCERS; producer++)
		accepted += life.accepted[producer];
	return accepted;
}

/* Each item has an outcome, and no more than one that the application was told of. */
static void check_items(void)
{
	for (uint32_t producer = 0; producer < PRODUCERS; producer++) {
		for (uint32_t number = 0; number < life.accepted[producer]; number++) {
			struct chaos_item item = { .number = number };
			unsigned told = life.dead[producer][number] + life.left[producer][number];
			CHECK(told <= 1);
			CHECK(told == 1 || ledger->flushed[producer][number] > 0);
			CHECK(told == 1 || !is_poison(&item));
			total.innocent += life.dead[producer][number] && !is_poison(&item);
		}
		for (uint32_t number = life.accepted[producer]; number < NUMBERS; number++)
			CHECK(life.dead[producer][number] + life.left[producer][number] == 0);
	}
}

static void end_in_peace(void)
{
	databuffer_stats_t stats;
	CHECK(databuffer_sync_flush(life.buf, NULL, 0, 10 * PATIENCE_MS) == 0);
	CHECK(databuffer_check(life.buf) == 0);
	CHECK(databuffer_stats(life.buf, &stats) == 0);
	CHECK(stats.held == 0 && stats.inserted == count_accepted());
	CHECK(stats.dead == life.dead_count && stats.inserted == stats.flushed + stats.dead);
	total.deaths += stats.worker_deaths;
	CHECK(databuffer_stop(life.buf, PATIENCE_MS) == 0);
	CHECK(life.left_count == 0);
}

static void end_in_the_middle(uint64_t *seed)
{
	int64_t left = databuffer_stop(life.buf, (int64_t)dice_below(seed, 100));
	CHECK(left >= 0 && (uint64_t)left == life.left_count);
}

static unsigned children(void)
{
	char path[64];
	unsigned count = 0;
	int pid;
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	FILE *file = fopen(path, "r");
	while (file && fscanf(file, "%d", &pid) == 1)
		count++;
	if (file)
		fclose(file);
	return count;
}

static void nobody_is_left(void)
{
	int64_t until_ms = now_ms() + PATIENCE_MS;
	while (children() > 0 || !assassin_saw_all_end()) {
		CHECK(now_ms() < until_ms);
		pause_ms(1);
	}
}

static void live(int64_t ms, uint64_t *seed)
{
	struct producer producers[PRODUCERS];
	bool peace = dice_below(seed, 4) > 0;
	memset(&life, 0, sizeof(life));
	memset((void *)ledger, 0, sizeof(*ledger));
	life.number = (uint32_t)total.lives + 1;
	life.options = draw_options(seed);
	CHECK(databuffer_start(&life.buf, &life.options) == 0);
	struct assassin *assassin = assassin_start(life.buf, dice(seed), 1 + (unsigned)dice_below(seed, 20));
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		producers[i] = (struct producer){ .number = i, .seed = dice(seed) };
		producers[i].thread = thread_run(produce, &producers[i]);
	}
	pause_ms(ms);
	if (!peace)
		end_in_the_middle(seed);
	life.ending = true;
	for (unsigned i = 0; i < PRODUCERS; i++)
		thread_join(producers[i].thread);
	assassin_stop(assassin, &total.deeds);
	if (peace)
		end_in_peace();
	nobody_is_left();
	check_items();
	total.lives++;
	total.inserted += count_accepted();
	total.dead += life.dead_count;
	total.left += life.left_count;
}

/* --- All of it --------------------------------------------------------------------------------------------- */

static unsigned descriptors(void)
{
	unsigned count = 0;
	DIR *folder = opendir("/proc/self/fd");
	CHECK(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

int main(int argc, char **argv)
{
	int64_t ms = 10000;
	uint64_t seed = (uint64_t)now_ns() ^ (uint64_t)getpid() << 40;
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--minutes") == 0)
			ms = (int64_t)(atof(argv[i + 1]) * 60000);
		else if (strcmp(argv[i], "--seconds") == 0)
			ms = (int64_t)(atof(argv[i + 1]) * 1000);
		else if (strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 0);
	}
	fprintf(stderr, "seed %" PRIu64 "\n", seed);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(ledger != MAP_FAILED);
	int64_t begin_ms = now_ms();
	unsigned open = descriptors();
	while (total.lives == 0 || now_ms() < begin_ms + ms)
		live(300 + (int64_t)dice_below(&seed, 1500), &seed);
	WAIT_FOR(descriptors() == open); /* a stop that had no time leaves them to a thread that is about to end */
	const struct deeds *deeds = &total.deeds;
	printf("%" PRIu64 " lives in %" PRId64 " s; killed: %" PRIu64 " workers, %" PRIu64 " fork servers, %" PRIu64
	       " spares, of which %" PRIu64 " were only stopped\n", total.lives, (now_ms() - begin_ms) / 1000,
	       deeds->workers, deeds->servers, deeds->spares, deeds->stopped);
	printf("%" PRIu64 " inserted, %" PRIu64 " dead, of which %" PRIu64 " did nothing but be there, %" PRIu64
	       " left over, all others flushed\n", total.inserted, total.dead, total.innocent, total.left);
	return 0;
}
