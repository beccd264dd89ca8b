/* Memory for one call: handed out from one end and never taken back. Each call runs in an instance of its own,
   which is thrown away whole. */
#include "stdlib.h"
#include "string.h"
#include <stdint.h>

#define PAGE_BYTES 65536
#define ALIGNMENT 16

extern unsigned char __heap_base;
static uintptr_t top;

void *malloc(size_t bytes) {
  if (top == 0) top = ((uintptr_t)&__heap_base + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1);
  /* Its size stands before each piece, for realloc. */
  uintptr_t piece = top + ALIGNMENT;
  uintptr_t end = (piece + bytes + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1);
  if (end < piece) abort();
  uintptr_t there = __builtin_wasm_memory_size(0) * (uintptr_t)PAGE_BYTES;
  if (end > there && __builtin_wasm_memory_grow(0, (end - there + PAGE_BYTES - 1) / PAGE_BYTES) == (size_t)-1) abort();
  *(size_t *)top = bytes;
  top = end;
  return (void *)piece;
}

void *calloc(size_t count, size_t bytes) {
  if (bytes != 0 && count > SIZE_MAX / bytes) abort();
  return memset(malloc(count * bytes), 0, count * bytes);
}

void *realloc(void *piece, size_t bytes) {
  void *larger = malloc(bytes);
  if (piece != NULL) {
    size_t before = *(size_t *)((uintptr_t)piece - ALIGNMENT);
    memcpy(larger, piece, before < bytes ? before : bytes);
  }
  return larger;
}

void free(void *piece) { (void)piece; }

_Noreturn void abort(void) { __builtin_trap(); }

void *memcpy(void *to, const void *from, size_t bytes) {
  unsigned char *target = to;
  const unsigned char *source = from;
  while (bytes-- > 0) *target++ = *source++;
  return to;
}

void *memset(void *to, int byte, size_t bytes) {
  unsigned char *target = to;
  while (bytes-- > 0) *target++ = (unsigned char)byte;
  return to;
}

int memcmp(const void *one, const void *other, size_t bytes) {
  const unsigned char *left = one, *right = other;
  for (; bytes > 0; bytes--, left++, right++)
    if (*left != *right) return *left - *right;
  return 0;
}

size_t strlen(const char *text) {
  size_t length = 0;
  while (text[length] != '\0') length++;
  return length;
}
