// The kernels of vfp.inl.h on the emulated board against the portable ones, bit for bit: sizes below, at and above
// whole blocks, one and two eligibility sets, one to three cotangents.
#include "firmware_bridge/boards/stm32f405/start.h"
#include "native/core/rng.h"
#include "native/kernels/dense.inl.h"
#include "native/kernels/vfp.inl.h"
#include "tests/firmware/cortex/semihosting.h"

namespace {

constexpr int32_t kRows = 5, kColumns = 35, kWeights = kRows * kColumns;

uint64_t words[2];
int compared = 0, different = 0;

// Between -1 and 1; every eighth is 0, of either sign.
float draw() {
  const uint32_t bits = rtu::core::next_u32(rtu::core::Rng{words});
  if (bits % 16 < 2) return bits % 2 == 0 ? 0.0f : -0.0f;
  return static_cast<float>(static_cast<int32_t>(bits)) * 0x1p-31f;
}

struct Layer {
  float w[kWeights], z0[kWeights], z1[kWeights], x[kColumns], y[kRows], c[3][kRows], dx[3][kColumns], norm;
};
Layer drawn, ours, portable;

void fill() {
  float* const all = drawn.w;
  for (uint32_t i = 0; i < sizeof drawn / sizeof(float); ++i) all[i] = draw();
}

template <int E>
void run(int32_t rows, int32_t columns, int32_t kinds) {
  fill();
  const float a[2] = {draw(), 0.5f}, decay = 0.875f;
  for (int form = 0; form < 2; ++form) {
    Layer& of = form == 0 ? ours : portable;
    of = drawn;
    float* const z[] = {of.z0, of.z1};
    const float* const c[] = {of.c[0], of.c[1], of.c[2]};
    float* const dx[] = {of.dx[0], of.dx[1], of.dx[2]};
    if (form == 0) {
      VfpDense<E>::forward(rows, columns, E, of.w, z, a, of.x, of.y);
      VfpDense<E>::backward(rows, columns, of.w, kinds, c, dx);
      of.norm =
          VfpDense<E>::learn(rows, columns, decay, of.c[0], of.x, of.z0) + vfp_decay_add(rows, decay, of.y, of.z1);
      vfp_add_all(columns, a[0], of.x, of.z0);
      vfp_multiply_all(columns, of.x, of.z0, of.w);
    } else {
      dense_forward<float, 1>(rows, columns, E, of.w, z, a, of.x, of.y);
      dense_backward<float, 1>(rows, columns, of.w, kinds, c, dx);
      of.norm = dense_learn<float, 1>(rows, columns, decay, of.c[0], of.x, of.z0) +
                decay_add<float, 1>(rows, decay, of.y, of.z1);
      add<float, 1>(columns, a[0], of.x, of.z0);
      for (int32_t i = 0; i < columns; ++i) of.w[i] = of.x[i] * of.z0[i];
    }
  }
  ++compared;
  if (memcmp(&ours, &portable, sizeof ours) != 0) ++different;
}

}  // namespace

void tl_board_main(void) {
  rtu::core::seed_rng(rtu::core::Rng{words}, 1, 0);
  for (int32_t rows = 1; rows <= kRows; ++rows) {
    for (int32_t columns = 1; columns <= kColumns; ++columns) {
      for (int32_t kinds = 1; kinds <= 3; ++kinds) {
        run<1>(rows, columns, kinds);
        run<2>(rows, columns, kinds);
      }
    }
  }
  say(different == 0 && compared == 6 * kRows * kColumns ? "equal\n" : "different\n");
  leave(0);
}

void tl_on_fault(void) {
  say("fault\n");
  leave(1);
}
