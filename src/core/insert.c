/* SPDX-License-Identifier: MIT */
/* Inserting: one item or many, checked, told of, and by the shortest way there is. */
#include "core/buffer.h"

#include "base/hash.h"
#include "core/debug.h"
#include "core/insert.h"
#include "core/log.h"
#include "core/options.h"
#include "core/producer.h"
#include "core/telemetry.h"

#define DEFAULT_TIMEOUT (-1)

/* --- One insert of one or many, with its events ---------------------------------------------- */

/* What is inserted: n items, or n of item_size from data; by key or round-robin. */
struct insertion {
	const databuffer_item *items;
	const char *data;
	size_t n;
	size_t item_size;
	bool keyed;
	uint64_t key;
	struct insert_deadline deadline;
	unsigned partition; /* out: where it went, or was tried last */
};

static size_t length(const struct insertion *insertion, size_t i)
{
	return insertion->items ? insertion->items[i].len : insertion->item_size;
}

/* What can never be inserted is refused before any of it is. */
static int check(const struct databuffer *buf, const struct insertion *insertion)
{
	size_t max = (size_t)buf->options.max_bytes;
	if (insertion->n == 0)
		return 0;
	if (insertion->items) {
		for (size_t i = 0; i < insertion->n; i++) {
			if (insertion->items[i].len > max)
				return DATABUFFER_EMSGSIZE;
			if (!insertion->items[i].data && insertion->items[i].len > 0)
				return DATABUFFER_EINVAL;
		}
		return 0;
	}
	if (insertion->item_size > max)
		return DATABUFFER_EMSGSIZE;
	return insertion->data || insertion->item_size == 0 ? 0 : DATABUFFER_EINVAL;
}

/* As many items from `first` on as fit into any batch: the flush size may be
 * drawn larger than max_size, never smaller. */
static struct lease_request next_piece(const struct databuffer *buf, const struct insertion *insertion, size_t first)
{
	struct lease_request request = { .item_size = (uint32_t)insertion->item_size };
	size_t most = insertion->n - first;
	size_t batch = (size_t)atomic_load_explicit(&buf->max_size, memory_order_relaxed);
	if (most > batch)
		most = batch;
	uint64_t max = (uint64_t)buf->options.max_bytes;
	while (request.n < most && request.payload + length(insertion, first + request.n) <= max)
		request.payload += length(insertion, first + request.n++);
	if (insertion->items)
		request.items = insertion->items + first;
	return request;
}

/* The lane that a key asks for; NULL for any. */
static struct lane *keyed_lane(struct producer *producer, const struct insertion *insertion)
{
	if (!insertion->keyed)
		return NULL;
	return &producer->lanes[hash_to_range(hash_mix(insertion->key), producer->lane_count)];
}

/* Where round-robin looks last. */
static struct lane *last_lane(struct producer *producer)
{
	size_t first = (size_t)(producer_cursor(producer) - producer->lanes);
	return &producer->lanes[(first + producer->lane_count - 1) % producer->lane_count];
}

/* Returns how many items went in; *rc says what stopped the others. */
static size_t insert_pieces(struct databuffer *buf, struct insertion *insertion, int *rc)
{
	struct producer *producer = producer_get(buf);
	if (!producer) {
		bool running = atomic_load_explicit(&buf->state, memory_order_acquire) == BUFFER_RUNNING;
		*rc = running ? DATABUFFER_ENOMEM : DATABUFFER_ESTOPPED;
		return 0;
	}
	struct lane *lane = keyed_lane(producer, insertion);
	size_t done = 0;
	while (done < insertion->n) {
		struct lease_request request = next_piece(buf, insertion, done);
		const char *data = insertion->data ? insertion->data + done * insertion->item_size : "";
		/* The first piece chooses the partition, the others follow it. */
		*rc = insert_waiting(producer, &lane, &request, data, NULL, &insertion->deadline);
		if (*rc == INSERT_OUTGROWN)
			continue;
		if (*rc != 0)
			break;
		done += request.n;
	}
	insertion->partition = (lane ? lane : last_lane(producer))->partition->number;
	return done;
}

void insert_emit(const struct databuffer *buf, databuffer_event_kind kind, unsigned partition, size_t size,
                 size_t bytes, int64_t duration_ns, int status)
{
	if (!telemetry_wants(kind))
		return;
	databuffer_event event = {
		.kind = kind,
		.buffer = buf->options.name ? buf->options.name : "",
		.partition = partition,
		.size = size,
		.bytes = bytes,
		.duration_ns = duration_ns,
		.system_time_ns = port_system_time_ns(),
		.status = status,
	};
	telemetry_emit(&event);
}

