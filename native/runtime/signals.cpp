#include "native/runtime/signals.h"

#include <signal.h>

#include <atomic>
#include <mutex>

namespace rtu::runtime {
namespace {

constexpr int kCaught[] = {SIGINT, SIGTERM, SIGHUP};
constexpr int kCaughtCount = 3;
std::atomic<int> count{0};
std::atomic<int> hung_up{0};  // 1 after a SIGHUP
std::mutex installing;
int users = 0;
struct sigaction before[kCaughtCount];

static_assert(std::atomic<int>::is_always_lock_free, "the handler may not lock");

void on_signal(int number) {
  if (number == SIGHUP) {
    hung_up.store(1, std::memory_order_relaxed);
  } else {
    count.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace

void catch_signals() noexcept {
  const std::lock_guard<std::mutex> lock(installing);
  if (users++ > 0) return;
  count.store(0, std::memory_order_relaxed);
  hung_up.store(0, std::memory_order_relaxed);
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (int i = 0; i < kCaughtCount; ++i) {
    sigaction(kCaught[i], nullptr, &before[i]);
    if (kCaught[i] == SIGHUP && before[i].sa_handler == SIG_IGN) continue;
    sigaction(kCaught[i], &action, nullptr);
  }
}

void release_signals() noexcept {
  const std::lock_guard<std::mutex> lock(installing);
  if (--users > 0) return;
  for (int i = 0; i < kCaughtCount; ++i) sigaction(kCaught[i], &before[i], nullptr);
}

int signals_caught() noexcept {
  const int asked = count.load(std::memory_order_relaxed);
  return asked > 0 ? asked : hung_up.load(std::memory_order_relaxed);
}

}  // namespace rtu::runtime
