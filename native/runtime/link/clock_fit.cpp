#include "native/runtime/link/clock_fit.h"

#include <algorithm>

namespace rtu::runtime::link {
namespace {

constexpr int64_t kHeldMaxUs = 1000 * 1000;    // a device that keeps a PING longer has been stopped
constexpr int64_t kJumpNs = kNsPerS;           // larger than any drift: device or host was suspended or restarted
constexpr int64_t kDriftSpanNs = 2 * kNsPerS;  // a slope over a shorter time is noise
constexpr int kPairs = ClockFit::kSeconds * (ClockFit::kSeconds + 1) / 2;

double median(double* values, int count) noexcept {
  std::nth_element(values, values + count / 2, values + count);
  return values[count / 2];
}

}  // namespace

int64_t ClockFit::add(int64_t t0_ns, uint64_t t1_us, uint64_t t2_us, int64_t t3_ns) noexcept {
  const int64_t held_us = static_cast<uint32_t>(t2_us - t1_us);
  const int64_t round_trip_ns = t3_ns - t0_ns - held_us * kNsPerUs;
  // The device counts whole microseconds: on one host a round trip can appear to take -1 us.
  if (t3_ns < t0_ns || held_us > kHeldMaxUs || round_trip_ns < -kNsPerUs) return -1;
  const auto low = static_cast<uint32_t>(t1_us);
  device_us_ = count_ == 0 ? low : device_us_ + static_cast<int32_t>(low - static_cast<uint32_t>(device_us_));
  const int64_t middle_ns = t0_ns + (t3_ns - t0_ns) / 2;
  const int64_t offset = (device_us_ * 2 + held_us) * (kNsPerUs / 2) - middle_ns;
  if (count_ > 0) {
    const int64_t before = known_ ? offset_ns(middle_ns) : at(count_ - 1).offset_ns;
    if (offset - before > kJumpNs || before - offset > kJumpNs) {
      *this = ClockFit{};
      device_us_ = low;
      return add(t0_ns, t1_us, t2_us, t3_ns);
    }
  }
  const Sample sample{middle_ns, offset, round_trip_ns > 0 ? round_trip_ns : 0};
  fresh_ = true;
  if (count_ == 0 || middle_ns - second_ns_ >= kNsPerS) {
    second_ns_ = middle_ns;
    if (count_ == kRoom) {
      first_ = (first_ + 1) % kRoom;
    } else {
      ++count_;
    }
    samples_[(first_ + count_ - 1) % kRoom] = sample;
  } else if (sample.round_trip_ns <= at(count_ - 1).round_trip_ns) {
    samples_[(first_ + count_ - 1) % kRoom] = sample;
  }
  return sample.round_trip_ns;
}

void ClockFit::fit(int64_t now_ns) noexcept {
  if (count_ == 0) return;
  double values[kPairs];
  int pairs = 0;
  const Sample& newest = at(count_ - 1);
  has_drift_ = newest.host_ns - at(0).host_ns >= kDriftSpanNs;
  for (int i = 0; has_drift_ && i < count_; ++i) {
    for (int j = i + 1; j < count_; ++j) {
      const int64_t apart_ns = at(j).host_ns - at(i).host_ns;
      if (apart_ns <= 0) continue;
      values[pairs++] = static_cast<double>(at(j).offset_ns - at(i).offset_ns) / static_cast<double>(apart_ns);
    }
  }
  drift_ = pairs > 0 ? median(values, pairs) : 0;
  origin_ns_ = newest.host_ns;
  round_trip_min_ns_ = newest.round_trip_ns;
  for (int i = 0; i < count_; ++i) {
    const Sample& s = at(i);
    values[i] =
        static_cast<double>(s.offset_ns - newest.offset_ns) - drift_ * static_cast<double>(s.host_ns - newest.host_ns);
    round_trip_min_ns_ = std::min(round_trip_min_ns_, s.round_trip_ns);
  }
  offset_ = newest.offset_ns + static_cast<int64_t>(median(values, count_));
  known_ = true;
  fresh_ = false;
  fitted_ns_ = now_ns;
}

int64_t ClockFit::offset_ns(int64_t host_ns) const noexcept {
  return offset_ + static_cast<int64_t>(drift_ * static_cast<double>(host_ns - origin_ns_));
}

uint32_t ClockFit::device_us(int64_t host_ns) const noexcept {
  return static_cast<uint32_t>((host_ns + offset_ns(host_ns)) / kNsPerUs);
}

int64_t ClockFit::host_ns(uint32_t device_us, int64_t now_ns) const noexcept {
  const auto ahead_us = static_cast<int32_t>(device_us - this->device_us(now_ns));
  return now_ns + static_cast<int64_t>(static_cast<double>(ahead_us) * static_cast<double>(kNsPerUs) / (1 + drift_));
}

}  // namespace rtu::runtime::link
