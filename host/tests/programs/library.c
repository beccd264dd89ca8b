/* A library that makes system calls with instructions of its own, as some do: `look` in the form that can be
   redirected, `look_otherwise` in one that cannot. Compiled as a shared library by the tests. */
#include <stdint.h>
#include <string.h>

#define STATX 332

long look(const char *path, void *out) {
    register long r10 __asm__("r10") = 0x7ff;
    register void *r8 __asm__("r8") = out;
    register long r9 __asm__("r9") = 0x1234567;
    long result;
    __asm__ volatile(
        "movl $332, %%eax\n syscall\n testq %%rax, %%rax\n"
        : "=a"(result), "+r"(r10), "+r"(r8), "+r"(r9)
        : "D"(-100L), "S"(path), "d"(0L)
        : "rcx", "r11", "memory");
    return r9 == 0x1234567 && r10 == 0x7ff && r8 == out ? result : 77;
}

long look_otherwise(const char *path, void *out) {
    register long r10 __asm__("r10") = 0x7ff;
    register void *r8 __asm__("r8") = out;
    long result;
    __asm__ volatile("movl $332, %%eax\n syscall\n nop\n"
                     : "=a"(result) : "D"(-100L), "S"(path), "d"(0L), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
    return result;
}

/* Whether the wide registers are what they were after a call. */
__attribute__((target("avx"))) int keeps(const char *path, void *out) {
    uint8_t before[64], after[64];
    for (int at = 0; at < 64; at++) before[at] = at * 7 + 1;
    memset(after, 0, sizeof after);
    register long r10 __asm__("r10") = 0x7ff;
    register void *r8 __asm__("r8") = out;
    long result;
    __asm__ volatile(
        "vmovups (%[before]), %%ymm3\n vmovups 32(%[before]), %%ymm15\n"
        "movl $332, %%eax\n syscall\n testq %%rax, %%rax\n"
        "vmovups %%ymm3, (%[after])\n vmovups %%ymm15, 32(%[after])\n"
        : "=a"(result)
        : "D"(-100L), "S"(path), "d"(0L), "r"(r10), "r"(r8), [before] "r"(before), [after] "r"(after)
        : "rcx", "r11", "memory", "xmm3", "xmm15");
    return result == 0 && memcmp(before, after, 64) == 0;
}