static void emit(const struct databuffer *buf, const struct insertion *insertion, databuffer_event_kind kind,
                 int64_t duration_ns, int status)
{
	size_t bytes = 0;
	for (size_t i = 0; telemetry_wants(kind) && i < insertion->n; i++)
		bytes += length(insertion, i);
	insert_emit(buf, kind, insertion->partition, insertion->n, bytes, duration_ns, status);
}

/* Where the insertion will be tried first. */
static unsigned first_partition(struct databuffer *buf, const struct insertion *insertion)
{
	struct producer *producer = producer_get(buf);
	if (!producer)
		return 0;
	struct lane *lane = keyed_lane(producer, insertion);
	return (lane ? lane : producer_cursor(producer))->partition->number;
}

static int64_t insert_inside(struct databuffer *buf, struct insertion *insertion)
{
	bool timed = telemetry_wants(DATABUFFER_INSERT_STOP | DATABUFFER_INSERT_EXCEPTION);
	int64_t begin = timed ? port_now_ns() : 0;
	if (telemetry_wants(DATABUFFER_INSERT_START)) {
		insertion->partition = first_partition(buf, insertion);
		emit(buf, insertion, DATABUFFER_INSERT_START, 0, 0);
	}

	size_t done = 0;
	int rc = check(buf, insertion);
	if (rc == 0)
		done = insert_pieces(buf, insertion, &rc);

	int64_t duration = timed ? port_now_ns() - begin : 0;
	if (rc == 0)
		emit(buf, insertion, DATABUFFER_INSERT_STOP, duration, 0);
	else
		emit(buf, insertion, DATABUFFER_INSERT_EXCEPTION, duration, rc);
	return rc != 0 && done > 0 ? (int64_t)done : rc;
}

static int64_t insert_slow(struct databuffer *buf, struct insertion *insertion)
{
	int rc = buffer_enter(buf);
	if (rc != 0)
		return rc;
	int64_t answer = insert_inside(buf, insertion);
	buffer_leave(buf);
	return answer;
}

/* --- The fast path ------------------------------------------------------------------------------ */

#define ALWAYS_INLINE __attribute__((always_inline)) inline
#define COLD          __attribute__((noinline, cold))

/* A call of n items was the last that a lane's lease had room for. If they have
 * not filled the batch, more such calls are likely to come. */
static COLD int lease_used_up(struct databuffer *buf, struct lane *lane, uint32_t n)
{
	STEP("insert: lease used up");
	if (buffer_enter(buf) != 0)
		return 0;
	struct partition *partition = lane->partition;
	pthread_mutex_lock(&partition->lock);
	pressure_limit(partition);
	if (partition_renew(partition, lane, n)) {
		pressure_count(partition);
		pthread_mutex_unlock(&partition->lock);
	} else {
		buffer_unlock(partition, partition_filled(partition, buffer_now_ns(buf)));
	}
	buffer_leave(buf);
	return 0;
}

static inline bool put_fast(struct databuffer *buf, struct lane *lane, const void *data, size_t len)
{
	enum lane_put put = lane_put(lane, data, len);
	if (put == LANE_EXHAUSTED)
		lease_used_up(buf, lane, 1);
	return put != LANE_REFUSED;
}

/* The same for many: also what put_fast's callers would do one by one. */
static inline bool array_fast(struct databuffer *buf, struct lane *lane, const void *base, uint32_t n, uint32_t size)
{
	enum lane_put put = lane_put_array(lane, base, n, size);
	if (put == LANE_EXHAUSTED)
		lease_used_up(buf, lane, n);
	return put != LANE_REFUSED;
}

static ALWAYS_INLINE bool may_be_fast(const struct databuffer *buf, const void *data)
{
	return producer_use(buf) && __builtin_expect(data && !telemetry_wants(INSERT_EVENTS), 1);
}

static COLD int insert_one_slow(struct databuffer *buf, const void *data, size_t len, int64_t timeout_ms)
{
	struct insertion insertion = {
		.data = data, .n = 1, .item_size = len, .deadline = { .timeout_ms = timeout_ms }
	};
	return (int)insert_slow(buf, &insertion);
}

/* Whatever the lane and the length. */
static __attribute__((noinline)) int insert_any(struct databuffer *buf, const void *data, size_t len,
                                                int64_t timeout_ms)
{
	if (may_be_fast(buf, data)) {
		struct lane *lane = producer_recent.cursor;
		producer_recent.cursor = lane->next;
		if (put_fast(buf, lane, data, len))
			return 0;
		producer_recent.cursor = lane;
	}
	return insert_one_slow(buf, data, len, timeout_ms);
}

/* Whether there can be an item: not at NULL, and not so long that it would end
 * beyond all memory. So no length that is asked for is the one that lane->quick
 * has when there is none. */
