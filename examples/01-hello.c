/* 01-hello.c: eight words go in one by one, and print has them in batches of three. */
#include <databuffer.h>
#include <stdio.h>
#include <string.h>

static int print(databuffer_batch *batch, void *flushed)
{
	databuffer_item item;
	while (databuffer_batch_next(batch, &item))
		printf("%.*s ", (int)item.len, (const char *)item.data);
	puts("");
	*(size_t *)flushed += databuffer_batch_size(batch);
	return 0; /* flushed */
}

int main(void)
{
	const char *words[] = { "a", "buffer", "gathers", "items", "and", "hands", "on", "batches" };
	size_t flushed = 0;
	databuffer *buf;
	databuffer_options o = databuffer_options_init();
	o.max_size = 3;
	o.handle_flush = print;
	o.flush_meta = &flushed;
	if (databuffer_start(&buf, &o) < 0)
		return 1;
	for (size_t i = 0; i < 8; i++)
		databuffer_insert(buf, words[i], strlen(words[i]));
	return databuffer_stop(buf, 5000) == 0 && flushed == 8 ? 0 : 1;
}
