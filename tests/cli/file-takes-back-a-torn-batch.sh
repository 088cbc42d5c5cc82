# A batch that found no room leaves nothing behind: when there is room it is there once, with no line torn.
. "${BASH_SOURCE%/*}/lib.sh"

seq -f '%09.0f' 3000 >input
mkfifo in
# No file may grow beyond 10 KiB, which is no multiple of anything; the limit is lifted later.
(
	trap '' XFSZ
	ulimit -S -f 10
	exec "$DATABUFFER" run --sink file:kept --max-size 300 --retry-min 5 --retry-max 20 in
) 2>err &
ours=$!
cat input >in
until_true grep -q 'cannot write kept: File too large; trying again' err
is 9000 "$(stat -c %s kept)" "the size while it fails, in whole batches"
prlimit --pid $ours --fsize=unlimited || skip "no limit can be lifted here"
ended $ours
exits 0
cmp input kept || fail "the records"
says 'the sink takes records again'
