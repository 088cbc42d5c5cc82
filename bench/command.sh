#!/bin/bash
# command.sh BUILD [--quick]: the `databuffer` command beside `sqlite3 .import`, into the same table.
#
# A million rows of six columns (--quick: 20,000) are made once, as CSV and as NDJSON. Each is then loaded
# into a fresh database whose table is there already, each way in turn, five times (--quick: once); the
# medians are printed as lines of JSON. After each load the table's count and sums must be those of what was
# made, or this fails. Both commands have synced the database when they end.
#
# Ratios are taken within a round, so that a slower minute of the machine is both commands', and are given of
# elapsed time and of processor time: ours has two threads, which on a machine of one core, or whose other
# cores are busy, are no help.
#
# Of our own command also what it says of its time: reading, parsing, inserting into the buffer, waiting for
# room in it (the sink is behind), and, beside these on another thread, in SQLite. The buffer's share is of all
# of these but the waiting.
set -euo pipefail
build=$1
quick=${2:-}
rows=1000000
rounds=5
if [ "$quick" = --quick ]; then
	rows=20000
	rounds=1
fi
databuffer=$build/databuffer
folder=$(mktemp -d "${TMPDIR:-/tmp}/databuffer-bench.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# Makes rows.csv and rows.ndjson, and prints what the table must say of them.
make_rows() {
	awk -v rows="$rows" 'BEGIN {
		srand(1)
		print "id,account,city,amount,active,note" >"rows.csv"
		split("Oslo Lima Kyiv Accra Quito Hanoi Turin Osaka", cities, " ")
		for (id = 1; id <= rows; id++) {
			account = sprintf("account-%06d", int(rand() * 1000000))
			city = cities[int(rand() * 8) + 1]
			cents = int(rand() * 100000)
			amount = sprintf("%d.%02d", cents / 100, cents % 100)
			note = sprintf("order %d of %s", id, account)
			active = id % 2
			printf "%d,%s,%s,%s,%d,%s\n", id, account, city, amount, active, note >"rows.csv"
			printf "{\"id\":%d,\"account\":\"%s\",\"city\":\"%s\",", \
				id, account, city >"rows.ndjson"
			printf "\"amount\":%s,\"active\":%d,\"note\":\"%s\"}\n", \
				amount, active, note >"rows.ndjson"
			sum += cents
			letters += length(account) + length(city) + length(note)
		}
		printf "%.0f|%.0f|%.0f|%.0f\n", rows, rows * (rows + 1) / 2, sum, letters
	}'
}

fresh_database() {
	rm -f rows.db rows.db-*
	sqlite3 rows.db 'CREATE TABLE rows(id INTEGER, account TEXT, city TEXT,
		amount REAL, active INTEGER, note TEXT)'
}

check_database() { # NAME
	local found
	found=$(sqlite3 rows.db "SELECT count(*), sum(id), CAST(round(sum(amount) * 100) AS INTEGER),
		sum(length(account) + length(city) + length(note)) FROM rows")
	if [ "$found" != "$wanted" ]; then
		echo "command.sh: NOT VERIFIED: $1 made $found where $wanted was given" >&2
		exit 1
	fi
}

timed() { # NAME COMMAND...: notes how long it takes, and how long it works; its output goes to the file "out"
	local name=$1 TIMEFORMAT='%R %U %S' elapsed user system
	shift
	{ time "$@" >out 2>&3; } 3>&2 2>took
	read -r elapsed user system <took
	note "$name" "$elapsed"
	note "$name.work" "$(awk "BEGIN { print $user + $system }")"
}

import() { # the table is there, so the header is one more line to skip
	sqlite3 rows.db '.import --csv --skip 1 rows.csv rows'
}

load() { # FILE
	"$databuffer" run --json --progress=never --sink 'sqlite:rows.db?table=rows' "$1"
}

note() { # NAME NUMBER
	echo "$2" >>"times.$1"
}

note_ratio() { # NAME A B: how many times B, in the round that was noted last
	note "$1" "$(tail -qn 1 "times.$2" "times.$3" | paste -sd' ' | awk '{ print $1 / $2 }')"
}

field() { # NAME: a number of the summary in "out"
	sed -n "s/.*\"$1\":\([-0-9.e]*\).*/\1/p" out
}

note_phases() { # FORMAT
	local phase
	for phase in read parse insert wait sink; do
		note "$1.$phase" "$(field "${phase}_seconds")"
	done
	note "$1.share" "$(tail -qn 1 "times.$1".{insert,read,parse,sink} | paste -sd' ' |
		awk '{ print 100 * $1 / ($1 + $2 + $3 + $4) }')"
}

median() { # NAME
	sort -g "times.$1" | awk '{ all[NR] = $1 } END { print all[int(NR / 2) + 1] }'
}

print_figure() { # TEXT VALUE UNIT
	printf '{"figure":"command","name":"%s","value":%.4f,"unit":"%s","verified":true}\n' "$1" "$2" "$3"
}

wanted=$(make_rows)
for ((round = 1; round <= rounds; round++)); do
	fresh_database
	timed import import
	check_database 'sqlite3 .import'
	for format in csv ndjson; do
		fresh_database
		timed "$format" load "rows.$format"
		note_phases "$format"
		note_ratio "$format.ratio" import "$format"
		note_ratio "$format.work.ratio" import.work "$format.work"
		check_database "databuffer of $format"
	done
done

print_figure "rows" "$rows" ""
print_figure "sqlite3 .import of CSV" "$(median import)" s
print_figure "sqlite3 .import of CSV: processor time" "$(median import.work)" s
for format in csv ndjson; do
	text=${format^^}
	print_figure "databuffer of $text" "$(median $format)" s
	print_figure "databuffer of $text: processor time" "$(median $format.work)" s
	print_figure "databuffer of $text: times as fast as .import of CSV" "$(median $format.ratio)" ""
	print_figure "databuffer of $text: times as fast by processor time" "$(median $format.work.ratio)" ""
	print_figure "databuffer of $text: reading" "$(median $format.read)" s
	print_figure "databuffer of $text: parsing" "$(median $format.parse)" s
	print_figure "databuffer of $text: in the buffer" "$(median $format.insert)" s
	print_figure "databuffer of $text: waiting for SQLite" "$(median $format.wait)" s
	print_figure "databuffer of $text: in SQLite, beside" "$(median $format.sink)" s
	print_figure "databuffer of $text: the buffer's share" "$(median $format.share)" "%"
done
