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

# all_accounted FIRST LAST DATABASE COLUMN REJECTS: the records are numbers (in the rejects they stand in front), and
# each from FIRST to LAST is in one of the two places, once, and no other is anywhere.
all_accounted() {
	{
		sql "$3" "SELECT CAST($4 AS INTEGER) FROM records WHERE $4 IS NOT NULL"
		[ ! -e "$5" ] || records_of "$5" | sed 's/[^0-9].*//'
	} | sort -n >accounted
	seq "$1" "$2" | cmp - accounted >/dev/null ||
		fail "not each of $1 to $2 is in $3 or in $5, once: $(wc -l <accounted) are," \
			"first of the difference: $(seq "$1" "$2" | diff - accounted | head -n 3 | paste -sd' ')"
}

# Another process that has the database open, a sqlite3 behind descriptor 9: other_does returns when it has done so.
other_begin() { # DATABASE
	rm -f orders
	mkfifo orders
	sqlite3 -batch -cmd '.timeout 60000' "$1" <orders >other_out 2>&1 9>&- &
	other=$!
	other_orders=0
	exec 9>orders
}

other_has_done() {
	[ "$(grep -c '^done$' other_out)" -ge "$1" ]
}

other_does() { # SQL
	other_orders=$((other_orders + 1))
	echo "$1; SELECT 'done';" >&9
	until_true other_has_done $other_orders
}

other_end() {
	exec 9>&-
	wait $other
}

# The line of --progress always, in the file err, has come to so many retries.
retried() {
	tr '\r' '\n' <err | sed -n 's/.* \([0-9,]*\) retr[iy].*/\1/p' | tail -n 1 | tr -d , |
		awk -v least="$1" '{ n = $1 } END { exit n < least }'
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
