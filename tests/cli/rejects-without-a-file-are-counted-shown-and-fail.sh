# Without --rejects the records that do not fit are shown, counted, and the reason for exit status 1.
. "${BASH_SOURCE%/*}/lib.sh"

for i in $(seq 30); do echo '{"a":1}'; echo "bad $i"; done >input.ndjson
run run --sink sqlite:a.db --json input.ndjson
exits 1
says '^databuffer: input.ndjson:2: malformed JSON' '^databuffer: input.ndjson:20: ' \
	'only counted; --rejects FILE' '^databuffer: 30 records were not written'
is 10 "$(grep -c 'input.ndjson:' err)" "the number of records shown"
is "60 30 30" "$(figures records flushed rejected)" "the summary"
is 30 "$(sql a.db 'SELECT count(*) FROM records')" "the number of rows"
