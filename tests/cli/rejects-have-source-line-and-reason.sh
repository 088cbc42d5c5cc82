# What does not fit goes to the file of rejects, with where it stood and why, and stops nothing.
. "${BASH_SOURCE%/*}/lib.sh"

cat >input.csv <<-'EOF'
	a,b
	1,2
	3
	4,5,6
	7,"never closed
	8,9
	"x"y,1
	10,11
	12,"at the end
EOF
run run --sink sqlite:a.db --rejects bad --json input.csv
exits 0
is "1|2 8|9 10|11" "$(sql a.db 'SELECT * FROM records' | paste -sd' ')" "the rows"
is 5 "$(lines_in bad)" "the number of rejects"
cat >wanted <<-'EOF'
	{"source":"input.csv","line":3,"reason":"1 field where there are 2 columns","record":"3"}
	{"source":"input.csv","line":4,"reason":"3 fields where there are 2 columns","record":"4,5,6"}
EOF
head -n 2 bad | cmp - wanted || fail "the first two rejects: $(cat bad)"
for line in 5 7 9; do
	grep -q "\"line\":$line,\"reason\":\"a quote " bad || fail "line $line is not rejected for its quote"
done
is "8 3 5" "$(figures records flushed rejected)" "the summary"

# Each is JSON, and gives the record back.
printf '{"a":1\n[1]\n"x"\n{"a":1,"a":2}\n' >input.ndjson
printf '{"n":18446744073709551616}\n{"a":"\t\\u0001"}\n{"a":2}\n\xff{}\n' >>input.ndjson
run run --sink sqlite:b.db --rejects bad2 input.ndjson
exits 0
is 2 "$(sql b.db 'SELECT a FROM records')" "the row"
is 7 "$(lines_in bad2)" "the number of rejects"
run run --sink sqlite:c.db --format ndjson bad2
exits 0
is 7 "$(sql c.db "SELECT count(*) FROM records WHERE source='input.ndjson' AND line > 0 AND reason <> ''")" \
	"the number of rejects that are JSON"
grep -q '"line":8,.*"record_base64":"/3t9"' bad2 || fail "bytes that are not UTF-8 are not in base64"

# A second run adds to the file.
run run --sink sqlite:b.db --rejects bad2 input.ndjson
exits 0
is 14 "$(lines_in bad2)" "the number of rejects of two runs"
