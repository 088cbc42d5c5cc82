# floors.sh CC SOURCE FOLDER=SEARCH:PATH...
#
# A floor may include itself and the floors below; sinks may include the public headers only. So every header of
# every floor is included from each of these folders: it must compile where it may be seen, and must not be found
# elsewhere. On the way each header is shown to stand alone.
set -u
cc=$1 source=$2
shift 2
bad=0
tried=0

fail() {
	echo "$*"
	bad=1
}

height() {
	case $1 in
	base) echo 1 ;;
	port) echo 2 ;;
	store) echo 3 ;;
	core) echo 4 ;;
	*) echo 0 ;;
	esac
}

for arg; do
	from=${arg%%=*}
	IFS=: read -ra roots <<<"${arg#*=}"
	for header in "$source"/src/{base,port,store,core}/*.h; do
		[ -e "$header" ] || continue
		header=${header#"$source"/src/}
		tried=$((tried + 1))
		errors=$(echo "#include \"$header\"" |
			"$cc" -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only "${roots[@]/#/-I}" -x c - 2>&1)
		status=$?
		if [ "$(height "${header%%/*}")" -le "$(height "$from")" ]; then
			[ $status -eq 0 ] || fail "$from cannot include $header: $errors"
		else
			case $errors in
			*"$header"*"o such file"* | *"$header' file not found"*) ;;
			*) fail "$from can include $header: $errors" ;;
			esac
		fi
	done
done
[ $tried -gt 0 ] || fail "no headers found"

# The one way around the search paths.
around=$(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<](\.\.|/)' "$source"/src --include='*.[ch]') &&
	fail "an include by path instead of by floor: $around"

exit $bad
