// The coefficients of the RTU, 4 lanes; compiled without contraction (kernels.h).
#include "native/kernels/kernels.h"
#include "native/kernels/transform.inl.h"

namespace rtu::kernels {

void coefficients_sse2(int32_t poles, const float* nu_log, const float* theta_log, float k,
                       const Coefficients<float>& out) {
  coefficients_of<float, 4, false>(poles, nu_log, theta_log, k, out);
}

}  // namespace rtu::kernels
