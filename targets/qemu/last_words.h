// SPDX-License-Identifier: MIT
// Last words: how this kernel says why it ends. Own static memory, no locks, bounded; frames when
// the command line asked for them, and a line of text for people in any case.
//
// A fault inside a report ends the run at once, without another.
#ifndef LAST_WORDS_H
#define LAST_WORDS_H

#include "traps.h"

// The kernel cannot measure on this machine; `why` is one line without its end.
_Noreturn void last_words_refused(const char *why);

// An exception. For traps_init.
void last_words_trap(const struct trap_frame *frame);

// Another CPU has not finished in time: the report says where it is.
_Noreturn void last_words_late(unsigned cpu);

// Where the running CPU's panic stack begins. Called by platform_panic.
uint64_t last_words_stack(void);

// A failed assertion: called by platform_panic (panic_entry.S) on the panic stack. The frame says
// where platform_panic was entered.
_Noreturn void last_words_panic(const struct trap_frame *frame, const char *reason,
                                const char *file, unsigned line);

#endif
