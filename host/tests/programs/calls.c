/* One small program per case: `calls NAME` does what the case is about, in the current folder.
   Compiled twice by the tests, dynamically and statically. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE /* musl */
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#define renameat2(...) syscall(SYS_renameat2, __VA_ARGS__)
#define close_range(...) syscall(SYS_close_range, __VA_ARGS__)
#define STATX_BASIC_STATS 0x7ff
#define statx(...) syscall(SYS_statx, __VA_ARGS__)
struct statx { char room[256]; };
#endif

extern char **environ;
static const char *self;

static void read_file(const char *path) {
    char buffer[64];
    int fd = open(path, O_RDONLY);
    if (fd >= 0) {
        if (read(fd, buffer, sizeof buffer) < 0) exit(90);
        close(fd);
    }
}
static void write_file(const char *path, int flags) {
    int fd = open(path, flags, 0644);
    if (fd < 0 || write(fd, "new\n", 4) != 4) exit(91);
    close(fd);
}
static void must(int ok) {
    if (!ok) exit(92);
}
static void spawn_self(const char *what) {
    char *argv[] = {(char *)self, (char *)what, NULL};
    pid_t pid;
    int status;
    must(posix_spawn(&pid, self, NULL, NULL, argv, environ) == 0);
    waitpid(pid, &status, 0);
    must(status == 0);
}
static long raw(long nr, long a, long b, long c, long d) {
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return result;
}
static long raw32(long nr, long a, long b, long c) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a), "c"(b), "d"(c) : "r8", "r9", "r10", "r11", "memory");
    return result;
}

