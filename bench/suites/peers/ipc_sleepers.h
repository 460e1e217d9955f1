// SPDX-License-Identifier: MIT
// Threads of the system that take turns through what the system offers, asleep in between.
//
// Rules for callers
//   threads   CPU 0's; one pair at a time. The other thread is one of the system's on the same
//             processor, or the platform's CPU 1
//   end       ipc_sleepers_end, behind the last window; it waits for the other thread
#ifndef IPC_SLEEPERS_H
#define IPC_SLEEPERS_H

#include <stdbool.h>
#include <stdint.h>

// `name` is a variant's: pipe, unix_socket, eventfd, futex. False: it could not be made.
bool ipc_sleepers_begin(const char *name, bool two_cpus);

// So many messages of 56 bytes there and back (eventfd: 8), each to a thread that sleeps. How many
// came back as they should.
uint64_t ipc_sleepers_turns(uint64_t turns);

void ipc_sleepers_end(void);

#endif
