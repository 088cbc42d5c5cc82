/* SPDX-License-Identifier: MIT */
/*
 * Many threads at once: whatever they do beside each other, every record that was accepted reaches the
 * handler exactly once, whole, and in its producer's order within each partition; no batch is larger than
 * it may be; and the counters balance whenever somebody looks.
 *
 * A record says who wrote it and as which of theirs, so the handler can keep the account: one bit for each
 * number of each producer, and for each partition and producer the number seen last.
 */
#include "api/support.h"

#define PRODUCERS  8
#define PARTITIONS 4
#define ONLOOKERS  2

/* --- The account ------------------------------------------------------------------------------ */

struct account {
	_Atomic uint64_t *bits;
	uint64_t room; /* numbers below this */
};

static void account_init(struct account *account, uint64_t room)
{
	account->bits = calloc(room / 64 + 1, sizeof(*account->bits));
	account->room = room;
	CHECK(account->bits);
}

/* Number n has come, and for the first time. */
static void account_take(struct account *account, uint64_t n)
{
	CHECK(n < account->room);
	uint64_t bit = UINT64_C(1) << (n % 64);
	uint64_t before = atomic_fetch_or_explicit(&account->bits[n / 64], bit, memory_order_relaxed);
	if (before & bit)
		fprintf(stderr, "record %" PRIu64 " has come twice\n", n);
	CHECK(!(before & bit));
}

/* Numbers 0 to n - 1 have come, and no other. */
static void account_check(struct account *account, uint64_t n)
{
	CHECK(n <= account->room);
	for (uint64_t i = 0; i < account->room; i++) {
		bool has_come = atomic_load(&account->bits[i / 64]) >> (i % 64) & 1;
		if (has_come != (i < n))
			fail_msg("record %" PRIu64 " of %" PRIu64 " %s", i, n,
			         has_come ? "came and was never accepted" : "is lost");
	}
	free(account->bits);
}

/* --- Looking on ------------------------------------------------------------------------------- */

struct watch {
	databuffer *buf;
	const databuffer_options *options;
	uint64_t seed;
	int (*visit)(const databuffer_item *item, unsigned partition, void *ctx);
	_Atomic bool ended;
	_Atomic uint64_t samples, shown;
};

/* What one dump has shown. Each partition comes as it was at one moment, so it is in order. */
struct shown {
	struct watch *watch;
	uint64_t last[PARTITIONS][PRODUCERS];
	uint64_t count[PARTITIONS];
};

static uint64_t largest(const databuffer_options *o)
{
	return (uint64_t)(o->max_size + o->max_size_jitter);
}

/* In batches, by a partition. */
static uint64_t most_batches(const databuffer_options *o)
{
	return (uint64_t)(1 + o->max_in_flight + o->max_queued);
}

static uint64_t most_held(const databuffer_options *o)
{
	return most_batches(o) * largest(o);
}

static void sample_stats(struct watch *watch, databuffer_stats_t *last)
{
	databuffer_stats_t s = stats_of(watch->buf); /* checks the balance */
	CHECK(s.dead == 0 && s.dropped == 0 && s.left == 0 && s.rejects == 0 && s.timeouts == 0);
	CHECK(s.held <= PARTITIONS * most_held(watch->options));
	CHECK(s.inserted >= last->inserted && s.flushed >= last->flushed);
	CHECK(s.flushed_bytes >= last->flushed_bytes && s.batches >= last->batches);
	CHECK(s.attempts >= s.batches && s.attempts >= last->attempts && s.waits >= last->waits);
	CHECK(s.flushed <= s.batches * largest(watch->options));
	*last = s;
}

static void sample_info(struct watch *watch)
{
	const databuffer_options *o = watch->options;
	databuffer_partition_info infos[PARTITIONS];
	CHECK(databuffer_info(watch->buf, infos, PARTITIONS) == PARTITIONS);
	for (unsigned i = 0; i < PARTITIONS; i++) {
		CHECK(infos[i].partition == i);
		CHECK(infos[i].size <= most_held(o));
		CHECK(infos[i].bytes <= most_batches(o) * (uint64_t)o->max_bytes);
		CHECK(infos[i].flush_size >= (size_t)o->max_size);
		CHECK(infos[i].flush_size <= largest(o));
		CHECK(infos[i].in_flight <= 1 && infos[i].stuck == 0);
	}
}

