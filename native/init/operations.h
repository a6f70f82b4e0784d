// The operations of a plan. An operation is one system call, or a few that belong together for safety; it succeeds or returns
// a negated errno. It makes no decisions: modes, limits and errnos to ignore are arguments. Codes, names and signatures are
// listed in operations.c; a test compares them with packages/runtime/plan/operations.ts.
#pragma once
#include <errno.h>
#include <sys/types.h>

#include "plan.h"

// What operations share within one process.
struct state {
  int slots[MAX_SLOTS];   // descriptors opened by operations, by number; -1: none
  int report;             // where records go; -1: nowhere
  int sync;               // socket to the parent (in the child) or to the child (in the parent)
  pid_t child;            // the container's process, by its pid on the host
  char executable[4096];  // what lookup found
  char home[4096];        // "HOME=..." for the environment, or empty
  char detail[1024];      // text that goes with a failure, or bytes when detail_size says how many
  uint32_t detail_size;
  struct keeper *keeper;  // what the keeper will hold; filled by operations
};

// Every operation has these parameters; the plan's parser has checked `args` against its signature.
typedef int handler(struct state *st, const struct arg *args, int argc);
#define NUM(i) (args[i].number)
#define STR(i) (args[i].bytes)

struct operation {
  const char *name, *signature;
  handler *run;
};

// NULL for an unknown code.
const struct operation *operation_by_code(uint16_t code);
// Prints every operation's code, name and signature, for the test that compares both lists.
void print_operations(void);

// slots.c
int slot_get(struct state *st, int64_t slot);          // the descriptor; -EBADF, on which system calls fail with EBADF too
int slot_folder(struct state *st, int64_t slot);       // the same, or AT_FDCWD for -100
int slot_set(struct state *st, int64_t slot, int fd);  // stores fd and closes the old one; -errno if fd is negative
int slot_copy(struct state *st, int64_t slot);         // a duplicate of the descriptor that survives the slot

// Is this failure among the errnos that the plan lists from argument `first` on?
static inline bool is_listed(int result, const struct arg *args, int first, int argc) {
  for (int i = first; i < argc; i++)
    if (result == -args[i].number) return true;
  return false;
}

// files.c
handler op_open, op_close, op_mkdir, op_write, op_write_first, op_write_in, op_enter_cgroup, op_target, op_symlink, op_mknod,
    op_check_start, op_open_at, op_check_device, op_write_child, op_write_pid;
// mounts.c
handler op_fsopen, op_fsconfig, op_fsmount, op_open_tree, op_mount_attr, op_mount_flags, op_move_mount, op_mount, op_pivot,
    op_chroot, op_mask, op_readonly, op_fspick, op_inherit_mode, op_unmount;
// process.c
handler op_setns, op_unshare, op_setsid, op_hostname, op_domainname, op_rlimit, op_umask, op_chdir, op_groups, op_setgid, op_setuid,
    op_bounding, op_keepcaps, op_capset, op_ambient, op_no_new_privs, op_personality, op_sched_setattr, op_ioprio, op_mempolicy,
    op_affinity, op_keyring, op_dup, op_close_range, op_home, op_lookup, op_exec, op_mark, op_ready, op_report_to, op_wait_fifo,
    op_pause, op_call_parent, op_await_child, op_lend, op_borrow, op_answer;
// console.c
handler op_console, op_send_console;
// listener.c
handler op_seccomp, op_send_listener, op_send_pidfd;
// users.c
handler op_userns, op_map_ids;
// copy.c
handler op_copy_up;
// device_program.c
handler op_bpf_device;
// network.c
handler op_loopback, op_netlink;
// hooks.c
handler op_hook;
// exit_record.c, clients.c, streams.c, relay.c, oom.c
handler op_keep, op_listen, op_fifo_in, op_fifo_out, op_log, op_own_slot, op_own_stdio, op_relay, op_watch_oom;
