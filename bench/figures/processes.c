/* SPDX-License-Identifier: MIT */
/*
 * processes: flusher threads and flusher processes beside each other, in turn:
 * what an insert costs, how many batches go through a second and what a batch
 * costs more in a process, how long a batch is on its way to its handler, how
 * soon a worker that has died is made good, and what the processes take of
 * memory. 64-byte items, a handler that reads every item.
 */
#include "figures/figure.h"

#include <dirent.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#define TURNS_MAX 2000

struct item {
	uint64_t words[8];
};

/* What handlers write, wherever they run. */
static struct board {
	_Atomic uint64_t flushed, sum;
	_Atomic int64_t begun_ns; /* when the last handler began */
} *board;

static const char *const kinds[] = { "threads", "processes" };
static const int64_t flushers[] = { DATABUFFER_THREADS, DATABUFFER_PROCESSES };

static int flush(databuffer_batch *batch, void *meta)
{
	uint64_t sum = 0;
	databuffer_view view = databuffer_batch_view(batch);
	(void)meta;
	atomic_store(&board->begun_ns, figure_now_ns());
	for (size_t i = 0; i < view.size; i++)
		sum += ((const struct item *)databuffer_view_at(&view, i).data)->words[0];
	atomic_fetch_add(&board->sum, sum);
	atomic_fetch_add(&board->flushed, view.size);
	return 0;
}

static databuffer_options options(unsigned kind)
{
	databuffer_options o = databuffer_options_init();
	o.handle_flush = flush;
	o.flusher = flushers[kind];
	o.flush_interval = 0;
	o.timeout = 30000;
	return o;
}

static void sync_flush(databuffer *buffer)
{
	int rc = databuffer_sync_flush(buffer, NULL, 0, 30000);
	figure_expect(rc == 0, databuffer_strerror(rc), rc);
}

/* A buffer whose worker is there. */
static databuffer *start(const databuffer_options *o)
{
	databuffer *buffer = figure_start(o);
	struct item item = { { 0 } };
	for (int64_t i = 0; i < o->partitions; i++)
		figure_expect(databuffer_insert(buffer, &item, sizeof(item)) == 0, "not inserted", i);
	sync_flush(buffer);
	atomic_store(&board->flushed, 0);
	atomic_store(&board->sum, 0);
	return buffer;
}

static void stop(databuffer *buffer)
{
	figure_expect(databuffer_stop(buffer, 30000) == 0, "items were left", 0);
}

static void print(const struct figures *figures, const char *what, unsigned kind, double value, const char *unit)
{
	char name[128];
	snprintf(name, sizeof(name), "%s, %s", what, kinds[kind]);
	figure_print(figures, name, value, unit);
}

/* --- Inserts: as many as fit, so that none waits ----------------------------------------- */

static double insert_some(databuffer *buffer, unsigned n)
{
	uint64_t sum = 0;
	atomic_store(&board->sum, 0);
	int64_t begin = figure_now_ns();
	for (unsigned i = 0; i < n; i++) {
		struct item item = { .words = { i } };
		sum += i;
		if (databuffer_insert(buffer, &item, sizeof(item)) != 0)
			figure_fail("an insert failed", i);
	}
	double each = (double)(figure_now_ns() - begin) / n;
	sync_flush(buffer);
	figure_expect(atomic_load(&board->sum) == sum, "not all was read", (long long)sum);
	return each;
}

static void time_inserts(const struct figures *figures)
{
	static double times[2][TURNS_MAX];
	unsigned turns = figures->quick ? 4 : TURNS_MAX;
	databuffer *buffers[2];
	for (unsigned kind = 0; kind < 2; kind++) {
		databuffer_options o = options(kind);
		o.partitions = 4;
		buffers[kind] = start(&o);
	}
	for (unsigned turn = 0; turn < turns; turn++)
		for (unsigned kind = 0; kind < 2; kind++)
			times[kind ^ (turn & 1)][turn] = insert_some(buffers[kind ^ (turn & 1)], 18000);
	for (unsigned kind = 0; kind < 2; kind++) {
		print(figures, "one insert", kind, figure_median(times[kind], turns), "ns");
		stop(buffers[kind]);
	}
}

