// Parser of the plan; see plan.h for the layout. Fuzzed by ../fuzz/plan_fuzz.c.
#include "plan.h"
#include <stdlib.h>
#include <string.h>
#include "operations.h"

struct cursor {
  const uint8_t *start, *at, *end;
};

static bool take(struct cursor *c, void *out, size_t size) {
  if ((size_t)(c->end - c->at) < size) return false;
  memcpy(out, c->at, size);
  c->at += size;
  return true;
}

static size_t padded(size_t size) { return (size + 7) & ~(size_t)7; }

static bool take_arg(struct cursor *c, struct arg *arg) {
  uint32_t head[2];
  if (!take(c, head, sizeof head)) return false;
  *arg = (struct arg){.kind = (enum arg_kind)head[0], .length = head[1]};
  if (head[0] == ARG_INT) return head[1] == 8 && take(c, &arg->number, 8);
  if (head[0] != ARG_BYTES) return false;
  size_t space = padded((size_t)head[1] + 1);
  if ((size_t)(c->end - c->at) < space || c->at[head[1]] != 0) return false;
  arg->bytes = (const char *)c->at;
  c->at += space;
  return true;
}

// Does the argument match its letter? i: number, s: text without NUL, b: any bytes.
static bool fits(char letter, const struct arg *arg) {
  if (letter == 'i') return arg->kind == ARG_INT;
  if (arg->kind != ARG_BYTES) return false;
  return letter == 'b' || strlen(arg->bytes) == arg->length;
}

// A signature is a letter per argument; '*' after the last means any number of it.
static bool signature_fits(struct cursor *c, const char *signature, uint16_t argc) {
  const char *s = signature;
  for (uint16_t i = 0; i < argc; i++) {
    struct arg arg;
    if (*s == 0 || !take_arg(c, &arg) || !fits(*s, &arg)) return false;
    if (s[1] != '*') s++;
  }
  return *s == 0 || s[1] == '*';
}

bool plan_parse(const uint8_t *data, size_t size, struct plan *plan, size_t *offset) {
  struct cursor c = {data, data, data + size};
  uint32_t head[4];
  *plan = (struct plan){0};
  *offset = 0;
  if (size > PLAN_MAX_SIZE || !take(&c, head, sizeof head) || head[0] != PLAN_MAGIC || head[1] != PLAN_VERSION || head[2] != size ||
      !take(&c, &plan->clone_flags, 8) || !take(&c, plan->count, sizeof plan->count) || !take(&c, &plan->inherited, 4) ||
      !take(&c, &plan->cgroup, 4))
    return false;
  plan->flags = head[3];
  plan->end = c.end;
  uint64_t total = 0;
  for (int s = 0; s < SECTIONS; s++) total += plan->count[s];
  if (total > size / 8) return false;  // no operation is smaller than its header
  plan->ops = calloc(total ? total : 1, sizeof *plan->ops);
  if (!plan->ops) return false;
  for (uint64_t i = 0; i < total; i++) {
    struct op *op = &plan->ops[i];
    *offset = (size_t)(c.at - c.start);
    const struct operation *operation;
    if (!take(&c, &op->code, 2) || !take(&c, &op->argc, 2) || !take(&c, &op->flags, 4)) return false;
    op->args = c.at;
    if (op->argc > MAX_OP_ARGS || !(operation = operation_by_code(op->code))) return false;
    if (!signature_fits(&c, operation->signature, op->argc)) return false;
  }
  *offset = (size_t)(c.at - c.start);
  return c.at == c.end;
}

void op_args(const struct op *op, struct arg *out) {
  // plan_parse has taken the same steps over these bytes: they are in bounds.
  struct cursor c = {op->args, op->args, op->args + PLAN_MAX_SIZE};
  for (uint16_t i = 0; i < op->argc; i++) take_arg(&c, &out[i]);
}

const struct op *plan_section(const struct plan *plan, enum section section) {
  const struct op *op = plan->ops;
  for (int s = 0; s < (int)section; s++) op += plan->count[s];
  return op;
}