static void c_read(void) { read_file("a"); }
static void c_missing(void) { read_file("none"); must(access("none2", F_OK) != 0); struct stat s; must(stat("no/deep", &s) != 0); }
static void c_stat(void) { struct stat s; must(stat("a", &s) == 0); }
static void c_access(void) { must(access("a", R_OK) == 0); }
static void c_inline_open(void) { must(raw(SYS_openat, AT_FDCWD, (long)"a", O_RDONLY, 0) >= 0); }
static void c_inline_statx(void) { static char buffer[256]; must(raw(SYS_statx, AT_FDCWD, (long)"a", 0, 0x7ff) != -ENOENT); (void)buffer; }
static void c_syscalls(void) {
    struct open_how how = {.flags = O_RDONLY};
    must(syscall(SYS_open, "a", O_RDONLY) >= 0);
    must(syscall(SYS_openat2, AT_FDCWD, "b", &how, sizeof how) >= 0);
}
static void c_vfork(void) {
    pid_t pid = vfork();
    if (pid == 0) { execl(self, self, "read", (char *)0); _exit(1); }
    int status; waitpid(pid, &status, 0); must(status == 0);
}
static void c_no_environment(void) {
    pid_t pid = fork();
    if (pid == 0) { char *argv[] = {(char *)self, "read", NULL}; execve(self, argv, NULL); _exit(1); }
    int status; waitpid(pid, &status, 0); must(status == 0);
}
static void c_spawn_actions(void) {
    posix_spawn_file_actions_t actions; pid_t pid; int status;
    char *argv[] = {(char *)self, "read", NULL};
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 5, "b", O_RDONLY, 0);
    posix_spawn_file_actions_addchdir_np(&actions, "d");
    must(posix_spawn(&pid, self, &actions, NULL, argv, environ) == 0);
    waitpid(pid, &status, 0);
}
static int clone_main(void *unused) { (void)unused; read_file("a"); return 0; }
static void c_clone(void) {
    char *stack = malloc(65536);
    pid_t pid = clone(clone_main, stack + 65536, CLONE_VM | SIGCHLD, NULL);
    must(pid > 0); waitpid(pid, NULL, 0);
}
static void c_parent_first(void) {
    int ready[2]; must(pipe(ready) == 0);
    if (fork() == 0) {
        char byte; close(ready[1]); setsid();
        if (read(ready[0], &byte, 1) < 0) _exit(1); /* until the parent is gone */
        read_file("a"); _exit(0);
    }
}
static void c_close_all(void) {
    if (fork() == 0) {
        if (fork() == 0) { close_range(3, ~0U, 0); read_file("a"); _exit(0); }
        _exit(0);
    }
    wait(NULL);
}
static void *thread_main(void *name) { read_file(name); return NULL; }
static void c_threads(void) {
    pthread_t one, two;
    pthread_create(&one, NULL, thread_main, "a"); pthread_create(&two, NULL, thread_main, "b");
    pthread_join(one, NULL); pthread_join(two, NULL);
}
static void *thread_cwd(void *unused) { (void)unused; must(unshare(CLONE_FS) == 0); must(chdir("d") == 0); read_file("a"); return NULL; }
static void c_thread_cwd(void) {
    pthread_t one; pthread_create(&one, NULL, thread_cwd, NULL); pthread_join(one, NULL); read_file("b");
}
static void c_io_uring(void) { must(raw(425, 8, 0, 0, 0) == -ENOSYS); }
static void c_x32(void) { must(raw(0x40000000 | 39, 0, 0, 0, 0) == -ENOSYS); }
static void c_unknown(void) { must(raw(1000, 0, 0, 0, 0) == -ENOSYS); }
static void c_int80(void) {
    char *low = mmap((void *)0x20000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    must(low != MAP_FAILED); strcpy(low, "a");
    raw32(5, (long)low, 0, 0);
}
static void c_handle_to(void) {
    struct { struct file_handle h; char room[128]; } handle = {.h = {.handle_bytes = 128}};
    int mount; name_to_handle_at(AT_FDCWD, "a", &handle.h, &mount, 0);
}
static void c_handle_open(void) {
    struct { struct file_handle h; char room[128]; } handle = {.h = {.handle_bytes = 128}};
    int mount; must(name_to_handle_at(AT_FDCWD, "a", &handle.h, &mount, 0) == 0 || errno == EOPNOTSUPP);
    int dir = open(".", O_RDONLY); open_by_handle_at(dir, &handle.h, O_RDONLY);
}
static void c_fexecve(void) {
    int from = open(self, O_RDONLY), to = memfd_create("copy", 0);
    struct stat s; fstat(from, &s);
    while (sendfile(to, from, NULL, s.st_size) > 0) {}
    char *argv[] = {"copy", "read", NULL}; fexecve(to, argv, environ); exit(93);
}
static void c_execveat(void) {
    int fd = open(self, O_PATH); char *argv[] = {"it", "read", NULL};
    syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH); exit(93);
}
static void c_renamed_dirfd(void) {
    int dir = open("d", O_RDONLY | O_DIRECTORY); must(rename("d", "e") == 0);
    must(openat(dir, "a", O_RDONLY) >= 0);
}
static void c_fchdir(void) { int dir = open("d", O_PATH); must(fchdir(dir) == 0); read_file("a"); }
static void c_raw_chdir(void) { raw(SYS_chdir, (long)"d", 0, 0, 0); read_file("a"); }
static void c_gone_cwd(void) { mkdir("x", 0755); must(chdir("x") == 0); must(rmdir("../x") == 0); read_file("a"); }
static void c_links(void) { read_file("l1"); }
static void c_link_dotdot(void) { read_file("dl/../b"); }
static void c_stat_links(void) {
    struct stat s; must(stat("l1", &s) == 0 && S_ISREG(s.st_mode)); must(stat("dl/", &s) == 0 && S_ISDIR(s.st_mode));
    must(stat("dangling", &s) != 0 && errno == ENOENT); must(stat("l1", &s) == 0 && S_ISREG(s.st_mode));
    must(fstatat(AT_FDCWD, "b", &s, 0) == 0 && S_ISREG(s.st_mode));
}
static void c_access_links(void) { must(access("l1", R_OK) == 0); must(access("dangling", F_OK) != 0); must(access("l1", R_OK) == 0); }
static void c_dangling(void) { read_file("dangling"); }
static void c_nofollow(void) { struct stat s; must(lstat("l1", &s) == 0); must(open("l1", O_RDONLY | O_NOFOLLOW) < 0); }
static void c_path_reopen(void) {
    char name[64]; int fd = open("l1", O_PATH); snprintf(name, sizeof name, "/proc/self/fd/%d", fd); read_file(name);
}
static void c_readlink(void) { char text[64]; must(readlink("l1", text, 64) > 0); must(readlink("a", text, 64) < 0); }
static void c_mmap(void) {
    int fd = open("a", O_RDWR); char *map = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    must(map != MAP_FAILED); map[0] = 'x';
}
static void c_truncate_then_read(void) { write_file("a", O_WRONLY | O_TRUNC); read_file("a"); }
static void c_read_then_truncate(void) { read_file("a"); write_file("a", O_WRONLY | O_TRUNC); }
static void c_append(void) { write_file("a", O_WRONLY | O_APPEND); }
static void c_create(void) { write_file("new", O_WRONLY | O_CREAT); }
static void c_creat(void) { must(creat("new", 0644) >= 0); }
static void c_excl(void) { write_file("new", O_WRONLY | O_CREAT | O_EXCL); must(open("a", O_WRONLY | O_CREAT | O_EXCL, 0644) < 0); }
static void c_replace(void) { write_file("tmp", O_WRONLY | O_CREAT); must(rename("tmp", "a") == 0); }
static void c_rename(void) { must(rename("a", "moved") == 0); }
static void c_rename_self(void) {
    must(rename("a", "a") == 0); must(rename("l1", "./l1") == 0); must(rename("d", "d") == 0);
    must(renameat2(AT_FDCWD, "b", AT_FDCWD, "b", RENAME_EXCHANGE) == 0);
}
static void c_rename_refused(void) {
    must(rename("d", "a") < 0); must(rename("b", "d") < 0);
    must(renameat2(AT_FDCWD, "t", AT_FDCWD, "no", RENAME_EXCHANGE) < 0);
}
static void c_rename_folder(void) {
    mkdir("t", 0755); write_file("t/x", O_WRONLY | O_CREAT); mkdir("t/s", 0755); write_file("t/s/y", O_WRONLY | O_CREAT);
    must(rename("t", "dist") == 0); read_file("dist/x");
}
static void c_move_folder(void) { must(rename("d", "e") == 0); }
static void c_noreplace(void) { must(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE) != 0); }
static void c_exchange(void) { must(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE) == 0); }
static void c_tmpfile(void) {
    char name[64]; int fd = open(".", O_TMPFILE | O_WRONLY, 0644); must(fd >= 0);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    must(linkat(AT_FDCWD, name, AT_FDCWD, "new", AT_SYMLINK_FOLLOW) == 0);
}
static void c_hard_link(void) { must(link("a", "new") == 0); }
static void c_symlink(void) { must(symlink("a", "new") == 0); }
static void c_truncate(void) { must(truncate("a", 0) == 0); must(truncate("b", 1) == 0); }
static void c_unlink_recreate(void) { must(unlink("a") == 0); write_file("a", O_WRONLY | O_CREAT); read_file("a"); }
static void c_unlink(void) { must(unlink("a") == 0); must(unlink("none") != 0); }
static void c_mkdir(void) { must(mkdir("d", 0755) != 0); must(mkdir("new", 0755) == 0); must(rmdir("d") != 0); }
static void c_mkdirat(void) { must(mkdirat(AT_FDCWD, "new", 0755) == 0); must(mkdirat(AT_FDCWD, "no/new", 0755) != 0); }
static void c_rmdir(void) { must(mkdir("new", 0755) == 0); must(rmdir("new") == 0); must(rmdir("empty") == 0); }
static void c_readdir(void) { DIR *d = opendir("d"); must(d != NULL); while (readdir(d)) {} write_file("d/own", O_WRONLY | O_CREAT); closedir(opendir("d")); }
static int on_file(const char *p, const struct stat *s, int t, struct FTW *f) { (void)p; (void)s; (void)t; (void)f; return 0; }
static void c_no_folder(void) {
    must(open("a", O_RDONLY | O_DIRECTORY) < 0); must(open("a", O_RDONLY | O_DIRECTORY | O_NOFOLLOW) < 0); must(opendir("b") == NULL); must(opendir("b") == NULL); read_file("b");
}
static void c_nftw(void) { nftw("d", on_file, 8, FTW_PHYS); }
static void c_empty_path(void) {
    struct stat s; int fd = open("a", O_RDONLY); must(fstatat(fd, "", &s, AT_EMPTY_PATH) == 0);
    must(open("", O_RDONLY) < 0 && errno == ENOENT);
    raw(SYS_statx, fd, 0, AT_EMPTY_PATH, 0x7ff);
}
static void c_xattr(void) { char v[8]; getxattr("a", "user.x", v, 8); setxattr("b", "user.x", "1", 1, 0); }
static void c_meta_fd(void) { int fd = open("a", O_RDONLY); must(fchmod(fd, 0600) == 0); int b = open("b", O_RDONLY); must(futimens(b, NULL) == 0); }
static void c_chmod(void) { must(chmod("a", 0600) == 0); must(utimensat(AT_FDCWD, "b", NULL, 0) == 0); must(chmod("none", 0600) != 0); }
static void c_watch(void) { int fd = inotify_init(); inotify_add_watch(fd, "d", IN_CREATE); }
static void c_efault(void) {
    must(open((char *)8, O_RDONLY) < 0 && errno == EFAULT);
    must(open(NULL, O_RDONLY) < 0 && errno == EFAULT);
    struct stat s; must(stat((char *)-1, &s) < 0 && errno == EFAULT);
    must(openat(77, "x", O_RDONLY) < 0 && errno == EBADF);
    read_file("a");
}
static void c_page_edge(void) {
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages + 4096, 4096); strcpy(pages + 4094, "a"); read_file(pages + 4094);
    char *more = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(more + 4093, "./d/../b"); read_file(more + 4093);
}
static void c_odd_names(void) { read_file("\xff\xfe\n"); read_file("two\nlines"); }
static void c_long_path(void) {
    static char name[4200]; memset(name, '/', 4096); strcpy(name + 4094, "a"); name[0] = '.';
    read_file(name); memset(name, 'x', 4199); must(open(name, O_RDONLY) < 0 && errno == ENAMETOOLONG);
}
static void c_undumpable(void) { syscall(SYS_prctl, 4, 0, 0, 0, 0); read_file("a"); }
/* A filter of its own, by which no folder can be made. */
static void c_own_filter(void) {
    struct sock_filter filter[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdir, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {4, filter};
    read_file("a"); must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0); must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
    must(syscall(SYS_mkdir, "new", 0755) < 0 && errno == EPERM); read_file("b");
}
static void c_tty(void) { must(open("/dev/tty", O_RDWR) < 0); }
static void c_proc(void) { read_file("/proc/self/maps"); read_file("/dev/urandom"); read_file("/dev/fd/0"); }
static int tcp_listener(struct sockaddr_in *address) {
    socklen_t length = sizeof *address; int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(address, 0, length); address->sin_family = AF_INET; address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(bind(fd, (void *)address, length) == 0 && listen(fd, 1) == 0);
    must(getsockname(fd, (void *)address, &length) == 0); return fd;
}
static void c_tcp_inside(void) {
    struct sockaddr_in address; tcp_listener(&address);
    must(connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof address) == 0);
}
static void tcp_to(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof address);
}
static void c_tcp_port(void) { tcp_to(getenv("PORT")); }
static void c_tcp_nobody(void) { struct sockaddr_in a; int fd = tcp_listener(&a); close(fd); must(connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&a, sizeof a) < 0); }
static void c_network(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(443)}; inet_pton(AF_INET, "192.0.2.1", &a.sin_addr);
    connect(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), (void *)&a, sizeof a);
    struct sockaddr_in d = a; d.sin_port = htons(53); connect(socket(AF_INET, SOCK_DGRAM, 0), (void *)&d, sizeof d);
}
static void unix_address(struct sockaddr_un *a, const char *path) { memset(a, 0, sizeof *a); a->sun_family = AF_UNIX; strcpy(a->sun_path, path); }
static void c_unix_inside(void) {
    struct sockaddr_un a; int fd = socket(AF_UNIX, SOCK_STREAM, 0); unix_address(&a, "sock");
    must(bind(fd, (void *)&a, sizeof a) == 0 && listen(fd, 1) == 0);
    must(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, sizeof a) == 0);
    socklen_t length = sizeof a.sun_family + 6; memset(a.sun_path, 0, 108); snprintf(a.sun_path + 1, 6, "%05d", getpid() % 100000);
    fd = socket(AF_UNIX, SOCK_STREAM, 0); must(bind(fd, (void *)&a, length) == 0 && listen(fd, 1) == 0);
    must(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, length) == 0);
}
static void c_unix_path(void) {
    struct sockaddr_un a; unix_address(&a, "outer.sock"); must(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, sizeof a) == 0);
}
static void c_timer(void) {
    struct sigaction action = {.sa_handler = (void (*)(int))c_read, .sa_flags = SA_RESTART}; (void)action;
    struct itimerval timer = {{0, 200}, {0, 200}}; struct stat s; int bad = 0;
    action.sa_handler = (void (*)(int))(uintptr_t)getpid; sigaction(SIGALRM, &action, NULL); setitimer(ITIMER_REAL, &timer, NULL);
    for (int i = 0; i < 5000; i++) if (stat("a", &s) != 0) bad++;
    must(bad == 0);
}
static void *changing(void *name) { for (int i = 0; i < 20000; i++) ((volatile char *)name)[0] = i % 2 ? 'a' : 'b'; return NULL; }
static void c_changing(void) {
    static char name[] = "a"; pthread_t one; struct stat s; pthread_create(&one, NULL, changing, name);
    for (int i = 0; i < 200; i++) stat(name, &s);
    pthread_join(one, NULL);
}
/* COUNT: for trials with many more. */
static void *storm(void *seed) { char name[64]; struct stat s; int count = getenv("COUNT") ? atoi(getenv("COUNT")) : 200; for (int i = 0; i < count; i++) { snprintf(name, 64, "storm-%ld-%d", (long)seed, i); stat(name, &s); } return NULL; }
static void c_storm(void) { pthread_t t[16]; for (long i = 0; i < 16; i++) pthread_create(&t[i], NULL, storm, (void *)i); for (int i = 0; i < 16; i++) pthread_join(t[i], NULL); }
static void c_bench(void) { struct stat s; int n = atoi(getenv("COUNT")); char name[64]; int distinct = getenv("DISTINCT") != NULL;
    for (int i = 0; i < n; i++) { if (distinct) snprintf(name, 64, "missing-%d", i); else strcpy(name, "a"); stat(name, &s); } }
