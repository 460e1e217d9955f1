// SPDX-License-Identifier: MIT
// Programs over a pool of pages for the checker.
#ifndef POOL_PROGRAMS_H
#define POOL_PROGRAMS_H

#include "model.h"

extern const struct model_program *const pool_programs[]; // NULL behind the last

#endif
