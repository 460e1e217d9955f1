// SPDX-License-Identifier: MIT
// PCI: configuration space, and what hangs on the buses. Plain C over a struct of functions, so
// that it runs against simulated buses on the host as it does against ports and ECAM.
//
// Nothing a device or the firmware says is trusted: bus numbers, lists and registers are checked,
// every loop has a bound that does not depend on what is read, and what is broken becomes a line in
// the log and is left out. Bus numbers and addresses stay as the firmware assigned them.
//
// Not here: buses that only ACPI's name space tells of (further host bridges without an MCFG entry
// that begins at their bus), ARI (functions above 7), expansion ROMs.
//
// Threads: none. One CPU at a time, before drivers run. "PCI 3.0" is the PCI Local Bus
// Specification, "P2P 1.2" the PCI-to-PCI Bridge Architecture Specification, "PCIe 3.0" the PCI
// Express Base Specification.
#ifndef PCI_H
#define PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assert.h"
#include "status.h"

#define PCI_FUNCTIONS_MOST    256u                   // recorded; further ones are counted
#define PCI_WINDOWS_MOST      16u                    // entries of MCFG
#define PCI_ROOTS_MOST        (1 + PCI_WINDOWS_MOST) // and bus 0
#define PCI_LOG_MOST          64u                    // lines; further problems are counted
#define PCI_BARS              6u
#define PCI_BYTES             256u  // of configuration space (PCI 3.0, 6.1)
#define PCI_BYTES_EXTENDED    4096u // through ECAM (PCIe 3.0, 7.2.2)
#define PCI_CAPABILITIES_MOST 48u   // as many as begin in 40h..fch (PCI 3.0, 6.7)
#define PCI_EXTENDED_MOST     64u

// Registers of all headers (PCI 3.0, 6.1).
#define PCI_IDS            0x00u
#define PCI_COMMAND        0x04u
#define PCI_STATUS         0x06u
#define PCI_CLASS          0x08u // revision 7:0, interface 15:8, subclass 23:16, class 31:24
#define PCI_HEADER         0x0eu // bit 7: several functions
#define PCI_BAR_0          0x10u
#define PCI_INTERRUPT_LINE 0x3cu
#define PCI_INTERRUPT_PIN  0x3du

#define PCI_COMMAND_IO        (1u << 0)
#define PCI_COMMAND_MEMORY    (1u << 1)
#define PCI_COMMAND_MASTER    (1u << 2) // without it a function sends no MSI either
#define PCI_COMMAND_INTX_OFF  (1u << 10)
#define PCI_STATUS_INTX       (1u << 3) // the function asserts its interrupt pin
#define PCI_STATUS_CAPABILITY (1u << 4)

#define PCI_CAPABILITY_MSI     0x05u
#define PCI_CAPABILITY_EXPRESS 0x10u
#define PCI_CAPABILITY_MSIX    0x11u

#define PCI_CLASS_HOST_BRIDGE 0x0600u // class << 8 | subclass
#define PCI_CLASS_PCI_BRIDGE  0x0604u

enum pci_header { PCI_HEADER_DEVICE = 0, PCI_HEADER_BRIDGE = 1, PCI_HEADER_CARDBUS = 2 };

struct pci_address {
    uint16_t segment;
    uint8_t bus;
    uint8_t device;   // 0..31
    uint8_t function; // 0..7
};

// How configuration space is reached. `offset` is a multiple of `bytes` (1, 2 or 4) and
// offset + bytes <= reach(at): pci_read and pci_write see to it.
struct pci_access {
    void *context;
    // Bytes of each function's space at `at`: PCI_BYTES, PCI_BYTES_EXTENDED; 0: not reached at all.
    unsigned (*reach)(void *context, struct pci_address at);
    uint32_t (*read)(void *context, struct pci_address at, unsigned offset, unsigned bytes);
    void (*write)(void *context, struct pci_address at, unsigned offset, unsigned bytes,
                  uint32_t value);
};

enum pci_bar_state {
    PCI_BAR_ABSENT,
    PCI_BAR_ASSIGNED,   // the address is the firmware's
    PCI_BAR_UNASSIGNED, // it exists, but its address is 0 or none the machine could have
    PCI_BAR_BROKEN,     // what it reads is no BAR's: not to be used
    PCI_BAR_UPPER,      // the upper half of the one before
};

struct pci_bar {
    enum pci_bar_state state;
    bool io;           // ports; otherwise memory
    bool wide;         // 64-bit address
    bool prefetchable; // reads have no side effects
    uint64_t address;  // physical, or a port; meaningless unless assigned
    uint64_t size;     // bytes, a power of two; 0: not known, the function was not sized
};

