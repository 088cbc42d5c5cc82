# A line over --max-line is a reject like others, however long, and kept to its last byte.
. "${BASH_SOURCE%/*}/lib.sh"

long() {
	head -c "$1" /dev/zero | tr '\0' "$2"
}
{ echo first; long 1001 x; echo; echo second; long 3000000 y; echo; long 1000 z; echo; long 2000 w; } >input
run run --sink file:kept --max-line 1000 --rejects bad --json input
exits 0
{ echo first; echo second; long 1000 z; echo; } | cmp - kept || fail "what was kept"
is 3 "$(lines_in bad)" "the number of rejects"
grep -q '"line":2,"reason":"1,001 bytes, over the limit of 1,000","record":"x*"' bad ||
	fail "the first long line"
is "1001 3000000 2000" "$(records_of bad | awk '{ print length }' | paste -sd' ')" \
	"the lengths of the rejects"
is "6 3 3" "$(figures records flushed rejected)" "the summary"

# In csv a quoted record may have many lines; the limit is for all of them.
{ echo a,b; echo '1,"'; long 900 x; echo; long 900 y; echo '"'; echo 2,3; } >input.csv
run run --sink sqlite:a.db --max-line 1000 --rejects bad2 input.csv
exits 0
is "2|3" "$(sql a.db 'SELECT * FROM records')" "the rows"
grep -q '"line":2,"reason":"a quote is opened and not closed within the limit' bad2 ||
	fail "the long record: $(cat bad2)"
run run --sink sqlite:b.db --max-line 2000 input.csv
exits 0
is "1802" "$(sql b.db 'SELECT length(b) FROM records WHERE a=1')" "the length of a record of three lines"

# Nor may a record be larger than a batch.
run run --sink null: --max-bytes 500 --rejects bad3 kept
exits 0
grep -q '"line":3,"reason":"with its fields it is larger than --max-bytes","record":"z*"' bad3 ||
	fail "$(cat bad3)"
