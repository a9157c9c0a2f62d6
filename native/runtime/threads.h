// The threads of the runtime: named, and without signals, which belong to the threads that were there before.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <thread>

namespace rtu::runtime {

// While it lives, no signal is delivered to the thread that made it, nor to those that this one starts.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

// name: at most 15 characters, and it outlives the thread. Throws std::system_error where the system has no thread to
// give.
template <class Body>
std::thread start_thread(const char* name, Body body) {
  const SignalsBlocked blocked;
  return std::thread([name, body] {
    pthread_setname_np(pthread_self(), name);
    body();
  });
}

}  // namespace rtu::runtime