/* Tells of each name on standard output after it was asked for, until it is killed, 40 times. */
static void c_killed(void) {
    unsigned seed = getenv("SEED") ? atoi(getenv("SEED")) : 1;
    for (int round = 0; round < 40; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            char name[64]; struct stat s;
            for (int i = 0;; i++) {
                int length = snprintf(name, sizeof name, "killed-%d-%d\n", round, i);
                name[length - 1] = 0; stat(name, &s); name[length - 1] = '\n';
                if (write(1, name, length) != length) _exit(1);
            }
        }
        usleep(rand_r(&seed) % 3000); kill(pid, SIGKILL); waitpid(pid, NULL, 0);
    }
}
/* Changes a link on which a path rests between two looks at it. */
static void c_link_changes(void) {
    struct stat s; symlink("d", "current"); must(stat("current/a", &s) == 0); must(stat("current/a", &s) == 0);
    must(unlink("current") == 0); must(symlink("empty", "current") == 0); must(stat("current/a", &s) != 0);
}
static void on_signal(int n) { (void)n; read_file("b"); }
static void c_signal(void) {
    struct itimerval timer = {{0, 300}, {0, 300}}; struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    char name[64]; struct stat s; sigaction(SIGALRM, &action, NULL); setitimer(ITIMER_REAL, &timer, NULL);
    for (int i = 0; i < 3000; i++) { snprintf(name, 64, "none-%d", i); stat(name, &s); }
}
#include <setjmp.h>
static sigjmp_buf back;
static void on_jump(int n) { (void)n; siglongjmp(back, 1); }
static void c_long_jump(void) {
    struct sigaction action = {.sa_handler = on_jump}; struct itimerval timer = {{0, 0}, {0, 20000}};
    must(mkfifo("pipe", 0600) == 0); sigaction(SIGALRM, &action, NULL);
    if (sigsetjmp(back, 1) == 0) { setitimer(ITIMER_REAL, &timer, NULL); open("pipe", O_RDONLY); must(0); }
    read_file("a");
}
static void *forks(void *unused) { (void)unused; for (int i = 0; i < 20; i++) { pid_t p = fork(); if (p == 0) { struct stat s; char name[32]; snprintf(name, 32, "forked-%d", i); stat(name, &s); _exit(0); } waitpid(p, NULL, 0); } return NULL; }
static void c_fork_and_threads(void) { pthread_t t[4]; pthread_create(&t[0], NULL, forks, NULL); for (long i = 1; i < 4; i++) pthread_create(&t[i], NULL, storm, (void *)i); for (int i = 0; i < 4; i++) pthread_join(t[i], NULL); }
static void c_many_threads(void) { static pthread_t t[64]; for (long i = 0; i < 64; i++) pthread_create(&t[i], NULL, storm, (void *)i); for (int i = 0; i < 64; i++) pthread_join(t[i], NULL); }
static void c_few_descriptors(void) {
    struct rlimit limit = {64, 64}; int fd = open("a", O_RDONLY); setrlimit(RLIMIT_NOFILE, &limit);
    while (dup(fd) >= 0) {} must(open("b", O_RDONLY) < 0 && errno == EMFILE); struct stat s; must(stat("d/a", &s) == 0);
}
static void c_little_memory(void) {
    struct rlimit limit = {4 << 20, 4 << 20}; setrlimit(RLIMIT_AS, &limit);
    for (int i = 0; i < 600; i++) { char name[32]; struct stat s; snprintf(name, 32, "none-%d", i); stat(name, &s); } read_file("a");
}
static void c_many(void) { for (int i = 0; i < 5; i++) spawn_self("read"); }
static void c_chroot(void) { must(chroot("d") == 0 || errno == EPERM); }
static void c_copy(void) { int from = open("a", O_RDONLY), to = open("new", O_WRONLY | O_CREAT | O_TRUNC, 0644); must(copy_file_range(from, NULL, to, NULL, 100, 0) >= 0 || errno == EXDEV || errno == EINVAL); }

