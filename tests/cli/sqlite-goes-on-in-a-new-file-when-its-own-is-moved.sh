# A database that is moved away while it is written is not written without a name: a new one is begun.
. "${BASH_SOURCE%/*}/lib.sh"

mkfifo in
start run --sink sqlite:a.db --flush-interval 20 --flush-jitter 0 --retry-min 5 --retry-max 20 in
exec 9>in
seq 1 10 >&9
count() {
	[ "$(sql "$1" 'SELECT count(*) FROM records')" == "$2" ]
}
until_true count a.db 10
mkdir away
mv a.db* away
seq 11 30 >&9
until_true count a.db 20
exec 9>&-
ended $ours
exits 0
says 'a.db was moved or removed'
