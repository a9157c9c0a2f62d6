/* Queries of the loop and tests to the interposed allocator (native/bindings/preload). The functions are weak symbols:
 * null unless the interposer is loaded.
 *
 *     const int64_t before = alloc_guard_calls(0);
 *     ... 100 000 steps ...
 *     CHECK(alloc_guard_calls(0) == before);
 *
 * The programs tests/native/test_heap_*.cpp run with the interposer loaded (tests/test_heap.py). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Number of allocator calls so far by one thread of this process (gettid; 0: the calling thread). Never fails. */
__attribute__((weak, visibility("default"))) int64_t alloc_guard_calls(int tid);

/* Writes the name of the function (or the file) that called the allocator last in that thread. 0, or -1 when
 * unknown. */
__attribute__((weak, visibility("default"))) int alloc_guard_last(int tid, char* out, size_t size);

#ifdef __cplusplus
}
#endif
