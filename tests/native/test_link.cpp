// The host's end of the link against the firmware's own bridge, over a line that loses frames.
#include "native/runtime/link/link.h"

#include "firmware_bridge/protocol/schema.h"
#include "sim_device.h"

using namespace rtu::runtime;
using namespace rtu::runtime::link;

namespace {

void shakes_hands_through_boot_noise() {
  SimDevice device("cartpole", 77);
  const char* noise = "\r\nbooting v2\xFF\x01\x03...\r\n";
  device.to_host.assign(noise, noise + strlen(noise));
  Link link(device.wire(), device.clock.clock(), 0);
  tl_hello hello;
  CHECK(link.hello(3 * kNsPerS, &hello) == LinkStatus::kOk);
  CHECK(hello.boot_id == 77 && hello.observation_size == 2 && hello.action_size == 1 && hello.period_us == 20000);
  CHECK(link.known.boot_id == 77 && !link.another);
}

void gives_up_on_silence_in_time() {
  SimDevice device("cartpole");
  device.up = [] { return 0; };
  device.down = [] { return 0; };
  Link link(device.wire(), device.clock.clock(), 0);
  tl_hello hello;
  CHECK(link.hello(3 * kNsPerS, &hello) == LinkStatus::kTimeout);
  CHECK(device.clock.t_ns >= 3 * kNsPerS && device.clock.t_ns < 31 * kNsPerS / 10);
}

void reads_the_sheet_and_checks_it() {
  for (int lossy = 0; lossy < 2; ++lossy) {
    SimDevice device("cartpole-full");
    uint32_t random = 1;
    if (lossy) device.down = [&] { return (random = random * 1664525u + 1013904223u) >> 30 == 0 ? 0 : 1; };
    Link link(device.wire(), device.clock.clock(), 0);
    tl_hello hello;
    tl_row rows[TL_VALUES_MAX];
    CHECK(link.hello(3 * kNsPerS, &hello) == LinkStatus::kOk);
    CHECK(link.describe(hello, 3 * kNsPerS, rows) == LinkStatus::kOk);
    CHECK(rows[4].actuator == 1 && rows[4].min == -10 && rows[4].max == 10);
    hello.schema_hash ^= 1;
    CHECK(link.describe(hello, 3 * kNsPerS, rows) == LinkStatus::kSchema);
  }
}

void arms_once_though_the_answer_is_lost() {
  SimDevice device("cartpole");
  Link link(device.wire(), device.clock.clock(), 0);
  tl_hello hello;
  CHECK(link.hello(3 * kNsPerS, &hello) == LinkStatus::kOk);
  int count = 0;
  device.down = [&] { return ++count == 1 ? 0 : 1; };
  CHECK(link.arm(5, true, kNsPerS) == LinkStatus::kOk);
  CHECK(device.bridge.state == TL_STATE_ARMED && device.bridge.session == 5);
  CHECK(link.last_session == 5);
  CHECK(link.disarm(kNsPerS) == LinkStatus::kOk);
  CHECK(device.bridge.state == TL_STATE_DISARMED);
  CHECK(link.arm(5, true, kNsPerS) == LinkStatus::kRefused);  // used up
  CHECK(link.last_ack_status == TL_STATUS_SESSION);
}

void stops_only_when_state_says_so() {
  SimDevice device("cartpole");
  int count = 0;
  device.up = [&] { return ++count % 4 == 0 ? 1 : 0; };  // three of four requests are lost
  Link link(device.wire(), device.clock.clock(), 0);
  CHECK(link.estop(2 * kNsPerS));
  CHECK(device.bridge.state == TL_STATE_ESTOP);
  CHECK(link.arm(1, false, kNsPerS) == LinkStatus::kTimeout || link.last_ack_status == TL_STATUS_LATCHED);
  device.up = [] { return 1; };
  CHECK(link.arm(1, false, kNsPerS) == LinkStatus::kRefused && link.last_ack_status == TL_STATUS_LATCHED);
  CHECK(link.clear_fault(kNsPerS) == LinkStatus::kOk);
  CHECK(link.arm(2, false, kNsPerS) == LinkStatus::kOk);
  // The request reaches the device, but its answer does not reach the host: no success.
  device.down = [] { return 0; };
  CHECK(!link.estop(kNsPerS));
  CHECK(device.bridge.state == TL_STATE_ESTOP);
}

// A process that cannot be ended reads the same port, and reads the input first.
void stops_though_another_reads_the_port() {
  struct Shared {
    SimDevice device{"cartpole"};
    int taken = 0;
  } shared;
  const Wire wire{&shared,
                  [](void* self, uint8_t* out, size_t room) noexcept {
                    auto* s = static_cast<Shared*>(self);
                    const ptrdiff_t n = s->device.read(out, room);
                    return n > 0 && ++s->taken <= 40 ? ptrdiff_t{0} : n;
                  },
                  [](void* self, const uint8_t* data, size_t n) noexcept {
                    return static_cast<Shared*>(self)->device.write(data, n);
                  },
                  [](void* self, int64_t deadline_ns, bool for_write) noexcept {
                    return static_cast<Shared*>(self)->device.wait(deadline_ns, for_write);
                  }};
  Link link(wire, shared.device.clock.clock(), 0);
  CHECK(link.estop(5 * kNsPerS));
  CHECK(shared.taken > 40 && shared.device.bridge.state == TL_STATE_ESTOP);
  shared.device.gone = true;
  CHECK(!link.estop(kNsPerS));
}

void sees_a_restart() {
  SimDevice device("cartpole", 1);
  Link link(device.wire(), device.clock.clock(), 0);
  tl_hello hello;
  tl_frame frame;
  CHECK(link.hello(3 * kNsPerS, &hello) == LinkStatus::kOk);
  device.restart(2);
  for (int i = 0; i < 10; ++i) CHECK(link.receive(&frame, device.clock.t_ns + kNsPerS) == 1);
  CHECK(link.another);
}

// A boot_id of 0 is valid, and two boards may have the same boot_id.
void sees_another_device() {
  for (int what = 0; what < 4; ++what) {
    SimDevice device(what == 3 ? "joint" : "cartpole", 0);
    Link link(device.wire(), device.clock.clock(), 0);
    tl_hello hello;
    tl_frame frame;
    CHECK(link.hello(3 * kNsPerS, &hello) == LinkStatus::kOk && !link.another);
    tl_row rows[8];
    static const float slew[] = {1.0f};
    if (what > 0) CHECK(link.describe(hello, kNsPerS, rows) == LinkStatus::kOk);
    if (what == 3) device.config.slew = slew;  // another data sheet, which only the hash shows
    if (what == 2) device.config.caps &= static_cast<uint16_t>(~TL_CAP_SIMULATED);
    device.restart(what == 0 ? 1 : 0);
    for (int i = 0; i < 10; ++i) CHECK(link.receive(&frame, device.clock.t_ns + kNsPerS) == 1);
    CHECK(link.another == (what != 1));
  }
}

// The first ARM is lost, as the device restarts on it or is exchanged: the second one would arm the device that is
// connected now.
void arms_no_device_that_appears_meanwhile() {
  for (int what = 0; what < 2; ++what) {
    SimDevice device("cartpole", 0);
    Link link(device.wire(), device.clock.clock(), 0);
    tl_hello hello;
    CHECK(link.hello(3 * kNsPerS, &hello) == LinkStatus::kOk);
    int arms = 0;
    device.seen = [&](const tl_frame& sent) {
      device.deaf = sent.type == TL_TYPE_ARM && ++arms == 1;
      if (!device.deaf) return;
      if (what == 1) device.config.ttl_max_ms = 100;
      device.restart(what == 0 ? 1 : 0);
    };
    CHECK(link.arm(1, false, kNsPerS) == LinkStatus::kAnother);
    CHECK(device.bridge.state != TL_STATE_ARMED && device.bridge.last_session == 0);
    CHECK(link.hello(3 * kNsPerS, &hello) == LinkStatus::kOk);
    CHECK(link.arm(1, false, kNsPerS) == LinkStatus::kOk);
  }
}

void says_when_the_port_is_gone() {
  SimDevice device("cartpole");
  Link link(device.wire(), device.clock.clock(), 0);
  device.gone = true;
  tl_hello hello;
  CHECK(link.hello(3 * kNsPerS, &hello) == LinkStatus::kGone);
  CHECK(!link.estop(kNsPerS));
}

// A wire that accepts a few bytes and then nothing for a while.
struct Narrow {
  size_t room;
  std::vector<uint8_t> out;
};

void a_frame_cut_short_costs_only_itself() {
  Narrow narrow{5, {}};
  VirtualClock clock;
  const Wire wire{&narrow, [](void*, uint8_t*, size_t) noexcept { return ptrdiff_t{0}; },
                  [](void* self, const uint8_t* data, size_t n) noexcept {
                    auto* w = static_cast<Narrow*>(self);
                    const size_t taken = n < w->room ? n : w->room;
                    w->out.insert(w->out.end(), data, data + taken);
                    w->room -= taken;
                    return static_cast<ptrdiff_t>(taken);
                  },
                  [](void*, int64_t, bool) noexcept { return 0; }};
  Link link(wire, clock.clock(), 0);
  tl_frame frame;
  Encoded encoded;
  tl_empty_pack(TL_TYPE_DISARM, &frame);
  link.encode(&frame, 1, &encoded);
  CHECK(!link.transmit(encoded, 0));
  CHECK(!link.transmit(encoded, 0));
  narrow.room = 1000;
  CHECK(link.transmit(encoded, 0));
  CHECK(link.counters().write_short.get() == 2);
  tl_decoder decoder;
  tl_decoder_init(&decoder);
  const uint8_t* p = narrow.out.data();
  CHECK(tl_decoder_next(&decoder, &p, p + narrow.out.size(), &frame) && frame.type == TL_TYPE_DISARM);
}

// A line that is never silent, such as one at another baud rate: 64 bytes of noise at every read.
void noise_does_not_hold_it_up() {
  VirtualClock clock;
  const Wire wire{&clock,
                  [](void* self, uint8_t* out, size_t) noexcept {
                    auto* time = static_cast<VirtualClock*>(self);
                    time->advance(640 * kNsPerUs);  // 1 Mbaud
                    memset(out, 0x55, 64);
                    return time->t_ns < 60 * kNsPerS ? ptrdiff_t{64} : ptrdiff_t{-1};
                  },
                  [](void*, const uint8_t*, size_t n) noexcept { return static_cast<ptrdiff_t>(n); },
                  [](void*, int64_t, bool) noexcept { return 1; }};
  Link link(wire, clock.clock(), 0);
  tl_frame frame;
  tl_hello hello;
  CHECK(link.receive(&frame, 20 * kNsPerMs) == 0);
  CHECK(clock.t_ns >= 20 * kNsPerMs && clock.t_ns < 40 * kNsPerMs);
  link.discard_input();
  CHECK(clock.t_ns < 60 * kNsPerMs);
  CHECK(link.hello(kNsPerS, &hello) == LinkStatus::kTimeout);
  CHECK(!link.estop(kNsPerS));
  CHECK(clock.t_ns < 5 * kNsPerS / 2);
}

// RX connected to TX: each request is echoed, and nothing else arrives.
struct Loopback {
  VirtualClock clock;
  std::vector<uint8_t> line;
  int frames = 0;

