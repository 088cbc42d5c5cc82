# The manual page says of each option what the table says, and is well-formed.
. "${BASH_SOURCE%/*}/lib.sh"

page=$SOURCE/man/databuffer.1
"$DATABUFFER" options --mdoc >wanted
sed -n '/^\.\\" options/,/^\.\\" end of options/p' "$page" | sed '1d;$d' | diff wanted - ||
	fail "write what \`databuffer options --mdoc' prints into $page"
"$DATABUFFER" run --help | grep -oE -e '--[a-z-]+' | sort -u | while read -r flag; do
	grep -qE -e "Fl (-|\\\\-)${flag#--}( |\$)" "$page" || echo "$flag"
done >missing
[ ! -s missing ] || fail "the manual has nothing of $(cat missing)"
command -v mandoc >/dev/null || skip "there is no mandoc(1) to check the pages"
for page in "$SOURCE"/man/databuffer.1 "$SOURCE"/man/databuffer-sink.3; do
	mandoc -Tlint -Wwarning "$page" || fail "$page is not well-formed"
done
