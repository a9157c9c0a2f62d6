// The black box between the loop's thread, its own, and the disk. Also run under ThreadSanitizer.
#include "native/runtime/record/black_box.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "firmware_bridge/protocol/crc32.h"

using namespace rtu::runtime;
using namespace rtu::runtime::record;

namespace {
std::atomic<int> syncs_that_fail{0};
}

// Replaces the C library's: the next sync reports a disk failure, once.
extern "C" int fdatasync(int) {
  if (syncs_that_fail.load() == 0) return 0;
  --syncs_that_fail;
  errno = EIO;
  return -1;
}

namespace {

constexpr size_t kRecord = 168;

std::string folder;

BlackBox::Options options(const char* name, uint64_t slots, uint64_t tail_slots) {
  BlackBox::Options o;
  o.path = folder + "/" + name;
  o.tail_path = folder + "/" + name + ".tail";
  o.id = 77;
  o.slots = slots;
  o.tail_slots = tail_slots;
  o.record_bytes = kRecord;
  o.text = "what the records mean";
  return o;
}

std::vector<uint8_t> record(uint64_t sequence) {
  std::vector<uint8_t> bytes(kRecord);
  for (size_t i = 0; i < kRecord; ++i) bytes[i] = static_cast<uint8_t>(sequence * 31 + i);
  return bytes;
}

// Intact records of a file, each in its slot; fails on wrong contents.
std::vector<uint64_t> found(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<uint8_t> data((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  uint64_t slots = 0;
  uint32_t first = 0;
  memcpy(&slots, data.data() + 24, 8);
  memcpy(&first, data.data() + 12, 4);
  const size_t stride = BlackBoxLayout::kSlotHead + kRecord;
  CHECK(data.size() == first + slots * stride && first % 4096 == 0);
  std::vector<uint64_t> sequences;
  for (uint64_t i = 0; i < slots; ++i) {
    const uint8_t* slot = data.data() + first + i * stride;
    uint64_t mark = 0;
    uint32_t crc = 0;
    memcpy(&mark, slot, 8);
    memcpy(&crc, slot + 8, 4);
    if (mark == 0) continue;
    CHECK((mark - 1) % slots == i);
    CHECK(crc == tl_crc32(tl_crc32(0, slot, 8), slot + BlackBoxLayout::kSlotHead, kRecord));
    CHECK(memcmp(slot + BlackBoxLayout::kSlotHead, record(mark - 1).data(), kRecord) == 0);
    sequences.push_back(mark - 1);
  }
  return sequences;
}

bool there(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0;
}

void the_last_records_are_on_the_disk_after_closing() {
  std::string where;
  BlackBox box;
  const auto o = options("closed", 100, 64);
  CHECK(box.open(o, &where) == 0);
  CHECK(there(o.tail_path));
  for (uint64_t i = 0; i < 250; ++i) {
    box.write(i, record(i).data());
    if (i % 50 == 49) std::this_thread::sleep_for(std::chrono::milliseconds(60));  // three times flush_ns
  }
  box.close();
  box.close();
  CHECK(!there(o.tail_path));
  const auto sequences = found(o.path);
  CHECK(sequences.size() + box.overwritten() >= 100 && sequences.size() <= 100);
  for (const uint64_t sequence : sequences) CHECK(sequence >= 150);
}

void the_tail_has_the_newest_before_they_are_carried() {
  std::string where;
  BlackBox box;
  auto o = options("tail", 100, 16);
  o.flush_ns = 60'000'000'000;  // not in this test
  CHECK(box.open(o, &where) == 0);
  for (uint64_t i = 0; i < 20; ++i) box.write(i, record(i).data());
  CHECK(found(o.path).empty());
  CHECK(found(o.tail_path).size() == 16);
  box.close();
  CHECK(found(o.path).size() == 16 && box.overwritten() == 4);
}

// A continuous writer overtakes the flushing thread: flushed records are still intact, and lost ones are counted.
void a_lapped_tail_gives_no_torn_record() {
  std::string where;
  BlackBox box;
  auto o = options("lapped", 4096, 8);
  o.flush_ns = 1'000;
  CHECK(box.open(o, &where) == 0);
  std::thread loop([&box] {
    for (uint64_t i = 0; i < 20'000; ++i) box.write(i, record(i).data());
  });
  loop.join();
  box.close();
  const auto sequences = found(o.path);
  CHECK(!sequences.empty() && box.error() == 0);
}

void what_cannot_be_opened_is_named() {
  std::string where;
  BlackBox box;
  auto o = options("x", 10, 10);
  o.path = folder + "/no/such/folder";
  CHECK(box.open(o, &where) == ENOENT && where == o.path);
  BlackBox other;
  o = options("y", 10, 10);
  o.tail_path = folder + "/no/such/tail";
  CHECK(other.open(o, &where) == ENOENT && where == o.tail_path);
  BlackBox large;
  o = options("z", uint64_t{1} << 48, 10);
  CHECK(large.open(o, &where) != 0 && where == o.path);
}

void without_a_shared_file_the_tail_is_memory() {
  std::string where;
  BlackBox box;
  auto o = options("memory", 10, 10);
  o.tail_path.clear();
  CHECK(box.open(o, &where) == 0);
  for (uint64_t i = 0; i < 7; ++i) box.write(i, record(i).data());
  box.close();
  CHECK(found(o.path).size() == 7);
}

// Only the tail is guaranteed to hold them.
void a_disk_that_fails_between_two_writes_leaves_the_tail() {
  BlackBox box;
  std::string where;
  BlackBox::Options o = options("failed", 100, 100);
  o.sync_ns = 0;
  o.flush_ns = 1'000'000;
  CHECK(box.open(o, &where) == 0 && box.is_open());
  syncs_that_fail = 1;
  for (uint64_t i = 0; i < 7; ++i) box.write(i, record(i).data());
  while (syncs_that_fail.load() != 0) std::this_thread::yield();
  box.close();
  CHECK(box.error() == EIO);
  CHECK(access(o.tail_path.c_str(), F_OK) == 0);
  // Closed: nothing to write to.
  CHECK(!box.is_open());
  box.write(7, record(7).data());
}

}  // namespace

int main() {
  char name[] = "/tmp/rtu_blackbox_XXXXXX";
  CHECK(mkdtemp(name) != nullptr);
  folder = name;
  the_last_records_are_on_the_disk_after_closing();
  the_tail_has_the_newest_before_they_are_carried();
  a_lapped_tail_gives_no_torn_record();
  what_cannot_be_opened_is_named();
  without_a_shared_file_the_tail_is_memory();
  a_disk_that_fails_between_two_writes_leaves_the_tail();
  for (const char* file : {"closed", "tail", "lapped", "memory", "failed", "y", "z"}) {
    unlink((folder + "/" + file).c_str());
    unlink((folder + "/" + file + ".tail").c_str());
  }
  CHECK(rmdir(name) == 0);
}
