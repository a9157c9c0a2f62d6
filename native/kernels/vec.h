// Vectors at the processor's native width on the compiler's vector extensions. Included by isa_*.cpp only; everything
// has internal linkage, so that the linker cannot use one instruction set's code in another.
#pragma once

#include <stdint.h>

#include "native/core/sqrt.h"

namespace {

template <class T, int V>
struct VecOf {
  typedef T type __attribute__((vector_size(sizeof(T) * V)));
};
template <class T>
struct VecOf<T, 1> {
  typedef T type;
};
template <class T, int V>
using Vec = typename VecOf<T, V>::type;

template <class T>
struct IntOf;
template <>
struct IntOf<float> {
  typedef int32_t type;
  typedef uint32_t unsigned_type;
  static constexpr int mantissa = 23, bias = 127;
  static constexpr float rounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr uint32_t root = 0x5f3759df;   // minus half the bits of x: those of 1 / sqrt(x), to 3.5 %
  static constexpr int root_steps = 2;
  static constexpr float largest = 0x1.fffffep127f;
};
template <>
struct IntOf<double> {
  typedef int64_t type;
  typedef uint64_t unsigned_type;
  static constexpr int mantissa = 52, bias = 1023;
  static constexpr double rounder = 6755399441055744.0;
  static constexpr uint64_t root = 0x5fe6eb50c7b537a9;
  static constexpr int root_steps = 3;
  static constexpr double largest = 0x1.fffffffffffffp1023;
};
template <class T, int V>
using IVec = Vec<typename IntOf<T>::type, V>;

#define RTU_INLINE inline __attribute__((always_inline))

// Before a loop over eligibility sets: where size comes first, GCC would keep them in memory and count.
#if defined(__OPTIMIZE_SIZE__)
#define RTU_EACH_SET _Pragma("GCC unroll 2")
#else
#define RTU_EACH_SET
#endif

// max and min of vectors in one instruction, which gives a > b ? a : b also for NaN and two zeros. GCC 12 generates
// two, a comparison and a blend.
#if defined(__AVX__)
#define RTU_X86(op) "v" op " %1, %0, %0"
#else
#define RTU_X86(op) op " %1, %0"
#endif

template <class T, int V>
struct Lanes {
  typedef T Scalar;
  typedef Vec<T, V> F;
  typedef IVec<T, V> I;
  static constexpr int width = V;

