#include "native/runtime/signals.h"

#include <signal.h>

#include <atomic>
#include <mutex>

namespace rtu::runtime {
namespace {

constexpr int kCaught[] = {SIGINT, SIGTERM};
std::atomic<int> count{0};
std::mutex installing;
int users = 0;
struct sigaction before[2];

static_assert(std::atomic<int>::is_always_lock_free, "the handler may not lock");

void on_signal(int) { count.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

void catch_signals() noexcept {
  const std::lock_guard<std::mutex> lock(installing);
  if (users++ > 0) return;
  count.store(0, std::memory_order_relaxed);
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (int i = 0; i < 2; ++i) sigaction(kCaught[i], &action, &before[i]);
}

void release_signals() noexcept {
  const std::lock_guard<std::mutex> lock(installing);
  if (--users > 0) return;
  for (int i = 0; i < 2; ++i) sigaction(kCaught[i], &before[i], nullptr);
}

int signals_caught() noexcept { return count.load(std::memory_order_relaxed); }

}  // namespace rtu::runtime
