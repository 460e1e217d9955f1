// SPDX-License-Identifier: MIT
// What a driver needs of the place where its device is, as structs of functions: memory the device
// can reach, interrupts, a clock. The machine implements them over PCI and page tables, a test over
// a model of the device. Registers are struct memory_access (memory_access.h).
//
// Rules for callers
//   threads    allocate, connect and disconnect while the device is set up or reset: one thread.
//              mask, unmask, address and ticks: any CPU, any context
//   ownership  nothing is given back: what a driver allocates is its device's until the end
//   time       ticks of one clock, the same on all CPUs, monotonic on each
#ifndef DEVICE_H
#define DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"
#include "cpu.h"
#include "status.h"

// Memory that the CPUs and a device both see. Coherent: no cache needs to be written back.
struct device_dma {
    void *context;
    // `pages` of PAGE_SIZE, in one piece for the device too, zeroed and page-aligned; the address
    // that the device uses in *address. NULL: there is no such piece.
    void *(*allocate)(void *context, size_t pages, uint64_t *address);
    // The address under which the device finds a byte of ordinary memory, good for the rest of its
    // page. UINT64_MAX: it cannot reach it.
    uint64_t (*address)(void *context, const void *memory);
};

// A device's interrupts: one vector for each queue, as MSI-X has them.
struct device_interrupt {
    void *context;
    unsigned vectors; // 0: none; the device can only be polled
    // Calls handler(argument) on CPU `cpu`, in an interrupt handler, when the device raises
    // `vector`. Masked until unmask. STATUS_NO_MEMORY: that CPU has no vector left.
    enum status (*connect)(void *context, unsigned vector, unsigned cpu, void (*handler)(void *),
                           void *argument);
    // When it returns, the handler does not run and will not.
    void (*disconnect)(void *context, unsigned vector);
    // While masked, one interrupt is kept and comes with unmask (PCI 3.0, 6.8.2: the pending bit).
    void (*mask)(void *context, unsigned vector);
    void (*unmask)(void *context, unsigned vector);
};

// Time for bounds and for measuring. `hz` ticks a second, 1000 .. DEVICE_HZ_MOST.
struct device_clock {
    void *context;
    uint64_t hz;
    uint64_t (*ticks)(void *context); // NULL: cpu_ticks(), which is then what hz counts
};

static inline uint64_t device_ticks(const struct device_clock *clock)
{
    return LIKELY(clock->ticks == NULL) ? cpu_ticks() : clock->ticks(clock->context);
}

#define DEVICE_SECOND_NS 1000000000u
#define DEVICE_HZ_MOST   (UINT64_C(1) << 34) // so that the products below fit 64 bits

// Ticks of `ns`, rounded up: a bound in ticks is never shorter than the one it came from. The
// result fits: fewer than 2^64 / hz seconds.
static inline uint64_t device_ticks_of(const struct device_clock *clock, uint64_t ns)
{
    const uint64_t rest = (ns % DEVICE_SECOND_NS * clock->hz + DEVICE_SECOND_NS - 1);
    return ns / DEVICE_SECOND_NS * clock->hz + rest / DEVICE_SECOND_NS;
}

static inline uint64_t device_ns_of(const struct device_clock *clock, uint64_t ticks)
{
    return ticks / clock->hz * DEVICE_SECOND_NS + ticks % clock->hz * DEVICE_SECOND_NS / clock->hz;
}

#endif
