/* What the loop and tests ask of the interposed allocator (native/bindings/preload). The functions are weak: without
 * the interposer in the process they are null.
 *
 *     const int64_t before = alloc_guard_calls(0);
 *     ... 100 000 steps ...
 *     CHECK(alloc_guard_calls(0) == before);
 *
 * A program tests/native/test_heap_*.cpp is run with the interposer loaded (tests/test_heap.py). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Calls of the allocator so far by one thread of this process (gettid), 0 for the calling thread; never fails. */
__attribute__((weak, visibility("default"))) int64_t alloc_guard_calls(int tid);

/* Writes the name of the function (or the file) that called the allocator last in that thread. 0, or -1 when
 * unknown. */
__attribute__((weak, visibility("default"))) int alloc_guard_last(int tid, char* out, size_t size);

#ifdef __cplusplus
}
#endif
