/* SPDX-License-Identifier: MIT */
/* Items, from the offer to the outcome. */
#include "sim/oracle.h"

#include <string.h>

#include "core/options_table.h"
#include "sim/port.h"

struct account oracle_accounts[ACCOUNTS_MAX];
unsigned oracle_account_count;
struct item oracle_items[ITEMS_MAX];
uint32_t oracle_item_count;

static uint32_t orders[PRODUCERS_MAX];

/* --- Accounts ---------------------------------------------------------------------- */

struct account *oracle_open(const databuffer_options *options)
{
	struct account *account = &oracle_accounts[oracle_account_count];
	account->number = oracle_account_count++;
	account->options = account->most = account->least = *options;
	account->first_largest = options->max_size + options->max_size_jitter;
	account->fd = -1;
	account->paced_ns = world_now_ns();
	memset(account->key_partition, -1, sizeof(account->key_partition));
	for (unsigned i = 0; i < PARTITIONS_MAX; i++) {
		account->parts[i].overtaken = options->max_in_flight > 1;
		account->parts[i].idle_since_ns = account->parts[i].opened_ns = WORLD_NEVER;
	}
	return account;
}

void oracle_started(struct account *account, databuffer *buf)
{
	account->buf = buf;
	account->live = true;
}

bool oracle_is_manual(const struct account *account)
{
	return account->options.flusher == DATABUFFER_MANUAL;
}

bool oracle_has_workers(const struct account *account)
{
	return account->options.flusher == DATABUFFER_PROCESSES;
}

bool oracle_drops(const struct account *account)
{
	return account->options.overflow == DATABUFFER_OVERFLOW_DROP_NEWEST ||
	       account->options.overflow == DATABUFFER_OVERFLOW_DROP_OLDEST;
}

bool oracle_is_unsure(const struct account *account)
{
	const databuffer_options *o = &account->most;
	return (o->retry_for > 0 && oracle_stalls) ||
	       (account->changed && (o->retry_for > 0 || o->retry_limit > 0));
}

bool oracle_is_held_up(const struct account *account)
{
	const databuffer_options *o = &account->most;
	return o->breaker_failures > 0 || o->rate_limit > 0 || o->rate_limit_flushes > 0 || o->flusher_count > 0;
}

/* --- Other options ------------------------------------------------------------------- */

/* What is being put in is cut by what a batch may be when its turn comes. */
static void part_offers(const struct account *account)
{
	for (uint32_t i = 0; i < oracle_item_count; i++) {
		const struct item *item = &oracle_items[i];
		uint32_t first = item->group, n = item->group_size;
		if (item->account != account->number || item->state != ITEM_OFFERED ||
		    n <= (uint64_t)account->least.max_size)
			continue;
		for (uint32_t k = first; k < first + n; k++) {
			oracle_items[k].group = k;
			oracle_items[k].group_size = 1;
		}
	}
}

void oracle_widens(struct account *account, const databuffer_options *options)
{
	databuffer_options wanted = *options;
	account->changed = account->changing = true;
	for (size_t i = 0; options_row_at(i); i++) {
		const struct options_row *row = options_row_at(i);
		if (!row->option.live)
			continue;
		int64_t value = *options_number(&wanted, row);
		int64_t *most = options_number(&account->most, row), *least = options_number(&account->least, row);
		*most = value > *most ? value : *most;
		*least = value < *least ? value : *least;
	}
	oracle_doubts(account);
	part_offers(account);
}

void oracle_changes(struct account *account, const databuffer_options *options)
{
	databuffer_options wanted = *options;
	if (wanted.rate_limit != account->options.rate_limit ||
	    wanted.rate_limit_flushes != account->options.rate_limit_flushes) {
		account->given = account->flushes = 0;
		account->paced_ns = world_now_ns();
	}
	for (size_t i = 0; options_row_at(i); i++)
		if (options_row_at(i)->option.live)
			*options_number(&account->options, options_row_at(i)) = *options_number(&wanted, options_row_at(i));
	account->changed_step = world_tally().steps;
}

bool oracle_gives_up(const struct account *account)
{
	return account->stopping && world_now_ns() >= account->stop_deadline_ns;
}

uint64_t oracle_accepted(const struct account *account)
{
	uint64_t sum = 0;
	for (unsigned state = ITEM_HELD; state < ITEM_STATES; state++)
		sum += account->items[state];
	return sum;
}