/* --- Batches: as fast as they go -------------------------------------------------------------- */

static double pass_batches(databuffer *buffer, unsigned batches, unsigned size)
{
	static struct item items[1000];
	uint64_t sum = 0;
	for (unsigned i = 0; i < size; i++)
		items[i].words[0] = i;
	atomic_store(&board->sum, 0);
	int64_t begin = figure_now_ns();
	for (unsigned i = 0; i < batches; i++) {
		if (databuffer_insert_array(buffer, items, size, sizeof(items[0])) != 0)
			figure_fail("an insert failed", i);
		sum += (uint64_t)size * (size - 1) / 2;
	}
	sync_flush(buffer);
	double each = (double)(figure_now_ns() - begin) / batches / 1e3;
	figure_expect(atomic_load(&board->sum) == sum, "not all was read", (long long)sum);
	return each;
}

static void time_batches(const struct figures *figures, unsigned size)
{
	static double times[2][TURNS_MAX], more[TURNS_MAX];
	unsigned turns = figures->quick ? 3 : 41, batches = figures->quick ? 200 : 5000;
	char what[64];
	databuffer *buffers[2];
	for (unsigned kind = 0; kind < 2; kind++) {
		databuffer_options o = options(kind);
		o.max_size = size;
		o.max_queued = 4;
		buffers[kind] = start(&o);
	}
	for (unsigned turn = 0; turn < turns; turn++) {
		for (unsigned kind = 0; kind < 2; kind++)
			times[kind][turn] = pass_batches(buffers[kind], batches, size);
		more[turn] = times[1][turn] - times[0][turn];
	}
	snprintf(what, sizeof(what), "batches of %u a second", size);
	for (unsigned kind = 0; kind < 2; kind++) {
		print(figures, what, kind, 1e6 / figure_median(times[kind], turns), "");
		stop(buffers[kind]);
	}
	snprintf(what, sizeof(what), "a batch of %u in a process costs more", size);
	figure_print(figures, what, figure_median(more, turns), "us");
}

/* --- The way to the handler, and back ----------------------------------------------------------- */

static void time_hand_over(const struct figures *figures, int64_t pause_ns, const char *name)
{
	static double there[2][2000], back[2][2000];
	unsigned turns = figures->quick ? 20 : 2000;
	char what[64];
	databuffer *buffers[2];
	for (unsigned kind = 0; kind < 2; kind++) {
		databuffer_options o = options(kind);
		o.max_size = 1;
		buffers[kind] = start(&o);
	}
	for (unsigned turn = 0; turn < turns; turn++) {
		for (unsigned kind = 0; kind < 2; kind++) {
			struct item item = { .words = { turn } };
			figure_sleep_until(figure_now_ns() + pause_ns);
			int64_t begin = figure_now_ns();
			if (databuffer_insert(buffers[kind], &item, sizeof(item)) != 0)
				figure_fail("an insert failed", turn);
			sync_flush(buffers[kind]);
			back[kind][turn] = (double)(figure_now_ns() - begin) / 1e3;
			there[kind][turn] = (double)(atomic_load(&board->begun_ns) - begin) / 1e3;
		}
	}
	for (unsigned kind = 0; kind < 2; kind++) {
		snprintf(what, sizeof(what), "from the insert to the handler, %s, median", name);
		print(figures, what, kind, figure_median(there[kind], turns), "us");
		snprintf(what, sizeof(what), "from the insert to the handler, %s, 99 %%", name);
		print(figures, what, kind, there[kind][turns * 99 / 100], "us");
		snprintf(what, sizeof(what), "and back, %s, median", name);
		print(figures, what, kind, figure_median(back[kind], turns), "us");
		figure_expect(atomic_load(&board->flushed) == 2 * turns, "not all was flushed",
		              (long long)atomic_load(&board->flushed));
		stop(buffers[kind]);
	}
}

