/* What the bindings need of a C library, where there is none: memory.c has it. */
#ifndef OVERHEAR_STDLIB_H
#define OVERHEAR_STDLIB_H
#include <stddef.h>

void *malloc(size_t bytes);
void *calloc(size_t count, size_t bytes);
void *realloc(void *piece, size_t bytes);
void free(void *piece);
_Noreturn void abort(void);

#endif