  Wire wire() {
    return {this,
            [](void* self, uint8_t* out, size_t room) noexcept {
              auto* l = static_cast<Loopback*>(self);
              const size_t n = l->line.size() < room ? l->line.size() : room;
              if (n > 0) memcpy(out, l->line.data(), n);
              l->line.erase(l->line.begin(), l->line.begin() + static_cast<ptrdiff_t>(n));
              return static_cast<ptrdiff_t>(n);
            },
            [](void* self, const uint8_t* data, size_t n) noexcept {
              auto* l = static_cast<Loopback*>(self);
              l->clock.advance(100 * kNsPerUs);
              l->line.insert(l->line.end(), data, data + n);
              ++l->frames;
              return static_cast<ptrdiff_t>(n);
            },
            [](void* self, int64_t deadline_ns, bool) noexcept {
              auto* l = static_cast<Loopback*>(self);
              if (!l->line.empty()) return 1;
              l->clock.t_ns = deadline_ns > l->clock.t_ns ? deadline_ns : l->clock.t_ns;
              return 0;
            }};
  }
};

void an_echo_is_no_answer_and_asks_for_nothing() {
  Loopback loopback;
  Link link(loopback.wire(), loopback.clock.clock(), 0);
  tl_hello hello;
  CHECK(link.hello(3 * kNsPerS, &hello) == LinkStatus::kTimeout);
  CHECK(loopback.clock.t_ns >= 3 * kNsPerS && loopback.clock.t_ns < 31 * kNsPerS / 10);
  CHECK(loopback.frames >= 29 && loopback.frames <= 31);  // each 100 ms
  CHECK(link.hello_input.echoes == static_cast<uint64_t>(loopback.frames) && link.hello_input.others == 0);
}

void an_echo_beside_the_answer_is_ignored() {
  SimDevice device("cartpole", 77);
  Link link(device.wire(), device.clock.clock(), 0);
  device.up = [&] {
    tl_hello mine{};
    mine.proto_ver = TL_PROTO_VERSION;
    mine.role = TL_ROLE_HOST;
    tl_frame frame;
    Encoded echo;
    tl_hello_pack(&mine, &frame);
    echo.size = tl_frame_encode(&frame, echo.bytes);
    device.to_host.insert(device.to_host.end(), echo.bytes, echo.bytes + echo.size);
    return 1;
  };
  tl_hello hello;
  CHECK(link.hello(3 * kNsPerS, &hello) == LinkStatus::kOk && hello.boot_id == 77);
}

void keeps_what_arrived_in_place_of_an_answer() {
  SimDevice device("cartpole");
  device.deaf = true;
  device.down = [] { return 0; };
  const char* text = "Hello, world\r\n";
  device.to_host.assign(text, text + strlen(text));
  Link link(device.wire(), device.clock.clock(), 0);
  tl_hello hello;
  CHECK(link.hello(kNsPerS, &hello) == LinkStatus::kTimeout);
  CHECK(link.hello_input.bytes == strlen(text) && memcmp(link.hello_input.first, text, strlen(text)) == 0);
  // Each handshake starts a new count; a device that sends STATE but answers nothing is recognised.
  CHECK(link.hello(kNsPerS, &hello) == LinkStatus::kTimeout && link.hello_input.bytes == 0);
  device.down = [] { return 1; };
  CHECK(link.hello(kNsPerS, &hello) == LinkStatus::kTimeout);
  CHECK(link.hello_input.others >= 49 && link.hello_input.echoes == 0);
  CHECK(link.hello_input.damaged == 1);  // the text in front of the first frame
}

}  // namespace

