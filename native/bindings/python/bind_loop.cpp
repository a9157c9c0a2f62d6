// The loop for Python: converts arguments and results; the public API is rtu_edge/loop.
#include "native/runtime/loop/loop.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "native/bindings/python/link.h"
#include "native/bindings/python/loop_options.h"
#include "native/bindings/python/one_at_a_time.h"
#include "native/bindings/python/policy.h"
#include "native/bindings/python/schema.h"
#include "native/bindings/python/take_over.h"
#include "native/runtime/signals.h"

namespace rtu::bindings {

using namespace runtime;
using namespace runtime::record;
using namespace runtime::safety;
using namespace runtime::loop;

py::dtype dtype_of(const Fields& fields, size_t stride) {
  py::list names;
  py::list formats;
  py::list offsets;
  size_t offset = 0;
  const py::object make = py::module_::import("numpy").attr("dtype");
  for (const auto& [name, format] : fields) {
    names.append(name);
    formats.append(format);
    offsets.append(offset);
    offset += make(format).attr("itemsize").cast<size_t>();
  }
  return py::dtype(names, formats, offsets, static_cast<py::ssize_t>(stride));
}

py::dtype record_dtype(int n, int m) {
  Fields fields = RTU_FIELDS_OF(RecordHead, RTU_RUNTIME_RECORD_FIELDS);
  fields.emplace_back("x", py::make_tuple("f4", py::make_tuple(n)));
  fields.emplace_back("u", py::make_tuple("f4", py::make_tuple(m)));
  fields.emplace_back("applied", py::make_tuple("f4", py::make_tuple(m)));
  return dtype_of(fields, record_stride(n, m));
}

namespace {

py::dtype episode_dtype() {
  return dtype_of(RTU_FIELDS_OF(EpisodeRecord, RTU_RUNTIME_EPISODE_FIELDS), sizeof(EpisodeRecord));
}

py::array drain(RecordRing& ring, const py::dtype& dtype) {
  const size_t count = ring.available();
  py::array out(dtype, static_cast<py::ssize_t>(count));
  ring.take(static_cast<uint8_t*>(out.mutable_data()), count);
  return out;
}

// The Python reward: arrays over native buffers, one interpreter lock per call, an exception stored for later.
struct PyReward {
  py::object function;
  py::object error = py::none();
  std::atomic<bool> failed{false};

  static float evaluate(void* self, const float* x, int n, const float* u, int m) noexcept {
    auto* r = static_cast<PyReward*>(self);
    const py::gil_scoped_acquire acquire;
    try {
      const py::array_t<float> xs(n, x);
      const py::array_t<float> us(m, u);
      return r->function(xs, us).cast<float>();
    } catch (py::error_already_set& e) {
      if (!r->failed.load()) r->error = e.value();
    } catch (const std::exception& e) {
      if (!r->failed.load())
        r->error = py::module_::import("builtins").attr("TypeError")(std::string("reward: ") + e.what());
    }
    r->failed.store(true);
    return std::numeric_limits<float>::quiet_NaN();
  }
};

// Without the function of a callable.
Reward reward_form(const py::dict& d) {
  Reward reward;
  const auto kind = d["kind"].cast<std::string>();
  reward.kind = kind == "form" ? RewardKind::kForm : kind == "callable" ? RewardKind::kFunction : RewardKind::kFrame;
  reward.bias = d["bias"].cast<float>();
  fill(d["target"].cast<py::list>(), reward.target, kMaxObservations);
  fill(d["quadratic"].cast<py::list>(), reward.quadratic, kMaxObservations);
  fill(d["cosine"].cast<py::list>(), reward.cosine, kMaxObservations);
  fill(d["action"].cast<py::list>(), reward.action, kMaxActuators);
  return reward;
}

float evaluate_reward(const py::dict& d, float from_frame, const Floats& x, const Floats& u) {
  const Reward reward = reward_form(d);
  return reward.evaluate(from_frame, x.data(), static_cast<int>(x.size()), u.data(), static_cast<int>(u.size()));
}

class PyLoop {
 public:
  PyLoop(py::object link, py::object policy, const py::dict& options)
      : link_object_(std::move(link)), policy_object_(std::move(policy)), link_(link_object_.cast<PyLink&>()) {
    const auto& policy_table = policy_object_.cast<const Policy&>();
    const tl_hello& hello = link_.hello;
    if (hello.period_us == 0) throw py::value_error("handshake() first");
    LoopOptions o;
    take_companions(options, &o);
    n_ = hello.observation_size + Context::observations_of(o);
    m_ = hello.action_size + Context::actuators_of(o);
    if (n_ + m_ > kMaxObservations)
      throw py::value_error(std::string("the device has more than 55 observations and actuators") + kFrameHolds);
    if (policy_table.observation_size != n_) {
      throw py::value_error("policy: takes " + std::to_string(policy_table.observation_size) +
                            " observations, the device has " + std::to_string(n_));
    }
    const int actuators = policy_table.n_levels > 0 ? 1 : policy_table.action_size;
    if (actuators != m_) {
      throw py::value_error("policy: drives " + std::to_string(actuators) + " actuators, the device has " +
                            std::to_string(m_));
    }
    loop_ = std::make_unique<Loop>(link_.link, monotonic_clock(), policy_table, hello, parse(options));
    dtype_ = record_dtype(n_, m_);
  }

