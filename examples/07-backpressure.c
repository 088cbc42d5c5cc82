/*
 * 07-backpressure.c: what an insert does when the buffer is full.
 *
 * Memory is bounded. While a partition's flush runs, further items gather in the
 * next batch and in up to max_queued more; then inserts wait, up to the timeout
 * of the call or of the buffer, and then fail. An insert that failed was not
 * inserted: the program may drop the item, keep it, or try again.
 */
#define _POSIX_C_SOURCE 200809L

#include <databuffer.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_SIZE 10

/* A slow place to write to: nothing gets through until the gate opens. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t opened;
	int open;
	size_t passed;
};

static void must(int64_t rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, databuffer_strerror((int)rc));
	exit(1);
}

static int pass(databuffer_batch *batch, void *meta)
{
	struct gate *gate = meta;

	pthread_mutex_lock(&gate->lock);
	while (!gate->open)
		pthread_cond_wait(&gate->opened, &gate->lock);
	gate->passed += databuffer_batch_size(batch);
	pthread_mutex_unlock(&gate->lock);
	return 0;
}

static void open_gate(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->open = 1;
	pthread_cond_broadcast(&gate->opened);
	pthread_mutex_unlock(&gate->lock);
}

static void *open_later(void *gate)
{
	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	open_gate(gate);
	return NULL;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(void)
{
	struct gate gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0 };
	databuffer *buf;
	databuffer_options o = databuffer_options_init();
	struct databuffer_stats stats;
	pthread_t opener;
	int item = 0, rc;

	o.max_size = MAX_SIZE;
	o.max_queued = 1;
	o.timeout = 5000; /* ms, for calls that name none */
	o.handle_flush = pass;
	o.flush_meta = &gate;
	must(databuffer_start(&buf, &o), "start");

	/* A timeout of 0: try. One batch in flight, one queued, one open. */
	while ((rc = databuffer_insert_timed(buf, &item, sizeof(item), 0)) == 0)
		item++;
	printf("after %d items: %s\n", item, databuffer_strerror(rc));
	if (rc != DATABUFFER_ETIMEDOUT || item != 3 * MAX_SIZE)
		return 1;

	/* Wait a little, in vain. */
	int64_t begin = now_ms();
	rc = databuffer_insert_timed(buf, &item, sizeof(item), 30);
	int64_t waited = now_ms() - begin;
	printf("after %lld ms more: %s\n", (long long)waited, databuffer_strerror(rc));
	if (rc != DATABUFFER_ETIMEDOUT || waited < 29)
		return 1;

	/* Wait as long as the buffer's timeout says: the gate opens in the meantime. */
	if (pthread_create(&opener, NULL, open_later, &gate) != 0)
		return 1;
	must(databuffer_insert(buf, &item, sizeof(item)), "insert");
	item++;
	pthread_join(opener, NULL);

	must(databuffer_sync_flush(buf, NULL, 0, 5000), "sync_flush");
	must(databuffer_stats(buf, &stats), "stats");
	must(databuffer_stop(buf, 5000), "stop");
	printf("%llu items inserted, %zu flushed; %llu inserts refused, %llu waited\n",
	       (unsigned long long)stats.inserted, gate.passed, (unsigned long long)stats.refused,
	       (unsigned long long)stats.waits);
	return stats.inserted == (uint64_t)item && gate.passed == (size_t)item && stats.refused == 2 &&
	                       stats.waits == 2
	               ? 0
	               : 1;
}
