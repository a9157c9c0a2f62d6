#include "native/runtime/record/black_box.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>

#include "firmware_bridge/protocol/crc32.h"
#include "native/runtime/clock.h"
#include "native/runtime/threads.h"

namespace rtu::runtime::record {
namespace {

constexpr uint64_t kBatch = 64;  // slots flushed in one write

uint32_t crc_of(uint64_t mark, const uint8_t* record, size_t n) noexcept {
  return tl_crc32(tl_crc32(0, &mark, sizeof mark), record, n);
}

// A slot may be read while it is written over: it is accessed word by word, so that this is no data race, and the CRC
// detects it.
void store(uint8_t* to, const uint8_t* from, size_t n) noexcept {
  for (size_t i = 0; i < n; i += 8) {
    uint64_t word;
    memcpy(&word, from + i, 8);
    __atomic_store_n(reinterpret_cast<uint64_t*>(to + i), word, __ATOMIC_RELAXED);
  }
}

void load(uint8_t* to, const uint8_t* from, size_t n) noexcept {
  for (size_t i = 0; i < n; i += 8) {
    const uint64_t word = __atomic_load_n(reinterpret_cast<const uint64_t*>(from + i), __ATOMIC_RELAXED);
    memcpy(to + i, &word, 8);
  }
}

}  // namespace

BlackBox::~BlackBox() { close(); }

int BlackBox::open(const Options& options, std::string* where) {
  const size_t first = (BlackBoxLayout::kHeaderBytes + options.text.size() + BlackBoxLayout::kPage - 1) /
                       BlackBoxLayout::kPage * BlackBoxLayout::kPage;
  disk_ = {options.record_bytes, options.slots, first};
  tail_ = {options.record_bytes, options.tail_slots < options.slots ? options.tail_slots : options.slots, first};
  flush_ns_ = options.flush_ns;
  sync_ns_ = options.sync_ns;
  batch_.reset(new uint8_t[kBatch * disk_.slot_bytes()]());
  *where = options.path;
  int error = open_disk(options);
  if (error == 0) {
    *where = options.tail_path;
    error = open_tail(options);
  }
  if (error != 0) {
    close();
    return error;
  }
  thread_ = start_thread("rtu-blackbox", [this] { serve(); });
  return 0;
}

// Allocates all blocks now: a full disk is detected before arming.
int BlackBox::open_disk(const Options& options) {
  fd_ = ::open(options.path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) return errno;
  (void)flock(fd_, LOCK_EX | LOCK_NB);  // held until this process ends: shows readers whether it still runs
  const int error = posix_fallocate(fd_, 0, static_cast<off_t>(disk_.bytes()));
  if (error != 0) return error;
  const std::string head = header(disk_, options);
  put(0, reinterpret_cast<const uint8_t*>(head.data()), head.size());
  if (error_.load() != 0) return error_.load();
  return fsync(fd_) == 0 ? 0 : errno;
}

// A new file, locked. Between its creation and the lock another process may mistake it for a crashed run's file and
// remove it.
int BlackBox::create_tail(const std::string& path) {
  for (int attempt = 0; attempt < 8; ++attempt) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return errno;
    tail_fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (tail_fd_ < 0) return errno;
    struct stat status;
    const bool locked = flock(tail_fd_, LOCK_EX | LOCK_NB) == 0;
    if (locked && fstat(tail_fd_, &status) == 0 && status.st_nlink > 0) return 0;
    if (!locked && errno != EWOULDBLOCK) return 0;  // a file system without locks, where no cleanup takes place either
    ::close(tail_fd_);
    tail_fd_ = -1;
  }
  return EAGAIN;
}

int BlackBox::open_tail(const Options& options) {
  const size_t bytes = static_cast<size_t>(tail_.bytes());
  if (!options.tail_path.empty()) {
    if (const int error = create_tail(options.tail_path)) return error;
    tail_path_ = options.tail_path;
    if (const int error = posix_fallocate(tail_fd_, 0, static_cast<off_t>(bytes))) return error;
  }
  void* map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                   tail_fd_ >= 0 ? MAP_SHARED | MAP_POPULATE : MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, tail_fd_, 0);
  if (map == MAP_FAILED) return errno;
  map_ = static_cast<uint8_t*>(map);
  (void)mlock(map_, bytes);  // if not permitted, the pages are at least touched
  for (size_t i = 0; i < bytes; i += BlackBoxLayout::kPage) map_[i] = 0;
  const std::string head = header(tail_, options);
  memcpy(map_, head.data(), head.size());
  return 0;
}

