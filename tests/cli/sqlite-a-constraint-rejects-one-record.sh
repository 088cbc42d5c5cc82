# What a constraint of the table refuses is rejected in SQLite's words, and the rest of its batch is written.
. "${BASH_SOURCE%/*}/lib.sh"

seq 1000 | sed 's/.*/{"id":&,"v":"x"}/' >input.ndjson
echo '{"id":500,"v":"again"}' >>input.ndjson
echo '{"id":2000,"v":"too long"}' >>input.ndjson
echo '{"id":"no number","v":"x"}' >>input.ndjson
echo '{"id":3000,"v":"x"}' >>input.ndjson

sql a.db "CREATE TABLE records(id INTEGER PRIMARY KEY, v TEXT CHECK (length(v) < 6))"
run run --sink sqlite:a.db --rejects bad --json --max-size 300 input.ndjson
exits 0
is "1001|503500" "$(sql a.db 'SELECT count(*), sum(id) FROM records')" "the rows"
is "1001 1002 1003" "$(sed 's/.*"line":\([0-9]*\).*/\1/' bad | paste -sd' ')" "the lines of the rejects"
grep -q 'UNIQUE constraint failed: records.id' bad || fail "the first reason: $(cat bad)"
grep -q 'CHECK constraint failed' bad || fail "the second reason: $(cat bad)"
grep -q 'datatype mismatch' bad || fail "the third reason: $(cat bad)"
is "1004 1001 3 0" \
	"$(figures records flushed rejected retries)" "the summary"

# Whatever the table says is to be done about it.
for what in ROLLBACK FAIL ABORT; do
	sql "$what.db" "CREATE TABLE records(id INTEGER UNIQUE ON CONFLICT $what, v)"
	run run --sink "sqlite:$what.db" --rejects "bad-$what" input.ndjson
	exits 0
	is "1003|505500.0" "$(sql "$what.db" 'SELECT count(*), sum(id) FROM records')" \
		"the rows, ON CONFLICT $what"
	is 1 "$(lines_in "bad-$what")" "the rejects, ON CONFLICT $what"
done
for what in IGNORE REPLACE; do
	sql "$what.db" "CREATE TABLE records(id INTEGER UNIQUE ON CONFLICT $what, v)"
	run run --sink "sqlite:$what.db" input.ndjson
	exits 0
	is "1003" "$(sql "$what.db" 'SELECT count(*) FROM records')" "the rows, ON CONFLICT $what"
done

# A trigger may refuse as well.
seq 400 | sed 's/.*/{"id":&,"up":1}/' >tree.ndjson
sed -i '123s/"up":1/"up":777/' tree.ndjson
sql b.db "CREATE TABLE records(id INTEGER PRIMARY KEY, up); CREATE TRIGGER t BEFORE INSERT ON records
	WHEN new.up = 777 BEGIN SELECT raise(FAIL, 'no such parent'); END"
run run --sink sqlite:b.db --rejects bad-tree tree.ndjson
exits 0
is 399 "$(sql b.db 'SELECT count(*) FROM records')" "the rows of the tree"
grep -q '"line":123,"reason":"no such parent"' bad-tree || fail "the reject of the tree: $(cat bad-tree)"
