// The firmware with a learner: TickLink as in main.c, and, in the remaining time, a recurrent agent that learns to
// balance a cart-pole in virtual time, or drives the bridge's plant in real time. The host starts and monitors it,
// downloads and uploads its state, lets it write checkpoints to flash: firmware_bridge/protocol/learner.h. After a
// restart it has the state of the last checkpoint.
#define TL_SMALL  // native/core/small.h
#include "firmware_bridge/protocol/learner.h"
#include "firmware_bridge/boards/simulated/simulated.h"
#include "firmware_bridge/boards/stm32f405/board.h"
#include "firmware_bridge/boards/stm32f405/learner_drive.h"
#include "firmware_bridge/boards/stm32f405/learner_snapshot.h"
#include "firmware_bridge/boards/stm32f405/start.h"
#include "firmware_bridge/protocol/bytes.h"
#include "native/cells/device_halves.inl.h"
#include "native/kernels/device.inl.h"

#if defined(TL_PLANT_OWN)
#define TL_FIRMWARE_PLANT (tl_plant_own.sheet->name)
#elif !defined(TL_FIRMWARE_PLANT)
#define TL_FIRMWARE_PLANT "cartpole"
#endif
#if !defined(TL_FIRMWARE_SLEW)
#define TL_FIRMWARE_SLEW 0.0f  // of its actuators per period; 0: no limit
#endif

// The file is compiled as a whole program (cmake/firmware.cmake), so that what is constant here is constant in every
// function; these are what the rest of the image sees.
#if defined(__arm__)
#define TL_VISIBLE __attribute__((externally_visible))
#else
#define TL_VISIBLE
#endif

extern "C" {
TL_VISIBLE void tl_board_main(void);
// Symbols for the tool that counts instructions (tools/qemu/count.c).
TL_VISIBLE __attribute__((noinline, noclone)) void tl_count_begin(void) { __asm__ volatile("" ::: "memory"); }
TL_VISIBLE __attribute__((noinline, noclone)) void tl_count_end(void) { __asm__ volatile("" ::: "memory"); }
TL_VISIBLE tl_device::Memory tl_learner_memory;
TL_VISIBLE tl_device::Learner tl_learner;
#if defined(__ARM_FP)
// In place of the compiler's library: a quarter of its instructions, the same bits. Its argument registers.
TL_VISIBLE __attribute__((pcs("aapcs"))) double __aeabi_ddiv(double a, double b);
__attribute__((pcs("aapcs"))) double __aeabi_ddiv(double a, double b) { return rtu::core::divide(a, b); }
#endif
}

