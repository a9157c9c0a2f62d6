#include "native/bindings/c/rtu_edge.h"

#include "native/bindings/c/parameters.inl.h"
#include "native/core/checkpoint.h"
#include "native/learners/stream_ac.h"
#include "native/runtime/denormals.h"

#if defined(__unix__)
#include "native/runtime/isa.h"
#endif

using rtu::core::Status;

// Placed at the start of the caller's memory, before the arena and the optional table of sections.
struct rtu_agent {
  rtu::learners::StreamAc<float> learner;
  const rtu::kernels::Kernels<float>* kernels;
  unsigned char* arena;
  rtu::core::SectionTable* table;  // null: no hash, no checkpoints
  rtu::learners::LearnerWindows windows;
};

namespace {

using namespace rtu;

static_assert(RTU_AGENT_ALIGNMENT == core::kAlignment, "");
static_assert(RTU_LAYERS_MAX == learners::kMaxLayers, "");

// The constants in the header must equal those of native/core, cells, kernels and optim.
template <class E>
constexpr bool same(int value, E e) {
  return value == static_cast<int>(e);
}
static_assert(same(RTU_OK, Status::kOk) && same(RTU_NON_FINITE, Status::kNonFinite) &&
                  same(RTU_ORDER, Status::kOrder) && same(RTU_BAD_ARGUMENT, Status::kBadArgument) &&
                  same(RTU_TOO_MANY, Status::kTooMany) && same(RTU_BAD_MAGIC, Status::kBadMagic) &&
                  same(RTU_BAD_VERSION, Status::kBadVersion) && same(RTU_BAD_LAYOUT, Status::kBadLayout) &&
                  same(RTU_BAD_SIZE, Status::kBadSize) && same(RTU_BAD_CRC, Status::kBadCrc) &&
                  same(RTU_BAD_VALUE, Status::kBadValue),
              "");
static_assert(same(RTU_CELL_NONE, cells::CellKind::kNone) && same(RTU_CELL_LINEAR, cells::CellKind::kLinear) &&
                  same(RTU_CELL_NONLINEAR, cells::CellKind::kNonlinear) &&
                  same(RTU_CELL_MINGRU, cells::CellKind::kMinGru) && same(RTU_CELL_LRU, cells::CellKind::kLru) &&
                  same(RTU_CELL_ELSTM, cells::CellKind::kElstm),
              "");
static_assert(same(RTU_IDENTITY, kernels::Activation::kIdentity) && same(RTU_RELU, kernels::Activation::kRelu) &&
                  same(RTU_TANH, kernels::Activation::kTanh),
              "");
static_assert(same(RTU_CREDIT_RTRL, cells::Credit::kRtrl) && same(RTU_CREDIT_TBPTT1, cells::Credit::kTbptt1) &&
                  same(RTU_CREDIT_FROZEN, cells::Credit::kFrozen),
              "");
static_assert(same(RTU_OBGD, optim::Rule::kObgd) && same(RTU_SGD, optim::Rule::kSgd) &&
                  same(RTU_ADAM, optim::Rule::kAdam) && same(RTU_ADAPTIVE_OBGD, optim::Rule::kAdaptiveObgd) &&
                  same(RTU_INTENTIONAL, optim::Rule::kIntentional),
              "");
static_assert(same(RTU_PRECONDITIONER_GRADIENT, optim::Preconditioner::kGradient) &&
                  same(RTU_PRECONDITIONER_TRACE, optim::Preconditioner::kTrace) &&
                  same(RTU_PRECONDITIONER_LARGER, optim::Preconditioner::kLarger),
              "");

constexpr uint64_t aligned(uint64_t bytes) {
  return (bytes + core::kAlignment - 1) / core::kAlignment * core::kAlignment;
}
constexpr uint64_t kAgentBytes = aligned(sizeof(rtu_agent));
constexpr uint64_t kTableBytes = aligned(sizeof(core::SectionTable));

const kernels::Kernels<float>* kernels_named(const char* isa) {
#if defined(__unix__)
  const char* error = nullptr;
  return runtime::choose_kernels(isa, error);
#else
  return isa == nullptr || strcmp(isa, "scalar") == 0 ? kernels::kScalar : nullptr;
#endif
}

// Checks across fields; the ranges of single fields are in parameters.inl.h.
bool consistent(const rtu_agent_config& c) {
  return c.size == sizeof(rtu_agent_config) && c.units % c.units_per_pole == 0 &&
         (c.cell == RTU_CELL_NONE || c.cell == RTU_CELL_LINEAR || c.cell == RTU_CELL_LRU || c.units_per_pole == 1) &&
         c.r_min <= c.r_max;
}

learners::HeadConfig head(const rtu_agent_config& c, double step_size, double kappa) {
  learners::HeadConfig out;
  out.optimizer.rule = static_cast<optim::Rule>(c.optimizer);
  out.optimizer.step_size = step_size;
  out.optimizer.kappa = kappa;
  out.optimizer.preconditioner = static_cast<optim::Preconditioner>(c.preconditioner);
  return out;
}

learners::StreamAcConfig native(const rtu_agent_config& c) {
  learners::StreamAcConfig out;
  out.observation_size = c.observation_size;
  out.policy.discrete = c.discrete != 0;
  out.policy.actions = c.actions;
  out.policy.sigma_floor = c.sigma_floor;
  out.policy.correlation = c.exploration_correlation;
  out.body.cell.kind = static_cast<cells::CellKind>(c.cell);
  out.body.cell.credit = static_cast<cells::Credit>(c.credit);
  out.body.cell.activation = static_cast<kernels::Activation>(c.activation);
  out.body.cell.inputs = c.observation_size;
  out.body.cell.units_per_pole = c.units_per_pole;
  out.body.cell.poles = c.units / c.units_per_pole;
  out.body.cell.r_min = c.r_min;
  out.body.cell.r_max = c.r_max;
  out.body.cell.max_phase = c.max_phase;
  out.body.encoder_layers = c.encoder_layers;
  for (int32_t i = 0; i < c.encoder_layers; ++i) out.body.encoder[i] = c.encoder[i];
  out.body.layers = c.layers;
  for (int32_t i = 0; i < c.layers; ++i) out.body.hidden[i] = c.hidden[i];
  out.body.sparsity = c.sparsity;
  out.gamma = c.gamma;
  out.actor = head(c, c.actor_step_size, c.actor_kappa);
  out.actor.decay_recurrent = c.gamma * c.decay_recurrent;
  out.actor.decay_body = c.gamma * c.decay_body;
  out.actor.decay_head = c.gamma * c.decay_head;
  out.critic = head(c, c.critic_step_size, c.critic_kappa);
  out.critic.decay_recurrent = c.gamma * c.critic_decay_recurrent;
  out.critic.decay_body = c.gamma * c.critic_decay_body;
  out.critic.decay_head = c.gamma * c.critic_decay_head;
  out.shared_body = c.shared_body != 0;
  out.entropy = c.entropy;
  out.actor_warmup = static_cast<uint64_t>(c.actor_warmup);
  out.normalize_observation = c.normalize_observation != 0;
  out.observation_bound = c.observation_bound;
  out.scale_reward = c.scale_reward != 0;
  out.recompute = c.recompute != 0;
  out.previous_action = c.previous_action != 0;
  out.previous_reward = c.previous_reward != 0;
  return out;
}

// Parts of an agent's memory after rtu_agent, in bytes; without checkpoints the table has no room.
struct Room {
  uint64_t arena, table;
  int sections;
};

Room room_of(const rtu_agent_config& config, const kernels::Kernels<float>& kernels) {
  core::Builder footprint(nullptr, nullptr, static_cast<uint32_t>(kernels.lanes));
  (void)learners::make_stream_ac<float>(footprint, native(config));
  const uint64_t table = kTableBytes + static_cast<uint64_t>(footprint.sections()) * sizeof(core::Section);
  return {aligned(footprint.bytes()), config.checkpoints != 0 ? aligned(table) : 0, footprint.sections()};
}

const kernels::Kernels<float>* accepted(const rtu_agent_config* config) {
  if (config == nullptr || !bindings::in_range(*config) || !consistent(*config)) return nullptr;
  return kernels_named(config->isa);
}

int32_t code(Status status) { return static_cast<int32_t>(status); }

}  // namespace

