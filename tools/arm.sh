#!/bin/sh
# Build and test rtu_edge for ARM hosts (Raspberry Pi, Jetson): tools/arm.sh wheel | test [pytest arguments].
#   wheel  dist/*aarch64.whl: cross-compiled, with its manylinux tag; on an ARM host what tools/wheel.sh makes
#   test   the Python tests marked `arm` and not `slow`, with that wheel, under emulation; on an ARM host natively
# Set up by `tools/setup.sh test`. What is downloaded stays in .cache/arm.
set -eu
cd "$(dirname "$0")/.."
goal=${1:-test}
[ $# -eq 0 ] || shift
host=$PWD/.venv/bin/python
cache=$PWD/.cache/arm
root=$cache/root  # an ARM Debian's Python, unpacked
site=$cache/site  # what pip installs for it
python=python3.11 # of Debian 12
suffix=.cpython-311-aarch64-linux-gnu.so
cpu=cortex-a72 # Raspberry Pi 4; qemu's default model is twice as slow

say() { echo "arm: $*"; }
die() { echo "arm: $*" >&2; exit 1; }
quietly() { # quietly <log> <command>...
    log=$1
    shift
    "$@" >"$log" 2>&1 || { tail -n 40 "$log" >&2; die "failed: $1, see $log"; }
}

# ---------------------------------------------------------------- an ARM Python in a folder: no chroot, no multiarch
lay_root() {
    [ ! -e "$root/done" ] || return 0
    say "unpacking Debian's $python for arm64 into $root"
    rm -rf "$root" "$cache/apt"
    mkdir -p "$root" "$cache/apt/lists/partial" "$cache/apt/archives/partial"
    : >"$cache/apt/status"
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb [signed-by=$keys] http://deb.debian.org/debian bookworm main" >"$cache/apt/sources.list"
    cat >"$cache/apt/apt.conf" <<EOF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Retries "3";
Acquire::Languages "none";
Dir::State "$cache/apt";
Dir::State::lists "$cache/apt/lists";
Dir::State::status "$cache/apt/status";
Dir::Cache "$cache/apt";
Dir::Cache::archives "$cache/apt/archives";
Dir::Etc::sourcelist "$cache/apt/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferencesparts "-";
DPkg::Post-Invoke "";
APT::Update::Post-Invoke "";
EOF
    export APT_CONFIG="$cache/apt/apt.conf"
    quietly "$cache/apt/update.log" apt-get update
    quietly "$cache/apt/install.log" apt-get install --yes --download-only \
        python3 python3-dev libpython3-dev libstdc++6 libgomp1
    unset APT_CONFIG
    for package in "$cache"/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
    rm -rf "$cache/apt"
    touch "$root/done"
}

lay_site() {
    wanted="numpy cffi pyserial msgspec mcap zstandard pytest pytest-timeout hypothesis"
    [ "$(cat "$site/done" 2>/dev/null)" != "$wanted" ] || return 0
    say "installing $wanted for it"
    rm -rf "$site"
    mkdir -p "$site"
    # shellcheck disable=SC2086
    quietly "$cache/pip.log" "$host" -m pip install --disable-pip-version-check --target "$site" --only-binary=:all: \
        --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
        --platform manylinux2014_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 \
        $wanted
    echo "$wanted" >"$site/done"
}

cross_wheel() { # $cache/wheel/*.whl
    lay_root
    say "compiling the wheel"
    mkdir -p "$cache/wheel"
    rm -f "$cache"/wheel/*.whl
    # Debian's pyconfig.h leads to a multiarch folder: that one alone, not all of usr/include.
    multiarch=$root/usr/include/aarch64-linux-gnu
    mkdir -p "$cache/include"
    ln -sfn "$multiarch" "$cache/include/aarch64-linux-gnu"
    CFLAGS="-isystem $cache/include" CXXFLAGS="-isystem $cache/include" \
        _PYTHON_HOST_PLATFORM=linux-aarch64 SETUPTOOLS_EXT_SUFFIX=$suffix \
        quietly "$cache/wheel.log" "$host" -m pip wheel --no-deps --no-build-isolation --wheel-dir "$cache/wheel" \
        -C build-dir="$cache/build" \
        -C cmake.define.CMAKE_TOOLCHAIN_FILE="$PWD/cmake/aarch64.cmake" \
        -C cmake.define.RTU_EDGE_TARGET_INCLUDE="$root/usr/include/$python" \
        -C cmake.define.RTU_EDGE_TARGET_SUFFIX="$suffix" -C cmake.define.RTU_EDGE_WERROR=ON .
    # The wheel is for this Python, regardless of the one that ran the build.
    quietly "$cache/tags.log" "$host" -m wheel tags --remove --python-tag cp311 --abi-tag cp311 \
        "$cache"/wheel/*.whl
}

make_wheel() {
    if [ "$(uname -m)" = aarch64 ]; then exec tools/wheel.sh dist; fi
    cross_wheel
    tools/wheel.sh dist "$cache"/wheel/*.whl
}

run_tests() {
    # Only files with marked tests are imported: others want programs of the host.
    files=$(grep -lE '(mark\.arm|pytest\.mark\.arm)\b' tests/test_*.py)
    [ -n "$files" ] || die "no test is marked arm"
    if [ "$(uname -m)" = aarch64 ]; then
        # shellcheck disable=SC2086
        exec "$host" -m pytest -m "arm and not slow" $files "$@"
    fi
    lay_root
    lay_site
    cross_wheel
    rm -rf "$site/rtu_edge" "$site"/rtu_edge-*
    quietly "$cache/pip.log" "$host" -m pip install --disable-pip-version-check --target "$site" --no-deps --upgrade \
        --python-version 3.11 --platform linux_aarch64 --only-binary=:all: "$cache"/wheel/*.whl
    # shellcheck disable=SC2086
    PYTHONPATH=$site PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1 exec qemu-aarch64 -cpu $cpu -L "$root" \
        "$root/usr/bin/$python" -P -m pytest -p no:cacheprovider -m "arm and not slow" $files "$@"
}

case $goal in
wheel) make_wheel ;;
test) run_tests "$@" ;;
*) die "usage: tools/arm.sh wheel|test" ;;
esac
