/* A job that is stopped and continued, signals, and an execution by a second thread. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile sig_atomic_t count;
static void on_signal(int s) { count++; }
static void *execute(void *x) { execlp("cat", "cat", "a", (char *)0); return 0; }
int main(void) {
    int status;
    pid_t child = fork();
    if (!child) { for (;;) pause(); }
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP) printf("stopped ");
    kill(child, SIGCONT);
    waitpid(child, &status, WCONTINUED);
    if (WIFCONTINUED(status)) printf("continued ");
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    signal(SIGUSR1, on_signal);
    for (int i = 0; i < 100; i++) raise(SIGUSR1);
    printf("%d ", (int)count);
    fflush(stdout);
    pthread_t thread;
    pthread_create(&thread, 0, execute, 0);
    for (;;) pause();
}
