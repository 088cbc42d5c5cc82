# A sink outside the tree, built against the headers alone, is loaded and used as those in the tree are.
. "${BASH_SOURCE%/*}/lib.sh"

# The one that the manual of the header shows; its comment is the source.
header=$SOURCE/include/databuffer/sink.h
sed -n '/^ \*      #include <databuffer\/sink.h>$/,/^ \*      };$/s/^ \*      \{0,1\}//p' "$header" |
	sed '/flush_nothing/d' | sed 's/^\t*//' >shown.c
[ "$(lines_in shown.c)" -gt 20 ] || fail "the header shows no sink any more"
build_sink print <shown.c
seq 10000 >input
run run --sink ./print.so:kept input
exits 0
silent
cmp input kept || fail "the records"

# A sink of the tree, built outside of it.
build_sink libfile <"$SOURCE/src/sinks/file.c"
run run --sink './libfile.so:kept2?rotate=1M' input
exits 0
cmp input kept2 || fail "the records"
run sinks ./libfile.so
exits 0
grep -q '^file:PATH' out || fail "it is not described"

# Fields of every type, as a sink sees them.
build_sink fields <<-'EOF'
	#include <databuffer/sink.h>
	#include <stdlib.h>

	static int fields_open(const databuffer_sink_config *config, void **state, databuffer_sentence *why)
	{
		(void)config;
		(void)why;
		*state = NULL;
		return 0;
	}

	static int fields_flush(void *state, databuffer_batch *batch, databuffer_sentence *why)
	{
		databuffer_item item;
		databuffer_record record;
		databuffer_field field;

		(void)state;
		(void)why;
		while (databuffer_batch_next(batch, &item)) {
			if (databuffer_record_open(&record, item.data, item.len) != 0)
				abort();
			printf("%u:%llu %u", record.source, (unsigned long long)record.line, record.fields);
			while (databuffer_record_next(&record, &field))
				printf(" %s:%d:%lld:%g:%.*s", field.name, field.type,
				       (long long)field.integer, field.real, (int)field.len,
				       field.text ? field.text : "");
			printf("\n");
		}
		return fflush(stdout);
	}

	DATABUFFER_SINK(fields) = {
		.abi = DATABUFFER_SINK_ABI,
		.name = "fields",
		.help = "prints fields",
		.open = fields_open,
		.flush = fields_flush,
	};
EOF
printf '\n{"n":null,"i":-5,"r":1.5,"b":true,"t":"x\\ty","j":[1,{}]}\n{}\n' >a.ndjson
printf 'v,w\n1,"a""b"\n' >b.csv
run run --sink ./fields.so: a.ndjson b.csv
exits 0
is "0:2 6 n:0:0:0: i:1:-5:0: r:2:0:1.5: b:3:1:0: t:4:0:0:x	y j:6:0:0:[1,{}]" "$(sed -n 1p out)" \
	"the first record"
is "0:3 0" "$(sed -n 2p out)" "the empty record"
is '1:2 2 v:1:1:0: w:4:0:0:a"b' "$(sed -n 3p out)" "the third record"

# What is no sink is refused in a sentence.
build_sink other <<<'int other;'
run run --sink ./other.so: input
exits 2
says 'other.so is no sink: it defines no databuffer_sink_other'
sed -i 's/DATABUFFER_SINK(fields)/DATABUFFER_SINK(old)/; s/\.abi = DATABUFFER_SINK_ABI/.abi = 999/' fields.c
build_sink old <fields.c
run run --sink ./old.so: input
exits 2
says 'was built for version 999 of <databuffer/sink.h>'
run run --sink ./missing.so: input
exits 2
says 'cannot load the sink ./missing.so'
