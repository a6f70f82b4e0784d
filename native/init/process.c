// Operations on the process itself: namespaces, identity, limits, and the last step, exec.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "cleanup.h"
#include "descriptors.h"
#include "operations.h"
#include "report.h"

#define CHECK(call) ((call) < 0 ? -errno : 0)

// Operations that are a single call.
#define SIMPLE(name, call) \
  int name(struct state *st, const struct arg *args, int argc) { return CHECK(call); }

// setns(slot, type)
SIMPLE(op_setns, setns(slot_get(st, NUM(0)), (int)NUM(1)))
SIMPLE(op_unshare, unshare((int)NUM(0)))
SIMPLE(op_setsid, setsid())
SIMPLE(op_hostname, sethostname(STR(0), args[0].length))
SIMPLE(op_domainname, syscall(SYS_setdomainname, STR(0), args[0].length))
SIMPLE(op_umask, (int)umask((mode_t)NUM(0)) * 0)
SIMPLE(op_setgid, setresgid((gid_t)NUM(0), (gid_t)NUM(0), (gid_t)NUM(0)))
SIMPLE(op_setuid, setresuid((uid_t)NUM(0), (uid_t)NUM(0), (uid_t)NUM(0)))
SIMPLE(op_keepcaps, prctl(PR_SET_KEEPCAPS, NUM(0), 0, 0, 0))
SIMPLE(op_no_new_privs, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
SIMPLE(op_personality, personality((unsigned long)NUM(0)))
// A new session keyring puts the host's keys out of reach.
SIMPLE(op_keyring, syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, STR(0)))
// Scheduling: a struct sched_attr, an ioprio value, a node mask of whole words, a CPU mask.
SIMPLE(op_sched_setattr, syscall(SYS_sched_setattr, 0, STR(0), 0))
SIMPLE(op_ioprio, syscall(SYS_ioprio_set, 1, 0, (int)NUM(0)))
SIMPLE(op_mempolicy,
       syscall(SYS_set_mempolicy, (int)NUM(0), args[1].length ? STR(1) : NULL, args[1].length ? args[1].length * 8 + 1 : 0))
SIMPLE(op_affinity, syscall(SYS_sched_setaffinity, 0, (size_t)args[0].length, STR(0)))
// Marks everything from the number on as close-on-exec (CLOSE_RANGE_CLOEXEC).
SIMPLE(op_close_range, syscall(SYS_close_range, (unsigned)NUM(0), ~0u, 4u))

// rlimit(resource, soft, hard): limits are unsigned, -1 is infinity.
int op_rlimit(struct state *st, const struct arg *args, int argc) {
  struct rlimit limit = {(rlim_t)NUM(1), (rlim_t)NUM(2)};
  return CHECK(setrlimit((int)NUM(0), &limit));
}

// chdir(path): fails on a folder that is not reachable from the root, such as that of a leaked descriptor.
int op_chdir(struct state *st, const struct arg *args, int argc) {
  char cwd[4096];
  if (chdir(STR(0)) < 0) return -errno;
  // "(unreachable)/…" means the folder lies outside the root (CVE-2024-21626).
  if (syscall(SYS_getcwd, cwd, sizeof cwd) < 0) return -errno;
  return cwd[0] == '/' ? 0 : -EXDEV;
}

int op_groups(struct state *st, const struct arg *args, int argc) {
  static gid_t groups[MAX_OP_ARGS];
  for (int i = 0; i < argc; i++) groups[i] = (gid_t)NUM(i);
  return CHECK(syscall(SYS_setgroups, (size_t)argc, groups));
}

// bounding(mask): drops every capability that is not in the mask from the bounding set.
int op_bounding(struct state *st, const struct arg *args, int argc) {
  for (int cap = 0; cap < 64; cap++) {
    if ((uint64_t)NUM(0) >> cap & 1) continue;
    if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) return errno == EINVAL && cap > 0 ? 0 : -errno;  // past the last one
  }
  return 0;
}