static void *look_on(void *arg)
{
	struct watch *watch = arg;
	uint64_t seed = atomic_fetch_add(&watch->samples, 1) ^ watch->seed;
	databuffer_stats_t last = { 0 };
	databuffer_result results[PARTITIONS];
	struct shown *shown = malloc(sizeof(*shown));
	CHECK(shown);
	while (!atomic_load(&watch->ended)) {
		int rc;
		switch (dice_below(&seed, 10)) {
		case 0:
			CHECK(databuffer_flush(watch->buf) == 0);
			break;
		case 1:
			rc = databuffer_sync_flush(watch->buf, results, PARTITIONS,
			                           (int64_t)dice_below(&seed, 50));
			CHECK(rc == 0 || rc == DATABUFFER_ETIMEDOUT);
			for (unsigned i = 0; rc == 0 && i < PARTITIONS; i++)
				CHECK(results[i].partition == i && results[i].status == 0);
			break;
		case 2:
			memset(shown, 0, sizeof(*shown));
			shown->watch = watch;
			CHECK(databuffer_dump(watch->buf, watch->visit, shown) == 0);
			for (unsigned i = 0; i < PARTITIONS; i++) {
				CHECK(shown->count[i] <= most_held(watch->options));
				atomic_fetch_add(&watch->shown, shown->count[i]);
			}
			break;
		case 3:
			CHECK(databuffer_size(watch->buf) <= PARTITIONS * most_held(watch->options));
			break;
		case 4:
			sample_info(watch);
			break;
		case 5:
			pause_ms(1);
			break;
		default:
			sample_stats(watch, &last);
			atomic_fetch_add(&watch->samples, 1);
			break;
		}
	}
	free(shown);
	return NULL;
}

/* --- Ten million records of 64 bytes ---------------------------------------------------------- */

struct record {
	uint64_t producer, number, fill[6];
};

