#!/bin/sh
# Set up the environment: tools/setup.sh run | test. Needs git and Python 3.10 to 3.15; safe to repeat, and quick when
# nothing changed.
#   run    for the demo: compiler, .venv, the package built from source with all its extras (`all`)
#   test   also the cross compilers and checkers of the test suite
# PYTHON=... chooses the interpreter; RTU_EDGE_NO_APT=1 forbids installing system packages.
set -eu
cd "$(dirname "$0")/.."
goal=${1:-run}
venv=.venv
log=$venv/setup.log
case $goal in
run) extra="[all]" extras="all" warnings=OFF ;;
test) extra="[test,lint,docs]" extras="test lint docs" warnings=ON ;;
*) echo "usage: tools/setup.sh run|test" >&2; exit 2 ;;
esac

say() { echo "set-up: $*"; }
die() { echo "set-up: $*" >&2; exit 1; }

# ---------------------------------------------------------------- interpreter
usable() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 16))' >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        usable "$PYTHON" || die "PYTHON=$PYTHON is not a Python 3.10 to 3.15"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.15 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    die "no Python 3.10 to 3.15 found: install python3 python3-venv python3-dev, or say make PYTHON=/path/to/python"
}

# ---------------------------------------------------------------- system packages
missing=
need() { # need <package> <command that proves it>...
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
has() { command -v "$1"; }

collect_missing() {
    need g++ has c++
    need gcc has cc
    # A distribution's Python splits these off; any other build of Python has them.
    version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    need "$version-venv" "$python" -c 'import ensurepip, venv'
    need "$version-dev" "$python" -c \
        'import os, sysconfig; os.stat(os.path.join(sysconfig.get_path("include"), "Python.h"))'
    [ "$goal" != run ] || return 0
    need binutils has objdump
    need shellcheck has shellcheck
    need valgrind has valgrind
    need systemd has systemd-analyze
    need locales test -e /usr/share/i18n/locales/de_DE
    need gcc-arm-none-eabi has arm-none-eabi-g++
    need libnewlib-arm-none-eabi test -e "$(arm-none-eabi-gcc -print-file-name=libc.a 2>/dev/null || echo missing)"
    need qemu-system-arm has qemu-system-arm
    need qemu-system-misc has qemu-system-avr
    need gcc-avr has avr-gcc
    need avr-libc test -e /usr/lib/avr/include/avr/io.h
    need arduino-core-avr test -e /usr/share/arduino/hardware/arduino/avr/cores/arduino/Arduino.h
    need libsimavr-dev test -e /usr/include/simavr/sim_avr.h
    need libelf-dev test -e /usr/include/libelf.h
    need gcc-riscv64-unknown-elf has riscv64-unknown-elf-gcc
    need picolibc-riscv64-unknown-elf test -e /usr/lib/picolibc/riscv64-unknown-elf/include/string.h
    need cppcheck has cppcheck
    need clang has clang
    need pkg-config has pkg-config
    need cargo has cargo
    case $(uname -m) in
    aarch64 | arm64) ;; # the ARM tests run natively
    *)
        need g++-aarch64-linux-gnu has aarch64-linux-gnu-g++
        need qemu-user has qemu-aarch64
        need debian-archive-keyring test -e /usr/share/keyrings/debian-archive-keyring.gpg
        ;;
    esac
}

# libFuzzer belongs to clang: in its own package on Debian, named by clang's version; on Ubuntu 22.04 it comes with
# clang.
collect_fuzzer() {
    need "libclang-rt-$(clang -dumpversion | cut -d . -f 1)-dev" links_fuzzer
}
links_fuzzer() { echo "int LLVMFuzzerTestOneInput(void) { return 0; }" | clang -x c -fsanitize=fuzzer - -o /dev/null; }

