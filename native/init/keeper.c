// The keeper's loop and the operations that set up its streams; see keeper.h.
//
// keeper.sock speaks lines: "RESIZE columns rows", "CLOSE_STDIN"; each is answered by "OK" or "ERR errno". When
// the process has ended, every connection gets "EXIT code nanoseconds" and is closed.
#include "keeper.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "files.h"

#define MAX_CLIENTS 16

struct keeper *keeper_new(void) {
  static struct keeper k;
  k = (struct keeper){.folder = -1, .listener = -1, .stdin_hold = -1, .holds = {-1, -1}, .log = -1,
                      .master = -1, .relay_in = -1, .relay_out = -1};
  k.sources[0] = (struct source){.pipe = -1, .copy = -1, .name = "stdout"};
  k.sources[1] = (struct source){.pipe = -1, .copy = -1, .name = "stderr"};
  return &k;
}

static int take_slot(struct state *st, int64_t slot) {
  int fd = slot_get(st, slot);
  return fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

// keep(folder slot, exit record's name)
int op_keep(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  if (args[1].length >= sizeof st->keeper->exit_name) return -ENAMETOOLONG;
  strcpy(st->keeper->exit_name, STR(1));
  st->keeper->folder = take_slot(st, NUM(0));
  if (st->keeper->folder < 0) return st->keeper->folder;
  return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? -errno : 0;
}

// listen(path): keeper.sock, for root alone.
int op_listen(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (args[0].length >= sizeof address.sun_path) return -ENAMETOOLONG;
  strcpy(address.sun_path, STR(0));
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  mode_t mask = umask(0177);
  int result = bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, MAX_CLIENTS) < 0 ? -errno : 0;
  umask(mask);
  if (result < 0) close(fd);
  else st->keeper->listener = fd;
  return result;
}

static int open_fifo(const char *path, int flags) {
  struct stat info;
  int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -errno;
  if (fstat(fd, &info) < 0 || !S_ISFIFO(info.st_mode)) {
    close(fd);
    return -EINVAL;
  }
  return fd;
}

// Opens the process's end of a FIFO and one for the keeper to hold on to. Opened for both first: nothing blocks.
static int open_ends(const char *path, int own, int held, int *hold) {
  int both = open_fifo(path, O_RDWR | O_NONBLOCK);
  if (both < 0) return both;
  int fd = open_fifo(path, own);
  *hold = open_fifo(path, held | O_NONBLOCK);
  close(both);
  return fd < 0 ? fd : *hold < 0 ? *hold : fd;
}

static int keep_slot(struct state *st, int64_t slot, int fd) {
  if (fd < 0) errno = -fd;
  return slot_set(st, slot, fd);
}

// fifo_in(slot, path): the process reads the client's FIFO itself. The writing end that the keeper holds on to keeps a
// client's coming and going from being an end of file.
int op_fifo_in(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  return keep_slot(st, NUM(0), open_ends(STR(1), O_RDONLY, O_WRONLY, &st->keeper->stdin_hold));
}

// fifo_out(slot, path): the process writes the client's FIFO itself. The keeper's reading end saves it from
// SIGPIPE when the client vanishes.
int op_fifo_out(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  int *place = &st->keeper->holds[st->keeper->holds[0] < 0 ? 0 : 1];
  return keep_slot(st, NUM(0), open_ends(STR(1), O_WRONLY, O_RDONLY, place));
}

static int open_log(struct keeper *k) {
  return open(k->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
}

// log(path, stdout slot, stderr slot, stdout copy slot or -1, stderr copy slot or -1): makes the process's pipes. With
// negative slots for the process there are none: the lines come from a terminal.
int op_log(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  struct keeper *k = st->keeper;
  if (args[0].length >= sizeof k->log_path) return -ENAMETOOLONG;
  strcpy(k->log_path, STR(0));
  if ((k->log = open_log(k)) < 0) return -errno;
  for (int i = 0; i < 2; i++) {
    int ends[2];
    if (NUM(1 + i) < 0) continue;
    if (NUM(3 + i) >= 0 && (k->sources[i].copy = take_slot(st, NUM(3 + i))) < 0) return k->sources[i].copy;
    if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
    fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);  // fewer switches; a host that allows less keeps its own size
    k->sources[i].pipe = ends[0];
    int result = slot_set(st, NUM(1 + i), ends[1]);
    if (result < 0) return result;
  }
  return 0;
}

