// A simulated device in place of a port: the firmware's bridge and plant on a virtual clock, with a line that can lose,
// damage and repeat frames. Waiting advances the clock to the device's next tick, so that hours are simulated in
// seconds.
#pragma once

#include <stdint.h>
#include <string.h>

#include <functional>
#include <vector>

#include "check.h"
#include "firmware_bridge/bridge/bridge.h"
#include "native/runtime/clock.h"
#include "native/runtime/link/wire.h"

struct SimDevice {
  rtu::runtime::VirtualClock clock;
  tl_bridge bridge;
  tl_bridge_config config{};
  std::vector<uint8_t> plant_state;
  std::vector<uint8_t> to_host;
  // Fault of a frame in transit: the number of copies that arrive (0: lost). Default 1.
  std::function<int()> up = [] { return 1; };
  std::function<int()> down = [] { return 1; };
  std::function<void(tl_frame*)> lie;         // modifies the device's output before it is sent
  std::function<void(const tl_frame&)> seen;  // called for each frame from the host
  bool deaf = false;                          // receives nothing from the host, but still sends
  bool gone = false;
  uint64_t frames_up = 0;
  uint64_t frames_down = 0;

  explicit SimDevice(const char* plant, uint32_t boot_id = 1, const float* slew = nullptr) {
    config.plant = tl_plant_find(plant);
    CHECK(config.plant != nullptr);
    plant_state.resize(config.plant->state_bytes + 64);
    config.plant_state = plant_state.data();
    config.slew = slew;
    config.boot_id = boot_id;
    config.caps = TL_CAP_SIMULATED | TL_CAP_LOCKSTEP | TL_CAP_REWARD | TL_CAP_RESET;
    config.send = [](void* self, const uint8_t* bytes, size_t n) { static_cast<SimDevice*>(self)->push(bytes, n); };
    config.send_context = this;
    boot();
  }

  void boot() { CHECK(tl_bridge_init(&bridge, &config, now_us())); }
  void restart(uint32_t boot_id) {
    config.boot_id = boot_id;
    to_host.clear();
    boot();
  }

  uint64_t now_us() const { return static_cast<uint64_t>(clock.t_ns / 1000); }

  void push(const uint8_t* bytes, size_t n) {
    ++frames_down;
    uint8_t changed[TL_WIRE_MAX];
    tl_frame frame;
    if (lie && decoded(bytes, n, &frame)) {
      lie(&frame);
      n = tl_frame_encode(&frame, changed);
      bytes = changed;
    }
    for (int copies = down(); copies > 0; --copies) to_host.insert(to_host.end(), bytes, bytes + n);
  }

  static bool decoded(const uint8_t* bytes, size_t n, tl_frame* frame) {
    tl_decoder decoder;
    tl_decoder_init(&decoder);
    const uint8_t* at = bytes;
    return tl_decoder_next(&decoder, &at, bytes + n, frame);
  }

  // The device has its own clock: processes everything that was due up to now.
  void catch_up() {
    while (tl_bridge_due(&bridge) <= now_us()) tl_bridge_tick(&bridge, tl_bridge_due(&bridge));
  }

  rtu::runtime::link::Wire wire() {
    return {
        this,
        [](void* self, uint8_t* out, size_t room) noexcept { return static_cast<SimDevice*>(self)->read(out, room); },
        [](void* self, const uint8_t* data, size_t n) noexcept {
          return static_cast<SimDevice*>(self)->write(data, n);
        },
        [](void* self, int64_t deadline_ns, bool for_write) noexcept {
          return static_cast<SimDevice*>(self)->wait(deadline_ns, for_write);
        }};
  }

  ptrdiff_t read(uint8_t* out, size_t room) {
    if (gone) return -1;
    catch_up();
    const size_t n = to_host.size() < room ? to_host.size() : room;
    if (n > 0) memcpy(out, to_host.data(), n);
    to_host.erase(to_host.begin(), to_host.begin() + static_cast<ptrdiff_t>(n));
    return static_cast<ptrdiff_t>(n);
  }

  ptrdiff_t write(const uint8_t* data, size_t n) {
    if (gone) return -1;
    catch_up();
    ++frames_up;
    tl_frame frame;
    if (seen && decoded(data, n, &frame)) seen(frame);
    if (deaf) return static_cast<ptrdiff_t>(n);
    for (int copies = up(); copies > 0; --copies) tl_bridge_receive(&bridge, data, n, now_us());
    return static_cast<ptrdiff_t>(n);
  }

  int wait(int64_t deadline_ns, bool for_write) {
    if (gone) return -1;
    if (for_write) return 1;
    for (;;) {
      catch_up();
      if (!to_host.empty()) return 1;
      if (clock.t_ns >= deadline_ns) return 0;
      const int64_t due_ns = static_cast<int64_t>(tl_bridge_due(&bridge)) * 1000;
      clock.t_ns = due_ns < deadline_ns ? due_ns : deadline_ns;
    }
  }
};
