// SPDX-License-Identifier: MIT
// Which serial port is the line.
#ifndef SERIAL_LINE_H
#define SERIAL_LINE_H

#include <stdbool.h>

#include "pci.h"

// The first of COM1..COM4 that passes its loopback test; without one the line stays closed, with
// COM1's number. What is written is dropped then.
void serial_line_init(void);

// `line=com1` .. `line=com4` of the command line: that one instead, answering or not. False if the
// word is none of these; the line is then what it was.
bool serial_line_choose(const char *arguments);

// Where no line is open yet: the console that ACPI's SPCR table tells of, if it is a 16550, or else
// one of the ports of DBG2. Before pci_boot, which must not switch it off.
void serial_line_find_console(void);

// Where none is open even then: the first serial port on a PCI card that passes the test. After
// pci_boot. What was said before is lost but for what facts repeat.
void serial_line_find_card(void);

// What of the buses must go on answering: the line's registers.
struct pci_in_use serial_line_in_use(void);

// Its part of platform_describe.
void serial_line_describe(void (*emit)(void *context, const char *key, const char *value),
                          void *context);

#endif
