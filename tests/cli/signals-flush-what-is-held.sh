# SIGINT and SIGTERM stop the reading and flush what is held: all that was read is in the table.
. "${BASH_SOURCE%/*}/lib.sh"

count() {
	[ "$(sql "$1" 'SELECT count(*) FROM records')" -ge "$2" ]
}

for signal in INT TERM; do
	# An endless stream, in the middle of its batches.
	(seq 100000000 || :) 2>/dev/null | "$DATABUFFER" run --sink "sqlite:$signal.db" --json >out 2>err &
	ours=$!
	until_true count "$signal.db" 5000
	kill -$signal $ours
	ended $ours
	exits 0
	records=$(figures records)
	is "$records|$records|$records" \
		"$(sql "$signal.db" 'SELECT count(*), count(DISTINCT line), max(line * 1) FROM records')" \
		"the rows after SIG$signal"
	is "$records signal" "$(figures flushed ended_by)" "the summary"

	# One that is silent, with records held that no time would flush.
	mkfifo "in$signal"
	start run --sink "sqlite:$signal.2.db" --flush-interval 0 --progress always \
		"in$signal"
	exec 9>"in$signal"
	seq 42 >&9
	until_true grep -q '42 in ' err
	kill -$signal $ours
	ended $ours
	exec 9>&-
	exits 0
	is "42" "$(sql "$signal.2.db" 'SELECT count(*) FROM records')" \
		"the rows of a silent stream after SIG$signal"
done

# In the middle of a file: what is in the table is its beginning.
seq 2000000 >input
start run --sink sqlite:file.db --max-size 100 --json input
until_true count file.db 100
kill -TERM $ours
ended $ours
exits 0
records=$(figures records)
[ "$records" -lt 2000000 ] || fail "it was read to its end"
is "$records|$records" "$(sql file.db 'SELECT count(*), max(line * 1) FROM records')" "the rows"
