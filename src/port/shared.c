/* SPDX-License-Identifier: MIT */
/* Shared memory on Linux: memfd_create(2), mmap(2), and futex(2) for all who map it. */
#include "port/shared.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "port/channel.h"
#include "port/port.h"

/* The mapping keeps the memory; nobody needs the descriptor. Where there is none
 * to be had, memory without a name does as well. */
static void *map_shared(void *at, size_t size, const char *name, int flags)
{
	int fd = memfd_create(name, MFD_CLOEXEC);
	if (fd >= 0 && ftruncate(fd, (off_t)size) != 0)
		port_close(&fd);
	if (fd < 0)
		flags |= MAP_ANONYMOUS;
	void *base = mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | flags, fd, 0);
	port_close(&fd);
	return base == MAP_FAILED ? NULL : base;
}

void *port_map_shared(size_t size, const char *name)
{
	return map_shared(NULL, size, name, 0);
}

bool port_map_shared_anew(void *base, size_t size, const char *name)
{
	return map_shared(base, size, name, MAP_FIXED) != NULL;
}

void port_forbid_writes(void *base, size_t size)
{
	mprotect(base, size, PROT_READ);
}

void port_forbid_access(void *base, size_t size)
{
	mprotect(base, size, PROT_NONE);
}

bool port_wait_shared(_Atomic uint32_t *word, uint32_t expected, int64_t deadline_ns)
{
	struct timespec until = { .tv_sec = deadline_ns / 1000000000, .tv_nsec = deadline_ns % 1000000000 };
	struct timespec *timeout = deadline_ns == PORT_NEVER ? NULL : &until;
	long rc = syscall(SYS_futex, (void *)word, FUTEX_WAIT_BITSET, expected, timeout, NULL,
	                  FUTEX_BITSET_MATCH_ANY);
	return !(rc < 0 && errno == ETIMEDOUT);
}

void port_wake_shared(_Atomic uint32_t *word, int n)
{
	syscall(SYS_futex, (void *)word, FUTEX_WAKE, n, NULL, NULL, 0);
}
