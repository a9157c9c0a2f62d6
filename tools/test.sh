#!/bin/sh
# Run the tests in .venv, which `tools/setup.sh test` sets up: tools/test.sh [pytest arguments].
# First the timing tests, alone; then tests that mostly wait for real time, four at once; then the rest, one process
# per core. A failure does not end the next part.
set -u
cd "$(dirname "$0")/.." || exit

ran=
failed=
run() { # run <marks> <pytest argument>...
    marks=$1
    shift
    code=0
    .venv/bin/python -m pytest -q -m "$marks" "$@" || code=$?
    case $code in
    0) ran=1 ;;
    5) ;; # the arguments select none of these
    *) return "$code" ;;
    esac
}

run "timing and alone" "$@" || failed=$code
# In real time: a test that fails on a loaded host must pass when run alone.
run "timing and not alone" -n 4 --dist worksteal "$@" || {
    echo "what failed among others is repeated alone:"
    run "timing and not alone" --last-failed --last-failed-no-failures none "$@" || failed=$code
}
run "not timing" -n 2 --dist worksteal "$@" || failed=$code
[ -z "$failed" ] || exit "$failed"
[ -n "$ran" ] || { echo "test: no test is selected" >&2; exit 5; }
