// The keeper's loop; see keeper.h.
#include "keeper.h"
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "cleanup.h"

struct keeper *keeper_new(void) {
  static struct keeper k;
  k = (struct keeper){
      .exit = {.folder = -1, .file = -1},
      .clients = {.listener = -1},
      .log = {.fd = -1},
      .sources = {{.pipe = -1, .copy = {.fd = -1}, .name = "stdout"}, {.pipe = -1, .copy = {.fd = -1}, .name = "stderr"}},
      .relay = {.master = -1, .in = -1, .out = {.fd = -1}},
      .oom = {.event = -1, .file = -1},
      .stdin_hold = -1,
      .holds = {-1, -1},
  };
  return &k;
}

// Logs what is left in the process's pipes and terminal; with `all`, until nobody has the pipes open.
static void drain(struct keeper *k, bool all) {
  for (int i = 0; i < 2; i++) {
    struct source *s = &k->sources[i];
    struct pollfd ready = {s->pipe, POLLIN, 0};
    sink_settle(&s->copy);
    while (s->pipe >= 0 && poll(&ready, 1, all ? -1 : 0) > 0) {
      if (!log_pump(&k->log, s)) close_fd(&s->pipe);
      sink_settle(&s->copy);
    }
    sink_close(&s->copy);
  }
  struct pollfd ready = {k->relay.master, POLLIN, 0};
  sink_settle(&k->relay.out);
  while (k->relay.master >= 0 && poll(&ready, 1, 0) > 0 && (ready.revents & POLLIN) &&
         relay_output(&k->relay, &k->log, &k->sources[0]))
    sink_settle(&k->relay.out);
}

// Reaps every child that has ended; true if the container's process was among them, with its exit code.
static bool reap(const struct state *st, int *code) {
  int status;
  pid_t pid;
  bool ended = false;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    if (pid != st->child) continue;
    *code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    ended = true;
  }
  return ended;
}

// What is polled, in this order; clients come last.
enum { SIGNALS, LISTENER, STDOUT, STDERR, MASTER, INPUT, OOM, SINKS, CLIENTS = SINKS + 3, POLLED = CLIENTS + MAX_CLIENTS };

// Waits for events. While a sink has bytes kept, nothing is read for it.
static int wait_events(struct keeper *k, int signals, struct sink *const sinks[3], struct pollfd *wait) {
  const struct clients *c = &k->clients;
  wait[SIGNALS] = (struct pollfd){signals, POLLIN, 0};
  wait[LISTENER] = (struct pollfd){c->count < MAX_CLIENTS ? c->listener : -1, POLLIN, 0};
  wait[STDOUT] = (struct pollfd){sinks[0]->kept ? -1 : k->sources[0].pipe, POLLIN, 0};
  wait[STDERR] = (struct pollfd){sinks[1]->kept ? -1 : k->sources[1].pipe, POLLIN, 0};
  wait[MASTER] = (struct pollfd){sinks[2]->kept ? -1 : k->relay.master, POLLIN, 0};
  wait[INPUT] = (struct pollfd){k->relay.master >= 0 ? k->relay.in : -1, POLLIN, 0};
  wait[OOM] = (struct pollfd){k->oom.event, oom_event(&k->oom), 0};
  for (int i = 0; i < 3; i++) wait[SINKS + i] = (struct pollfd){sinks[i]->kept ? sinks[i]->fd : -1, POLLOUT, 0};
  for (int i = 0; i < c->count; i++) wait[CLIENTS + i] = (struct pollfd){c->list[i].fd, POLLIN, 0};
  return poll(wait, (nfds_t)(CLIENTS + c->count), -1);
}

static void read_signals(struct keeper *k, int signals) {
  struct signalfd_siginfo info;
  while (read(signals, &info, sizeof info) == sizeof info)
    if (info.ssi_signo == SIGWINCH) relay_follow_size(&k->relay);
}

// Runs the loop until the process ends; its exit code.
static int run_loop(struct state *st, struct keeper *k) {
  struct sink *const sinks[3] = {&k->sources[0].copy, &k->sources[1].copy, &k->relay.out};
  struct pollfd wait[POLLED];
  char text[32];
  int code = 255;
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGCHLD);
  sigaddset(&watched, SIGWINCH);
  _cleanup_close_ int signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  relay_begin(&k->relay);
  bool ended = reap(st, &code);
  while (!ended) {
    if (wait_events(k, signals, sinks, wait) < 0) continue;
    for (int i = 0; i < 3; i++)
      if (wait[SINKS + i].revents) sink_flush(sinks[i]);
    if (wait[OOM].revents && oom_update(&k->oom)) {
      int size = snprintf(text, sizeof text, "OOM %u\n", k->oom.count);
      clients_send(&k->clients, text, (size_t)size);
    }
    if (wait[SIGNALS].revents) {
      read_signals(k, signals);
      ended = reap(st, &code);
    }
    for (int i = 0; i < 2; i++)
      if (wait[STDOUT + i].revents && !log_pump(&k->log, &k->sources[i])) log_end(&k->log, &k->sources[i]);
    // A terminal that nobody has open hangs up, but may be opened again: it ends only with the process.
    if (wait[MASTER].revents & POLLIN) relay_output(&k->relay, &k->log, &k->sources[0]);
    else if (wait[MASTER].revents & POLLHUP) usleep(2000);
    if (wait[INPUT].revents && !relay_input(&k->relay)) close_fd(&k->relay.in);
    // Backwards, as the last one takes the place of one that leaves.
    for (int i = k->clients.count - 1; i >= 0; i--)
      if (wait[CLIENTS + i].revents) clients_serve(st, i);
    if (wait[LISTENER].revents) clients_accept(st);
  }
  return code;
}

int keeper_run(struct state *st, bool record) {
  struct keeper *k = st->keeper;
  int code = run_loop(st, k);
  struct timespec now;
  char text[64];
  clock_gettime(CLOCK_REALTIME, &now);
  int64_t time = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
  // The output first: a client that receives the exit code finds the log complete.
  drain(k, false);
  relay_end(&k->relay);
  oom_update(&k->oom);
  int size = snprintf(text, sizeof text, "EXIT %d %lld %u\n", code, (long long)time, k->oom.count);
  if (record) exit_record_write(&k->exit, text + 5, (size_t)size - 5);
  clients_end(&k->clients, text, (size_t)size);
  sink_close(&k->relay.out);
  // Other processes may still have the pipes open (a daemon that an exec started): log until they close them.
  if (k->sources[0].pipe >= 0 || k->sources[1].pipe >= 0) drain(k, true);
  for (int i = 0; i < 2; i++) log_finish(&k->log, &k->sources[i]);
  return code;
}
