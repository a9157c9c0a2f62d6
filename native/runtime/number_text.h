// Numbers as text, the same in every locale: printf writes a comma where a library has set such a locale for the
// process.
#pragma once

#include <charconv>

namespace rtu::runtime {

struct NumberText {
  char text[40];
};

// Like %.*g; digits: at most 17. Not finite: inf, -inf, nan.
inline NumberText number_text(double value, int digits) noexcept {
  NumberText out;
  const auto end = std::to_chars(out.text, out.text + sizeof out.text - 1, value, std::chars_format::general, digits);
  *end.ptr = 0;
  return out;
}

}  // namespace rtu::runtime
