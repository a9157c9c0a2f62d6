// The telemetry ring between two threads. Also run under ThreadSanitizer.
#include <thread>

#include "native/runtime/record/ring.h"
#include "sim_device.h"

using namespace rtu::runtime;
using namespace rtu::runtime::record;

namespace {

struct Record {
  uint64_t number;
  uint64_t check;
  uint8_t pad[56];
};

void what_is_taken_is_whole_and_in_order() {
  RecordRing ring(100, sizeof(Record));
  CHECK(ring.capacity() == 128);
  constexpr uint64_t kCount = 300000;
  std::thread producer([&] {
    for (uint64_t i = 0; i < kCount; ++i) {
      uint8_t* room = ring.reserve();
      if (room == nullptr) continue;
      const Record record{i, i * 0x9E3779B97F4A7C15u, {}};
      memcpy(room, &record, sizeof record);
      ring.commit();
    }
  });
  uint64_t taken = 0;
  uint64_t next = 0;
  std::vector<uint8_t> out(128 * sizeof(Record));
  const auto take = [&] {
    const size_t count = ring.available();
    CHECK(count <= 128);
    ring.take(out.data(), count);
    for (size_t i = 0; i < count; ++i) {
      Record record;
      memcpy(&record, out.data() + i * sizeof record, sizeof record);
      CHECK(record.number >= next && record.check == record.number * 0x9E3779B97F4A7C15u);
      next = record.number + 1;
    }
    taken += count;
  };
  while (taken + ring.dropped() < kCount) take();
  producer.join();
  take();
  CHECK(taken + ring.dropped() == kCount);
}

void a_full_ring_drops_the_new_and_counts() {
  RecordRing ring(4, 8);
  for (uint64_t i = 0; i < 10; ++i) {
    uint8_t* room = ring.reserve();
    CHECK((room != nullptr) == (i < 4));
    if (room == nullptr) continue;
    memcpy(room, &i, 8);
    ring.commit();
  }
  CHECK(ring.dropped() == 6 && ring.available() == 4);
  uint64_t out[4];
  ring.take(reinterpret_cast<uint8_t*>(out), 4);
  for (uint64_t i = 0; i < 4; ++i) CHECK(out[i] == i);
  CHECK(ring.reserve() != nullptr);
}

}  // namespace

int main() {
  what_is_taken_is_whole_and_in_order();
  a_full_ring_drops_the_new_and_counts();
  return 0;
}