/* --- A worker that dies -------------------------------------------------------------------------- */

static void say_nothing(databuffer_log_level level, const char *line, void *meta)
{
	(void)level;
	(void)line;
	(void)meta;
}

static int die_at_first(databuffer_batch *batch, void *meta)
{
	if (databuffer_batch_attempt(batch) == 1)
		_exit(1);
	return flush(batch, meta);
}

static void time_deaths(const struct figures *figures)
{
	static double times[TURNS_MAX];
	unsigned turns = figures->quick ? 3 : 100;
	databuffer_options o = options(1);
	databuffer_partition_info info;
	o.handle_flush = die_at_first;
	o.handle_log = say_nothing;
	o.max_restarts = 10000;
	o.max_size = 1;
	databuffer *buffer = start(&o);
	for (unsigned turn = 0; turn < turns; turn++) {
		int64_t begin = figure_now_ns();
		struct item item = { .words = { turn } };
		databuffer_info(buffer, &info, 1);
		uint64_t died = info.worker_restarts;
		figure_expect(databuffer_insert(buffer, &item, sizeof(item)) == 0, "not inserted", turn);
		sync_flush(buffer);
		databuffer_info(buffer, &info, 1);
		times[turn] = (double)(figure_now_ns() - begin) / 1e3;
		figure_expect(info.worker_restarts == died + 1, "the worker did not die", turn);
	}
	stop(buffer);
	figure_print(figures, "a batch whose worker dies once", figure_median(times, turns), "us");
}

/* --- Memory --------------------------------------------------------------------------------------- */

/* KiB of a process that are its own. */
static double private_kib(int pid)
{
	char path[64], line[256];
	double sum = 0, value;
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	FILE *file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Private_Clean: %lf", &value) == 1 || sscanf(line, "Private_Dirty: %lf", &value) == 1)
			sum += value;
	if (file)
		fclose(file);
	return sum;
}

static int find_child(int of, const char *name)
{
	DIR *proc = opendir("/proc");
	int found = 0;
	for (struct dirent *entry; proc && (entry = readdir(proc)) != NULL;) {
		char path[300], its[64] = "";
		int pid = atoi(entry->d_name), parent = 0;
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		FILE *file = pid > 0 ? fopen(path, "r") : NULL;
		if (file && fscanf(file, "%*d (%63[^)]) %*c %d", its, &parent) == 2 && parent == of &&
		    strcmp(its, name) == 0)
			found = pid;
		if (file)
			fclose(file);
	}
	if (proc)
		closedir(proc);
	return found;
}

static void weigh(const struct figures *figures)
{
	databuffer_options o = options(1);
	databuffer_partition_info info;
	databuffer *buffer = start(&o);
	insert_some(buffer, 5000);
	databuffer_info(buffer, &info, 1);
	figure_print(figures, "memory of the fork server's own", private_kib(info.fork_server_pid), "KiB");
	figure_print(figures, "memory of its spare's own",
	             private_kib(find_child(info.fork_server_pid, "db-spare")), "KiB");
	figure_print(figures, "memory of a worker's own",
	             private_kib(find_child(info.fork_server_pid, "db-worker")), "KiB");
	stop(buffer);
}

int main(int argc, char **argv)
{
	struct figures figures = figures_parse("processes", argc, argv);
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	figure_expect(board != MAP_FAILED, "no memory", 0);
	time_inserts(&figures);
	time_batches(&figures, 100);
	time_batches(&figures, 1000);
	time_hand_over(&figures, 0, "busy");
	time_hand_over(&figures, 1000000, "after a pause");
	time_deaths(&figures);
	weigh(&figures);
	return 0;
}
