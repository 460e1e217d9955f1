// SPDX-License-Identifier: MIT
// What the host program asks of the folder of its own suites, bench/suites/peers. All of it on the
// main thread.
#ifndef PEERS_H
#define PEERS_H

#include <stdbool.h>

// Loads the libraries that the program's words ask for. First thing in the process, before any
// thread and before anything was said: where a library needs another environment, the program is
// executed again in it, at most once, under the same process id and with the same words and file
// descriptors.
void peers_start(char **words);

// Whether the words of the target's command line may ask for measuring rows of `suite`. Errs on the
// side of yes.
bool peers_may_measure(const char *words, const char *suite);

// A fact for each library that was asked for: peers.NAME is its version or `absent`, and then
// peers.NAME.problem says why.
void peers_describe(void (*emit)(void *context, const char *key, const char *value), void *context);

#endif
