// SPDX-License-Identifier: MIT
// What the firmware's tables say about this machine: kernel.acpi; SMBIOS's are kept for the
// facts.
#ifndef FIRMWARE_H
#define FIRMWARE_H

// Reads ACPI's tables into kernel.acpi; what is wrong with them goes to the line as text. Once, on
// the boot CPU, while the low 4 GiB and page 0 are mapped as boot.S left them, and before anything
// uses memory: tables may stand in what is free afterwards.
void firmware_read(void);

// Its part of platform_describe.
void firmware_describe(void (*emit)(void *context, const char *key, const char *value),
                       void *context);

#endif
