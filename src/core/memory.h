/* SPDX-License-Identifier: MIT */
/*
 * The heap memory of a buffer: the program's allocator, or malloc where it is NULL.
 *
 * It has what lives no longer than the buffer's insides. What is the process's
 * (threads, timers, handlers of events, texts of options) comes from malloc, and so
 * does what may outlive the buffer: its handle (registry.h), and the record of each
 * thread that inserts (producer.h). Items and their index are in maps (store.h).
 *
 * Some of it is asked for and freed under a partition's lock, so an allocator must
 * not call this library.
 */
#ifndef DATABUFFER_CORE_MEMORY_H
#define DATABUFFER_CORE_MEMORY_H

#include <stddef.h>

#include <databuffer.h>

/* NULL if there is none. */
void *memory_get(const databuffer_allocator *allocator, size_t size);
void *memory_get_zeroed(const databuffer_allocator *allocator, size_t count, size_t size);

/* Copies to a larger place and frees the smaller one; NULL: that is as it was. */
void *memory_grow(const databuffer_allocator *allocator, void *memory, size_t old_size, size_t size);

/* NULL is nothing to free. */
void memory_free(const databuffer_allocator *allocator, void *memory);

/* At the beginning of a cache line. */
void *memory_get_line(const databuffer_allocator *allocator, size_t size);
void memory_free_line(const databuffer_allocator *allocator, void *memory);

#endif