  ~PyLoop() {
    py::gil_scoped_release release;
    loop_.reset();
  }

  void start() {
    if (started_) throw std::runtime_error("a loop runs once: create a new one");
    if (link_.fd < 0) throw py::value_error("the link is closed");
    if (!black_box_object_.is_none() && !black_box_object_.cast<const BlackBox&>().is_open())
      throw py::value_error("the black box is closed");
    link_.port.store(PyLink::Port::kNone);
    loop_->start();
    started_ = true;
  }

  bool wait(double seconds) {
    if (!started_) return true;
    py::gil_scoped_release release;
    const int64_t slice_ns = 100 * kNsPerMs;  // the longest time between two checks for signals of the interpreter
    int64_t left_ns = to_ns(seconds);
    bool over = false;
    do {
      over = loop_->wait(left_ns < slice_ns ? left_ns : slice_ns);
      left_ns -= slice_ns;
      const py::gil_scoped_acquire acquire;
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    } while (!over && left_ns > 0);
    return over;
  }

  py::dict result() {
    {
      py::gil_scoped_release release;
      loop_->join();
    }
    const LoopResult& r = loop_->result();
    return py::dict(
        py::arg("reason") = stop_reason_name(r.reason), py::arg("message") = message(r), py::arg("steps") = r.steps,
        py::arg("episodes") = r.episodes, py::arg("seconds") = static_cast<double>(r.duration_ns) / kNsPerSecond,
        py::arg("mean_return") = r.mean_return, py::arg("confirmed") = r.confirmed, py::arg("counters") = counters(),
        py::arg("link") = link_quality(link_), py::arg("sent_hash") = r.sent_hash,
        py::arg("received_hash") = r.received_hash, py::arg("privileges") = refused(r.privileges),
        py::arg("heap_calls") = r.heap_calls < 0 ? py::object(py::none()) : py::int_(r.heap_calls),
        py::arg("page_faults") = r.page_faults < 0 ? py::object(py::none()) : py::int_(r.page_faults));
  }

  py::object privileges() const {
    const RealtimeReport* report = loop_->privileges();
    return report != nullptr ? py::object(refused(*report)) : py::none();
  }

  py::dict status() const {
    const StatusBoard& b = link_.link.board;
    return py::dict(py::arg("running") = b.running.load(), py::arg("reason") = stop_reason_name(b.reason.load()),
                    py::arg("steps") = b.steps.load(), py::arg("episodes") = b.episodes.load(),
                    py::arg("episode_steps") = b.episode_steps.load(), py::arg("mean_return") = b.mean_return.load(),
                    py::arg("mean_reward") = b.mean_reward.load(), py::arg("device_state") = b.device_state.load(),
                    py::arg("sigma") = b.sigma.load(), py::arg("entropy") = b.entropy.load(),
                    py::arg("check") = b.check.load(), py::arg("homing") = b.homing.load(),
                    py::arg("findings") = b.findings.load(), py::arg("counters") = counters(),
                    py::arg("link") = link_quality(link_));
  }

  py::object take_reward_error() { return std::exchange(reward_.error, py::none()); }

  py::array take_records() { return drain(loop_->records(), dtype_); }
  py::array take_episodes() { return drain(loop_->episodes(), episode_dtype()); }
  py::dtype dtype() const { return dtype_; }

