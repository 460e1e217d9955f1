// SPDX-License-Identifier: MIT
// The screen beside the line, or in place of it: where a boot loader by Multiboot2 tells of one.
//
// Text comes here where no serial port was found, and where output=screen or output=both asks for
// it; then all of it can be looked through by pages when the run has ended. Otherwise the screen
// says where the results go, and shows how the run ended. Frames never come here.
//
// Boot CPU, or the CPU that reports a panic. Outside of windows only: a line takes milliseconds.
#ifndef SCREEN_LINE_H
#define SCREEN_LINE_H

#include <stdbool.h>
#include <stddef.h>

// Opens it if it lies where boot.S has mapped memory. False: output= asks for a screen, and there
// is none.
bool screen_line_open(const char *arguments);

// Puts it into the kernel's own map, which is not entered yet; without room it is given up. Then
// opens it, with that map, if it was not open.
void screen_line_map(void);
void screen_line_open_late(void);

// Text as it goes to the line. True: it is seen on the screen.
bool screen_line_write(const void *bytes, size_t length);

// What must be seen in any case: why a run ends.
void screen_line_last_words(const char *text, size_t length);

// The serial port has been looked for everywhere: says on the screen where results go. False: there
// is none, and frames would be seen by nobody.
bool screen_line_settle(void);

// True: results go to the screen and nowhere else.
bool screen_line_only(void);

// The run has ended: pages to be turned, for ever. Returns if there is no screen.
void screen_line_pages(bool success);

// Its part of platform_describe.
void screen_line_describe(void (*emit)(void *context, const char *key, const char *value),
                          void *context);

#endif
