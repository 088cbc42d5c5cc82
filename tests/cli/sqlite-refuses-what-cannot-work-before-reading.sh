# A target that cannot work is refused at once, in a sentence, before anything is read.
. "${BASH_SOURCE%/*}/lib.sh"

refuses() { # TARGET PATTERN...
	local target=$1
	shift
	echo record >input
	exec 8<input
	"$DATABUFFER" run --sink "$target" - <&8 >out 2>err
	status=$?
	is record "$(cat <&8)" "what was not read, with $target"
	exec 8<&-
	exits 1
	is 1 "$(lines_in err)" "the number of lines on standard error, with $target"
	says "$@"
}

echo 'this is no database, but a text that is long enough to be looked at as one' >text
mkdir folder
sql view.db "CREATE TABLE a(x); CREATE VIEW records AS SELECT * FROM a; CREATE INDEX i ON a(x)"
sql readonly.db "CREATE TABLE a(x)"
chmod 444 readonly.db

refuses sqlite:missing/a.db 'missing' 'No such file or directory'
refuses sqlite:text/a.db 'Not a directory|no folder'
refuses sqlite:text 'text is no SQLite database'
refuses sqlite:folder 'folder is a folder'
refuses sqlite:/dev/null '/dev/null is no regular file'
refuses sqlite::memory: 'in memory'
refuses sqlite:readonly.db 'readonly.db is read-only'
refuses sqlite:view.db 'records in view.db is no table but a view'
refuses 'sqlite:view.db?table=i' 'i in view.db is no table but an index'
refuses 'sqlite:a.db?table=sqlite_mine' "SQLite's own"
refuses file:missing/out 'cannot write missing/out: No such file'
refuses file:folder 'Is a directory'

# A folder that nobody may write in; root may, so another user is asked.
mkdir closed
chmod 555 closed
if [ "$(id -u)" -ne 0 ]; then
	refuses sqlite:closed/a.db 'cannot write in the folder closed'
elif command -v setpriv >/dev/null; then
	chmod 755 .
	cp "$DATABUFFER" ./databuffer
	setpriv --reuid 65534 --clear-groups ./databuffer run --sink sqlite:closed/a.db </dev/null 2>err
	is 1 $? "the exit status"
	says 'cannot write in the folder closed'
fi
