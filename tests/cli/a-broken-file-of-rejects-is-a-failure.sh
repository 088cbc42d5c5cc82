# When rejects cannot be written that is said, and exit status 1; the stream goes on.
. "${BASH_SOURCE%/*}/lib.sh"

printf '{"a":1}\nbad\n{"a":2}\nbad\n' >input.ndjson
run run --sink sqlite:a.db --rejects missing/bad input.ndjson
exits 1
says 'cannot write rejected records to missing/bad: No such file'
[ ! -e a.db ] || fail "it began all the same"

[ -w /dev/full ] || skip "there is no /dev/full"
run run --sink sqlite:a.db --rejects /dev/full --json input.ndjson
exits 1
says 'cannot write rejected records to /dev/full: No space left on device' \
	'from here on they are only counted' 	'2 records were not written'
is 2 "$(sql a.db 'SELECT count(*) FROM records')" "the number of rows"

# Neither can a summary that nobody gets be a success.
"$DATABUFFER" run --sink null: --json </dev/null >/dev/full 2>err
status=$?
exits 1
says 'cannot write the summary'
