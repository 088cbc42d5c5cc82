/* SPDX-License-Identifier: MIT */
/* utf8.h: what kind of bytes these are. */
#ifndef DATABUFFER_CLI_UTF8_H
#define DATABUFFER_CLI_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* ASCII without a NUL: valid as a whole and in any slice. */
bool utf8_is_plain(const char *text, size_t len);

/* How many bytes from the start are valid UTF-8; all of them if it is `len`. */
size_t utf8_valid(const char *text, size_t len);

#endif
