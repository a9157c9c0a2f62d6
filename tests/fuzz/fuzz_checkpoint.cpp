// The reader of checkpoints, into the layouts of real agents, one of each kind of cell, with an encoder and second
// moments among them: one lane wide and four. Each input is read unchanged, and again with a corrected CRC.
//
// Properties: refused input changes nothing; accepted input is written back to the same bytes in any layout, or, from
// an older format, to a file of the same state; a learner can step from any accepted state.
#include <memory>
#include <vector>

#include "firmware_bridge/boards/stm32f405/learner_model.h"
#include "input.h"
#include "native/core/checkpoint.h"
#include "native/kernels/device.inl.h"

namespace {

using namespace rtu;
using cells::CellKind;
using optim::Rule;

constexpr kernels::Kernels<float> kDevice = device_table<1, Activation::kTanh>();

// The agent of the microcontroller, smaller: rtu_edge.StreamAC(2, 1, units=2, hidden=2).
learners::StreamAcConfig config() {
  learners::StreamAcConfig out = tl_device::config();
  out.body.cell.poles = 2;
  out.body.hidden[0] = 2;
  return out;
}

// The same with another cell and optimizer: rtu_edge.StreamAC(..., cell=, optimizer=, encoder=).
learners::StreamAcConfig config(CellKind cell, Rule rule, int32_t encoder_layers) {
  learners::StreamAcConfig out = config();
  out.body.cell.kind = cell;
  out.actor.optimizer.rule = out.critic.optimizer.rule = rule;
  out.body.encoder_layers = encoder_layers;
  out.body.encoder[0] = 2;
  return out;
}

struct Model {
  core::LargestTable table;
  uint64_t bytes;
  std::unique_ptr<unsigned char[]> room;
  unsigned char* memory;
  learners::StreamAc<float> agent;
  std::vector<unsigned char> fresh;  // as it was made

  Model(const learners::StreamAcConfig& config, const kernels::Kernels<float>& kernels, uint32_t lanes) {
    core::Builder footprint(nullptr, &table, lanes);
    (void)learners::make_stream_ac<float>(footprint, config);
    bytes = footprint.bytes();
    room.reset(new unsigned char[bytes + core::kAlignment]());
    memory = room.get() + (core::kAlignment - reinterpret_cast<uintptr_t>(room.get()) % core::kAlignment);
    core::Builder arena(memory, nullptr, lanes);
    agent = learners::make_stream_ac<float>(arena, config);
    for (int i = 0; i < agent.nets; ++i) learners::bind_kernels(agent.net[i], &kernels);
    learners::init(agent, 1);
    learners::begin(agent);
    fresh.assign(memory, memory + bytes);
  }
};

void step_on(Model& model) {
  float action = 0;
  for (int i = 0; i < 4; ++i) {
    const float x[] = {0.1f * static_cast<float>(i), -0.2f};
    (void)learners::predict(model.agent, x, true, 1.0f, &action);
    (void)learners::update(model.agent, 1.0f, i == 2, false, static_cast<const float*>(nullptr));
    if (i == 2) learners::begin(model.agent);
  }
}

core::Status read(Model& model, const std::vector<unsigned char>& file) {
  const char* where = "";
  const core::Status status = core::read_checkpoint(model.table, file.data(), file.size(), model.memory, where);
  if (core::failed(status)) {
    CHECK(memcmp(model.fresh.data(), model.memory, model.bytes) == 0);
    CHECK((status == core::Status::kBadValue) == (where[0] != 0));
    return status;
  }
  core::CheckpointHeader header;
  CHECK(core::open_checkpoint(file.data(), file.size(), header) == core::Status::kOk);
  std::vector<unsigned char> again(core::checkpoint_bytes(model.table, header.text_bytes, header.extra_bytes));
  const char* text = reinterpret_cast<const char*>(file.data() + core::kHeaderBytes);
  const unsigned char* beside = file.data() + file.size() - 4 - header.extra_bytes;
  core::write_checkpoint(model.table, model.memory, text, header.text_bytes, again.data(), beside, header.extra_bytes);
  if (header.version == core::kCheckpointVersion) {
    CHECK(again == file);
    return status;
  }
  const uint64_t hash = core::state_hash(model.table, model.memory);
  CHECK(core::read_checkpoint(model.table, again.data(), again.size(), model.memory, where) == core::Status::kOk);
  CHECK(core::state_hash(model.table, model.memory) == hash);
  return status;
}

struct Agent {
  Model narrow, wide;
  Agent(const learners::StreamAcConfig& config, const kernels::Kernels<float>& kernels)
      : narrow(config, kernels, 1), wide(config, kernels, 4) {}
};

void look_at(Agent& agent, const std::vector<unsigned char>& file) {
  Model &narrow = agent.narrow, &wide = agent.wide;
  const core::Status status = read(narrow, file);
  if (status != core::Status::kOk && status != core::Status::kBadValue) return;  // independent of the layout
  CHECK(read(wide, file) == status);
  if (core::failed(status)) return;
  CHECK(core::state_hash(narrow.table, narrow.memory) == core::state_hash(wide.table, wide.memory));
  step_on(narrow);
  for (Model* model : {&narrow, &wide}) memcpy(model->memory, model->fresh.data(), model->bytes);
}

void look_at(const std::vector<unsigned char>& file) {
  static Agent agents[] = {{config(), kDevice},
                           {config(CellKind::kMinGru, Rule::kIntentional, 1), *kernels::kScalar},
                           {config(CellKind::kLru, Rule::kAdaptiveObgd, 0), *kernels::kScalar},
                           {config(CellKind::kElstm, Rule::kAdam, 1), *kernels::kScalar}};
  for (Agent& agent : agents) look_at(agent, file);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<unsigned char> file(data, data + size);
  look_at(file);
  if (size < 4) return 0;
  const uint32_t crc = tl_crc32(0, file.data(), size - 4);
  memcpy(file.data() + size - 4, &crc, 4);
  look_at(file);
  return 0;
}
