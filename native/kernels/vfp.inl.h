// Dense layers on a Cortex-M4F or M7 in single precision: eight weights in a VLDM, VMLA for a product and its sum.
//
// VMLA rounds the product before it adds, so that each result has the bits of the portable kernels with one lane
// (dense.inl.h), whose order of sums is kept: of a row from the first column to the last, of a column from the first
// row to the last. Elements beyond whole blocks of eight go through the portable form.
#pragma once

#include "native/kernels/dense.inl.h"
#include "native/kernels/rtu_linear.inl.h"

namespace {

constexpr int32_t kVfpBlock = 8;  // floats in a VLDM of s0 to s7, s10 to s17 or s20 to s27
constexpr int32_t blocks_of(int32_t n) { return static_cast<int32_t>(static_cast<uint32_t>(n) / kVfpBlock); }
constexpr float kVfpZeros[kVfpBlock] = {};

// An operation for each register of a block, or of two: "s" is that of s0 to s7, "s1" of s10 to s17, "s2" of s20 to
// s27.
#define RTU_ONE(op, r) \
  op r "0\n\t" op r "1\n\t" op r "2\n\t" op r "3\n\t" op r "4\n\t" op r "5\n\t" op r "6\n\t" op r "7\n\t"
#define RTU_NTH(op, r, q, last, n) op r n ", " q n last "\n\t"
#define RTU_TWO(op, r, q, last) \
  RTU_NTH(op, r, q, last, "0")  \
  RTU_NTH(op, r, q, last, "1")  \
  RTU_NTH(op, r, q, last, "2")  \
  RTU_NTH(op, r, q, last, "3")  \
  RTU_NTH(op, r, q, last, "4") RTU_NTH(op, r, q, last, "5") RTU_NTH(op, r, q, last, "6") RTU_NTH(op, r, q, last, "7")
// Parts of the loops below, with the names of their operands: a block of w; w += a z; the block of w back to memory and
// sum += w x; z <- decay z + c x back to memory, and sum += |z|.
#define RTU_LOAD(w) "vldm %[" #w "], {s10-s17}\n\t"
#define RTU_ADD(z, a) "vldmia %[" #z "]!, {s20-s27}\n\t" RTU_TWO("vmla.f32 ", "s1", "s2", ", %[" #a "]")
#define RTU_SUM(w, sum) "vstmia %[" #w "]!, {s10-s17}\n\t" RTU_TWO("vmla.f32 %[" #sum "], ", "s1", "s", "")
#define RTU_LEARN(z, c, sum)                                              \
  RTU_TWO("vmul.f32 ", "s1", "s1", ", %[decay]")                          \
  RTU_TWO("vmla.f32 ", "s1", "s2", ", %[" #c "]")                         \
  "vstmia %[" #z "]!, {s10-s17}\n\t" RTU_TWO("vabs.f32 ", "s1", "s1", "") \
      RTU_ONE("vadd.f32 %[" #sum "], %[" #sum "], ", "s1")
#define RTU_BLOCKS                                                                                               \
  "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s10", "s11", "s12", "s13", "s14", "s15", "s16", "s17", "s20", \
      "s21", "s22", "s23", "s24", "s25", "s26", "s27"

// W <- W + a z for a row, then its sum W x. n: blocks of eight, at least one; w, z and x move past them.
RTU_INLINE float vfp_forward(int32_t n, float*& w, const float*& z, float a, const float*& x) {
  float sum = 0.0f;
  __asm__ volatile(
      "0:\n\t"
      "vldmia %[x]!, {s0-s7}\n\t"
      RTU_LOAD(w)
      RTU_ADD(z, a)
      RTU_SUM(w, sum)
      "subs %[n], #1\n\t"
      "bne 0b"
      : [n] "+l"(n), [w] "+r"(w), [z] "+r"(z), [x] "+r"(x), [sum] "+t"(sum)
      : [a] "t"(a)
      : "cc", "memory", RTU_BLOCKS);
  return sum;
}

// The same with two eligibility sets.
RTU_INLINE float vfp_forward(int32_t n, float*& w, const float*& z, const float*& z1, float a, float a1,
                             const float*& x) {
  float sum = 0.0f;
  __asm__ volatile(
      "0:\n\t"
      RTU_LOAD(w)
      RTU_ADD(z, a)
      "vldmia %[x]!, {s0-s7}\n\t"
      RTU_ADD(z1, a1)
      RTU_SUM(w, sum)
      "subs %[n], #1\n\t"
      "bne 0b"
      : [n] "+l"(n), [w] "+r"(w), [z] "+r"(z), [z1] "+r"(z1), [x] "+r"(x), [sum] "+t"(sum)
      : [a] "t"(a), [a1] "t"(a1)
      : "cc", "memory", RTU_BLOCKS);
  return sum;
}

// Two rows at once, whose x is loaded once; they are adjacent and have no more than these blocks.
RTU_INLINE void vfp_forward_pair(int32_t n, float*& w, const float*& z, float a, const float* x, float* y) {
  float sum = 0.0f, sum_b = 0.0f, *w_b = w + n * kVfpBlock;
  const float* z_b = z + n * kVfpBlock;
  __asm__ volatile(
      "0:\n\t"
      "vldmia %[x]!, {s0-s7}\n\t"
      RTU_LOAD(w)
      RTU_ADD(z, a)
      RTU_SUM(w, sum)
      RTU_LOAD(w_b)
      RTU_ADD(z_b, a)
      RTU_SUM(w_b, sum_b)
      "subs %[n], #1\n\t"
      "bne 0b"
      : [n] "+l"(n), [w] "+r"(w), [w_b] "+r"(w_b), [z] "+r"(z), [z_b] "+r"(z_b), [x] "+r"(x), [sum] "+t"(sum),
        [sum_b] "+t"(sum_b)
      : [a] "t"(a)
      : "cc", "memory", RTU_BLOCKS);
  w = w_b;
  z = z_b;
  y[0] = sum;
  y[1] = sum_b;
}

RTU_INLINE void vfp_forward_pair(int32_t n, float*& w, const float*& z, const float*& z1, float a, float a1,
                                 const float* x, float* y) {
  float sum = 0.0f, sum_b = 0.0f, *w_b = w + n * kVfpBlock;
  const float *z_b = z + n * kVfpBlock, *z1_b = z1 + n * kVfpBlock;
  __asm__ volatile(
      "0:\n\t"
      RTU_LOAD(w)
      RTU_ADD(z, a)
      "vldmia %[x]!, {s0-s7}\n\t"
      RTU_ADD(z1, a1)
      RTU_SUM(w, sum)
      RTU_LOAD(w_b)
      RTU_ADD(z_b, a)
      RTU_ADD(z1_b, a1)
      RTU_SUM(w_b, sum_b)
      "subs %[n], #1\n\t"
      "bne 0b"
      : [n] "+l"(n), [w] "+r"(w), [w_b] "+r"(w_b), [z] "+r"(z), [z_b] "+r"(z_b), [z1] "+r"(z1), [z1_b] "+r"(z1_b),
        [x] "+r"(x), [sum] "+t"(sum), [sum_b] "+t"(sum_b)
      : [a] "t"(a), [a1] "t"(a1)
      : "cc", "memory", RTU_BLOCKS);
  w = w_b;
  z = z_b;
  z1 = z1_b;
  y[0] = sum;
  y[1] = sum_b;
}

// z <- decay z + c x for a row; returns sum |z|.
RTU_INLINE float vfp_learn(int32_t n, float decay, float c, const float*& x, float*& z) {
  float sum = 0.0f;
  __asm__ volatile(
      "0:\n\t"
      RTU_LOAD(z)
      "vldmia %[x]!, {s20-s27}\n\t"
      RTU_LEARN(z, c, sum)
      "subs %[n], #1\n\t"
      "bne 0b"
      : [n] "+l"(n), [x] "+r"(x), [z] "+r"(z), [sum] "+t"(sum)
      : [decay] "t"(decay), [c] "t"(c)
      : "cc", "memory", RTU_BLOCKS);
  return sum;
}

// Two adjacent rows at once; returns norm + sum |z| + sum |z| of the second.
RTU_INLINE float vfp_learn_pair(int32_t n, float decay, const float* c, const float* x, float*& z, float norm) {
  float sum = 0.0f, sum_b = 0.0f, *z_b = z + n * kVfpBlock;
  __asm__ volatile(
      "0:\n\t"
      RTU_LOAD(z)
      "vldmia %[x]!, {s20-s27}\n\t"
      RTU_LEARN(z, c, sum)
      RTU_LOAD(z_b)
      RTU_LEARN(z_b, c_b, sum_b)
      "subs %[n], #1\n\t"
      "bne 0b"
      : [n] "+l"(n), [x] "+r"(x), [z] "+r"(z), [z_b] "+r"(z_b), [sum] "+t"(sum), [sum_b] "+t"(sum_b)
      : [decay] "t"(decay), [c] "t"(c[0]), [c_b] "t"(c[1])
      : "cc", "memory", RTU_BLOCKS);
  z = z_b;
  return (norm + sum) + sum_b;
}

// Eight columns of W^T c over all rows (at least one), a row `step` bytes after the other, two rows at a time.
RTU_INLINE void vfp_backward(int32_t rows, uint32_t step, const float* w, const float* c, float* dx) {
  int32_t pairs = rows / 2;
  __asm__ volatile(
      "vldm %[zeros], {s20-s27}\n\t"
      "cmp %[pairs], #0\n\t"
      "beq.w 1f\n\t"
      "0:\n\t"
      "vldmia %[c]!, {s8-s9}\n\t"
      RTU_LOAD(w)
      "add %[w], %[step]\n\t"
      "vldm %[w], {s0-s7}\n\t"
      "add %[w], %[step]\n\t"
      RTU_TWO("vmla.f32 ", "s2", "s1", ", s8")
      RTU_TWO("vmla.f32 ", "s2", "s", ", s9")
      "subs %[pairs], #1\n\t"
      "bne 0b\n\t"
      "1:\n\t"
      "cbz %[odd], 2f\n\t"
      "vldm %[c], {s8}\n\t"
      RTU_LOAD(w)
      RTU_TWO("vmla.f32 ", "s2", "s1", ", s8")
      "2:\n\t"
      "vstm %[dx], {s20-s27}"
      : [pairs] "+l"(pairs), [w] "+r"(w), [c] "+r"(c)
      : [step] "r"(step), [dx] "r"(dx), [odd] "l"(rows & 1), [zeros] "r"(kVfpZeros)
      : "cc", "memory", "s8", "s9", RTU_BLOCKS);
}

// The same of two cotangents at once.
RTU_INLINE void vfp_backward(int32_t rows, uint32_t step, const float* w, const float* c, const float* c1, float* dx,
                             float* dx1) {
  int32_t pairs = rows / 2;
  __asm__ volatile(
      "vldm %[zeros], {s20-s27}\n\t"
      "vldm %[zeros], {s0-s7}\n\t"
      "cmp %[pairs], #0\n\t"
      "beq.w 1f\n\t"
      "0:\n\t"
      "vldmia %[c]!, {s8-s9}\n\t"
      "vldmia %[c1]!, {s18-s19}\n\t"
      RTU_LOAD(w)
      "add %[w], %[step]\n\t"
      RTU_TWO("vmla.f32 ", "s2", "s1", ", s8")
      RTU_TWO("vmla.f32 ", "s", "s1", ", s18")
      RTU_LOAD(w)
      "add %[w], %[step]\n\t"
      RTU_TWO("vmla.f32 ", "s2", "s1", ", s9")
      RTU_TWO("vmla.f32 ", "s", "s1", ", s19")
      "subs %[pairs], #1\n\t"
      "bne 0b\n\t"
      "1:\n\t"
      "cbz %[odd], 2f\n\t"
      "vldm %[c], {s8}\n\t"
      "vldm %[c1], {s18}\n\t"
      RTU_LOAD(w)
      RTU_TWO("vmla.f32 ", "s2", "s1", ", s8")
      RTU_TWO("vmla.f32 ", "s", "s1", ", s18")
      "2:\n\t"
      "vstm %[dx], {s20-s27}\n\t"
      "vstm %[dx1], {s0-s7}"
      : [pairs] "+l"(pairs), [w] "+r"(w), [c] "+r"(c), [c1] "+r"(c1)
      : [step] "r"(step), [dx] "r"(dx), [dx1] "r"(dx1), [odd] "l"(rows & 1), [zeros] "r"(kVfpZeros)
      : "cc", "memory", "s8", "s9", "s18", "s19", RTU_BLOCKS);
}

// y <- y + a x.
RTU_INLINE void vfp_add(int32_t n, float a, const float*& x, float*& y) {
  __asm__ volatile(
      "0:\n\t"
      RTU_LOAD(y)
      RTU_ADD(x, a)
      "vstmia %[y]!, {s10-s17}\n\t"
      "subs %[n], #1\n\t"
      "bne 0b"
      : [n] "+l"(n), [x] "+r"(x), [y] "+r"(y)
      : [a] "t"(a)
      : "cc", "memory", RTU_BLOCKS);
}

// out <- x y, element by element.
RTU_INLINE void vfp_multiply(int32_t n, const float*& x, const float*& y, float*& out) {
  __asm__ volatile(
      "0:\n\t"
      "vldmia %[x]!, {s10-s17}\n\t"
      "vldmia %[y]!, {s20-s27}\n\t" RTU_TWO("vmul.f32 ", "s2", "s1", "")  // s20 s20 s10
      "vstmia %[out]!, {s20-s27}\n\t"
      "subs %[n], #1\n\t"
      "bne 0b"
      : [n] "+l"(n), [x] "+r"(x), [y] "+r"(y), [out] "+r"(out)
      :
      : "cc", "memory", RTU_BLOCKS);
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
    int32_t i = 0;
    for (; i + 2 <= rows && rest == 0; i += 2) {
      if constexpr (E == 1)
        vfp_forward_pair(blocks, w, z0, a0, x, y + i);
      else
        vfp_forward_pair(blocks, w, z0, z1, a0, a1, x, y + i);
    }
    for (; i < rows; ++i) {
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
    int32_t i = 0;
    for (; i + 2 <= rows && rest == 0; i += 2) norm = vfp_learn_pair(blocks, decay, c + i, x, z, norm);
    for (; i < rows; ++i) {
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
