/* Loads the library of `library.c` and has it look at paths: `loads LIBRARY`. Before that, a thread of it may
   be waiting already: `loads LIBRARY twice` loads it once more under another name. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long (*look)(const char *, void *);

static void *many(void *unused) {
    static __thread char out[256];
    char name[32];
    (void)unused;
    for (int at = 0; at < 500; at++) {
        snprintf(name, sizeof name, "none-%d", at % 50);
        if (look(name, out) != -2) exit(5);
    }
    return NULL;
}

int main(int count, char **args) {
    char out[256];
    void *library = dlopen(args[1], RTLD_NOW);
    if (!library) return 1;
    look = (long (*)(const char *, void *))dlsym(library, "look");
    long (*otherwise)(const char *, void *) = (long (*)(const char *, void *))dlsym(library, "look_otherwise");
    int (*keeps)(const char *, void *) = (int (*)(const char *, void *))dlsym(library, "keeps");
    memset(out, 0, sizeof out);
    if (look("a", out) != 0 || out[0] == 0) return 2;
    if (otherwise("b", out) != 0) return 3;
    if (look((const char *)8, out) != -14 || look("", out) != -2) return 4;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx") && !keeps("d/a", out)) return 6;
    pthread_t threads[4];
    for (int at = 0; at < 4; at++) pthread_create(&threads[at], NULL, many, NULL);
    for (int at = 0; at < 4; at++) pthread_join(threads[at], NULL);
    return count > 2 && dlopen(args[2], RTLD_NOW) == NULL ? 7 : 0;
}
