/* SPDX-License-Identifier: MIT */
/* watch.c: signals, and the line that is redrawn. */
#include "cli/watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/console.h"

#define WATCH_REDRAW 100 /* ms */

/* A hangup counts unless we were told not to mind, as nohup(1) does. */
static sigset_t watch_signals(void)
{
	struct sigaction hangup;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
		sigaddset(&set, SIGHUP);
	return set;
}

void watch_block_signals(void)
{
	sigset_t set = watch_signals();

	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static void watch_ring(int fd)
{
	const uint64_t one = 1;

	/* Fails only where it would ring already. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

static void watch_take_signal(struct watch *watch)
{
	struct signalfd_siginfo info;

	if (read(watch->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (atomic_load(&watch->signal) != 0) {
		watch->leave(watch->ctx, (int)info.ssi_signo);
		_exit(128 + (int)info.ssi_signo);
	}
	atomic_store(&watch->signal, (int)info.ssi_signo);
	watch_ring(watch->wake_fd);
}

static void *watch_main(void *opened)
{
	struct watch *watch = opened;
	struct pollfd fds[] = {
		{ .fd = watch->signal_fd, .events = POLLIN },
		{ .fd = watch->end_fd, .events = POLLIN },
	};

	for (;;) {
		if (poll(fds, 2, watch->draw ? WATCH_REDRAW : -1) < 0)
			continue;
		if (fds[0].revents)
			watch_take_signal(watch);
		if (fds[1].revents)
			return NULL;
		if (watch->draw)
			watch->draw(watch->ctx);
	}
}

int watch_start(struct watch *watch)
{
	sigset_t set = watch_signals();
	int error;

	watch->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	watch->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	watch->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = watch->signal_fd < 0 || watch->end_fd < 0 || watch->wake_fd < 0 ? errno : 0;
	if (!error)
		error = pthread_create(&watch->thread, NULL, watch_main, watch);
	if (error)
		console_say("cannot watch for signals: %s", strerror(error));
	return error ? -1 : 0;
}

void watch_end(struct watch *watch)
{
	watch_ring(watch->end_fd);
	pthread_join(watch->thread, NULL);
	close(watch->signal_fd);
	close(watch->end_fd);
	close(watch->wake_fd);
}
