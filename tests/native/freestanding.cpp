// Instantiates all freestanding code, in both precisions, for the tools that inspect objects: tests/test_layers.py and
// tests/test_cortex.py. It is compiled, never run.
#include "native/learners/learner_monitor.h"
#include "tests/native/every_learner.h"

template rtu::core::Status every::step<float>(const every::Models<float>&, uint32_t);
template rtu::core::Status every::step<double>(const every::Models<double>&, uint32_t);
template every::Models<float> every::set_up<float>(unsigned char*, const rtu::kernels::Kernels<float>*);
template every::Models<double> every::set_up<double>(unsigned char*, const rtu::kernels::Kernels<double>*);
template rtu::core::Status every::save_and_load<float>(unsigned char*, unsigned char*, rtu::core::SectionTable&,
                                                       const rtu::kernels::Kernels<float>*);
template rtu::core::Status every::save_and_load<double>(unsigned char*, unsigned char*, rtu::core::SectionTable&,
                                                        const rtu::kernels::Kernels<double>*);
template void rtu::cells::gradient<float>(const rtu::cells::Rtu<float>&, const float*, float*, float*, float*, float*);
template void rtu::cells::gradient<double>(const rtu::cells::Rtu<double>&, const double*, double*, double*, double*,
                                           double*);
template void rtu::cells::input_gradient<float>(const rtu::cells::Rtu<float>&, const float*, float*);
template void rtu::cells::input_gradient<double>(const rtu::cells::Rtu<double>&, const double*, double*);
template bool rtu::learners::healthy<float>(const rtu::learners::StreamAc<float>&);
template bool rtu::learners::healthy<double>(const rtu::learners::StreamAc<double>&);

namespace every {
uint32_t watch(rtu::learners::LearnerMonitor& monitor, const rtu::core::SectionTable& table, unsigned char* state,
               uint64_t bytes, unsigned char* memory, const float* action);
uint32_t watch(rtu::learners::LearnerMonitor& monitor, const rtu::core::SectionTable& table, unsigned char* state,
               uint64_t bytes, unsigned char* memory, const float* action) {
  using namespace rtu::learners;
  if (!make_monitor(monitor, MonitorConfig{}, table, state, bytes, memory)) return 0;
  const uint32_t found = inspect_state(monitor) | inspect_delta(monitor, 1.0) | inspect_action(monitor, action, 1);
  if (found != 0) roll_back(monitor);
  return found + static_cast<uint32_t>(age_snapshots(monitor));
}
}  // namespace every

// The sizes are constants.
static_assert(every::bytes<float>(1) < every::bytes<double>(1), "");
