# symbols.sh NM HEADER SHARED STATIC
#
# Each function that the header declares is exported by both libraries, and nothing else is.
set -u
export LC_ALL=C
nm=$1 header=$2 shared=$3 static=$4
bad=0

declared=$(tr '\n' ' ' <"$header" | grep -oE 'DATABUFFER_API [^(;]*\(' | grep -oE 'databuffer_[a-z0-9_]+ *\(' | tr -d ' (' | sort -u)
[ -n "$declared" ] || { echo "no declarations found in $header"; exit 1; }

# The version of the names, DATABUFFER_0, is an absolute name itself (A).
# $1: the library's file, $2: what it exports, one name a line
check() {
	difference=$(diff <(echo "$declared") <(echo "$2")) && return
	echo "$1: the header's names (<) and the exported ones (>) differ:"
	grep '^[<>]' <<<"$difference"
	bad=1
}

check "$shared" "$("$nm" -D --defined-only "$shared" | awk '$2 != "A" { sub("@.*", "", $3); print $3 }' | sort -u)"
check "$static" "$("$nm" -g --defined-only "$static" | awk 'NF == 3 { print $3 }' | sort -u)"
exit $bad
