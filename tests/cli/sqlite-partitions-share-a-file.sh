# Several partitions write one file beside each other, and every record is there once.
. "${BASH_SOURCE%/*}/lib.sh"

seq 100000 >input
run run --sink sqlite:a.db --partitions 8 --max-in-flight 2 --max-size 500 --json input
exits 0
silent_err=$(cat err)
is "" "$silent_err" "standard error"
is "100000|100000|5000050000" "$(sql a.db 'SELECT count(*), count(DISTINCT line), sum(line) FROM records')" \
	"the rows"
is "0" "$(figures retries)" "the number of retries"

# Also while each adds columns of its own.
for i in $(seq 5000); do echo "{\"id\":$i,\"k$((i % 50))\":1}"; done >input.ndjson
run run --sink sqlite:b.db --partitions 8 --max-size 50 --json input.ndjson
exits 0
is "5000|5000|51" "$(sql b.db "SELECT count(*), count(DISTINCT id),
	(SELECT count(*) FROM pragma_table_info('records')) FROM records")" "the rows and columns"
