// SPDX-License-Identifier: MIT
// What a scheduler needs of the CPUs of a Linux process (sched_cpu_ops of sched.h).
//
//   CPU        one of the platform's threads: CPU 0 the main one, the others platform_cpu_start's
//   interrupt  a signal to that thread: its own POSIX timer's, or a kick by tgkill(2)
//   masked     a flag of the CPU's. A signal that comes meanwhile leaves a note and returns; unmask
//              looks for notes. No system call is needed to keep interrupts out, nor to switch
//   latch      a word of the CPU's that a kick sets first; an idle CPU waits for it in a futex
//
// Rules for callers
//   threads   of the scheduler run kernel code: nothing of libc's that holds a lock, or keeps
//             something for its thread (errno, malloc, stdio), unless with preemption disabled. A
//             signal may stop them anywhere else, and they may go on in another thread of the
//             process
//   stacks    of sched_host_stack_bytes at least: a preempted thread keeps the kernel's signal
//             frame, with all vector registers, on its own stack. sched_create panics on less.
//             16 KiB are enough where there is AVX-512, which has the largest frame
//   vectors   x87 and SSE state and their control words survive preemption, which keeps all of
//             them, but not calls that switch (sched_block...): those keep what thread.h keeps
//   signals   SIGRTMIN and its handler are the scheduler's, from the first CPU that joins on.
//             Nothing else may be sent by it or block it. Behind the last CPU that leaves, none is
//             on its way, and no timer is left
//   CPUs      platform_cpu_count says how many there are. A scheduler may be made for more: those
//             that do not join run nothing. Two that share a processor of the computer work, each
//             at half its speed
//   TSan      runs handlers at moments of its own choice, where no stack can be left: programs
//   built
//             with it have neither timers nor signals. Interrupts come when threads unmask, at
//             calls of the scheduler; a thread that makes none is not preempted
#ifndef SCHED_HOST_H
#define SCHED_HOST_H

#include <stdbool.h>
#include <stddef.h>

#include "fiber.h"

struct sched_cpu_ops;

// False where a thread is interrupted in its calls of the scheduler only.
#define SCHED_HOST_SIGNALS (CONFIG_FIBERS != FIBERS_THREADS)

// The CPU operations, and what goes with them. Any time on CPU 0; reads the clock's frequency.
const struct sched_cpu_ops *sched_host(void **machine);

// The least stack of a thread: two signal frames and the scheduler's own calls.
size_t sched_host_stack_bytes(void);

#endif
