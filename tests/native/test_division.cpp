// Division for processors without one of doubles, against this processor's, which IEEE 754 requires to be correctly
// rounded: every bit. The argument is the number of random pairs.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "native/core/division.h"
#include "native/core/sqrt.h"
#include "random_bits.h"

namespace {

uint64_t state = 1;

double of_bits(uint64_t bits) {
  double x = 0;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// Random bits; often with an exponent near 0, with few digits, or with a long run of ones, last or first.
double random_number() {
  uint64_t bits = random_bits(&state);
  const uint64_t kind = bits % 8, digits = random_bits(&state) % 53;
  if (kind < 4) bits = (bits & ~(static_cast<uint64_t>(0x7ff) << 52)) | (1000 + random_bits(&state) % 46) << 52;
  if (kind == 1) bits &= ~static_cast<uint64_t>(0) << digits;
  if (kind == 2) bits |= (static_cast<uint64_t>(1) << digits) - 1;
  if (kind == 3) bits |= ~static_cast<uint64_t>(0) << digits & ((static_cast<uint64_t>(1) << 52) - 1);
  if (kind == 5) bits &= ~(static_cast<uint64_t>(0x7ff) << 52);  // subnormal
  return of_bits(bits);
}

bool same(double a, double b) { return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0; }

int check(double a, double b) {
  if (!same(rtu::core::divide(a, b), a / b)) {
    printf("FAILED: %a / %a is %a, got %a\n", a, b, a / b, rtu::core::divide(a, b));
    return 1;
  }
  if (!same(rtu::core::digitwise_square_root(a), sqrt(a))) {
    printf("FAILED: sqrt(%a) is %a, got %a\n", a, sqrt(a), rtu::core::digitwise_square_root(a));
    return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const long pairs = argc > 1 ? atol(argv[1]) : 1000000;
  const double edges[] = {0.0,       1.0,         3.0,        0x1p-1074, 0x1p-1023, 0x1.fffffffffffffp-1023,
                          0x1p-1022, 0x1.8p-1022, 0x1p-1021,  0x1p-53,   0x1p1023,  0x1.fffffffffffffp1023,
                          0x1p-52,   0x1p52,      0x1.8p1022, 0x1p53,    INFINITY,  0x1.ffffffffffefep1,
                          NAN};
  int failures = 0;
  for (const double a : edges)
    for (const double b : edges)
      failures += check(a, b) + check(-a, b) + check(a, nextafter(b, 1.0)) + check(nextafter(a, 2.0), -b);
  for (long i = 0; i < pairs && failures < 10; ++i) {
    const double a = random_number();
    failures += check(a, i % 16 == 0 ? nextafter(a, i % 32 == 0 ? 0.0 : INFINITY) : random_number());
  }
  return failures != 0;
}
