// NEON, four lanes: baseline on aarch64.
#include "native/kernels/table.inl.h"

namespace rtu::kernels {

static constexpr Kernels<float> kTable = make_table<float, 4>("neon", coefficients_neon);
const Kernels<float>* const kNeon = &kTable;

}  // namespace rtu::kernels
