# Records that cannot be a row of the table are rejected by their fields, and no others.
. "${BASH_SOURCE%/*}/lib.sh"

sql a.db "CREATE TABLE records(a, twice AS (a * 2))"
printf '{"a":1}\n{"a":1,"A":2}\n{"twice":4}\n{"a":2}\n{"A":3,"B":4}\n' >input.ndjson
run run --sink sqlite:a.db --rejects bad input.ndjson
exits 0
is "1|2| 2|4| 3|6|4" "$(sql a.db 'SELECT * FROM records' | paste -sd' ')" "the rows"
grep -q '"line":2,"reason":"\\"a\\" and \\"A\\" are one column' bad || fail "$(cat bad)"
grep -q '"line":3,"reason":"cannot INSERT into generated column' bad || fail "$(cat bad)"

# Nothing to make a table of; once there is one, a row of defaults.
printf '{}\n{"a":1}\n{}\n' >empty.ndjson
run run --sink sqlite:c.db --rejects bad3 empty.ndjson
exits 0
is "1 " "$(sql c.db 'SELECT a FROM records' | paste -sd' ')" "the rows"
is 1 "$(lines_in bad3)" "the number of rejects"
grep -q '"line":1,"reason":"it has no fields, and without any the table records cannot be made' bad3 ||
	fail "$(cat bad3)"

# More columns than SQLite can have.
{ printf '{"k":1'; seq -f ',"k%g":1' 3000 | tr -d '\n'; echo '}'; echo '{"k":2}'; } >wide.ndjson
run run --sink sqlite:b.db --rejects bad2 wide.ndjson
exits 0
is 2 "$(sql b.db 'SELECT k FROM records')" "the row"
grep -q '"line":1,"reason":"too many columns' bad2 || fail "$(head -c 300 bad2)"
