// SPDX-License-Identifier: MIT
#ifndef LIST_ROWS_H
#define LIST_ROWS_H

#include "options.h"

// Writes every selected row with what it means and what it costs as text on the line. Returns 0.
int list_rows(const struct options *options);

#endif
