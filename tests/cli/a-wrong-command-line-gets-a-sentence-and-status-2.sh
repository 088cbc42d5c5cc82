# A wrong flag or value is refused in one sentence that names it and what would be right.
. "${BASH_SOURCE%/*}/lib.sh"

seq 3 >input
wrong() { # PATTERN ARGUMENT...
	local pattern=$1
	shift
	run "$@"
	exits 2
	[ ! -s out ] || fail "standard output is not empty"
	says "$pattern"
	grep -vq '^Try' err || fail "there is no sentence"
	is 1 "$(grep -vc '^Try ' err)" "the number of sentences for $*"
}

# Every number of the library, below and above its range and as no number.
"$DATABUFFER" options >options
while read -r name rest; do
	range=$(sed -n 's/.*(\(-\{0,1\}[0-9]*\) to \([0-9]*\).*; default .*/\1 \2/p' <<<"$rest")
	[ -n "$range" ] || continue
	read -r least most <<<"$range"
	flag=--${name//_/-}
	wrong "$flag.*$least.*$most" run --sink null: "$flag=$((least - 1))" input
	wrong "$flag.*$least.*$most" run --sink null: "$flag=x" input
	[ ${#most} -gt 18 ] || wrong "$flag.*$least.*$most" run --sink null: "$flag=$((most + 1))" input
done <options
wrong '--flusher.*threads' run --sink null: --flusher neither input
wrong '--flusher' run --sink null: --flusher manual input
wrong '--flush-empty' run --sink null: --flush-empty 2 input
wrong 'retry_max.*retry_min' run --sink null: --retry-min 2s --retry-max 1s input

wrong '--max-line must be 1 to 268435456 bytes, not "0"' run --sink null: --max-line 0 input
wrong '--stop-timeout must be 0 to 86400000 ms, not "soon"' run --sink null: --stop-timeout soon input
wrong '--stall-timeout must be' run --sink null: --stall-timeout=-1 input
wrong '--format must be lines, ndjson, csv or tsv, not "xml"' run --sink null: --format xml input
wrong '--columns.*"a" is there twice' run --sink null: --columns a,b,A input
wrong '--columns is for csv and tsv, not for ndjson' run --sink null: --columns a,b --format ndjson input
wrong '--columns is for csv and tsv, and no input is' run --sink null: --columns a,b input
wrong '--columns is empty' run --sink null: --columns '' input
wrong '--progress must be' run --sink null: --progress maybe input
wrong "unrecognized option '--nonsense'" run --sink null: --nonsense input
wrong '--sink is missing' run input
wrong '--sink must be NAME:TARGET, .*not "null"' run --sink null input
wrong 'there is no sink "oracle"; there are sqlite, file, null' run --sink oracle:x input
wrong 'the sink sqlite needs a target: sqlite:FILE' run --sink sqlite: input
wrong 'the sink null takes no target' run --sink null:x input
wrong 'cannot load the sink ./none.so: cannot open' run --sink ./none.so:x input
wrong 'has no parameter "tables"; it has table, busy' run --sink 'sqlite:a.db?tables=x' input
wrong 'busy of the sink sqlite must be 0 to 3600000 ms, not "long"' run --sink 'sqlite:a.db?busy=long' input
wrong 'synchronous .*off or normal or full' run --sink 'sqlite:a.db?synchronous=maybe' input
wrong 'keep .*must be 1 to 9999' run --sink 'file:a?keep=0' input
wrong 'parameter keep .* needs a value' run --sink 'file:a?keep' input
wrong 'say what to do'
wrong 'there is no command "flush"' flush
[ ! -e a.db ] && [ ! -e a ] || fail "it began all the same"

# A target may hold any character, encoded.
run run --sink 'sqlite:odd%3Fname%25.db?table=a%26b' input
exits 0
is 3 "$(sql 'odd?name%.db' 'SELECT count(*) FROM "a&b"')" "the rows"
