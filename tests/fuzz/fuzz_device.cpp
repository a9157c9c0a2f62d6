// The device's whole receive path: the bridge with a simulated plant, driven by a script of bytes and time.
//
// A script is a list of steps: correct, nearly correct (session, seq, observation or episode off by a little), repeated
// or damaged frames, raw bytes, passing time, failing sensors. After each step all invariants of
// docs/protocol_device.md are checked.
#include <string>
#include <vector>

#include "firmware_bridge/boards/simulated/simulated.h"
#include "firmware_bridge/protocol/bytes.h"
#include "input.h"

namespace {

constexpr int kStepsMax = 400;

struct Device;
Device* under_test;  // the plant's functions receive only their state

tl_plant_result checked_step(void* state, const float* u);
void checked_apply(void* state, const float* u, bool live);
void failing_observe(const void* state, float* x);

unsigned bit(unsigned state) { return 1u << state; }

struct Device {
  tl_simulated simulated;
  const tl_bridge& bridge = simulated.bridge;
  const tl_plant_sheet* sheet;
  Input input;
  uint64_t now_us = 0;
  int failing = 0;         // observations still to spoil
  uint32_t last_t_us = 0;  // of the last STATE
  bool spoke = false;      // an answer was sent in this step
  tl_decoder sent, heard;
  std::vector<tl_frame> arrived;  // in this step
  uint8_t last[TL_WIRE_MAX] = {};
  size_t last_size = 0;
  bool applies;                          // the plant has apply(), which writes its driver's register too
  float driver[TL_PLANT_ACT_MAX];        // that register
  bool driver_live = false;              // the last argument of apply()
  uint8_t last_state[TL_WIRE_MAX] = {};  // as sent; in lockstep it may be requested again
  size_t last_state_size = 0;

  Device(const uint8_t* data, size_t size) : input(data, size) {
    under_test = this;
    memset(&simulated, 0, sizeof simulated);
    tl_decoder_init(&sent);
    tl_decoder_init(&heard);
    const tl_plant* plant = tl_plant_at(input.u8() % tl_plant_count());
    const uint8_t choice = input.u8();
    tl_simulated_options options;
    memset(&options, 0, sizeof options);
    options.boot_id = 1;
    options.reset_ticks = choice & 3u;
    options.slew = (choice & 4u) != 0 ? 0.25f : 0.0f;
    options.max_steps = (choice & 8u) != 0 ? 3 : 0;
    options.ttl_max_ms = (choice & 16u) != 0 ? 30 : 0;
    applies = (choice & 64u) != 0;
    now_us = (choice & 32u) != 0 ? 0xFFFFFFFFu - 100000u : 0;  // the clock wraps soon
    const auto send = [](void* self, const uint8_t* bytes, size_t n) { static_cast<Device*>(self)->say(bytes, n); };
    CHECK(tl_simulated_init(&simulated, plant->sheet->name, &options, send, this, now_us));
    sheet = plant->sheet;
    memcpy(driver, bridge.applied, sizeof driver);  // init has already applied the outputs
    simulated.plant.step = checked_step;
    simulated.plant.observe = failing_observe;
    simulated.plant.apply = applies ? checked_apply : nullptr;
  }

  bool within_limits(const float* u) const {
    for (int i = 0; i < sheet->action_size; ++i) {
      const tl_plant_row& row = sheet->rows[sheet->observation_size + i];
      if (!(u[i] >= row.min && u[i] <= row.max)) return false;
    }
    return true;
  }

  // One complete, well-formed frame per call, and a STATE that matches the device.
  void say(const uint8_t* bytes, size_t n) {
    tl_frame frame;
    tl_state state;
    const uint8_t* at = bytes;
    CHECK(tl_decoder_next(&sent, &at, bytes + n, &frame) && at == bytes + n && tl_decoder_errors(&sent) == 0);
    spoke = true;
    if (frame.type != TL_TYPE_STATE) return;
    CHECK(tl_state_unpack(&frame, &state) && state.n == sheet->observation_size && state.m == sheet->action_size);
    CHECK(within_limits(state.u) && state.state < TL_STATE_COUNT);
    last_t_us = frame.t_us;
    const bool again = n == last_state_size && memcmp(bytes, last_state, n) == 0;
    CHECK(again || memcmp(state.u, driver, sheet->action_size * sizeof *driver) == 0);
    memcpy(last_state, bytes, n);
    last_state_size = n;
  }

