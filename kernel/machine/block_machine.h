// SPDX-License-Identifier: MIT
// What the drivers of PCI disks need of this machine, and all do alike: a function's registers,
// memory that it reaches, its interrupts (device.h), a clock; and the disks themselves, found and
// made ready as block devices.
//
//   kind      a driver, and which functions it is for: a table in the driver's file here
//   disk      made when it is asked for the first time, never again: a pair of queues for each CPU
//             that runs, up to 16 and as far as it has them, with a vector for each
//   pool      pages of RAM for queues and what belongs to them, handed out once. The devices use
//             physical addresses: there is no IOMMU
//   line      a vector of the CPUs' interrupt table and whose interrupt it is; kept for good, so
//             that an interrupt that comes late finds nobody, or somebody else, who looks in vain
//
// Rules for callers
//   threads    opening, connecting, disconnecting, allocating, disks: one thread at a time. Disks
//              when all CPUs run (queues go by their number) and PCI was enumerated. mask, unmask,
//              address: any CPU, any context; one at a time for each vector
//   ownership  a struct block_machine stays where it was opened; nothing of the pool comes back,
//              and the disks live until the end
//   writing    nothing is written to them (block_guard.h)
#ifndef BLOCK_MACHINE_H
#define BLOCK_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "block.h"
#include "cpu.h"
#include "device.h"
#include "memory_access.h"
#include "pci_msi.h"

#define BLOCK_MACHINE_POOL_PAGES 1024u          // two disks with queues for 16 CPUs, and more
#define BLOCK_MACHINE_LINES      128u           // of all devices together
#define BLOCK_MACHINE_VECTORS    (CPU_MOST + 1) // of a device that are made use of

struct block_machine_line;

// A function that a driver has.
struct block_machine {
    const struct pci_function *function;
    bool messages; // its MSI-X is in use
    struct pci_msix msix;
    struct block_machine_line *lines[BLOCK_MACHINE_VECTORS]; // NULL: not connected
};

// Lets the function decode memory and reach ours, and takes its MSI-X, all masked; without one that
// works it can be polled only. Its interrupt pin is off in any case. STATUS_FAILED: it does not
// answer.
enum status block_machine_open(struct block_machine *machine, const struct pci_function *function);

// Keeps it from our memory, whatever it was told, and from interrupting. For a driver that gives it
// up; what is connected is disconnected.
void block_machine_close(struct block_machine *machine);

// `bytes` of a BAR from `offset` on, mapped. STATUS_INVALID: the BAR does not have them, has ports,
// or no address; or those of kernel_map_device.
enum status block_machine_registers(const struct block_machine *machine, unsigned bar,
                                    uint64_t offset, uint64_t bytes,
                                    struct memory_access *registers);

// Pages of the pool.
struct device_dma block_machine_dma(void);

// The function's vectors, BLOCK_MACHINE_VECTORS at most. connect: STATUS_INVALID for a CPU that
// does not run or that no message can name, STATUS_CORRUPT if the table does not take it.
struct device_interrupt block_machine_interrupt(struct block_machine *machine);

// The time stamp counter. hz is 0 where its rate is not known: no driver can be used.
struct device_clock block_machine_clock(void);

// A kind's disk.
struct block_machine_disk {
    bool tried;
    enum status status;
    struct block_machine machine;
    struct block_guard guard; // never opened here
    struct block_device device;
};

struct block_machine_kind {
    const struct block_device_ops *ops;
    struct block_machine_disk *disks;
    unsigned count; // of these
    bool (*is_disk)(const struct pci_function *function);
    // Prepares the driver over the open function, for so many queues: its object, or NULL, if its
    // registers cannot be mapped.
    void *(*prepare)(unsigned index, unsigned queues);
    // Its end, while it is still connected; NULL: it needs none but being closed.
    void (*shut_down)(unsigned index);
};

// The disk as a block device, the same at every call, in the order of the buses. STATUS_EMPTY:
// there is none. STATUS_INVALID: its registers cannot be mapped, or it is of an older kind than the
// driver knows. STATUS_NO_MEMORY: the pool is used up. STATUS_FAILED: no clock, or nothing in it
// that can be used. Or what identify said; it has been kept from memory then.
enum status block_machine_disk(const struct block_machine_kind *kind, unsigned index,
                               struct block_device **device);

// Ends what was made of this kind, for good: nobody uses the disks, or ever will. Bounded by the
// drivers' shutdowns.
void block_machine_shut_down(const struct block_machine_kind *kind);

#endif
