# All inputs are tried before the first is read; the one that cannot be read is named.
. "${BASH_SOURCE%/*}/lib.sh"

echo one >one
run run --sink file:kept one missing
exits 1
says '^databuffer: cannot read missing: No such file or directory$'
[ ! -e kept ] || fail "it began all the same"
mkdir folder
run run --sink file:kept one folder
exits 1
says 'cannot read folder: Is a directory'

# In the order given, and standard input among them.
echo three >three
echo two | "$DATABUFFER" run --sink file:kept one - three || fail "exit status $?"
is "one two three" "$(paste -sd' ' kept)" "the records"