/* --- Bytes ---------------------------------------------------------------------------- */

bool oracle_has_room(unsigned n)
{
	return oracle_item_count + n < ITEMS_MAX;
}

uint32_t oracle_number(const struct item *item)
{
	return (uint32_t)(item - oracle_items);
}

static unsigned char byte_of(uint32_t number, uint32_t at)
{
	return (unsigned char)((number * UINT32_C(2654435761) + at * UINT32_C(40503)) >> 13);
}

void oracle_write(uint32_t number, void *to)
{
	unsigned char *bytes = to;
	memcpy(bytes, &number, sizeof(number));
	for (uint32_t at = sizeof(number); at < oracle_items[number].len; at++)
		bytes[at] = byte_of(number, at);
}

struct item *oracle_read(const struct account *account, const databuffer_item *shown, const char *who)
{
	uint32_t number;
	if (shown->len < sizeof(number))
		world_fail("%s: an item of %zu bytes, and none is so short", who, shown->len);
	memcpy(&number, shown->data, sizeof(number));
	if (number >= oracle_item_count)
		world_fail("%s: an item that says it is number %u, and there are %u", who, number, oracle_item_count);
	struct item *item = &oracle_items[number];
	if (item->account != account->number)
		world_fail("%s: item %u is of another buffer", who, number);
	if (item->len != shown->len)
		world_fail("%s: item %u has %zu bytes and had %u", who, number, shown->len, item->len);
	for (uint32_t at = sizeof(number); at < item->len; at++)
		if (((const unsigned char *)shown->data)[at] != byte_of(number, at))
			world_fail("%s: item %u is not what it was, from byte %u on", who, number, at);
	return item;
}

/* --- From state to state ------------------------------------------------------------------ */

static struct account *account_of(const struct item *item)
{
	return &oracle_accounts[item->account];
}

void oracle_move(struct item *item, enum item_state state)
{
	struct account *account = account_of(item);
	account->items[item->state]--;
	account->bytes[item->state] -= item->len;
	account->items[state]++;
	account->bytes[state] += item->len;
	item->state = (uint8_t)state;
	if (state != ITEM_HELD && item->spent) {
		item->spent = false;
		account->spent--;
	}
	if (state > ITEM_HELD && state != ITEM_DYING)
		oracle_settle(item);
}

uint32_t oracle_offer(struct account *account, unsigned n, const uint32_t *lens, bool ordered)
{
	uint32_t first = oracle_item_count, task = world_number(world_self());
	uint64_t bytes = 0;
	for (unsigned i = 0; i < n; i++)
		bytes += lens[i];
	bool together = n <= (uint64_t)account->least.max_size && bytes <= (uint64_t)account->options.max_bytes;
	for (unsigned i = 0; i < n; i++)
		oracle_items[oracle_item_count++] = (struct item){
			.state = ITEM_OFFERED,
			.account = (uint8_t)account->number,
			.partition = -1,
			.key = -1,
			.ordered = ordered,
			.len = lens[i],
			.task = task,
			.order = ++orders[task],
			.group = together ? first : first + i,
			.group_size = together ? n : 1,
			.offered_ns = world_now_ns(),
			.offered_step = world_tally().steps,
			.gone = UINT64_MAX,
		};
	account->items[ITEM_OFFERED] += n;
	account->bytes[ITEM_OFFERED] += bytes;
	world_detail("offers items", first, n);
	return first;
}

void oracle_answer(uint32_t first, unsigned n, unsigned taken)
{
	for (unsigned i = 0; i < n; i++) {
		struct item *item = &oracle_items[first + i];
		if (i < taken && item->state == ITEM_OFFERED)
			oracle_move(item, ITEM_HELD);
		if (i >= taken && item->state != ITEM_OFFERED)
			world_fail("item %u is refused, and was in the buffer", first + i);
		if (i >= taken)
			oracle_move(item, ITEM_REFUSED);
	}
}

void oracle_seen(struct account *account, struct item *item, unsigned partition)
{
	if (item->state == ITEM_OFFERED)
		oracle_move(item, ITEM_HELD);
	if (item->state == ITEM_REFUSED || item->state == ITEM_RESERVED)
		world_fail("item %u was %s, and is in the buffer", oracle_number(item),
		           item->state == ITEM_REFUSED ? "refused" : "not committed");
	if (item->partition >= 0 && item->partition != (int)partition)
		world_fail("item %u is in partition %u and was in %d", oracle_number(item), partition, item->partition);
	item->partition = (int8_t)partition;
	if (item->key < 0)
		return;
	int8_t *place = &account->key_partition[item->key];
	if (*place >= 0 && *place != (int)partition)
		world_fail("item %u is in partition %u, and its key belongs to %d", oracle_number(item), partition,
		           *place);
	*place = (int8_t)partition;
}

