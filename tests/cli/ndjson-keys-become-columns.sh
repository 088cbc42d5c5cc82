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

# A thousand kinds of records, in any order.
for i in $(seq 1000); do echo "{\"k$((i % 150))\":$i,\"all\":$i}"; done >many.ndjson
run run --sink sqlite:b.db --max-size 100 many.ndjson
exits 0
is "1000|500500|151" "$(sql b.db "SELECT count(*), sum([all]),
	(SELECT count(*) FROM pragma_table_info('records')) FROM records")" "the table of many kinds"
