// The packets of servo buses. The first byte selects the protocol, whether CRCs and checks are corrected, and the size
// of the pieces; the rest is a stream of bytes.
//
// Properties: fragmentation has no effect; every byte is used once; a decoded packet encodes to the bytes it was
// decoded from; blocks of a fast answer lie within the packet, and those of a broken one are those of the whole.
#include <vector>

#include "firmware_bridge/bus/dynamixel.h"
#include "firmware_bridge/bus/feetech.h"
#include "firmware_bridge/bus/servo.h"
#include "input.h"

namespace {

struct Found {
  tl_bus_packet packet;
  std::vector<uint8_t> params;
  std::vector<uint8_t> wire;
};

struct Decoder {
  bool dynamixel;
  std::vector<uint8_t> kept;
  std::vector<Found> found;
  size_t used = 0, damaged = 0;

  tl_bus_found next(bool last, tl_bus_packet* packet, uint8_t* params, size_t* n) {
    return dynamixel ? tl_dynamixel_next(kept.data(), kept.size(), last, packet, params, TL_BUS_PARAMS_MAX, n)
                     : tl_feetech_next(kept.data(), kept.size(), last, packet, n);
  }

  void take(const uint8_t* data, size_t size, bool last) {
    kept.insert(kept.end(), data, data + size);
    tl_bus_packet packet;
    uint8_t params[TL_BUS_PARAMS_MAX];
    for (;;) {
      size_t n = SIZE_MAX;
      const tl_bus_found result = next(last, &packet, params, &n);
      CHECK(n <= kept.size());
      const auto end = kept.begin() + static_cast<ptrdiff_t>(n);
      if (result == TL_BUS_PACKET) {
        CHECK(packet.size <= TL_BUS_PARAMS_MAX && tl_bus_id_valid(packet.id));
        found.push_back({packet, {packet.params, packet.params + packet.size}, {kept.begin(), end}});
      }
      damaged += result == TL_BUS_DAMAGED;
      CHECK(result == TL_BUS_MORE || n > 0);
      used += n;
      kept.erase(kept.begin(), end);
      if (result == TL_BUS_MORE) break;
    }
    CHECK(!last || kept.empty());
  }
};

void encode_again(bool dynamixel, const Found& one) {
  uint8_t out[TL_BUS_WIRE_MAX];
  const tl_bus_packet& p = one.packet;
  size_t n = 0;
  if (!dynamixel)
    n = tl_feetech_encode(p.id, p.instruction, one.params.data(), p.size, out, sizeof out);
  else if (p.instruction == TL_BUS_STATUS)
    n = tl_dynamixel_encode_status(p.id, p.error, one.params.data(), p.size, out, sizeof out);
  else
    n = tl_dynamixel_encode(p.id, p.instruction, one.params.data(), p.size, out, sizeof out);
  // What came before the packet was garbage.
  CHECK(n > 0 && n <= one.wire.size() && memcmp(out, one.wire.data() + one.wire.size() - n, n) == 0);
}

void blocks(const Found& one) {
  tl_bus_packet whole = one.packet, block, begun;
  whole.params = one.params.data();
  for (size_t data_size = 0; data_size < 12; ++data_size) {
    for (size_t i = 0; tl_dynamixel_fast_block(&whole, data_size, i, &block); ++i) {
      CHECK(block.params >= whole.params && block.params + block.size <= whole.params + whole.size);
      if (tl_dynamixel_fast_begun(one.wire.data(), one.wire.size(), data_size, i, &begun))
        CHECK(begun.id == block.id && begun.error == block.error && memcmp(begun.params, block.params, data_size) == 0);
    }
  }
}

// Makes the stream valid at the places of packets, so that what lies behind the CRC is reached.
void correct(bool dynamixel, std::vector<uint8_t>& bytes) {
  for (size_t at = 0; at + 12 < bytes.size(); ++at) {
    if (bytes[at] != 0xFF || bytes[at + 1] != 0xFF) continue;
    if (!dynamixel) {
      const size_t end = at + 3 + bytes[at + 3];
      uint8_t sum = 0;
      if (end >= bytes.size()) continue;
      for (size_t i = at + 2; i < end; ++i) sum = static_cast<uint8_t>(sum + bytes[i]);
      bytes[end] = static_cast<uint8_t>(~sum);
    } else if (bytes[at + 2] == 0xFD && bytes[at + 3] == 0) {
      const size_t end = at + 7 + bytes[at + 5] + 256u * bytes[at + 6];
      if (end > bytes.size() || end < at + 9) continue;
      const uint16_t crc = tl_dynamixel_crc(0, bytes.data() + at, end - 2 - at);
      bytes[end - 2] = static_cast<uint8_t>(crc);
      bytes[end - 1] = static_cast<uint8_t>(crc >> 8);
    }
  }
}

void numbers(Input& input) {
  const tl_servo_family* family = tl_servo_family_at(input.u8() % 3u);
  const tl_register* reg = &family->registers[input.u8() % TL_REG_COUNT];
  uint8_t bytes[4], again[4];
  if (reg->size == 0) return;
  CHECK(input.take(bytes, 4) <= 4);
  const int64_t v = tl_register_get(reg, family->big_endian, bytes);
  CHECK(tl_register_put(reg, v, family->big_endian, again) && tl_register_get(reg, family->big_endian, again) == v);
  float f;
  const uint32_t bits = input.u32();
  memcpy(&f, &bits, sizeof f);
  int64_t steps = 0;
  if (tl_register_steps(reg, f, &steps)) CHECK(tl_register_holds(reg, steps));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const bool dynamixel = (data[0] & 1u) != 0;
  if (size > 8 && data[0] == 0xFF) {
    uint8_t start[12] = {};
    memcpy(start, data + 1, size - 1 < sizeof start ? size - 1 : sizeof start);
    Input input(start, sizeof start);
    numbers(input);
    return 0;
  }
  std::vector<uint8_t> bytes(data + 1, data + size);
  if ((data[0] & 2u) != 0) correct(dynamixel, bytes);
  Decoder whole{dynamixel, {}, {}}, cut{dynamixel, {}, {}};
  whole.take(bytes.data(), bytes.size(), true);
  const size_t piece = data[0] / 4u + 1u;
  for (size_t from = 0; from < bytes.size(); from += piece)
    cut.take(bytes.data() + from, bytes.size() - from < piece ? bytes.size() - from : piece, false);
  cut.take(nullptr, 0, true);
  CHECK(whole.used == bytes.size() && cut.used == bytes.size());
  CHECK(whole.found.size() == cut.found.size() && whole.damaged == cut.damaged);
  for (size_t i = 0; i < whole.found.size() && i < cut.found.size(); ++i) {
    CHECK(whole.found[i].params == cut.found[i].params && whole.found[i].packet.id == cut.found[i].packet.id);
    encode_again(dynamixel, whole.found[i]);
    if (dynamixel) blocks(whole.found[i]);
  }
  return 0;
}
