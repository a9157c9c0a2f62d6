// The coefficients of the RTU, 4 lanes; compiled without contraction (kernels.h).
#include "native/kernels/kernels.h"
#include "native/kernels/transform.inl.h"

namespace rtu::kernels {

void coefficients_neon(int32_t poles, const float* nu_log, const float* theta_log, float k,
                       const Coefficients<float>& out) {
  coefficients_of<float, 4, true>(poles, nu_log, theta_log, k, out);
}

}  // namespace rtu::kernels
