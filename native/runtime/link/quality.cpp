#include "native/runtime/link/quality.h"

#include <cmath>
#include <limits>

#include "firmware_bridge/protocol/learner.h"

namespace rtu::runtime::link {
namespace {

constexpr int64_t kPingEveryNs = 20 * kNsPerMs;
constexpr int64_t kParamEveryNs = 100 * kNsPerMs;
constexpr uint64_t kPongMaxUs = 2 * 1000 * 1000;  // older than this: not an answer to the current request
constexpr uint16_t kGapMax = 4096;                // a wider gap is another counter, such as after a restart
constexpr uint16_t kBackMax = 256;

double to_us(int64_t ns) noexcept { return static_cast<double>(ns) * 1e-3; }

void raise(Gauge* gauge, double v) noexcept {
  if (!(gauge->get() >= v)) gauge->set(v);
}

}  // namespace

Gauge::Gauge() noexcept : v_(std::numeric_limits<double>::quiet_NaN()) {}

void LinkMeter::begin(bool lockstep) noexcept {
  lockstep_ = lockstep;
  for (Command& command : commands_) command.used = false;
}

void LinkMeter::received(const tl_frame& frame, int64_t at_ns) noexcept {
  count_seq(frame);
  tl_pong answer;
  tl_param number;
  if (frame.type == TL_TYPE_PONG && tl_pong_unpack(&frame, &answer)) pong(answer, at_ns);
  if (frame.type == TL_TYPE_PARAM && tl_param_unpack(&frame, &number)) param(number);
}

// The bridge counts all its frames and restarts at arming and boot. A learner on the board counts separately.
void LinkMeter::count_seq(const tl_frame& frame) noexcept {
  if (frame.type == TL_TYPE_LEARNER) return;
  tl_ack ack;
  const bool armed =
      frame.type == TL_TYPE_ACK && tl_ack_unpack(&frame, &ack) && ack.type == TL_TYPE_ARM && ack.status == TL_STATUS_OK;
  const bool begins = armed || (frame.type == TL_TYPE_HELLO && frame.seq == 0);
  const auto ahead = static_cast<uint16_t>(frame.seq - seq_);
  if (any_seq_ && !begins) {
    if (static_cast<uint16_t>(-ahead) < kBackMax) {
      ++quality.repeated_in;
      return;
    }
    if (ahead <= kGapMax) quality.lost_in += static_cast<uint64_t>(ahead - 1);
  }
  any_seq_ = true;
  seq_ = frame.seq;
}

void LinkMeter::pong(const tl_pong& pong, int64_t at_ns) noexcept {
  const auto now_us = static_cast<uint64_t>(at_ns / kNsPerUs);
  // t0 is the host's own value, returned. An unknown or repeated one is discarded.
  if (pong.t0_us <= answered_us_ || pong.t0_us > now_us || now_us - pong.t0_us > kPongMaxUs) return;
  const int64_t round_trip_ns = fit_.add(static_cast<int64_t>(pong.t0_us) * kNsPerUs, pong.t1_us, pong.t2_us, at_ns);
  if (round_trip_ns < 0) return;
  answered_us_ = pong.t0_us;
  ++quality.pongs;
  round_trip_ns_ = round_trip_ns > 0 ? round_trip_ns : 1;
  quality.round_trip_us.set(to_us(round_trip_ns));
  raise(&quality.round_trip_max_us, to_us(round_trip_ns));
  // The next fit detects it too; until then the published values are consistent. False while nothing is known.
  if (to_us(round_trip_ns) < quality.round_trip_min_us.get()) quality.round_trip_min_us.set(to_us(round_trip_ns));
  if (before_ns_ >= 0) {
    jitter_ns_ += (std::fabs(static_cast<double>(round_trip_ns - before_ns_)) - jitter_ns_) / 16;
    quality.jitter_us.set(jitter_ns_ * 1e-3);
  }
  before_ns_ = round_trip_ns;
}

void LinkMeter::param(const tl_param& param) noexcept {
  if (param.op != TL_PARAM_IS || param.kind != TL_PARAM_U32 || param.index >= TL_COUNTER_COUNT) return;
  quality.device[param.index].set(param.bits);
  if (param.index != TL_COUNTER_FRAMES || sent_at_param_ == 0) return;
  // The line preserves order: frames sent before the request are counted in its answer, or never will be.
  if (!counted_ || param.bits < heard_base_) {
    counted_ = true;
    sent_base_ = sent_at_param_;
    heard_base_ = param.bits;
  }
  const uint64_t sent = sent_at_param_ - sent_base_;
  const uint64_t heard = param.bits - heard_base_;  // more than were sent, if another process sends too
  if (sent > heard && sent - heard > quality.lost_out.get()) quality.lost_out.set(sent - heard);
  sent_at_param_ = 0;
}

void LinkMeter::command(uint16_t seq, uint32_t obs_t_us) noexcept {
  commands_[next_command_] = {seq, obs_t_us, true};
  next_command_ = (next_command_ + 1) % kCommands;
}

uint32_t LinkMeter::state(const tl_state& state, uint32_t t_us, int64_t at_ns) noexcept {
  if (!lockstep_ && fit_.known()) quality.state_delay_us.set(to_us(at_ns - fit_.host_ns(t_us, at_ns)));
  if (state.cmd_age_ms == TL_AGE_NONE) return UINT32_MAX;
  for (int i = 1; i <= kCommands; ++i) {
    const Command& command = commands_[(next_command_ + kCommands - i) % kCommands];
    if (!command.used) break;
    if (command.seq != state.last_cmd_seq) continue;
    const uint32_t age_us = t_us - command.obs_t_us;
    quality.command_age_us.set(age_us);
    raise(&quality.command_age_max_us, age_us);
    return age_us;
  }
  return UINT32_MAX;
}

void LinkMeter::update_estimates(int64_t now_ns, const record::LinkCounters& counters) noexcept {
  if (now_ns - rates_ns_ >= kNsPerS) rates(now_ns, counters);
  if (!fit_.due(now_ns)) return;
  fit_.fit(now_ns);
  quality.offset_us.set(to_us(fit_.offset_ns(now_ns)));
  quality.round_trip_min_us.set(to_us(fit_.round_trip_min_ns()));
  if (fit_.drift_known()) quality.drift_ppm.set(fit_.drift_ppm());
}

bool LinkMeter::ask(int64_t now_ns, uint64_t frames_sent, tl_frame* out) noexcept {
  if (lockstep_) return false;
  if (now_ns - ping_ns_ >= kPingEveryNs * 9 / 10) {
    const tl_ping ping{static_cast<uint64_t>(now_ns / kNsPerUs)};
    tl_ping_pack(&ping, out);
    ping_ns_ = now_ns;
    ++quality.pings;
    return true;
  }
  if (now_ns - param_ns_ < kParamEveryNs) return false;
  param_ns_ = now_ns;
  tl_param number{};
  number.op = TL_PARAM_READ;
  number.index = ask_frames_ ? static_cast<uint16_t>(TL_COUNTER_FRAMES) : param_;
  if (ask_frames_) {
    sent_at_param_ = frames_sent + 1;
  } else {
    param_ = static_cast<uint16_t>((param_ + 1) % TL_COUNTER_COUNT);
    sent_at_param_ = 0;
  }
  ask_frames_ = !ask_frames_;
  tl_param_pack(&number, out);
  return true;
}

void LinkMeter::rates(int64_t now_ns, const record::LinkCounters& counters) noexcept {
  const uint64_t now[4] = {counters.frames_received.get(), counters.frames_sent.get(), counters.bytes_received.get(),
                           counters.bytes_sent.get()};
  Gauge* const gauges[4] = {&quality.frames_in_per_s, &quality.frames_out_per_s, &quality.bytes_in_per_s,
                            &quality.bytes_out_per_s};
  const double seconds = static_cast<double>(now_ns - rates_ns_) * 1e-9;
  for (int i = 0; i < 4; ++i) {
    if (rates_ns_ != 0) gauges[i]->set(static_cast<double>(now[i] - rate_base_[i]) / seconds);
    rate_base_[i] = now[i];
  }
  rates_ns_ = now_ns;
}

int64_t LinkMeter::take_round_trip() noexcept {
  const int64_t taken = round_trip_ns_;
  round_trip_ns_ = 0;
  return taken;
}

}  // namespace rtu::runtime::link
