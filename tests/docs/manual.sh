# manual.sh CC SOURCE [MANDOC]
#
# man/databuffer.3 and the header say the same: the page's synopsis, read as C, agrees with the header and is complete;
# every constant, type and field of the header is in the page. No page refers to one that is not there; where there is
# mandoc, it finds no fault in any.
set -u
export LC_ALL=C
cc=$1 source=$2 mandoc=${3-}
header=$source/include/databuffer.h page=$source/man/databuffer.3
bad=0

fail() {
	echo "$*"
	bad=1
}

# --- The synopsis as C: ".Ft T", ".Fo f", ".Fa a", ".Fc" is "T f(a);" --------------
{
	echo '#include <databuffer.h>'
	# An inline function of the header is no prototype to compare with.
	awk '
		/^\.Sh / { on = ($2 == "SYNOPSIS") }
		!on { next }
		/^\.Ft / { type = substr($0, 5) }
		/^\.Fo / { name = $2; args = "" }
		/^\.Fa / { args = args (args == "" ? "" : ", ") substr($0, 5) }
		/^\.Fc/  { gsub("\"", "", type); gsub("\"", "", args); print type " " name "(" args ");" }
	' "$page" | sed -E 's/^[a-z_]+ databuffer_(options_init|view_at)/static inline &/'
} >synopsis.c
"$cc" -std=c11 -Wall -Wextra -Werror -I"$source/include" -fsyntax-only synopsis.c ||
	fail "$page: the synopsis differs from the header"

# Without comments, so that words in them do not count.
code=$(perl -0pe 's,/\*.*?\*/,,gs' "$header")
[ -n "$code" ] || { echo "$header cannot be read"; exit 1; }

functions=$(grep -oE 'databuffer_[a-z_]+ *\(' <<<"$(tr '\n' ' ' <<<"$code")" | tr -d ' (' | sort -u)
missing=$(comm -23 <(echo "$functions") <(sed -n 's/^\.Fo //p' "$page" | sort -u))
[ -z "$missing" ] || fail "$page: no synopsis of" $missing

# --- Words ---------------------------------------------------------------------------
words() {
	# What a program may name: constants, types, and the fields of structs that are not the library's own.
	"$cc" -std=c11 -I"$source/include" -E -P -include errno.h -x c - <<<'#include <databuffer.h>' |
		grep -oE '\b(DATABUFFER_[A-Z0-9_]+|databuffer_[a-z_]+)\b'
	grep -oE '^#define DATABUFFER_(VERSION_[A-Z]+)' <<<"$code" | sed 's/#define //'
	awk '
		/^typedef struct [a-z_]+ \{/ { on = 1; next }
		/^}/ { on = 0 }
		on && !/\(/ { gsub(/\[.*\]|;.*/, ""); n = split($0, a, ","); for (i = 1; i <= n; i++) {
			sub(/.*[ \t*]/, "", a[i]); if (a[i] != "") print a[i] } }
	' <<<"$(grep -v '^ *#' <<<"$code" | expand)" | grep -v '^internal_'
}
text=$(sed 's/\\-/-/g; s/\\&//g' "$page")
for word in $(words | sort -u); do
	case $word in
	databuffer_flusher | databuffer_log_level | databuffer_option_type | databuffer_event_kind) continue ;; # enums' names: their constants count
	DATABUFFER_TRIGGER_COUNT | DATABUFFER_OK) continue ;;
	esac
	grep -qw -- "$word" <<<"$text" || fail "$page: says nothing of $word"
done

# --- References within the tree: there is no page for each function -------------------
for file in "$source"/man/*.[1-9]; do
	while read -r name section; do
		[ -e "$source/man/$name.$section" ] || fail "$file: there is no page $name($section)"
	done < <(sed -nE 's/^\.Xr (databuffer[a-z_-]*) ([1-9]).*/\1 \2/p' "$file")
done

# --- The form -------------------------------------------------------------------------
if [ -n "$mandoc" ]; then
	for file in "$source"/man/*.[1-9]; do
		"$mandoc" -Tlint -Wwarning "$file" || bad=1
	done
fi
exit $bad
