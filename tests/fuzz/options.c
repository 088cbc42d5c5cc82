/* SPDX-License-Identifier: MIT */
/*
 * options.c: lines of "name=value" for databuffer_options_set. Checked:
 *
 *      a value that is taken is in its option's range, and no other field changed
 *      one that is refused changes nothing, and the sentence says so in one line
 *      a buffer starts with all that was taken, or says in a sentence why not
 */
#include "fuzz/fuzz.h"

#include <string.h>

#include <databuffer.h>

#define LINE_MAX 400

static char sentence[256];

static int ignore(databuffer_batch *batch, void *meta)
{
	(void)batch;
	(void)meta;
	return 0;
}

static const databuffer_option *find_option(const char *name)
{
	const databuffer_option *option;
	char word[64];
	size_t len = strlen(name);

	if (len >= sizeof(word))
		return NULL;
	for (size_t i = 0; i <= len; i++)
		word[i] = name[i] == '-' ? '_' : name[i];
	for (size_t i = 0; (option = databuffer_options_at(i)) != NULL; i++)
		if (strcmp(option->name, word) == 0)
			return option;
	return NULL;
}

/* Of which words two options differ: the one place, or NULL. Every field is a word. */
static const int64_t *find_change(const databuffer_options *before, const databuffer_options *after)
{
	const char *a = (const char *)before, *b = (const char *)after;
	const int64_t *changed = NULL;

	for (size_t at = 0; at < sizeof(*after); at += sizeof(int64_t)) {
		if (memcmp(a + at, b + at, sizeof(int64_t)) == 0)
			continue;
		CHECK(!changed);
		changed = (const int64_t *)(const void *)(b + at);
	}
	return changed;
}

static void check_sentence(void)
{
	CHECK(memchr(sentence, '\0', sizeof(sentence)));
	CHECK(sentence[0] != '\0');
	CHECK(!strchr(sentence, '\n'));
}

/* Names stay as long as the process, so that a fuzzer must not make many. */
static void make_few(char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + (text[i] & 1));
	if (len > 4 && len < 256)
		text[4] = '\0';
}

static void set(databuffer_options *options, const char *name, char *value)
{
	const databuffer_option *option = find_option(name);
	databuffer_options before = *options;
	const int64_t *changed;
	int rc;

	if (option && option->type == DATABUFFER_OPTION_TEXT)
		make_few(value);
	sentence[0] = '\0';
	rc = databuffer_options_set(options, name, value);
	changed = find_change(&before, options);
	if (rc != 0) {
		CHECK(rc == (option ? DATABUFFER_EINVAL : DATABUFFER_ENOENT));
		CHECK(!changed);
		check_sentence();
	} else if (option->type == DATABUFFER_OPTION_TEXT) {
		CHECK(strlen(options->name) >= 1 && strlen(options->name) <= (size_t)option->max);
	} else if (changed) {
		CHECK(*changed >= option->min && *changed <= option->max);
	}
}

/* Whether it is small enough to be started thousands of times a second. */
static bool is_small(const databuffer_options *options)
{
	return options->partitions <= 4 && options->max_size <= 1000 && options->max_size_jitter <= 1000 &&
	       options->max_bytes <= 1 << 20 && options->max_in_flight <= 4 && options->max_queued <= 4 &&
	       options->max_stuck <= 4;
}

static void start(databuffer_options options)
{
	databuffer *buf;
	int rc;

	options.flusher = DATABUFFER_MANUAL;
	options.name = NULL;
	options.timeout = 0;
	options.handle_flush = ignore;
	sentence[0] = '\0';
	rc = databuffer_start(&buf, &options);
	if (rc == 0) {
		CHECK(databuffer_insert(buf, "x", 1) == 0);
		CHECK(databuffer_stop(buf, 0) >= 0);
	} else {
		CHECK(rc == DATABUFFER_EINVAL);
		check_sentence();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	databuffer_options options = databuffer_options_init();
	const uint8_t *end = bytes + size;

	options.error = sentence;
	options.error_size = sizeof(sentence);
	options.max_size = 10;
	options.max_bytes = 1000;
	while (bytes < end) {
		const uint8_t *stop = memchr(bytes, '\n', (size_t)(end - bytes));
		size_t len = (size_t)((stop ? stop : end) - bytes);
		char line[LINE_MAX + 1] = "", *value;

		memcpy(line, bytes, len < LINE_MAX ? len : LINE_MAX);
		value = line + strcspn(line, "=");
		if (*value == '=')
			*value++ = '\0';
		set(&options, line, value);
		bytes += len + (stop != NULL);
	}
	if (is_small(&options))
		start(options);
	return 0;
}
