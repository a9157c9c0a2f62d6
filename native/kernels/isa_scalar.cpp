// The reference: one lane, no contraction; float for production and microcontrollers, double for verification.
#include "native/kernels/table.inl.h"

namespace rtu::kernels {

static constexpr Kernels<float> kTable = make_table<float, 1>("scalar", coefficients_scalar);
const Kernels<float>* const kScalar = &kTable;
#if !defined(RTU_EDGE_FLOAT_ONLY)
static constexpr Kernels<double> kDoubleTable = make_table<double, 1>("scalar", coefficients_scalar_double);
const Kernels<double>* const kScalarDouble = &kDoubleTable;
#endif

}  // namespace rtu::kernels
