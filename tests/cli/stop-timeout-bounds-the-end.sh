# After a signal the end comes within --stop-timeout, and what was not written by then is in the rejects.
. "${BASH_SOURCE%/*}/lib.sh"

stuck='null:?delay=600000'
now_ms() {
	echo $(($(date +%s%N) / 1000000))
}

seq 100 >input
mkfifo in
start run --sink "$stuck" --flush-timeout 0 --stop-timeout 300 --max-size 10 --rejects bad --json \
	--progress always in
cat input >in
until_true grep -q '[1-9][0-9]* held' err
start=$(now_ms)
kill -TERM $ours
ended $ours
took=$(($(now_ms) - start))
[ $took -lt 10000 ] || fail "the end took $took ms"
exits 0
is "100 0 100" "$(figures records flushed left)" "the summary"
is "$(md5sum <input)" "$(records_of bad | sort -n | md5sum)" "the rejects"
is 100 "$(grep -c '"reason":"not written before the end: ' bad)" "the rejects with that reason"

# Without a file for them, they are lost, and that is a failure.
start run --sink "$stuck" --flush-timeout 0 --stop-timeout 100 --max-size 10 --progress always \
	input
until_true grep -q '[1-9][0-9]* held' err
kill -TERM $ours
ended $ours
exits 1
says 'records were not written, neither to the sink nor to a file of rejects'