static void c_gate_taken(void) {
    static char text[65536]; int fd = open("/proc/self/environ", O_RDONLY); long size = read(fd, text, sizeof text - 1);
    for (char *at = text; at < text + size; at += strlen(at) + 1) {
        unsigned long gate;
        if (sscanf(at, "OVERHEAR_PRELOAD=%*[0-9a-f].%*[0-9a-f].%*[0-9a-f].%*[0-9a-f].%lx.", &gate) == 1)
            must(mmap((void *)gate, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | 0x100000, -1, 0) == (void *)gate);
    }
    read_file("a"); struct stat s; must(stat("b", &s) == 0); must(stat("none", &s) != 0);
}
static void c_passed_descriptor(void) {
    int pair[2]; must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    char byte = 0, room[CMSG_SPACE(sizeof(int))] = {0}; struct iovec iov = {&byte, 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    if (fork() == 0) {
        int fd = open("a", O_RDONLY); struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET; head->cmsg_type = SCM_RIGHTS; head->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(head), &fd, sizeof fd); must(sendmsg(pair[0], &message, 0) == 1); _exit(0);
    }
    must(recvmsg(pair[1], &message, 0) == 1); int fd; memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    must(read(fd, &byte, 1) == 1); wait(NULL);
}
static void c_user_namespace(void) { (void)!unshare(CLONE_NEWUSER); read_file("a"); struct stat s; must(stat("d/a", &s) == 0); }
static void c_mount(void) {
    int own = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    must(mount("d", own ? "empty" : "none", NULL, MS_BIND, NULL) == 0 || !own); if (own) read_file("empty/a");
}

