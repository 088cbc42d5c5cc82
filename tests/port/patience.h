/* SPDX-License-Identifier: MIT */
/* What the tests of the port wait for: not for ever, and never for a guess of time. Included after <cmocka.h>. */
#ifndef DATABUFFER_TESTS_PORT_PATIENCE_H
#define DATABUFFER_TESTS_PORT_PATIENCE_H

#include <unistd.h>

#include "port/port.h"

#define PATIENCE_NS (30000 * PORT_NS_PER_MS)

static inline int64_t patience(void)
{
	return port_now_ns() + PATIENCE_NS;
}

#define WAIT_FOR(condition)                                                                                 \
	do {                                                                                                \
		int64_t until_ns_ = patience();                                                             \
		while (!(condition)) {                                                                      \
			if (port_now_ns() > until_ns_)                                                      \
				fail_msg("not in time: %s", #condition);                                    \
			usleep(1000);                                                                       \
		}                                                                                           \
	} while (0)

#endif
