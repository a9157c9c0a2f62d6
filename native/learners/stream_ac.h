// Stream AC(lambda) (Elsayed et al. 2024, arXiv 2410.14606) over recurrent trace units: one forward pass per step, act
// before update. The order within a step follows docs/math_learners.md, 4.
//
//   predict: h advances with the new observation; outputs the action for it and v(s').
//   update:  delta = r + gamma v(s') - v(s); z <- gamma lambda z + g(s), traces advance; the weight step is left
//            pending for the next forward pass; this step's cotangents are kept.
#pragma once

#include "native/learners/monitor_windows.h"
#include "native/learners/stream_ac_inputs.h"
#include "native/learners/stream_q.h"
#include "native/learners/stream_qrc.h"

namespace rtu::learners {

struct StreamAcConfig {
  int32_t observation_size = 1;
  PolicyConfig policy;
  NetworkConfig body;  // cell, layers, hidden; configure() fills in heads
  HeadConfig actor, critic;
  ValueConfig values;  // on: the critic has an output per action, and there is no actor; correcting: actor is h's
  bool shared_body = false;
  double gamma = 0.98;
  core::Setting entropy = static_cast<core::Setting>(0.01);  // tau
  uint64_t actor_warmup = 0;                                 // steps in which the actor's step size rises from 0
  bool normalize_observation = true;
  double observation_bound = kDefaultObservationBound;  // deviations; 0: none
  bool scale_reward = true;
  bool recompute = false;
  bool previous_action = false, previous_reward = false;  // inputs after the observation

  constexpr int32_t inputs() const {
    return observation_size + (previous_action ? policy.actions : 0) + (previous_reward ? 1 : 0);
  }
};

constexpr int kMaxHalvings = 30;

template <class T>
struct StreamAc {
  using Real = T;  // of arguments that do not choose the learner's type
  StreamAcConfig config;
  Network<T> net[2];  // shared body: net[0] with both heads; separate: critic, actor; correcting: q, h
  int32_t nets;
  Normalizer<T> observation, reward;
  core::Rng rng;
  uint64_t* counters;              // (kCounters)
  T* scalars;                      // (kScalars): v(s) when s was seen, running return
  T* action;                       // (width) the unclipped sample, which the gradient refers to
  T* before;                       // (width) the sample of the previous step, which the next update() evaluates
  T* previous;                     // (width + 2) previous.h; null unless it is an input
  double* correction;              // (kCorrections) stream_qrc.h, or null
  T *shift, *shift_before;         // (width) what the noise before added to the mean of action, of before; or null
  T* shift_next;                   // (width) what the noise of action will add
  KeptSigma<T>* sigma;             // (actions) continuous actions; not saved
  T *features[2], *s1[2], *s2[2];  // recompute: the cell's output and slopes of the step before
  StepInfo* info;
  LearnerWindows* windows;  // may be null; not in the arena

