// count_control <isa> <units> <hidden> <steps>: control steps of the loop, in lockstep with a servo, with a learning
// recurrent actor-critic, for an instruction counter (tests/test_instructions.py) that counts inside Loop::step():
// after decoding, predict, limit, encode, send, learn, record.
#include <stdlib.h>

#include <memory>

#include "loop_bench.h"
#include "native/learners/stream_ac.h"
#include "native/runtime/agent_policy.h"
#include "native/runtime/isa.h"

using namespace rtu;

int main(int argc, char** argv) {
  CHECK(argc == 5);
  const char* error = "";
  const auto* const kernels = runtime::choose_kernels(argv[1], error);
  CHECK(kernels != nullptr);

  learners::StreamAcConfig config;
  config.observation_size = 2;
  config.policy.actions = 1;
  config.body.cell.inputs = 2;
  config.body.cell.poles = atoi(argv[2]);
  config.body.layers = 1;
  config.body.hidden[0] = atoi(argv[3]);
  core::Builder footprint(nullptr, nullptr, static_cast<uint32_t>(kernels->lanes));
  (void)learners::make_stream_ac<float>(footprint, config);
  const uint64_t bytes = footprint.bytes();
  auto* const memory = static_cast<unsigned char*>(aligned_alloc(core::kAlignment, bytes));
  memset(memory, 0, bytes);
  core::LargestTable sections;
  core::Builder arena(memory, &sections, static_cast<uint32_t>(kernels->lanes));
  runtime::AgentPolicy<float> agent{learners::make_stream_ac<float>(arena, config), &sections, memory, bytes, {}};
  for (int i = 0; i < agent.agent.nets; ++i) learners::bind_kernels(agent.agent.net[i], kernels);
  learners::init(agent.agent, 1);
  learners::LearnerWindows windows;  // as every learner in Python has them
  if (getenv("RTU_EDGE_NO_WINDOWS") == nullptr) agent.agent.windows = &windows;

  runtime::Bench bench("servo");
  bench.options.tick = runtime::TickSource::kLockstep;
  bench.options.steps = static_cast<uint64_t>(atoll(argv[4]));
  runtime::CheckOptions& checks = bench.options.checks;  // on, as they are by default
  checks.effect = checks.still = checks.reward = true;
  checks.command[0] = 10;
  checks.observations[0] = 3;
  {
    runtime::Loop loop(bench.link, bench.device.clock.clock(), agent.policy(), bench.hello, bench.options);
    loop.run();
    CHECK(loop.counters().steps.get() == bench.options.steps);
    CHECK(loop.counters().learned.get() > 0);
  }
  free(memory);
  return 0;
}