void keeps_the_wire_in_lockstep_only() {
  SimDevice device("cartpole", 3);
  Link link(device.wire(), device.clock.clock(), 1 << 12);
  tl_hello hello{};
  CHECK(link.hello(3 * kNsPerS, &hello) == LinkStatus::kOk);
  CHECK(link.sent.hash() == 0 && link.received.hash() == 0);
  CHECK(link.arm(1, false, kNsPerS) == LinkStatus::kOk);
  link.await_state(kNsPerS);
  CHECK(link.sent.hash() == 0 && link.received.hash() == 0);
  CHECK(link.sent.captured_bytes() == 0 && link.received.captured_bytes() == 0);
  CHECK(link.disarm(kNsPerS) == LinkStatus::kOk);
  CHECK(link.arm(2, true, kNsPerS) == LinkStatus::kOk);
  CHECK(link.sent.hash() != 0 && link.received.hash() != 0);
  CHECK(link.sent.captured_bytes() > 0 && link.received.captured_bytes() > 0);
}

int main() {
  keeps_the_wire_in_lockstep_only();
  an_echo_is_no_answer_and_asks_for_nothing();
  an_echo_beside_the_answer_is_ignored();
  keeps_what_arrived_in_place_of_an_answer();
  shakes_hands_through_boot_noise();
  gives_up_on_silence_in_time();
  reads_the_sheet_and_checks_it();
  arms_once_though_the_answer_is_lost();
  stops_only_when_state_says_so();
  stops_though_another_reads_the_port();
  sees_a_restart();
  sees_another_device();
  arms_no_device_that_appears_meanwhile();
  says_when_the_port_is_gone();
  a_frame_cut_short_costs_only_itself();
  noise_does_not_hold_it_up();
  return 0;
}
