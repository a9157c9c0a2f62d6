// A check that stops the program with the place and both numbers.
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                              \
  do {                                                                \
    if (!(condition)) {                                               \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                        \
    }                                                                 \
  } while (0)

#define CHECK_BELOW(value, bound, what)                                                               \
  do {                                                                                                \
    const double value_ = (value), bound_ = (bound);                                                  \
    if (!(value_ <= bound_)) {                                                                        \
      fprintf(stderr, "%s:%d: %s: %.3g, allowed %.3g\n", __FILE__, __LINE__, (what), value_, bound_); \
      exit(1);                                                                                        \
    }                                                                                                 \
  } while (0)
