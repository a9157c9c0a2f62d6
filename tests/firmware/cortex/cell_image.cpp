// The image that QEMU runs: memory of exactly the planned bytes, steps between two marks, outputs through semihosting.
#include "firmware_bridge/boards/stm32f405/start.h"
#include "tests/firmware/cortex/cell.h"
#include "tests/firmware/cortex/semihosting.h"

extern "C" {
// Where the counting plugin begins and ends (tools/qemu/count.c).
__attribute__((noinline, noclone)) void tl_count_begin(void) { __asm__ volatile("" ::: "memory"); }
__attribute__((noinline, noclone)) void tl_count_end(void) { __asm__ volatile("" ::: "memory"); }
alignas(64) unsigned char rtu_cell_arena[cell_run::planned_bytes()];
}

namespace {

// device_step() calls no table; the layout's width is asked of one.
constexpr rtu::kernels::Kernels<float> one_lane() {
  rtu::kernels::Kernels<float> table{};
  table.name = "device";
  table.lanes = 1;
  return table;
}
constexpr rtu::kernels::Kernels<float> kOneLane = one_lane();

void print(const float* y, int32_t n) {
  char line[9 * 2 * cell_run::kUnits + 1];
  char* at = line;
  for (int32_t i = 0; i < n; ++i) {
    uint32_t bits = 0;
    memcpy(&bits, y + i, sizeof bits);
    for (int shift = 28; shift >= 0; shift -= 4) *at++ = "0123456789abcdef"[(bits >> shift) & 15u];
    *at++ = i + 1 < n ? ' ' : '\n';
  }
  *at = 0;
  say(line);
}

float counted(const cell_run::Model& model, float pending) {
  tl_count_begin();
  const float norm = rtu_cell_step(model, pending);
  tl_count_end();
  return norm;
}

}  // namespace

void tl_board_main(void) {
  rtu::core::Builder arena(rtu_cell_arena, nullptr, 1);
  cell_run::Model model = cell_run::lay_out(arena);
  model.cell.kernels = &kOneLane;
  cell_run::run(model, counted, print);
  leave(0);
}

void tl_on_fault(void) {
  say("fault\n");
  leave(1);
}
