/* SPDX-License-Identifier: MIT */
/*
 * sim: lives through one run after the other, each from a seed of its own and in
 * a process of its own, so that a run leaves nothing to the next and a seed
 * replays by itself.
 *
 *      sim [--seed N] [--runs N] [--seconds N] [--steps N] [--twice] [--trace]
 *      sim --faults
 *
 * Without --seed the first seed is drawn. With it, and no bound, that one run is
 * lived through. --twice lives through each run once more, and looks whether it was
 * the same. SIGINT ends it after the run that it is in. The exit status is 0 if no
 * promise was broken.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/actors.h"

#define CPU_SECONDS 100 /* of one run; more is a loop without a scheduling point */

struct wishes {
	uint64_t seed, runs, steps;
	double seconds;
	bool trace, twice;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int unused)
{
	(void)unused;
	interrupted = 1;
}

static double seconds_now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* --- One run --------------------------------------------------------------------- */

/* In the child. All its threads on one core: only one runs at a time. */
static _Noreturn void live(const struct wishes *wishes, uint64_t seed, struct world_tally *tally)
{
	struct rlimit limit = { CPU_SECONDS, CPU_SECONDS };
	cpu_set_t core;
	CPU_ZERO(&core);
	CPU_SET(sched_getcpu(), &core);
	sched_setaffinity(0, sizeof(core), &core);
	setrlimit(RLIMIT_CPU, &limit);
	signal(SIGINT, SIG_IGN);
	world_begin(seed, wishes->trace);
	actors_run();
	*tally = world_tally();
	exit(0);
}

/* Whether all promises were kept. */
static bool run(const struct wishes *wishes, uint64_t seed, struct world_tally *tally)
{
	int status;
	fflush(NULL);
	pid_t child = fork();
	if (child < 0) {
		perror("sim: fork");
		exit(2);
	}
	if (child == 0)
		live(wishes, seed, tally);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		fprintf(stderr, "\nseed %" PRIu64 ": ended by signal %d (%s)\n", seed, WTERMSIG(status),
		        strsignal(WTERMSIG(status)));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool is_same(const struct wishes *wishes, uint64_t seed, struct world_tally *tally)
{
	struct world_tally first = *tally;
	bool good = run(wishes, seed, tally);
	if (good && (first.digest != tally->digest || first.steps != tally->steps)) {
		fprintf(stderr, "\nseed %" PRIu64 " has two lives: %" PRIu64 " steps and %" PRIu64 "\n", seed, first.steps,
		        tally->steps);
		return false;
	}
	return good;
}

/* --- Runs -------------------------------------------------------------------------- */

static int run_all(const struct wishes *wishes, const char *program)
{
	struct world_tally *one = mmap(NULL, sizeof(*one), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct world_tally sum = { 0 };
	double begin = seconds_now();
	uint64_t runs = 0;
	bool good = true;
	if (one == MAP_FAILED) {
		perror("sim: mmap");
		return 2;
	}
	while (good && !interrupted && runs < wishes->runs && sum.steps < wishes->steps &&
	       (runs == 0 || seconds_now() - begin < wishes->seconds)) {
		uint64_t seed = wishes->seed + runs++;
		*one = (struct world_tally){ 0 };
		good = run(wishes, seed, one) && (!wishes->twice || is_same(wishes, seed, one));
		sum.steps += one->steps;
		sum.lived_ns += one->lived_ns / 1000; /* microseconds here: the sum may be centuries */
		if (!good)
			fprintf(stderr, "\nagain: %s --seed %" PRIu64 " [--trace]\n", program, seed);
	}
	printf("%" PRIu64 " runs from seed %" PRIu64 ", %" PRIu64 " steps, %.1f hours of virtual time in %.0f s%s\n", runs,
	       wishes->seed, sum.steps, (double)sum.lived_ns / 3.6e9, seconds_now() - begin,
	       good ? ": every promise was kept" : "");
	printf("the last run's digest is %016" PRIx64 "\n", one->digest);
	return good ? 0 : 1;
}

/* --- The command line ----------------------------------------------------------------- */

static uint64_t any_seed(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return ((uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000) % UINT64_C(1000000000000) * 1000;
}

static int usage(void)
{
	fprintf(stderr, "usage: sim [--seed N] [--runs N] [--seconds N] [--steps N] [--twice] [--trace] | --faults\n");
	return 2;
}

static bool parse(int argc, char **argv, struct wishes *wishes)
{
	bool bounded = false, seeded = false;
	for (int i = 1; i < argc; i++) {
		char *end = "";
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (strcmp(argv[i], "--trace") == 0) {
			wishes->trace = true;
			continue;
		} else if (strcmp(argv[i], "--twice") == 0) {
			wishes->twice = true;
			continue;
		} else if (strcmp(argv[i], "--seed") == 0) {
			wishes->seed = strtoull(value, &end, 0);
			seeded = true;
		} else if (strcmp(argv[i], "--runs") == 0) {
			wishes->runs = strtoull(value, &end, 0);
		} else if (strcmp(argv[i], "--steps") == 0) {
			wishes->steps = strtoull(value, &end, 0);
		} else if (strcmp(argv[i], "--seconds") == 0) {
			wishes->seconds = strtod(value, &end);
		} else {
			return false;
		}
		if (end == value || *end != '\0')
			return false;
		bounded = bounded || strcmp(argv[i], "--seed") != 0;
		i++;
	}
	if (seeded && !bounded)
		wishes->runs = 1;
	return true;
}

/* Once more without what may differ from one process to the next: where memory lies. */
static void settle_addresses(char **argv)
{
	int before = personality(0xffffffff);
	if (before < 0 || (before & ADDR_NO_RANDOMIZE) || personality((unsigned long)before | ADDR_NO_RANDOMIZE) < 0)
		return;
	execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
	struct wishes wishes = {
		.seed = any_seed(), .runs = UINT64_MAX, .steps = UINT64_MAX, .seconds = 1e18
	};
	if (argc == 2 && strcmp(argv[1], "--faults") == 0) {
		plan_print_faults();
		return 0;
	}
	if (!parse(argc, argv, &wishes))
		return usage();
	settle_addresses(argv);
	struct sigaction action = { .sa_handler = on_interrupt };
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return run_all(&wishes, argv[0]);
}
