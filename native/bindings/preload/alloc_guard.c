/* An interposed allocator that counts calls per thread. Loaded before libc (LD_PRELOAD), it counts and forwards each.
 *
 * Counted: malloc, calloc, realloc, free, posix_memalign, aligned_alloc, memalign, mmap, munmap. operator new and
 * strdup are counted through malloc. Counts only grow: read them before and after a section, from any
 * thread, and compare.
 * Source of the calls: glibc manual, "Replacing malloc". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "native/runtime/alloc_guard.h"

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void __libc_free(void*);
extern void* __libc_memalign(size_t, size_t);

enum { kThreads = 256 };

typedef struct {
  atomic_int tid; /* 0: free */
  atomic_ullong calls;
  _Atomic(void*) last; /* the last caller, for the error message */
} counter;

static counter counters[kThreads];
static _Thread_local counter* mine __attribute__((tls_model("initial-exec")));

static int current_tid(void) { return (int)syscall(SYS_gettid); }

static counter* counter_of(int tid) {
  for (int i = 0; i < kThreads; i++) {
    if (atomic_load(&counters[i].tid) == tid) return &counters[i];
  }
  return NULL;
}

/* A thread's counter, assigned at its first call. When all are assigned, threads share the last one: too high a count
 * is the safe side. */
static counter* own(void) {
  if (mine == NULL) {
    const int tid = current_tid();
    mine = counter_of(tid);
    for (int i = 0; mine == NULL && i < kThreads; i++) {
      int unused = 0;
      if (atomic_compare_exchange_strong(&counters[i].tid, &unused, tid)) mine = &counters[i];
    }
    if (mine == NULL) mine = &counters[kThreads - 1];
  }
  return mine;
}

#define NOTE()                                           \
  do {                                                   \
    counter* c = own();                                  \
    atomic_fetch_add(&c->calls, 1u);                     \
    atomic_store(&c->last, __builtin_return_address(0)); \
  } while (0)

void* malloc(size_t size) {
  NOTE();
  return __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  NOTE();
  return __libc_calloc(count, size);
}

void* realloc(void* block, size_t size) {
  NOTE();
  return __libc_realloc(block, size);
}

void free(void* block) {
  if (block == NULL) return;
  NOTE();
  __libc_free(block);
}

void* memalign(size_t alignment, size_t size) {
  NOTE();
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  NOTE();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** out, size_t alignment, size_t size) {
  NOTE();
  void* block = __libc_memalign(alignment, size);
  if (block == NULL) return ENOMEM;
  *out = block;
  return 0;
}

void* mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  NOTE();
  return (void*)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

int munmap(void* address, size_t length) {
  NOTE();
  return (int)syscall(SYS_munmap, address, length);
}

/* ---------------------------------------------------------------- queries (native/runtime/alloc_guard.h) */

int64_t alloc_guard_calls(int tid) {
  const counter* c = counter_of(tid == 0 ? current_tid() : tid);
  return c == NULL ? 0 : (int64_t)atomic_load(&c->calls);
}

int alloc_guard_last(int tid, char* out, size_t size) {
  const counter* c = counter_of(tid == 0 ? current_tid() : tid);
  Dl_info info;
  if (size == 0) return -1;
  out[0] = '\0';
  if (c == NULL || !dladdr(atomic_load(&c->last), &info)) return -1;
  const char* name = info.dli_sname != NULL ? info.dli_sname : info.dli_fname;
  strncpy(out, name != NULL ? name : "?", size - 1);
  out[size - 1] = '\0';
  return 0;
}
