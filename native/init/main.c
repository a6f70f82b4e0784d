// berth-init: executes a plan. Descriptor 3 is the plan (a memfd), descriptor 4 takes records (report.h).
//
// Two processes, three at most: the parent runs SETUP, clones the container's process, runs ATTACH (cgroups, id maps, hooks),
// lets it go on, and exits or stays as its keeper. To join namespaces, a go-between enters them and clones with CLONE_PARENT,
// so that the parent itself never enters a container.
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cleanup.h"
#include "keeper.h"
#include "logger.h"
#include "report.h"

enum { PLAN_FD = 3, REPORT_FD = 4 };

// Reports a failure outside any operation, with index 0xffff; an exit code.
static int fail(int report_fd, enum section section, int errno_value) {
  report(report_fd, RECORD_FAILED, (int)(section << 16 | 0xffff), errno_value, NULL, 0);
  return 1;
}

// Runs a section in order; false after the first failure that counts, which has been reported.
static bool run_section(struct state *st, const struct plan *plan, enum section section) {
  static struct arg args[MAX_OP_ARGS];
  const struct op *op = plan_section(plan, section);
  for (uint32_t i = 0; i < plan->count[section]; i++, op++) {
    op_args(op, args);
    st->detail[0] = 0;
    st->detail_size = 0;
    int result = operation_by_code(op->code)->run(st, args, op->argc);
    if (result >= 0) continue;
    if (result == -ENOENT && (op->flags & OP_IF_PRESENT)) continue;
    bool optional = op->flags & OP_OPTIONAL;
    uint32_t length = st->detail_size ? st->detail_size : (uint32_t)strnlen(st->detail, sizeof st->detail);
    report(st->report, optional ? RECORD_WARNING : RECORD_FAILED, (int)(section << 16 | i), -result, st->detail, length);
    if (!optional) return false;
  }
  return true;
}

static int load(struct plan *plan, void **memory, size_t *size) {
  struct stat info;
  size_t offset = 0;
  if (fstat(PLAN_FD, &info) < 0 || info.st_size <= 0 || info.st_size > (off_t)PLAN_MAX_SIZE) return -EINVAL;
  *size = (size_t)info.st_size;
  *memory = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_PRIVATE, PLAN_FD, 0);
  if (*memory == MAP_FAILED) return -errno;
  close(PLAN_FD);
  if (plan_parse(*memory, *size, plan, &offset)) return 0;
  fprintf(stderr, "berth-init: the plan is malformed at byte %zu\n", offset);
  return -EINVAL;
}

// In the new process: runs ENTER, waits for the parent, which sends its pid as the host sees it, then runs CHILD.
static void be_child(struct state *st, const struct plan *plan, int ends[2]) {
  sigset_t none;
  pid_t self = 0;
  close(ends[0]);
  st->sync = ends[1];
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  // No answer: the parent failed and has reported why.
  if (!run_section(st, plan, ENTER) || write(st->sync, &self, sizeof self) != sizeof self ||
      read(st->sync, &self, sizeof self) != sizeof self)
    _exit(1);
  st->child = self;
  // Without exec: either it failed and was reported, or the plan needs none.
  const long code = run_section(st, plan, CHILD) ? 0 : 127;
  syscall(SYS_exit_group, code);
  // A seccomp filter may refuse even that, and _exit would retry forever: an illegal instruction ends it.
  __builtin_trap();
}

