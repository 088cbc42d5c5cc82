# tables.sh TABLES SOURCE [--update]
#
# What the documentation has of the library's own tables, and of the examples, is what they say. Such a part stands
# between two lines, in a comment of the page's kind:
#
#   .\" table options      ...  .\" end           as `TABLES options` prints it (docs/tables.c)
#   .\" program 01-hello.c ...  .\" end           as it stands in examples/
#   <!-- program 01-hello.c -->      ...  <!-- end -->
#   <!-- command options --markdown -->  ...  <!-- end -->
#                                                 as `$DATABUFFER options --markdown` prints it, if the command is built
#   <!-- sim --faults -->            ...  <!-- end -->
#                                                 as the simulator prints it, $SIM or where it is built beside TABLES
#
# With --update the parts are written instead of compared.
set -u
tables=$1 source=$2 update=${3-}
command=${DATABUFFER-}
sim=${SIM-$(dirname "$tables")/../bin/sim}
bad=0
parts=0

# The part that belongs under the line $1.
part() {
	local mark words
	read -r mark words <<<"$1"
	words=${words% -->}
	case $mark$words in
	*table\ *) "$tables" ${words#table } ;;
	'<!--'program\ *) printf '%s\n' '```c' "$(<"$source/examples/${words#program }")" '```' ;;
	*program\ *) sed 's/\\/\\e/g; s/^\([.'\'']\)/\\\&\1/' "$source/examples/${words#program }" ;;
	*command\ *) "$command" ${words#command } ;;
	*sim\ *) "$sim" ${words#sim } ;;
	esac
}

is_beginning() {
	case $1 in
	'<!-- command '*) [ -n "$command" ] ;;
	'<!-- sim '*) [ -x "$sim" ] ;;
	'<!-- program '* | '.\" table '* | '.\" program '*) true ;;
	*) false ;;
	esac
}

# The page $1 with every part as it ought to be.
renew() {
	local line inside=
	while IFS= read -r line; do
		if is_beginning "$line"; then
			printf '%s\n' "$line"
			part "$line" || return
			inside=yes
		elif [ "$line" = '<!-- end -->' ] || [ "$line" = '.\" end' ]; then
			printf '%s\n' "$line"
			inside=
		elif [ -z "$inside" ]; then
			printf '%s\n' "$line"
		fi
	done <"$1"
	[ -z "$inside" ] || { echo "$1: a part has no end"; return 1; }
}

new=$(mktemp) || exit 1
trap 'rm -f "$new"' EXIT
for page in "$source"/*.md "$source"/docs/*.md "$source"/man/databuffer.3; do
	[ -e "$page" ] || continue
	here=$(grep -cE '^(<!--|\.\\") (table|program|command|sim) ' "$page")
	[ "$here" -gt 0 ] || continue
	parts=$((parts + here))
	renew "$page" >"$new" || { cat "$new"; exit 1; }
	if [ "$update" = --update ]; then
		cmp -s "$new" "$page" || cat "$new" >"$page"
	elif ! diff -u --label "$page" --label "as it ought to be" "$page" "$new"; then
		bad=1
	fi
done
[ "$parts" -gt 0 ] || { echo "there is nothing to compare"; bad=1; }
[ "$bad" -eq 0 ] || echo "to bring them up to date: DATABUFFER=$command bash tests/docs/tables.sh $tables $source --update"
exit $bad
