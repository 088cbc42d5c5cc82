/* SPDX-License-Identifier: MIT */
/*
 * json.h: one line of JSON, as the fields of its object. Behind it is simdjson,
 * whose language is C++; it is in json.cc alone.
 *
 * A line is an object if and only if it is one by RFC 8259 and
 *      no object in it has a key twice, and no key a NUL,
 *      its integers are those of 64 bits with a sign, and its reals finite,
 *      its strings are Unicode: no half of a pair of surrogates,
 *      arrays and objects stand in each other no deeper than JSON_DEPTH.
 */
#ifndef DATABUFFER_CLI_JSON_H
#define DATABUFFER_CLI_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include <databuffer/sink.h>

#ifdef __cplusplus
extern "C" {
#endif

#define JSON_DEPTH   1000
#define JSON_PADDING 64 /* bytes behind the text that may be read, whatever they are */

struct json;

struct json *json_new(void);
void json_delete(struct json *json);

/* Takes one field. Name and text are valid during the call; a text that stands
 * in the line as it is points there. Arrays and objects come as they are
 * written, without the blanks between. */
typedef void json_field_fn(void *ctx, const char *name, size_t name_len, const databuffer_field *value);

/* Reads a line of len bytes and JSON_PADDING more. False: it does not fit, for
 * this reason; some of its fields may have been given. */
bool json_read(struct json *json, const char *text, size_t len, json_field_fn *field, void *ctx, char *reason,
               size_t reason_size);

#ifdef __cplusplus
}
#endif

#endif
