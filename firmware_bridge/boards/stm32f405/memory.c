/* Functions that a compiler calls implicitly, for builds without a C library. Copies words if both ends are aligned,
 * which is the usual case. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The only place that reads bytes as words of another type. On an Arm four words are one LDM and one STM; elsewhere the
 * compiler would call memcpy for them. */
typedef uint32_t __attribute__((may_alias)) tl_word;
#ifdef __arm__
typedef struct __attribute__((may_alias)) {
    uint32_t words[4];
} tl_quad;
#endif

static int aligned(const void *a, const void *b) { return (((uintptr_t)a | (uintptr_t)b) & 3u) == 0; }

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
    unsigned char *out = (unsigned char *)to;
    const unsigned char *in = (const unsigned char *)from;
    if (aligned(to, from)) {
#ifdef __arm__
        for (; n >= 16; n -= 16, out += 16, in += 16) *(tl_quad *)out = *(const tl_quad *)in;
#endif
        for (; n >= 4; n -= 4, out += 4, in += 4) *(tl_word *)out = *(const tl_word *)in;
    }
    while (n-- != 0) *out++ = *in++;
    return to;
}

void *memmove(void *to, const void *from, size_t n) {
    unsigned char *out = (unsigned char *)to;
    const unsigned char *in = (const unsigned char *)from;
    if ((uintptr_t)out - (uintptr_t)in >= n) return memcpy(to, from, n);
    while (n-- != 0) out[n] = in[n];
    return to;
}

void *memset(void *to, int value, size_t n) {
    unsigned char *out = (unsigned char *)to;
    const unsigned char byte = (unsigned char)value;
    const uint32_t word = byte * 0x01010101u;
    if (aligned(to, to))
        for (; n >= 4; n -= 4, out += 4) *(tl_word *)out = word;
    while (n-- != 0) *out++ = byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t n) {
    const unsigned char *p = (const unsigned char *)a, *q = (const unsigned char *)b;
    for (; n != 0; n--, p++, q++)
        if (*p != *q) return *p < *q ? -1 : 1;
    return 0;
}

void *memchr(const void *from, int value, size_t n) {
    const unsigned char *in = (const unsigned char *)from;
    for (; n != 0; n--, in++)
        if (*in == (unsigned char)value) return (void *)(uintptr_t)in;
    return NULL;
}

size_t strlen(const char *text) {
    size_t n = 0;
    while (text[n] != '\0') n++;
    return n;
}
