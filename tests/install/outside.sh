# outside.sh CMAKE BUILD CC CXX LIBDIR COMMAND, in an empty folder; COMMAND is 1 if the command was built
#
# Installs into ./prefix, and builds and runs the program there is beside this script in each way that we tell users of.
set -eu
cmake=$1 build=$2 cc=$3 cxx=$4 libdir=$5 command=$6
here=$(cd "$(dirname "$0")" && pwd)
prefix=$PWD/prefix
strict=(-pedantic -Wall -Wextra -Werror)

say() {
	echo "== $*"
}

# $1: yes or no, $2: a program. Runs it, and checks whether it needs the shared library.
runs() {
	needs=no
	ldd "$2" 2>&1 | grep -q libdatabuffer && needs=yes
	[ $needs = "$1" ] || { echo "$2: needs the shared library: $needs, expected $1"; exit 1; }
	LD_LIBRARY_PATH=$prefix/$libdir "$2"
}

# One at a time: an install writes its manifest into the build.
exec 9>"$build/install.lock"
flock 9

say "uninstall"
DESTDIR=$PWD/root "$cmake" --install "$build" --prefix /usr >install.log || { cat install.log; exit 1; }
[ -s root/usr/include/databuffer/sink.h ] || { echo "nothing was installed below DESTDIR"; exit 1; }
DESTDIR=$PWD/root "$here/../../scripts/uninstall" "$build/install_manifest.txt"
left=$(find root ! -type d -o -name '*databuffer*')
[ -z "$left" ] || { echo "an uninstall leaves $left"; exit 1; }

say "install"
"$cmake" --install "$build" --prefix "$prefix" >install.log || { cat install.log; exit 1; }
files=(include/databuffer.h include/databuffer/sink.h "$libdir"/libdatabuffer.so.0 "$libdir"/libdatabuffer.a)
[ "$command" = 0 ] || files+=(bin/databuffer share/man/man1/databuffer.1)
for file in "${files[@]}"; do
	[ -s "$prefix/$file" ] || { echo "$file was not installed"; exit 1; }
done
# It must not lean on the place that it was built for.
mv "$prefix" moved
prefix=$PWD/moved
[ "$command" = 0 ] || "$prefix/bin/databuffer" --version >/dev/null

say "each header alone"
for header in databuffer.h databuffer/sink.h; do
	echo "#include <$header>" >header.c
	"$cc" -std=c99 "${strict[@]}" -I"$prefix/include" -fsyntax-only header.c
	"$cxx" -std=c++11 "${strict[@]}" -I"$prefix/include" -fsyntax-only -x c++ header.c
done

say "find_package"
"$cmake" -S "$here/project" -B project -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
	-DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_C_FLAGS=-Werror -DCMAKE_CXX_FLAGS=-Werror >project.log 2>&1 ||
	{ cat project.log; exit 1; }
"$cmake" --build project >project.log 2>&1 || { cat project.log; exit 1; }
runs yes project/c_shared
runs no project/c_static
runs yes project/cxx_shared
runs no project/cxx_static

say "pkg-config"
export PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig
define=-DEXPECTED_VERSION=\"$(pkg-config --modversion databuffer)\"
read -ra flags <<<"$(pkg-config --cflags --libs databuffer)"
"$cc" -std=c99 "${strict[@]}" "$define" "$here/outside.c" -o shared "${flags[@]}"
runs yes ./shared
read -ra flags <<<"$(pkg-config --static --cflags --libs databuffer)"
"$cc" -std=c99 "${strict[@]}" "$define" "$here/outside.c" -o static -static "${flags[@]}"
runs no ./static
