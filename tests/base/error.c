/* SPDX-License-Identifier: MIT */
/* error.c: every number has a sentence, every trigger a name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <databuffer.h>

static void each_error_has_the_sentence_of_the_table(void **state)
{
	(void)state;
#define CHECK(name, number, text)                                                                     \
	assert_int_equal(DATABUFFER_##name, (number));                                                \
	assert_true((number) < 0);                                                                    \
	assert_string_equal(databuffer_strerror(DATABUFFER_##name), text);
	DATABUFFER_ERRORS(CHECK)
#undef CHECK
}

static void a_handlers_answers_have_sentences_too(void **state)
{
	const char *unknown = databuffer_strerror(INT_MAX);
	const char *retry = databuffer_strerror(DATABUFFER_RETRY);
	const char *reject = databuffer_strerror(DATABUFFER_REJECT);
	const char *too_large = databuffer_strerror(DATABUFFER_TOO_LARGE);

	(void)state;
	assert_string_not_equal(databuffer_strerror(DATABUFFER_OK), unknown);
	assert_string_not_equal(retry, unknown);
	assert_string_not_equal(reject, unknown);
	assert_string_not_equal(too_large, unknown);
	assert_string_not_equal(retry, reject);
	assert_string_not_equal(too_large, reject);
}

static void other_negative_numbers_are_the_systems(void **state)
{
	(void)state;
	assert_string_equal(databuffer_strerror(-ECONNREFUSED), "Connection refused");
	assert_string_equal(databuffer_strerror(-ENOSPC), "No space left on device");
}

static void no_number_is_without_a_sentence(void **state)
{
	static const int strange[] = { INT_MIN, -INT_MAX, -100000, 4, 100000, INT_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
		assert_string_equal(databuffer_strerror(strange[i]), "no error has this number");
	for (int rc = -200; rc <= 10; rc++) {
		assert_non_null(databuffer_strerror(rc));
		assert_true(strlen(databuffer_strerror(rc)) > 0);
	}
}

static void the_version_is_that_of_the_header(void **state)
{
	char version[32];

	(void)state;
	snprintf(version, sizeof(version), "%d.%d.%d", DATABUFFER_VERSION_MAJOR, DATABUFFER_VERSION_MINOR,
	         DATABUFFER_VERSION_PATCH);
	assert_string_equal(databuffer_version(), version);
}

static void each_trigger_has_its_name_and_any_other_is_unknown(void **state)
{
	(void)state;
#define CHECK(name, text) assert_string_equal(databuffer_trigger_name(DATABUFFER_TRIGGER_##name), text);
	DATABUFFER_TRIGGERS(CHECK)
#undef CHECK
	assert_string_equal(databuffer_trigger_name(DATABUFFER_TRIGGER_COUNT), "unknown");
	assert_string_equal(databuffer_trigger_name((databuffer_trigger)7), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_error_has_the_sentence_of_the_table),
		cmocka_unit_test(a_handlers_answers_have_sentences_too),
		cmocka_unit_test(other_negative_numbers_are_the_systems),
		cmocka_unit_test(no_number_is_without_a_sentence),
		cmocka_unit_test(the_version_is_that_of_the_header),
		cmocka_unit_test(each_trigger_has_its_name_and_any_other_is_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
