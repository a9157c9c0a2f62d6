// Numbers in the lines of the control socket are those of printf in the C locale, in every locale.
#include "native/runtime/json_line.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <initializer_list>

#include "tests/native/check.h"

using rtu::runtime::JsonLine;
using rtu::runtime::number_text;

namespace {

bool as_printf(double value) {
  char expected[40];
  snprintf(expected, sizeof expected, "%.12g", value);
  return strcmp(number_text(value, 12).text, expected) == 0;
}

}  // namespace

int main() {
  for (double value :
       {0.0, -0.0, 1.5, -2.25e-7, 1.0 / 3, 123456789.0, 999999999999.5, 1e300, 5e-324, 1.7976931348623157e308}) {
    CHECK(as_printf(value));
  }
  uint64_t bits = 0x9E3779B97F4A7C15u;
  for (int i = 0; i < 100000; ++i) {
    bits = bits * 6364136223846793005u + 1442695040888963407u;
    double value;
    memcpy(&value, &bits, sizeof value);
    if (isfinite(value)) CHECK(as_printf(value));
  }
  JsonLine line;
  line.open(nullptr);
  line.number("half", 0.5);
  line.number("none", HUGE_VAL);
  line.close();
  CHECK(strcmp(line.end(), "{\"half\":0.5,\"none\":null}\n") == 0);
  return 0;
}
