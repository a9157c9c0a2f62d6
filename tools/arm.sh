#!/bin/sh
# Test rtu_edge for ARM hosts (Raspberry Pi, Jetson): tools/arm.sh test [pytest arguments] | empty [3.11 ...].
#   test   the Python tests marked `arm` and not `slow`, with the wheel for aarch64 (tools/wheels.py), under emulation;
#          on an ARM host natively
#   empty  the wheels for aarch64 with what pip installs for them, each alone under a Debian's Python: import, doctor,
#          a run of five seconds, sizes; by default every Python that Debian has
# Set up by `tools/setup.sh test`. What is downloaded stays in .cache/arm.
set -eu
cd "$(dirname "$0")/.."
. tools/apt.sh
goal=${1:-test}
[ $# -eq 0 ] || shift
host=$PWD/.venv/bin/python
cache=$PWD/.cache/arm
cpu=cortex-a72 # Raspberry Pi 4; qemu's default model is twice as slow

say() { echo "arm: $*"; }
die() { echo "arm: $*" >&2; exit 1; }
quietly() { # quietly <log> <command>...
    log=$1
    shift
    "$@" >"$log" 2>&1 || { tail -n 40 "$log" >&2; die "failed: $1, see $log"; }
}

# ---------------------------------------------------------------- an ARM Python in a folder: no chroot, no multiarch
use() { # use <version>: set python, root (a Debian's Python for arm64, unpacked) and suite
    version=$1
    python=python$version
    root=$cache/root-$version
    case $version in
    3.11) suite=bookworm ;;
    3.13) suite=trixie ;;
    3.14 | 3.15) suite=sid ;;
    *) die "Python $version is in no Debian; 3.11, 3.13, 3.14 and 3.15 are" ;;
    esac
}

lay_root() {
    [ ! -e "$root/done" ] || return 0
    say "unpacking Debian's $python for arm64 into $root"
    rm -rf "$root"
    mkdir -p "$root"
    private_apt "$cache/apt" "$suite" arm64
    quietly "$cache/apt/update.log" apt-get update
    quietly "$cache/apt/install.log" apt-get install --yes --download-only \
        "$python" "lib$python-dev" libstdc++6 libgomp1
    public_apt
    for package in "$cache"/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
    rm -rf "$cache/apt"
    touch "$root/done"
}

install() { # install <folder> <package>...: what pip installs for this Python on aarch64
    to=$1
    shift
    abi=cp$(echo "$version" | tr -d .)
    quietly "$cache/pip.log" "$host" -m pip install --disable-pip-version-check --target "$to" --only-binary=:all: \
        --python-version "$version" --implementation cp --abi "$abi" --abi abi3 --abi none \
        --platform manylinux2014_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 "$@"
}

lay_site() {
    site=$cache/site
    wanted="numpy cffi pyserial msgspec mcap zstandard pytest pytest-timeout hypothesis"
    [ "$(cat "$site/done" 2>/dev/null)" != "$wanted" ] || return 0
    say "installing $wanted for it"
    rm -rf "$site"
    mkdir -p "$site"
    # shellcheck disable=SC2086
    install "$site" $wanted
    echo "$wanted" >"$site/done"
}

wheel() { # wheel [--quick]: $cache/wheel/*.whl, as an index gets it
    rm -rf "$cache/wheel"
    say "compiling the wheel"
    quietly "$cache/wheel.log" "$host" tools/wheels.py "$@" --python "$version" --arch aarch64 --out "$cache/wheel"
}

emulated() { # emulated <site> <arguments of Python>...
    packages=$1
    shift
    PYTHONPATH=$packages PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1 \
        qemu-aarch64 -cpu $cpu -L "$root" "$root/usr/bin/$python" -P "$@"
}

run_tests() {
    # Only files with marked tests are imported: others want programs of the host.
    files=$(grep -lE '(mark\.arm|pytest\.mark\.arm)\b' tests/test_*.py)
    [ -n "$files" ] || die "no test is marked arm"
    if [ "$(uname -m)" = aarch64 ]; then
        # shellcheck disable=SC2086
        exec "$host" -m pytest -m "arm and not slow" $files "$@"
    fi
    use 3.11
    lay_root
    lay_site
    wheel --quick
    rm -rf "$site/rtu_edge" "$site"/rtu_edge-*
    install "$site" --no-deps --upgrade "$cache"/wheel/*.whl
    # shellcheck disable=SC2086
    emulated "$site" -m pytest -p no:cacheprovider -m "arm and not slow" $files "$@"
}

start() { # start <script> <program for ARM>
    printf '#!/bin/sh\nexec qemu-aarch64 -cpu %s -L "%s" "%s" "$@"\n' $cpu "$root" "$2" >"$1"
    chmod +x "$1"
}

# Nothing but what pip installs for the wheel. The times are of the emulator.
run_empty() {
    use "$1"
    lay_root
    wheel
    empty=$(mktemp -d)
    trap 'rm -rf "$empty"' EXIT
    install "$empty/site" "$cache"/wheel/*.whl
    say "$version: $(basename "$cache"/wheel/*.whl), $(du -sm "$empty/site" | cut -f 1) MB with numpy"
    emulated "$empty/site" -c 'import sys, time; import numpy; began = time.perf_counter()
import rtu_edge; rtu_edge.StreamAC, rtu_edge.connect; spent = time.perf_counter() - began
from rtu_edge import _core; assert _core.isa == "neon", _core.isa
print(sys.version.split()[0], _core.isa, f"import {1e3 * spent:.0f} ms beyond numpy, emulated")'
    (
        mkdir "$empty/home" && cd "$empty/home" && HOME=$empty/home && export HOME
        # The host's kernel starts no program for ARM: these scripts do.
        firmware=$empty/site/rtu_edge/bin/tl_firmware
        mv "$firmware" "$firmware.arm"
        start "$empty/python" "$root/usr/bin/$python"
        start "$firmware" "$firmware.arm"
        command='import sys; sys.executable = sys.argv.pop(1); from rtu_edge.cli import main; main()'
        code=0
        emulated "$empty/site" -c "$command" "$empty/python" doctor >doctor.txt || code=$?
        [ "$code" -le 1 ] || { cat doctor.txt; die "$version: doctor failed with exit code $code"; }
        printf '[device]\nplant = "cartpole"\n[run]\nseconds = 5.0\n' >empty.toml
        emulated "$empty/site" -c "$command" "$empty/python" run empty.toml --sim | tail -n 3
        [ -e runs/empty/report.html ] || die "$version: the run has no report"
    )
    rm -rf "$empty"
}

case $goal in
test) run_tests "$@" ;;
empty)
    [ $# -gt 0 ] || set -- 3.11 3.13 3.14 3.15
    for each; do run_empty "$each"; done
    ;;
*) die "usage: tools/arm.sh test [pytest arguments] | empty [3.11 ...]" ;;
esac
