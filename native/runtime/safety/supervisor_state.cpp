// The supervisor's part of a checkpoint (docs/checkpoint.md, "The supervisor's block"):
//
//   version u32, snapshots u32, SupervisorMemory, MonitorMemory, then each snapshot in the canonical bytes of the
//   learner's sections: the validated ones, oldest first, then the candidate.     Little-endian throughout.
#include <string.h>

#include "native/core/checkpoint.h"
#include "native/runtime/safety/supervisor.h"

namespace rtu::runtime::safety {
namespace {

constexpr size_t kMemories = sizeof(SupervisorMemory) + sizeof(learners::MonitorMemory);
constexpr size_t kHead = 2 * sizeof(uint32_t) + kMemories;

struct Read {
  SupervisorMemory supervisor;
  learners::MonitorMemory monitor;
};

Read read_memories(const unsigned char* in) noexcept {
  Read read;
  memcpy(&read.supervisor, in, sizeof read.supervisor);
  memcpy(&read.monitor, in + sizeof read.supervisor, sizeof read.monitor);
  return read;
}

void write_memories(unsigned char* out, const SupervisorMemory& supervisor,
                    const learners::MonitorMemory& monitor) noexcept {
  memcpy(out, &supervisor, sizeof supervisor);
  memcpy(out + sizeof supervisor, &monitor, sizeof monitor);
}

// Layout of the snapshots, given by the version of the checkpoint that contains the block.
uint32_t layout_of(uint32_t block_version) noexcept {
  return block_version == 1   ? core::kLastWideVersion
         : block_version == 2 ? core::kLastDoubleVersion
                              : core::kCheckpointVersion;
}

bool sound(const SupervisorMemory& memory) noexcept {
  return memory.halvings >= 0 && memory.halvings <= learners::kMaxHalvings;
}

// Checks that the scan positions lie within this state and the numbers are finite.
bool sound(const learners::MonitorMemory& memory, const learners::LearnerMonitor& monitor) noexcept {
  const double numbers[] = {memory.sum_change, memory.sum_before,    memory.sum_now,
                            memory.td_scale,   memory.lowest_nu_log, static_cast<double>(memory.saturated_at)};
  for (const double x : numbers)
    if (!(x - x == 0)) return false;
  const int32_t sections = monitor.table->count;
  return memory.scan_section >= 0 && memory.scan_section < sections && memory.weight_section >= 0 &&
         memory.weight_section < sections && memory.scan_row <= monitor.bytes && memory.scan_row % sizeof(double) == 0;
}

}  // namespace

size_t Supervisor::copy_bytes() const noexcept {
  return kMemories + (monitored_ ? learners::monitor_bytes(monitor_.config, monitor_.bytes) : 0);
}

void Supervisor::copy(unsigned char* out, bool full) noexcept {
  write_memories(out, memory_, monitor_.memory);
  if (!monitored_) return;
  for (int32_t slot = 0; slot <= monitor_.config.snapshots; ++slot) {
    if (!full && (uncopied_ >> slot & 1u) == 0) continue;
    const size_t at = static_cast<size_t>(slot) * monitor_.bytes;
    memcpy(out + kMemories + at, monitor_.slots + at, monitor_.bytes);
  }
  if (!full) uncopied_ = 0;
}

std::vector<unsigned char> Supervisor::encode(const unsigned char* copied) const {
  Read read = read_memories(copied);
  std::vector<int32_t> slots(read.monitor.validated, read.monitor.validated + read.monitor.n_validated);
  if (read.monitor.candidate >= 0) slots.push_back(read.monitor.candidate);
  // Slot indices are local to this process; the file holds the snapshots in order.
  for (int32_t i = 0; i < learners::kMaxSnapshots; ++i)
    read.monitor.validated[i] = i < read.monitor.n_validated ? i : 0;
  if (read.monitor.candidate >= 0) read.monitor.candidate = read.monitor.n_validated;
  const size_t bytes = slots.empty() ? 0 : static_cast<size_t>(core::payload_bytes(*monitor_.table));
  std::vector<unsigned char> out(kHead + slots.size() * bytes);
  const uint32_t head[] = {kSupervisorStateVersion, static_cast<uint32_t>(slots.size())};
  memcpy(out.data(), head, sizeof head);
  write_memories(out.data() + sizeof head, read.supervisor, read.monitor);
  unsigned char* at = out.data() + kHead;
  for (const int32_t slot : slots) {
    const unsigned char* base = copied + kMemories + static_cast<size_t>(slot) * monitor_.bytes;
    core::gather_payload(*monitor_.table, base, at);
    at += bytes;
  }
  return out;
}

const char* Supervisor::check(const unsigned char* data, size_t n) const noexcept {
  if (n < kHead) return "cut short";
  uint32_t head[2];
  memcpy(head, data, sizeof head);
  if (head[0] < 1 || head[0] > kSupervisorStateVersion) return "of a version that this build does not support";
  if (head[1] > learners::kMaxSnapshots + 1u) return "with more snapshots than allowed";
  const Read read = read_memories(data + sizeof head);
  if (!sound(read.supervisor)) return "with a value out of its range";
  return monitored_ && head[1] > 0 ? check_monitor(read.monitor, head[1], layout_of(head[0]), data + kHead, n - kHead)
                                   : nullptr;
}

const char* Supervisor::restore(const unsigned char* data, size_t n) noexcept {
  if (const char* problem = check(data, n)) return problem;
  uint32_t head[2];
  memcpy(head, data, sizeof head);
  const Read read = read_memories(data + sizeof head);
  if (monitored_ && head[1] > 0) restore_monitor(read.monitor, head[1], layout_of(head[0]), data + kHead);
  memory_ = read.supervisor;
  counters_.monitor_frozen.set(memory_.frozen);
  counters_.switches_locked.set(memory_.locked);
  return nullptr;
}

const char* Supervisor::check_monitor(const learners::MonitorMemory& memory, uint32_t snapshots, uint32_t version,
                                      const unsigned char* data, size_t n) const noexcept {
  const size_t bytes = static_cast<size_t>(core::payload_bytes(*monitor_.table, version));
  const int32_t count = static_cast<int32_t>(snapshots), candidates = memory.candidate >= 0 ? 1 : 0;
  if (n != snapshots * bytes) return "of another learner";
  if (!sound(memory, monitor_) || memory.n_validated < 1 || memory.n_validated != count - candidates)
    return "with a value out of its range";
  for (uint32_t i = 0; i < snapshots; ++i)
    if (!core::good_payload(*monitor_.table, version, data + i * bytes)) return "with a snapshot that is not finite";
  return nullptr;
}

void Supervisor::restore_monitor(const learners::MonitorMemory& memory, uint32_t snapshots, uint32_t version,
                                 const unsigned char* data) noexcept {
  const size_t bytes = static_cast<size_t>(core::payload_bytes(*monitor_.table, version));
  const int32_t count = static_cast<int32_t>(snapshots), candidates = memory.candidate >= 0 ? 1 : 0;
  // A monitor with fewer slots than in the checkpoint drops the oldest snapshots.
  const int32_t room = monitor_.config.snapshots, forgotten = memory.n_validated > room ? memory.n_validated - room : 0;
  for (int32_t slot = 0; slot + forgotten < count; ++slot) {
    unsigned char* base = monitor_.slots + static_cast<size_t>(slot) * monitor_.bytes;
    const unsigned char* at = data + static_cast<size_t>(slot + forgotten) * bytes;
    learners::copy_state(base, monitor_.state, monitor_.bytes);  // for sections that are not saved: scratch
    core::scatter_payload(*monitor_.table, version, at, base);
  }
  monitor_.memory = memory;
  monitor_.memory.n_validated = memory.n_validated - forgotten;
  monitor_.memory.candidate = candidates != 0 ? monitor_.memory.n_validated : -1;
  for (int32_t i = 0; i < learners::kMaxSnapshots; ++i)
    monitor_.memory.validated[i] = i < monitor_.memory.n_validated ? i : 0;
}

}  // namespace rtu::runtime::safety
