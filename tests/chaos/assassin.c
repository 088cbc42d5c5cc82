/* SPDX-License-Identifier: MIT */
/* Picks one of the buffer's processes at random, and one of the ways to harm it. */
#include "chaos/chaos.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>

struct assassin {
	databuffer *buf;
	pthread_t thread;
	_Atomic bool over;
	uint64_t seed;
	unsigned mean_ms;
	struct deeds deeds;
};

/* The processes that there have been, as far as they were seen. Of each the time of its birth is kept, too, since
 * numbers are used again. */
#define SEEN_MOST 65536

struct process {
	int pid, parent;
	char name[16];
	unsigned long long born;
};

static struct process seen[SEEN_MOST];
static unsigned seen_count;

static bool read_process(int pid, struct process *process)
{
	char path[64], text[512] = "";
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t got = read(fd, text, sizeof(text) - 1);
	close(fd);
	char *begin = strchr(text, '('), *end = strrchr(text, ')'), state = 0;
	if (got <= 0 || !begin || !end)
		return false;
	*process = (struct process){ .pid = pid };
	snprintf(process->name, sizeof(process->name), "%.*s", (int)(end - begin - 1), begin + 1);
	return sscanf(end + 2, "%c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
	              &state, &process->parent, &process->born) == 3 &&
	       state != 'Z' && state != 'X';
}

static bool is_same(const struct process *a, const struct process *b)
{
	return a->pid == b->pid && a->born == b->born;
}

static void note(const struct process *process)
{
	for (unsigned i = seen_count > 64 ? seen_count - 64 : 0; i < seen_count; i++)
		if (is_same(&seen[i], process))
			return;
	if (seen_count < SEEN_MOST)
		seen[seen_count++] = *process;
}

bool assassin_saw_all_end(void)
{
	struct process now;
	for (unsigned i = 0; i < seen_count; i++)
		if (read_process(seen[i].pid, &now) && is_same(&now, &seen[i]))
			return false;
	seen_count = 0;
	return true;
}

/* The fork server and its children. */
static unsigned find_victims(databuffer *buf, struct process *victims, unsigned most)
{
	databuffer_partition_info info;
	unsigned count = 0;
	if (databuffer_info(buf, &info, 1) < 0 || info.fork_server_pid == 0)
		return 0;
	DIR *proc = opendir("/proc");
	CHECK(proc);
	for (struct dirent *entry; (entry = readdir(proc)) != NULL && count < most;) {
		int pid = atoi(entry->d_name);
		if (pid <= 0 || !read_process(pid, &victims[count]) || strncmp(victims[count].name, "db-", 3) != 0)
			continue;
		if (pid == info.fork_server_pid || victims[count].parent == info.fork_server_pid)
			note(&victims[count++]);
	}
	closedir(proc);
	return count;
}

static void harm(struct assassin *assassin, const struct process *victim)
{
	static const int fatal[] = { SIGKILL, SIGKILL, SIGKILL, SIGTERM, SIGSEGV, SIGABRT, SIGHUP, SIGSTOP };
	struct deeds *deeds = &assassin->deeds;
	bool server = strcmp(victim->name, "db-forkserver") == 0, spare = strcmp(victim->name, "db-spare") == 0;
	int signal = fatal[dice_below(&assassin->seed, 8)];
	/* These hold all signals back but two, and one that is stopped costs five seconds. */
	if (server || spare)
		signal = dice_below(&assassin->seed, 50) == 0 ? SIGSTOP : SIGKILL;
	/* Who waits for it only notices when it should work, so that a spare stays stopped until its time comes. */
	if (spare && signal == SIGSTOP)
		signal = SIGKILL;
	if (kill(victim->pid, signal) != 0)
		return;
	deeds->stopped += signal == SIGSTOP;
	deeds->servers += server;
	deeds->spares += spare;
	deeds->workers += !server && !spare;
}

/* Mostly workers; of all others one in ten. */
static void strike(struct assassin *assassin)
{
	struct process victims[64];
	unsigned count = find_victims(assassin->buf, victims, 64);
	if (count == 0)
		return;
	const struct process *victim = &victims[dice_below(&assassin->seed, count)];
	if (strcmp(victim->name, "db-worker") == 0 || dice_below(&assassin->seed, 10) == 0)
		harm(assassin, victim);
}

static void *stalk(void *arg)
{
	struct assassin *assassin = arg;
	while (!assassin->over) {
		pause_ms((int64_t)dice_below(&assassin->seed, 2 * assassin->mean_ms + 1));
		strike(assassin);
	}
	return NULL;
}

struct assassin *assassin_start(databuffer *buf, uint64_t seed, unsigned mean_ms)
{
	struct assassin *assassin = calloc(1, sizeof(*assassin));
	CHECK(assassin);
	assassin->buf = buf;
	assassin->seed = seed;
	assassin->mean_ms = mean_ms;
	assassin->thread = thread_run(stalk, assassin);
	return assassin;
}

void assassin_stop(struct assassin *assassin, struct deeds *deeds)
{
	assassin->over = true;
	thread_join(assassin->thread);
	deeds->workers += assassin->deeds.workers;
	deeds->servers += assassin->deeds.servers;
	deeds->spares += assassin->deeds.spares;
	deeds->stopped += assassin->deeds.stopped;
	free(assassin);
}