int32_t rtu_edge_abi(void) { return RTU_EDGE_ABI; }

void rtu_edge_flush_denormals(void) { (void)runtime::flush_denormals(); }

void rtu_agent_config_init(rtu_agent_config* config) {
  *config = rtu_agent_config{};
  config->size = sizeof *config;
  config->checkpoints = 1;
  bindings::set_defaults(*config);
}

size_t rtu_agent_bytes(const rtu_agent_config* config) {
  const auto* kernels = accepted(config);
  if (kernels == nullptr) return 0;
  const Room room = room_of(*config, *kernels);
  const uint64_t bytes = kAgentBytes + room.arena + room.table;
  const auto size = static_cast<size_t>(bytes);
  return size == bytes ? size : 0;  // more than this host can address
}

int32_t rtu_agent_init(const rtu_agent_config* config, void* memory, size_t bytes, rtu_agent** agent) {
  const size_t wanted = rtu_agent_bytes(config);
  if (wanted == 0 || bytes < wanted || reinterpret_cast<uintptr_t>(memory) % RTU_AGENT_ALIGNMENT != 0)
    return RTU_BAD_ARGUMENT;
  memset(memory, 0, wanted);
  auto* out = static_cast<rtu_agent*>(memory);
  out->kernels = accepted(config);
  out->arena = static_cast<unsigned char*>(memory) + kAgentBytes;
  if (config->checkpoints != 0) {
    const Room room = room_of(*config, *out->kernels);
    unsigned char* const table = out->arena + room.arena;
    out->table = reinterpret_cast<core::SectionTable*>(table);
    out->table->sections = reinterpret_cast<core::Section*>(table + kTableBytes);
    out->table->capacity = room.sections;
  }
  core::Builder arena(out->arena, out->table, static_cast<uint32_t>(out->kernels->lanes));
  out->learner = learners::make_stream_ac<float>(arena, native(*config));
  for (int i = 0; i < out->learner.nets; ++i) learners::bind_kernels(out->learner.net[i], out->kernels);
  learners::init(out->learner, config->seed);
  out->learner.windows = &out->windows;
  *agent = out;
  return RTU_OK;
}

