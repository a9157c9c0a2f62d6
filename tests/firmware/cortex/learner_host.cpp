// The board's learner (learner_model.h) as a program for the host, with the library's scalar kernels. Arguments in
// capitals, other than SEED and STEPS, are files.
//   learner_host run SEED STEPS OUT              learns for STEPS steps, then writes its arena to OUT
//   learner_host resume SEED STEPS IN OUT        the same, but starts from the arena in IN, as after an upload
//   learner_host pack ARENA TEXT OUT             writes a checkpoint: the state from ARENA, the configuration from TEXT
//   learner_host unpack CHECKPOINT OUT           writes the arena of a checkpoint
//   learner_host fault SEED WHAT                 what the board's monitor finds after a critic, an actor is spoilt
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "firmware_bridge/boards/stm32f405/learner_snapshot.h"
#include "native/core/checkpoint.h"

using namespace tl_device;

static std::string read(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

static void write(const char* path, const void* data, size_t n) {
  std::ofstream(path, std::ios::binary).write(static_cast<const char*>(data), static_cast<std::streamsize>(n));
}

static Memory memory;
static Scratch scratch;
static const Agent agent = bind(memory, scratch, kernels::kScalar);

static void learn(uint32_t seed, uint32_t steps, const std::string& uploaded) {
  static Learner learner;
  start(learner, agent, memory, scratch, seed);
  if (!uploaded.empty()) {
    memcpy(&memory, uploaded.data(), sizeof memory);
    begin_episode(learner, agent);
  }
  while (learner.steps < steps)
    if (control_step(learner, agent) && learner.episodes % kWindow == 0)
      std::printf("%u %u %.9g\n", static_cast<unsigned>(learner.steps), static_cast<unsigned>(learner.episodes),
                  static_cast<double>(mean_return(learner)));
}

// Spoils the bias of a head after a validated snapshot; prints the findings, the steps until then, and 1 if the memory
// is then that of the snapshot, but for the step size.
static void learn_with_fault(uint32_t seed, const std::string& what) {
  static Learner learner;
  static Watch watch;
  const auto record = [](const Experience& experience) { inspect(watch, agent, memory, experience); };
  constexpr uint32_t kSpoilt = 1600, kAtMost = 3000;
  start(learner, agent, memory, scratch, seed, record);
  begin_watch(watch, agent, memory);
  while (learner.steps < kAtMost && watch.findings.all == 0) {
    if (learner.steps == kSpoilt && what == "critic") *agent.critic().head[0].dense.b = 1e5f;
    if (learner.steps == kSpoilt && what == "actor") *agent.actor().head[agent.actor_head()].dense.b = 1e5f;
    (void)control_step(learner, agent, record);
    (void)settle(watch, agent, memory);
  }
  const double halvings = agent.scalars[learners::kHalvings];
  agent.scalars[learners::kHalvings] = 0;
  std::printf("%u %u %u %g %d\n", static_cast<unsigned>(watch.findings.all),
              static_cast<unsigned>(learner.steps - kSpoilt), static_cast<unsigned>(watch.findings.validated), halvings,
              memcmp(&memory, &watch.snapshot, sizeof memory) == 0 ? 1 : 0);
}

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  const auto number = [argv](int i) { return static_cast<uint32_t>(std::strtoul(argv[i], nullptr, 10)); };
  static core::LargestTable table;
  core::Pools pools = pools_of(memory);
  core::Builder described(&pools, &table);
  (void)learners::make_stream_ac<float>(described, config());
  unsigned char* const bytes = reinterpret_cast<unsigned char*>(&memory);
  if (verb == "run" && argc == 5) {
    learn(number(2), number(3), "");
    write(argv[4], &memory, sizeof memory);
    return 0;
  }
  if (verb == "fault" && argc == 4) {
    learn_with_fault(number(2), argv[3]);
    return 0;
  }
  if (verb == "resume" && argc == 6) {
    const std::string arena = read(argv[4]);
    if (arena.size() != sizeof memory) return 1;
    learn(number(2), number(3), arena);
    write(argv[5], &memory, sizeof memory);
    return 0;
  }
  if (verb == "pack" && argc == 5) {
    const std::string arena = read(argv[2]), text = read(argv[3]);
    if (arena.size() != sizeof memory) return 1;
    memcpy(&memory, arena.data(), sizeof memory);
    learners::flush(agent);  // a checkpoint has no step pending
    const uint32_t length = static_cast<uint32_t>(text.size());
    std::vector<unsigned char> out(core::checkpoint_bytes(table, length));
    core::write_checkpoint(table, bytes, text.data(), length, out.data());
    write(argv[4], out.data(), out.size());
    return 0;
  }
  if (verb == "unpack" && argc == 4) {
    const std::string file = read(argv[2]);
    const char* where = "";
    if (core::failed(core::read_checkpoint(table, reinterpret_cast<const unsigned char*>(file.data()), file.size(),
                                           bytes, where)))
      return 1;
    write(argv[3], &memory, sizeof memory);
    return 0;
  }
  return 2;
}
