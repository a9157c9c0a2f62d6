// The host's end of the link: a script defines the host's calls, the other end's output, and the behaviour of the port.
// Time is virtual.
//
// Properties: every call returns within its timeout for any input; what it reports as received was sent (an
// acknowledgement of that request, a STATE with ESTOP, rows that hash to the value in HELLO); counters are correct.
#include "native/runtime/link/link.h"

#include <vector>

#include "firmware_bridge/protocol/schema.h"
#include "input.h"

using namespace rtu::runtime;
using namespace rtu::runtime::link;

namespace {

constexpr int kCallsMax = 40;
constexpr int64_t kTimeout = kNsPerS / 2;
constexpr int64_t kGrace = 100 * kNsPerMs;  // a frame that is being written at the timeout
constexpr int64_t kByteNs = 10 * kNsPerUs;  // 1 Mbaud

struct Port {
  Input& input;
  VirtualClock clock;
  std::vector<uint8_t> arrived;  // and not yet read
  tl_decoder heard, sent;
  tl_frame question;  // the last one of the host
  bool gone = false;
  int64_t babble_until_ns = 0;
  // What the host may have received.
  bool acknowledged[256] = {};  // OK, by type
  bool stopped = false;
  uint32_t hello_boot_id = 0;
  uint64_t good = 0;

  explicit Port(Input& script) : input(script) {
    tl_decoder_init(&heard);
    tl_decoder_init(&sent);
    memset(&question, 0, sizeof question);
  }

  // What the host may conclude from a frame sent to it.
  void note(const tl_frame& frame) {
    tl_ack ack;
    tl_state state;
    tl_hello hello;
    ++good;
    if (tl_ack_unpack(&frame, &ack) && ack.status == TL_STATUS_OK) acknowledged[ack.type] = true;
    if (tl_state_unpack(&frame, &state)) stopped = stopped || state.state == TL_STATE_ESTOP;
    if (tl_hello_unpack(&frame, &hello) && hello.role == TL_ROLE_DEVICE) hello_boot_id = hello.boot_id;
  }

  void arrive(const uint8_t* bytes, size_t n) {
    tl_frame frame;
    const uint8_t* at = bytes;
    while (tl_decoder_next(&heard, &at, bytes + n, &frame)) note(frame);
    arrived.insert(arrived.end(), bytes, bytes + n);
  }

  void arrive(tl_frame& frame) {
    uint8_t wire[TL_WIRE_MAX];
    frame.seq = input.u8();
    frame.t_us = input.u8();
    arrive(wire, tl_frame_encode(&frame, wire));
  }

  void answer() {
    tl_frame frame;
    memset(&frame, 0, sizeof frame);
    const uint8_t how = input.u8();
    if (question.type == TL_TYPE_HELLO) {
      tl_hello hello;
      memset(&hello, 0, sizeof hello);
      hello.proto_ver = (how & 1u) != 0 ? input.u8() : uint8_t{TL_PROTO_VERSION};
      hello.role = (how & 2u) != 0 ? TL_ROLE_HOST : TL_ROLE_DEVICE;
      hello.boot_id = input.u8();
      hello.observation_size = input.u8();
      hello.action_size = input.u8();
      hello.schema_hash = input.u32();
      tl_hello_pack(&hello, &frame);
    } else if (question.type == TL_TYPE_DESCRIBE) {
      const uint8_t index = (how & 1u) != 0 ? input.u8() : question.payload[0];
      const tl_limit limit{input.u8(), TL_LIMIT_ALL, 0, 0.0f, 1.0f, 0.0f};
      const auto n = static_cast<uint8_t>((how & 4u) != 0 ? 1 : 0);
      const tl_row row{index, (how & 2u) != 0, 0, 0.0f, 1.0f, 0.0f, 0.0f, "name", "1", n, n, {limit, {}, {}, {}}};
      tl_row_pack(&row, &frame);
    } else if (question.type == TL_TYPE_ESTOP) {
      tl_state state;
      memset(&state, 0, sizeof state);
      state.state = (how & 1u) != 0 ? input.u8() : uint8_t{TL_STATE_ESTOP};
      tl_state_pack(&state, &frame);
    } else {
      const tl_ack ack{(how & 1u) != 0 ? input.u8() : question.type, (how & 2u) != 0 ? input.u8() : uint8_t{0},
                       static_cast<uint16_t>((how & 4u) != 0 ? input.u8() : question.seq)};
      tl_ack_pack(&ack, &frame);
    }
    arrive(frame);
  }

  void any_frame() {
    tl_frame frame;
    memset(&frame, 0, sizeof frame);
    frame.type = input.u8();
    frame.size = static_cast<uint8_t>(input.take(frame.payload, input.u8() % (TL_PAYLOAD_MAX + 1u)));
    arrive(frame);
  }

