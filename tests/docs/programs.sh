# programs.sh CC SOURCE
#
# The C in the documentation compiles, and the README's program is an example of at most thirty lines.
# Where a page refers to a file of the tree there is one, with the functions that the page says it has.
set -u
cc=$1 source=$2
bad=0
blocks=0
program=0

fail() {
	echo "$*"
	bad=1
}

cd "$source" || exit 1
new=$(mktemp -d) || exit 1
trap 'rm -rf "$new"' EXIT

for page in *.md docs/*.md; do
	[ -e "$page" ] || continue
	rm -f "$new"/*
	awk -v to="$new" '
		/^```c$/ { on = 1; n++; next }
		/^```/   { on = 0 }
		on       { print > (to "/" n ".c") }
	' "$page"
	for block in "$new"/*.c; do
		[ -e "$block" ] || continue
		blocks=$((blocks + 1))
		"$cc" -std=c11 -Wall -Wextra -Werror -Iinclude -fsyntax-only "$block" ||
			fail "$page: C block ${block##*/} does not compile"
		[ "$page" = README.md ] && grep -q 'int main(' "$block" || continue
		program=$((program + 1))
		lines=$(wc -l <"$block")
		[ "$lines" -le 30 ] || fail "$page: the program has $lines lines, and may have 30"
		same=
		for example in examples/*.c; do
			cmp -s "$block" "$example" && same=$example
		done
		[ -n "$same" ] || fail "$page: the program is none of the examples"
	done

	# Links to files: (path), (path#place); and the names of files and folders in `code`.
	folder=$(dirname "$page")
	for link in $(grep -oE '\]\([^)]*\)' "$page" | sed 's/^](//; s/)$//; s/#.*//' | grep -vE '^(https?:|$)'); do
		[ -e "$folder/$link" ] || fail "$page: there is no $link"
	done
	for name in $(grep -oP '(?<![\w/])(src|include|tests|docs|examples|man|scripts|cmake|bench)/[A-Za-z0-9_./-]*[a-z0-9]' "$page"); do
		[ -e "$name" ] || [ -e "$folder/$name" ] || fail "$page: there is no $name"
	done

	# "segment_seal, segment_recall   src/core/segment.c   ...": these names are in that file.
	while read -r names file _; do
		for name in ${names//,/ }; do
			grep -qsw -- "$name" "$file" || fail "$page: there is no $name in $file"
		done
	done < <(sed -nE 's/^ *(or )?(([a-z_]+, )*[a-z_]+)  +(src\/[a-z_\/.]+).*/\2 \4/; T; s/, /,/g; p' "$page")
done
[ "$blocks" -gt 0 ] || fail "no C was found"
[ "$program" -eq 1 ] || fail "README.md has $program programs, and should have one"
exit $bad
