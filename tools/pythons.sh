#!/bin/sh
# Run the tests on each supported Python: tools/pythons.sh [pytest arguments]. PYTHONS="python3.10 python3.13"
# chooses; otherwise those that are on the path or in ~/.pyenv, and for 3.14 and 3.15 also Debian unstable's, which
# tools/debian_python.sh unpacks into .cache/pythons. Each gets a clone of the last commit, build/pythons/3.x.
# Python 3.10 gets the oldest supported numpy and other dependencies, the others the newest. All must give bit-identical
# learning results.
set -eu
cd "$(dirname "$0")/.."

say() { echo "pythons: $*"; }
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

find_pythons() {
    for version in 3.10 3.11 3.12 3.13 3.14 3.15; do
        for python in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
            if [ "$(version_of "$python")" = "$version" ]; then
                echo "$python"
                continue 2
            fi
        done
        case $version in
        3.14 | 3.15) tools/debian_python.sh "$version" || say "without $version" >&2 ;;
        esac
    done
}

# Programs for other hosts or with other checkers, independent of Python: `make test` runs them.
elsewhere="--ignore=tests/test_lint.py --ignore=tests/test_native.py --ignore=tests/test_threads.py
    --ignore=tests/test_fuzz.py --ignore=tests/test_instructions.py --ignore-glob=tests/test_arm*.py
    --ignore-glob=tests/test_cortex*.py --ignore-glob=tests/test_qemu*.py"

# In the clone that is the working folder, with PYTHON set.
run_tests() { # run_tests [pytest arguments]
    tools/setup.sh test
    .venv/bin/python -m pytest -q tests/test_import.py
    # shellcheck disable=SC2086
    .venv/bin/python -m pytest -q -m "not timing" -n 2 --dist worksteal $elsewhere "$@"
}

PYTHONS=${PYTHONS:-$(find_pythons)}
[ -n "$PYTHONS" ] || { say "none found: name them in PYTHONS" >&2; exit 2; }
bits=
failed=
for python in $PYTHONS; do
    version=$(version_of "$python") || { say "$python does not run" >&2; exit 2; }
    PYTHON=$("$python" -c 'import sys; print(sys.executable)')
    clone=$PWD/build/pythons/$version
    [ -d "$clone" ] || git clone --quiet --no-checkout . "$clone"
    git -C "$clone" fetch --quiet origin HEAD
    git -C "$clone" checkout --quiet --detach FETCH_HEAD
    PIP_CONSTRAINT=
    if [ "$version" = 3.10 ]; then
        PIP_CONSTRAINT=$clone.oldest.txt
        sed -n '/^dependencies = /,/^]/s/.*"\([a-z]*\)>=\([0-9.]*\).*/\1==\2.*/p' pyproject.toml >"$PIP_CONSTRAINT"
    fi
    export PYTHON PIP_CONSTRAINT
    say "$version in $clone"
    set +e # the others continue
    (set -e && cd "$clone" && run_tests "$@")
    code=$?
    set -e
    if [ "$code" -eq 0 ]; then
        learned=$("$clone/.venv/bin/python" "$clone/examples/05_save_and_resume.py")
        bits=${bits:-$learned}
        [ "$learned" = "$bits" ] || { say "$version learns other bits: $learned" >&2; code=1; }
    fi
    [ "$code" -eq 0 ] || failed="$failed $version"
done
[ -z "$failed" ] || { say "failed:$failed" >&2; exit 1; }
say "passed, and the same bits on each"
