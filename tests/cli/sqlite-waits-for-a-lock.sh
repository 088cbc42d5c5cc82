# While another process has the database locked nothing is lost: it is tried again until the lock is gone.
. "${BASH_SOURCE%/*}/lib.sh"
often='--retry-min 5 --retry-max 20 --progress always'

# Locked from the start and for a while, through a dozen attempts.
seq 20000 >input
sql a.db "CREATE TABLE records(line)"
other_begin a.db
other_does "BEGIN EXCLUSIVE; INSERT INTO records VALUES ('theirs')"
# shellcheck disable=SC2086
start run --sink 'sqlite:a.db?busy=20' $often --json input
until_true grep -q 'a.db is locked by another process; trying again' err
until_true retried 12
other_does COMMIT
other_end
ended $ours
exits 0
is "20001|20000" "$(sql a.db "SELECT count(*), count(DISTINCT line) - 1 FROM records")" "the rows"
[ "$(figures retries)" -ge 12 ] || fail "it was tried again $(figures retries) times"
is "20000 0" "$(figures flushed left)" "the summary"
is 1 "$(grep -c 'is locked' err)" "how often it was said"
says 'the sink takes records again'

# Again and again in the middle of a stream, by a process that writes as well.
mkfifo stream
# shellcheck disable=SC2086
start run --sink 'sqlite:b.db?busy=5' $often --max-size 500 --rejects bad --json stream
exec 8>stream
seq 1 1000 >&8
has_rows() {
	[ "$(sql b.db "SELECT count(*) FROM records WHERE line <> 'theirs'")" -ge "$1" ]
}
until_true has_rows 1000
other_begin b.db
for turn in 1 2 3; do
	other_does "BEGIN EXCLUSIVE; INSERT INTO records VALUES ('theirs')"
	seq $((turn * 4000 - 2999)) $((turn * 4000 + 1000)) >&8
	until_true retried $((turn * 5))
	other_does COMMIT
	until_true has_rows $((turn * 4000 + 500))
done
other_end
exec 8>&-
ended $ours
exits 0
is "13000 0 0" "$(figures records rejected left)" "the summary of the stream"
is 3 "$(sql b.db "UPDATE records SET line = NULL WHERE line = 'theirs'; SELECT changes()")" "their rows"
all_accounted 1 13000 b.db line bad
[ ! -s bad ] || fail "there are rejects"

# Locked until the end, which comes by SIGTERM: what was read is in the rejects.
other_begin c.db
other_does "CREATE TABLE records(line)"
mkfifo stream2
# shellcheck disable=SC2086
start run --sink 'sqlite:c.db?busy=5' $often --max-size 500 --stop-timeout 200 --rejects bad2 --json stream2
exec 8>stream2
seq 1 1000 >&8
has_all() {
	[ "$(sql c.db 'SELECT count(*) FROM records')" -ge 1000 ]
}
until_true has_all
other_does "BEGIN EXCLUSIVE"
seq 1001 4000 >&8
until_true retried 5
kill -TERM $ours
ended $ours
exec 8>&-
other_does COMMIT
other_end
exits 0
is "1000 signal" "$(figures flushed ended_by)" "the summary of a lock until the end"
is "$(figures records)" "$((1000 + $(lines_in bad2)))" "the records"
all_accounted 1 "$(figures records)" c.db line bad2
