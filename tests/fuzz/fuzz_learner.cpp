// The learning firmware without its peripherals: the main loop of boards/stm32f405/learner.cpp, with a script as its
// serial port. Each turn of the loop takes one step of the script: a frame to the learner, a damaged or foreign frame,
// raw bytes, or nothing; then the learner takes a control step if requested, or drives the bridge's plant.
//
// Properties: for any upload, reads and writes stay inside the arena and the learner continues to step; nothing changes
// it while it runs; no flash is written while the actuators may move; every request is answered by one valid frame.
#include "firmware_bridge/boards/stm32f405/learner.cpp"

#include "input.h"

namespace {

constexpr int kTurnsMax = 64;

struct Done {};  // thrown to leave the main loop, which never ends

Input script(nullptr, 0);
int turns;
uint64_t now_us;
int asked, answered;     // LEARNER frames of this turn
tl_decoder sent, heard;  // by the device

size_t frame_to_learner(uint8_t* out) {
  tl_frame ask;
  memset(&ask, 0, sizeof ask);
  const uint8_t op = script.u8();
  ask.type = TL_TYPE_LEARNER;
  ask.payload[0] = op % 16u;
  const size_t words = op / 16u % 4u;
  size_t n = TL_LEARNER_HEAD;
  for (size_t i = 0; i < words;
       ++i, n += 4)  // small numbers are the interesting ones; 128 of them reach beyond the arena
    tl_put_u32(ask.payload + n, op >= 128 ? script.u32() : script.u8() * (sizeof tl_learner_memory / 128u));
  n += script.take(ask.payload + n, op % 16u == TL_LEARNER_BYTES ? script.u8() % (TL_PAYLOAD_MAX + 1u - n) : 0);
  ask.size = static_cast<uint8_t>(n);
  return tl_frame_encode(&ask, out);
}

// The result of one read of the serial port.
size_t next_bytes(uint8_t* out, size_t room) {
  uint8_t wire[TL_WIRE_MAX];
  const uint8_t what = script.u8();
  if (what < 128) {
    const size_t n = frame_to_learner(wire);
    CHECK(n != 0 && n <= room);
    memcpy(out, wire, n);
    return n;
  }
  if (what < 160) return 0;
  return script.take(out, what % 64u);
}

}  // namespace

void tl_board_start(tl_board* board) { memset(board, 0, sizeof *board); }
uint64_t tl_board_now_us(void) { return now_us; }
void tl_board_sleep(void) {}
size_t tl_board_room(void) { return TL_SERIAL_TX; }

// Two slots of flash in memory; the script cuts none of its writes (tests/firmware/test_store.c does).
namespace {

constexpr uint32_t kSlotBytes = 32 * 1024;
uint32_t slots[TL_STORE_SLOTS][kSlotBytes / 4];

bool erase(uint32_t slot) {
  CHECK(slot < TL_STORE_SLOTS && device.bridge.state != TL_STATE_ARMED && device.bridge.state != TL_STATE_RESETTING);
  memset(slots[slot], 0xff, sizeof slots[slot]);
  return true;
}

bool program(uint32_t slot, uint32_t offset, uint32_t value) {
  CHECK(slot < TL_STORE_SLOTS && offset % 4 == 0 && offset < kSlotBytes && slots[slot][offset / 4] == ~0u);
  slots[slot][offset / 4] = value;
  return true;
}

uint32_t read_word(uint32_t slot, uint32_t offset) { return slots[slot][offset / 4]; }

}  // namespace

const tl_flash_driver tl_board_flash = {kSlotBytes, erase, program, read_word};

void tl_board_send(void*, const uint8_t* bytes, size_t n) {
  tl_frame frame;
  const uint8_t* at = bytes;
  CHECK(tl_decoder_next(&sent, &at, bytes + n, &frame) && at == bytes + n);
  if (frame.type != TL_TYPE_LEARNER) return;
  ++answered;
  CHECK(frame.size >= TL_LEARNER_HEAD);
  if (frame.payload[0] == TL_LEARNER_RECORD) {  // not an answer
    --answered;
    const bool limited = (frame.payload[1] & TL_LEARNER_LIMITED) != 0;
    CHECK(recording && frame.size == kRecordBytes + (limited ? sizeof(float) : 0));
    return;
  }
  if (frame.payload[0] == TL_LEARNER_STATUS) {
    CHECK(frame.size == TL_LEARNER_STATUS_BYTES && tl_get_u32(frame.payload + 36) == sizeof tl_learner_memory);
    return;
  }
  CHECK(frame.payload[0] == TL_LEARNER_BYTES && frame.size >= 8);
  const uint32_t offset = tl_get_u32(frame.payload + 4);
  CHECK(offset <= sizeof tl_learner_memory && frame.size - 8u <= sizeof tl_learner_memory - offset);
  CHECK(memcmp(frame.payload + 8, memory + offset, frame.size - 8u) == 0);
}

size_t tl_board_read(uint8_t* bytes, size_t n) {
  if (script.empty() || ++turns > kTurnsMax) throw Done{};
  asked = answered = 0;
  now_us += 1000;
  n = next_bytes(bytes, n);
  tl_frame frame;
  for (const uint8_t* at = bytes; tl_decoder_next(&heard, &at, bytes + n, &frame);)
    asked += frame.type == TL_TYPE_LEARNER ? 1 : 0;
  return n;
}

// After the bridge's tick and before the control step.
void tl_board_feed(void) { CHECK(answered == asked); }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  script = Input(data, size);
  turns = 0;
  now_us = 0;
  limit = 0;
  written = recording = episode_due = false;
  saved = save_every = save_at = 0;
  memset(slots, 0, sizeof slots);
  tx_seq = 0;
  tl_decoder_init(&sent);
  tl_decoder_init(&heard);
  try {
    tl_board_main();
  } catch (const Done&) {
  }
  return 0;
}