  static RTU_INLINE F all(T x) {
    if constexpr (V == 1) {
      return x;
    } else {
      return x - F{};
    }
  }
  static RTU_INLINE F load(const T* p) { return *reinterpret_cast<const F*>(p); }
  static RTU_INLINE void store(T* p, F x) { *reinterpret_cast<F*>(p) = x; }
  static RTU_INLINE I bits(F x) {
    if constexpr (V == 1) {
      I i;
      __builtin_memcpy(&i, &x, sizeof i);
      return i;
    } else {
      return (I)x;
    }
  }
  static RTU_INLINE F from_bits(I i) {
    if constexpr (V == 1) {
      F x;
      __builtin_memcpy(&x, &i, sizeof x);
      return x;
    } else {
      return (F)i;
    }
  }
  static RTU_INLINE F abs(F x) {
    if constexpr (V == 1 && sizeof(T) == 4) return __builtin_fabsf(x);
    return from_bits(bits(x) & ~(static_cast<typename IntOf<T>::type>(1) << (sizeof(T) * 8 - 1)));
  }
  static RTU_INLINE F max(F a, F b) {
#if defined(__x86_64__)
    if constexpr (V > 1 && sizeof(T) == 4) {
      __asm__(RTU_X86("maxps") : "+v"(a) : "v"(b));
      return a;
    }
#endif
    return a > b ? a : b;
  }
  static RTU_INLINE F min(F a, F b) {
#if defined(__x86_64__)
    if constexpr (V > 1 && sizeof(T) == 4) {
      __asm__(RTU_X86("minps") : "+v"(a) : "v"(b));
      return a;
    }
#endif
    return a < b ? a : b;
  }
  static RTU_INLINE F sqrt(F x) {
    if constexpr (V == 1) {
      if constexpr (sizeof(T) == 4) return __builtin_sqrtf(x);
      return static_cast<T>(rtu::core::square_root(x));
    } else {
      F y = x;
      for (int i = 0; i < V; ++i) y[i] = __builtin_sqrtf(x[i]);
      return y;
    }
  }
  // 1 / sqrt(x) to 4 units in the last place for a positive normal x, also infinity, which counts as the largest
  // number: a start from the exponent, then Householder's steps of third order, by which an error e becomes 2.5 e^3.
  // Square root and division take four times as long.
  static RTU_INLINE F inverse_sqrt(F positive) {
    const F x = min(positive, all(IntOf<T>::largest));
    typedef Vec<typename IntOf<T>::unsigned_type, V> U;
    F y = from_bits((I)(IntOf<T>::root - ((U)bits(x) >> 1)));
    for (int i = 0; i < IntOf<T>::root_steps; ++i) {
      const F rest = T(1) - (x * y) * y;
      y += y * rest * (T(0.5) + T(0.375) * rest);
    }
    return y;
  }
  static RTU_INLINE F select(I mask, F a, F b) { return mask ? a : b; }
#if defined(__FMA__) || defined(__AVX512F__) || defined(__ARM_FEATURE_FMA)
  static constexpr bool has_fma = sizeof(T) == 4;
#else
  static constexpr bool has_fma = false;
#endif
  // a b + c, rounded once; only where has_fma.
  static RTU_INLINE F fma(F a, F b, F c) {
    if constexpr (V == 1) {
      return __builtin_fmaf(a, b, c);
    } else {
      F y = a;
      for (int i = 0; i < V; ++i) y[i] = __builtin_fmaf(a[i], b[i], c[i]);
      return y;
    }
  }
  // Sum of the lanes, pairwise: upper half onto lower half, the same tree for every width.
  static RTU_INLINE T sum(F x) {
    if constexpr (V == 1) {
      return x;
    } else if constexpr (V == 4) {
      return (x[0] + x[2]) + (x[1] + x[3]);
    } else {
      Vec<T, V / 2> half[2];
      __builtin_memcpy(half, &x, sizeof x);
      return Lanes<T, V / 2>::sum(half[0] + half[1]);
    }
  }
  // x unchanged: keeps the compiler from contracting the product that produced it into a multiply-add.
  static RTU_INLINE F rounded(F x) {
#if defined(__x86_64__) || defined(__i386__)
    if constexpr (sizeof(F) >= 4) __asm__("" : "+v"(x));  // v: any of the 32 registers, if the processor has them
#elif defined(__aarch64__)
    __asm__("" : "+w"(x));
#endif
    return x;
  }
  // a b + c, c a constant that is used again, with a separate addition on a Cortex-M4: VMLA adds to its register, so
  // the constant would be copied first, and takes a cycle more.
  static RTU_INLINE F uncopied(F product) {
#if defined(__arm__) && defined(__ARM_FP)
    if constexpr (V == 1 && sizeof(T) == 4) __asm__("" : "+t"(product));
#endif
    return product;
  }
  // a b + c with a separate addition where vectors are 64 bytes wide. On a Zen 5 a store of that width keeps both
  // multipliers from reading a third operand for a cycle, so a store-heavy pass is faster with fewer fused operations.
  static RTU_INLINE F apart(F product) {
    if constexpr (sizeof(F) == 64) return rounded(product);
    return product;
  }
};

// Two vectors (or twins) processed by the same operations in parallel, to hide the latency of dependent operations.
// Bit-identical to processing them in sequence.
template <class L>
struct Twin {
  typedef typename L::Scalar Scalar, T;
  struct I {
    typename L::I a, b;
    friend RTU_INLINE I operator&(I x, int32_t y) { return {x.a & y, x.b & y}; }
    friend RTU_INLINE I operator+(I x, int32_t y) { return {x.a + y, x.b + y}; }
    friend RTU_INLINE I operator<<(I x, int32_t y) { return {x.a << y, x.b << y}; }
    friend RTU_INLINE I operator^(I x, I y) { return {x.a ^ y.a, x.b ^ y.b}; }
    friend RTU_INLINE I operator!=(I x, int32_t y) { return {x.a != y, x.b != y}; }
  };
  struct F {
    typename L::F a, b;
    friend RTU_INLINE F operator+(F x, F y) { return {x.a + y.a, x.b + y.b}; }
    friend RTU_INLINE F operator-(F x, F y) { return {x.a - y.a, x.b - y.b}; }
    friend RTU_INLINE F operator*(F x, F y) { return {x.a * y.a, x.b * y.b}; }
    friend RTU_INLINE F operator/(F x, F y) { return {x.a / y.a, x.b / y.b}; }
    friend RTU_INLINE F operator+(F x, T y) { return {x.a + y, x.b + y}; }
    friend RTU_INLINE F operator-(F x, T y) { return {x.a - y, x.b - y}; }
    friend RTU_INLINE F operator*(F x, T y) { return {x.a * y, x.b * y}; }
    friend RTU_INLINE F operator+(T x, F y) { return {x + y.a, x + y.b}; }
    friend RTU_INLINE F operator-(T x, F y) { return {x - y.a, x - y.b}; }
    friend RTU_INLINE F operator-(F x) { return {-x.a, -x.b}; }
  };
  static constexpr int width = 2 * L::width;
  static constexpr bool has_fma = L::has_fma;

  static RTU_INLINE F all(T x) { return {L::all(x), L::all(x)}; }
  static RTU_INLINE F load(const T* p) { return {L::load(p), L::load(p + L::width)}; }
  static RTU_INLINE void store(T* p, F x) {
    L::store(p, x.a);
    L::store(p + L::width, x.b);
  }
  static RTU_INLINE I bits(F x) { return {L::bits(x.a), L::bits(x.b)}; }
  static RTU_INLINE F from_bits(I i) { return {L::from_bits(i.a), L::from_bits(i.b)}; }
  static RTU_INLINE F max(F x, F y) { return {L::max(x.a, y.a), L::max(x.b, y.b)}; }
  static RTU_INLINE F min(F x, F y) { return {L::min(x.a, y.a), L::min(x.b, y.b)}; }
  static RTU_INLINE F sqrt(F x) { return {L::sqrt(x.a), L::sqrt(x.b)}; }
  static RTU_INLINE F fma(F x, F y, F z) { return {L::fma(x.a, y.a, z.a), L::fma(x.b, y.b, z.b)}; }
  static RTU_INLINE F rounded(F x) { return {L::rounded(x.a), L::rounded(x.b)}; }
  static RTU_INLINE F uncopied(F x) { return {L::uncopied(x.a), L::uncopied(x.b)}; }
  static RTU_INLINE F select(I mask, F x, F y) { return {L::select(mask.a, x.a, y.a), L::select(mask.b, x.b, y.b)}; }
};

}  // namespace