/* --- Out -------------------------------------------------------------------------------------- */

static void check_reason(const databuffer_reason *reason, const struct account *account, const char *who)
{
	if (!reason->text || strlen(reason->text) == 0)
		world_fail("%s: there is no reason", who);
	if (reason->partition >= (unsigned)account->options.partitions)
		world_fail("%s: partition %u", who, reason->partition);
}

/* The flight of the calling task that has answered. */
static struct flight *own_flight(unsigned partition)
{
	for (unsigned i = 0; i < FLIGHTS_MAX; i++) {
		struct flight *flight = &oracle_flights[i];
		if (flight->in_use && flight->answered && flight->task == world_self() && flight->partition == partition)
			return flight;
	}
	return NULL;
}

void oracle_dead(struct account *account, const databuffer_item *shown, const databuffer_reason *reason)
{
	struct item *item = oracle_read(account, shown, "handle_dead");
	uint32_t number = oracle_number(item);
	struct flight *flight = own_flight(reason->partition);
	check_reason(reason, account, "handle_dead");
	world_detail("dead item", number, reason->status);
	if (!flight)
		world_fail("handle_dead: item %u by another thread than its handler's", number);
	if (reason->attempts == 0)
		world_fail("handle_dead: item %u after no attempt", number);
	flight->booked = true;
	if (flight->died)
		oracle_check_death(flight, reason);
	if (item->state == ITEM_DYING)
		flight->dying--;
	else if (item->state != ITEM_HELD || !item->spent || item->flight)
		world_fail("handle_dead: item %u in state %u, for which no handler asked", number, item->state);
	oracle_move(item, ITEM_DEAD);
}

void oracle_dropped(struct account *account, const databuffer_item *shown, const databuffer_reason *reason)
{
	struct item *item = oracle_read(account, shown, "handle_drop");
	uint32_t number = oracle_number(item);
	bool own = item->state == ITEM_OFFERED && item->task == world_number(world_self());
	check_reason(reason, account, "handle_drop");
	world_detail("dropped item", number, reason->partition);
	if (!oracle_drops(account))
		world_fail("handle_drop: item %u, and overflow is not to drop", number);
	if (!own && account->options.overflow == DATABUFFER_OVERFLOW_DROP_NEWEST)
		world_fail("handle_drop: item %u, which is not the newest", number);
	oracle_seen(account, item, reason->partition);
	oracle_revives(item);
	if (item->state != ITEM_HELD)
		world_fail("handle_drop: item %u in state %u has its outcome", number, item->state);
	if (item->flight)
		world_fail("handle_drop: item %u is in flight", number);
	oracle_move(item, ITEM_DROPPED);
	item->gone = world_tally().steps;
}

/* Its handler has answered, but perhaps to nobody: too late, or not booked yet. */
static bool is_moot(const struct item *item)
{
	if (item->state != ITEM_FLUSHED && item->state != ITEM_DYING)
		return false;
	if (item->moot)
		return true;
	for (unsigned i = 0; i < FLIGHTS_MAX; i++) {
		const struct flight *flight = &oracle_flights[i];
		if (!flight->in_use || !flight->answered || flight->booked)
			continue;
		for (uint32_t k = 0; k < flight->count; k++)
			if (flight->items[k] == oracle_number(item))
				return true;
	}
	return false;
}

void oracle_left(struct account *account, const databuffer_item *shown, const databuffer_reason *reason)
{
	struct item *item = oracle_read(account, shown, "handle_left");
	world_detail("left item", oracle_number(item), reason->partition);
	check_reason(reason, account, "handle_left");
	if (account->stopper != world_self() || !oracle_gives_up(account))
		world_fail("handle_left: item %u, though stop's time is not up", oracle_number(item));
	oracle_seen(account, item, reason->partition);
	if (item->state != ITEM_HELD && !is_moot(item))
		world_fail("handle_left: item %u in state %u has its outcome", oracle_number(item), item->state);
	oracle_move(item, ITEM_LEFT);
}
