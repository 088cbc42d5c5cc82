/* SPDX-License-Identifier: MIT */
/* error.c: names and sentences for the numbers of <databuffer.h>, and its version. */
#include <limits.h>
#include <string.h>

#include <databuffer.h>

#define ERROR_TEXT(number) ERROR_TEXT_OF(number)
#define ERROR_TEXT_OF(number) #number

const char *databuffer_version(void)
{
	return ERROR_TEXT(DATABUFFER_VERSION_MAJOR) "." ERROR_TEXT(DATABUFFER_VERSION_MINOR) "." ERROR_TEXT(
		DATABUFFER_VERSION_PATCH);
}

/* What the system says of its own numbers. Not strerror, where it can be helped:
 * that one may write into memory that all threads share, and translates. */
static const char *error_system_text(int number)
{
#ifdef __GLIBC__
	return strerrordesc_np(number);
#else
	return strerror(number);
#endif
}

const char *databuffer_strerror(int rc)
{
	const char *text = NULL;

	switch (rc) {
#define ERROR_CASE(name, number, sentence) \
	case DATABUFFER_##name:            \
		return sentence;
		DATABUFFER_ERRORS(ERROR_CASE)
#undef ERROR_CASE
	case DATABUFFER_OK:
		return "all went well";
	case DATABUFFER_RETRY:
		return "the handler failed for now; the batch is kept and given again";
	case DATABUFFER_REJECT:
		return "the handler will never take this batch as it is";
	case DATABUFFER_TOO_LARGE:
		return "the batch is too large for the handler; it is given in halves";
	default:
		if (rc < 0 && rc != INT_MIN)
			text = error_system_text(-rc);
		return text ? text : "no error has this number";
	}
}

const char *databuffer_trigger_name(databuffer_trigger trigger)
{
	static const char *const names[] = {
#define ERROR_TRIGGER(name, text) [DATABUFFER_TRIGGER_##name] = text,
		DATABUFFER_TRIGGERS(ERROR_TRIGGER)
#undef ERROR_TRIGGER
	};

	return (unsigned)trigger < DATABUFFER_TRIGGER_COUNT ? names[trigger] : "unknown";
}
