// Dense layers on a Cortex-M4F or M7 in single precision: eight weights in a VLDM, VMLA for a product and its sum.
//
// VMLA rounds the product before it adds, so that each result has the bits of the portable kernels with one lane
// (dense.inl.h), whose order of sums is kept: of a row from the first column to the last, of a column from the first
// row to the last. Elements beyond whole blocks of eight go through the portable form.
#pragma once

#include "native/kernels/dense.inl.h"
#include "native/kernels/rtu_linear.inl.h"

namespace {

constexpr int32_t kVfpBlock = 8;  // floats in a VLDM of s8 to s15, s16 to s23 or s24 to s31
constexpr int32_t blocks_of(int32_t n) { return static_cast<int32_t>(static_cast<uint32_t>(n) / kVfpBlock); }
constexpr float kVfpZeros[kVfpBlock] = {};

// W <- W + a z for a row, then its sum W x. n: blocks of eight, at least one; w, z and x move past them.
RTU_INLINE float vfp_forward(int32_t n, float*& w, const float*& z, float a, const float*& x) {
  float sum = 0.0f;
  __asm__ volatile(
      "0:\n\t"
      "vldm %[w], {s8-s15}\n\t"
      "vldmia %[z]!, {s16-s23}\n\t"
      "vldmia %[x]!, {s24-s31}\n\t"
      "vmla.f32 s8, s16, %[a]\n\t"
      "vmla.f32 s9, s17, %[a]\n\t"
      "vmla.f32 s10, s18, %[a]\n\t"
      "vmla.f32 s11, s19, %[a]\n\t"
      "vmla.f32 s12, s20, %[a]\n\t"
      "vmla.f32 s13, s21, %[a]\n\t"
      "vmla.f32 s14, s22, %[a]\n\t"
      "vmla.f32 s15, s23, %[a]\n\t"
      "vstmia %[w]!, {s8-s15}\n\t"
      "vmla.f32 %[sum], s8, s24\n\t"
      "vmla.f32 %[sum], s9, s25\n\t"
      "vmla.f32 %[sum], s10, s26\n\t"
      "vmla.f32 %[sum], s11, s27\n\t"
      "vmla.f32 %[sum], s12, s28\n\t"
      "vmla.f32 %[sum], s13, s29\n\t"
      "vmla.f32 %[sum], s14, s30\n\t"
      "vmla.f32 %[sum], s15, s31\n\t"
      "subs %[n], #1\n\t"
      "bne 0b"
      : [n] "+l"(n), [w] "+r"(w), [z] "+r"(z), [x] "+r"(x), [sum] "+t"(sum)
      : [a] "t"(a)
      : "cc", "memory", "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21",
        "s22", "s23", "s24", "s25", "s26", "s27", "s28", "s29", "s30", "s31");
  return sum;
}

// The same with two eligibility sets.
RTU_INLINE float vfp_forward(int32_t n, float*& w, const float*& z, const float*& z1, float a, float a1,
                             const float*& x) {
  float sum = 0.0f;
  __asm__ volatile(
      "0:\n\t"
      "vldm %[w], {s8-s15}\n\t"
      "vldmia %[z]!, {s16-s23}\n\t"
      "vldmia %[z1]!, {s24-s31}\n\t"
      "vmla.f32 s8, s16, %[a]\n\t"
      "vmla.f32 s9, s17, %[a]\n\t"
      "vmla.f32 s10, s18, %[a]\n\t"
      "vmla.f32 s11, s19, %[a]\n\t"
      "vmla.f32 s12, s20, %[a]\n\t"
      "vmla.f32 s13, s21, %[a]\n\t"
      "vmla.f32 s14, s22, %[a]\n\t"
      "vmla.f32 s15, s23, %[a]\n\t"
      "vldmia %[x]!, {s16-s23}\n\t"
      "vmla.f32 s8, s24, %[a1]\n\t"
      "vmla.f32 s9, s25, %[a1]\n\t"
      "vmla.f32 s10, s26, %[a1]\n\t"
      "vmla.f32 s11, s27, %[a1]\n\t"
      "vmla.f32 s12, s28, %[a1]\n\t"
      "vmla.f32 s13, s29, %[a1]\n\t"
      "vmla.f32 s14, s30, %[a1]\n\t"
      "vmla.f32 s15, s31, %[a1]\n\t"
      "vstmia %[w]!, {s8-s15}\n\t"
      "vmla.f32 %[sum], s8, s16\n\t"
      "vmla.f32 %[sum], s9, s17\n\t"
      "vmla.f32 %[sum], s10, s18\n\t"
      "vmla.f32 %[sum], s11, s19\n\t"
      "vmla.f32 %[sum], s12, s20\n\t"
      "vmla.f32 %[sum], s13, s21\n\t"
      "vmla.f32 %[sum], s14, s22\n\t"
      "vmla.f32 %[sum], s15, s23\n\t"
      "subs %[n], #1\n\t"
      "bne 0b"
      : [n] "+l"(n), [w] "+r"(w), [z] "+r"(z), [z1] "+r"(z1), [x] "+r"(x), [sum] "+t"(sum)
      : [a] "t"(a), [a1] "t"(a1)
      : "cc", "memory", "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21",
        "s22", "s23", "s24", "s25", "s26", "s27", "s28", "s29", "s30", "s31");
  return sum;
}

// z <- decay z + c x for a row; returns sum |z|.
RTU_INLINE float vfp_learn(int32_t n, float decay, float c, const float*& x, float*& z) {
  float sum = 0.0f;
  __asm__ volatile(
      "0:\n\t"
      "vldm %[z], {s8-s15}\n\t"
      "vldmia %[x]!, {s16-s23}\n\t"
      "vmul.f32 s8, s8, %[decay]\n\t"
      "vmul.f32 s9, s9, %[decay]\n\t"
      "vmul.f32 s10, s10, %[decay]\n\t"
      "vmul.f32 s11, s11, %[decay]\n\t"
      "vmul.f32 s12, s12, %[decay]\n\t"
      "vmul.f32 s13, s13, %[decay]\n\t"
      "vmul.f32 s14, s14, %[decay]\n\t"
      "vmul.f32 s15, s15, %[decay]\n\t"
      "vmla.f32 s8, s16, %[c]\n\t"
      "vmla.f32 s9, s17, %[c]\n\t"
      "vmla.f32 s10, s18, %[c]\n\t"
      "vmla.f32 s11, s19, %[c]\n\t"
      "vmla.f32 s12, s20, %[c]\n\t"
      "vmla.f32 s13, s21, %[c]\n\t"
      "vmla.f32 s14, s22, %[c]\n\t"
      "vmla.f32 s15, s23, %[c]\n\t"
      "vstmia %[z]!, {s8-s15}\n\t"
      "vabs.f32 s8, s8\n\t"
      "vabs.f32 s9, s9\n\t"
      "vabs.f32 s10, s10\n\t"
      "vabs.f32 s11, s11\n\t"
      "vabs.f32 s12, s12\n\t"
      "vabs.f32 s13, s13\n\t"
      "vabs.f32 s14, s14\n\t"
      "vabs.f32 s15, s15\n\t"
      "vadd.f32 %[sum], %[sum], s8\n\t"
      "vadd.f32 %[sum], %[sum], s9\n\t"
      "vadd.f32 %[sum], %[sum], s10\n\t"
      "vadd.f32 %[sum], %[sum], s11\n\t"
      "vadd.f32 %[sum], %[sum], s12\n\t"
      "vadd.f32 %[sum], %[sum], s13\n\t"
      "vadd.f32 %[sum], %[sum], s14\n\t"
      "vadd.f32 %[sum], %[sum], s15\n\t"
      "subs %[n], #1\n\t"
      "bne 0b"
      : [n] "+l"(n), [x] "+r"(x), [z] "+r"(z), [sum] "+t"(sum)
      : [decay] "t"(decay), [c] "t"(c)
      : "cc", "memory", "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21",
        "s22", "s23");
  return sum;
}

// Eight columns of W^T c over all rows (at least one), a row `step` bytes after the other.
RTU_INLINE void vfp_backward(int32_t rows, uint32_t step, const float* w, const float* c, float* dx) {
  __asm__ volatile(
      "vldm %[zeros], {s16-s23}\n\t"
      "0:\n\t"
      "vldm %[w], {s8-s15}\n\t"
      "vldmia %[c]!, {s24}\n\t"
      "add %[w], %[step]\n\t"
      "vmla.f32 s16, s8, s24\n\t"
      "vmla.f32 s17, s9, s24\n\t"
      "vmla.f32 s18, s10, s24\n\t"
      "vmla.f32 s19, s11, s24\n\t"
      "vmla.f32 s20, s12, s24\n\t"
      "vmla.f32 s21, s13, s24\n\t"
      "vmla.f32 s22, s14, s24\n\t"
      "vmla.f32 s23, s15, s24\n\t"
      "subs %[rows], #1\n\t"
      "bne 0b\n\t"
      "vstm %[dx], {s16-s23}"
      : [rows] "+l"(rows), [w] "+r"(w), [c] "+r"(c)
      : [step] "r"(step), [dx] "r"(dx), [zeros] "r"(kVfpZeros)
      : "cc", "memory", "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21",
        "s22", "s23", "s24");
}

// The same of two cotangents at once.
RTU_INLINE void vfp_backward(int32_t rows, uint32_t step, const float* w, const float* c, const float* c1, float* dx,
                             float* dx1) {
  __asm__ volatile(
      "vldm %[zeros], {s16-s23}\n\t"
      "vldm %[zeros], {s24-s31}\n\t"
      "0:\n\t"
      "vldm %[w], {s8-s15}\n\t"
      "vldmia %[c]!, {s0}\n\t"
      "vldmia %[c1]!, {s1}\n\t"
      "add %[w], %[step]\n\t"
      "vmla.f32 s16, s8, s0\n\t"
      "vmla.f32 s17, s9, s0\n\t"
      "vmla.f32 s18, s10, s0\n\t"
      "vmla.f32 s19, s11, s0\n\t"
      "vmla.f32 s20, s12, s0\n\t"
      "vmla.f32 s21, s13, s0\n\t"
      "vmla.f32 s22, s14, s0\n\t"
      "vmla.f32 s23, s15, s0\n\t"
      "vmla.f32 s24, s8, s1\n\t"
      "vmla.f32 s25, s9, s1\n\t"
      "vmla.f32 s26, s10, s1\n\t"
      "vmla.f32 s27, s11, s1\n\t"
      "vmla.f32 s28, s12, s1\n\t"
      "vmla.f32 s29, s13, s1\n\t"
      "vmla.f32 s30, s14, s1\n\t"
      "vmla.f32 s31, s15, s1\n\t"
      "subs %[rows], #1\n\t"
      "bne 0b\n\t"
      "vstm %[dx], {s16-s23}\n\t"
      "vstm %[dx1], {s24-s31}"
      : [rows] "+l"(rows), [w] "+r"(w), [c] "+r"(c), [c1] "+r"(c1)
      : [step] "r"(step), [dx] "r"(dx), [dx1] "r"(dx1), [zeros] "r"(kVfpZeros)
      : "cc", "memory", "s0", "s1", "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", "s16", "s17", "s18", "s19",
        "s20", "s21", "s22", "s23", "s24", "s25", "s26", "s27", "s28", "s29", "s30", "s31");
}

// y <- y + a x.
RTU_INLINE void vfp_add(int32_t n, float a, const float*& x, float*& y) {
  __asm__ volatile(
      "0:\n\t"
      "vldm %[y], {s8-s15}\n\t"
      "vldmia %[x]!, {s16-s23}\n\t"
      "vmla.f32 s8, s16, %[a]\n\t"
      "vmla.f32 s9, s17, %[a]\n\t"
      "vmla.f32 s10, s18, %[a]\n\t"
      "vmla.f32 s11, s19, %[a]\n\t"
      "vmla.f32 s12, s20, %[a]\n\t"
      "vmla.f32 s13, s21, %[a]\n\t"
      "vmla.f32 s14, s22, %[a]\n\t"
      "vmla.f32 s15, s23, %[a]\n\t"
      "vstmia %[y]!, {s8-s15}\n\t"
      "subs %[n], #1\n\t"
      "bne 0b"
      : [n] "+l"(n), [x] "+r"(x), [y] "+r"(y)
      : [a] "t"(a)
      : "cc", "memory", "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21",
        "s22", "s23");
}

// out <- x y, element by element.
RTU_INLINE void vfp_multiply(int32_t n, const float*& x, const float*& y, float*& out) {
  __asm__ volatile(
      "0:\n\t"
      "vldmia %[x]!, {s8-s15}\n\t"
      "vldmia %[y]!, {s16-s23}\n\t"
      "vmul.f32 s8, s8, s16\n\t"
      "vmul.f32 s9, s9, s17\n\t"
      "vmul.f32 s10, s10, s18\n\t"
      "vmul.f32 s11, s11, s19\n\t"
      "vmul.f32 s12, s12, s20\n\t"
      "vmul.f32 s13, s13, s21\n\t"
      "vmul.f32 s14, s14, s22\n\t"
      "vmul.f32 s15, s15, s23\n\t"
      "vstmia %[out]!, {s8-s15}\n\t"
      "subs %[n], #1\n\t"
      "bne 0b"
      : [n] "+l"(n), [x] "+r"(x), [y] "+r"(y), [out] "+r"(out)
      :
      : "cc", "memory", "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21",
        "s22", "s23");
}

inline void vfp_add_all(int32_t n, float a, const float* x, float* y) {
  if (n >= kVfpBlock) vfp_add(blocks_of(n), a, x, y);
  for (int32_t i = 0; i < (n & (kVfpBlock - 1)); ++i) *y++ += a * *x++;
}

inline void vfp_multiply_all(int32_t n, const float* x, const float* y, float* out) {
  if (n >= kVfpBlock) vfp_multiply(blocks_of(n), x, y, out);
  for (int32_t i = 0; i < (n & (kVfpBlock - 1)); ++i) *out++ = *x++ * *y++;
}

inline float vfp_decay_add(int32_t n, float decay, const float* c, float* z) {
  // c enters with the factor 1, which changes no bit.
  float norm = n >= kVfpBlock ? vfp_learn(blocks_of(n), decay, 1.0f, c, z) : 0.0f;
  for (int32_t i = 0; i < (n & (kVfpBlock - 1)); ++i, ++z) {
    *z = decay * *z + *c++;
    norm += __builtin_fabsf(*z);
  }
  return norm;
}

// The dense kernels of a table (kernels.h), for E eligibility sets.
template <int E>
struct VfpDense {
  static void forward(int32_t rows, int32_t stride, int32_t n_sets, float* w, float* const* z, const float* a,
                      const float* x, float* y) {
    if (E == 2 && n_sets == 1) return VfpDense<1>::forward(rows, stride, 1, w, z, a, x, y);  // a head
    if (!any_pending(E, a)) return dense_forward_sets<float, 1, 0>(rows, stride, w, z, a, x, y);
    const int32_t blocks = blocks_of(stride), rest = stride - blocks * kVfpBlock;
    const float *z0 = z[0], *z1 = z[E - 1];
    const float a0 = a[0], a1 = a[E - 1];
    if (rest == 0) {
      const float* const end = y + rows;
      do {
        const float* input = x;
        if constexpr (E == 1)
          *y++ = vfp_forward(blocks, w, z0, a0, input);
        else
          *y++ = vfp_forward(blocks, w, z0, z1, a0, a1, input);
      } while (y != end);
      return;
    }
    for (int32_t i = 0; i < rows; ++i) {
      const float* input = x;
      float sum = 0.0f;
      if (blocks > 0) {
        if constexpr (E == 1)
          sum = vfp_forward(blocks, w, z0, a0, input);
        else
          sum = vfp_forward(blocks, w, z0, z1, a0, a1, input);
      }
      for (int32_t j = 0; j < rest; ++j) {
        float weight = *w + a0 * *z0++;
        if constexpr (E == 2) weight += a1 * *z1++;
        *w++ = weight;
        sum += weight * *input++;
      }
      y[i] = sum;
    }
  }
  static float learn(int32_t rows, int32_t stride, float decay, const float* c, const float* x, float* z) {
    const int32_t blocks = blocks_of(stride), rest = stride - blocks * kVfpBlock;
    float norm = 0.0f;
    if (rest == 0) {
      const float* const end = c + rows;
      do {
        const float* input = x;
        norm += vfp_learn(blocks, decay, *c++, input, z);
      } while (c != end);
      return norm;
    }
    for (int32_t i = 0; i < rows; ++i) {
      const float* input = x;
      float sum = blocks > 0 ? vfp_learn(blocks, decay, c[i], input, z) : 0.0f;
      for (int32_t j = 0; j < rest; ++j) {
        const float next = decay * *z + c[i] * *input++;
        *z++ = next;
        sum += __builtin_fabsf(next);
      }
      norm += sum;
    }
    return norm;
  }
  // One cotangent for a value, two for a policy, three for both.
  static void backward(int32_t rows, int32_t stride, const float* w, int32_t n_c, const float* const* c,
                       float* const* dx) {
    const uint32_t step = static_cast<uint32_t>(stride) * sizeof(float);
    const int32_t whole = blocks_of(stride) * kVfpBlock;
    for (int32_t at = 0; at < whole; at += kVfpBlock) {
      int32_t k = 0;
      for (; k + 2 <= n_c; k += 2) vfp_backward(rows, step, w + at, c[k], c[k + 1], dx[k] + at, dx[k + 1] + at);
      if (k < n_c) vfp_backward(rows, step, w + at, c[k], dx[k] + at);
    }
    for (int32_t k = 0; k < n_c; ++k) {
      for (int32_t j = whole; j < stride; ++j) {
        float sum = 0.0f;
        for (int32_t i = 0; i < rows; ++i) sum += w[i * stride + j] * c[k][i];
        dx[k][j] = sum;
      }
    }
  }
};

}  // namespace
