// The fuzzer's bytes as a script: numbers read in sequence, 0 when there are no more.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "check.h"  // a failed check ends the process, which libFuzzer reports with the input

class Input {
 public:
  Input(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}

  bool empty() const { return at_ == end_; }
  uint8_t u8() { return empty() ? uint8_t{0} : *at_++; }
  uint16_t u16() {
    const uint16_t low = u8();
    return static_cast<uint16_t>(low | u8() << 8);
  }
  uint32_t u32() {
    const uint32_t low = u16();
    return low | static_cast<uint32_t>(u16()) << 16;
  }
  // Reads up to n bytes; returns the number.
  size_t take(uint8_t* out, size_t n) {
    const size_t left = static_cast<size_t>(end_ - at_);
    if (n > left) n = left;
    if (n != 0) memcpy(out, at_, n);
    at_ += n;
    return n;
  }

 private:
  const uint8_t *at_, *end_;
};
