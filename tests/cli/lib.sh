# lib.sh: what the tests of the command share.
#
# A test is a script whose name is a claim. It runs in a fresh folder, finds the command as $DATABUFFER, a
# compiler as $CC and the tree as $SOURCE, and ends with 0 if the claim holds, 77 if it cannot be tested here.
set -u

fail() {
	echo "FAILED: $*" >&2
	for file in out err; do
		[ -s "$file" ] && head -n 40 "$file" | sed "s/^/  $file: /" >&2
	done
	exit 1
}

skip() {
	echo "skipped: $*"
	exit 77
}

# Runs the command; its exit status is $status, what it printed in the files out and err.
run() {
	"$DATABUFFER" "$@" >out 2>err
	status=$?
}

# The same in the background; its process is $ours. The files are empty before, so that what is waited for in them is
# not a run's before.
start() {
	: >out
	: >err
	"$DATABUFFER" "$@" <&0 9>&- >out 2>err &
	ours=$!
}

# exits STATUS: the last run ended so.
exits() {
	[ "$status" -eq "$1" ] || fail "exit status $status, not $1"
}

# is WANTED GOT WHAT
is() {
	[ "$1" == "$2" ] || fail "$3 is \"$2\", not \"$1\""
}

# says PATTERN...: each is in what the last run wrote on standard error.
says() {
	for pattern; do
		grep -qE -e "$pattern" err || fail "standard error does not say: $pattern"
	done
}

silent() {
	[ ! -s err ] || fail "standard error is not empty"
	[ ! -s out ] || fail "standard output is not empty"
}

sql() {
	sqlite3 -batch -cmd '.timeout 10000' "$@"
}

# figures KEY...: what the object that --json printed into the file out has under them, with blanks between.
figures() {
	for key; do
		sed -n "s/.*\"$key\":\"\{0,1\}\([^,\"}]*\).*/\1/p" out
	done | paste -sd' '
}

# The records of a file of rejects, where they are text without quotes.
records_of() {
	sed 's/.*"record":"\([^"]*\)".*/\1/' "$1"
}

lines_in() {
	local n
	n=$(wc -l <"$1")
	echo $((n))
}

# until_true COMMAND...: waits until it succeeds, for as long as a slow machine may need.
until_true() {
	local tries=0
	until "$@" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 3000 ] || fail "it never came true: $*"
		sleep 0.02
	done
}

gone() {
	! kill -0 "$1"
}

# Waits for a process in the background; its exit status is $status.
ended() {
	until_true gone "$1"
	wait "$1"
	status=$?
}

# A sink from outside, built from standard input against the public headers alone.
build_sink() {
	cat >"$1.c"
	"${CC:-cc}" -std=gnu11 -Wall -Wextra -Werror -shared -fPIC -I"$SOURCE/include" -o "$1.so" "$1.c" ||
		fail "the sink $1 does not build"
}
