// Runs the plan's sections.
#ifndef BERTH_SECTION_H
#define BERTH_SECTION_H
#include "operations.h"

// Runs a section in order; false after the first failure that counts, which has been reported.
bool run_section(struct state *st, const struct plan *plan, enum section section);
#endif
