# A sink of C++ may throw an exception out of a flush: the batch comes again, to another state, and in the end every
# state is closed.
. "${BASH_SOURCE%/*}/lib.sh"

cat >thrower.cc <<'C'
#include <databuffer/sink.h>
#include <stdexcept>
#include <string>

struct thrower {
	FILE *file;
	bool torn;
};

static int flushes;

static int thrower_open(const databuffer_sink_config *config, void **state, databuffer_sentence *why)
{
	thrower *opened = new thrower{ fopen(config->target, "a"), false };
	*state = opened;
	return opened->file ? 0 : databuffer_sentence_set(why, -1, "cannot open %s", config->target);
}

static int thrower_flush(void *state, databuffer_batch *batch, databuffer_sentence *why)
{
	thrower *opened = static_cast<thrower *>(state);
	std::string lines;
	databuffer_item item;
	databuffer_record record;
	if (opened->torn)
		return databuffer_sentence_set(why, -1, "this state has thrown before");
	if (flushes++ % 3 == 1) {
		opened->torn = true;
		throw std::runtime_error("thrown");
	}
	while (databuffer_batch_next(batch, &item))
		if (databuffer_record_open(&record, item.data, item.len) == 0)
			lines.append(record.text, record.text_len).append("\n");
	return fputs(lines.c_str(), opened->file) >= 0 && fflush(opened->file) == 0 ? 0 : -1;
}

static void thrower_close(void *state)
{
	thrower *opened = static_cast<thrower *>(state);
	fprintf(opened->file, "closed %s\n", opened->torn ? "torn" : "whole");
	fclose(opened->file);
	delete opened;
}

static databuffer_sink table()
{
	databuffer_sink sink{};
	sink.abi = DATABUFFER_SINK_ABI;
	sink.name = "thrower";
	sink.target = "FILE";
	sink.help = "throws now and then";
	sink.open = thrower_open;
	sink.flush = thrower_flush;
	sink.close = thrower_close;
	return sink;
}
DATABUFFER_SINK(thrower) = table();
C
"${CXX:-c++}" -shared -fPIC -I"$SOURCE/include" thrower.cc -o thrower.so || fail "the sink does not compile"

seq 1000 >input
run run --sink ./thrower.so:out.txt --max-size 100 --retry-min 1 --retry-max 2 --rejects bad --json input
exits 0
is "1000 1000 0" "$(figures records flushed rejected)" "the figures"
[ "$(figures retries)" -ge 3 ] || fail "it was not tried again: $(figures retries) retries"
says "threw an exception"
grep -v closed out.txt | sort -n | cmp - input || fail "not all records were written, each once"
is "$(figures retries)" "$(grep -c 'closed torn' out.txt)" "the states that were closed after a throw"
is "closed whole" "$(tail -n 1 out.txt)" "the last line, which the end writes"
