#!/bin/sh
# GCC 12.2.0 (Debian 12, x86-64): two neighbouring doubles that are converted to float and back keep the digits that a
# float cannot have, from -O2 on, without any option that permits it. The vectoriser of straight-line code takes both
# conversions at once and leaves them out. Right with -O1, with -fno-tree-slp-vectorize, with one number at a time, on
# aarch64 with the same version, and with clang.
# Seen: "-O2: 0.10000000000000001 0.29999999999999999, with -fno-tree-slp-vectorize: 0.10000000149011612
# 0.30000001192092896".
# This needs gcc in version 12.2 (apt-get install gcc on Debian 12) in place of a package index; CC names another.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/main.c" <<'END'
#include <stdio.h>
__attribute__((noinline)) void narrow(const double *in, float *single, double *again) {
  single[0] = (float)in[0];
  single[1] = (float)in[1];
  again[0] = (double)single[0];
  again[1] = (double)single[1];
}
int main(void) {
  const double in[2] = {0.1, 0.3};
  float single[2];
  double again[2];
  narrow(in, single, again);
  printf("%.17g %.17g\n", again[0], again[1]);
  return again[0] == (double)single[0] && again[1] == (double)single[1];
}
END
cc=${CC:-gcc}
"$cc" -O2 -fno-tree-slp-vectorize "$folder/main.c" -o "$folder/right"
"$cc" -O2 "$folder/main.c" -o "$folder/wrong"
if right=$("$folder/right"); then
    echo "wrong without vectoriser too: $right"
    exit 1
fi
status=0
wrong=$("$folder/wrong") || status=$?
echo "-O2: $wrong, with -fno-tree-slp-vectorize: $right"
exit "$status"