// relay(in slot or -1, out slot or -1, foreground): takes the terminal's master from the child.
int op_relay(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  struct keeper *k = st->keeper;
  char byte;
  if (NUM(0) >= 0 && (k->relay_in = take_slot(st, NUM(0))) < 0) return k->relay_in;
  if (NUM(1) >= 0 && (k->relay_out = take_slot(st, NUM(1))) < 0) return k->relay_out;
  k->foreground = NUM(2) != 0;
  if (k->relay_in >= 0 && !k->foreground) {
    // As with fifo_in: between two clients there is no end of file.
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", k->relay_in);
    k->stdin_hold = open(self, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  }
  int n = receive_descriptor(st->sync, &k->master, &byte, 1);
  return n < 0 ? n : 0;  // without a descriptor the child has failed and said why
}

static struct termios saved_modes;
static bool modes_saved;

// The caller's terminal: raw but for output, where it goes on turning NL into CR NL; the container's own does not.
static void enter_foreground(struct keeper *k) {
  struct termios modes;
  struct winsize size;
  if (tcgetattr(k->master, &modes) == 0) {
    modes.c_oflag &= ~(tcflag_t)ONLCR;
    tcsetattr(k->master, TCSANOW, &modes);
  }
  if (tcgetattr(k->relay_in, &modes) == 0) {
    saved_modes = modes;
    modes_saved = true;
    cfmakeraw(&modes);
    modes.c_oflag |= OPOST;
    tcsetattr(k->relay_in, TCSANOW, &modes);
  }
  if (ioctl(k->relay_in, TIOCGWINSZ, &size) == 0) ioctl(k->master, TIOCSWINSZ, &size);
}

static int resize(struct keeper *k, unsigned columns, unsigned rows) {
  struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
  return k->master < 0 ? -ENOTTY : ioctl(k->master, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static int command(struct keeper *k, char *line) {
  unsigned columns, rows;
  if (sscanf(line, "RESIZE %u %u", &columns, &rows) == 2) return resize(k, columns, rows);
  if (strcmp(line, "CLOSE_STDIN") == 0) {
    close_fd(&k->stdin_hold);
    return 0;
  }
  if (strcmp(line, "REOPEN_LOG") == 0) {
    if (k->log < 0) return -EINVAL;
    int fd = open_log(k);
    if (fd < 0) return -errno;
    close(k->log);
    k->log = fd;
    return 0;
  }
  return -EINVAL;
}

// One connection to keeper.sock. Lines are short; a client that sends longer ones is let go.
struct client {
  int fd;
  unsigned used;
  char line[64];
};

static bool serve_client(struct keeper *k, struct client *c) {
  ssize_t n = read(c->fd, c->line + c->used, sizeof c->line - c->used);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (n <= 0) return false;
  c->used += (unsigned)n;
  char *end;
  while ((end = memchr(c->line, '\n', c->used))) {
    *end = 0;
    int result = command(k, c->line);
    char answer[32];
    int size = result < 0 ? snprintf(answer, sizeof answer, "ERR %d\n", -result) : snprintf(answer, sizeof answer, "OK\n");
    if (send(c->fd, answer, (size_t)size, MSG_NOSIGNAL) < 0) return false;
    c->used -= (unsigned)(end + 1 - c->line);
    memmove(c->line, end + 1, c->used);
  }
  return c->used < sizeof c->line;
}

// Copies one buffer; false at the end of the stream.
static bool pump(int from, int to, struct keeper *k, struct source *log) {
  static char bytes[16384];
  ssize_t n = read(from, bytes, sizeof bytes);
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  if (n == 0) return false;
  if (log && k->log >= 0) log_bytes(k, log, bytes, (uint32_t)n);
  return to < 0 || write_all(to, bytes, (size_t)n) == 0 || log;
}

static void drain(struct keeper *k, bool all) {
  for (int i = 0; i < 2; i++) {
    struct source *s = &k->sources[i];
    struct pollfd ready = {s->pipe, POLLIN, 0};
    while (s->pipe >= 0 && poll(&ready, 1, all ? -1 : 0) > 0)
      if (!log_pump(k, s)) close_fd(&s->pipe);
    close_fd(&s->copy);
  }
  struct pollfd ready = {k->master, POLLIN, 0};
  while (k->master >= 0 && poll(&ready, 1, 0) > 0 && (ready.revents & POLLIN))
    if (!pump(k->master, k->relay_out, k, &k->sources[0])) break;
}

static void record_exit(struct keeper *k, int code, int64_t time) {
  char text[64], name[300];
  int size = snprintf(text, sizeof text, "%d %lld\n", code, (long long)time);
  snprintf(name, sizeof name, ".%s.new", k->exit_name);
  int fd = openat(k->folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return;
  bool whole = write_all(fd, text, (size_t)size) == 0 && fsync(fd) == 0;
  close(fd);
  // Renamed only when complete: a reader sees no record or a whole one.
  if (whole) renameat(k->folder, name, k->folder, k->exit_name);
}

// Reaps whoever has ended; true once the container's process has, with its exit code.
static bool reap(struct state *st, int *code) {
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

int keeper_run(struct state *st, struct keeper *k, bool record) {
  struct client clients[MAX_CLIENTS];
  int connected = 0, code = 255;
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGCHLD);
  sigaddset(&watched, SIGWINCH);
  int signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  if (k->foreground && k->master >= 0) enter_foreground(k);
  bool ended = reap(st, &code);
  while (!ended) {
    struct pollfd wait[6 + MAX_CLIENTS] = {
        {signals, POLLIN, 0},          {connected < MAX_CLIENTS ? k->listener : -1, POLLIN, 0},
        {k->sources[0].pipe, POLLIN, 0}, {k->sources[1].pipe, POLLIN, 0},
        {k->master, POLLIN, 0},        {k->master >= 0 ? k->relay_in : -1, POLLIN, 0},
    };
    for (int i = 0; i < connected; i++) wait[6 + i] = (struct pollfd){clients[i].fd, POLLIN, 0};
    if (poll(wait, (nfds_t)(6 + connected), -1) < 0) continue;
    if (wait[0].revents) {
      struct signalfd_siginfo info;
      while (read(signals, &info, sizeof info) == sizeof info) {
        struct winsize size;
        if (info.ssi_signo == SIGWINCH && k->foreground && ioctl(k->relay_in, TIOCGWINSZ, &size) == 0)
          resize(k, size.ws_col, size.ws_row);
      }
      ended = reap(st, &code);
    }
    for (int i = 0; i < 2; i++)
      if (wait[2 + i].revents && !log_pump(k, &k->sources[i])) {
        log_finish(k, &k->sources[i]);
        close_fd(&k->sources[i].pipe);
        close_fd(&k->sources[i].copy);
      }
    // A terminal that nobody has open hangs up, but may be opened again: only the exit ends it.
    if (wait[4].revents & POLLIN) pump(k->master, k->relay_out, k, &k->sources[0]);
    else if (wait[4].revents & POLLHUP) usleep(2000);
    if (wait[5].revents && !pump(k->relay_in, k->master, k, NULL)) close_fd(&k->relay_in);
    for (int i = connected - 1; i >= 0; i--)
      if (wait[6 + i].revents && !serve_client(k, &clients[i])) {
        close(clients[i].fd);
        clients[i] = clients[--connected];
      }
    if (wait[1].revents) {
      int fd = accept4(k->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd >= 0) clients[connected++] = (struct client){.fd = fd};
    }
  }
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  int64_t time = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
  // First what the process wrote, then word of its end: who hears of it finds the log complete.
  drain(k, false);
  if (modes_saved) tcsetattr(k->relay_in, TCSANOW, &saved_modes);
  if (record) record_exit(k, code, time);
  // Connections that wait to be accepted hear of it too.
  int fd;
  while (connected < MAX_CLIENTS && k->listener >= 0 && (fd = accept4(k->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
    clients[connected++] = (struct client){.fd = fd};
  char text[64];
  int size = snprintf(text, sizeof text, "EXIT %d %lld\n", code, (long long)time);
  for (int i = 0; i < connected; i++) {
    send(clients[i].fd, text, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(clients[i].fd);
  }
  close_fd(&k->listener);
  close_fd(&k->relay_out);
  // Others may still hold the pipes (a daemon that an exec started): log until they are done.
  if (k->sources[0].pipe >= 0 || k->sources[1].pipe >= 0) drain(k, true);
  for (int i = 0; i < 2; i++) log_finish(k, &k->sources[i]);
  return code;
}
