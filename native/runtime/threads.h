// The threads of the runtime: named, and without signals, which belong to the threads that were there before.
#ifndef RTU_RUNTIME_THREADS_H
#define RTU_RUNTIME_THREADS_H

#include <pthread.h>
#include <signal.h>

#include <thread>

namespace rtu::runtime {

// name: at most 15 characters, and it outlives the thread.
template <class Body>
std::thread start_thread(const char* name, Body body) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread([name, body] {
    pthread_setname_np(pthread_self(), name);
    body();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace rtu::runtime

#endif
