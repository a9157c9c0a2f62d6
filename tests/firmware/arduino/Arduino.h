/* What TickLink takes from an Arduino core, for a 32-bit processor whose core is not at hand: it compiles, no more. */
#pragma once

#include <stddef.h>
#include <stdint.h>

unsigned long micros();

class Stream {
 public:
  virtual int available() = 0;
  virtual int read() = 0;
  virtual int availableForWrite() = 0;
  virtual size_t write(const uint8_t* bytes, size_t n) = 0;
};
