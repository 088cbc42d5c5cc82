# What can be a number without losing a digit is one, all else stays text: an export is the import.
. "${BASH_SOURCE%/*}/lib.sh"

cat >numbers <<-'EOF'
	0
	10
	-9
	9223372036854775807
	-9223372036854775808
	0.5
	-12.25
	3.0
	0.0001
	123456789012.345
EOF
cat >texts <<-'EOF'
	007
	+1
	1.10
	1e5
	-0
	-0.0
	00
	.5
	5.
	 1
	1 
	-
	9223372036854775808
	-9223372036854775809
	0.00001
	0.1234567890123456
	0x10
	1,5
EOF
{ echo v; cat numbers; sed 's/.*/"&"/' texts; } >input.csv
run run --sink sqlite:a.db input.csv
exits 0
is "10 18" "$(sql a.db "SELECT sum(typeof(v)<>'text'), sum(typeof(v)='text') FROM records" | tr '|' ' ')" \
	"numbers and texts"
sql a.db 'SELECT v FROM records' >back
cat numbers texts | cmp - back || fail "not all read back as they were written"

# A thousand more.
awk 'BEGIN {
	srand(7)
	print "v"
	for (i = 0; i < 1000; i++)
		printf "%d.%d\n", rand() * 100000, rand() * 1000000
}' >more.csv
run run --sink sqlite:b.db more.csv
sql b.db 'SELECT v FROM records' >back
tail -n +2 more.csv | cmp - back || fail "not all of a thousand read back as they were written"
