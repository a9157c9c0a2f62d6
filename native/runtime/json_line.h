// One line of JSON in a buffer of fixed size: entries that do not fit are left out, and the line stays well-formed.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmath>

#include "native/runtime/number_text.h"

namespace rtu::runtime {

class JsonLine {
 public:
  // Keys and texts need no escaping: they are constants of this code base. key: null at the top.
  void open(const char* key) noexcept {
    if (!item(key, "{")) {
      ++left_out_;
      return;
    }
    first_ = true;
  }
  void close() noexcept {
    if (left_out_ > 0) {
      --left_out_;
      return;
    }
    text_[used_++] = '}';
    first_ = false;
  }
  void text(const char* key, const char* value) noexcept {
    char quoted[80];
    snprintf(quoted, sizeof quoted, "\"%s\"", value);
    item(key, quoted);
  }
  void flag(const char* key, bool value) noexcept { item(key, value ? "true" : "false"); }
  void count(const char* key, uint64_t value) noexcept {
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", static_cast<unsigned long long>(value));
    item(key, digits);
  }
  // null where it is not finite: JSON has no other representation.
  void number(const char* key, double value) noexcept {
    item(key, std::isfinite(value) ? number_text(value, 12).text : "null");
  }
  // All entries or none.
  void list(const char* key, const double* values, int n) noexcept {
    char text[1024] = "[";
    size_t used = 1;
    for (int i = 0; i < n && used + 32 < sizeof text; ++i)
      used += static_cast<size_t>(snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? "," : "",
                                           std::isfinite(values[i]) ? number_text(values[i], 7).text : "null"));
    text[used] = ']';
    text[used + 1] = 0;
    item(key, text);
  }
  const char* end() noexcept {
    text_[used_] = '\n';
    text_[used_ + 1] = 0;
    return text_;
  }

 private:
  static constexpr size_t kRoom = 8192;
  static constexpr size_t kKept = 16;  // reserved for the closing brackets

  bool item(const char* key, const char* value) noexcept {
    const size_t n = strlen(value) + (key != nullptr ? strlen(key) + 4 : 0);
    if (used_ + n + kKept > kRoom) return false;
    used_ += static_cast<size_t>(snprintf(text_ + used_, kRoom - used_, "%s%s%s%s%s", first_ ? "" : ",",
                                          key != nullptr ? "\"" : "", key != nullptr ? key : "",
                                          key != nullptr ? "\":" : "", value));
    first_ = false;
    return true;
  }

  char text_[kRoom];
  size_t used_ = 0;
  int left_out_ = 0;  // levels that did not fit and need no closing bracket
  bool first_ = true;
};

}  // namespace rtu::runtime