const char* rtu_agent_isa(const rtu_agent* agent) { return agent->kernels->name; }

int32_t rtu_agent_width(const rtu_agent* agent) { return agent->learner.config.policy.width(); }

int32_t rtu_agent_begin(rtu_agent* agent) {
  learners::begin(agent->learner);
  return RTU_OK;
}

int32_t rtu_agent_previous(rtu_agent* agent, float reward, const float* applied) {
  return code(learners::set_previous(agent->learner, reward, applied));
}

int32_t rtu_agent_predict(rtu_agent* agent, const float* observation, int32_t explore, float* action) {
  return code(learners::predict(agent->learner, observation, explore != 0, 1.0f, action));
}

int32_t rtu_agent_update(rtu_agent* agent, float reward, int32_t terminated, int32_t truncated, const float* applied) {
  return code(learners::update(agent->learner, reward, terminated != 0, truncated != 0, applied));
}

uint32_t rtu_agent_findings(const rtu_agent* agent) { return agent->windows.now; }

int32_t rtu_agent_hash(rtu_agent* agent, uint64_t* hash) {
  if (agent->table == nullptr) return RTU_BAD_ARGUMENT;
  learners::flush(agent->learner);
  *hash = core::state_hash(*agent->table, agent->arena);
  return RTU_OK;
}

size_t rtu_agent_checkpoint_bytes(const rtu_agent* agent, uint32_t text_bytes) {
  return agent->table == nullptr ? 0 : static_cast<size_t>(core::checkpoint_bytes(*agent->table, text_bytes));
}

int32_t rtu_agent_checkpoint_write(rtu_agent* agent, const char* text, uint32_t text_bytes, void* out, size_t bytes) {
  const size_t wanted = rtu_agent_checkpoint_bytes(agent, text_bytes);
  if (wanted == 0 || bytes < wanted || (text == nullptr && text_bytes != 0)) return RTU_BAD_ARGUMENT;
  learners::flush(agent->learner);
  if (!core::finite_saved(*agent->table, agent->arena)) return RTU_BAD_VALUE;
  core::write_checkpoint(*agent->table, agent->arena, text == nullptr ? "" : text, text_bytes,
                         static_cast<unsigned char*>(out));
  return RTU_OK;
}

int32_t rtu_agent_checkpoint_read(rtu_agent* agent, const void* data, size_t bytes) {
  if (agent->table == nullptr || data == nullptr) return RTU_BAD_ARGUMENT;
  learners::flush(agent->learner);
  const char* where = "";
  return code(
      core::read_checkpoint(*agent->table, static_cast<const unsigned char*>(data), bytes, agent->arena, where));
}
