// The loop over a section's operations; see section.h.
#include "section.h"
#include <errno.h>
#include <string.h>
#include "report.h"

bool run_section(struct state *st, const struct plan *plan, enum section section) {
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
