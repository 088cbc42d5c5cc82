/* SPDX-License-Identifier: MIT */
/* Channels on Linux: pipe2(2), SOCK_SEQPACKET with SCM_RIGHTS, poll(2). */
#include "port/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "port/port.h"

bool port_pipe(int ends[2])
{
	return pipe2(ends, O_CLOEXEC) == 0;
}

bool port_socket_pair(int ends[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0;
}

void port_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int poll_ms(int64_t deadline_ns)
{
	if (deadline_ns == PORT_NEVER)
		return -1;
	int64_t ms = (deadline_ns - port_now_ns() + PORT_NS_PER_MS - 1) / PORT_NS_PER_MS;
	return ms < 0 ? 0 : ms > 1000000 ? 1000000 : (int)ms;
}

void port_poll(const int *fds, bool *ready, size_t n, int64_t deadline_ns)
{
	struct pollfd polled[16];
	for (size_t i = 0; i < n; i++)
		polled[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
	int rc = poll(polled, n, poll_ms(deadline_ns));
	for (size_t i = 0; i < n; i++)
		ready[i] = rc > 0 && polled[i].revents != 0;
}

union control {
	char bytes[CMSG_SPACE(2 * sizeof(int))];
	struct cmsghdr align;
};

bool port_send(int socket, const void *message, size_t size, const int fds[2], bool may_wait)
{
	union control control;
	struct iovec iovec = { (void *)(uintptr_t)message, size };
	struct msghdr header = { .msg_iov = &iovec, .msg_iovlen = 1 };
	unsigned n = 0;
	while (n < 2 && fds && fds[n] >= 0)
		n++;
	if (n > 0) {
		memset(&control, 0, sizeof(control));
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(n * sizeof(int));
		struct cmsghdr *part = CMSG_FIRSTHDR(&header);
		part->cmsg_level = SOL_SOCKET;
		part->cmsg_type = SCM_RIGHTS;
		part->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(part), fds, n * sizeof(int));
	}
	return sendmsg(socket, &header, MSG_NOSIGNAL | (may_wait ? 0 : MSG_DONTWAIT)) == (ssize_t)size;
}

enum port_receive port_receive(int socket, void *message, size_t size, int fds[2])
{
	union control control;
	struct iovec iovec = { message, size };
	struct msghdr header = {
		.msg_iov = &iovec,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	fds[0] = fds[1] = -1;
	ssize_t got = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return PORT_NOTHING;
	if (got != (ssize_t)size)
		return PORT_END;
	struct cmsghdr *part = CMSG_FIRSTHDR(&header);
	if (part && part->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(part), part->cmsg_len - CMSG_LEN(0));
	return PORT_RECEIVED;
}

/* Whether `to` takes a page at once; a pipe not beyond its half, so that others who
 * write there find room, too. */
static bool takes_a_page(int to)
{
	struct pollfd polled = { .fd = to, .events = POLLOUT };
	int held = 0, room = fcntl(to, F_GETPIPE_SZ);
	if (room > 0 && (ioctl(to, FIONREAD, &held) != 0 || held + 4096 > room / 2))
		return false;
	return poll(&polled, 1, 0) == 1 && (polled.revents & POLLOUT);
}

static void put(int to, const char *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		size_t piece = size - done < 4096 ? size - done : 4096;
		ssize_t written = takes_a_page(to) ? write(to, bytes + done, piece) : 0;
		if (written <= 0)
			return;
		done += (size_t)written;
	}
}

int port_pour(int from, int to, size_t most)
{
	char bytes[16384];
	ssize_t got = read(from, bytes, most < sizeof(bytes) ? most : sizeof(bytes));
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? -1 : 0;
	if (to >= 0)
		put(to, bytes, (size_t)got);
	return (int)got;
}

bool port_has_errors(void)
{
	return fcntl(STDERR_FILENO, F_GETFD) >= 0;
}

void port_redirect_errors(int fd)
{
	dup2(fd, STDERR_FILENO);
}

void port_write_error(const char *text, size_t len)
{
	put(STDERR_FILENO, text, len);
}