  // ---- what arrives

  void receive(const uint8_t* bytes, size_t n) {
    tl_frame frame;
    const uint8_t* at = bytes;
    while (tl_decoder_next(&heard, &at, bytes + n, &frame)) arrived.push_back(frame);
    tl_bridge_receive(&simulated.bridge, bytes, n, now_us);
  }

  void receive(tl_frame& frame) {
    last_size = tl_frame_encode(&frame, last);
    receive(last, last_size);
  }

  // The correct number, or one nearby.
  uint32_t beside(uint32_t right) { return right + static_cast<uint32_t>(static_cast<int8_t>(input.u8())); }

  void command() {
    tl_frame frame;
    tl_cmd cmd;
    memset(&cmd, 0, sizeof cmd);
    const uint8_t how = input.u8();
    cmd.lockstep = bridge.lockstep != ((how & 1u) != 0);
    cmd.session = (how & 2u) != 0 ? beside(bridge.session) : bridge.session;
    cmd.obs_t_us = (how & 4u) != 0 ? last_t_us - input.u16() : last_t_us;
    cmd.ttl_ms = (how & 8u) != 0 ? input.u16() : 50;
    cmd.mode = (how & 16u) != 0 ? input.u8() : 0;
    cmd.n = (how & 32u) != 0 ? static_cast<uint8_t>(input.u8() % (TL_VALUES_MAX + 1)) : sheet->action_size;
    for (unsigned i = 0; i < cmd.n; ++i)
      cmd.u[i] = (how & 64u) != 0 ? tl_f32_from_bits(input.u32()) : static_cast<float>(static_cast<int8_t>(input.u8()));
    tl_cmd_pack(&cmd, &frame);
    frame.seq = static_cast<uint16_t>((how & 128u) != 0 ? beside(bridge.cmd_seq) : bridge.cmd_seq + 1u);
    frame.t_us = last_t_us;
    receive(frame);
  }

  void arm() {
    tl_frame frame;
    const uint8_t how = input.u8();
    const tl_arm arm{(how & 1u) != 0, (how & 2u) != 0 ? input.u32() : beside(bridge.last_session)};
    tl_arm_pack(&arm, &frame);
    frame.seq = input.u8();
    frame.t_us = 0;
    receive(frame);
  }

  void reset() {
    tl_frame frame;
    const tl_reset reset{bridge.session, static_cast<uint16_t>(beside(bridge.episode)), input.u8()};
    tl_reset_pack(&reset, &frame);
    frame.seq = input.u8();
    frame.t_us = 0;
    receive(frame);
  }

  void any_frame(bool empty) {
    static const uint8_t types[] = {TL_TYPE_HELLO,  TL_TYPE_PING,  TL_TYPE_DESCRIBE,    TL_TYPE_PARAM,
                                    TL_TYPE_DISARM, TL_TYPE_ESTOP, TL_TYPE_CLEAR_FAULT, TL_TYPE_STATE,
                                    TL_TYPE_CMD,    TL_TYPE_ARM,   TL_TYPE_RESET};
    tl_frame frame;
    memset(&frame, 0, sizeof frame);
    const uint8_t type = input.u8();
    frame.type = type < sizeof types ? types[type] : type;
    frame.flags = empty ? 0 : input.u8();
    frame.size = empty ? 0 : static_cast<uint8_t>(input.take(frame.payload, input.u8() % (TL_PAYLOAD_MAX + 1u)));
    receive(frame);
  }

  void bytes() {
    uint8_t data[256];
    receive(data, input.take(data, input.u8()));
  }

  void damaged() {
    const size_t at = input.u8();
    uint8_t data[TL_WIRE_MAX];
    memcpy(data, last, last_size);
    if (at < last_size) data[at] ^= input.u8();
    receive(data, last_size);
  }

