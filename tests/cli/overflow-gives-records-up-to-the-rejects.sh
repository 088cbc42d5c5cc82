# With an --overflow other than block the reader does not wait for a sink that is held up: what there is no room for
# is in the rejects, and everything else is written.
. "${BASH_SOURCE%/*}/lib.sh"

most_are_rejected() {
	[ "$(lines_in bad)" -ge 4000 ]
}

seq 5000 >input
for policy in fail drop_newest drop_oldest; do
	sql $policy.db "CREATE TABLE records(line)"
	mkfifo orders
	sqlite3 -batch $policy.db <orders >held 2>&1 &
	holder=$!
	exec 9>orders
	echo "BEGIN EXCLUSIVE; SELECT 'locked';" >&9
	until_true grep -q locked held

	start run --sink "sqlite:$policy.db?busy=10" --max-size 100 --retry-min 10 --retry-max 50 \
		--overflow $policy --rejects bad --json input
	until_true most_are_rejected
	echo "COMMIT;" >&9
	exec 9>&-
	wait $holder
	wait $ours
	status=$?
	exits 0
	{ records_of bad; sql $policy.db 'SELECT line FROM records'; } | sort -n >all
	cmp input all || fail "$policy: a record is missing, or twice"
	is 5000 "$(figures records)" "$policy: the records"
	is "$(lines_in bad)" "$(figures rejected)" "$policy: the rejected"
	newest=$(sql $policy.db 'SELECT max(CAST(line AS INTEGER)) FROM records')
	case $policy in
	drop_oldest) is 5000 "$newest" "the newest that is written" ;;
	*) is true "$([ "$newest" -lt 5000 ] && echo true)" "$policy: the newest are given up" ;;
	esac
	rm -f orders bad
done
