# A sink in worker processes may crash, and nothing is lost but the record that makes it.
. "${BASH_SOURCE%/*}/lib.sh"

cat >fragile.c <<'C'
#include <databuffer/sink.h>
#include <signal.h>
#include <stdlib.h>

static int fragile_open(const databuffer_sink_config *config, void **state, databuffer_sentence *why)
{
	*state = fopen(config->target, "a");
	return *state ? 0 : databuffer_sentence_set(why, -1, "cannot open %s", config->target);
}

static int fragile_flush(void *state, databuffer_batch *batch, databuffer_sentence *why)
{
	databuffer_item item;
	databuffer_record record;
	while (databuffer_batch_next(batch, &item)) {
		if (databuffer_record_open(&record, item.data, item.len) != 0)
			continue;
		if (record.text_len == 4 && memcmp(record.text, "1234", 4) == 0)
			raise(SIGSEGV);
		if (record.text_len == 4 && memcmp(record.text, "4321", 4) == 0)
			exit(3);
	}
	databuffer_batch_rewind(batch);
	while (databuffer_batch_next(batch, &item))
		if (databuffer_record_open(&record, item.data, item.len) == 0)
			fprintf(state, "%.*s\n", (int)record.text_len, record.text);
	return fflush(state) == 0 ? 0 : databuffer_sentence_set(why, -1, "cannot write");
}

DATABUFFER_SINK(fragile) = {
	.abi = DATABUFFER_SINK_ABI,
	.name = "fragile",
	.target = "FILE",
	.help = "crashes now and then",
	.open = fragile_open,
	.flush = fragile_flush,
};
C
"$CC" -shared -fPIC -I"$SOURCE/include" fragile.c -o fragile.so || fail "the sink does not compile"

ulimit -c 0
seq 6000 >input
run run --sink ./fragile.so:out.txt --flusher processes --max-size 500 --rejects rejects.json --json input
exits 0
is "6000 5998 2" "$(figures records flushed rejected)" "the figures"
grep -vE '^(1234|4321)$' input >wanted
sort -n out.txt | cmp - wanted || fail "not all other records were written, each once"
is 2 "$(lines_in rejects.json)" "records in the rejects"
grep -q '"reason":"killed by SIGSEGV".*"record":"1234"' rejects.json || fail "no reason for 1234: $(cat rejects.json)"
grep -q '"reason":"exited with status 3".*"record":"4321"' rejects.json ||
	fail "no reason for 4321: $(cat rejects.json)"
says "killed by SIGSEGV"