  void ask_snapshot() { loop_->snapshot().ask(); }
  // None, or (learner state, supervisor state, progress, ns that the copy took on the loop's thread).
  py::object take_snapshot() {
    Snapshot& snapshot = loop_->snapshot();
    if (!snapshot.ready()) return py::none();
    const py::bytes state(reinterpret_cast<const char*>(snapshot.bytes()), snapshot.size());
    const py::bytes beside(reinterpret_cast<const char*>(snapshot.extra()), snapshot.extra_size());
    py::tuple taken = py::make_tuple(state, beside, progress_dict(snapshot.progress()), snapshot.copy_ns());
    snapshot.release();
    return std::move(taken);
  }
  py::dict progress() const {
    const auto now = std::make_unique<Progress>();
    loop_->progress(now.get());
    return progress_dict(*now);
  }

  void request_stop() { loop_->request_stop(); }
  void request_estop() { loop_->request_estop(); }
  void set_learning(bool learn, bool explore) { loop_->set_learning(learn, explore); }

 private:
  static py::list refused(const RealtimeReport& report) {
    py::list out;
    for (int i = 0; i < report.count; ++i) out.append(std::string(report.lines[i]));
    return out;
  }

  static py::dict progress_dict(const Progress& p) {
    return py::dict(py::arg("steps") = p.steps, py::arg("episodes") = p.episodes,
                    py::arg("next_episode") = p.next_episode, py::arg("episode_steps") = p.episode_steps,
                    py::arg("seconds") = p.seconds,
                    py::arg("returns") = std::vector<double>(p.last_returns, p.last_returns + p.returns));
  }

  static std::string message(const LoopResult& r) {
    std::string text = r.message;
    if (r.reason == StopReason::kArmRefused && r.ack_status != TL_STATUS_OK)
      text += std::string(" (") + status_text(r.ack_status) + ")";
    return text;
  }

  py::dict counters() const {
    py::dict out = link_counters(link_);
    const LoopCounters& c = loop_->counters();
#define X(name) out[#name] = c.name.get();
    RTU_RUNTIME_LOOP_COUNTERS(X)
#undef X
    if (policy_object_.cast<const Policy&>().counters != nullptr) {
      const SupervisorCounters& supervisor = *policy_object_.cast<const Policy&>().counters;
#define X(name) out[#name] = supervisor.name.get();
      RTU_RUNTIME_SUPERVISOR_COUNTERS(X)
#undef X
    }
    out["records_dropped"] = loop_->records().dropped();
    out["episodes_dropped"] = loop_->episodes().dropped();
    return out;
  }

  // In options["companions"]: (link, session, ttl_ms, age) each. The links are kept.
  void take_companions(const py::dict& d, LoopOptions* o) {
    companions_object_ = d["companions"];
    for (const py::handle& given : companions_object_) {
      if (o->n_companions == kMaxCompanions) throw py::value_error("companions: more than 3");
      const auto [link, session, ttl_ms, age] = given.cast<std::tuple<PyLink*, uint32_t, uint32_t, bool>>();
      if (link->fd < 0) throw py::value_error("companions: a link is closed");
      o->companions[o->n_companions++] = {&link->link, link->hello, session, ttl_ms, age};
    }
  }

