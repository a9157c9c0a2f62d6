// The device's clock against ours: offset and drift from PING and PONG. Arithmetic on times that are passed
// in.
//
// A PONG brings t0 (ours, when PING left), t1 and t2 (the device's, when PING arrived and PONG left); t3 is ours, when
// it arrived. The round trip is (t3 - t0) - (t2 - t1), and half of it bounds the error of the offset
// ((t1 - t0) + (t2 - t3)) / 2. Queueing only adds to a round trip, so the sample with the shortest one is kept for each
// second, and a line is fitted through the last 32 seconds: its slope is the median of the slopes of all pairs (Theil
// and Sen), its intercept the median of the residuals, so that up to a quarter of the samples may be wrong. An
// asymmetric delay cannot be detected by an exchange of time stamps: half of the difference remains in the offset.
#pragma once

#include <stdint.h>

#include "native/runtime/clock.h"

namespace rtu::runtime::link {

class ClockFit {
 public:
  static constexpr int kSeconds = 32;

  // Takes a PONG that arrived at t3_ns. Returns its round trip in ns, or -1 for impossible times: then nothing has
  // changed. The device's clock may wrap at 32 bits.
  int64_t add(int64_t t0_ns, uint64_t t1_us, uint64_t t2_us, int64_t t3_ns) noexcept;

  // True when a second has passed since the last fit() and there is a new sample. The fit takes some microseconds.
  bool due(int64_t now_ns) const noexcept { return fresh_ && (!known_ || now_ns - fitted_ns_ >= kNsPerS); }
  void fit(int64_t now_ns) noexcept;

  bool known() const noexcept { return known_; }            // an offset
  bool drift_known() const noexcept { return has_drift_; }  // needs some seconds
  double drift_ppm() const noexcept { return drift_ * 1e6; }
  int64_t round_trip_min_ns() const noexcept { return round_trip_min_ns_; }  // of the samples kept
  int64_t offset_ns(int64_t host_ns) const noexcept;                         // device minus host, at a time of ours

  // From one clock to the other. The device's time is 32 bits of microseconds, as frames carry it, and near now.
  uint32_t device_us(int64_t host_ns) const noexcept;
  int64_t host_ns(uint32_t device_us, int64_t now_ns) const noexcept;

 private:
  struct Sample {
    int64_t host_ns;  // in the middle of the exchange
    int64_t offset_ns;
    int64_t round_trip_ns;
  };
  // The window: the completed seconds, and the current one.
  const Sample& at(int i) const noexcept { return samples_[(first_ + i) % kRoom]; }

  static constexpr int kRoom = kSeconds + 1;
  Sample samples_[kRoom];
  int first_ = 0;
  int count_ = 0;
  int64_t second_ns_ = 0;  // start of the current second
  int64_t device_us_ = 0;  // of the last t1, unwrapped
  bool fresh_ = false;
  bool known_ = false;
  bool has_drift_ = false;
  int64_t fitted_ns_ = 0;
  int64_t origin_ns_ = 0;  // time at which the line has the value offset_
  int64_t offset_ = 0;
  double drift_ = 0;
  int64_t round_trip_min_ns_ = 0;
};

}  // namespace rtu::runtime::link
