/*
 * 03-keys-and-order.c: one key, one partition; and what order is kept.
 *
 * Four threads write the events of eight accounts into four partitions. The
 * events of an account carry its key, so that they all go to one partition.
 * What a thread puts into a partition comes out in the order in which it went
 * in, and a partition flushes one batch at a time: so the handler may keep an
 * account's state without a lock, and sees each account's events in order.
 */
#include <databuffer.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 4
#define ACCOUNTS 8 /* two for each thread */
#define EVENTS 5000 /* of each account */

struct event {
	int account;
	int number; /* 0, 1, 2, ... within the account */
};

/* Touched by the account's own partition only. */
struct account {
	int seen;
	int out_of_order;
	unsigned partition;
};

static struct account accounts[ACCOUNTS];

static void must(int64_t rc, const char *what)
{
	if (rc == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, databuffer_strerror((int)rc));
	exit(1);
}

static int apply(databuffer_batch *batch, void *meta)
{
	databuffer_item item;

	(void)meta;
	while (databuffer_batch_next(batch, &item)) {
		const struct event *event = item.data;
		struct account *account = &accounts[event->account];
		if (event->number != account->seen)
			account->out_of_order++;
		account->seen++;
		account->partition = databuffer_batch_partition(batch);
	}
	return 0;
}

struct producer {
	databuffer *buf;
	int first; /* its accounts are first and first + 1 */
};

static void *produce(void *arg)
{
	const struct producer *producer = arg;

	for (int number = 0; number < EVENTS; number++) {
		for (int i = 0; i < 2; i++) {
			struct event event = { .account = producer->first + i, .number = number };
			char name[32];
			int len = snprintf(name, sizeof(name), "account-%d", event.account);
			/* Any number is a key. Text is made into one: */
			uint64_t key = databuffer_hash(name, (size_t)len);
			must(databuffer_insert_keyed(producer->buf, key, &event, sizeof(event)), "insert");
		}
	}
	return NULL;
}

int main(void)
{
	databuffer *buf;
	databuffer_options o = databuffer_options_init();
	pthread_t threads[THREADS];
	struct producer producers[THREADS];

	o.partitions = 4;
	o.max_size = 500;
	o.handle_flush = apply;
	must(databuffer_start(&buf, &o), "start");

	for (int i = 0; i < THREADS; i++) {
		producers[i] = (struct producer){ buf, 2 * i };
		if (pthread_create(&threads[i], NULL, produce, &producers[i]) != 0)
			return 1;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	must(databuffer_stop(buf, 5000), "stop");

	int good = 1;
	for (int i = 0; i < ACCOUNTS; i++) {
		printf("account-%d: %d events from partition %u, %d out of order\n", i, accounts[i].seen,
		       accounts[i].partition, accounts[i].out_of_order);
		good = good && accounts[i].seen == EVENTS && accounts[i].out_of_order == 0;
	}
	return good ? 0 : 1;
}
