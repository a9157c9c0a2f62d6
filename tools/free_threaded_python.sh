#!/bin/sh
# Build Python 3.14 without its global interpreter lock from the source package of Debian unstable, which has no binary
# package of it: tools/free_threaded_python.sh. Prints the path of its interpreter,
# .cache/pythons/3.14t/bin/python3.14t. Without profile-guided optimization: 10 minutes on two cores. Needs apt-get, a C
# compiler and the headers of OpenSSL, zlib and libffi (libssl-dev, zlib1g-dev, libffi-dev).
set -eu
cd "$(dirname "$0")/.."
. tools/apt.sh
version=3.14
suite=sid
cache=$PWD/.cache/pythons
root=$cache/${version}t
python=$root/bin/python${version}t
log=$cache/${version}t.log

say() { echo "free_threaded_python: $*" >&2; }
die() { say "$*"; exit 1; }
quietly() { "$@" >>"$log" 2>&1 || { tail -n 20 "$log" >&2; die "failed: $1, see $log"; }; }
compiles() { echo "#include <$1>" | ${CC:-cc} -E - >/dev/null 2>&1; }

if [ ! -e "$root/done" ]; then
    command -v apt-get >/dev/null || die "needs apt-get"
    for header in openssl/ssl.h zlib.h ffi.h; do
        compiles "$header" || die "needs $header: sudo apt-get install libssl-dev zlib1g-dev libffi-dev"
    done
    rm -rf "$root" "$root-source"
    mkdir -p "$root-source"
    : >"$log"
    say "fetching the source of python$version from Debian's $suite"
    private_apt "$cache/apt-source" "$suite"
    sed -i 's/^deb /deb-src /' "$cache/apt-source/sources.list"
    quietly apt-get update
    (cd "$root-source" && quietly apt-get source --download-only "python$version")
    public_apt
    rm -rf "$cache/apt-source"
    say "building it in $root-source, with its log in $log"
    (
        cd "$root-source"
        tar -xf "python${version}"_*.orig.tar.?z --strip-components 1
        [ ! -x "$(command -v ccache)" ] || export CC="ccache ${CC:-cc}"
        quietly ./configure --prefix="$root" --disable-gil --disable-test-modules
        quietly make -j "$(nproc)"
        quietly make install
    )
    "$python" -c 'import ctypes, ssl, sys, zlib; sys.exit(sys._is_gil_enabled())' || die "$python does not run"
    rm -rf "$root-source"
    touch "$root/done"
fi
echo "$python"