install_missing() {
    [ -n "$missing" ] || return 0
    advice="install these, then try again: sudo apt-get install$missing"
    if [ -n "${RTU_EDGE_NO_APT:-}" ] || ! has apt-get >/dev/null; then die "$advice"; fi
    if [ "$(id -u)" -eq 0 ]; then
        sudo=
    elif has sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        sudo=sudo
    else
        die "$advice"
    fi
    say "installing system packages:$missing"
    apt="$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3"
    # shellcheck disable=SC2086
    { $apt update && $apt install -y --no-install-recommends $missing; } >"$apt_log" 2>&1 </dev/null ||
        { tail -n 20 "$apt_log" >&2; die "apt-get failed; $advice"; }
}

# ---------------------------------------------------------------- virtual environment
pip_log() { # pip_log <log> <pip arguments>...
    to=$1
    shift
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" >"$to" 2>&1
}
pip_failed() { # pip_failed <log>
    tail -n 60 "$1" >&2
    die "pip failed: see above and $1"
}

# What the package depends on, as requirements; an extra that names the package itself is followed.
requirements() {
    "$venv/bin/python" - "$@" <<'EOF'
import re, sys
try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib
with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
wanted = list(project["dependencies"])
extras = sys.argv[1:]
while extras:
    for line in project["optional-dependencies"][extras.pop()]:
        own = re.fullmatch(re.escape(project["name"]) + r"\[(.*)\]", line)
        extras += own[1].split(",") if own else []
        wanted += [] if own else [line]
print(*wanted, sep="\n")
EOF
}

digest() { sha256sum | cut -d ' ' -f 1; }
unchanged() { [ "$(cat "$venv/$1.stamp" 2>/dev/null)" = "$2" ]; }

# Contents of what is compiled; of Python only the names, because the install is an editable one.
sources() {
    {
        find native firmware_bridge cmake CMakeLists.txt pyproject.toml rtu_edge/_base/version.py -type f |
            LC_ALL=C sort | xargs sha256sum
        find rtu_edge -name '*.py*' -not -name '*.pyc' | LC_ALL=C sort
        ls "$venv/bin/rtu-edge" rtu_edge/bin/tl_firmware 2>&1 || true
    } | digest
}

apt_log=$(mktemp)
installing=
trap 'rm -f "$apt_log"; [ -z "$installing" ] || kill "$installing" 2>/dev/null || true' EXIT

python=$(find_python)
# Inside an activated environment, the interpreter below it.
python=$("$python" -c 'import sys; print(sys._base_executable)')
collect_missing
install_missing
if [ "$goal" != run ]; then
    missing=
    collect_fuzzer
    install_missing
fi

identity=$("$python" -c 'import sys; print(sys.version.split()[0], sys.base_prefix)')
if ! unchanged python "$identity" || ! has "$venv/bin/pip" >/dev/null; then
    say "creating $venv with $("$python" --version)"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    echo "$identity" >"$venv/python.stamp"
fi

# The build is not isolated, so that a second one compiles only what changed.
grep '^requires = ' pyproject.toml | grep -o '"[^"]*"' | tr -d '"' >"$venv/build-requirements.txt"
stamp=$(digest <"$venv/build-requirements.txt")
if ! unchanged build-requirements "$stamp"; then
    say "installing the build tools"
    pip_log "$log" cmake ninja -r "$venv/build-requirements.txt" || pip_failed "$log"
    echo "$stamp" >"$venv/build-requirements.stamp"
fi

if ! unchanged "package$extra" "$(sources)"; then
    say "compiling rtu_edge and installing what it needs"
    # shellcheck disable=SC2086
    requirements $extras >"$venv/requirements.txt"
    # Both at once: one mostly waits for the index, the other computes.
    pip_log "$venv/requirements.log" -r "$venv/requirements.txt" &
    installing=$!
    # By the environment: pip before 23.1 has no option -C.
    SKBUILD_CMAKE_DEFINE="RTU_EDGE_WERROR=$warnings" pip_log "$log" --no-build-isolation --no-deps --editable . ||
        pip_failed "$log"
    wait "$installing" || pip_failed "$venv/requirements.log"
    installing=
    sources >"$venv/package$extra.stamp"
fi
