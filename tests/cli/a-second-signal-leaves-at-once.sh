# A second signal ends the command then and there, and it says how many records were left.
. "${BASH_SOURCE%/*}/lib.sh"

signal_is_noted() {
	grep -q '^ShdPnd:.*0000000000000000' "/proc/$ours/status"
}

seq 1000 >input
start run --sink 'null:?delay=600000' --flush-timeout 0 --stop-timeout 10m --max-size 10 \
	--progress always - <input
until_true grep -q '20 held' err
kill -TERM $ours
until_true signal_is_noted
kill -0 $ours || fail "it left at the first signal"
kill -INT $ours
ended $ours
exits 130
says 'leaving at once; 20 records were left unwritten'
