// One sweep per vector width. The wide ones have their instruction set as an attribute and are called by number of
// lanes, once the kernels of that width are known to run here.
#include "native/testing/peers.h"

namespace rtu::testing {

namespace {

#define RTU_SWEEP(name, width, attribute)                           \
  attribute void name(float* x, size_t n) {                         \
    typedef float Lanes __attribute__((vector_size(width * 4)));    \
    _Pragma("GCC unroll 4") for (size_t i = 0; i < n; i += width) { \
      Lanes* at = reinterpret_cast<Lanes*>(x + i);                  \
      *at = *at * 0.999f + 1e-6f;                                   \
    }                                                               \
  }

void sweep_1(float* x, size_t n) {
  _Pragma("GCC unroll 4") for (size_t i = 0; i < n; ++i) {
    x[i] = x[i] * 0.999f + 1e-6f;
    __asm__ volatile("" ::: "memory");  // not four at a time
  }
}
RTU_SWEEP(sweep_4, 4, )
#if defined(__x86_64__)
RTU_SWEEP(sweep_8, 8, __attribute__((target("avx2,fma"))))
RTU_SWEEP(sweep_16, 16, __attribute__((target("avx512f,avx512vl"))))
#endif

}  // namespace

Sweep sweep_of(int lanes) {
  switch (lanes) {
    case 1:
      return sweep_1;
    case 4:
      return sweep_4;
#if defined(__x86_64__)
    case 8:
      return sweep_8;
    case 16:
      return sweep_16;
#endif
    default:
      return nullptr;
  }
}

}  // namespace rtu::testing
