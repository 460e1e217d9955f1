// SPDX-License-Identifier: MIT
// The recorder's commands. Each returns an exit code of common.h.
#ifndef COMMANDS_H
#define COMMANDS_H

#include "request.h"

// Runs all boots of one (run, machine) and stores them.
int bench_command(const struct request *request);

// Makes the store again from the captures under `results`. A stored run whose capture is gone or
// damaged is left as it is; damage is named and makes the command fail.
int rebuild_command(const char *results);

// Prints a capture as text.
int show_command(const char *path);

#endif
