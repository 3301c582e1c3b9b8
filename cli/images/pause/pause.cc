// The process of a pod's sandbox: holds the pod's namespaces, takes in orphans where it is the
// first process of a PID namespace, and leaves when it is told to. It needs nothing but itself.
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "--help") == 0) {
    puts("pause: waits for SIGTERM or SIGINT, and for children that it is given");
    return 0;
  }
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGTERM);
  sigaddset(&awaited, SIGINT);
  sigaddset(&awaited, SIGCHLD);
  // Blocked, they wait until they are asked for: none is missed between two looks. The first
  // process of a namespace gets no signal that it does not take.
  sigprocmask(SIG_BLOCK, &awaited, nullptr);
  for (;;) {
    const int signal = sigwaitinfo(&awaited, nullptr);
    if (signal == SIGTERM || signal == SIGINT) return 0;
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }
}
