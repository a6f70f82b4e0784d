// The plan: a flat list of operations that packages/runtime compiled from a bundle's config.json.
//
// Layout, little endian, everything aligned to 8 bytes (packages/runtime/plan/encode.ts writes it):
//   header   u32 magic "BPLN", u32 version, u32 size of all, u32 flags, u64 clone flags, u32 count[6],
//            u32 number of inherited descriptors, i32 slot of the cgroup to clone into or -1
//   op       u16 code, u16 argument count, u32 flags, then its arguments
//   argument u32 kind, u32 length, then an i64, or `length` bytes and a NUL, padded to 8
// The parser trusts nothing: every length is checked before it is used.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_MAGIC 0x4e4c5042u
#define PLAN_VERSION 1u
#define PLAN_MAX_SIZE (16u << 20)
#define MAX_OP_ARGS 4096
#define MAX_SLOTS 512

// Who runs a section: the parent before the clone, the go-between that joins namespaces, the new process at once, the parent
// after that, the new process once the parent lets it go on, and the parent at the same time.
enum section { SETUP, JOIN, ENTER, ATTACH, CHILD, AFTER, SECTIONS };

enum plan_flags {
  PLAN_CHILD = 1,  // clone a process; without, only SETUP runs
  PLAN_KEEP = 2,   // stay as the process's keeper
  PLAN_WAIT = 4,   // stay until the process ends and report its exit
};

enum op_flags {
  OP_OPTIONAL = 1,    // a failure is reported as a warning and the plan goes on
  OP_IF_PRESENT = 2,  // ENOENT is not a failure
};

enum arg_kind { ARG_INT = 1, ARG_BYTES = 2 };

struct arg {
  enum arg_kind kind;
  int64_t number;
  const char *bytes;  // `length` bytes and a NUL
  uint32_t length;
};

struct op {
  uint16_t code;
  uint16_t argc;
  uint32_t flags;
  const uint8_t *args;  // encoded; see op_args
};

struct plan {
  uint32_t flags;
  uint64_t clone_flags;
  uint32_t count[SECTIONS];
  uint32_t inherited;  // descriptors after the two fixed ones, which become slots 0, 1, ...
  int32_t cgroup;      // slot of the version 2 cgroup to clone into, or -1
  struct op *ops;      // all sections, one after the other
  const uint8_t *end;
};

// Checks the whole plan and fills `plan`; false on failure, with the offset of the malformed part in *offset.
bool plan_parse(const uint8_t *data, size_t size, struct plan *plan, size_t *offset);
// Decodes an operation's arguments into `out`, which has room for MAX_OP_ARGS.
void op_args(const struct op *op, struct arg *out);
// First operation of a section.
const struct op *plan_section(const struct plan *plan, enum section section);
