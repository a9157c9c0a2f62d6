// count_learner <isa> <learner> <cell> <credit> <inputs> <units> <hidden> <steps>: steps of one learner, td or q, for
// an instruction counter (tests/test_evidence.py) that counts inside counted().
#include <stdlib.h>

#include <array>
#include <memory>
#include <string>

#include "check.h"
#include "native/learners/stream_ac.h"
#include "native/learners/td_lambda.h"
#include "native/runtime/isa.h"

using namespace rtu;

namespace {

template <size_t N>
int index_of(const std::array<const char*, N>& names, const std::string& name) {
  for (size_t i = 0; i < N; ++i)
    if (name == names[i]) return static_cast<int>(i);
  CHECK(false);
  return 0;
}

constexpr std::array<const char*, 6> kCells = {"none", "linear", "nonlinear", "mingru", "lru", "elstm"};
constexpr std::array<const char*, 3> kCredits = {"rtrl", "tbptt1", "frozen"};

}  // namespace

// One step each, with an input that varies.
struct Stepped {
  const learners::TdPredictor<float>* td;
  const learners::StreamAc<float>* q;
  int inputs;
};

extern "C" __attribute__((noinline)) void counted(const Stepped* stepped, int steps);
extern "C" void counted(const Stepped* stepped, int steps) {
  float x[64] = {}, value = 0;
  for (int i = 0; i < steps; ++i) {
    x[i % stepped->inputs] = static_cast<float>(i % 7) - 3.0f;
    if (stepped->td != nullptr) {
      CHECK(!core::failed(learners::step(*stepped->td, x, 0.1, &value)));
    } else {
      CHECK(!core::failed(learners::predict(*stepped->q, x, true, 1.0f, &value)));
      CHECK(!core::failed(learners::update(*stepped->q, 0.1f, false, false, static_cast<const float*>(nullptr), true)));
    }
  }
}

namespace {

learners::NetworkConfig body(char** argv) {
  learners::NetworkConfig out;
  out.cell.kind = static_cast<cells::CellKind>(index_of(kCells, argv[3]));
  out.cell.credit = static_cast<cells::Credit>(index_of(kCredits, argv[4]));
  out.cell.activation = kernels::Activation::kTanh;
  out.cell.inputs = atoi(argv[5]);
  out.cell.poles = atoi(argv[6]);
  out.cell.r_min = 0.5;
  out.layers = 1;
  out.hidden[0] = atoi(argv[7]);
  return out;
}

// Calls make(arena) for the size, then with memory.
template <class Make>
unsigned char* allocated(const kernels::Kernels<float>* kernels, Make make) {
  core::Builder footprint(nullptr, nullptr, static_cast<uint32_t>(kernels->lanes));
  make(footprint);
  auto* const memory = static_cast<unsigned char*>(aligned_alloc(core::kAlignment, footprint.bytes()));
  memset(memory, 0, footprint.bytes());
  core::Builder arena(memory, nullptr, static_cast<uint32_t>(kernels->lanes));
  make(arena);
  return memory;
}

}  // namespace

int main(int argc, char** argv) {
  CHECK(argc == 9);
  const char* error = "";
  const auto* const kernels = runtime::choose_kernels(argv[1], error);
  CHECK(kernels != nullptr);
  const bool values = std::string(argv[2]) == "q";
  const int inputs = atoi(argv[5]), steps = atoi(argv[8]);
  CHECK(inputs <= 64);
  learners::HeadConfig head;
  head.decay_recurrent = head.decay_body = head.decay_head = 0.8;

  auto td = std::make_unique<learners::TdPredictor<float>>();
  auto q = std::make_unique<learners::StreamAc<float>>();
  unsigned char* memory = nullptr;
  if (values) {
    learners::StreamAcConfig config;
    config.observation_size = inputs;
    config.policy.discrete = true;
    config.policy.actions = 2;
    config.body = body(argv);
    config.actor = config.critic = head;
    config.values.rule = static_cast<learners::ValueRule>(1);
    memory = allocated(kernels, [&](core::Builder& arena) { *q = learners::make_stream_ac<float>(arena, config); });
    for (int i = 0; i < q->nets; ++i) learners::bind_kernels(q->net[i], kernels);
    learners::init(*q, 1);
    learners::begin(*q);
  } else {
    learners::TdConfig config;
    config.observation_size = inputs;
    config.body = body(argv);
    config.head = head;
    memory = allocated(kernels, [&](core::Builder& arena) { *td = learners::make_td<float>(arena, config); });
    learners::bind_kernels(td->net, kernels);
    learners::init(*td, 1);
  }
  const Stepped stepped{values ? nullptr : td.get(), values ? q.get() : nullptr, inputs};
  counted(&stepped, steps);
  free(memory);
  return 0;
}