  LoopOptions parse(const py::dict& d) {
    LoopOptions o = session_options(d, link_.hello);
    take_companions(d, &o);
    if (const py::dict start = d["start"]; !start.empty()) homing_object_ = start["policy"];
    o.seed = d["seed"].cast<uint64_t>();
    o.first_episode = d["first_episode"].cast<uint32_t>();
    o.learn = d["learn"].cast<bool>();
    o.explore = d["explore"].cast<bool>();
    o.dry_run = d["dry_run"].cast<bool>();
    o.handle_signals = d["handle_signals"].cast<bool>();
    o.steps = d["steps"].cast<uint64_t>();
    o.episodes = d["episodes"].cast<uint64_t>();
    o.duration_ns = to_ns(d["seconds"].cast<double>());
    o.has_target = !d["target_return"].is_none();
    if (o.has_target) o.target_return = d["target_return"].cast<double>();
    o.target_window = d["target_window"].cast<int>();
    o.returns = d["returns"].cast<std::vector<double>>();
    o.snapshots = d["snapshots"].cast<bool>();
    o.max_bad_actions = d["max_bad_actions"].cast<int>();
    o.reconnect_ns = to_ns(d["reconnect_s"].cast<double>());
    o.max_reconnects = d["max_reconnects"].cast<uint64_t>();
    pose_ = d["reconnect_pose"].cast<std::vector<float>>();
    if (!pose_.empty()) o.pose = pose_.data();
    o.reopen = {&link_, PyLink::is_open};
    drops_ = d["drop_updates"].cast<std::vector<uint64_t>>();
    o.drops = drops_.data();
    o.n_drops = drops_.size();
    o.ring_records = d["ring_records"].cast<size_t>();
    o.ring_episodes = d["ring_episodes"].cast<size_t>();
    o.realtime.realtime = d["realtime"].cast<bool>();
    o.realtime.cpu = d["cpu"].cast<int>();
    o.hash_every = d["hash_every"].cast<uint64_t>();
    black_box_object_ = d["black_box"];
    if (!black_box_object_.is_none()) o.black_box = black_box_object_.cast<BlackBox*>();
    if (o.black_box != nullptr && o.black_box->record_bytes() != record_stride(n_, m_))
      throw py::value_error("black_box: its records are of another size than this device's");
    take_over_object_ = d["take_over"];
    if (!take_over_object_.is_none()) o.take_over = take_over_object_.cast<PyTakeOver&>().native();
    const py::dict reward = d["reward"];
    o.reward = reward_form(reward);
    reward_.function = reward["function"];
    o.reward.self = &reward_;
    o.reward.function = PyReward::evaluate;
    o.reward.failed = &reward_.failed;
    return o;
  }

  py::object link_object_;
  py::object policy_object_;
  py::object black_box_object_ = py::none();
  py::object companions_object_ = py::none();
  int n_ = 0;
  int m_ = 0;
  py::object homing_object_ = py::none();
  py::object take_over_object_ = py::none();
  PyLink& link_;
  PyReward reward_;
  std::vector<uint64_t> drops_;
  std::vector<float> pose_;
  py::dtype dtype_;
  bool started_ = false;
  std::unique_ptr<Loop> loop_;
};

struct PySignals {
  bool caught_here = false;
  void enter() {
    if (!caught_here) catch_signals();
    caught_here = true;
  }
  void leave() {
    if (caught_here) release_signals();
    caught_here = false;
  }
};

}  // namespace
}  // namespace rtu::bindings

void bind_loop(py::module_& m) {
  using namespace rtu::bindings;
  py::class_<PyLoop>(m, "Loop")
      .def(py::init<py::object, py::object, const py::dict&>(), py::arg("link"), py::arg("policy"), py::arg("options"))
      .def("start", one_at_a_time(&PyLoop::start))
      .def("wait", one_at_a_time(&PyLoop::wait))
      .def("result", one_at_a_time(&PyLoop::result))
      .def("status", one_at_a_time(&PyLoop::status))
      .def("privileges", one_at_a_time(&PyLoop::privileges))
      .def("drain", one_at_a_time(&PyLoop::take_records))
      .def("drain_episodes", one_at_a_time(&PyLoop::take_episodes))
      .def("dtype", one_at_a_time(&PyLoop::dtype))
      .def("ask_snapshot", one_at_a_time(&PyLoop::ask_snapshot))
      .def("take_snapshot", one_at_a_time(&PyLoop::take_snapshot))
      .def("progress", one_at_a_time(&PyLoop::progress))
      .def("take_reward_error", one_at_a_time(&PyLoop::take_reward_error))
      // These wait for no other call.
      .def("request_stop", &PyLoop::request_stop)
      .def("request_estop", &PyLoop::request_estop)
      .def("set_learning", &PyLoop::set_learning);

  py::class_<PySignals>(m, "Signals")
      .def(py::init<>())
      .def("enter", one_at_a_time(&PySignals::enter))
      .def("leave", one_at_a_time(&PySignals::leave))
      .def("count", [](const PySignals&) { return signals_caught(); });

  m.def("episode_dtype", &episode_dtype);
  m.def("record_dtype", &record_dtype, py::arg("n"), py::arg("m"));
  m.def("episode_seed", &episode_seed);
  m.def("evaluate_reward", &evaluate_reward);
}
