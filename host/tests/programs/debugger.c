/* Traces a child of its own up to its first stop. */
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int count, char **arguments) {
    int status, seizes = arguments[1][0] == 's';
    pid_t child = fork();
    if (!child) {
        if (!seizes && ptrace(PTRACE_TRACEME, 0, 0, 0)) _exit(1);
        raise(SIGSTOP);
        _exit(7);
    }
    if (seizes && (waitpid(child, &status, WUNTRACED) != child || ptrace(PTRACE_SEIZE, child, 0, 0))) return 2;
    if (!seizes && (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))) return 3;
    puts("stopped");
    if (seizes) kill(child, SIGCONT); else ptrace(PTRACE_CONT, child, 0, 0);
    do {
        if (waitpid(child, &status, 0) != child) return 4;
        if (WIFSTOPPED(status)) ptrace(PTRACE_CONT, child, 0, 0);
    } while (!WIFEXITED(status));
    return WEXITSTATUS(status) == 7 ? 0 : 5;
}
