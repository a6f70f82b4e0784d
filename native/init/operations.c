// The table of operations, and the loop that runs a section of the plan.
#include "operations.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "report.h"

static const struct {
  const char *name, *signature;
  handler *run;
} table[] = {
    // Files.
    {"open", "isii", op_open},
    {"open_at", "iisi", op_open_at},
    {"close", "i", op_close},
    {"mkdir", "si", op_mkdir},
    {"write", "sb", op_write},
    {"write_first", "sbsb", op_write_first},
    {"write_in", "isb", op_write_in},
    {"enter_cgroup", "i", op_enter_cgroup},
    {"write_child", "sb", op_write_child},
    {"write_pid", "s", op_write_pid},
    {"target", "iisii", op_target},
    {"symlink", "iss", op_symlink},
    {"mknod", "isiiii", op_mknod},
    {"check_start", "ii", op_check_start},
    {"check_device", "ii", op_check_device},
    // Mounts, all by descriptor.
    {"fsopen", "is", op_fsopen},
    {"fsconfig", "iissi", op_fsconfig},
    {"fspick", "ii", op_fspick},
    {"fsmount", "iii", op_fsmount},
    {"open_tree", "iisi", op_open_tree},
    {"mount_setattr", "iiiiii", op_mount_attr},
    {"mount_flags", "iii", op_mount_flags},
    {"move_mount", "ii", op_move_mount},
    {"mount", "sssis", op_mount},
    {"pivot_root", "i", op_pivot},
    {"chroot", "ii", op_chroot},
    {"mask", "isii", op_mask},
    {"readonly", "is", op_readonly},
    {"copy_up", "ii", op_copy_up},
    {"inherit_mode", "iis", op_inherit_mode},
    {"unmount", "ii", op_unmount},
    {"userns", "ibb", op_userns},
    // Namespaces and the process.
    {"setns", "ii", op_setns},
    {"unshare", "i", op_unshare},
    {"setsid", "", op_setsid},
    {"sethostname", "s", op_hostname},
    {"setdomainname", "s", op_domainname},
    {"map_ids", "si*", op_map_ids},
    {"loopback", "", op_loopback},
    {"netlink", "ib", op_netlink},
    {"rlimit", "iii", op_rlimit},
    {"umask", "i", op_umask},
    {"chdir", "s", op_chdir},
    {"setgroups", "i*", op_groups},
    {"setgid", "i", op_setgid},
    {"setuid", "i", op_setuid},
    {"bounding", "i", op_bounding},
    {"keepcaps", "i", op_keepcaps},
    {"capset", "iii", op_capset},
    {"ambient", "i", op_ambient},
    {"no_new_privs", "", op_no_new_privs},
    {"seccomp", "ib", op_seccomp},
    {"personality", "i", op_personality},
    {"sched_setattr", "b", op_sched_setattr},
    {"ioprio_set", "i", op_ioprio},
    {"set_mempolicy", "ib", op_mempolicy},
    {"sched_setaffinity", "b", op_affinity},
    {"keyring", "s", op_keyring},
    {"bpf_device", "ibi", op_bpf_device},
    {"dup", "ii", op_dup},
    {"close_range", "i", op_close_range},
    {"console", "iiiii", op_console},
    {"send_console", "i", op_send_console},
    {"send_listener", "sbbb", op_send_listener},
    {"send_pidfd", "is", op_send_pidfd},
    {"call_parent", "", op_call_parent},
    {"await_child", "", op_await_child},
    {"lend", "i", op_lend},
    {"borrow", "i", op_borrow},
    {"answer", "", op_answer},
    {"hook", "sbbiis*", op_hook},
    // The end of a plan.
    {"home", "i", op_home},
    {"lookup", "ss", op_lookup},
    {"report_to", "i", op_report_to},
    {"mark", "i", op_mark},
    {"ready", "", op_ready},
    {"wait_fifo", "i", op_wait_fifo},
    {"exec", "iss*", op_exec},
    {"pause", "", op_pause},
    // The keeper.
    {"keep", "is", op_keep},
    {"listen", "s", op_listen},
    {"fifo_in", "is", op_fifo_in},
    {"fifo_out", "is", op_fifo_out},
    {"log", "siiiiii", op_log},
    {"relay", "iii", op_relay},
    {"watch_oom", "iss", op_watch_oom},
};

#define OPERATIONS (sizeof table / sizeof *table)

const char *operation_signature(uint16_t code) { return code < OPERATIONS ? table[code].signature : NULL; }

void print_operations(void) {
  for (size_t i = 0; i < OPERATIONS; i++) printf("%zu %s %s\n", i, table[i].name, table[i].signature);
}

int slot_get(struct state *st, int64_t slot) {
  if (slot == AT_FDCWD) return AT_FDCWD;
  if (slot < 0 || slot >= MAX_SLOTS || st->slots[slot] < 0) return -EBADF;
  return st->slots[slot];
}

int slot_set(struct state *st, int64_t slot, int fd) {
  if (fd < 0) return -errno;
  if (slot < 0 || slot >= MAX_SLOTS) {
    close(fd);
    return -EBADF;
  }
  if (st->slots[slot] >= 0) close(st->slots[slot]);
  st->slots[slot] = fd;
  return 0;
}

bool run_section(struct state *st, const struct plan *plan, enum section section) {
  static struct arg args[MAX_OP_ARGS];
  const struct op *op = plan_section(plan, section);
  for (uint32_t i = 0; i < plan->count[section]; i++, op++) {
    op_args(op, args);
    st->detail[0] = 0;
    st->detail_size = 0;
    int result = table[op->code].run(st, args, op->argc);
    if (result >= 0) continue;
    if (result == -ENOENT && (op->flags & OP_IF_PRESENT)) continue;
    bool optional = op->flags & OP_OPTIONAL;
    uint32_t length = st->detail_size ? st->detail_size : (uint32_t)strnlen(st->detail, sizeof st->detail);
    report(st->report, optional ? RECORD_WARNING : RECORD_FAILED, (int)(section << 16 | i), -result, st->detail, length);
    if (!optional) return false;
  }
  return true;
}