#include <glob.h>
static void c_glob(void) { glob_t found; must(glob("d/*.none", 0, NULL, &found) == GLOB_NOMATCH); }
static void c_scandir(void) {
    struct dirent **names; must(scandir("d", &names, NULL, alphasort) > 0);
    char room[4096]; int fd = open("empty", O_RDONLY | O_DIRECTORY); must(raw(SYS_getdents64, fd, (long)room, sizeof room, 0) > 0);
}
/* Without SA_RESTART a call that is told may be interrupted; nothing else may happen to it. */
static void c_interrupted(void) {
    struct itimerval timer = {{0, 200}, {0, 200}}; struct sigaction action = {.sa_handler = (void (*)(int))(uintptr_t)getpid}; struct stat s;
    sigaction(SIGALRM, &action, NULL); setitimer(ITIMER_REAL, &timer, NULL);
    for (int i = 0; i < 2000; i++) must(stat("a", &s) == 0 || errno == EINTR);
}
static void c_unset_loader(void) {
    unsetenv("LD_PRELOAD"); char *argv[] = {(char *)self, "read", NULL}; execve(self, argv, environ); exit(93);
}
/* One function of the C library, with many names that are not there. */
static void c_noted(void) {
    const char *how = getenv("HOW"); struct stat s; struct statx x; char name[32], text[8]; int dir = open(".", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "noted-%d", i);
        if (!strcmp(how, "open")) must(open(name, O_RDONLY) < 0);
        if (!strcmp(how, "openat")) must(openat(dir, name, O_RDONLY) < 0);
        if (!strcmp(how, "stat")) must(stat(name, &s) != 0);
        if (!strcmp(how, "lstat")) must(lstat(name, &s) != 0);
        if (!strcmp(how, "fstatat")) must(fstatat(dir, name, &s, 0) != 0);
        if (!strcmp(how, "fstat")) must(open(name, O_RDONLY) < 0 && fstat(dir, &s) == 0 && S_ISDIR(s.st_mode) && fstat(-1, &s) < 0 && errno == EBADF);
        if (!strcmp(how, "statx")) must(statx(dir, name, 0, STATX_BASIC_STATS, &x) != 0);
        if (!strcmp(how, "access")) must(access(name, R_OK) != 0);
        if (!strcmp(how, "faccessat")) must(faccessat(dir, name, R_OK, 0) != 0);
        if (!strcmp(how, "readlink")) must(readlink(name, text, 8) < 0);
        if (!strcmp(how, "readlinkat")) must(readlinkat(dir, name, text, 8) < 0);
        if (!strcmp(how, "syscall")) must(syscall(SYS_newfstatat, dir, name, &s, 0) != 0);
    }
}
static void c_shrink(void) { int fd = open("a", O_RDWR); must(ftruncate(fd, 1) == 0); fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1); }

