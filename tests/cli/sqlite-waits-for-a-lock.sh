# While another process has the database locked nothing is lost: it is tried again until the lock is gone.
. "${BASH_SOURCE%/*}/lib.sh"

seq 20000 >input
sql a.db "CREATE TABLE records(line)"

# A sqlite3 that holds the lock until we say so.
mkfifo orders
sqlite3 -batch a.db <orders >held 2>&1 &
holder=$!
exec 9>orders
echo "BEGIN EXCLUSIVE; INSERT INTO records VALUES ('theirs'); SELECT 'locked';" >&9
until_true grep -q locked held

start run --sink 'sqlite:a.db?busy=20' --retry-min 10 --retry-max 50 --json input
until_true grep -q 'a.db is locked by another process; trying again' err
echo "COMMIT; SELECT 'free';" >&9
exec 9>&-
wait $holder
ended $ours
exits 0
is "20001|20000" "$(sql a.db "SELECT count(*), count(DISTINCT line) - 1 FROM records")" "the rows"
[ "$(figures retries)" -gt 0 ] || fail "it was not tried again"
is "20000 0" "$(figures flushed left)" "the summary"
is 1 "$(grep -c 'is locked' err)" "how often it was said"
says 'the sink takes records again'
