/* A program of a user's, C and C++ alike: three items in, three items out. */
#include <databuffer.h>
#include <stdio.h>
#include <string.h>

static int count(databuffer_batch *batch, void *meta)
{
	*(size_t *)meta += databuffer_batch_size(batch);
	return 0;
}

int main(void)
{
	size_t flushed = 0;
	int i, rc;
	databuffer *buf;
	databuffer_options o = databuffer_options_init();

	o.handle_flush = count;
	o.flush_meta = &flushed;
	rc = databuffer_start(&buf, &o);
	if (rc < 0) {
		fprintf(stderr, "start: %s\n", databuffer_strerror(rc));
		return 1;
	}
	for (i = 0; i < 3; i++) {
		rc = databuffer_insert(buf, &i, sizeof i);
		if (rc < 0) {
			fprintf(stderr, "insert: %s\n", databuffer_strerror(rc));
			return 1;
		}
	}
	rc = databuffer_sync_flush(buf, NULL, 0, 5000);
	if (rc < 0) {
		fprintf(stderr, "sync_flush: %s\n", databuffer_strerror(rc));
		return 1;
	}
	if (databuffer_stop(buf, 5000) != 0)
		return 1;
	if (flushed != 3) {
		fprintf(stderr, "%lu items were flushed\n", (unsigned long)flushed);
		return 1;
	}
	return strcmp(databuffer_version(), EXPECTED_VERSION) != 0;
}