// capset(effective, permitted, inheritable)
int op_capset(struct state *st, const struct arg *args, int argc) {
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  uint64_t effective = (uint64_t)NUM(0), permitted = (uint64_t)NUM(1), inheritable = (uint64_t)NUM(2);
  data[0] = (struct __user_cap_data_struct){(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable};
  data[1] =
      (struct __user_cap_data_struct){(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)};
  return CHECK(syscall(SYS_capset, &head, data));
}

// ambient(mask): raises each capability of the mask; the last error if not all are permitted and inheritable.
int op_ambient(struct state *st, const struct arg *args, int argc) {
  int result = 0;
  for (unsigned long cap = 0; cap < 64; cap++)
    if ((uint64_t)NUM(0) >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0) result = -errno;
  return result;
}

// Moves a descriptor of berth-init's own away from this number.
static void vacate(struct state *st, int number) {
  int *users[MAX_SLOTS + 2] = {&st->report, &st->sync};
  for (int i = 0; i < MAX_SLOTS; i++) users[2 + i] = &st->slots[i];
  for (int i = 0; i < MAX_SLOTS + 2; i++)
    if (*users[i] == number) *users[i] = fcntl(number, F_DUPFD_CLOEXEC, 3);
}

// dup(slot, number): a slot becomes descriptor `number`, open across exec.
int op_dup(struct state *st, const struct arg *args, int argc) {
  int fd = slot_get(st, NUM(0));
  if (fd < 0) return fd;
  if (fd != NUM(1) && NUM(1) > 2) vacate(st, (int)NUM(1));
  return fd == NUM(1) ? CHECK(fcntl(fd, F_SETFD, 0)) : CHECK(dup2(fd, (int)NUM(1)));
}

static int check_executable(struct state *st, const char *path) {
  struct stat info;
  if (stat(path, &info) < 0) return -errno;
  if (S_ISDIR(info.st_mode)) return -EISDIR;
  if (!S_ISREG(info.st_mode)) return -EACCES;
  // faccessat checks the real ids, so a refusal is checked again with the effective ones. A seccomp profile that does not know
  // faccessat2 makes it fail with EPERM; then exec decides.
  if (syscall(SYS_faccessat, AT_FDCWD, path, X_OK) < 0 && errno == EACCES &&
      syscall(SYS_faccessat2, AT_FDCWD, path, X_OK, AT_EACCESS) < 0 && errno == EACCES)
    return -EACCES;
  if (strlen(path) >= sizeof st->executable) return -ENAMETOOLONG;
  strcpy(st->executable, path);
  return 0;
}

// lookup(name, PATH): finds the program as execvp would, so that create can report what is wrong.
int op_lookup(struct state *st, const struct arg *args, int argc) {
  const char *name = STR(0);
  if (strchr(name, '/')) return check_executable(st, name);
  int found = -ENOENT;
  for (const char *dir = STR(1); dir; dir = strchr(dir, ':') ? strchr(dir, ':') + 1 : NULL) {
    char path[4096];
    int length = (int)strcspn(dir, ":");
    if (snprintf(path, sizeof path, "%.*s/%s", length ? length : 1, length ? dir : ".", name) >= (int)sizeof path) continue;
    int result = check_executable(st, path);
    if (result == 0) return 0;
    if (result != -ENOENT && result != -ENOTDIR) found = result;
  }
  return found;
}

// home(uid, passwd file, its largest size, default): the user's home folder by the container's passwd(5), or the default.
int op_home(struct state *st, const struct arg *args, int argc) {
  char line[4096];
  snprintf(st->home, sizeof st->home, "HOME=%.4000s", STR(3));
  // The file comes from the image: a FIFO could block us, a device or a huge file keep us busy.
  struct stat info;
  _cleanup_close_ int fd = open(STR(1), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  bool fit = fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size <= NUM(2);
  FILE *file = fit ? fdopen(fd, "r") : NULL;
  if (!file) return 0;
  take_fd(&fd);  // fclose closes it
  while (fgets(line, sizeof line, file)) {
    char *field[7], *rest = line;
    int n = 0;
    while (n < 7 && (field[n] = strsep(&rest, ":\n"))) n++;
    if (n < 6 || *field[2] < '0' || *field[2] > '9' || strtoll(field[2], NULL, 10) != NUM(0) || *field[5] != '/') continue;
    snprintf(st->home, sizeof st->home, "HOME=%.4000s", field[5]);
    break;
  }
  fclose(file);
  return 0;
}

// report_to(slot): later failures go to a file, which `start` reads.
int op_report_to(struct state *st, const struct arg *args, int argc) {
  int fd = slot_get(st, NUM(0));
  if (fd < 0) return -EBADF;
  close(st->report);
  st->report = fd;
  return 0;
}

// mark(number): a stage begins; berth trace shows how long each takes.
SIMPLE(op_mark, (report(st->report, RECORD_MARK, (int)NUM(0), 0, NULL, 0), 0))
// ready(): everything is set up. Fails if the runtime is gone: it would never learn of this process, which must not start.
SIMPLE(op_ready, report(st->report, RECORD_READY, 0, 0, NULL, 0) ? 0 : -1)

// The new process waits for operations that only its parent can do at this point (hooks between mounts and pivot_root):
// call_parent() in the child, await_child() and answer() around the operations in the parent.
int op_call_parent(struct state *st, const struct arg *args, int argc) {
  char byte = 'c';
  return write(st->sync, &byte, 1) == 1 && read(st->sync, &byte, 1) == 1 ? 0 : -ECANCELED;
}

int op_await_child(struct state *st, const struct arg *args, int argc) {
  char byte;
  return read(st->sync, &byte, 1) == 1 ? 0 : -ECANCELED;
}

// lend(slot): passes the new process's descriptor to the parent, which has the privileges to change what it refers to.
// borrow(slot) receives it there, answer() lets the child continue.
int op_lend(struct state *st, const struct arg *args, int argc) {
  char byte;
  int result = send_descriptor(st->sync, slot_get(st, NUM(0)), "l");
  return result < 0 ? result : read(st->sync, &byte, 1) == 1 ? 0 : -ECANCELED;
}

int op_borrow(struct state *st, const struct arg *args, int argc) {
  char byte;
  int fd, n = receive_descriptor(st->sync, &fd, &byte, 1);
  if (n <= 0 || fd < 0) return n < 0 ? n : -ECANCELED;
  return slot_set(st, NUM(0), fd);
}

SIMPLE(op_answer, write(st->sync, "a", 1))

// The first process of a pid namespace ignores signals that it does not handle. While it waits it should end as any other
// process; exec resets the handler.
static void end_waiting(int number) { _exit(128 + number); }

// Closes what exec would close, except what is needed until then.
static void close_unneeded(struct state *st, int needed) {
  for (int i = 0; i < MAX_SLOTS; i++) {
    int fd = st->slots[i];
    if (fd < 0 || fd == needed || fd == st->report || !(fcntl(fd, F_GETFD) & FD_CLOEXEC)) continue;
    close_fd(&st->slots[i]);
  }
  close_fd(&st->sync);
}

// wait_fifo(slot): waits for the byte that `start` writes. A read would return end of file until somebody opens the other end
// of the FIFO, so it polls first.
int op_wait_fifo(struct state *st, const struct arg *args, int argc) {
  char byte;
  int fd = slot_get(st, NUM(0));
  if (fd < 0) return fd;
  const int ends[] = {SIGHUP, SIGINT, SIGTERM};
  close_unneeded(st, fd);
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) signal(ends[i], end_waiting);
  for (;;) {
    struct pollfd wait = {fd, POLLIN, 0};
    if (poll(&wait, 1, -1) < 0 && errno != EINTR) return -errno;
    if (!(wait.revents & POLLIN)) {
      // After a writer that left without writing, POLLHUP stays until the next one comes.
      if (wait.revents & POLLHUP) usleep(10000);
      continue;
    }
    if (read(fd, &byte, 1) == 1) return 0;
  }
}

// exec(argc, argv..., env...): never returns when it succeeds.
int op_exec(struct state *st, const struct arg *args, int argc) {
  int count = (int)NUM(0);
  if (count < 1 || count > argc - 1) return -EINVAL;
  char **vector = calloc((size_t)argc + 3, sizeof *vector);
  if (!vector) return -ENOMEM;
  for (int i = 0; i < count; i++) vector[i] = (char *)(uintptr_t)STR(1 + i);
  char **env = vector + count + 1;
  for (int i = 1 + count; i < argc; i++) env[i - 1 - count] = (char *)(uintptr_t)STR(i);
  if (st->home[0]) env[argc - 1 - count] = st->home;
  signal(SIGPIPE, SIG_DFL);
  execve(st->executable, vector, env);
  int error = errno;
  // The head of the file shows the runtime why: an ELF of another machine, a missing interpreter, a script with CRLF.
  _cleanup_close_ int fd = open(st->executable, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  ssize_t n = fd < 0 ? 0 : read(fd, st->detail, sizeof st->detail);
  st->detail_size = n > 0 ? (uint32_t)n : 0;
  return -error;
}

static void leave(int number) { _exit(number == SIGTERM ? 0 : 1); }

// pause(): holds a pod's namespaces until SIGTERM. The kernel reaps orphans (SIG_IGN).
int op_pause(struct state *st, const struct arg *args, int argc) {
  signal(SIGTERM, leave);
  signal(SIGINT, leave);
  signal(SIGCHLD, SIG_IGN);
  syscall(SYS_close_range, 3u, ~0u, 0u);  // it holds nothing but the namespaces
  for (;;) pause();
}
