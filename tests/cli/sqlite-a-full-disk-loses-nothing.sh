# When the disk is full the batch is kept and tried again; what never finds room is in the rejects.
. "${BASH_SOURCE%/*}/lib.sh"

[ "$(id -u)" -eq 0 ] || skip "only root can make a small disk"
mkdir disk
mount -t tmpfs -o size=12m tmpfs disk 2>/dev/null || skip "no small disk can be made here"
trap 'umount "$PWD/disk"' EXIT
head -c 11500000 /dev/zero >disk/ballast
seq 200000 >input

# Room comes in time.
start run --sink sqlite:disk/a.db --retry-min 10 --retry-max 50 --json input
until_true grep -q 'the disk is full: no room for more rows in disk/a.db; trying again' err
rm disk/ballast
ended $ours
exits 0
is "200000|200000" "$(sql disk/a.db 'SELECT count(*), count(DISTINCT line) FROM records')" "the rows"
[ "$(figures retries)" -gt 0 ] || fail "it was not tried again"

# Room never comes.
rm disk/a.db*
head -c 11500000 /dev/zero >disk/ballast
run run --sink sqlite:disk/a.db --retry-min 10 --retry-max 50 --stall-timeout 300 --stop-timeout 100 \
	--rejects bad --json - <input
exits 1
says 'the disk is full' 'nothing could be flushed for 300 ms: giving up'
rows=$(sql disk/a.db 'SELECT count(*) FROM records')
is "$(figures records)" "$((rows + $(lines_in bad)))" "the rows and rejects together"
is "$rows $(lines_in bad) stall" "$(figures flushed left ended_by)" \
	"the summary"
grep -q '"reason":"not written before the end: the disk is full' bad || fail "the reason: $(head -n 1 bad)"
# In order, none twice: what is in the table is the beginning, and the rejects go on.
is "$(seq "$(figures records)" | md5sum)" \
	"$({ sql disk/a.db 'SELECT line FROM records'; records_of bad; } | md5sum)" "the records"
