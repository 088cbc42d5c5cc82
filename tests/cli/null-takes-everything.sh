# The null sink takes every record, as slowly as it is told to.
. "${BASH_SOURCE%/*}/lib.sh"

seq 100000 | "$DATABUFFER" run --sink null: --json >out || fail "exit status $?"
is "100000 100000 20 5000.0 0 0 0" "$(figures records flushed batches mean_batch rejected left retries)" \
	"the summary"
seq 10 | "$DATABUFFER" run --sink 'null:?delay=150' --max-size 5 --json >out || fail "exit status $?"
[ "$(figures sink_seconds | tr -d .)" -ge 300000 ] || fail "two batches took no 0.3 s: $(cat out)"
