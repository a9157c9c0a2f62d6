// The learner monitor on the board: the host's checks of values, TD error and actions after each update, and one
// snapshot in RAM to which a finding goes back. Built where TL_LEARNER_MONITOR is 1; cost: docs/firmware_learner.md.
#pragma once

#include "firmware_bridge/boards/stm32f405/learner_model.h"
#include "native/learners/learner_monitor.h"

#if !defined(TL_LEARNER_MONITOR)
#define TL_LEARNER_MONITOR 0
#endif

namespace tl_device {

constexpr bool kMonitored = TL_LEARNER_MONITOR != 0;
constexpr uint32_t kScanned = 32;      // floats of the memory that each update checks, in rotation
constexpr uint32_t kMaxRollbacks = 3;  // until a snapshot is validated; one more freezes the learner

// The defaults of [learner_monitor] (docs/configuration_safety.md), but for checks that need a table of sections.
constexpr learners::MonitorConfig monitor_config() {
    learners::MonitorConfig out;
    out.td_error = 100;
    out.saturated_steps = 500;
    return out;
}

// Since INIT, the last start, or the upload of a finite memory.
struct Findings {
    uint32_t now = 0;  // MonitorTrigger bits of this control step
    uint32_t all = 0;
    uint32_t rollbacks = 0, in_a_row = 0, validated = 0, halvings = 0;
    uint32_t next = 0;  // float at which the rotation continues
    bool frozen = false;
};

struct Watch {
    learners::LearnerMonitor monitor;  // without a table: the memory is one array of floats
    Findings findings;
    Memory snapshot;
};

constexpr uint32_t kFloats = sizeof(Memory::f32) / sizeof(float);

inline bool finite(const Memory &memory) { return learners::finite_block(memory.f32, kFloats); }

// The next floats in rotation.
inline bool scan(Watch &watch, const Memory &memory) {
    const uint32_t from = watch.findings.next, left = kFloats - from, n = left < kScanned ? left : kScanned;
    watch.findings.next = n == left ? 0 : from + n;
    return learners::finite_block(memory.f32 + from, n);
}

// What an update ended in: a NaN in a layer's weight, the cell's state, a trace or an eligibility shows in one of them.
// What a transform or an activation has hidden is found by the rotation.
inline bool finite_step(const Agent &agent) {
    const float step[] = {agent.info->value, agent.info->delta, agent.info->norm};
    return learners::finite_block(step, 3) && learners::finite_block(agent.action, kActions) &&
           learners::healthy(agent.observation) && learners::healthy(agent.reward);
}

// Begins with a snapshot of a finite memory, which counts as validated.
inline void begin_watch(Watch &watch, const Agent &agent, const Memory &memory) {
    watch.monitor = learners::LearnerMonitor{};
    watch.monitor.config = monitor_config();
    watch.findings = Findings{};
    const float halvings = agent.scalars[learners::kHalvings];
    if (halvings > 0 && halvings <= learners::kMaxHalvings) watch.findings.halvings = static_cast<uint32_t>(halvings);
    memcpy(&watch.snapshot, &memory, sizeof memory);
}

// After each update.
inline void inspect(Watch &watch, const Agent &agent, const Memory &memory, const Experience &experience) {
    uint32_t &now = watch.findings.now;
    now |= learners::inspect_action(watch.monitor, &experience.action, 1);
    if (!finite_step(agent) || !scan(watch, memory)) now |= learners::kTriggerNonFinite;
    if (now == 0 && (experience.flags & (TL_LEARNER_FIRST | TL_LEARNER_TERMINATED)) == 0)
        now |= learners::inspect_delta(watch.monitor, static_cast<double>(agent.info->delta));
}

// A control step without a finding: takes the snapshot or validates it when due.
inline void age(Watch &watch, const Agent &agent, const Memory &memory) {
    Findings &findings = watch.findings;
    learners::MonitorMemory &monitor = watch.monitor.memory;
    ++monitor.age;
    if (monitor.candidate >= 0) {
        if (monitor.age < watch.monitor.config.validation_steps) return;
        monitor.candidate = -1;
        findings.in_a_row = 0;
        ++findings.validated;
        if (findings.halvings > 0) agent.scalars[learners::kHalvings] = static_cast<float>(--findings.halvings);
    } else if (monitor.age >= watch.monitor.config.snapshot_steps) {
        monitor.age = 0;
        if (!finite(memory)) {
            findings.now = learners::kTriggerNonFinite;
            return;
        }
        memcpy(&watch.snapshot, &memory, sizeof memory);
        monitor.candidate = 0;
    }
}

// After each control step. True: there was a finding, the memory is that of the snapshot with half the step size, and
// an episode has to begin. The snapshot may be one that is not validated yet, because there is no other; from one that
// leads to findings again and again the learner does not recover: it is frozen.
inline bool settle(Watch &watch, const Agent &agent, Memory &memory) {
    Findings &findings = watch.findings;
    if (findings.now == 0) age(watch, agent, memory);
    if (findings.now == 0) return false;
    findings.all |= findings.now;
    findings.now = findings.next = 0;
    ++findings.rollbacks;
    if (findings.halvings < learners::kMaxHalvings) ++findings.halvings;
    findings.frozen = ++findings.in_a_row > kMaxRollbacks;
    watch.monitor.memory.age = watch.monitor.memory.saturated = 0;
    memcpy(&memory, &watch.snapshot, sizeof memory);
    agent.scalars[learners::kHalvings] = static_cast<float>(findings.halvings);
    return true;
}

}  // namespace tl_device
