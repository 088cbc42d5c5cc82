/* SPDX-License-Identifier: MIT */
/* mutex_buffer: a mutex and two arrays, in 4 partitions (mutex_buffer.h). Written here. */
#include "peers/mutex_buffer.h"

#define PEER_NAME  "mutex_buffer"
#define PEER_ABOUT "a mutex and two arrays, 4 partitions"
#define PEER_CAN   BENCH_BULK

static size_t peer_take(struct queue *queue, struct bench *bench)
{
	size_t taken = 0;
	for (unsigned i = 0; i < PARTITIONS; i++) {
		struct bench_check *check = bench_check_at(bench, i);
		unsigned n = swap_arrays(&queue->partitions[i]);
		const unsigned char *records = queue->partitions[i].taken;
		for (unsigned k = 0; k < n; k++)
			bench_look(check, records + (size_t)k * SIZE, SIZE);
		taken += n;
	}
	return taken;
}

#include "harness/drive.h"
