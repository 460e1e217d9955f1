// SPDX-License-Identifier: MIT
// Programs of threads that sleep at a ring, for the checker.
#ifndef WAIT_PROGRAMS_H
#define WAIT_PROGRAMS_H

#include "model.h"

#define WAIT_PROGRAMS 2

extern const struct model_program wait_programs[WAIT_PROGRAMS];

#endif
