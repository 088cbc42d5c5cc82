# What was asked for goes to standard output, with status 0.
. "${BASH_SOURCE%/*}/lib.sh"

for word in --help 'run --help' 'sinks --help' 'options --help' 'run --usage' --version sinks options \
	'options --mdoc' 'options --markdown'; do
	# shellcheck disable=SC2086
	run $word
	exits 0
	[ -s out ] || fail "$word printed nothing"
	[ ! -s err ] || fail "$word wrote on standard error"
done
run --version
grep -qE '^databuffer [0-9]+\.[0-9]+\.[0-9]+$' out || fail "the version"
run sinks
for sink in sqlite:FILE file:PATH null:; do
	grep -qx "$sink" out || fail "no $sink among the sinks"
done
