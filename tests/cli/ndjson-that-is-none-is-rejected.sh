# A line is a record only if all of it is JSON, and says each thing once.
. "${BASH_SOURCE%/*}/lib.sh"

deep() { # N: so many arrays in each other, in an object
	printf '{"a":%s%s}\n' "$(head -c "$1" /dev/zero | tr '\0' '[')" "$(head -c "$1" /dev/zero | tr '\0' ']')"
}

{
	cat <<-'EOT'
		{"a":1
		{"a":1}}
		{"a":1}{"b":2}
		{"a":1,}
		{"a":1 "b":2}
		{"a" 1}
		{a:1}
		{"a":[1,2}
		{"a":[1,2,]}
		{"a":{"b":1,"b":2}}
		{"a":1,"\u0061":2}
		{"a":01}
		{"a":1.}
		{"a":+1}
		{"a":1e}
		{"a":1e400}
		{"a":-9223372036854775809}
		{"a":[18446744073709551616]}
		{"a":nul}
		{"a":NaN}
		{"a":"\ud800"}
		{"a":"\udc00\ud800"}
		{"a":"\x"}
		{"a\u0000":1}
		{"a":"unclosed}
		"a"
		[1]
		null
		tru
		}
	EOT
	printf '{"a":"\xed\xa0\x80"}\n{"a":"\xc0\x80"}\n{"a":"\x01"}\n{"a":1\x00}\n'
	for key in $(seq 40) 7; do printf '"k%d":1,' "$key"; done | sed 's/^/{/; s/,$/}\n/'
	deep 1000
} >bad.ndjson
run run --sink null: --rejects rejects --json bad.ndjson
exits 0
is "$(lines_in bad.ndjson)" "$(lines_in rejects)" "the number of rejects"
is "0 $(lines_in bad.ndjson)" "$(figures flushed rejected)" "the summary"
for what in '"line":4,"reason":"malformed JSON: a comma, colon, key or value is missing or too many \(byte 8\)"' \
	'"line":10,"reason":"the key \\"b\\" is there twice"' '"line":27,"reason":"not a JSON object but an array"' \
	'"line":31,"reason":"malformed JSON: it is not UTF-8 \(byte 7\)"'; do
	grep -qE "$what" rejects || fail "none is $what"
done

# What is close to these, and right.
{
	cat <<-'EOT'
		{}
		{"a":{"b":1},"b":{"b":1}}
		{"":-0}
		{"a":-9223372036854775808,"b":9223372036854775807}
		{"a":"\ud83d\ude00"}
		 { "a" : [ ] }
	EOT
	deep 999
} >good.ndjson
run run --sink null: --rejects rejects2 --json good.ndjson
exits 0
is "$(lines_in good.ndjson) 0" "$(figures flushed rejected)" "the summary of what is right"
