// The BPF programs that decide on access to devices in a version 2 cgroup.
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "cleanup.h"
#include "operations.h"

enum { DEVICE_PROGRAMS = 64 };  // the kernel's limit for a cgroup

// The ids of the cgroup's own device programs; their number or a negated errno.
static int device_programs(int cgroup, uint32_t ids[DEVICE_PROGRAMS]) {
  union bpf_attr query;
  memset(&query, 0, sizeof query);
  query.query.target_fd = (uint32_t)cgroup;
  query.query.attach_type = BPF_CGROUP_DEVICE;
  query.query.prog_ids = (uint64_t)(uintptr_t)ids;
  query.query.prog_cnt = DEVICE_PROGRAMS;
  return syscall(SYS_bpf, BPF_PROG_QUERY, &query, sizeof query) < 0 ? -errno : (int)query.query.prog_cnt;
}

static int detach_program(int cgroup, uint32_t id) {
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.prog_id = id;
  _cleanup_close_ int program = (int)syscall(SYS_bpf, BPF_PROG_GET_FD_BY_ID, &attr, sizeof attr);
  if (program < 0) return errno == ENOENT ? 0 : -errno;
  memset(&attr, 0, sizeof attr);
  attr.target_fd = (uint32_t)cgroup;
  attr.attach_bpf_fd = (uint32_t)program;
  attr.attach_type = BPF_CGROUP_DEVICE;
  return syscall(SYS_bpf, BPF_PROG_DETACH, &attr, sizeof attr) < 0 && errno != ENOENT ? -errno : 0;
}

// bpf_device(cgroup slot, program, replace): attaches a device program to a version 2 cgroup. With `replace` the old ones are
// detached afterwards: meanwhile both apply, so that at no time access is unrestricted.
int op_bpf_device(struct state *st, const struct arg *args, int argc) {
  int cgroup = slot_get(st, NUM(0));
  if (cgroup < 0) return cgroup;
  uint32_t old[DEVICE_PROGRAMS];
  int count = NUM(2) ? device_programs(cgroup, old) : 0;
  if (count < 0) return count;
  union bpf_attr load;
  memset(&load, 0, sizeof load);
  load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.insns = (uint64_t)(uintptr_t)args[1].bytes;
  load.insn_cnt = args[1].length / sizeof(struct bpf_insn);
  load.license = (uint64_t)(uintptr_t) "Apache-2.0";
  _cleanup_close_ int program = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
  if (program < 0) return -errno;
  union bpf_attr attach;
  memset(&attach, 0, sizeof attach);
  attach.target_fd = (uint32_t)cgroup;
  attach.attach_bpf_fd = (uint32_t)program;
  attach.attach_type = BPF_CGROUP_DEVICE;
  attach.attach_flags = BPF_F_ALLOW_MULTI;
  int result = syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach) < 0 ? -errno : 0;
  for (int i = 0; result == 0 && i < count; i++) result = detach_program(cgroup, old[i]);
  return result;
}