std::string BlackBox::header(const BlackBoxLayout& layout, const Options& options) const {
  const uint32_t words[] = {BlackBoxLayout::kVersion, static_cast<uint32_t>(layout.first),
                            static_cast<uint32_t>(layout.slot_bytes()), static_cast<uint32_t>(layout.record_bytes)};
  const uint64_t wide[] = {layout.slots, options.id};
  const uint32_t text_bytes = static_cast<uint32_t>(options.text.size());
  std::string head(BlackBoxLayout::kHeaderBytes, '\0');
  memcpy(&head[0], BlackBoxLayout::kMagic, 8);
  memcpy(&head[8], words, sizeof words);
  memcpy(&head[24], wide, sizeof wide);
  memcpy(&head[40], &text_bytes, 4);
  head += options.text;
  const uint32_t crc = tl_crc32(0, head.data(), head.size());  // zero-padded if it fits
  memcpy(&head[44], &crc, 4);
  return head;
}

void BlackBox::write(uint64_t sequence, const uint8_t* record) noexcept {
  if (map_ == nullptr) return;
  uint8_t* slot = map_ + tail_.offset(sequence);
  const uint64_t mark = sequence + 1;
  const uint64_t head[] = {mark, crc_of(mark, record, tail_.record_bytes)};
  store(slot, reinterpret_cast<const uint8_t*>(head), sizeof head);
  store(slot + sizeof head, record, tail_.record_bytes);
  written_.store(mark, std::memory_order_release);
}

void BlackBox::serve() {
  const Clock clock = monotonic_clock();
  int64_t synced_ns = clock.now();
  uint64_t synced = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  while (!closing_) {
    wake_.wait_for(lock, std::chrono::nanoseconds(flush_ns_), [this] { return closing_; });
    lock.unlock();
    flush();
    if (clock.now() - synced_ns >= sync_ns_ && flushed_ != synced) {
      sync();
      synced_ns = clock.now();
      synced = flushed_;
    }
    lock.lock();
  }
}

// Copies the tail's new slots to the disk, in as few writes as the two rings allow.
void BlackBox::flush() {
  const uint64_t end = written_.load(std::memory_order_acquire);
  if (end - flushed_ > tail_.slots) {
    overwritten_ += end - flushed_ - tail_.slots;
    flushed_ = end - tail_.slots;
  }
  while (flushed_ < end) {
    uint64_t count = 0;
    const uint64_t start = flushed_, room = disk_.slots - start % disk_.slots;
    while (count < kBatch && count < room && start + count < end) {
      if (!fetch(start + count, batch_.get() + count * disk_.slot_bytes())) ++overwritten_;
      ++count;
    }
    put(disk_.offset(start), batch_.get(), count * disk_.slot_bytes());
    flushed_ = start + count;
  }
}

// False when the loop has overwritten the slot meanwhile; it is then marked empty.
bool BlackBox::fetch(uint64_t sequence, uint8_t* slot) const noexcept {
  load(slot, map_ + tail_.offset(sequence), disk_.slot_bytes());
  uint64_t mark;
  uint32_t crc;
  memcpy(&mark, slot, 8);
  memcpy(&crc, slot + 8, 4);
  if (mark == sequence + 1 && crc == crc_of(mark, slot + BlackBoxLayout::kSlotHead, disk_.record_bytes)) return true;
  memset(slot, 0, disk_.slot_bytes());
  return false;
}

void BlackBox::failed(int error) noexcept {
  int none = 0;
  error_.compare_exchange_strong(none, error);
}

// The system reports a failed write once, to the next sync.
void BlackBox::sync() noexcept {
  if (fdatasync(fd_) != 0) failed(errno);
}

void BlackBox::put(uint64_t offset, const uint8_t* data, size_t n) noexcept {
  while (n > 0) {
    const ssize_t done = pwrite(fd_, data, n, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return failed(done < 0 ? errno : EIO);
    data += done;
    offset += static_cast<uint64_t>(done);
    n -= static_cast<size_t>(done);
  }
}

void BlackBox::close() {
  const std::lock_guard<std::mutex> one(closers_);
  if (thread_.joinable()) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      closing_ = true;
    }
    wake_.notify_all();
    thread_.join();
    flush();
  }
  if (fd_ >= 0) {
    sync();
    ::close(fd_);
    fd_ = -1;
    // Slots that could not be written stay in the tail.
    if (error_.load() == 0 && !tail_path_.empty()) ::unlink(tail_path_.c_str());
  }
  if (tail_fd_ >= 0) ::close(tail_fd_);
  tail_fd_ = -1;
  if (map_ != nullptr) munmap(map_, static_cast<size_t>(tail_.bytes()));
  map_ = nullptr;
}

}  // namespace rtu::runtime::record
