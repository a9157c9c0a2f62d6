// The square root for processors without one, against the C library's, which IEEE 754 requires to be correctly rounded:
// every bit.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "native/core/sqrt.h"
#include "random_bits.h"

namespace {

uint64_t state = 1;

int check(double x) {
  const double expected = sqrt(x), got = rtu::core::digitwise_square_root(x);
  if (isnan(expected) ? isnan(got) : memcmp(&expected, &got, sizeof got) == 0) return 0;
  printf("FAILED: sqrt(%a) is %a, got %a\n", x, expected, got);
  return 1;
}

}  // namespace

int main() {
  int failures = 0;
  const double edges[] = {0.0,
                          -0.0,
                          1.0,
                          2.0,
                          3.0,
                          4.0,
                          -1.0,
                          0x1p-1074,
                          0x1p-1023,
                          0x1p-1022,
                          0x1.fffffffffffffp1023,
                          0x1.fffffffffffffp-1,
                          0x1.0000000000001p0,
                          static_cast<double>(INFINITY),
                          static_cast<double>(NAN)};
  for (const double x : edges) failures += check(x);
  for (int i = 0; i < 300000; ++i) {
    const uint64_t bits = random_bits(&state);
    double any = 0;
    memcpy(&any, &bits, sizeof any);
    failures += check(any);
    failures += check(1.0 + static_cast<double>(bits >> 12) * 0x1p-52);
    const double whole = static_cast<double>(bits >> 40);
    failures += check(whole * whole);
  }
  return failures != 0;
}
