// Threads of the runtime: named, and with signals blocked, so that existing threads handle them.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <thread>

namespace rtu::runtime {

// While it exists, the thread that created it and threads started by that thread receive no signals.
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

// name: at most 15 characters; must outlive the thread. Throws std::system_error if the system cannot create a thread.
template <class Body>
std::thread start_thread(const char* name, Body body) {
  const SignalsBlocked blocked;
  return std::thread([name, body] {
    pthread_setname_np(pthread_self(), name);
    body();
  });
}

}  // namespace rtu::runtime
