/* SPDX-License-Identifier: MIT */
/* Calls of the library: what they may answer, and when; and what a dump has to show. */
#include "sim/oracle.h"

#include "sim/port.h"

struct call oracle_calls[CALLS_MAX];

/* --- What sync_flush waits for -------------------------------------------------------- */

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

void oracle_settle(struct item *item)
{
	for (unsigned i = 0; item->syncs && i < CALLS_MAX; i++) {
		struct call *call = &oracle_calls[i];
		if (call->in_use && call->kind == CALL_SYNC && (item->syncs & call->sync_bit))
			call->sync_left--;
	}
	item->syncs = 0;
}

static void end_sync(const struct call *call, int64_t answer)
{
	/* What an insert has dropped it may not have told yet. */
	bool sure = !oracle_gives_up(call->account) &&
	            !(oracle_drops(call->account) && oracle_is_inserting(call->account));
	if (answer == 0 && call->sync_left > 0 && sure)
		world_fail("%s answered, and %u items that were held before it have no outcome", call->name,
		           call->sync_left);
	for (uint32_t i = 0; i < oracle_item_count; i++)
		oracle_items[i].syncs &= (uint8_t)~call->sync_bit;
}

/* --- Calls -------------------------------------------------------------------------------- */

bool oracle_is_inserting(const struct account *account)
{
	for (unsigned i = 0; i < CALLS_MAX; i++)
		if (oracle_calls[i].in_use && oracle_calls[i].account == account && oracle_calls[i].kind == CALL_INSERT)
			return true;
	return false;
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
	bool waits = kind != CALL_INSERT || account->options.overflow == DATABUFFER_OVERFLOW_BLOCK;
	*call = (struct call){
		.in_use = true,
		.kind = kind,
		.name = name,
		.account = account,
		.task = self,
		.began_ns = world_now_ns(),
		.lost_ns = world_lost_ns(self),
		.timeout_ms = !waits ? 0 : timeout_ms < 0 ? account->options.timeout : timeout_ms,
		.by_option = waits && timeout_ms < 0,
		.was_stopped = account->stopped,
		.failures = port_failures(self),
		.switches = world_switches(),
		.partition = CALL_ANYWHERE,
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
	if (world_switches() != call->switches || !account->live || account->stopping ||
	    account->items[ITEM_RESERVED] > 0)
		return false;
	for (unsigned i = 0; i < account->buf->partition_count; i++)
		if (partition_size(&account->buf->partitions[i]) > 0 || list_is_empty(&account->buf->partitions[i].free))
			return false;
	return true;
}

static void check_time(const struct call *call, int64_t answer)
{
	const struct account *account = call->account;
	/* An option that has changed meanwhile may have been read before or after. */
	int64_t most_ms = call->by_option ? account->most.timeout : call->timeout_ms;
	int64_t least_ms = call->by_option ? account->least.timeout : call->timeout_ms;
	int64_t whole_ns = world_now_ns() - call->began_ns;
	int64_t took_ns = whole_ns - (world_lost_ns(call->task) - call->lost_ns);
	/* Who is about to sleep looks again for some ten microseconds first. */
	if (took_ns > port_deadline_ns(0, most_ms) + (most_ms > 0 ? MS / 10 : 0))
		world_fail("%s took %.6f ms, and had %lld ms", call->name, (double)took_ns / 1e6, (long long)most_ms);
	if (answer == DATABUFFER_ETIMEDOUT && whole_ns < port_deadline_ns(0, least_ms))
		world_fail("%s gave up after %.6f ms, and had %lld ms", call->name, (double)whole_ns / 1e6,
		           (long long)least_ms);
}

static void check_answer(const struct call *call, int64_t answer)
{
	const struct account *account = call->account;
	bool blocks = account->options.overflow == DATABUFFER_OVERFLOW_BLOCK;
	if (call->was_stopped && answer != DATABUFFER_ESTOPPED)
		world_fail("%s on a stopped buffer answered %lld", call->name, (long long)answer);
	if (answer >= 0 || answer == call->allowed)
		return;
	switch (answer) {
	case DATABUFFER_EFULL:
	case DATABUFFER_ETIMEDOUT:
		if (call->kind == CALL_OTHER || (call->kind == CALL_INSERT && blocks == (answer == DATABUFFER_EFULL)))
			break;
		if (answer == DATABUFFER_EFULL && oracle_drops(account) && !call->keeps)
			break;
		if (call->kind == CALL_INSERT && was_alone_with_room(call))
			world_fail("%s found no room in an empty buffer", call->name);
		return;
	case DATABUFFER_ESTOPPED:
		if (!account->stopping)
			break;
		return;
	case DATABUFFER_ENOMEM:
		if (port_failures(call->task) == call->failures)
			break;
		return;
	default:
		break;
	}
	world_fail("%s answered %lld (%s), for which there is no reason", call->name, (long long)answer,
	           databuffer_strerror((int)answer));
}

void oracle_return(struct call *call, int64_t answer)
{
	world_note("answered", answer, world_now_ns() - call->began_ns);
	call->in_use = false;
	check_time(call, answer);
	check_answer(call, answer);
	if (call->kind == CALL_SYNC)
		end_sync(call, answer);
}

/* --- Dumps ------------------------------------------------------------------------------------ */

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
		world_fail("dump shows item %u twice", oracle_number(item));
	if (item->gone < dump->began)
		world_fail("dump shows item %u, which had its outcome", oracle_number(item));
	item->shown |= dump->bit;
}

void oracle_dumped(struct dump *dump, bool whole)
{
	const struct account *account = dump->account;
	if (oracle_drops(account) && oracle_is_inserting(account))
		whole = false; /* what is dropped may not have been told yet */
	for (uint32_t i = 0; whole && i < oracle_item_count; i++) {
		const struct item *item = &oracle_items[i];
		if (item->account == account->number && item->state == ITEM_HELD && (item->awaited & dump->bit) &&
		    !(item->shown & dump->bit) && !item->spent)
			world_fail("dump has not shown item %u", i);
	}
	dump->account = NULL;
}
