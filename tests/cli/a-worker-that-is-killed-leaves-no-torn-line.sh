# Workers that are killed in the middle of a batch leave nothing of it in the file; nothing is missing at the end.
. "${BASH_SOURCE%/*}/lib.sh"

# The processes with a name whose parent is so.
children() { # PARENT NAME
	for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
		[ "$(cat /proc/"$child"/comm 2>/dev/null)" == "$2" ] && echo "$child"
	done
}

seq 100000 >input
start run --sink 'file:out.txt?sync=1' --flusher processes --partitions 2 --max-size 300 --kill-limit 1000 \
	--max-restarts 10000 input
killed=0
while kill -0 $ours 2>/dev/null; do
	for server in $(children $ours db-forkserver); do
		for worker in $(children "$server" db-worker); do
			kill -KILL "$worker" 2>/dev/null && killed=$((killed + 1))
		done
	done
	sleep 0.01
done
ended $ours
exits 0
[ $killed -gt 0 ] || skip "it was done before a worker could be killed"
! grep -vxE '[0-9]+' out.txt || fail "there are torn lines"
# A batch whose worker was killed after it was written, and before that was known, is there twice.
sort -nu out.txt | cmp - input || fail "not each line of the input is there, or others are"