  void tick(uint64_t at_us) {
    if (at_us > now_us) now_us = at_us;
    tl_bridge_tick(&simulated.bridge, now_us);
  }

  // ---- a step, and what must hold after it

  // Returns the possible events of the table, in order, as they follow from the frames that arrived.
  unsigned reachable(unsigned from, bool ticked) const {
    unsigned states = follow(from, TL_ON_EXPIRED);
    for (const tl_frame& frame : arrived) {
      states = follow(states, on(frame.type));
      if (frame.type == TL_TYPE_CMD) states = follow(states, TL_ON_TICK);
      if (frame.type == TL_TYPE_RESET) states = follow(states, TL_ON_READY);
      states = follow(follow(states, TL_ON_SENSOR), TL_ON_LIMIT);
    }
    if (!ticked) return states;
    return follow(follow(follow(follow(states, TL_ON_TICK), TL_ON_READY), TL_ON_SENSOR), TL_ON_LIMIT);
  }

  static unsigned follow(unsigned states, uint8_t event) {
    unsigned out = states;  // a refusing action keeps the state
    for (uint8_t s = 0; s < TL_STATE_COUNT; ++s)
      if ((states & bit(s)) != 0) out |= bit(tl_bridge_cell(s, event).next);
    return out;
  }

  static uint8_t on(uint8_t type) {
    static const uint8_t columns[][2] = {{TL_TYPE_HELLO, TL_ON_HELLO},       {TL_TYPE_PING, TL_ON_PING},
                                         {TL_TYPE_DESCRIBE, TL_ON_DESCRIBE}, {TL_TYPE_PARAM, TL_ON_PARAM},
                                         {TL_TYPE_CMD, TL_ON_CMD},           {TL_TYPE_ARM, TL_ON_ARM},
                                         {TL_TYPE_DISARM, TL_ON_DISARM},     {TL_TYPE_CLEAR_FAULT, TL_ON_CLEAR_FAULT},
                                         {TL_TYPE_RESET, TL_ON_RESET},       {TL_TYPE_ESTOP, TL_ON_ESTOP}};
    for (const auto& row : columns)
      if (row[0] == type) return row[1];
    return TL_ON_OTHER;
  }

  bool came(uint8_t type) const {
    for (const tl_frame& frame : arrived)
      if (frame.type == type) return true;
    return false;
  }

  void check_session(const tl_bridge& before) const {
    const bool was_open = before.state == TL_STATE_ARMED || before.state == TL_STATE_RESETTING;
    const bool open = bridge.state == TL_STATE_ARMED || bridge.state == TL_STATE_RESETTING;
    CHECK(open == (bridge.session != 0));
    CHECK(bridge.last_session - before.last_session < 0x80000000u);
    CHECK(bridge.session == 0 || bridge.session == bridge.last_session);
    if (open && !was_open) CHECK(came(TL_TYPE_ARM));
    if (open && bridge.session != before.session) CHECK(came(TL_TYPE_ARM) && bridge.session != before.last_session);
    if (bridge.counters[TL_COUNTER_ACCEPTED] != before.counters[TL_COUNTER_ACCEPTED])
      CHECK(came(TL_TYPE_CMD) && (before.state == TL_STATE_ARMED || came(TL_TYPE_ARM) || came(TL_TYPE_RESET)));
    if (came(TL_TYPE_ESTOP) && !came(TL_TYPE_CLEAR_FAULT)) CHECK(bridge.state == TL_STATE_ESTOP);
    if (before.state == TL_STATE_ESTOP && !came(TL_TYPE_CLEAR_FAULT)) {
      CHECK(bridge.state == TL_STATE_ESTOP);
      CHECK(bridge.counters[TL_COUNTER_ACCEPTED] == before.counters[TL_COUNTER_ACCEPTED]);
    }
    CHECK(bridge.state != TL_STATE_ARMED || bridge.fault == 0);
  }

