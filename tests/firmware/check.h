/* A minimal test harness: CHECK reports a failure and its location, and the test continues; main returns
 * check_result(). */
#pragma once

#include <stdint.h>
#include <stdio.h>

static int check_failures;

#define CHECK(condition) CHECK_AT(condition, "")

#define CHECK_AT(condition, where)                                                                                   \
  do {                                                                                                               \
    if (!(condition)) {                                                                                              \
      if (check_failures++ < 20) fprintf(stderr, "%s:%d: failed: %s %s\n", __FILE__, __LINE__, #condition, (where)); \
    }                                                                                                                \
  } while (0)

static inline int check_result(const char* name) {
  printf("%s: %s\n", name, check_failures == 0 ? "passed" : "FAILED");
  return check_failures != 0;
}

/* Random numbers for tests: xorshift64*, the same everywhere. */
static inline uint64_t check_random(uint64_t* state) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * 2685821657736338717u;
}
