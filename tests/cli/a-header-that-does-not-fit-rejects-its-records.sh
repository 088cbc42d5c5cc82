# Where nobody can tell the columns, every record of that file is rejected, and other files are read.
. "${BASH_SOURCE%/*}/lib.sh"

printf 'a,b,A\n1,2,3\n4,5,6\n' >twice.csv
printf 'a,"b\nx\n1,2\n' >torn.csv
printf 'a,b\n1,2\n' >good.csv
run run --sink sqlite:a.db --rejects bad twice.csv torn.csv good.csv
exits 0
is "1|2" "$(sql a.db 'SELECT * FROM records')" "the rows"
is 2 "$(grep -c 'twice.csv.*the header does not fit: the column \\"a\\" is there twice' bad)" \
	"the rejects of twice.csv"
is 3 "$(grep -c 'torn.csv' bad)" "the rejects of torn.csv"
