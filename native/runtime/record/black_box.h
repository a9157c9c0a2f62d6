// The black box: the last minutes of records, in a ring of fixed size that survives the process (format:
// docs/blackbox.md).
//
// It has two files of one format. The loop's thread stores each record in the tail, a small ring in a file on a memory
// file system: the kernel keeps it when the process dies, and it is never written back, so that a store never waits for
// a disk, as a store into a mapped disk file may. A separate thread copies the slots to the ring on disk, and syncs it
// once a second. A clean end removes the tail; after a crash the reader merges the two.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace rtu::runtime::record {

struct BlackBoxLayout {
  static constexpr char kMagic[8] = {'R', 'T', 'U', 'B', 'B', 'O', 'X', 0};
  static constexpr uint32_t kVersion = 1;
  static constexpr size_t kHeaderBytes = 64;  // before the text
  static constexpr size_t kPage = 4096;
  static constexpr size_t kSlotHead = 16;  // sequence + 1 u64 (0: nothing here), CRC-32 of it and the record u64

  size_t record_bytes = 0;  // a multiple of 8
  uint64_t slots = 0;
  size_t first = 0;  // offset of slot 0, a multiple of kPage

  size_t slot_bytes() const { return kSlotHead + record_bytes; }
  uint64_t bytes() const { return first + slots * slot_bytes(); }
  uint64_t offset(uint64_t sequence) const { return first + sequence % slots * slot_bytes(); }
};

class BlackBox {
 public:
  // id: in both headers, to match a tail with its ring. text: UTF-8, the description of the records.
  struct Options {
    std::string path;       // the ring on disk; an existing file is replaced
    std::string tail_path;  // the tail; "": memory of the process, which does not survive it
    uint64_t id = 0;
    uint64_t slots = 0;
    uint64_t tail_slots = 8192;
    size_t record_bytes = 0;
    std::string text;
    int64_t flush_ns = 20'000'000;
    int64_t sync_ns = 1'000'000'000;
  };

  BlackBox() = default;
  ~BlackBox();
  BlackBox(const BlackBox&) = delete;
  BlackBox& operator=(const BlackBox&) = delete;

  // Allocates all space, on disk and in memory, and starts the thread. Returns 0 or an errno; `where` then names the
  // file.
  int open(const Options& options, std::string* where);

  // For the loop's thread: no system call. sequence: must increase by 1 per call. No effect if it is not open.
  void write(uint64_t sequence, const uint8_t* record) noexcept;

  // Copies the remaining slots, syncs, removes the tail, closes. Idempotent.
  void close();

  size_t record_bytes() const noexcept { return disk_.record_bytes; }
  uint64_t overwritten() const noexcept {
    return overwritten_.load(std::memory_order_relaxed);
  }  // before they were flushed
  bool is_open() const noexcept { return map_ != nullptr; }
  // errno of the first write, or sync, that failed
  int error() const noexcept { return error_.load(std::memory_order_relaxed); }

 private:
  int open_disk(const Options& options);
  int open_tail(const Options& options);
  int create_tail(const std::string& path);
  std::string header(const BlackBoxLayout& layout, const Options& options) const;
  void serve();
  void flush();
  bool fetch(uint64_t sequence, uint8_t* slot) const noexcept;
  void sync() noexcept;
  void failed(int error) noexcept;
  void put(uint64_t offset, const uint8_t* data, size_t n) noexcept;

  BlackBoxLayout disk_, tail_;
  int fd_ = -1;
  int tail_fd_ = -1;  // locked until the process ends: a file without a lock is from a crashed run
  std::string tail_path_;
  uint8_t* map_ = nullptr;
  std::atomic<uint64_t> written_{0};  // sequence after the newest record in the tail
  uint64_t flushed_ = 0;
  std::unique_ptr<uint8_t[]> batch_;
  std::atomic<uint64_t> overwritten_{0};
  std::atomic<int> error_{0};
  int64_t flush_ns_ = 0, sync_ns_ = 0;
  bool closing_ = false;
  std::mutex mutex_;
  std::mutex closers_;
  std::condition_variable wake_;
  std::thread thread_;
};

}  // namespace rtu::runtime::record
