/* SPDX-License-Identifier: MIT */
/* log.c: where a line goes and what becomes of it on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <databuffer.h>

#include "core/log.h"

static char line[2 * LOG_LINE_SIZE];
static databuffer_log_level level;

static void handle_log(databuffer_log_level of_line, const char *text, void *meta)
{
	snprintf(line, sizeof(line), "%s", text);
	level = of_line;
	assert_ptr_equal(meta, &line);
	errno = ENOSPC;
}

static databuffer_options logging(void)
{
	databuffer_options options = databuffer_options_init();

	options.handle_log = handle_log;
	options.flush_meta = &line;
	return options;
}

static void a_line_goes_to_handle_log_with_its_level_and_meta(void **state)
{
	databuffer_options options = logging();

	(void)state;
	log_line(&options, DATABUFFER_LOG_WARNING, "%d of %s", 3, "all");
	assert_string_equal(line, "3 of all");
	assert_int_equal(level, DATABUFFER_LOG_WARNING);
}

static void errno_is_left_as_it_was(void **state)
{
	databuffer_options options = logging();

	(void)state;
	errno = EINTR;
	log_line(&options, DATABUFFER_LOG_ERROR, "anything");
	assert_int_equal(errno, EINTR);
}

static void no_text_begins_a_second_line(void **state)
{
	databuffer_options options = logging();

	(void)state;
	log_line(&options, DATABUFFER_LOG_ERROR, "%s", "one\ntwo\r\x1b[2J\x7f \xc3\xa9");
	assert_string_equal(line, "one?two??[2J? \xc3\xa9");
}

static void a_long_line_is_cut(void **state)
{
	databuffer_options options = logging();
	char text[3000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_line(&options, DATABUFFER_LOG_ERROR, "%s", text);
	assert_int_equal(strlen(line), LOG_LINE_SIZE - 1);
}

/* What log_line writes to standard error, which is a pipe meanwhile. */
static void log_to_pipe(const databuffer_options *options, char *text, size_t size)
{
	int ends[2], before = dup(STDERR_FILENO);
	ssize_t n;

	assert_int_equal(pipe(ends), 0);
	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	log_line(options, DATABUFFER_LOG_ERROR, "a line of %d", 1);
	assert_true(dup2(before, STDERR_FILENO) >= 0);
	n = read(ends[0], text, size - 1);
	close(ends[0]);
	close(ends[1]);
	close(before);
	assert_true(n >= 0);
	text[n] = '\0';
}

static void without_handle_log_a_line_goes_to_standard_error(void **state)
{
	databuffer_options options = databuffer_options_init();
	char text[100];

	(void)state;
	log_to_pipe(&options, text, sizeof(text));
	assert_string_equal(text, "databuffer: a line of 1\n");
	log_to_pipe(NULL, text, sizeof(text));
	assert_string_equal(text, "databuffer: a line of 1\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_goes_to_handle_log_with_its_level_and_meta),
		cmocka_unit_test(errno_is_left_as_it_was),
		cmocka_unit_test(no_text_begins_a_second_line),
		cmocka_unit_test(a_long_line_is_cut),
		cmocka_unit_test(without_handle_log_a_line_goes_to_standard_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
