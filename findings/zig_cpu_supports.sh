#!/bin/sh
# ziglang 0.17.1: __builtin_cpu_supports() answers 0 for every instruction set of the processor. Its own compiler
# runtime has the function that fills the table as one that does nothing, so code that chooses kernels by it silently
# takes the slowest. CPUID itself (__get_cpuid_count) answers correctly.
# Seen on a processor with AVX2: "supports 0, cpuid 1".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check ziglang==0.17.1
cat >"$folder/main.c" <<'EOF'
#include <cpuid.h>
#include <stdio.h>
int main(void) {
  unsigned a = 0, b = 0, c = 0, d = 0;
  __builtin_cpu_init();
  const int supports = __builtin_cpu_supports("avx2") != 0;
  __get_cpuid_count(7, 0, &a, &b, &c, &d);
  const int cpuid = (b >> 5) & 1;
  printf("supports %d, cpuid %d\n", supports, cpuid);
  return supports == 0 && cpuid == 1 ? 0 : 1;
}
EOF
ZIG_GLOBAL_CACHE_DIR=$folder/cache "$folder/env/bin/python" -m ziglang cc -O2 -target x86_64-linux-gnu.2.28 \
    "$folder/main.c" -o "$folder/main"
"$folder/main"
