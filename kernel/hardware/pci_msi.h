// SPDX-License-Identifier: MIT
// Interrupts as memory writes: MSI and MSI-X (PCI 3.0, 6.8), to the local APICs of x86 (Intel SDM
// vol. 3, 11.11, "Message Signalled Interrupts"): fixed delivery, edge, physical destination.
//
// There is no interrupt remapping here: a message holds 8 bits of an APIC id, and 255 means every
// CPU. A larger id is refused. The function must be bus master (PCI_COMMAND_MASTER) to send.
//
// Rules of pci.h for the first call; afterwards one thread at a time for each function, and a lock
// for the ports if configuration space is reached through them. Masking single MSI-X entries does
// not touch configuration space.
#ifndef PCI_MSI_H
#define PCI_MSI_H

#include "memory_access.h"
#include "pci.h"

#define PCI_VECTOR_LEAST     32u  // below are the CPU's exceptions
#define PCI_VECTOR_MOST      254u // 255 is left to the spurious interrupt
#define PCI_APIC_ID_MOST     254u
#define PCI_MSIX_ENTRIES     2048u
#define PCI_MSIX_ENTRY_BYTES 16u

// What a function writes to interrupt.
struct pci_message {
    uint32_t address; // the upper half is 0
    uint32_t data;
};

// STATUS_INVALID: no vector of an interrupt. STATUS_TOO_LARGE: an APIC id no message can name.
enum status pci_message_make(struct pci_message *message, unsigned vector, uint32_t apic_id);

// Vectors a function offers: 1..32 or 1..2048; 0: none, or a capability that leaves the space.
unsigned pci_msi_vectors(const struct pci_access *access, const struct pci_function *function);
unsigned pci_msix_vectors(const struct pci_access *access, const struct pci_function *function);

// ---- MSI: one vector, programmed in configuration space ----------------------------------------

struct pci_msi {
    struct pci_access access;
    struct pci_address at;
    unsigned offset;
    bool wide;     // 64-bit address
    bool maskable; // per-vector masking
};

// Disables it. STATUS_INVALID: the function has no MSI. STATUS_CORRUPT: its capability reads
// differently than when it was found.
enum status pci_msi_open(struct pci_msi *msi, const struct pci_access *access,
                         const struct pci_function *function);

// Sends `vector` to the CPU with `apic_id`; of the vectors offered one is used. An enabled MSI is
// off while it changes. Statuses of pci_message_make; STATUS_CORRUPT if the registers do not
// take the message: it is disabled then.
enum status pci_msi_route(struct pci_msi *msi, unsigned vector, uint32_t apic_id);

// From enabling on, the function does not use its interrupt pin.
void pci_msi_enable(struct pci_msi *msi, bool enable);

// While masked, the function remembers that it wants to interrupt: pci_msi_pending.
// STATUS_INVALID: it cannot mask.
enum status pci_msi_mask(struct pci_msi *msi, bool mask);
bool pci_msi_pending(const struct pci_msi *msi);

// ---- MSI-X: a table of vectors in the function's own memory ------------------------------------

struct pci_msix {
    struct pci_access access;
    struct pci_address at;
    unsigned offset;
    unsigned entries;
    // Physical memory the caller maps, uncached, and hands over to pci_msix_attach.
    uint64_t table_address, table_bytes;
    uint64_t pending_address, pending_bytes;
    struct memory_access table, pending;
};

// Finds table and pending bits, and disables it. STATUS_INVALID: the function has no MSI-X.
// STATUS_CORRUPT: the capability reads differently than when it was found, or table and pending
// bits overlap or do not lie in assigned memory BARs of known size.
enum status pci_msix_open(struct pci_msix *msix, const struct pci_access *access,
                          const struct pci_function *function);

// Takes the memory at table_address and pending_address, of table_bytes and pending_bytes. The
// function decodes memory (PCI_COMMAND_MEMORY). Masks every entry and all of them; from here on the
// function does not use its interrupt pin. STATUS_CORRUPT: an entry does not stay masked.
enum status pci_msix_attach(struct pci_msix *msix, struct memory_access table,
                            struct memory_access pending);

// Entry `entry` < entries sends `vector` to the CPU with `apic_id`, and is left masked. Statuses of
// pci_message_make; STATUS_CORRUPT if the table does not take the message.
enum status pci_msix_route(struct pci_msix *msix, unsigned entry, unsigned vector,
                           uint32_t apic_id);

// One entry; all of them, besides their own masks; is a masked entry waiting?
void pci_msix_mask(struct pci_msix *msix, unsigned entry, bool mask);
void pci_msix_mask_all(struct pci_msix *msix, bool mask);
bool pci_msix_pending(const struct pci_msix *msix, unsigned entry);

// Enabling ends pci_msix_mask_all; disabling gives the function its interrupt pin back.
void pci_msix_enable(struct pci_msix *msix, bool enable);

#endif
