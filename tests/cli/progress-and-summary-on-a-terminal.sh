# On a terminal a line shows how far it is, and there is a summary at the end; elsewhere there is neither.
. "${BASH_SOURCE%/*}/lib.sh"
command -v script >/dev/null || skip "there is no script(1) to make a terminal"

seq 20 >input
export TERM=xterm
slowly="'$DATABUFFER' run --sink 'null:?delay=300' --max-size 10 --flush-interval 0"
script -qec "stty cols 200; $slowly input" shown </dev/null >/dev/null || fail "exit status $?"
tr '\r' '\n' <shown | sed 's/\x1b\[K//' >lines
grep -qE '^[0-9]+ in  [0-9]+ flushed  [0-9,]+/s  [0-9]+ held  0 retries  100 %  0:0[0-9] left$' lines ||
	fail "no line of progress: $(cat lines)"
grep -qE '^records +20   in [0-9.]+ s, [0-9]+ a second$' lines || fail "no summary: $(cat lines)"
grep -qE '^flushed +20   in 2 batches, 10 records in each on average$' lines ||
	fail "no batches: $(cat lines)"
grep -qE '^rejected +0$' lines || fail "no rejects: $(cat lines)"
grep -qE '^reading [0-9.]+ s, parsing .*; beside these, in the sink (0\.[6-9]|[1-9][0-9]*\.)[0-9]* s$' lines ||
	fail "no times: $(cat lines)"

# What is said meanwhile stands on a line of its own.
printf 'x\n' >bad.ndjson
seq 20 | sed 's/.*/{"a":&}/' >>bad.ndjson
script -qec "$slowly bad.ndjson" shown </dev/null >/dev/null && fail "exit status 0"
tr '\r' '\n' <shown | sed 's/\x1b\[K//' >lines
grep -q '^databuffer: bad.ndjson:1: malformed JSON' lines || fail "the reject has no line: $(cat lines)"

# Told not to, it does not; told to, it does.
script -qec "'$DATABUFFER' run --sink null: --progress never input" shown </dev/null >/dev/null ||
	fail "exit status $?"
grep -qE 'held|records' shown && fail "a line though it was told not to: $(cat shown)"
run run --sink null: input
exits 0
silent
run run --sink 'null:?delay=300' --progress always --max-size 10 input
grep -q ' held  ' err || fail "no line though it was told to"
run run --sink null: --summary input
grep -q '^records  *20  ' err || fail "no summary though it was told to"
