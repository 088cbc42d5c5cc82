# When nothing can be flushed for --stall-timeout it gives up, with status 1, and all that was read of a pipe
# is in the rejects.
. "${BASH_SOURCE%/*}/lib.sh"

seq 30000 >input
sql a.db "CREATE TABLE records(line)"
mkfifo orders
sqlite3 -batch a.db <orders >held 2>&1 &
holder=$!
exec 9>orders
echo "BEGIN EXCLUSIVE; SELECT 'locked';" >&9
until_true grep -q locked held

soon='--retry-min 10 --retry-max 50 --stall-timeout 300 --stop-timeout 100'
# shellcheck disable=SC2002,SC2086
cat input | "$DATABUFFER" run --sink 'sqlite:a.db?busy=10' $soon --rejects bad --json >out 2>err
status=$?
exits 1
says 'a.db is locked by another process; trying again' 'nothing could be flushed for 300 ms: giving up'
is "$(figures records) 0" "$(figures left flushed)" "the summary"
is "$(head -n "$(lines_in bad)" input | md5sum)" "$(records_of bad | sort -n | md5sum)" "the rejects"

# With the whole input in the buffer, or the rejects, there is nothing left to fail for.
seq 100 >short
# shellcheck disable=SC2086
run run --sink 'sqlite:a.db?busy=10' $soon --rejects bad2 short
exits 0
is 100 "$(lines_in bad2)" "the number of rejects"
echo "COMMIT;" >&9
exec 9>&-
wait $holder
is 0 "$(sql a.db 'SELECT count(*) FROM records')" "the number of rows"
