/* SPDX-License-Identifier: MIT */
/* A store in memory that processes forked later share. */
#include "store/store.h"

#include "port/shared.h"

bool store_init_shared(struct store *store, size_t size)
{
	unsigned char *base = port_map_shared(size, "databuffer");
	if (!base)
		return false;
	*store = (struct store){ base, size };
	return true;
}

void store_part(struct store *store)
{
	/* Without memory of our own the other side's must still not be written to. */
	if (!port_map_shared_anew(store->base, store->size, "databuffer"))
		port_forbid_writes(store->base, store->size);
}

void store_read_only(struct store *store)
{
	port_forbid_writes(store->base, store->size);
}
