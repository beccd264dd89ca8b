// Asks its environment in the way that its first argument names. Used by `preload.rs`.
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static char *self;

static void show(const char *name) {
    const char *value = getenv(name);
    printf("%s=%s\n", name, value ? value : "(none)");
    fflush(stdout);
}

static void wait_for(pid_t pid) {
    int status;
    waitpid(pid, &status, 0);
}

static void *ask_many(void *from) {
    char name[64];
    for (int at = 0; at < 200; at++) {
        snprintf(name, sizeof name, "MANY_%ld_%d", (long)from % 4, at);
        getenv(name);
        getenv("API_URL");
    }
    return NULL;
}

// Executes this program again in the way named, to show API_URL.
static void execute(const char *way) {
    char *args[] = {self, "get", "API_URL", NULL};
    if (!strcmp(way, "execl")) execl(self, self, "get", "API_URL", NULL);
    if (!strcmp(way, "execl-long"))
        execl(self, self, "get", "API_URL", "1", "2", "3", "4", "5", "6", NULL);
    if (!strcmp(way, "execlp")) execlp("environment", self, "get", "API_URL", NULL);
    if (!strcmp(way, "execle")) execle(self, self, "get", "API_URL", NULL, environ);
    if (!strcmp(way, "execle-short")) execle(self, self, "get", NULL, environ);
    if (!strcmp(way, "execv")) execv(self, args);
    if (!strcmp(way, "execvp")) execvp("environment", args);
    if (!strcmp(way, "execvpe")) execvpe("environment", args, environ);
    if (!strcmp(way, "execve")) execve(self, args, environ);
    if (!strcmp(way, "execveat")) execveat(AT_FDCWD, self, args, environ, 0);
    if (!strcmp(way, "fexecve")) fexecve(open(self, O_RDONLY), args, environ);
    pid_t pid;
    if (!strcmp(way, "posix_spawn") && !posix_spawn(&pid, self, NULL, NULL, args, environ)) wait_for(pid);
    if (!strcmp(way, "posix_spawnp") && !posix_spawnp(&pid, "environment", NULL, NULL, args, environ))
        wait_for(pid);
    if (!strcmp(way, "vfork")) {
        pid = vfork();
        if (pid == 0) {
            execv(self, args);
            _exit(1);
        }
        wait_for(pid);
    }
    char command[8192];
    snprintf(command, sizeof command, "%s get API_URL; env | grep -c LD_PRELOAD", self);
    if (!strcmp(way, "system")) {
        fflush(stdout);
        system(command);
    }
    if (!strcmp(way, "popen")) {
        char line[4096];
        FILE *stream = popen(command, "r");
        while (fgets(line, sizeof line, stream)) fputs(line, stdout);
        pclose(stream);
    }
    if (!strcmp(way, "selected")) {
        char path[4096];
        snprintf(path, sizeof path, "PATH=%s", getenv("PATH"));
        char *own[] = {path, NULL};
        execve(self, args, own);
    }
    if (!strcmp(way, "none")) execve(self, args, NULL);
    if (!strcmp(way, "many")) {
        char **own = calloc(5002, sizeof *own);
        int count = 0;
        for (char **at = environ; *at; at++) own[count++] = *at;
        while (count < 5000) asprintf(&own[count++], "FILL_%d=x", count);
        execve(self, args, own);
    }
    if (!strcmp(way, "failing")) {
        char *nothing[] = {"none", NULL};
        for (int at = 0; at < 3; at++) execv("/none", nothing);
        perror("execv");
        show("API_URL");
    }
}

int main(int count, char **args) {
    char here[4096];
    ssize_t length = readlink("/proc/self/exe", here, sizeof here - 1);
    here[length > 0 ? length : 0] = 0;
    self = here;
    const char *way = count > 1 ? args[1] : "";
    if (!strcmp(way, "get")) {
        for (int at = 2; at < count; at++) show(args[at]);
    } else if (!strcmp(way, "secure")) {
        const char *value = secure_getenv("API_URL");
        puts(value ? value : "(none)");
    } else if (!strcmp(way, "block")) {
        for (char **at = environ; *at; at++) puts(*at);
    } else if (!strcmp(way, "set")) {
        setenv("API_URL", "own", 0);
        show("API_URL");
        setenv("API_URL", "own", 1);
        show("API_URL");
        unsetenv("API_URL");
        show("API_URL");
        setenv("OTHER", "own", 0);
        show("OTHER");
        execute("execv");
    } else if (!strcmp(way, "unset")) {
        unsetenv("API_URL");
        show("API_URL");
        setenv("API_URL", "own", 0);
        show("API_URL");
    } else if (!strcmp(way, "put")) {
        static char text[] = "API_URL=own";
        putenv(text);
        show("API_URL");
        putenv("API_URL");
        show("API_URL");
    } else if (!strcmp(way, "clear")) {
        clearenv();
        show("API_URL");
        setenv("X", "1", 1);
        show("API_URL");
        execute("execv");
    } else if (!strcmp(way, "replace")) {
        char *none[] = {NULL};
        environ = none;
        show("API_URL");
    } else if (!strcmp(way, "write")) {
        strcpy(getenv("API_URL"), "changed");
        show("API_URL");
        pid_t pid = fork();
        if (pid == 0) execute("execv");
        wait_for(pid);
    } else if (!strcmp(way, "threads")) {
        pthread_t threads[16];
        for (long at = 0; at < 16; at++) pthread_create(&threads[at], NULL, ask_many, (void *)at);
        for (int at = 0; at < 16; at++) pthread_join(threads[at], NULL);
    } else if (!strcmp(way, "too-many")) {
        char name[64];
        for (int at = 0; at < 10000; at++) {
            snprintf(name, sizeof name, "TOO_MANY_%d", at);
            getenv(name);
        }
    } else if (!strcmp(way, "closed")) {
        close_range(3, ~0U, 0);
        show("API_URL");
    } else if (!strcmp(way, "no-descriptor")) {
        struct rlimit limit = {3, 3};
        setrlimit(RLIMIT_NOFILE, &limit);
        show("API_URL");
    } else if (!strcmp(way, "odd")) {
        getenv("");
        getenv("API_URL=x");
        show("API");
        show("API_URLS");
        char name[400];
        memset(name, 'N', sizeof name - 1);
        name[sizeof name - 1] = 0;
        getenv(name);
    } else if (!strcmp(way, "time")) {
        struct timespec from, to;
        for (int what = 0; what < 3; what++) {
            const char *name = what == 0 ? "PATH" : what == 1 ? "API_URL" : "NOT_SET";
            getenv(name);
            clock_gettime(CLOCK_MONOTONIC, &from);
            for (int at = 0; at < 1000000; at++) getenv(name);
            clock_gettime(CLOCK_MONOTONIC, &to);
            printf("%s %.1f ns\n", name, (to.tv_sec - from.tv_sec) * 1e3 + (to.tv_nsec - from.tv_nsec) / 1e6);
        }
    } else {
        execute(way);
    }
    return 0;
}
