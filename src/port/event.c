/* SPDX-License-Identifier: MIT */
/* A descriptor that says that something has happened: eventfd(2). */
#include "port/port.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

int port_event_open(void)
{
	return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

void port_event_set(int fd)
{
	eventfd_write(fd, 1);
}

void port_event_clear(int fd)
{
	eventfd_t count;
	eventfd_read(fd, &count);
}

bool port_event_renew(int fd)
{
	int fresh = port_event_open();
	bool renewed = fresh >= 0 && dup3(fresh, fd, O_CLOEXEC) == fd;
	if (fresh >= 0)
		close(fresh);
	if (!renewed)
		close(fd);
	return renewed;
}

void port_event_close(int fd)
{
	close(fd);
}