// clone3(2), into the plan's version 2 cgroup if there is one: unlike moving there later, this takes no lock.
static pid_t clone_process(struct state *st, const struct plan *plan, uint64_t flags) {
  struct clone_args args = {.flags = flags & ~(uint64_t)CLONE_PARENT, .exit_signal = SIGCHLD};
  if (flags & CLONE_PARENT) args.flags |= CLONE_PARENT, args.exit_signal = 0;  // the parent's applies
  if (plan->cgroup >= 0) {
    int fd = slot_get(st, plan->cgroup);
    if (fd < 0) {
      errno = -fd;
      return -1;
    }
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = (__u64)fd;
  }
  return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

// Joins namespaces in a go-between, which clones with CLONE_PARENT and passes on the pid.
static pid_t clone_joined(struct state *st, const struct plan *plan, int ends[2]) {
  pid_t between = fork();
  if (between == 0) {
    // Once we are in their namespaces, processes inside must not be able to attach to us (CVE-2016-9962).
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (!run_section(st, plan, JOIN)) _exit(1);
    int pids[2];
    if (pipe2(pids, O_CLOEXEC) < 0) _exit(fail(st->report, JOIN, errno));
    pid_t pid = clone_process(st, plan, plan->clone_flags | CLONE_PARENT);
    if (pid == 0) {
      // The go-between sends the pid first, before anything that the process itself sends.
      char go;
      close(pids[1]);
      if (read(pids[0], &go, 1) != 1) _exit(1);
      be_child(st, plan, ends);
    }
    if (pid < 0) _exit(fail(st->report, JOIN, errno));
    bool sent = write(ends[1], &pid, sizeof pid) == sizeof pid && write(pids[1], "g", 1) == 1;
    _exit(sent ? 0 : 1);
  }
  if (between < 0) return between;
  int status = 0;
  while (waitpid(between, &status, 0) < 0 && errno == EINTR) continue;
  pid_t pid;
  if (status != 0 || read(ends[0], &pid, sizeof pid) != sizeof pid) return -1;
  return pid;
}

static int start(struct state *st, struct plan *plan) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) return fail(st->report, SETUP, errno);
  bool joins = plan->count[JOIN] > 0;
  pid_t pid = joins ? clone_joined(st, plan, ends) : clone_process(st, plan, plan->clone_flags), entered;
  if (pid == 0) be_child(st, plan, ends);
  if (pid < 0) return joins ? 1 : fail(st->report, SETUP, errno);
  close(ends[1]);
  st->sync = ends[0];
  st->child = pid;
  if (!report(st->report, RECORD_PID, pid, 0, NULL, 0) || read(st->sync, &entered, sizeof entered) != sizeof entered ||
      !run_section(st, plan, ATTACH) || write(st->sync, &pid, sizeof pid) != sizeof pid || !run_section(st, plan, AFTER)) {
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return 1;
  }
  return 0;
}

int main(int argc, char **argv) {
  static struct state st = {.report = REPORT_FD, .sync = -1};
  struct plan plan;
  void *memory = NULL;
  size_t size = 0;
  if (argc == 2 && strcmp(argv[1], "--operations") == 0) {
    print_operations();
    return 0;
  }
  if (argc == 3 && strcmp(argv[1], "--log") == 0) return logger_run(argv[2]);
  if (fcntl(PLAN_FD, F_SETFD, FD_CLOEXEC) < 0 || fcntl(REPORT_FD, F_SETFD, FD_CLOEXEC) < 0) {
    fprintf(stderr, "berth-init is started by berth, with a plan on descriptor 3 and its reader on 4\n");
    return 2;
  }
  int result = load(&plan, &memory, &size);
  if (result < 0) return fail(st.report, SETUP, -result);
  for (int i = 0; i < MAX_SLOTS; i++) st.slots[i] = -1;
  // Inherited descriptors follow the two fixed ones and become slots 0, 1, ...
  for (uint32_t i = 0; i < plan.inherited && i < MAX_SLOTS; i++) {
    st.slots[i] = REPORT_FD + 1 + (int)i;
    fcntl(st.slots[i], F_SETFD, FD_CLOEXEC);
  }
  st.keeper = keeper_new();
  // Blocked, not ignored: the child must not inherit dispositions, and the parent must survive ^C in its process group.
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  signal(SIGPIPE, SIG_IGN);
  if (!run_section(&st, &plan, SETUP)) return 1;
  if (!(plan.flags & PLAN_CHILD)) {
    report(st.report, RECORD_READY, 0, 0, NULL, 0);
    return 0;
  }
  if (start(&st, &plan) != 0) return 1;
  if (!(plan.flags & (PLAN_KEEP | PLAN_WAIT))) return 0;
  // What stays should be small and keep nothing of the container open.
  uint32_t flags = plan.flags;
  for (int i = 0; i < MAX_SLOTS; i++) close_fd(&st.slots[i]);
  close_fd(&st.sync);
  free(plan.ops);
  munmap(memory, size);
  if (flags & PLAN_KEEP) {
    close_fd(&st.report);
    keeper_run(&st, true);
    return 0;
  }
  int code = keeper_run(&st, false);
  report(st.report, RECORD_EXIT, code, 0, NULL, 0);
  return code;
}
