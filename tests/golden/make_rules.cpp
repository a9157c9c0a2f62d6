// Writes the golden checkpoints of make_rules.py on another processor than Python's: their learners, the same 80 steps,
// and the actions of 60 more.
//
//   aarch64-linux-gnu-g++ -std=c++17 -O2 -static -I. tests/golden/make_rules.cpp -o make_rules
//   qemu-aarch64 ./make_rules NAME DTYPE INPUTS TEXT OUTPUT     (make_rules.py calls it)
//
// INPUTS: 140 rows of two observations and a reward, doubles. TEXT: the checkpoint's text. OUTPUT: the checkpoint, then
// the actions, 60 doubles.
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "native/core/checkpoint.h"
#include "native/kernels/table.inl.h"
#include "native/learners/stream_ac.h"

namespace {

using namespace rtu;
using cells::CellKind;
using optim::Preconditioner;
using optim::Rule;

constexpr int kBefore = 80, kAll = 140, kRow = 3;

learners::HeadConfig head(double gamma, double lambda, Rule rule, double step_size, double kappa, Preconditioner form) {
  learners::HeadConfig out;
  out.decay_recurrent = out.decay_body = out.decay_head = gamma * lambda;
  out.optimizer.rule = rule;
  out.optimizer.step_size = step_size;
  out.optimizer.kappa = kappa;
  out.optimizer.preconditioner = form;
  return out;
}

// rtu_edge.StreamAC(2, 1, units=5, hidden=3, seed=7, ...) with the settings of LEARNERS in make_rules.py.
learners::StreamAcConfig config(const std::string& name) {
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  learners::StreamAcConfig out;
  out.observation_size = 2;
  out.policy.sigma_floor = 0.1;
  out.policy.correlation = 0.6;
  out.actor_warmup = 2000;
  out.gamma = 0.98;
  out.body.cell.kind = has("mingru")  ? CellKind::kMinGru
                       : has("lru")   ? CellKind::kLru
                       : has("elstm") ? CellKind::kElstm
                                      : CellKind::kLinear;
  out.body.cell.activation = kernels::Activation::kTanh;
  out.body.cell.poles = 5;
  out.body.cell.r_min = 0.7;
  out.body.layers = 1;
  out.body.hidden[0] = 3;
  out.shared_body = name != "adaptive-mingru" && name != "larger-elstm";
  if (has("encoder")) {
    out.body.encoder_layers = name == "encoder" ? 2 : 1;
    out.body.encoder[0] = name == "encoder" ? 4 : 3;
    out.body.encoder[1] = 3;
  }
  out.recompute = name == "encoder";
  if (name == "encoder-mingru") out.body.cell.credit = cells::Credit::kTbptt1;
  const bool adam = name == "encoder-mingru", bounded = has("adaptive") || name == "encoder";
  const Rule rule = has("adaptive") ? Rule::kAdaptiveObgd
                    : bounded       ? Rule::kObgd
                    : adam          ? Rule::kAdam
                                    : Rule::kIntentional;
  const Preconditioner form = has("gradient") ? Preconditioner::kGradient
                              : has("trace")  ? Preconditioner::kTrace
                                              : Preconditioner::kLarger;
  const double kappa = name == "encoder" ? 50.0 : 0.0;
  out.actor = head(out.gamma, 0.95, rule, bounded ? 1.0 : adam ? 1e-3 : 0.002, kappa > 0 ? kappa : 3.0, form);
  out.critic = head(out.gamma, 0.8, rule, bounded ? 1.0 : adam ? 1e-3 : 0.02, kappa > 0 ? kappa : 2.0, form);
  return out;
}

std::vector<char> contents(const char* path) {
  std::vector<char> out;
  FILE* file = fopen(path, "rb");
  for (int c = 0; file != nullptr && (c = fgetc(file)) != EOF;) out.push_back(static_cast<char>(c));
  if (file != nullptr) fclose(file);
  return out;
}

template <class T, int V>
int write(char** arguments) {
  static constexpr kernels::Kernels<T> table = make_table<T, V>("golden", coefficients_of<T, V, false>);
  const learners::StreamAcConfig settings = config(arguments[1]);
  auto sections = std::make_unique<core::LargestTable>();
  core::Builder footprint(nullptr, sections.get(), V);
  (void)learners::make_stream_ac<T>(footprint, settings);
  std::vector<unsigned char> room(footprint.bytes() + core::kAlignment);
  unsigned char* memory = room.data();
  while (reinterpret_cast<uintptr_t>(memory) % core::kAlignment != 0) ++memory;
  core::Builder arena(memory, nullptr, V);
  learners::StreamAc<T> agent = learners::make_stream_ac<T>(arena, settings);
  for (int i = 0; i < agent.nets; ++i) learners::bind_kernels(agent.net[i], &table);
  learners::init(agent, 7);
  learners::begin(agent);

  const std::vector<char> inputs = contents(arguments[3]), text = contents(arguments[4]);
  if (inputs.size() != kAll * kRow * sizeof(double)) return 1;
  std::vector<double> rows(kAll * kRow), actions;
  memcpy(rows.data(), inputs.data(), inputs.size());
  std::vector<unsigned char> written(core::checkpoint_bytes(*sections, static_cast<uint32_t>(text.size())));
  for (int t = 0; t < kAll; ++t) {
    if (t == kBefore) {
      learners::flush(agent);
      core::write_checkpoint(*sections, memory, text.data(), static_cast<uint32_t>(text.size()), written.data());
    }
    const double* row = rows.data() + t * kRow;
    const T x[] = {static_cast<T>(row[0]), static_cast<T>(row[1])};
    T action = 0;
    if (core::failed(learners::predict(agent, x, true, T(1), &action))) return 1;
    if (core::failed(learners::update(agent, row[2], false, false, static_cast<const T*>(nullptr)))) return 1;
    if (t >= kBefore) actions.push_back(static_cast<double>(action));
  }
  FILE* file = fopen(arguments[5], "wb");
  if (file == nullptr) return 1;
  fwrite(written.data(), 1, written.size(), file);
  fwrite(actions.data(), sizeof(double), actions.size(), file);
  return fclose(file);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 6) return 2;
  return strcmp(arguments[2], "float64") == 0 ? write<double, 1>(arguments) : write<float, 4>(arguments);
}