static uint64_t fill_of(uint64_t producer, uint64_t number, unsigned i)
{
	return (number * 6 + i + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ producer;
}

static void check_record(const databuffer_item *item, struct record *record)
{
	CHECK(item->len == sizeof(*record) && (uintptr_t)item->data % 16 == 0);
	memcpy(record, item->data, sizeof(*record));
	CHECK(record->producer < PRODUCERS);
	for (unsigned i = 0; i < 6; i++)
		CHECK(record->fill[i] == fill_of(record->producer, record->number, i));
}

struct crowd {
	databuffer *buf;
	int64_t max_size;
	struct account accounts[PRODUCERS];
	uint64_t last[PARTITIONS][PRODUCERS]; /* 0: none yet; else the number + 1 */
	uint64_t each;
	_Atomic unsigned producers, inside[PARTITIONS];
	_Atomic uint64_t batches[DATABUFFER_TRIGGER_COUNT];
};

static int take_records(databuffer_batch *batch, void *meta)
{
	struct crowd *crowd = meta;
	unsigned partition = databuffer_batch_partition(batch);
	size_t size = databuffer_batch_size(batch), walked = 0;
	databuffer_trigger trigger = databuffer_batch_trigger(batch);
	databuffer_item item;
	struct record record;
	CHECK(atomic_fetch_add(&crowd->inside[partition], 1) == 0); /* one flight of a partition at a time */
	CHECK(size >= 1 && size <= (size_t)crowd->max_size);
	CHECK(databuffer_batch_bytes(batch) == size * sizeof(record));
	CHECK(databuffer_batch_attempt(batch) == 1);
	/* Nothing but single records: one that is cut by size is full. */
	CHECK(trigger != DATABUFFER_TRIGGER_SIZE || size == (size_t)crowd->max_size);
	atomic_fetch_add(&crowd->batches[trigger], 1);
	for (; databuffer_batch_next(batch, &item); walked++) {
		check_record(&item, &record);
		account_take(&crowd->accounts[record.producer], record.number);
		CHECK(record.number >= crowd->last[partition][record.producer]);
		crowd->last[partition][record.producer] = record.number + 1;
	}
	CHECK(walked == size);
	atomic_fetch_sub(&crowd->inside[partition], 1);
	return 0;
}

static int visit_record(const databuffer_item *item, unsigned partition, void *ctx)
{
	struct shown *shown = ctx;
	struct record record;
	check_record(item, &record);
	CHECK(partition < PARTITIONS && record.number >= shown->last[partition][record.producer]);
	shown->last[partition][record.producer] = record.number + 1;
	shown->count[partition]++;
	return 0;
}

static void *produce_records(void *arg)
{
	struct crowd *crowd = arg;
	struct record record = { .producer = atomic_fetch_add(&crowd->producers, 1) };
	for (; record.number < crowd->each; record.number++) {
		for (unsigned i = 0; i < 6; i++)
			record.fill[i] = fill_of(record.producer, record.number, i);
		CHECK(databuffer_insert_timed(crowd->buf, &record, sizeof(record), PATIENCE_MS) == 0);
	}
	return NULL;
}

static void ten_million_records_from_eight_threads_arrive_exactly_once_and_in_order(void **state)
{
	(void)state;
	struct sink *log = sink_new();
	struct crowd *crowd = calloc(1, sizeof(*crowd));
	databuffer_options o = sink_options(log);
	o.partitions = PARTITIONS;
	o.max_size = crowd->max_size = 1000;
	o.max_queued = 1;
	o.flush_interval = 1;
	o.flush_jitter = 2;
	o.handle_flush = take_records;
	o.flush_meta = crowd;
	o.handle_log = NULL; /* there is nothing to tell */
	crowd->each = scaled(10000000) / PRODUCERS + 1;
	for (unsigned i = 0; i < PRODUCERS; i++)
		account_init(&crowd->accounts[i], crowd->each);
	crowd->buf = start(&o);

	struct watch watch = { .buf = crowd->buf, .options = &o, .seed = test_seed(), .visit = visit_record };
	pthread_t producers[PRODUCERS], onlookers[ONLOOKERS];
	for (unsigned i = 0; i < ONLOOKERS; i++)
		onlookers[i] = thread_run(look_on, &watch);
	for (unsigned i = 0; i < PRODUCERS; i++)
		producers[i] = thread_run(produce_records, crowd);
	for (unsigned i = 0; i < PRODUCERS; i++)
		thread_join(producers[i]);
	WAIT_FOR(atomic_load(&watch.samples) > ONLOOKERS + 10);
	atomic_store(&watch.ended, true);
	for (unsigned i = 0; i < ONLOOKERS; i++)
		thread_join(onlookers[i]);

	flush_all(crowd->buf);
	databuffer_stats_t s = stats_of(crowd->buf);
	assert_int_equal(s.inserted, PRODUCERS * crowd->each);
	assert_int_equal(s.flushed, PRODUCERS * crowd->each);
	assert_int_equal(s.flushed_bytes, PRODUCERS * crowd->each * sizeof(struct record));
	assert_int_equal(s.held, 0);
	assert_int_equal(s.held_bytes, 0);
	uint64_t batches = 0;
	for (unsigned i = 0; i < DATABUFFER_TRIGGER_COUNT; i++)
		batches += atomic_load(&crowd->batches[i]);
	assert_int_equal(s.batches, batches);
	assert_int_equal(s.attempts, batches);
	assert_int_equal(s.flush.count, batches);
	print_message("%" PRIu64 " records in %" PRIu64 " batches (size %" PRIu64 ", interval %" PRIu64
	              ", flush %" PRIu64 "), %" PRIu64 " samples, %" PRIu64 " records dumped\n",
	              s.flushed, batches, atomic_load(&crowd->batches[DATABUFFER_TRIGGER_SIZE]),
	              atomic_load(&crowd->batches[DATABUFFER_TRIGGER_INTERVAL]),
	              atomic_load(&crowd->batches[DATABUFFER_TRIGGER_FLUSH]), atomic_load(&watch.samples),
	              atomic_load(&watch.shown));
	stop_clean(crowd->buf);
	for (unsigned i = 0; i < PRODUCERS; i++)
		account_check(&crowd->accounts[i], crowd->each);
	free(crowd);
	sink_free(log);
}

/* --- All ways to insert, any length, a sink that fails now and then --------------------------- */

#define LONGEST   2000
#define MANY_SIZE 200
#define MANY_MORE 50 /* jitter */

/* How each item begins that is long enough to. `i` of `n` stand together in one flush. */
struct head {
	uint64_t number;
	uint32_t len;
	uint16_t n, i;
	uint8_t producer;
	uint8_t ordered; /* 0: of a slot that others may have overtaken; counted apart */
	uint8_t pad[6];
};

struct medley {
	databuffer *buf;
	databuffer_options options;
	uint64_t seed, steps;
	struct account ordered[PRODUCERS], late[PRODUCERS];
	uint64_t accepted[PRODUCERS], accepted_late[PRODUCERS];
	/* Of each length that is too short for a head: accepted, less arrived. */
	_Atomic int64_t brief[sizeof(struct head)];
	_Atomic uint64_t accepted_bytes, accepted_brief, refused, cut_short;
	_Atomic unsigned producers;

	/* Of each partition's handler. */
	struct flight {
		uint64_t seed, last[PRODUCERS];
		bool failed;
		unsigned attempt;
		size_t size, bytes;
		const void *first;
	} flights[PARTITIONS];
	_Atomic uint64_t failures, lines;
};

static void count_line(databuffer_log_level level, const char *line, void *meta)
{
	struct medley *medley = meta;
	CHECK(level == DATABUFFER_LOG_WARNING && strstr(line, "failed"));
	atomic_fetch_add(&medley->lines, 1);
}

static unsigned char body_byte(const struct head *head, size_t i)
{
	return (unsigned char)(head->number * 7 + head->producer * 31 + i);
}

static void write_item(unsigned char *to, const struct head *head)
{
	memcpy(to, head, sizeof(*head));
	for (size_t i = sizeof(*head); i < head->len; i++)
		to[i] = body_byte(head, i);
}

static unsigned char brief_byte(size_t len)
{
	return (unsigned char)(0xa0 + len);
}

/* False: too short for a head. */
static bool check_item(const databuffer_item *item, struct head *head)
{
	const unsigned char *bytes = item->data;
	CHECK(item->len <= LONGEST);
	if (item->len < sizeof(*head)) {
		for (size_t i = 0; i < item->len; i++)
			CHECK(bytes[i] == brief_byte(item->len));
		return false;
	}
	memcpy(head, bytes, sizeof(*head));
	CHECK(head->len == item->len && head->producer < PRODUCERS && head->i < head->n);
	for (size_t i = sizeof(*head); i < item->len; i++)
		CHECK(bytes[i] == body_byte(head, i));
	return true;
}

/* Books an item; *together is how many more must follow on what stands together. */
static void take_item(struct medley *medley, struct flight *flight, const databuffer_item *item,
                      struct head *before, unsigned *together)
{
	struct head head;
	if (!check_item(item, &head)) {
		CHECK(*together == 0);
		atomic_fetch_sub(&medley->brief[item->len], 1);
		return;
	}
	if (*together > 0)
		CHECK(head.producer == before->producer && head.number == before->number + 1 &&
		      head.n == before->n && head.i == before->i + 1);
	else
		CHECK(head.i == 0);
	*together = head.n - 1u - head.i;
	*before = head;
	if (!head.ordered) {
		account_take(&medley->late[head.producer], head.number);
		return;
	}
	account_take(&medley->ordered[head.producer], head.number);
	CHECK(head.number >= flight->last[head.producer]);
	flight->last[head.producer] = head.number + 1;
}

static int take_medley(databuffer_batch *batch, void *meta)
{
	struct medley *medley = meta;
	const databuffer_options *o = &medley->options;
	struct flight *flight = &medley->flights[databuffer_batch_partition(batch)];
	size_t size = databuffer_batch_size(batch), bytes = databuffer_batch_bytes(batch);
	databuffer_item first = databuffer_batch_at(batch, 0);
	CHECK(size >= 1 && size <= largest(o));
	CHECK(bytes <= (size_t)o->max_bytes);
	/* What has failed comes again, and nothing of its partition before it. */
	CHECK(databuffer_batch_attempt(batch) == (flight->failed ? flight->attempt + 1 : 1));
	if (flight->failed)
		CHECK(size == flight->size && bytes == flight->bytes && first.data == flight->first);
	flight->failed = dice_below(&flight->seed, 20) == 0;
	flight->attempt = databuffer_batch_attempt(batch);
	flight->size = size;
	flight->bytes = bytes;
	flight->first = first.data;
	if (flight->failed) {
		atomic_fetch_add(&medley->failures, 1);
		return dice_below(&flight->seed, 2) ? DATABUFFER_RETRY : -EIO;
	}

	databuffer_item item;
	struct head before = { 0 };
	unsigned together = 0;
	size_t walked = 0, sum = 0;
	for (; databuffer_batch_next(batch, &item); walked++) {
		take_item(medley, flight, &item, &before, &together);
		sum += item.len;
	}
	CHECK(together == 0 && walked == size && sum == bytes);
	return 0;
}

static int visit_medley(const databuffer_item *item, unsigned partition, void *ctx)
{
	struct shown *shown = ctx;
	struct head head;
	shown->count[partition]++;
	if (!check_item(item, &head) || !head.ordered)
		return 0;
	CHECK(head.number >= shown->last[partition][head.producer]);
	shown->last[partition][head.producer] = head.number + 1;
	return 0;
}

struct player {
	struct medley *medley;
	uint64_t seed, number, late;
	uint8_t producer;
	unsigned held;
	databuffer_slot slots[2];
	unsigned char *memory;
	size_t room;
};

static struct head next_head(struct player *player, size_t len)
{
	return (struct head){ .number = player->number, .len = (uint32_t)len, .n = 1,
		              .producer = player->producer, .ordered = 1 };
}

static void accept_items(struct player *player, uint64_t n, size_t bytes)
{
	player->number += n;
	atomic_fetch_add(&player->medley->accepted_bytes, bytes);
}

/* One that is refused was not inserted: its number goes to the next, and would come twice if it had been. */
static void play_one(struct player *player)
{
	databuffer *buf = player->medley->buf;
	size_t len = dice_below(&player->seed, LONGEST + 1);
	int64_t timeout = dice_below(&player->seed, 4) ? PATIENCE_MS : 0;
	bool brief = len < sizeof(struct head);
	if (brief) {
		memset(player->memory, brief_byte(len), len);
	} else {
		struct head head = next_head(player, len);
		write_item(player->memory, &head);
	}
	const void *data = len == 0 && dice_below(&player->seed, 2) ? NULL : player->memory;
	/* Booked before it can arrive. */
	if (brief)
		atomic_fetch_add(&player->medley->brief[len], 1);
	uint64_t key = dice_below(&player->seed, 100);
	int rc = dice_below(&player->seed, 2) ? databuffer_insert_timed(buf, data, len, timeout) :
	                                        databuffer_insert_keyed_timed(buf, key, data, len, timeout);
	CHECK(rc == 0 || (rc == DATABUFFER_ETIMEDOUT && timeout == 0));
	if (rc != 0) {
		atomic_fetch_add(&player->medley->refused, 1);
		if (brief)
			atomic_fetch_sub(&player->medley->brief[len], 1);
		return;
	}
	if (brief)
		atomic_fetch_add(&player->medley->accepted_brief, 1);
	accept_items(player, brief ? 0 : 1, len);
}

/* Items side by side in the player's memory. */
static void write_many(struct player *player, size_t n, bool together, const size_t *lens)
{
	unsigned char *to = player->memory;
	for (size_t i = 0; i < n; i++) {
		struct head head = next_head(player, lens[i]);
		head.number += i;
		if (together) {
			head.n = (uint16_t)n;
			head.i = (uint16_t)i;
		}
		write_item(to, &head);
		to += lens[i];
	}
}

#define MOST_AT_ONCE (3 * MANY_SIZE)

/* As one batch if it is no more than one, else in several; then it may be cut short. */
static void play_many(struct player *player, bool array)
{
	databuffer *buf = player->medley->buf;
	bool large = dice_below(&player->seed, 10) == 0;
	size_t n = large ? MANY_SIZE + 1 + dice_below(&player->seed, MOST_AT_ONCE - MANY_SIZE)
	                 : 1 + dice_below(&player->seed, 30);
	size_t longest = large ? 100 : LONGEST, bytes = 0, lens[MOST_AT_ONCE];
	databuffer_item items[MOST_AT_ONCE];
	for (size_t i = 0; i < n; i++) {
		lens[i] = array && i > 0 ? lens[0]
		                         : sizeof(struct head) +
		                                   dice_below(&player->seed, longest - sizeof(struct head));
		bytes += lens[i];
	}
	CHECK(bytes <= player->room);
	write_many(player, n, !large, lens);
	int64_t timeout = dice_below(&player->seed, 4) ? PATIENCE_MS : 0, rc;
	if (array) {
		rc = databuffer_insert_array_timed(buf, player->memory, n, lens[0], timeout);
	} else {
		const unsigned char *from = player->memory;
		for (size_t i = 0; i < n; from += lens[i++])
			items[i] = (databuffer_item){ from, lens[i] };
		rc = databuffer_insert_batch_timed(buf, items, n, timeout);
	}
	CHECK(rc == 0 || timeout == 0);
	CHECK(rc == 0 || rc == DATABUFFER_ETIMEDOUT || (large && rc > 0 && rc < (int64_t)n));
	size_t accepted = rc == 0 ? n : rc > 0 ? (size_t)rc : 0;
	for (size_t i = accepted; i < n; i++)
		bytes -= lens[i];
	atomic_fetch_add(accepted > 0 && accepted < n ? &player->medley->cut_short : &player->medley->refused,
	                 accepted < n);
	accept_items(player, accepted, bytes);
}

static void commit_one(struct player *player)
{
	databuffer_slot *slot = &player->slots[--player->held];
	struct head head = { .number = player->late, .len = (uint32_t)slot->len, .n = 1,
		             .producer = player->producer };
	write_item(slot->data, &head);
	CHECK(databuffer_commit(slot) == 0);
	player->late++;
	atomic_fetch_add(&player->medley->accepted_bytes, head.len);
}

static void play_slot(struct player *player)
{
	databuffer *buf = player->medley->buf;
	size_t len = sizeof(struct head) + dice_below(&player->seed, LONGEST - sizeof(struct head));
	databuffer_slot slot;
	switch (dice_below(&player->seed, 4)) {
	case 0: /* to be kept for a while */
		if (player->held == 2)
			commit_one(player);
		CHECK(databuffer_reserve(buf, len, &player->slots[player->held]) == 0);
		memset(player->slots[player->held].data, 0xff, len);
		player->held++;
		break;
	case 1:
		if (player->held > 0)
			commit_one(player);
		break;
	case 2:
		CHECK(databuffer_reserve(buf, len, &slot) == 0);
		memset(slot.data, 0xee, len);
		CHECK(databuffer_abort(&slot) == 0);
		break;
	default: { /* nothing overtakes it */
		struct head head = next_head(player, len);
		CHECK(databuffer_reserve(buf, len, &slot) == 0);
		write_item(slot.data, &head);
		CHECK(databuffer_commit(&slot) == 0);
		accept_items(player, 1, len);
		break;
	}
	}
}

static void *play(void *arg)
{
	struct medley *medley = arg;
	struct player player = { .medley = medley };
	player.producer = (uint8_t)atomic_fetch_add(&medley->producers, 1);
	player.seed = medley->seed + player.producer;
	player.room = 64 * 1024;
	player.memory = malloc(player.room);
	CHECK(player.memory);
	for (uint64_t step = 0; step < medley->steps; step++) {
		switch (dice_below(&player.seed, 10)) {
		case 0:
			play_many(&player, false);
			break;
		case 1:
			play_many(&player, true);
			break;
		case 2:
			play_slot(&player);
			break;
		default:
			play_one(&player);
			break;
		}
	}
	while (player.held > 0)
		commit_one(&player);
	medley->accepted[player.producer] = player.number;
	medley->accepted_late[player.producer] = player.late;
	free(player.memory);
	return NULL;
}

static void any_mixture_of_inserts_arrives_exactly_once_though_the_sink_fails(void **state)
{
	(void)state;
	struct sink *log = sink_new();
	struct medley *medley = calloc(1, sizeof(*medley));
	databuffer_options *o = &medley->options;
	*o = sink_options(log);
	o->partitions = PARTITIONS;
	o->max_size = MANY_SIZE;
	o->max_size_jitter = MANY_MORE;
	o->max_bytes = 64 * 1024;
	o->flush_interval = 2;
	o->flush_jitter = 8;
	o->retry_min = 1;
	o->retry_max = 4;
	o->timeout = PATIENCE_MS;
	o->handle_flush = take_medley;
	o->flush_meta = medley;
	medley->seed = test_seed();
	medley->steps = scaled(400000) / PRODUCERS + 1;
	for (unsigned i = 0; i < PRODUCERS; i++) {
		account_init(&medley->ordered[i], medley->steps * 60);
		account_init(&medley->late[i], medley->steps);
	}
	for (unsigned i = 0; i < PARTITIONS; i++)
		medley->flights[i].seed = medley->seed + 100 + i;
	o->handle_log = count_line;
	medley->buf = start(o);

	struct watch watch = { .buf = medley->buf, .options = o, .visit = visit_medley };
	watch.seed = medley->seed + 50;
	pthread_t players[PRODUCERS], onlookers[ONLOOKERS];
	for (unsigned i = 0; i < ONLOOKERS; i++)
		onlookers[i] = thread_run(look_on, &watch);
	for (unsigned i = 0; i < PRODUCERS; i++)
		players[i] = thread_run(play, medley);
	for (unsigned i = 0; i < PRODUCERS; i++)
		thread_join(players[i]);
	WAIT_FOR(atomic_load(&watch.samples) > ONLOOKERS + 10);
	atomic_store(&watch.ended, true);
	for (unsigned i = 0; i < ONLOOKERS; i++)
		thread_join(onlookers[i]);

	flush_all(medley->buf);
	databuffer_stats_t s = stats_of(medley->buf);
	stop_clean(medley->buf);
	uint64_t accepted = atomic_load(&medley->accepted_brief);
	for (unsigned i = 0; i < PRODUCERS; i++) {
		accepted += medley->accepted[i] + medley->accepted_late[i];
		account_check(&medley->ordered[i], medley->accepted[i]);
		account_check(&medley->late[i], medley->accepted_late[i]);
	}
	for (size_t len = 0; len < sizeof(struct head); len++)
		assert_int_equal(atomic_load(&medley->brief[len]), 0);
	assert_int_equal(s.inserted, accepted);
	assert_int_equal(s.flushed, accepted);
	assert_int_equal(s.flushed_bytes, atomic_load(&medley->accepted_bytes));
	assert_int_equal(s.held_bytes, 0);
	assert_int_equal(s.failures, atomic_load(&medley->failures));
	assert_in_range(atomic_load(&medley->lines), s.failures > 0, s.failures);
	assert_int_equal(s.attempts, s.batches + s.failures);
	assert_int_equal(s.refused, atomic_load(&medley->refused) + atomic_load(&medley->cut_short));
	print_message("%" PRIu64 " items, %" PRIu64 " batches, %" PRIu64 " failures, %" PRIu64
	              " refused, %" PRIu64 " cut short, %" PRIu64 " samples, %" PRIu64 " items dumped\n",
	              accepted, s.batches, s.failures, atomic_load(&medley->refused),
	              atomic_load(&medley->cut_short), atomic_load(&watch.samples),
	              atomic_load(&watch.shown));
	free(medley);
	sink_free(log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_million_records_from_eight_threads_arrive_exactly_once_and_in_order),
		cmocka_unit_test(any_mixture_of_inserts_arrives_exactly_once_though_the_sink_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