namespace {

using namespace tl_device;

// The kernels, without those whose work the halves below do.
constexpr kernels::Kernels<float> table() {
    kernels::Kernels<float> out = device_table<kShared ? 2 : 1, Activation::kTanh>();
    out.coefficients = nullptr;
    out.forward = nullptr;
    out.state = nullptr;
    out.learn_linear = nullptr;
    out.learn_units = nullptr;
    return out;
}
constexpr kernels::Kernels<float> kTable = table();
Scratch scratch;
Watch watch;  // takes no memory in an image without the monitor

using Halves = DeviceHalves<kUnits, kObservations, kShared ? 2 : 1, Activation::kTanh>;
constexpr Agent with_halves(Agent agent) {
    for (int i = 0; i < agent.nets; ++i) {
        agent.net[i].cell.own_predict = Halves::predict;
        agent.net[i].cell.own_update = Halves::update;
        agent.net[i].cell.own_cotangent = Halves::cotangent;
    }
    return agent;
}
constexpr Agent kAgent = with_halves(bind(tl_learner_memory, scratch, &kTable));
static_assert(device_halves_fit<kUnits, kShared ? 2 : 1>(kAgent.net[0].cell), "");
static_assert(device_halves_fit<kUnits, kShared ? 2 : 1>(kAgent.net[kAgent.nets - 1].cell), "");
unsigned char *const memory = reinterpret_cast<unsigned char *>(&tl_learner_memory);
static_assert(config().body.cell.kind == cells::CellKind::kLinear && !config().values.on(), "");
static_assert(config().body.cell.units_per_pole == 1 && config().body.cell.activation == Activation::kTanh, "");

tl_simulated device;
tl_decoder decoder;
uint32_t limit = 0;                    // total number of control steps
bool written = false;                  // the host has changed the arena, which the monitor has not seen yet
bool recording = false;                // every update is reported
uint32_t saved = 0;                    // sequence of the newest checkpoint; 0: none
uint32_t save_every = 0, save_at = 0;  // steps between checkpoints, and those of the next one; 0: only when asked
uint32_t late = 0;                     // control steps since INIT that took longer than the plant's period
bool episode_due = false;              // one begins before virtual time continues: after an upload, after a drive
uint16_t tx_seq = 0;
Drive drive;
Outputs outputs;

constexpr tl_store_part kSaved[] = {{&tl_learner_memory, sizeof tl_learner_memory},
                                    {&tl_learner, offsetof(Learner, plant)}};
static_assert(sizeof tl_learner_memory % 4 == 0 && offsetof(Learner, plant) % 4 == 0, "");

void send(tl_frame &frame) {
    uint8_t wire[TL_WIRE_MAX];
    frame.type = TL_TYPE_LEARNER;
    frame.seq = tx_seq++;
    frame.t_us = static_cast<uint32_t>(tl_board_now_us());
    tl_board_send(nullptr, wire, tl_frame_encode(&frame, wire));
}

void put_monitor(uint8_t *p) {
    if constexpr (kMonitored) {
        const Findings &findings = watch.findings;
        p[0] |= static_cast<uint8_t>(TL_LEARNER_MONITORED | (findings.frozen ? TL_LEARNER_FROZEN : 0));
        p[1] = static_cast<uint8_t>(findings.all);
        tl_put_u16(p + 2, static_cast<uint16_t>(findings.rollbacks < 0xffffu ? findings.rollbacks : 0xffffu));
        tl_put_u32(p + 4, findings.validated);
    }
    tl_put_u32(p + 8, late);
}

bool running() { return tl_learner.steps < limit; }
bool driving() { return drive.session != 0; }

void send_status() {
    tl_frame frame = {};
    uint8_t *p = frame.payload;
    frame.size = TL_LEARNER_STATUS_BYTES;
    p[0] = TL_LEARNER_STATUS;
    const uint32_t words[] = {running() || driving() ? 1u : 0u, tl_learner.steps, limit, tl_learner.episodes};
    const float floats[] = {tl_learner.last_return, mean_return(tl_learner), scratch.info.value, scratch.info.delta};
    for (int i = 0; i < 4; ++i) tl_put_u32(p + 4 + 4 * i, words[i]);
    for (int i = 0; i < 4; ++i) tl_put_f32(p + 20 + 4 * i, floats[i]);
    tl_put_u32(p + 36, sizeof tl_learner_memory);
    const uint8_t shape[] = {kObservations, kActions, kUnits, kHidden};
    memcpy(p + 40, shape, sizeof shape);
    tl_put_u32(p + 44, saved);
    if (driving()) p[48] = TL_LEARNER_DRIVING;
    put_monitor(p + 48);
    send(frame);
}

// The plant's clock stops meanwhile, so nothing may move. What is not finite replaces no checkpoint.
void save() {
    save_at = tl_learner.steps + save_every;
    if (!finite(tl_learner_memory)) return;
    if (device.bridge.state == TL_STATE_ARMED || device.bridge.state == TL_STATE_RESETTING) return;
    if (tl_store_save(&tl_board_flash, kKind, kSaved, 2))
        saved = tl_store_sequence(&tl_board_flash, kKind, kSaved[0].bytes + kSaved[1].bytes);
}

void load() {
    if (!tl_store_load(&tl_board_flash, kKind, kSaved, 2)) return;
    saved = tl_store_sequence(&tl_board_flash, kKind, kSaved[0].bytes + kSaved[1].bytes);
    if (!finite(tl_learner_memory)) start(tl_learner, kAgent, tl_learner_memory, scratch, 0);
}

constexpr size_t kRecordBytes = 16 + sizeof(float) * kObservations;
static_assert(kRecordBytes + sizeof(float) <= TL_PAYLOAD_MAX, "");

void report(const Experience &experience) {
    if constexpr (kMonitored) inspect(watch, kAgent, tl_learner_memory, experience);
    if (!recording) return;
    tl_frame frame = {};
    uint8_t *p = frame.payload;
    frame.size = kRecordBytes;
    p[0] = TL_LEARNER_RECORD;
    p[1] = static_cast<uint8_t>(experience.flags);
    tl_put_u32(p + 4, tl_learner.steps);
    tl_put_f32(p + 8, experience.reward);
    tl_put_f32(p + 12, experience.action);
    for (int32_t i = 0; i < kObservations; ++i) tl_put_f32(p + 16 + 4 * i, experience.x[i]);
    if (experience.applied != nullptr) {
        p[1] |= TL_LEARNER_LIMITED;
        tl_put_f32(p + kRecordBytes, *experience.applied);
        frame.size = kRecordBytes + sizeof(float);
    }
    send(frame);
}

// Of two records, with which an episode ends and the next begins: none is lost, the learner waits for the line.
bool line_free() { return !recording || tl_board_room() >= 2 * TL_WIRE_MAX; }

// True where n bytes from `offset` lie in the arena and may be read or changed now.
bool allowed(uint32_t offset, uint32_t n) {
    return !running() && !driving() && n <= TL_LEARNER_CHUNK && offset <= sizeof tl_learner_memory &&
           n <= sizeof tl_learner_memory - offset;
}

void begin_watch() {
    if constexpr (kMonitored) tl_device::begin_watch(watch, kAgent, tl_learner_memory);
}

bool frozen() {
    if constexpr (kMonitored) return watch.findings.frozen;
    return false;
}

// Before the learner continues. An upload that is not finite leaves the snapshot of what was there before.
void watch_uploaded() {
    if (written && (!kMonitored || finite(tl_learner_memory))) begin_watch();
    written = false;
}

void begin_due() {
    if (episode_due) begin_episode(tl_learner, kAgent, report);
    episode_due = false;
}

// The monitor's reaction to a step; true when an episode has to begin.
bool settled() {
    if constexpr (kMonitored) {
        if (!settle(watch, kAgent, tl_learner_memory)) return false;
        scratch = Scratch{};
        if (frozen()) limit = 0;
        return true;
    }
    return false;
}

// A control step in virtual time; true when an episode ended.
bool step() {
    const bool ended = control_step(tl_learner, kAgent, report);
    if (settled()) {
        begin_episode(tl_learner, kAgent, report);
        if (running()) send_status();
    }
    return ended;
}

void end_drive() {
    drive.session = 0;
    send_status();
}

// After a period of the bridge that began at now_us.
void drive_on(uint64_t now_us) {
    const uint32_t episodes = tl_learner.episodes;
    const bool on = drive_period(drive, device.bridge, tl_learner, kAgent, outputs.given, now_us, report, settled);
    if (tl_board_now_us() - now_us > device.sheet.period_us) ++late;
    if (!on || frozen()) return end_drive();
    if (tl_learner.episodes != episodes && tl_learner.episodes % kWindow == 0) send_status();
}

tl_plant_result noted_step(void *state, const float *u) {
    outputs.given = u[0];
    return outputs.step(state, u);
}

void answer(const tl_frame &ask) {
    const uint8_t op = ask.size >= TL_LEARNER_HEAD ? ask.payload[0] : 0xff;
    const uint32_t first = ask.size >= 8 ? tl_get_u32(ask.payload + 4) : 0;
    const uint32_t second = ask.size >= 12 ? tl_get_u32(ask.payload + 8) : 0;
    if (op == TL_LEARNER_RUN && ask.size == 8) {
        drive.session = 0;
        watch_uploaded();
        begin_due();
        limit = frozen() ? 0 : first;
    }
    if (op == TL_LEARNER_STOP) drive.session = limit = 0;  // ignores any payload: stopping never fails on a detail
    if (op == TL_LEARNER_DRIVE && ask.size == 12 && !running()) {
        watch_uploaded();
        if (!frozen() && ask_drive(drive, device.bridge, ask.payload + 4, tl_board_now_us())) episode_due = true;
    }
    if (op == TL_LEARNER_SAVE && ask.size == 8) {
        save_every = first;
        save_at = tl_learner.steps + save_every;
        if (save_every == 0) save();
    }
    if (op == TL_LEARNER_RECORD && ask.size == 8) recording = first != 0;
    if (op == TL_LEARNER_INIT && ask.size == 8) {
        drive.session = limit = save_every = late = 0;
        written = episode_due = false;
        start(tl_learner, kAgent, tl_learner_memory, scratch, first, report);
        begin_watch();
    }
    if (op == TL_LEARNER_READ && ask.size == 12 && allowed(first, second)) {
        tl_frame frame = {};
        frame.payload[0] = TL_LEARNER_BYTES;
        tl_put_u32(frame.payload + 4, first);
        memcpy(frame.payload + 8, memory + first, second);
        frame.size = static_cast<uint8_t>(8 + second);
        send(frame);
        return;
    }
    if (op == TL_LEARNER_BYTES && ask.size >= 8 && allowed(first, ask.size - 8u)) {
        memcpy(memory + first, ask.payload + 8, ask.size - 8u);
        written = episode_due = true;
    }
    send_status();
}

void listen() {
    uint8_t bytes[256];
    const size_t n = tl_board_read(bytes, sizeof bytes);
    if (n == 0) return;
    tl_bridge_receive(&device.bridge, bytes, n, tl_board_now_us());
    tl_frame frame;
    const uint8_t *at = bytes;
    while (tl_decoder_next(&decoder, &at, bytes + n, &frame))
        if (frame.type == TL_TYPE_LEARNER) answer(frame);
}

}  // namespace

