# A transient failure is told once for each cause and tried again; a rejected batch comes down to the record
# at fault.
. "${BASH_SOURCE%/*}/lib.sh"

build_sink moody <<-'EOF'
	#include <databuffer/sink.h>
	#include <stdatomic.h>

	static atomic_int calls;

	static int moody_open(const databuffer_sink_config *config, void **state, databuffer_sentence *why)
	{
		(void)why;
		*state = fopen(config->target, "a");
		return *state ? 0 : -errno;
	}

	/* Fails three times for one reason, twice for another; never takes a record with a "p" in it. */
	static int moody_flush(void *state, databuffer_batch *batch, databuffer_sentence *why)
	{
		int call = atomic_fetch_add(&calls, 1);
		databuffer_item item;
		databuffer_record record;

		if (call < 3)
			return databuffer_sentence_set(why, -EAGAIN, "the moon is full");
		if (call < 5)
			return databuffer_sentence_set(why, DATABUFFER_RETRY, "the tide is high");
		while (databuffer_batch_next(batch, &item)) {
			databuffer_record_open(&record, item.data, item.len);
			if (memchr(record.text, 'p', record.text_len))
				return databuffer_sentence_set(why, DATABUFFER_REJECT,
				                               "there is poison in it");
		}
		databuffer_batch_rewind(batch);
		while (databuffer_batch_next(batch, &item)) {
			databuffer_record_open(&record, item.data, item.len);
			fprintf(state, "%.*s\n", (int)record.text_len, record.text);
		}
		return -fflush(state);
	}

	static void moody_close(void *state)
	{
		fclose(state);
	}

	DATABUFFER_SINK(moody) = {
		.abi = DATABUFFER_SINK_ABI,
		.name = "moody",
		.target = "FILE",
		.help = "has moods",
		.open = moody_open,
		.flush = moody_flush,
		.close = moody_close,
	};
EOF
seq 1000 | sed 's/^\(77\|500\|501\)$/poison &/' >input
run run --sink ./moody.so:kept --max-size 300 --retry-min 5 --retry-max 10 --rejects bad --json input
exits 0
is "the moon is full; trying again,the tide is high; trying again,the sink takes records again" \
	"$(sed 's/^databuffer: //' err | paste -sd,)" "standard error"
grep -v poison input | cmp - kept || fail "the records, in order"
is "77 500 501" "$(sed 's/.*"line":\([0-9]*\).*/\1/' bad | paste -sd' ')" "the lines of the rejects"
is 3 "$(grep -c '"reason":"there is poison in it"' bad)" "the rejects with the sink's own words"
is "1000 997 3 5" "$(figures records flushed rejected retries)" "the summary"
