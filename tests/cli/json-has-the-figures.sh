# --json prints one object, on one line, with figures that add up.
. "${BASH_SOURCE%/*}/lib.sh"

for i in $(seq 1000); do echo "{\"id\":$i}"; done >input.ndjson
echo '[]' >>input.ndjson
sql a.db 'CREATE TABLE records(id INTEGER CHECK (id <> 7))'
run run --sink sqlite:a.db --rejects bad --max-size 100 --json input.ndjson
exits 0
is 1 "$(lines_in out)" "the number of lines"
"$DATABUFFER" run --sink sqlite:b.db --format ndjson out || fail "it is not JSON"
is "1001|999|2|0|0|10|99.9" \
	"$(sql b.db 'SELECT records, flushed, rejected, left, retries, batches, mean_batch FROM records')" \
	"the figures"
is 1 "$(sql b.db "SELECT seconds > 0 AND abs(rate_per_s - flushed / seconds) < rate_per_s / 100 AND
	read_seconds >= 0 AND parse_seconds > 0 AND insert_seconds > 0 AND wait_seconds >= 0 AND
	sink_seconds > 0 AND
	read_seconds + parse_seconds + insert_seconds + wait_seconds <= seconds FROM records")" "the times"
is "end of input" "$(figures ended_by)" "what ended it"
