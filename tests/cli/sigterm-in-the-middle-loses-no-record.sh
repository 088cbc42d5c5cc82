# Killed by SIGTERM in the middle of a million records, at any moment: each that was accepted is in the database or
# in the rejects, once. What was not read of a file is no record; what was read of a pipe is.
. "${BASH_SOURCE%/*}/lib.sh"

# One in a hundred does not fit, and the table refuses another. It is slow, so that the middle lasts.
{ echo n,word; seq 1000000 | sed 's/$/,word/; 0~100s/$/,more/'; } >input.csv
slow_table="CREATE TABLE records(n INTEGER CHECK (n % 100 <> 7), word);
	CREATE TRIGGER slow AFTER INSERT ON records BEGIN SELECT count(*) FROM (WITH RECURSIVE counted(i) AS
		(SELECT 1 UNION ALL SELECT i + 1 FROM counted WHERE i < 400) SELECT i FROM counted); END"

has_rows() {
	[ "$(sql a.db 'SELECT count(*) FROM records')" -ge "$1" ]
}

killed_at() { # ROWS FLAG...
	local rows=$1 records
	shift
	rm -f a.db* bad
	sql a.db "$slow_table"
	start run --sink sqlite:a.db --rejects bad --json "$@"
	until_true has_rows "$rows"
	kill -TERM $ours
	ended $ours
	exits 0
	records=$(figures records)
	is signal "$(figures ended_by)" "what ended it"
	[ "$records" -lt 1000000 ] || fail "it was read to its end"
	is "$records" "$(($(figures flushed) + $(figures rejected) + $(figures left)))" "the sum"
	is "$(figures flushed)" "$(sql a.db 'SELECT count(*) FROM records')" "the number of rows"
	is "$(($(figures rejected) + $(figures left)))" "$(lines_in bad)" "the number of rejects"
	all_accounted 1 "$records" a.db n bad
}

# Of a file, at different moments; in many small batches, over partitions.
killed_at 1 --max-size 500 input.csv
killed_at 8000 --max-size 500 input.csv
killed_at 9000 --max-size 300 --partitions 4 --max-in-flight 2 input.csv

# Of a pipe.
mkfifo stream
cat input.csv >stream 2>/dev/null &
killed_at 5000 --max-size 500 --format csv stream

# No time to write what is held: it is in the rejects.
cat input.csv >stream 2>/dev/null &
killed_at 5000 --max-size 5000 --stop-timeout 0 --format csv stream
[ "$(figures left)" -gt 0 ] || fail "nothing was left"
