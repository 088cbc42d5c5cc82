# Keys are columns, types stay, nested values are kept as JSON; a key that is new adds a column.
. "${BASH_SOURCE%/*}/lib.sh"

cat >input.ndjson <<-'EOF'
	{"id": 1, "name": "häß\"lich", "size": 2.5, "ok": true, "none": null}
	
	{"id": 9007199254740993, "where": {"lat": 0.1, "tags": [1, "x"]}}
	{"name": "z\u0000z", "quote\"d; --": "'"}
	{}
EOF
run run --sink 'sqlite:a.db?table=my table' input.ndjson
exits 0
silent
is 'id name size ok none where quote"d; --' \
	"$(sql a.db "SELECT name FROM pragma_table_info('my table')" | paste -sd' ')" "the columns"
is "1|'häß\"lich'|2.5|1|NULL|NULL|NULL" \
	"$(sql a.db 'SELECT quote(id), quote(name), quote(size), quote(ok), quote(none), quote("where"),
		quote("quote""d; --") FROM "my table" LIMIT 1')" "the first row"
is '9007199254740993|{"lat":0.1,"tags":[1,"x"]}' \
	"$(sql a.db 'SELECT id,"where" FROM "my table" LIMIT 1 OFFSET 1')" "the second row"
is "X'7A007A'" "$(sql a.db 'SELECT quote(name) FROM "my table" LIMIT 1 OFFSET 2')" "a text with a NUL"
is 4 "$(sql a.db 'SELECT count(*) FROM "my table"')" "the number of rows"

# Nested values stay as they are written, without the blanks that are not in a text.
cat >nested.ndjson <<-'EOF'
	{"a":[1.10,1e5,"x \u00e9\" y"],"b": { "c" : [ ] , "d e" : { } } , "e":[ ],"f":{"g":[{"h":[0]}]}}
EOF
run run --sink sqlite:c.db nested.ndjson
exits 0
is '[1.10,1e5,"x \u00e9\" y"]|{"c":[],"d e":{}}|[]|{"g":[{"h":[0]}]}' \
	"$(sql c.db 'SELECT * FROM records')" "the nested values"

# A real is the nearest double, however many digits it is written with.
cat >numbers.ndjson <<-'EOF'
	{"n":0.0112884252047633701428}
	{"n":0.00000000000000000000000000000123456789012345678901234567890}
	{"n":123456789012345678901234567890.0}
	{"n":-98765432109876543210.98765432109876543210e-10}
	{"n":1e-320}
	{"n":0.1}
	{"n":1.7976931348623157e308}
EOF
run run --sink sqlite:d.db numbers.ndjson
exits 0
cat >wanted <<-'EOF'
	0.0112884252047634
	1.23456789012346e-30
	1.23456789012346e+29
	-9876543210.98765
	9.99988867182683e-321
	0.1
	1.79769313486232e+308
EOF
sql d.db "SELECT n FROM records WHERE typeof(n) = 'real'" | cmp - wanted || fail "the numbers"

# A thousand kinds of records, in any order.
for i in $(seq 1000); do echo "{\"k$((i % 150))\":$i,\"all\":$i}"; done >many.ndjson
run run --sink sqlite:b.db --max-size 100 many.ndjson
exits 0
is "1000|500500|151" "$(sql b.db "SELECT count(*), sum([all]),
	(SELECT count(*) FROM pragma_table_info('records')) FROM records")" "the table of many kinds"
