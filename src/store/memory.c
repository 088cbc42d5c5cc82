/* SPDX-License-Identifier: MIT */
/* A store in anonymous memory. */
#include "store/store.h"

#include "port/port.h"

bool store_init_memory(struct store *store, size_t size)
{
	unsigned char *base = port_map(size);
	if (!base)
		return false;
	*store = (struct store){ base, size };
	return true;
}

void store_fini(struct store *store)
{
	port_unmap(store->base, store->size);
	*store = (struct store){ 0 };
}
