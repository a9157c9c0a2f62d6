#!/bin/sh
# Run the tests with threads on a Python without global interpreter lock: tools/free_threading.sh [pytest arguments].
# PYTHON=... chooses it; otherwise tools/free_threaded_python.sh builds one. The package is compiled for it into
# build/free-threading and installed into .cache/pythons/free-threading, without extras. PYTHON_GIL=0 keeps the lock off
# if a dependency brings it back; tests/test_free_threading.py imports without it, and fails then.
set -eu
cd "$(dirname "$0")/.."
say() { echo "free_threading: $*"; }
die() { echo "free_threading: $*" >&2; exit 1; }

python=${PYTHON:-$(tools/free_threaded_python.sh)}
"$python" -c 'import sys; sys.exit(sys._is_gil_enabled())' 2>/dev/null ||
    die "$python has a global interpreter lock: it needs one built with --disable-gil"
identity=$("$python" -c 'import sys; print(sys.version, sys.base_prefix)')
venv=$PWD/.cache/pythons/free-threading
log=$venv.log
: >>"$log"
install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >"$log" 2>&1 ||
        { tail -n 30 "$log" >&2; die "pip failed, see $log"; }
}

if [ "$(cat "$venv/identity" 2>/dev/null)" != "$identity" ]; then
    say "setting up $venv with $("$python" --version)"
    rm -rf "$venv" build/free-threading
    "$python" -m venv "$venv"
    # The dependencies and the build's, as in pyproject.toml.
    "$venv/bin/python" - >"$venv/requirements.txt" <<'PY'
import tomllib

with open("pyproject.toml", "rb") as file:
    known = tomllib.load(file)
wanted = ("pytest", "pytest-timeout", "hypothesis")
print(*known["build-system"]["requires"], *known["project"]["dependencies"], *wanted, "cmake", "ninja", sep="\n")
PY
    install --prefer-binary -r "$venv/requirements.txt"
    echo "$identity" >"$venv/identity"
fi
say "compiling the package"
install --no-build-isolation --no-deps --force-reinstall -C build-dir=build/free-threading \
    -C cmake.define.RTU_EDGE_WERROR=ON .
[ $# -gt 0 ] || set -- tests/test_free_threading.py tests/test_bound.py tests/test_copies.py tests/test_runtime.py \
    tests/test_loop_status.py tests/test_robot.py
# The installed package, not the folder's, also in processes that tests start.
PYTHONSAFEPATH=1 PYTHON_GIL=0 exec "$venv/bin/python" -m pytest -q -p no:cacheprovider -m "not timing and not slow" "$@"
