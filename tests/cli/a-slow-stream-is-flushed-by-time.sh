# A stream that trickles is flushed as time passes, long before a batch is full; a pause ends nothing.
. "${BASH_SOURCE%/*}/lib.sh"

has() {
	[ "$(sql a.db 'SELECT count(*) FROM records')" == "$1" ]
}
mkfifo in
start run --sink sqlite:a.db --flush-interval 30 --flush-jitter 0 --json in
exec 9>in
for i in 1 2 3; do
	printf 'rec' >&9
	printf 'ord %d\nand' $i >&9
	until_true has $i
	printf ' the rest\n' >&9
	until_true has $((i + 1))
	sql a.db "DELETE FROM records WHERE line LIKE 'and%'"
done
exec 9>&-
ended $ours
exits 0
is "record 1 record 2 record 3" "$(sql a.db 'SELECT line FROM records' | paste -sd' ')" "the rows"
is "6 6" "$(figures records flushed)" "the summary"
