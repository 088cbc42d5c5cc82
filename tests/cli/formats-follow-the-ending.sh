# Without --format each file is read by its ending; with it, all are.
. "${BASH_SOURCE%/*}/lib.sh"

printf 'a,b\n1,2\n' >one.CSV
printf '{"a":3}\n' >two.jsonl
printf 'a\tb\n5\t6\n' >three.tsv
printf 'a,b\n' >four.log
run run --sink sqlite:a.db one.CSV two.jsonl three.tsv four.log
exits 0
is "1|2|,3||,5|6|,||a,b" "$(sql a.db 'SELECT * FROM records' | paste -sd,)" "the rows"

run run --sink file:lines --format lines one.CSV two.jsonl
exits 0
cat one.CSV two.jsonl | cmp - lines || fail "not the lines of both files"
