// SPDX-License-Identifier: MIT
// The running CPU's machine checks.
#ifndef MACHINE_CHECKS_H
#define MACHINE_CHECKS_H

#include <stddef.h>

// Lets the banks report, where there are any. Each CPU, before it sets CR4.MCE.
void machine_checks_enable(void);

// What this CPU reports, in words. For panics: no locks, bounded.
size_t machine_checks_text(char *text, size_t capacity);

#endif
