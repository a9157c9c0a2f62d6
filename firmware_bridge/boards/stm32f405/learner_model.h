// The learner on this board, and its loop with a simulated cart-pole that reports position and angle only. The
// same source runs on this board and, for comparison, on a host: equal seeds, equal bits.
#pragma once

#include "firmware_bridge/plants/plant.h"
#include "native/learners/stream_ac.h"

namespace tl_device {

using namespace rtu;

constexpr int32_t kObservations = 2, kActions = 1, kUnits = 16, kHidden = 16, kWindow = 20;
constexpr double kGamma = 0.99;

constexpr learners::HeadConfig head(double kappa) {
    learners::HeadConfig out;
    out.decay_recurrent = out.decay_body = out.decay_head = kGamma * 0.9;
    out.optimizer.kappa = kappa;
    return out;
}

// Equal to rtu_edge.StreamAC with rtu_edge.hil.learner.SETTINGS: small, and quick on this one plant; a test compares
// the two.
constexpr learners::StreamAcConfig config() {
    learners::StreamAcConfig out;
    out.observation_size = kObservations;
    out.policy.actions = kActions;
    out.gamma = kGamma;
    out.body.cell.activation = kernels::Activation::kTanh;
    out.body.cell.inputs = kObservations;
    out.body.cell.poles = kUnits;
    out.body.cell.r_min = 0.7;
    out.body.layers = 1;
    out.body.hidden[0] = kHidden;
    out.actor = head(2.0);
    out.critic = head(3.0);
    return out;
}

// Its control step tells the learner nothing but the observation, and its kernel table carries traces.
static_assert(!config().previous_action && !config().previous_reward, "this board has no previous inputs");
static_assert(config().body.cell.credit == cells::Credit::kRtrl, "this board learns with credit = rtrl");

constexpr uint64_t arena_bytes() {
    core::Builder footprint(nullptr, nullptr, 1);
    (void)learners::make_stream_ac<float>(footprint, config());
    return footprint.bytes();
}

struct Learner {
    learners::StreamAc<float> agent;
    const tl_plant *plant;
    tl_plant_state state;
    uint32_t seed, steps, episodes;
    float action, last_return;
    float sum;               // of this episode's rewards
    float returns[kWindow];  // of the last episodes
};

inline void begin_episode(Learner &learner) {
    learner.plant->reset(&learner.state, learner.seed + learner.episodes * 2654435769u);
    learner.sum = 0;
    learners::begin(learner.agent);
    float x[kObservations];
    learner.plant->observe(&learner.state, x);
    (void)learners::predict(learner.agent, x, true, 1.0f, &learner.action);
    (void)learners::update(learner.agent, 0.0, false, false, static_cast<const float *>(nullptr));
}

// memory: arena_bytes(), aligned to core::kAlignment.
inline void start(Learner &learner, unsigned char *memory, const kernels::Kernels<float> *kernels, uint32_t seed) {
    memset(memory, 0, static_cast<size_t>(arena_bytes()));
    core::Builder arena(memory, nullptr, 1);
    learner = Learner{};
    learner.agent = learners::make_stream_ac<float>(arena, config());
    for (int i = 0; i < learner.agent.nets; ++i) learners::bind_kernels(learner.agent.net[i], kernels);
    learners::init(learner.agent, seed);
    learner.plant = tl_plant_find("cartpole");
    learner.seed = seed;
    begin_episode(learner);
}

// One control step: the plant moves by the previous action, the learner observes, acts and learns. True when an episode
// ended; the next one has then started.
inline bool control_step(Learner &learner) {
    const tl_plant_row &force = learner.plant->sheet->rows[learner.plant->sheet->observation_size];
    const float u = force.min + (learner.action + 1.0f) * 0.5f * (force.max - force.min);
    const tl_plant_result result = learner.plant->step(&learner.state, &u);
    float x[kObservations];
    learner.plant->observe(&learner.state, x);
    (void)learners::predict(learner.agent, x, true, 1.0f, &learner.action);
    (void)learners::update(learner.agent, static_cast<double>(result.reward), result.terminated, result.truncated,
                           static_cast<const float *>(nullptr));
    learner.sum += result.reward;
    ++learner.steps;
    if (!result.terminated && !result.truncated) return false;
    learner.last_return = learner.returns[learner.episodes % kWindow] = learner.sum;
    ++learner.episodes;
    begin_episode(learner);
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
