/* What the bindings need of a C library, where there is none: memory.c has it. */
#ifndef OVERHEAR_STRING_H
#define OVERHEAR_STRING_H
#include <stddef.h>

void *memcpy(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *one, const void *other, size_t bytes);
size_t strlen(const char *text);

#endif