  void event(uint8_t what) {
    uint8_t bytes[256];
    switch (what % 8u) {
      case 0:
      case 1:
      case 2:
        answer();
        break;
      case 3:
        any_frame();
        break;
      case 4:
        arrive(bytes, input.take(bytes, input.u8()));
        break;
      case 5:
        babble_until_ns = clock.t_ns + input.u8() * 20 * kNsPerMs;
        break;  // up to 5 s of noise, at full speed
      case 6:
        gone = input.u8() % 4u == 0;
        break;
      default:
        break;  // nothing for now
    }
  }

  ptrdiff_t read(uint8_t* out, size_t room) {
    if (gone) return -1;
    if (arrived.empty() && clock.t_ns < babble_until_ns) {
      const size_t n = room < 64 ? room : 64;
      memset(out, 0x55, n);
      clock.advance(static_cast<int64_t>(n) * kByteNs);
      return static_cast<ptrdiff_t>(n);
    }
    const size_t n = arrived.size() < room ? arrived.size() : room;
    if (n != 0) memcpy(out, arrived.data(), n);
    arrived.erase(arrived.begin(), arrived.begin() + static_cast<ptrdiff_t>(n));
    return static_cast<ptrdiff_t>(n);
  }

  ptrdiff_t write(const uint8_t* data, size_t n) {
    if (gone) return -1;
    const uint8_t what = input.u8();
    if (what >= 0xF0) n = n < (what & 15u) ? n : what & 15u;  // accepts a part, or nothing
    tl_frame frame;
    const uint8_t* at = data;
    while (tl_decoder_next(&sent, &at, data + n, &frame)) question = frame;
    return static_cast<ptrdiff_t>(n);
  }

  int wait(int64_t deadline_ns, bool for_write) {
    if (gone) return -1;
    if (!for_write && clock.t_ns < babble_until_ns) return 1;
    while (!for_write && arrived.empty() && !input.empty() && clock.t_ns < deadline_ns) {
      clock.advance(kNsPerMs);
      event(input.u8());
      if (gone) return -1;
      if (clock.t_ns < babble_until_ns) return 1;
    }
    if (!for_write && !arrived.empty()) return 1;
    if (clock.t_ns < deadline_ns) clock.t_ns = deadline_ns;
    return 0;
  }

  Wire wire() {
    return {this,
            [](void* self, uint8_t* out, size_t room) noexcept { return static_cast<Port*>(self)->read(out, room); },
            [](void* self, const uint8_t* data, size_t n) noexcept { return static_cast<Port*>(self)->write(data, n); },
            [](void* self, int64_t deadline_ns, bool for_write) noexcept {
              return static_cast<Port*>(self)->wait(deadline_ns, for_write);
            }};
  }
};

void call(Link& link, Port& port, Input& input, tl_hello& hello) {
  static tl_row rows[2 * UINT8_MAX];
  tl_frame frame;
  Encoded encoded;
  LinkStatus status = LinkStatus::kTimeout;
  switch (input.u8() % 8u) {
    case 0:
      status = link.hello(kTimeout, &hello);
      if (status == LinkStatus::kOk) CHECK(link.known.boot_id == port.hello_boot_id || link.another);
      break;
    case 1:
      status = link.describe(hello, kTimeout, rows);
      if (status == LinkStatus::kOk)
        CHECK(tl_schema_hash(hello.period_us, hello.observation_size, hello.action_size, rows) == hello.schema_hash);
      break;
    case 2:
      status = link.arm(link.last_session + 1, input.u8() % 2u != 0, kTimeout);
      if (status == LinkStatus::kOk) CHECK(port.acknowledged[TL_TYPE_ARM]);
      break;
    case 3:
      status = link.disarm(kTimeout);
      if (status == LinkStatus::kOk) CHECK(port.acknowledged[TL_TYPE_DISARM]);
      break;
    case 4:
      status = link.clear_fault(kTimeout);
      if (status == LinkStatus::kOk) CHECK(port.acknowledged[TL_TYPE_CLEAR_FAULT]);
      break;
    case 5:
      if (link.estop(kTimeout)) CHECK(port.stopped);
      break;
    case 6:
      if (link.receive(&frame, port.clock.t_ns + input.u8() * kNsPerMs) == 1) {
        CHECK(frame.size <= TL_PAYLOAD_MAX);
        link.accept_last();
      }
      break;
    default:
      tl_empty_pack(TL_TYPE_DISARM, &frame);
      link.encode(&frame, link.now_us(), &encoded);
      (void)link.transmit(encoded, port.clock.t_ns + kNsPerMs);
      break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  Port port(input);
  Link link(port.wire(), port.clock.clock(), 512);
  tl_hello hello;
  memset(&hello, 0, sizeof hello);
  for (int i = 0; i < kCallsMax && !input.empty(); ++i) {
    const int64_t began_ns = port.clock.t_ns;
    call(link, port, input, hello);
    CHECK(port.clock.t_ns - began_ns <= kTimeout + kGrace);
    CHECK(link.counters().frames_received.get() <= port.good);
    CHECK(link.sent.captured_bytes() <= 512 && link.received.captured_bytes() <= 512);
  }
  return 0;
}
