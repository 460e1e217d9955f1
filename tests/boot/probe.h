// SPDX-License-Identifier: MIT
// What the files of the probe share.
#ifndef PROBE_H
#define PROBE_H

#include <stdint.h>

// A line `probe KEY=VALUE`.
void say(const char *key, const char *value);
void say_number(const char *key, uint64_t value);

// Deeds (probe_pci.c).
void pci_msi_deed(void);
void pci_msix_deed(void);
void pci_ecam_deed(void);

#endif
