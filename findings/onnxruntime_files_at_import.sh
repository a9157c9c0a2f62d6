#!/bin/sh
# onnxruntime: the import alone writes an identifier and a database; the Python switch for telemetry comes too late.
#
# Packages: onnxruntime 1.28.0 and 1.32.0 (PyPI).
#
# From 1.29.0 on, `import onnxruntime` on Linux starts one more thread and writes two files below ~/.cache (or
# XDG_CACHE_HOME): a UUID and an SQLite database of events. No session has to be created.
# disable_telemetry_events() can only be called after the import, when the files exist. The environment variable
# ORT_DISABLE_TELEMETRY=1, set before the import, prevents thread and files; 1.28.0 has neither. A process that counts
# on a quiet SD card, or on knowing its threads before it asks for real-time priority, has to set it.
#
# Seen (Python 3.11, x86-64, empty home):
#     1.28.0                              1 threads, files: none
#     1.32.0                              2 threads, files: deviceid onnxruntime.db
#     1.32.0, disable_telemetry_events()  2 threads, files: deviceid onnxruntime.db
#     1.32.0, ORT_DISABLE_TELEMETRY=1     1 threads, files: none
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/pip" install -qq --disable-pip-version-check --no-deps --target "$folder/before" onnxruntime==1.28.0
count='import os, time; time.sleep(1); print(len(os.listdir("/proc/self/task")))'
status=0

# case_of NAME THREADS FILES CODE [VARIABLE=VALUE]...: run CODE with an empty home, compare what it starts and leaves
case_of() {
    name=$1 expected="$2 threads, files: ${3:-none}" code=$4
    shift 4
    home=$(mktemp -d -p "$folder")
    threads=$(env -i PATH="$PATH" HOME="$home" OPENBLAS_NUM_THREADS=1 "$@" "$folder/venv/bin/python" -c "$code; $count")
    # the database's companions (-wal, -shm) come and go with its connection
    found=$(find "$home" -type f ! -name '*-wal' ! -name '*-shm' -printf '%f\n' | sort | paste -sd ' ')
    seen="$threads threads, files: ${found:-none}"
    printf '%-34s  %s\n' "$name" "$seen"
    [ "$seen" = "$expected" ] || { echo "changed: expected: $expected" >&2; status=1; }
}

both='deviceid onnxruntime.db'
case_of 1.28.0 1 '' 'import onnxruntime; assert onnxruntime.__version__ == "1.28.0"' PYTHONPATH="$folder/before"
case_of 1.32.0 2 "$both" 'import onnxruntime; assert onnxruntime.__version__ == "1.32.0"'
case_of '1.32.0, disable_telemetry_events()' 2 "$both" 'import onnxruntime; onnxruntime.disable_telemetry_events()'
case_of '1.32.0, ORT_DISABLE_TELEMETRY=1' 1 '' 'import onnxruntime' ORT_DISABLE_TELEMETRY=1
exit $status
