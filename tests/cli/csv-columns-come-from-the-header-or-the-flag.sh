# The header names the columns, --columns does where there is none; quotes, line ends and tabs are what they
# should be.
. "${BASH_SOURCE%/*}/lib.sh"

printf '\xef\xbb\xbfid,name,\r\n1,"a ""b"", c",x\r\n\r\n2,"two\r\nlines", y \n3,,' >input.csv
run run --sink sqlite:a.db input.csv
exits 0
silent
is "id name column3" "$(sql a.db "SELECT name FROM pragma_table_info('records')" | paste -sd' ')" \
	"the columns"
is "1|'a \"b\", c'|'x'" "$(sql a.db 'SELECT id,quote(name),quote(column3) FROM records WHERE id=1')" "row 1"
is "74776F0D0A6C696E6573|' y '" "$(sql a.db 'SELECT hex(name),quote(column3) FROM records WHERE id=2')" \
	"row 2"
is "''|''" "$(sql a.db 'SELECT quote(name),quote(column3) FROM records WHERE id=3')" "row 3"

printf 'x\t1\ny\t"2\t3"\n' >input.tsv
run run --sink sqlite:b.db --columns word,number input.tsv
exits 0
is "x|1 y|2	3" "$(sql b.db 'SELECT word,number FROM records' | paste -sd' ')" "the rows of tsv"

printf 'id,name\n7,seven\n' | "$DATABUFFER" run --sink sqlite:a.db --format csv || fail "from a pipe"
is "7|seven|" "$(sql a.db 'SELECT * FROM records WHERE id=7')" "a row with fewer columns than the table"