  void check_freshness() const {
    CHECK(!bridge.live || bridge.state == TL_STATE_ARMED);
    if (bridge.session == 0 || bridge.lockstep) return;
    if (!bridge.live) CHECK(now_us - bridge.life_us <= bridge.config.silence_us);
    if (bridge.live) CHECK(now_us <= bridge.expires_us && bridge.expires_us <= now_us + bridge.ttl_max_us);
  }

  void check_outputs(const tl_bridge& before, bool ticked) const {
    CHECK(within_limits(bridge.applied));
    CHECK(memcmp(bridge.applied, driver, sheet->action_size * sizeof *driver) == 0);
    if (applies && !bridge.live) CHECK(!driver_live);
    const bool at_once = applies || bridge.lockstep;  // otherwise with the next period
    for (int i = 0; i < sheet->action_size && at_once && !bridge.live; ++i) {
      const tl_plant_row& row = sheet->rows[sheet->observation_size + i];
      CHECK((row.safe != TL_SAFE_OFF && row.safe != TL_SAFE_DAMP) || driver[i] == row.safe_value);
    }
    // A pause: no output, and the plant has moved once.
    const bool rested = ticked && before.session == 0 && bridge.state == before.state &&
                        bridge.counters[TL_COUNTER_TICKS] == before.counters[TL_COUNTER_TICKS] + 1;
    for (int i = 0; i < sheet->action_size && rested; ++i) {
      const tl_plant_row& row = sheet->rows[sheet->observation_size + i];
      const bool moved = bridge.applied[i] != before.applied[i], home = bridge.applied[i] == row.safe_value;
      CHECK(row.safe == TL_SAFE_HOLD ? !moved : row.safe == TL_SAFE_RAMP || home);
    }
    const bool ran = ticked && bridge.live && before.live && bridge.limited_by == 0;  // a limit does not wait for slew
    CHECK(!bridge.released || bridge.state == TL_STATE_ARMED);
    for (int i = 0; i < sheet->action_size && ran && bridge.config.slew != nullptr; ++i) {
      const float slew = bridge.config.slew[i];
      CHECK(bridge.applied[i] >= before.applied[i] - slew && bridge.applied[i] <= before.applied[i] + slew);
    }
  }

  void step() {
    const tl_bridge before = bridge;
    const uint8_t what = input.u8();
    bool ticked = false;
    arrived.clear();
    spoke = false;
    switch (what % 16u) {
      case 0:
      case 1:
      case 2:
      case 3:
        command();
        break;
      case 4:
        arm();
        break;
      case 5:
        reset();
        break;
      case 6:
        any_frame(true);
        break;
      case 7:
        any_frame(false);
        break;
      case 8:
        receive(last, last_size);
        break;
      case 9:
        damaged();
        break;
      case 10:
        bytes();
        break;
      case 11:
        failing = input.u8() % 4u;
        break;
      case 12:
        now_us += input.u16();
        ticked = true;
        tick(now_us);
        break;
      case 13:
        now_us += input.u32();
        ticked = true;
        tick(now_us);
        break;
      default:
        ticked = true;
        tick(tl_bridge_due(&bridge));
        break;
    }
    CHECK((reachable(bit(before.state), ticked) & bit(bridge.state)) != 0);
    check_session(before);
    check_freshness();
    check_outputs(before, ticked);
  }
};

tl_plant_result checked_step(void* state, const float* u) {
  CHECK(under_test->within_limits(u));
  memcpy(under_test->driver, u, under_test->sheet->action_size * sizeof *u);
  return under_test->simulated.simulated.wrapped->step(state, u);
}

void checked_apply(void* state, const float* u, bool live) {
  (void)state;
  CHECK(under_test->within_limits(u));
  memcpy(under_test->driver, u, under_test->sheet->action_size * sizeof *u);
  under_test->driver_live = live;
}

void failing_observe(const void* state, float* x) {
  under_test->simulated.simulated.wrapped->observe(state, x);
  if (under_test->failing == 0) return;
  --under_test->failing;
  x[0] = tl_f32_from_bits(0x7FC00000u);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Device* device;
  device = new Device(data, size);
  for (int i = 0; i < kStepsMax && !device->input.empty(); ++i) device->step();
  delete device;
  return 0;
}
