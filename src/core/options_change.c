/* SPDX-License-Identifier: MIT */
/* options_change.c: options of a running buffer: what may change, and the change. */
#include <stdbool.h>
#include <string.h>

#include "core/options.h"
#include "core/options_table.h"

#define OPTIONS_POINTER(field) { #field, offsetof(databuffer_options, field) }

/* What has no row, and is fixed. */
static const struct options_pointer {
	const char *name;
	size_t offset;
} options_pointers[] = {
	OPTIONS_POINTER(handle_flush), OPTIONS_POINTER(flush_meta), OPTIONS_POINTER(handle_dead),
	OPTIONS_POINTER(handle_drop),  OPTIONS_POINTER(handle_left), OPTIONS_POINTER(handle_pressure),
	OPTIONS_POINTER(handle_log),
};

static bool options_text_differs(const databuffer_options *a, const databuffer_options *b, size_t offset)
{
	const char *one, *other;

	memcpy(&one, (const char *)a + offset, sizeof(one));
	memcpy(&other, (const char *)b + offset, sizeof(other));
	return one && other ? strcmp(one, other) != 0 : one != other;
}

/* The buffer has a copy of its own. */
static bool options_allocator_differs(const databuffer_allocator *a, const databuffer_allocator *b)
{
	if (!a || !b)
		return a != b;
	return a->alloc != b->alloc || a->free != b->free || a->ctx != b->ctx;
}

static int options_refuse_fixed(const databuffer_options *given, const char *what)
{
	options_refuse(given, "%s differs from what the buffer was started with, and cannot change while it runs", what);
	return DATABUFFER_EINVAL;
}

static int options_check_fixed(const databuffer_options *given, databuffer_options *full,
                               databuffer_options *running)
{
	const struct options_row *row;

	for (size_t i = 0; (row = options_row_at(i)); i++) {
		if (row->option.live)
			continue;
		if (row->option.type == DATABUFFER_OPTION_TEXT) {
			if (options_text_differs(full, running, row->offset))
				return options_refuse_fixed(given, row->option.name);
		} else if (*options_number(full, row) != *options_number(running, row)) {
			options_refuse(given, "%s is %lld, but the buffer runs with %lld, and that cannot change meanwhile",
			               row->option.name, (long long)*options_number(full, row),
			               (long long)*options_number(running, row));
			return DATABUFFER_EINVAL;
		}
	}
	for (size_t i = 0; i < sizeof(options_pointers) / sizeof(options_pointers[0]); i++) {
		const struct options_pointer *pointer = &options_pointers[i];

		if (memcmp((const char *)full + pointer->offset, (const char *)running + pointer->offset,
		           sizeof(void *)) != 0)
			return options_refuse_fixed(given, pointer->name);
	}
	if (options_allocator_differs(full->allocator, running->allocator))
		return options_refuse_fixed(given, "allocator");
	return 0;
}

int options_check_change(const databuffer_options *given, databuffer_options *running, databuffer_options *full)
{
	databuffer_options copy;
	int rc = options_check(given, &copy);

	if (rc == 0)
		rc = options_check_fixed(given, &copy, running);
	if (rc == 0)
		*full = copy;
	return rc;
}

void options_change(databuffer_options *running, databuffer_options *full)
{
	const struct options_row *row;

	for (size_t i = 0; (row = options_row_at(i)); i++) {
		if (row->option.live)
			*options_number(running, row) = *options_number(full, row);
	}
}

void options_give(const databuffer_options *full, databuffer_options *options)
{
	size_t size = options->struct_size;

	memcpy(options, full, options_smaller(size, sizeof(*full)));
	options->struct_size = size;
}