#define CASE(name) {#name, c_##name}
static const struct { const char *name; void (*run)(void); } cases[] = {
    CASE(read), CASE(missing), CASE(stat), CASE(access), CASE(inline_open), CASE(inline_statx), CASE(syscalls), CASE(vfork),
    CASE(no_environment), CASE(spawn_actions), CASE(clone), CASE(parent_first), CASE(close_all), CASE(threads), CASE(thread_cwd),
    CASE(io_uring), CASE(x32), CASE(unknown), CASE(int80), CASE(handle_to), CASE(handle_open), CASE(fexecve), CASE(execveat),
    CASE(renamed_dirfd), CASE(fchdir), CASE(raw_chdir), CASE(gone_cwd), CASE(links), CASE(link_dotdot), CASE(dangling),
    CASE(nofollow), CASE(path_reopen), CASE(readlink), CASE(mmap), CASE(truncate_then_read), CASE(read_then_truncate),
    CASE(append), CASE(create), CASE(creat), CASE(excl), CASE(replace), CASE(rename), CASE(rename_self), CASE(rename_refused), CASE(rename_folder), CASE(move_folder),
    CASE(noreplace), CASE(exchange), CASE(tmpfile), CASE(hard_link), CASE(symlink), CASE(truncate), CASE(unlink_recreate),
    CASE(unlink), CASE(mkdir), CASE(mkdirat), CASE(rmdir), CASE(readdir), CASE(no_folder), CASE(nftw), CASE(empty_path), CASE(xattr), CASE(meta_fd), CASE(chmod),
    CASE(watch), CASE(efault), CASE(page_edge), CASE(odd_names), CASE(long_path), CASE(undumpable), CASE(own_filter), CASE(tty),
    CASE(proc), CASE(tcp_inside), CASE(tcp_port), CASE(tcp_nobody), CASE(network), CASE(unix_inside), CASE(unix_path),
    CASE(timer), CASE(changing), CASE(storm), CASE(bench), CASE(many), CASE(chroot), CASE(killed), CASE(link_changes), CASE(signal), CASE(long_jump), CASE(fork_and_threads),
    CASE(many_threads), CASE(few_descriptors), CASE(little_memory), CASE(copy), CASE(stat_links), CASE(access_links), CASE(gate_taken), CASE(passed_descriptor),
    CASE(user_namespace), CASE(mount), CASE(glob), CASE(scandir), CASE(interrupted), CASE(unset_loader), CASE(shrink), CASE(noted),
};

int main(int argc, char **argv) {
    self = getenv("SELF") ? getenv("SELF") : argv[0];
    if (argc < 2) return 2;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(cases[i].name, argv[1]) == 0) { cases[i].run(); return 0; }
    return 3;
}
