// The learner on this board, and its loop with a simulated cart-pole that reports position and angle only. The
// same source runs on this board and, for comparison, on a host: equal seeds, equal bits.
#pragma once

#include <stddef.h>

#include "firmware_bridge/plants/plant.h"
#include "firmware_bridge/protocol/learner.h"
#include "native/learners/stream_ac.h"

namespace tl_device {

using namespace rtu;

// Other sizes are for counting: observations beyond those of the plant repeat them, halved; one is the position alone.
#if !defined(TL_LEARNER_SIZES)
#define TL_LEARNER_SIZES 2, 16, 16
#endif
#if !defined(TL_LEARNER_SHARED)
#define TL_LEARNER_SHARED 0
#endif

constexpr int32_t kSizes[] = {TL_LEARNER_SIZES};
constexpr int32_t kObservations = kSizes[0], kUnits = kSizes[1], kHidden = kSizes[2];
constexpr int32_t kPlantObservations = 2, kActions = 1, kWindow = 20;
constexpr bool kShared = TL_LEARNER_SHARED != 0;  // one body for actor and critic
constexpr double kGamma = 0.99;

constexpr learners::HeadConfig head(core::Setting kappa) {
    learners::HeadConfig out;
    out.decay_recurrent = out.decay_body = out.decay_head = static_cast<core::Setting>(kGamma * 0.9);
    out.optimizer.kappa = kappa;
    return out;
}

// Equal to rtu_edge.StreamAC with rtu_edge.hil.learner.SETTINGS, or SHARED_SETTINGS with one body: small, and quick on
// this one plant; a test compares the two.
constexpr learners::StreamAcConfig config() {
    learners::StreamAcConfig out;
    out.observation_size = kObservations;
    out.policy.actions = kActions;
    out.shared_body = kShared;
    out.gamma = kGamma;
    out.body.cell.activation = kernels::Activation::kTanh;
    out.body.cell.inputs = kObservations;
    out.body.cell.poles = kUnits;
    out.body.cell.r_min = 0.7;
    out.body.layers = 1;
    out.body.hidden[0] = kHidden;
    out.actor_warmup = kShared ? 2000 : 0;
    out.actor = head(2.0);
    out.critic = head(3.0);
    return out;
}

// Its control step tells the learner nothing but the observation, and its kernel table carries traces.
static_assert(!config().previous_action && !config().previous_reward, "this board has no previous inputs");
static_assert(config().body.cell.credit == cells::Credit::kRtrl, "this board learns with credit = rtrl");

using Agent = learners::StreamAc<float>;

constexpr core::Pools counted() {
    core::Pools pools;
    core::Builder footprint(&pools, nullptr);
    (void)learners::make_stream_ac<float>(footprint, config());
    return pools;
}

static_assert(counted().f64.used == 0, "no double is part of it");

// All that the learner is, as the host reads and writes it.
struct Memory {
    uint64_t u64[counted().u64.used];
    float f32[counted().f32.used];
    int32_t i32[counted().i32.used];
};

// What it only reports or can find again.
struct Scratch {
    learners::StepInfo info;
    learners::KeptSigma<float> sigma[kActions];
};

constexpr core::Pools pools_of(Memory &memory) {
    core::Pools pools;
    pools.u64.data = memory.u64;
    pools.f32.data = memory.f32;
    pools.i32.data = memory.i32;
    pools.f32.offset = sizeof memory.u64;
    pools.i32.offset = pools.f32.offset + sizeof memory.f32;
    return pools;
}

// The learner in its memory; a constant of the firmware.
constexpr Agent bind(Memory &memory, Scratch &scratch, const kernels::Kernels<float> *kernels) {
    core::Pools pools = pools_of(memory);
    core::Builder builder(&pools, nullptr);
    Agent agent = learners::make_stream_ac<float>(builder, config());
    agent.info = &scratch.info;
    agent.sigma = scratch.sigma;
    for (int i = 0; i < agent.nets; ++i) learners::bind_kernels(agent.net[i], kernels);
    return agent;
}

// The plant, and what the host is told.
struct Learner {
    tl_plant_state state;
    uint32_t seed, steps, episodes;
    float action, last_return;
    float sum;               // of this episode's rewards
    float returns[kWindow];  // of the last episodes
    const tl_plant *plant;   // not in a checkpoint, which ends here
};

// Of which learner a checkpoint in flash is: another one's is not loaded. Raise kLayout when a member changes its
// meaning.
constexpr uint32_t kLayout = 1;
constexpr uint32_t kKind =
    ((((kLayout * 31u + kObservations) * 31u + kUnits) * 31u + kHidden) * 2u + kShared) * 65536u +
    static_cast<uint32_t>(sizeof(Memory)) + static_cast<uint32_t>(offsetof(Learner, plant));

inline uint32_t episode_seed(const Learner &learner) { return learner.seed + learner.episodes * 2654435769u; }

// An action in the units of its actuator.
inline float output_of(const tl_plant_row &row, float action) {
    return row.min + (action + 1.0f) * 0.5f * (row.max - row.min);
}

inline uint32_t flags_of(const tl_plant_result &result) {
    return (result.terminated ? static_cast<uint32_t>(TL_LEARNER_TERMINATED) : 0u) |
           (result.truncated ? static_cast<uint32_t>(TL_LEARNER_TRUNCATED) : 0u);
}

inline void observe(const Learner &learner, float *x) {
    if constexpr (kObservations < kPlantObservations) {
        float all[kPlantObservations];
        learner.plant->observe(&learner.state, all);
        x[0] = all[0];
    } else {
        learner.plant->observe(&learner.state, x);
        for (int32_t j = kPlantObservations; j < kObservations; ++j) x[j] = 0.5f * x[j - kPlantObservations];
    }
}

// What an update was made of, as it is reported to a host that makes the same updates.
struct Experience {
    const float *x;
    float reward, action;  // the action after this observation
    uint32_t flags;        // TL_LEARNER_FIRST ...
    const float *applied;  // in place of the action before; null: it was that action
};

struct NoRecord {
    void operator()(const Experience &) const {}
};

// An observation and its TL_LEARNER_FIRST ... flags: the learner acts and learns.
template <class Record>
void experience(Learner &learner, const Agent &agent, const float *x, float reward, uint32_t flags,
                const float *applied, Record record) {
    (void)learners::predict(agent, x, true, 1.0f, &learner.action);
    (void)learners::update(agent, reward, (flags & TL_LEARNER_TERMINATED) != 0, (flags & TL_LEARNER_TRUNCATED) != 0,
                           applied);
    record(Experience{x, reward, learner.action, flags, applied});
}

template <class Record = NoRecord>
void begin_episode(Learner &learner, const Agent &agent, Record record = {}) {
    learner.plant->reset(&learner.state, episode_seed(learner));
    learner.sum = 0;
    learners::begin(agent);
    float x[kObservations];
    observe(learner, x);
    experience(learner, agent, x, 0.0f, TL_LEARNER_FIRST, nullptr, record);
}

template <class Record = NoRecord>
void start(Learner &learner, const Agent &agent, Memory &memory, Scratch &scratch, uint32_t seed, Record record = {}) {
    memset(&memory, 0, sizeof memory);
    scratch = Scratch{};
    learner = Learner{};
    learners::init(agent, seed);
    learner.plant = tl_plant_find("cartpole");
    learner.seed = seed;
    begin_episode(learner, agent, record);
}

// Counts a control step and its reward; true when it ended an episode.
inline bool count_step(Learner &learner, const tl_plant_result &result) {
    learner.sum += result.reward;
    ++learner.steps;
    if (!result.terminated && !result.truncated) return false;
    learner.last_return = learner.returns[learner.episodes % kWindow] = learner.sum;
    ++learner.episodes;
    return true;
}

// One control step: the plant moves by the previous action, the learner observes, acts and learns. True when an episode
// ended; the next one has then started.
template <class Record = NoRecord>
bool control_step(Learner &learner, const Agent &agent, Record record = {}) {
    const float u = output_of(learner.plant->sheet->rows[learner.plant->sheet->observation_size], learner.action);
    const tl_plant_result result = learner.plant->step(&learner.state, &u);
    float x[kObservations];
    observe(learner, x);
    experience(learner, agent, x, result.reward, flags_of(result), nullptr, record);
    if (!count_step(learner, result)) return false;
    begin_episode(learner, agent, record);
    return true;
}

// Mean over the last kWindow episodes, or over all if there were fewer.
inline float mean_return(const Learner &learner) {
    const uint32_t n = learner.episodes < kWindow ? learner.episodes : kWindow;
    float sum = 0;
    for (uint32_t i = 0; i < n; ++i) sum += learner.returns[i];
    return n == 0 ? 0.0f : sum / static_cast<float>(n);
}

}  // namespace tl_device