struct pci_function {
    struct pci_address address;
    uint16_t vendor, device;
    uint32_t class_code; // class << 16 | subclass << 8 | programming interface
    uint8_t revision;
    uint8_t header;                 // enum pci_header; others are recorded, not interpreted
    uint8_t interrupt_line;         // as the firmware left it
    uint8_t interrupt_pin;          // 1..4: A..D; 0: none
    uint16_t command;               // as found, and as left
    uint8_t secondary, subordinate; // buses behind a bridge; 0, 0 if it is not followed
    uint8_t msi, msix, express;     // offsets of these capabilities; 0: none
    uint8_t extended_count;         // extended capabilities seen; 0 without ECAM
    uint16_t msi_vectors, msix_vectors;
    bool sized; // BARs have their sizes
    struct pci_bar bars[PCI_BARS];
};

struct pci {
    unsigned count;    // functions[0..count), ascending by segment (in order of the roots) and bus
    unsigned left_out; // functions that found no room
    unsigned problems; // what was broken, whether it fitted into the log or not
    struct pci_function functions[PCI_FUNCTIONS_MOST];
};

// A host bridge's buses, `first` first: an entry of MCFG, or all of segment 0.
struct pci_root {
    uint16_t segment;
    uint8_t first, last;
};

// Ports or memory [start, end) that must keep answering while BARs are sized: the console.
struct pci_in_use {
    bool io;
    uint64_t start, end;
};

struct pci_search {
    struct pci_access access;
    const struct pci_root *roots; // NULL: segment 0, buses 0..255
    unsigned root_count;
    const struct pci_in_use *in_use;
    unsigned in_use_count;
    void (*log)(void *context, const char *line); // without line feed; console works when called
    void *log_context;
};

// Finds all functions below the roots, and sizes their BARs (pci_bar.h says which are left alone).
// Everything written is restored. A bridge without bus numbers, or with numbers that are not
// above its own bus, leave its parent's range or overlap its neighbour's, is logged and not
// followed. Each bus is visited once at most.
void pci_enumerate(struct pci *pci, const struct pci_search *search);

// The first function with these ids behind `after` (NULL: from the start), or NULL.
const struct pci_function *pci_find(const struct pci *pci, const struct pci_function *after,
                                    uint16_t vendor, uint16_t device);

// Sets and clears bits of the command register, e.g. PCI_COMMAND_MASTER.
void pci_command(const struct pci_access *access, struct pci_address at, uint16_t set,
                 uint16_t clear);

// One access; all ones where nothing is reached, as the bus itself answers for absent functions.
// offset is a multiple of bytes, offset + bytes <= PCI_BYTES_EXTENDED.
static inline uint32_t pci_read(const struct pci_access *access, struct pci_address at,
                                unsigned offset, unsigned bytes)
{
    assert(bytes == 1 || bytes == 2 || bytes == 4);
    assert(offset % bytes == 0 && offset < PCI_BYTES_EXTENDED);
    if (offset >= access->reach(access->context, at))
        return UINT32_MAX >> (32 - 8 * bytes);
    return access->read(access->context, at, offset, bytes);
}

static inline void pci_write(const struct pci_access *access, struct pci_address at,
                             unsigned offset, unsigned bytes, uint32_t value)
{
    assert(bytes == 1 || bytes == 2 || bytes == 4);
    assert(offset % bytes == 0 && offset < PCI_BYTES_EXTENDED);
    if (offset < access->reach(access->context, at))
        access->write(access->context, at, offset, bytes, value);
}

static inline uint8_t pci_read8(const struct pci_access *access, struct pci_address at,
                                unsigned offset)
{
    return (uint8_t)pci_read(access, at, offset, 1);
}

static inline uint16_t pci_read16(const struct pci_access *access, struct pci_address at,
                                  unsigned offset)
{
    return (uint16_t)pci_read(access, at, offset, 2);
}

static inline uint32_t pci_read32(const struct pci_access *access, struct pci_address at,
                                  unsigned offset)
{
    return pci_read(access, at, offset, 4);
}

static inline void pci_write16(const struct pci_access *access, struct pci_address at,
                               unsigned offset, uint16_t value)
{
    pci_write(access, at, offset, 2, value);
}

static inline void pci_write32(const struct pci_access *access, struct pci_address at,
                               unsigned offset, uint32_t value)
{
    pci_write(access, at, offset, 4, value);
}

#endif
