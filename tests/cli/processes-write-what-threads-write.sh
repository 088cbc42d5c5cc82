# With --flusher processes each sink is opened in worker processes, and what is written is the same.
. "${BASH_SOURCE%/*}/lib.sh"

seq 20000 >input

run run --sink sqlite:rows.db --flusher processes --partitions 3 --max-size 500 --json input
exits 0
is "20000 20000 0 0" "$(figures records flushed rejected left)" "the figures of sqlite"
is 20000 "$(sql rows.db 'SELECT count(DISTINCT line) FROM records')" "rows in the table"

# Several processes append to one file: each batch is in it whole.
run run --sink file:lines.txt --flusher processes --flusher-count 3 --partitions 3 --max-size 500 input
exits 0
sort -n lines.txt | cmp - input || fail "the lines of the file are not those of the input"

# And put it aside in turn.
run run --sink 'file:turned.txt?rotate=20000&keep=99' --flusher processes --partitions 3 --max-size 100 input
exits 0
[ -e turned.txt.2 ] || fail "it was not put aside"
cat turned.txt turned.txt.* | sort -n | cmp - input || fail "the lines of all files are not those of the input"

run run --sink null: --flusher processes --json input
exits 0
is "20000 20000" "$(figures records flushed)" "the figures of null"

# Targets that cannot work are told before anything is read, as ever.
run run --sink file:/no/such/folder/file --flusher processes input
exits 1
says "cannot write /no/such/folder/file"

run run --sink null: --flusher manual input
exits 2
says "threads or processes"