void tl_board_main(void) {
    tl_board board;
    tl_board_start(&board);
    tl_decoder_init(&decoder);
    start(tl_learner, kAgent, tl_learner_memory, scratch, 0);
    load();
    begin_watch();
    tl_simulated_options options = {};
    options.boot_id = board.boot_id;
    options.slew = TL_FIRMWARE_SLEW;
    if (!tl_simulated_init(&device, TL_FIRMWARE_PLANT, &options, tl_board_send, nullptr, tl_board_now_us())) return;
    outputs.step = device.plant.step;
    device.plant.step = noted_step;
    drive.session = 0;
    for (;;) {
        listen();
        const uint64_t now_us = tl_board_now_us();
        const bool period = now_us >= tl_bridge_due(&device.bridge);
        tl_bridge_tick(&device.bridge, now_us);
        tl_board_feed();
        if (period && driving()) drive_on(now_us);
        if (running() && line_free()) {
            const uint64_t before = tl_board_now_us();
            tl_count_begin();
            const bool ended = step();
            tl_count_end();
            if (tl_board_now_us() - before > tl_learner.plant->sheet->period_us) ++late;
            if (ended && save_every != 0 && tl_learner.steps >= save_at) save();
            if (!running() || (ended && tl_learner.episodes % kWindow == 0)) send_status();
        } else if (tl_bridge_due(&device.bridge) > tl_board_now_us()) {
            tl_board_sleep();
        }
    }
}
