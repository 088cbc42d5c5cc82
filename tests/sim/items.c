/* SPDX-License-Identifier: MIT */
/* Items, from the offer to the outcome, and the calls that the library answers. */
#include "sim/oracle.h"

#include <string.h>

#include "sim/port.h"

struct account oracle_accounts[ACCOUNTS_MAX];
unsigned oracle_account_count;
struct item oracle_items[ITEMS_MAX];
uint32_t oracle_item_count;
struct call oracle_calls[CALLS_MAX];

static uint32_t orders[PRODUCERS_MAX];

struct account *oracle_open(const databuffer_options *options)
{
	struct account *account = &oracle_accounts[oracle_account_count];
	account->number = oracle_account_count++;
	account->options = *options;
	memset(account->key_partition, -1, sizeof(account->key_partition));
	for (unsigned i = 0; i < PARTITIONS_MAX; i++) {
		account->parts[i].overtaken = options->max_in_flight > 1;
		account->parts[i].idle_since_ns = WORLD_NEVER;
	}
	return account;
}

void oracle_started(struct account *account, databuffer *buf)
{
	account->buf = buf;
	account->live = true;
}

/* --- Bytes ------------------------------------------------------------------------ */

bool oracle_has_room(unsigned n)
{
	return oracle_item_count + n < ITEMS_MAX;
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

static unsigned number_of(const struct item *item)
{
	return (unsigned)(item - oracle_items);
}

/* --- In ------------------------------------------------------------------------------- */

uint32_t oracle_offer(struct account *account, unsigned n, const uint32_t *lens, bool ordered)
{
	uint32_t first = oracle_item_count, task = world_number(world_self());
	uint64_t bytes = 0;
	for (unsigned i = 0; i < n; i++)
		bytes += lens[i];
	bool together = n <= (uint64_t)account->options.max_size && bytes <= (uint64_t)account->options.max_bytes;
	for (unsigned i = 0; i < n; i++)
		oracle_items[oracle_item_count++] = (struct item){
			.state = ITEM_OFFERED,
			.account = (uint8_t)account->number,
			.partition = -1,
			.key = -1,
			.offered_ns = world_now_ns(),
			.gone = UINT64_MAX,
			.ordered = ordered,
			.len = lens[i],
			.task = task,
			.order = ++orders[task],
			.group = together ? first : first + i,
			.group_size = together ? n : 1,
		};
	account->offered += n;
	world_detail("offers items", first, n);
	return first;
}

static void accept(struct account *account, struct item *item)
{
	item->state = ITEM_HELD;
	account->offered--;
	account->accepted++;
	account->accepted_bytes += item->len;
}

void oracle_reserved(uint32_t number)
{
	struct account *account = &oracle_accounts[oracle_items[number].account];
	oracle_items[number].state = ITEM_RESERVED;
	account->offered--;
	account->slots++;
}

void oracle_commits(uint32_t number)
{
	struct account *account = &oracle_accounts[oracle_items[number].account];
	oracle_items[number].state = ITEM_OFFERED;
	account->offered++;
	account->slots--;
}

void oracle_answer(uint32_t first, unsigned n, unsigned taken)
{
	for (unsigned i = 0; i < n; i++) {
		struct item *item = &oracle_items[first + i];
		struct account *account = &oracle_accounts[item->account];
		if (i < taken && item->state == ITEM_OFFERED) {
			accept(account, item);
		} else if (i >= taken) {
			if (item->state != ITEM_OFFERED)
				world_fail("item %u is refused, and is in the buffer", first + i);
			item->state = ITEM_REFUSED;
			account->offered--;
		}
	}
}

void oracle_seen(struct account *account, struct item *item, unsigned partition)
{
	if (item->state == ITEM_OFFERED)
		accept(account, item);
	if (item->state == ITEM_REFUSED || item->state == ITEM_RESERVED)
		world_fail("item %u was %s, and is in the buffer", number_of(item),
		           item->state == ITEM_REFUSED ? "refused" : "not committed");
	if (item->partition >= 0 && item->partition != (int)partition)
		world_fail("item %u is in partition %u and was in %d", number_of(item), partition, item->partition);
	item->partition = (int8_t)partition;
	if (item->key < 0)
		return;
	int8_t *place = &account->key_partition[item->key];
	if (*place >= 0 && *place != (int)partition)
		world_fail("item %u is in partition %u, and its key belongs to %d", number_of(item), partition, *place);
	*place = (int8_t)partition;
}

/* --- Out --------------------------------------------------------------------------------- */

void oracle_settle(struct item *item)
{
	for (unsigned i = 0; item->syncs && i < CALLS_MAX; i++) {
		struct call *call = &oracle_calls[i];
		if (call->in_use && call->kind == CALL_SYNC && (item->syncs & call->sync_bit))
			call->sync_left--;
	}
	item->syncs = 0;
}

static void check_reason(const databuffer_reason *reason, const struct account *account, const char *who)
{
	if (!reason->text || strlen(reason->text) == 0)
		world_fail("%s: there is no reason", who);
	if (reason->partition >= (unsigned)account->options.partitions)
		world_fail("%s: partition %u", who, reason->partition);
}

void oracle_dead(struct account *account, const databuffer_item *shown, const databuffer_reason *reason)
{
	struct item *item = oracle_read(account, shown, "handle_dead");
	check_reason(reason, account, "handle_dead");
	if (item->state != ITEM_DYING)
		world_fail("handle_dead: item %u in state %u, for which no handler asked", number_of(item), item->state);
	if (reason->attempts == 0)
		world_fail("handle_dead: item %u after no attempt", number_of(item));
	struct flight *flight = NULL;
	for (unsigned i = 0; i < FLIGHTS_MAX && !flight; i++)
		if (oracle_flights[i].in_use && oracle_flights[i].answered && oracle_flights[i].task == world_self())
			flight = &oracle_flights[i];
	if (!flight || flight->partition != reason->partition)
		world_fail("handle_dead: item %u by another thread than its handler's", number_of(item));
	flight->booked = true;
	flight->dying--;
	item->state = ITEM_DEAD;
	oracle_settle(item);
}

/* Its handler has answered, but perhaps to nobody: too late, or not booked yet. */
static bool is_moot(const struct item *item)
{
	if (item->moot)
		return true;
	for (unsigned i = 0; i < FLIGHTS_MAX; i++) {
		const struct flight *flight = &oracle_flights[i];
		if (!flight->in_use || !flight->answered || flight->booked)
			continue;
		for (uint32_t k = 0; k < flight->count; k++)
			if (&oracle_items[flight->items[k]] == item)
				return true;
	}
	return false;
}

void oracle_left(struct account *account, const databuffer_item *shown, const databuffer_reason *reason)
{
	struct item *item = oracle_read(account, shown, "handle_left");
	world_detail("left item", number_of(item), reason->partition);
	check_reason(reason, account, "handle_left");
	if (account->stopper != world_self() || !oracle_gives_up(account))
		world_fail("handle_left: item %u, though stop's time is not up", number_of(item));
	oracle_seen(account, item, reason->partition);
	bool answered = item->state == ITEM_FLUSHED || item->state == ITEM_DYING;
	if (item->state != ITEM_HELD && !(answered && is_moot(item)))
		world_fail("handle_left: item %u in state %u has its outcome", number_of(item), item->state);
	if (item->state == ITEM_FLUSHED) {
		account->flushed--;
		account->flushed_bytes -= item->len;
	} else if (item->state == ITEM_DYING) {
		account->dead--;
		account->dead_bytes -= item->len;
	}
	item->state = ITEM_LEFT;
	account->left++;
	oracle_settle(item);
}

/* --- Shown --------------------------------------------------------------------------------------- */

static struct dump dumps[8];

struct dump *oracle_dump(const struct account *account)
{
	struct dump *dump = NULL;
	for (unsigned i = 0; i < 8 && !dump; i++)
		if (!dumps[i].account)
			dump = &dumps[i];
	if (!dump)
		return NULL;
	*dump = (struct dump){ account, (uint8_t)(1u << (dump - dumps)), world_tally().steps };
	/* Those that are in and have no outcome have to be shown, if they still have none then. */
	for (uint32_t i = 0; i < oracle_item_count; i++) {
		struct item *item = &oracle_items[i];
		item->shown &= (uint8_t)~dump->bit;
		item->awaited &= (uint8_t)~dump->bit;
		if (item->account == account->number && item->state == ITEM_HELD)
			item->awaited |= dump->bit;
	}
	return dump;
}

void oracle_shows(struct account *account, const struct dump *dump, const databuffer_item *shown, unsigned partition)
{
	struct item *item = oracle_read(account, shown, "dump");
	oracle_seen(account, item, partition);
	if (item->shown & dump->bit)
		world_fail("dump shows item %u twice", number_of(item));
	if (item->gone < dump->began)
		world_fail("dump shows item %u, which had its outcome", number_of(item));
	item->shown |= dump->bit;
}

void oracle_dumped(struct dump *dump, bool whole)
{
	for (uint32_t i = 0; whole && i < oracle_item_count; i++) {
		const struct item *item = &oracle_items[i];
		if (item->account == dump->account->number && item->state == ITEM_HELD &&
		    (item->awaited & dump->bit) && !(item->shown & dump->bit))
			world_fail("dump has not shown item %u", i);
	}
	dump->account = NULL;
}

/* --- Calls ------------------------------------------------------------------------------------ */

static uint8_t free_sync_bit(void)
{
	uint8_t used = 0;
	for (unsigned i = 0; i < CALLS_MAX; i++)
		if (oracle_calls[i].in_use && oracle_calls[i].kind == CALL_SYNC)
			used |= oracle_calls[i].sync_bit;
	return (uint8_t)(~used & (used + 1));
}

static void begin_sync(struct call *call)
{
	for (uint32_t i = 0; i < oracle_item_count; i++) {
		struct item *item = &oracle_items[i];
		if (item->account == call->account->number && (item->state == ITEM_HELD || item->state == ITEM_DYING)) {
			item->syncs |= call->sync_bit;
			call->sync_left++;
		}
	}
}

struct call *oracle_call(struct account *account, enum call_kind kind, const char *name, int64_t timeout_ms)
{
	uint8_t bit = kind == CALL_SYNC ? free_sync_bit() : 0;
	struct call *call = NULL;
	for (unsigned i = 0; i < CALLS_MAX && !call; i++)
		if (!oracle_calls[i].in_use)
			call = &oracle_calls[i];
	if (!call || (kind == CALL_SYNC && bit == 0))
		return NULL;
	struct task *self = world_self();
	*call = (struct call){
		.in_use = true,
		.kind = kind,
		.name = name,
		.account = account,
		.task = self,
		.began_ns = world_now_ns(),
		.lost_ns = world_lost_ns(self),
		.timeout_ms = timeout_ms < 0 ? account->options.timeout : timeout_ms,
		.was_stopped = account->stopped,
		.failures = port_failures(self),
		.switches = world_switches(),
		.partition = -1,
		.sync_bit = bit,
	};
	world_note(name, account->number, call->timeout_ms);
	if (kind == CALL_SYNC)
		begin_sync(call);
	return call;
}

/* Nobody else has run during the call, and everything is empty: nothing can be in
 * the way of one more item. */
static bool was_alone_with_room(const struct call *call)
{
	const struct account *account = call->account;
	if (world_switches() != call->switches || !account->live || account->stopping || account->slots > 0)
		return false;
	for (unsigned i = 0; i < account->buf->partition_count; i++)
		if (partition_size(&account->buf->partitions[i]) > 0 || list_is_empty(&account->buf->partitions[i].free))
			return false;
	return true;
}

void oracle_return(struct call *call, int64_t answer)
{
	struct account *account = call->account;
	const char *name = call->name;
	int64_t took_ns = world_now_ns() - call->began_ns - (world_lost_ns(call->task) - call->lost_ns);
	call->in_use = false;
	world_note("answered", answer, took_ns);
	if (took_ns > port_deadline_ns(0, call->timeout_ms))
		world_fail("%s took %.6f ms, and had %lld ms", name, (double)took_ns / 1e6, (long long)call->timeout_ms);
	if (call->was_stopped && answer != DATABUFFER_ESTOPPED)
		world_fail("%s on a stopped buffer answered %lld", name, (long long)answer);
	if (answer == DATABUFFER_ETIMEDOUT) {
		int64_t whole_ns = world_now_ns() - call->began_ns;
		if (whole_ns < port_deadline_ns(0, call->timeout_ms))
			world_fail("%s gave up after %.6f ms, and had %lld ms", name, (double)whole_ns / 1e6,
			           (long long)call->timeout_ms);
		if (call->kind == CALL_INSERT && was_alone_with_room(call))
			world_fail("%s found no room in an empty buffer", name);
	} else if (answer == DATABUFFER_ESTOPPED) {
		if (!account->stopping)
			world_fail("%s says that the buffer is stopped, and it is not", name);
	} else if (answer == DATABUFFER_ENOMEM) {
		if (port_failures(call->task) == call->failures)
			world_fail("%s wants memory, and there is enough", name);
	} else if (answer < 0 && answer != call->allowed) {
		world_fail("%s answered %lld: %s", name, (long long)answer, databuffer_strerror((int)answer));
	}
	if (call->kind == CALL_SYNC && answer == 0 && call->sync_left > 0 && !oracle_gives_up(account))
		world_fail("%s answered, and %u items that were held before it have no outcome", name, call->sync_left);
	for (uint32_t i = 0; call->kind == CALL_SYNC && i < oracle_item_count; i++)
		oracle_items[i].syncs &= (uint8_t)~call->sync_bit;
}
