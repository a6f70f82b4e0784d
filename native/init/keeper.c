// The keeper's loop and the operations that set up its streams; see keeper.h.
//
// keeper.sock speaks lines. A connection is greeted with "PID pid"; "OOM count" comes whenever the out-of-memory killer
// has been there. Commands: "RESIZE columns rows", "CLOSE_STDIN", "REOPEN_LOG", "KILL signal", "ADOPT pid"; each is answered
// by "OK" or "ERR errno". When the process has ended, every connection gets "EXIT code nanoseconds ooms" and is closed.
#include "keeper.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
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
#define SETTLE_MS 10000

struct keeper *keeper_new(void) {
  static struct keeper k;
  k = (struct keeper){.folder = -1, .record = -1, .listener = -1, .stdin_hold = -1, .holds = {-1, -1}, .log = {.fd = -1}, .master = -1,
                      .relay_in = -1, .relay_out = {.fd = -1}, .oom = -1, .oom_file = -1};
  k.sources[0] = (struct source){.pipe = -1, .copy = {.fd = -1}, .name = "stdout"};
  k.sources[1] = (struct source){.pipe = -1, .copy = {.fd = -1}, .name = "stderr"};
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
  // The exit record's room is taken now: later there may be none. Without such files, it is made at the end.
  static const char room[64];
  st->keeper->record = openat(st->keeper->folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
  if (st->keeper->record >= 0 && write_all(st->keeper->record, room, sizeof room) < 0) return -errno;
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

// Takes a slot as an output that must not hold the keeper up: its flags are its own, as the plan opened it for this alone.
static int take_sink(struct state *st, int64_t slot, struct sink *sink) {
  sink->fd = take_slot(st, slot);
  if (sink->fd < 0) return sink->fd;
  return fcntl(sink->fd, F_SETFL, fcntl(sink->fd, F_GETFL) | O_NONBLOCK) < 0 ? -errno : 0;
}

static void close_sink(struct sink *sink) {
  if (sink->fd >= 0) close(sink->fd);
  free(sink->kept);
  *sink = (struct sink){.fd = -1};
}

bool sink_write(struct sink *sink, const char *bytes, uint32_t size) {
  while (sink->fd >= 0 && size > 0) {
    ssize_t n = write(sink->fd, bytes, size);
    if (n >= 0) bytes += n, size -= (uint32_t)n;
    else if (errno == EAGAIN && (sink->kept = malloc(size))) {
      memcpy(sink->kept, bytes, size);
      sink->size = size, sink->sent = 0;
      return true;
    } else if (errno != EINTR) close_sink(sink);  // EPIPE, or a bad descriptor: the client has left
  }
  return sink->fd >= 0;
}

static void sink_flush(struct sink *sink) {
  ssize_t n = write(sink->fd, sink->kept + sink->sent, sink->size - sink->sent);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n < 0) close_sink(sink);
  else if ((sink->sent += (uint32_t)n) == sink->size) free(sink->kept), sink->kept = NULL;
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

// log(path, stdout slot, stderr slot, stdout copy slot or -1, stderr copy slot or -1, limit of a file in bytes or 0, files):
// makes the process's pipes. With negative slots for the process there are none: the lines come from a terminal.
int op_log(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  struct keeper *k = st->keeper;
  int opened = log_file_open(&k->log, STR(0), (uint64_t)NUM(5), (uint32_t)NUM(6));
  if (opened < 0) return opened;
  for (int i = 0; i < 2; i++) {
    int ends[2];
    if (NUM(1 + i) < 0) continue;
    int taken = NUM(3 + i) < 0 ? 0 : take_sink(st, NUM(3 + i), &k->sources[i].copy);
    if (taken < 0) return taken;
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
  k->foreground = NUM(2) != 0;
  // In the foreground it is the caller's own terminal, whose flags are not ours to change.
  int taken = NUM(1) < 0 ? 0 : k->foreground ? (k->relay_out.fd = take_slot(st, NUM(1))) : take_sink(st, NUM(1), &k->relay_out);
  if (taken < 0) return taken;
  if (k->relay_in >= 0 && !k->foreground) {
    // As with fifo_in: between two clients there is no end of file.
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", k->relay_in);
    k->stdin_hold = open(self, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  }
  int n = receive_descriptor(st->sync, &k->master, &byte, 1);
  return n < 0 ? n : 0;  // without a descriptor the child has failed and said why
}

// How often the killer has been in the cgroup: "oom_kill N", which a kernel without the count does not have.
static unsigned read_ooms(struct keeper *k) {
  char text[1024];
  ssize_t n = pread(k->oom_file, text, sizeof text - 1, 0);
  text[n < 0 ? 0 : n] = 0;
  const char *found = strstr(text, "oom_kill ");
  return found ? (unsigned)strtoul(found + 9, NULL, 10) : k->oom_base + k->ooms;
}

// Counts anew; true when it was there again. The event is only a hint.
static bool count_ooms(struct keeper *k) {
  uint64_t times;
  if (k->oom < 0) return false;
  if (k->oom != k->oom_file && read(k->oom, &times, sizeof times) < 0 && errno != EAGAIN) return false;
  unsigned count = read_ooms(k) - k->oom_base;
  bool risen = count > k->ooms;
  k->ooms = count;
  return risen;
}

// watch_oom(cgroup version, cgroup folder of the memory controller, file): memory.oom_control with an eventfd, or
// memory.events, which polls as urgent when it has changed.
int op_watch_oom(struct state *st, const struct arg *args, int argc) {
  (void)argc;
  struct keeper *k = st->keeper;
  char path[4352], text[32];
  snprintf(path, sizeof path, "%s/%s", STR(1), STR(2));
  if ((k->oom_file = open(path, O_RDONLY | O_CLOEXEC)) < 0) return -errno;
  k->oom_base = read_ooms(k);  // of a cgroup that was there before; what has been read polls as changed from then on
  if (NUM(0) == 2) {
    k->oom = k->oom_file;
    return 0;
  }
  if ((k->oom = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) return -errno;
  snprintf(path, sizeof path, "%s/cgroup.event_control", STR(1));
  int control = open(path, O_WRONLY | O_CLOEXEC);
  if (control < 0) return -errno;
  int size = snprintf(text, sizeof text, "%d %d", k->oom, k->oom_file);
  int result = write(control, text, (size_t)size) < 0 ? -errno : 0;
  close(control);
  return result;
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

static int command(struct state *st, struct keeper *k, char *line) {
  unsigned columns, rows, number;
  // Nobody else waits for the process: as long as this has not been told of its end, the pid is its own.
  if (sscanf(line, "KILL %u", &number) == 1) return kill(st->child, (int)number) < 0 ? -errno : 0;
  if (sscanf(line, "ADOPT %u", &number) == 1) {
    st->child = (pid_t)number;  // criu's work: the process it restored is our child as criu was
    return 0;
  }
  if (sscanf(line, "RESIZE %u %u", &columns, &rows) == 2) return resize(k, columns, rows);
  if (strcmp(line, "CLOSE_STDIN") == 0) {
    close_fd(&k->stdin_hold);
    return 0;
  }
  if (strcmp(line, "REOPEN_LOG") == 0) {
    return k->log.fd < 0 ? -EINVAL : log_file_reopen(&k->log);
  }
  return -EINVAL;
}

// One connection to keeper.sock. Lines are short; a client that sends longer ones is let go.
struct client {
  int fd;
  unsigned used;
  char line[64];
};

static bool serve_client(struct state *st, struct keeper *k, struct client *c) {
  ssize_t n = read(c->fd, c->line + c->used, sizeof c->line - c->used);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (n <= 0) return false;
  c->used += (unsigned)n;
  char *end;
  while ((end = memchr(c->line, '\n', c->used))) {
    *end = 0;
    int result = command(st, k, c->line);
    char answer[32];
    int size = result < 0 ? snprintf(answer, sizeof answer, "ERR %d\n", -result) : snprintf(answer, sizeof answer, "OK\n");
    if (send(c->fd, answer, (size_t)size, MSG_NOSIGNAL) < 0) return false;
    c->used -= (unsigned)(end + 1 - c->line);
    memmove(c->line, end + 1, c->used);
  }
  return c->used < sizeof c->line;
}

// One buffer of what the terminal shows, to the log and the client; false at the end.
static bool pump_out(struct keeper *k) {
  static char bytes[16384];
  ssize_t n = read(k->master, bytes, sizeof bytes);
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  if (n == 0) return false;
  if (k->log.fd >= 0) log_bytes(k, &k->sources[0], bytes, (uint32_t)n);
  sink_write(&k->relay_out, bytes, (uint32_t)n);
  return true;
}

// One buffer of what is typed.
static bool pump_in(struct keeper *k) {
  static char bytes[16384];
  ssize_t n = read(k->relay_in, bytes, sizeof bytes);
  if (n < 0) return errno == EINTR || errno == EAGAIN;
  return n > 0 && write_all(k->master, bytes, (size_t)n) == 0;
}

// Gives a client that is slow this long to take what the process left behind, and lets go of one that does not read.
static void settle(struct sink *sink) {
  struct pollfd ready = {sink->fd, POLLOUT, 0};
  while (sink->kept && poll(&ready, 1, SETTLE_MS) > 0) sink_flush(sink);
  if (sink->kept) close_sink(sink);
}

static void drain(struct keeper *k, bool all) {
  for (int i = 0; i < 2; i++) {
    struct source *s = &k->sources[i];
    struct pollfd ready = {s->pipe, POLLIN, 0};
    settle(&s->copy);
    while (s->pipe >= 0 && poll(&ready, 1, all ? -1 : 0) > 0) {
      if (!log_pump(k, s)) close_fd(&s->pipe);
      settle(&s->copy);
    }
    close_sink(&s->copy);
  }
  struct pollfd ready = {k->master, POLLIN, 0};
  settle(&k->relay_out);
  while (k->master >= 0 && poll(&ready, 1, 0) > 0 && (ready.revents & POLLIN) && pump_out(k)) settle(&k->relay_out);
}

static void record_exit(struct keeper *k, const char *text, size_t size) {
  if (k->record >= 0 && pwrite(k->record, text, size, 0) == (ssize_t)size && ftruncate(k->record, (off_t)size) == 0 &&
      fsync(k->record) == 0 && linkat(k->record, "", k->folder, k->exit_name, AT_EMPTY_PATH) == 0) return;
  char name[300];
  snprintf(name, sizeof name, ".%s.new", k->exit_name);
  int fd = openat(k->folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return;
  bool whole = write_all(fd, text, size) == 0 && fsync(fd) == 0;
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

// Descriptors that are always polled for, before those of clients.
enum { FIXED = 10 };

int keeper_run(struct state *st, struct keeper *k, bool record) {
  struct client clients[MAX_CLIENTS];
  struct sink *sinks[] = {&k->sources[0].copy, &k->sources[1].copy, &k->relay_out};
  int connected = 0, code = 255;
  char text[64];
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGCHLD);
  sigaddset(&watched, SIGWINCH);
  int signals = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
  if (k->foreground && k->master >= 0) enter_foreground(k);
  bool ended = reap(st, &code);
  while (!ended) {
    struct pollfd wait[FIXED + MAX_CLIENTS] = {
        {signals, POLLIN, 0},
        {connected < MAX_CLIENTS ? k->listener : -1, POLLIN, 0},
        {sinks[0]->kept ? -1 : k->sources[0].pipe, POLLIN, 0},
        {sinks[1]->kept ? -1 : k->sources[1].pipe, POLLIN, 0},
        {sinks[2]->kept ? -1 : k->master, POLLIN, 0},
        {k->master >= 0 ? k->relay_in : -1, POLLIN, 0},
        {k->oom, k->oom == k->oom_file ? POLLPRI : POLLIN, 0},
    };
    for (int i = 0; i < 3; i++) wait[7 + i] = (struct pollfd){sinks[i]->kept ? sinks[i]->fd : -1, POLLOUT, 0};
    for (int i = 0; i < connected; i++) wait[FIXED + i] = (struct pollfd){clients[i].fd, POLLIN, 0};
    if (poll(wait, (nfds_t)(FIXED + connected), -1) < 0) continue;
    for (int i = 0; i < 3; i++)
      if (wait[7 + i].revents) sink_flush(sinks[i]);
    if (wait[6].revents && count_ooms(k)) {
      int size = snprintf(text, sizeof text, "OOM %u\n", k->ooms);
      for (int i = 0; i < connected; i++) send(clients[i].fd, text, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
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
        close_sink(&k->sources[i].copy);
      }
    // A terminal that nobody has open hangs up, but may be opened again: only the exit ends it.
    if (wait[4].revents & POLLIN) pump_out(k);
    else if (wait[4].revents & POLLHUP) usleep(2000);
    if (wait[5].revents && !pump_in(k)) close_fd(&k->relay_in);
    for (int i = connected - 1; i >= 0; i--)
      if (wait[FIXED + i].revents && !serve_client(st, k, &clients[i])) {
        close(clients[i].fd);
        clients[i] = clients[--connected];
      }
    if (wait[1].revents) {
      int fd = accept4(k->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
      int size = snprintf(text, sizeof text, "PID %d\n", st->child);
      if (k->ooms) size += snprintf(text + size, sizeof text - (size_t)size, "OOM %u\n", k->ooms);
      if (fd >= 0 && send(fd, text, (size_t)size, MSG_NOSIGNAL) == size) clients[connected++] = (struct client){.fd = fd};
      else close_fd(&fd);
    }
  }
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  int64_t time = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
  // First what the process wrote, then word of its end: who hears of it finds the log complete.
  drain(k, false);
  if (modes_saved) tcsetattr(k->relay_in, TCSANOW, &saved_modes);
  count_ooms(k);
  int size = snprintf(text, sizeof text, "EXIT %d %lld %u\n", code, (long long)time, k->ooms);
  if (record) record_exit(k, text + 5, (size_t)size - 5);
  // Connections that wait to be accepted hear of it too.
  int fd;
  while (connected < MAX_CLIENTS && k->listener >= 0 && (fd = accept4(k->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
    clients[connected++] = (struct client){.fd = fd};
  for (int i = 0; i < connected; i++) {
    send(clients[i].fd, text, (size_t)size, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(clients[i].fd);
  }
  close_fd(&k->listener);
  close_sink(&k->relay_out);
  // Others may still hold the pipes (a daemon that an exec started): log until they are done.
  if (k->sources[0].pipe >= 0 || k->sources[1].pipe >= 0) drain(k, true);
  for (int i = 0; i < 2; i++) log_finish(k, &k->sources[i]);
  return code;
}

int keeper_log(char *where) {
  struct keeper *k = keeper_new();
  char *lines[5];
  for (int i = 0; i < 5; i++) lines[i] = strsep(&where, "\n");
  signal(SIGPIPE, SIG_IGN);
  uint64_t limit = lines[3] ? strtoull(lines[3], NULL, 10) : 0, count = lines[4] ? strtoull(lines[4], NULL, 10) : 0;
  if (log_file_open(&k->log, lines[0], limit, (uint32_t)count) < 0) return 1;
  struct pollfd wait[2];
  for (int i = 0; i < 2; i++) {
    k->sources[i].pipe = 3 + i;
    if (!lines[1 + i] || !*lines[1 + i]) continue;
    int hold = -1, reader = open_ends(lines[1 + i], O_RDONLY | O_NONBLOCK, O_WRONLY, &hold);
    k->sources[i].copy.fd = hold;  // not blocking, and told when the client has left
    close_fd(&reader);
  }
  while (k->sources[0].pipe >= 0 || k->sources[1].pipe >= 0) {
    for (int i = 0; i < 2; i++) wait[i] = (struct pollfd){k->sources[i].pipe, POLLIN, 0};
    if (poll(wait, 2, -1) < 0) continue;
    for (int i = 0; i < 2; i++) {
      struct source *s = &k->sources[i];
      if (!wait[i].revents) continue;
      bool more = log_pump(k, s);
      settle(&s->copy);
      if (more) continue;
      log_finish(k, s);
      close_fd(&s->pipe);
      close_sink(&s->copy);
    }
  }
  return 0;
}
