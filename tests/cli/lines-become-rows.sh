# Each line is a record with one field, whatever its end and whatever its bytes.
. "${BASH_SOURCE%/*}/lib.sh"

printf 'one\r\ntwo\n\nzero\0byte\n\xff\xfe\nlast' >input
run run --sink sqlite:a.db input
exits 0
silent
is "'one' 'two' '' X'7A65726F0062797465' X'FFFE' 'last'" \
	"$(sql a.db 'SELECT quote(line) FROM records ORDER BY rowid' | paste -sd' ')" "the table"

# From a pipe, and again into the same table.
printf 'three\n' | "$DATABUFFER" run --sink sqlite:a.db || fail "from a pipe"
is 7 "$(sql a.db 'SELECT count(*) FROM records')" "the number of rows"
printf '' | "$DATABUFFER" run --sink sqlite:a.db - || fail "from an empty pipe"
is 7 "$(sql a.db 'SELECT count(*) FROM records')" "the number of rows"
is wal "$(sql a.db 'PRAGMA journal_mode')" "the journal's mode"