  Network<T>& network(int i) const { return const_cast<StreamAc*>(this)->net[i]; }
  Network<T>& critic() const { return network(0); }
  Network<T>& actor() const { return network(nets - 1); }
  int32_t actor_head() const { return nets == 1 && !config.values.on() ? 1 : 0; }
  int32_t actor_kind() const { return actor_head(); }
  // Outputs for the newest observation: of the actor, or the action values.
  const T* outputs() const { return net[config.values.on() ? 0 : nets - 1].head[actor_head()].y; }
  Phase phase() const { return static_cast<Phase>(counters[kPhase]); }
};

template <class T>
constexpr StreamAc<T> make_stream_ac(Builder& arena, const StreamAcConfig& config) {
  StreamAc<T> agent{};
  agent.config = config;
  agent.nets = (config.shared_body || config.values.on()) && !config.values.corrects() ? 1 : 2;
  HeadConfig critic = config.critic, actor = config.actor;
  critic.outputs = config.values.on() ? config.policy.outputs() : 1;
  critic.kinds = config.values.corrects() ? 3 : 1;
  actor.outputs = config.policy.outputs();
  actor.kinds = 2;
  actor.optimizer.relative = !config.values.on();
  NetworkConfig body = config.body;
  body.cell.inputs = config.inputs();
  if (config.values.on()) {
    agent.net[0] = make_network<T>(arena, body, critic, "q");
    if (config.values.corrects()) agent.net[1] = make_network<T>(arena, body, actor, "h");
  } else if (config.shared_body) {
    body.heads = 2;
    body.head[0] = critic;
    body.head[1] = actor;
    const Name heads[] = {Name("critic").dot("head"), Name("actor").dot("head")};
    agent.net[0] = make_network<T>(arena, body, Name("body"), heads);
  } else {
    agent.net[0] = make_network<T>(arena, body, critic, "critic");
    agent.net[1] = make_network<T>(arena, body, actor, "actor");
  }
  agent.observation = make_normalizer<T>(arena, config.observation_size, Name("observation"), config.observation_bound);
  agent.reward = make_normalizer<T>(arena, 1, Name("reward"), 0, false);
  agent.rng.words = arena.vector<uint64_t>(Name("rng"), 2);
  agent.counters = arena.vector<uint64_t>(Name("counters"), kCounters);
  agent.scalars = arena.vector<T>(Name("scalars"), kScalars, true, core::OldForm::kDouble);
  const uint32_t width = static_cast<uint32_t>(config.policy.width());
  agent.action = arena.vector<T>(Name("action"), width);
  agent.before = arena.vector<T>(Name("before").dot("action"), width);
  if (config.values.corrects()) agent.correction = arena.vector<double>(Name("correction"), kCorrections);
  if (config.previous_action || config.previous_reward)
    agent.previous = arena.vector<T>(Name("previous"), previous_size(config.policy));
  if (config.policy.correlated()) {
    agent.shift = arena.vector<T>(Name("shift"), width);
    agent.shift_before = arena.vector<T>(Name("before").dot("shift"), width);
    agent.shift_next = arena.vector<T>(Name("next").dot("shift"), width);
  }
  if (config.recompute) {
    for (int i = 0; i < agent.nets; ++i) {
      const Name name = Name("before").number(i);
      agent.features[i] = arena.vector<T>(name.dot("features"), static_cast<uint32_t>(agent.net[i].config.features()));
      if (body.cell.kind == CellKind::kNone) continue;
      cells::make_parts(arena, body.cell, name.dot("s1"), name.dot("s2"), agent.s1[i], agent.s2[i]);
    }
  }
  agent.info = arena.reserve<StepInfo>(1);
  if (!config.policy.discrete) agent.sigma = arena.reserve<KeptSigma<T>>(width);
  return agent;
}

template <class T>
void init(const StreamAc<T>& agent, uint64_t seed) {
  core::seed_rng(agent.rng, seed, 1);
  for (int i = 0; i < agent.nets; ++i) init_network(agent.net[i], agent.rng);
  if (agent.correction != nullptr) init_correction(agent.net[1]);
  *agent.info = StepInfo{};
}

template <class T>
void flush(const StreamAc<T>& agent) {
  for (int i = 0; i < agent.nets; ++i) flush(agent.net[i]);
}

// The next exploration noise is uncorrelated with what was before.
template <class T>
void forget_noise(const StreamAc<T>& agent) {
  if (agent.shift != nullptr) cells::zero(agent.shift_next, agent.config.policy.width());
}

// An episode's start, before its first observation.
template <class T>
void begin(const StreamAc<T>& agent) {
  for (int i = 0; i < agent.nets; ++i) begin(agent.net[i]);
  agent.counters[kPhase] = static_cast<uint64_t>(Phase::kReady);
  agent.counters[kFirst] = 1;
  agent.counters[kTracesStale] = 0;
  agent.counters[kDeviated] = agent.counters[kDeviatedBefore] = agent.counters[kDeviatedLast] = 0;
  agent.scalars[kReturn] = agent.scalars[kReturnLow] = T(0);
  clear_correction(agent);
  if (agent.previous != nullptr) clear_previous(agent.config.policy, agent.previous);
  ++agent.counters[kEpisodes];
  forget_noise(agent);
}

// The action handed out: the sample clipped to [-1, 1], or the choice. (width)
template <class T>
void clip_action(const StreamAc<T>& agent, const T* sample, T* action) {
  const PolicyConfig& policy = agent.config.policy;
  for (int32_t k = 0; k < policy.width(); ++k) {
    const T a = sample[k];
    action[k] = policy.discrete ? a : !(a >= T(-1)) ? T(-1) : a > T(1) ? T(1) : a;
  }
}

// An exploring step after evaluation steps, which advanced h alone: the traces no longer belong to h, so traces and
// eligibilities restart from 0.
template <class T>
void resume_learning(const StreamAc<T>& agent) {
  for (int i = 0; i < agent.nets; ++i) {
    clear_credit(agent.net[i]);
    if (agent.net[i].config.cell.kind != CellKind::kNone) cells::clear_traces(agent.net[i].cell);
  }
  clear_correction(agent);
  agent.counters[kTracesStale] = 0;
  agent.counters[kFirst] = 1;
  forget_noise(agent);
}

// Draws the action for the newest observation; the one before moves to `before`.
template <class T>
void draw_action(const StreamAc<T>& agent, const T* y) {
  const PolicyConfig& policy = agent.config.policy;
  const size_t bytes = static_cast<size_t>(policy.width()) * sizeof(T);
  memcpy(agent.before, agent.action, bytes);
  if (agent.config.values.on()) {
    shift_deviations(agent.counters);
    draw_epsilon_greedy(policy, epsilon(agent), y, agent.rng, agent.action);
    agent.counters[kDeviated] = deviates(policy, y, agent.action) ? 1 : 0;
    return;
  }
  if (agent.shift == nullptr) return sample<T>(policy, y, agent.rng, agent.action, nullptr, agent.sigma);
  memcpy(agent.shift_before, agent.shift, bytes);
  memcpy(agent.shift, agent.shift_next, bytes);
  sample<T>(policy, y, agent.rng, agent.action, agent.shift, agent.sigma);
  for (int32_t k = 0; k < policy.width(); ++k)
    agent.shift_next[k] = static_cast<T>(policy.correlation) * (agent.action[k] - y[k]);
}

// First half of a step. observation (observation_size), action (width): output for the actuators. explore false: takes
// the mode of the policy, learns nothing, and only h advances (after the end of an episode the first such step starts a
// new one). `periods` is the time since the last step in nominal periods.
template <class T>
Status predict(const StreamAc<T>& agent, const T* observation, bool explore, T periods, T* action) {
  if (agent.phase() == Phase::kPredicted || (explore && agent.phase() == Phase::kEnded)) return Status::kOrder;
  if (!all_finite(observation, agent.config.observation_size)) return Status::kNonFinite;
  if (agent.phase() == Phase::kEnded) begin(agent);
  if (explore && agent.counters[kTracesStale] != 0) resume_learning(agent);
  const Statistics statistics = explore ? Statistics::kLearn : Statistics::kKeep;
  set_input(agent.net[0], agent.observation, agent.config.normalize_observation, statistics, observation);
  if (agent.previous != nullptr) add_previous(agent, explore);
  if (agent.nets == 2)
    memcpy(input_of(agent.net[1]), input_of(agent.net[0]), static_cast<size_t>(agent.config.inputs()) * sizeof(T));
  for (int i = 0; i < agent.nets; ++i) predict(agent.net[i], periods);
  const T* y = agent.outputs();
  if (!explore) {
    T best[kMaxActions];
    mode(agent.config.policy, y, best);
    clip_action(agent, best, action);
    replace_action(agent, action);
    for (int i = 0; i < agent.nets; ++i)
      if (agent.net[i].config.cell.kind != CellKind::kNone) cells::advance_state(agent.net[i].cell);
    flush(agent);  // no update() follows to write the step that predict() applied
    agent.counters[kTracesStale] = 1;
    return Status::kOk;
  }
  draw_action(agent, y);
  clip_action(agent, agent.action, action);
  replace_action(agent, action);
  agent.counters[kPhase] = static_cast<uint64_t>(Phase::kPredicted);
  return Status::kOk;
}

template <class T>
bool overridden(const StreamAc<T>& agent, const T* applied) {
  T ours[kMaxActions];
  clip_action(agent, agent.before, ours);
  for (int32_t k = 0; k < agent.config.policy.width(); ++k) {
    const T off = applied[k] - ours[k];
    if (!(off < T(kSameAction) && off > -T(kSameAction))) return true;
  }
  return false;
}

// Head cotangents for a step, from the outputs of forward_body(), and backpropagation through the network.
template <class T>
void keep_cotangents(const StreamAc<T>& agent, const T* action, const T* shift, const T* const* features,
                     const T* const* s1, const T* const* s2) {
  if (agent.config.values.on()) {
    one_hot(agent.config.policy, action, agent.critic().head[0].cot[0]);
    return store_gradients(agent.net[0], features[0], s1[0], s2[0]);
  }
  agent.critic().head[0].cot[0][0] = T(1);
  const Head<T>& head = agent.actor().head[agent.actor_head()];
  const int32_t kind = agent.actor_kind();
  policy_cotangents(agent.config.policy, head.y, action, shift, agent.sigma, head.cot[kind], head.cot[kind + 1]);
  for (int i = 0; i < agent.nets; ++i) store_gradients(agent.net[i], features[i], s1[i], s2[i]);
}

// recompute: v(s) and the cotangents of s again with the current weights, from the stored output of the cell.
template <class T>
void recompute_last(const StreamAc<T>& agent) {
  for (int i = 0; i < agent.nets; ++i) forward_body(agent.net[i], agent.features[i]);
  agent.scalars[kValue] = value_of(agent, agent.before);
  if (agent.config.values.corrects()) return recompute_correction(agent);
  keep_cotangents(agent, agent.before, agent.shift_before, agent.features, agent.s1, agent.s2);
}

// The learner monitor's reduction of the step size: 1, or a power of 1/2.
template <class T>
T step_factor(const StreamAc<T>& agent) {
  const T halvings = agent.scalars[kHalvings];
  if (!(halvings > T(0))) return T(1);
  return static_cast<T>(core::power_of_two(halvings < kMaxHalvings ? -static_cast<int>(halvings) : -kMaxHalvings));
}

// After predict() without exploring: an action drawn from the policy, in place of its mode.
template <class T>
void draw_instead(const StreamAc<T>& agent, T* action) {
  T drawn[kMaxActions];
  if (agent.config.values.on())
    draw_epsilon_greedy(agent.config.policy, epsilon(agent), agent.outputs(), agent.rng, drawn);
  else
    sample(agent.config.policy, agent.outputs(), agent.rng, drawn);
  clip_action(agent, drawn, action);
  replace_action(agent, action);
}

// The actor's share of its step size while the critic and the running statistics are still far from theirs.
template <class T>
T warmup_share(const StreamAc<T>& agent) {
  const uint64_t step = agent.counters[kSteps] + 1, all = agent.config.actor_warmup;
  return step < all ? static_cast<T>(step) / static_cast<T>(all) : T(1);
}

// Cotangents and decays of the transition that delta belongs to; ours: the learner's action was carried out.
template <class T>
void credit_action(const StreamAc<T>& agent, T delta, bool ours) {
  for (int i = 0; i < agent.nets && agent.config.values.on(); ++i)
    set_decays(agent.network(i), agent.config.values, agent.config.critic, agent.counters, ours);
  if (agent.config.values.on()) return;
  const int32_t kind = agent.actor_kind();
  const T sign = delta > T(0) ? T(1) : delta < T(0) ? T(-1) : T(0);
  if (ours)
    mix_cotangents(agent.actor(), agent.actor_head(), kind, kind + 1, sign * static_cast<T>(agent.config.entropy));
  else
    clear_cotangents(agent.actor(), agent.actor_head(), kind);
}

// Second half of a step: learns from the transition that the newest observation ended. applied (width, may be null):
// what the actuators did; where it differs from the learner's action, only the critic learns (action values: nothing
// does). The first call after begin() has no transition yet and only observes. update false is the deadline rule:
// everything except the weights is updated. A non-finite reward means that it was lost (update false only): delta is 0
// and the reward's statistics do not change.
template <class T>
Status update(const StreamAc<T>& agent, typename StreamAc<T>::Real reward, bool terminated, bool truncated,
              const T* applied, bool move_weights = true) {
  if (agent.phase() != Phase::kPredicted) return Status::kOrder;
  const bool first = agent.counters[kFirst] != 0, known = core::is_finite(reward);
  if (!first && move_weights && !known) return Status::kNonFinite;
  if (applied != nullptr && !all_finite(applied, agent.config.policy.width())) return Status::kNonFinite;

  const T value = value_of(agent, agent.action), next = next_value(agent);
  const bool values = agent.config.values.on();
  const T best = values ? static_cast<T>(greedy(agent.config.policy, agent.outputs())) : T(0);
  T delta = T(0);
  bool ours = true;
  T norm[2][kMaxSets] = {};
  if (!first) {
    if (agent.config.recompute) recompute_last(agent);
    ours = applied == nullptr || !overridden(agent, applied);
    if (known) {
      const T scaled = scaled_reward(agent, reward), last = agent.scalars[kValue];
      delta = terminated ? scaled - last : td_error(discount<T>(agent.config.gamma), scaled, next, last);
    }
    credit_action(agent, delta, ours);
  }
  const bool done = terminated || truncated, corrects = agent.config.values.corrects(),
             moves = !first && move_weights && (ours || !values);
  if (corrects)
    update_corrected(agent, best, first, ours, moves, terminated, static_cast<double>(step_factor(agent)), norm);
  for (int i = 0; i < agent.nets && !corrects; ++i) {
    update(agent.net[i], false, norm[i]);
    if (!first) condition(agent.net[i], delta, norm[i]);
  }

  if (!done && agent.config.recompute) {
    for (int i = 0; i < agent.nets; ++i) keep_output(agent.net[i], agent.features[i], agent.s1[i], agent.s2[i]);
  } else if (!done && !corrects) {
    const T* features[] = {features_of(agent.net[0]), features_of(agent.net[agent.nets - 1])};
    const T* s1[] = {agent.net[0].cell.s1, agent.net[agent.nets - 1].cell.s1};
    const T* s2[] = {agent.net[0].cell.s2, agent.net[agent.nets - 1].cell.s2};
    keep_cotangents(agent, agent.action, agent.shift, features, s1, s2);
  }
  if (moves) {
    const T factor = step_factor(agent), warm = factor * warmup_share(agent);
    agent.info->step_size_critic = static_cast<float>(apply_update(agent.critic(), 0, delta, norm[0][0], factor));
    agent.info->step_size_actor = ours && !values
                                      ? static_cast<float>(apply_update(agent.actor(), agent.actor_head(), delta,
                                                                        norm[agent.nets - 1][agent.actor_head()], warm))
                                      : 0.0f;
    if (corrects) (void)apply_update(agent.net[1], 0, delta, norm[1][0], factor);
    ++agent.counters[kSteps];
  }
  agent.info->value = static_cast<float>(value);
  agent.info->delta = static_cast<float>(delta);
  const T of_actor = agent.nets == 1 && values ? T(0) : norm[agent.nets - 1][agent.actor_head()];
  agent.info->norm = static_cast<float>(norm[0][0] + of_actor);
  agent.scalars[kValue] = value;
  if (agent.windows != nullptr)
    watch(
        *agent.windows, agent.config.policy, agent.action, [&] { return spread(agent); }, known && !first,
        static_cast<double>(delta), agent.info->norm, agent.counters[kSteps]);
  agent.counters[kFirst] = 0;
  agent.counters[kPhase] = static_cast<uint64_t>(done ? Phase::kEnded : Phase::kReady);
  return Status::kOk;
}

}  // namespace rtu::learners