static ALWAYS_INLINE bool can_be(const void *data, size_t len)
{
	uintptr_t last;
	return !__builtin_add_overflow((uintptr_t)data - 1, len, &last);
}

/* What most inserts are. All that it calls is in its place, so that it needs no
 * stack; anything else is left to others. */
static ALWAYS_INLINE int insert_one(struct databuffer *buf, const void *data, size_t len, int64_t timeout_ms)
{
	/* Whatever is not at hand insert_any finds. */
	if (__builtin_expect(producer_recent.buf == buf && can_be(data, len) && !telemetry_wants(INSERT_EVENTS), 1)) {
		struct lane *lane = producer_recent.cursor;
		if (__builtin_expect(lane->quick == len, 1)) {
			producer_recent.cursor = lane->next;
			enum lane_put put = lane_put_quick(lane, data, len);
			if (__builtin_expect(put == LANE_STORED, 1))
				return 0;
			if (put == LANE_EXHAUSTED)
				return lease_used_up(buf, lane, 1);
			producer_recent.cursor = lane;
		}
	}
	return insert_any(buf, data, len, timeout_ms);
}

int databuffer_insert(databuffer *buf, const void *data, size_t len)
{
	return insert_one(buf, data, len, DEFAULT_TIMEOUT);
}

int databuffer_insert_timed(databuffer *buf, const void *data, size_t len, int64_t timeout_ms)
{
	return insert_one(buf, data, len, timeout_ms);
}

int databuffer_insert_keyed_timed(databuffer *buf, uint64_t key, const void *data, size_t len, int64_t timeout_ms)
{
	if (may_be_fast(buf, data)) {
		struct producer *producer = producer_recent.producer;
		struct lane *lane = &producer->lanes[hash_to_range(hash_mix(key), producer->lane_count)];
		if (put_fast(buf, lane, data, len))
			return 0;
	}
	struct insertion insertion = {
		.data = data, .n = 1, .item_size = len, .keyed = true, .key = key, .deadline = { .timeout_ms = timeout_ms }
	};
	return (int)insert_slow(buf, &insertion);
}

int databuffer_insert_keyed(databuffer *buf, uint64_t key, const void *data, size_t len)
{
	return databuffer_insert_keyed_timed(buf, key, data, len, DEFAULT_TIMEOUT);
}

/* Whether a lane may be asked: it takes what it is given at its word. */
static bool are_plain(const struct databuffer *buf, const databuffer_item *items, size_t n)
{
	size_t max = (size_t)buf->options.max_bytes;
	for (size_t i = 0; i < n; i++)
		if (!items[i].data || items[i].len > max)
			return false;
	return true;
}

int64_t databuffer_insert_batch_timed(databuffer *buf, const databuffer_item *items, size_t n, int64_t timeout_ms)
{
	if (may_be_fast(buf, items) && n - 1 < UINT32_MAX / 2 && are_plain(buf, items, n)) {
		struct lane *lane = producer_recent.cursor;
		producer_recent.cursor = lane->next;
		enum lane_put put = lane_put_items(lane, items, (uint32_t)n);
		if (put == LANE_EXHAUSTED)
			lease_used_up(buf, lane, (uint32_t)n);
		if (put != LANE_REFUSED)
			return 0;
		producer_recent.cursor = lane;
	}
	if (!buf || (!items && n > 0))
		return DATABUFFER_EINVAL;
	struct insertion insertion = { .items = items, .n = n, .deadline = { .timeout_ms = timeout_ms } };
	return insert_slow(buf, &insertion);
}

int64_t databuffer_insert_batch(databuffer *buf, const databuffer_item *items, size_t n)
{
	return databuffer_insert_batch_timed(buf, items, n, DEFAULT_TIMEOUT);
}

int64_t databuffer_insert_array_timed(databuffer *buf, const void *base, size_t n, size_t item_size,
                                      int64_t timeout_ms)
{
	if (may_be_fast(buf, base) && n - 1 < UINT32_MAX / 2 && item_size <= UINT32_MAX) {
		struct lane *lane = producer_recent.cursor;
		producer_recent.cursor = lane->next;
		if (array_fast(buf, lane, base, (uint32_t)n, (uint32_t)item_size))
			return 0;
		producer_recent.cursor = lane;
	}
	if (!buf || (!base && n > 0 && item_size > 0))
		return DATABUFFER_EINVAL;
	struct insertion insertion = {
		.data = base, .n = n, .item_size = item_size, .deadline = { .timeout_ms = timeout_ms }
	};
	return insert_slow(buf, &insertion);
}

int64_t databuffer_insert_array(databuffer *buf, const void *base, size_t n, size_t item_size)
{
	return databuffer_insert_array_timed(buf, base, n, item_size, DEFAULT_TIMEOUT);
}
