# When the disk is full the batch is kept and tried again; what never finds room is in the rejects.
. "${BASH_SOURCE%/*}/lib.sh"

# A small disk: a tmpfs in a namespace of our own, where we may mount, and which is gone when we are.
if [ -z "${SMALL_DISK:-}" ]; then
	mkdir disk
	for unshare in 'unshare --mount' 'unshare --mount --map-root-user'; do
		$unshare mount -t tmpfs -o size=12m tmpfs disk 2>/dev/null || continue
		# shellcheck disable=SC2086
		SMALL_DISK=1 exec $unshare bash "$0"
	done
	skip "neither we nor a namespace of ours may mount a small disk"
fi
mount -t tmpfs -o size=12m tmpfs disk || fail "there is no small disk"
often='--retry-min 10 --retry-max 50 --progress always'

# One in a thousand does not fit anyway.
{ echo n; seq 1000000 | sed '0~1000s/$/,/'; } >input.csv

# It fills up in the middle, and room never comes.
# shellcheck disable=SC2086
run run --sink sqlite:disk/a.db $often --stall-timeout 300 --stop-timeout 200 --rejects bad --json \
	--format csv - <input.csv
exits 1
says 'the disk is full: no room for more rows in disk/a.db; trying again' \
	'nothing could be flushed for 300 ms: giving up'
rows=$(sql disk/a.db 'SELECT count(*) FROM records')
[ "$rows" -gt 100000 ] || fail "it was full from the start: $rows rows"
[ "$(figures records)" -lt 1000000 ] || fail "it never filled up"
is "$(figures records)" "$((rows + $(lines_in bad)))" "the rows and rejects together"
is "$rows stall" "$(figures flushed ended_by)" "the summary"
grep -q '"reason":"not written before the end: the disk is full' bad || fail "the reason: $(tail -n 1 bad)"
all_accounted 1 "$(figures records)" disk/a.db n bad
# In order: what is in the table is the beginning.
is "$rows" "$(sql disk/a.db 'SELECT count(*) FROM records WHERE n - n / 1000 = rowid')" "the rows in order"

# It fills up in the middle, and room comes.
rm disk/a.db*
head -c 10000000 /dev/zero >disk/ballast
head -n 200001 input.csv >short.csv
# shellcheck disable=SC2086
start run --sink sqlite:disk/b.db $often --rejects bad2 --json short.csv
until_true retried 5
rm disk/ballast
ended $ours
exits 0
is "200000 199800 200 0" "$(figures records flushed rejected left)" "the summary when room comes"
all_accounted 1 200000 disk/b.db n bad2
says 'the sink takes records again'

# It is full, and the end comes by SIGTERM.
rm disk/b.db*
head -c 10000000 /dev/zero >disk/ballast
mkfifo stream
# shellcheck disable=SC2086
start run --sink sqlite:disk/c.db $often --stop-timeout 200 --rejects bad3 --json --format csv stream
cat input.csv >stream 2>/dev/null &
until_true retried 5
kill -TERM $ours
ended $ours
exits 0
rows=$(sql disk/c.db 'SELECT count(*) FROM records')
is "$rows signal" "$(figures flushed ended_by)" "the summary after SIGTERM"
is "$(figures records)" "$((rows + $(lines_in bad3)))" "the rows and rejects together after SIGTERM"
all_accounted 1 "$(figures records)" disk/c.db n bad3
