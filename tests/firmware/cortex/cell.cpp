#include "tests/firmware/cortex/cell.h"

#include "native/cells/device_step.inl.h"

static_assert(device_layout_holds(cell_run::config()), "");

float rtu_cell_step(const cell_run::Model& model, float pending) {
  rtu::kernels::SetCotangent<float> set = {model.e1, model.e2, cell_run::kDecay, 0.0f};
  device_step<cell_run::kUnits, cell_run::kInputs, rtu::kernels::Activation::kRelu>(model.cell, pending, set);
  return set.norm;
}
