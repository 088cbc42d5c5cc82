# Each option of the library is a flag, and --help shows its range and default.
. "${BASH_SOURCE%/*}/lib.sh"

run options
exits 0
cp out options
[ "$(lines_in options)" -ge 10 ] || fail "there are too few options: $(cat options)"
"$DATABUFFER" run --help >help || fail "--help: exit status $?"
"$DATABUFFER" --help >help2 || fail "--help: exit status $?"
tr -s ' \n' '  ' <help >flat

seq 3 >input
while read -r name rest; do
	flag=--${name//_/-}
	range=$(sed 's/.*(\(.*\); default .*)$/\1/' <<<"$rest")
	initial=$(sed 's/.*; default \(.*\))$/\1/' <<<"$rest")
	grep -q -e "^  *$flag=" help || fail "run --help has no $flag"
	grep -q -e "^  *$flag=" help2 || fail "--help has no $flag"
	grep -qF -- "($range; default $initial)" flat || fail "the help of $flag shows no range and default"
	[ "$initial" == none ] && initial=some
	run run --sink null: "$flag=$initial" input
	exits 0
	run run --sink null: "$flag" "$initial" input
	exits 0
done <options

for flag in sink format columns max-line rejects stop-timeout stall-timeout json progress; do
	grep -q -e "--$flag" help || fail "--help has no --$flag"
done

# With a suffix, and with what it means.
run run --sink null: --max-size 1k --flush-interval 2s --max-bytes 4M --json input
exits 0
run run --sink null: --max-size 2 --json input
is 2 "$(figures batches)" "the batches of at most two"
