# The file sink appends records as they were written, and puts the file aside between two batches.
. "${BASH_SOURCE%/*}/lib.sh"

echo already >kept
printf 'a\n\nb\xff\r\nc' >input
run run --sink file:kept input
exits 0
silent
printf 'already\na\n\nb\xff\nc\n' | cmp - kept || fail "what was appended"

# A record of several lines, and one larger than any buffer of ours.
{ printf 'a,b\n1,"x\ny"\n2,'; head -c 700000 /dev/zero | tr '\0' z; echo; } >input.csv
run run --sink file:csv input.csv
exits 0
tail -n +2 input.csv | cmp - csv || fail "records as they were written"

# 100 batches of 100 lines of 10 bytes; three fit.
seq -f '%09.0f' 10000 >input
run run --sink 'file:log?rotate=3000&keep=2' --max-size 100 input
exits 0
is "log log.1 log.2" "$(echo log*)" "the files"
is "1000 3000 3000" "$(stat -c %s log log.1 log.2 | paste -sd' ')" "their sizes"
tail -n 700 input | cmp - <(cat log.2 log.1 log) || fail "the records that are kept"

# Somebody else puts it aside.
mkfifo in
start run --sink file:moved --max-size 2 in
exec 9>in
seq 2 >&9
until_true test -s moved
mv moved moved.old
seq 3 4 >&9
exec 9>&-
ended $ours
exits 0
is "1 2 3 4" "$(cat moved.old moved | paste -sd' ')" "the lines of both files"
is "3 4" "$(paste -sd' ' moved)" "the lines of the new one"

# Many partitions, one file, no line torn.
seq -f 'line %06.0f' 50000 >input
run run --sink file:many --partitions 8 --max-size 70 input
exits 0
sort many | cmp - input || fail "the lines of eight partitions"

# Where it goes need not be a file.
seq 1000 | "$DATABUFFER" run --sink file:/dev/stdout | cmp - <(seq 1000) || fail "through a pipe"
