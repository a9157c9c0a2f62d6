#include "native/bindings/python/configuration.h"

#include <pybind11/stl.h>

#include <string>

#include "native/bindings/python/model.h"

namespace rtu::bindings {

namespace {

template <class V>
V take(const py::dict& d, const char* key) {
  if (!d.contains(key)) throw py::key_error(key);
  return d[key].cast<V>();
}

template <class E>
E choice(const py::dict& d, const char* key, std::initializer_list<std::pair<const char*, E>> options) {
  const auto value = take<std::string>(d, key);
  for (const auto& [name, e] : options)
    if (value == name) return e;
  refuse(std::string(key) + ": unknown choice " + value);
}

optim::OptimizerConfig optimizer(const py::dict& d) {
  optim::OptimizerConfig out;
  using optim::Preconditioner;
  using optim::Rule;
  out.rule = choice<Rule>(d, "rule",
                          {{"obgd", Rule::kObgd},
                           {"sgd", Rule::kSgd},
                           {"adam", Rule::kAdam},
                           {"adaptive_obgd", Rule::kAdaptiveObgd},
                           {"intentional", Rule::kIntentional}});
  if (out.rule == Rule::kIntentional)
    out.preconditioner = choice<Preconditioner>(d, "preconditioner",
                                                {{"gradient", Preconditioner::kGradient},
                                                 {"trace", Preconditioner::kTrace},
                                                 {"larger", Preconditioner::kLarger}});
  out.step_size = take<double>(d, "step_size");
  out.kappa = take<double>(d, "kappa");
  if (d.contains("beta2")) out.b2 = take<double>(d, "beta2");
  return out;
}

learners::NetworkConfig body(const py::dict& d) {
  learners::NetworkConfig out;
  out.cell = cell_configuration(d);
  if (d.contains("encoder"))  // not of StreamQRC
    for (const int width : take<std::vector<int>>(d, "encoder")) out.encoder[out.encoder_layers++] = width;
  const auto hidden = take<std::vector<int>>(d, "hidden");
  for (const int width : hidden) out.hidden[out.layers++] = width;  // at most kMaxLayers: rtu_edge.learn has checked
  out.sparsity = take<double>(d, "sparsity");
  return out;
}

learners::HeadConfig head(const py::dict& decay, double gamma, const py::dict& optimizer_settings) {
  learners::HeadConfig out;
  out.decay_recurrent = gamma * take<double>(decay, "recurrent");
  out.decay_body = gamma * take<double>(decay, "body");
  out.decay_head = gamma * take<double>(decay, "head");
  out.optimizer = optimizer(optimizer_settings);
  return out;
}

learners::OnlineConfig online(const py::dict& d) {
  learners::OnlineConfig out;
  using learners::HeadRule;
  out.rule = choice<HeadRule>(
      d, "head", {{"td", HeadRule::kTd}, {"true_online", HeadRule::kTrueOnline}, {"swift", HeadRule::kSwift}});
  out.step_size = take<double>(d, "head_step_size");
  out.bound = take<double>(d, "head_bound");
  out.meta_step_size = take<double>(d, "meta_step_size");
  out.shrink = take<double>(d, "step_size_decay");
  return out;
}

// What a learner that acts makes of observations and rewards.
void inputs(const py::dict& d, learners::StreamAcConfig& out) {
  out.normalize_observation = take<bool>(d, "normalize_observation");
  out.observation_bound = take<double>(d, "observation_bound");
  out.scale_reward = take<bool>(d, "scale_reward");
  out.recompute = take<bool>(d, "recompute");
  out.previous_action = take<bool>(d, "previous_action");
  out.previous_reward = take<bool>(d, "previous_reward");
}

learners::StreamAcConfig stream_ac_configuration(const py::dict& d) {
  learners::StreamAcConfig out;
  out.observation_size = take<int>(d, "observation_size");
  out.policy.discrete = take<bool>(d, "discrete");
  out.policy.actions = take<int>(d, "n_outputs");
  out.policy.sigma_floor = take<double>(d, "sigma_floor");
  out.policy.correlation = take<double>(d, "exploration_correlation");
  out.body = body(d);
  out.gamma = take<double>(d, "gamma");
  out.actor = head(take<py::dict>(d, "trace_decay"), out.gamma, take<py::dict>(d, "actor"));
  const auto critic = take<py::dict>(d, "critic");
  out.critic = head(take<py::dict>(critic, "trace_decay"), out.gamma, critic);
  out.shared_body = take<std::string>(d, "body") == "shared";
  out.entropy = take<double>(d, "entropy");
  out.actor_warmup = take<uint64_t>(d, "actor_warmup");
  inputs(d, out);
  return out;
}

learners::StreamAcConfig stream_q_configuration(const py::dict& d) {
  learners::StreamAcConfig out;
  using learners::ValueRule;
  out.observation_size = take<int>(d, "observation_size");
  out.policy.discrete = true;
  out.policy.actions = take<int>(d, "n_outputs");
  out.body = body(d);
  out.gamma = take<double>(d, "gamma");
  out.critic = head(take<py::dict>(d, "trace_decay"), out.gamma, take<py::dict>(d, "optimizer"));
  out.values.rule =
      choice<ValueRule>(d, "values", {{"q", ValueRule::kQ}, {"sarsa", ValueRule::kSarsa}, {"qrc", ValueRule::kQrc}});
  out.values.late_cut = out.values.rule != ValueRule::kSarsa && take<std::string>(d, "cut") == "late";
  if (out.values.corrects()) {
    out.actor = head(take<py::dict>(d, "trace_decay"), out.gamma, take<py::dict>(d, "correction"));
    out.values.beta = take<double>(d, "beta");
  }
  out.values.epsilon_start = take<double>(d, "epsilon_start");
  out.values.epsilon_end = take<double>(d, "epsilon_end");
  out.values.epsilon_steps = take<uint64_t>(d, "epsilon_steps");
  inputs(d, out);
  return out;
}

}  // namespace

cells::RtuConfig cell_configuration(const py::dict& d) {
  cells::RtuConfig out;
  using cells::CellKind;
  using kernels::Activation;
  out.kind = choice<CellKind>(d, "cell",
                              {{"linear", CellKind::kLinear},
                               {"nonlinear", CellKind::kNonlinear},
                               {"mingru", CellKind::kMinGru},
                               {"lru", CellKind::kLru},
                               {"elstm", CellKind::kElstm},
                               {"none", CellKind::kNone}});
  out.activation = choice<Activation>(
      d, "activation", {{"relu", Activation::kRelu}, {"tanh", Activation::kTanh}, {"identity", Activation::kIdentity}});
  using cells::Credit;
  if (d.contains("credit"))  // a learner's; a cell by itself computes the RTRL gradient
    out.credit = choice<Credit>(d, "credit",
                                {{"rtrl", Credit::kRtrl}, {"tbptt1", Credit::kTbptt1}, {"frozen", Credit::kFrozen}});
  out.inputs = take<int>(d, "observation_size");
  out.units_per_pole = take<int>(d, "units_per_pole");
  out.poles = take<int>(d, "units") / out.units_per_pole;
  out.r_min = take<double>(d, "r_min");
  out.r_max = take<double>(d, "r_max");
  out.max_phase = take<double>(d, "max_phase");
  return out;
}

learners::StreamAcConfig agent_configuration(const py::dict& d) {
  return d.contains("values") ? stream_q_configuration(d) : stream_ac_configuration(d);
}

learners::TdConfig td_configuration(const py::dict& d) {
  learners::TdConfig out;
  out.observation_size = take<int>(d, "observation_size");
  out.body = body(d);
  out.gamma = take<double>(d, "gamma");
  out.scale_cumulant = take<bool>(d, "scale_cumulant");
  out.online = online(d);
  out.head = head(take<py::dict>(d, "trace_decay"), out.gamma, take<py::dict>(d, "optimizer"));
  out.normalize_input = take<bool>(d, "normalize_observation");
  out.input_bound = take<double>(d, "observation_bound");
  return out;
}

learners::RegressorConfig regressor_configuration(const py::dict& d) {
  learners::RegressorConfig out;
  out.observation_size = take<int>(d, "observation_size");
  out.outputs = take<int>(d, "n_outputs");
  out.body = body(d);
  out.head.optimizer = optimizer(take<py::dict>(d, "optimizer"));
  out.normalize_input = take<bool>(d, "normalize_observation");
  out.input_bound = take<double>(d, "observation_bound");
  return out;
}

learners::TdBankConfig bank_configuration(const py::dict& d) {
  learners::TdBankConfig out;
  out.observation_size = take<int>(d, "observation_size");
  out.heads = static_cast<int32_t>(head_numbers(d, "gammas").size());
  out.body = body(d);
  out.optimizer = optimizer(take<py::dict>(d, "optimizer"));
  out.scale_cumulant = take<bool>(d, "scale_cumulant");
  out.normalize_input = take<bool>(d, "normalize_observation");
  out.input_bound = take<double>(d, "observation_bound");
  return out;
}

std::vector<double> head_numbers(const py::dict& d, const char* key) { return take<std::vector<double>>(d, key); }

}  // namespace rtu::bindings
