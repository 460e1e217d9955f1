// SPDX-License-Identifier: MIT
#include "pci_msi.h"

#include "compiler.h"

// Intel SDM vol. 3, 11.11.1 and 11.11.2. Redirection hint and destination mode 0: the CPU named.
// Delivery mode 0 (fixed) and trigger mode 0 (edge) in the data.
#define MESSAGE_ADDRESS     0xfee00000u
#define MESSAGE_DESTINATION 12

// MSI (PCI 3.0, 6.8.1).
#define CONTROL        2u
#define MSI_ENABLE     (1u << 0)
#define MSI_OFFERED(c) ((c) >> 1 & 7u) // logarithm of the vectors
#define MSI_USED       (7u << 4)
#define MSI_WIDE       (1u << 7)
#define MSI_MASKABLE   (1u << 8)
#define MSI_ADDRESS    4u
#define MSI_UPPER      8u
#define MSI_FIRST      1u // of the mask and pending bits

// MSI-X (PCI 3.0, 6.8.2).
#define MSIX_ENABLE   (1u << 15)
#define MSIX_MASK     (1u << 14)
#define MSIX_SIZE(c)  (((c)&0x7ffu) + 1)
#define MSIX_TABLE    4u
#define MSIX_PENDING  8u
#define MSIX_BYTES    12u
#define MSIX_BIR      7u
#define ENTRY_ADDRESS 0u
#define ENTRY_UPPER   4u
#define ENTRY_DATA    8u
#define ENTRY_CONTROL 12u
#define ENTRY_MASKED  1u

enum status pci_message_make(struct pci_message *message, unsigned vector, uint32_t apic_id)
{
    if (vector < PCI_VECTOR_LEAST || vector > PCI_VECTOR_MOST)
        return STATUS_INVALID;
    if (apic_id > PCI_APIC_ID_MOST)
        return STATUS_TOO_LARGE;
    message->address = MESSAGE_ADDRESS | apic_id << MESSAGE_DESTINATION;
    message->data = vector;
    return STATUS_OK;
}

// ---- MSI ---------------------------------------------------------------------------------------

static unsigned data_offset(bool wide)
{
    return wide ? 12 : 8;
}

static unsigned mask_offset(bool wide)
{
    return wide ? 16 : 12;
}

static unsigned msi_bytes(uint16_t control)
{
    const bool wide = (control & MSI_WIDE) != 0;
    return (control & MSI_MASKABLE) != 0 ? mask_offset(wide) + 8 : data_offset(wide) + 2;
}

static bool msi_fits(const struct pci_function *function, uint16_t control)
{
    return MSI_OFFERED(control) <= 5 && function->msi + msi_bytes(control) <= PCI_BYTES;
}

unsigned pci_msi_vectors(const struct pci_access *access, const struct pci_function *function)
{
    if (function->msi == 0)
        return 0;
    const uint16_t control = pci_read16(access, function->address, function->msi + CONTROL);
    return msi_fits(function, control) ? 1u << MSI_OFFERED(control) : 0;
}

static uint16_t msi_control(const struct pci_msi *msi)
{
    return pci_read16(&msi->access, msi->at, msi->offset + CONTROL);
}

enum status pci_msi_open(struct pci_msi *msi, const struct pci_access *access,
                         const struct pci_function *function)
{
    if (function->msi_vectors == 0)
        return STATUS_INVALID;
    *msi = (struct pci_msi){.access = *access, .at = function->address, .offset = function->msi};
    const uint16_t control = msi_control(msi);
    if (!msi_fits(function, control) || 1u << MSI_OFFERED(control) != function->msi_vectors)
        return STATUS_CORRUPT;
    msi->wide = (control & MSI_WIDE) != 0;
    msi->maskable = (control & MSI_MASKABLE) != 0;
    pci_msi_enable(msi, false);
    return STATUS_OK;
}

enum status pci_msi_route(struct pci_msi *msi, unsigned vector, uint32_t apic_id)
{
    struct pci_message message;
    const enum status status = pci_message_make(&message, vector, apic_id);
    if (status != STATUS_OK)
        return status;
    const unsigned data = msi->offset + data_offset(msi->wide);
    const uint16_t control = msi_control(msi);
    const bool enabled = (control & MSI_ENABLE) != 0;
    // Off, and one vector: the function changes none of the data's low bits.
    pci_write16(&msi->access, msi->at, msi->offset + CONTROL,
                (uint16_t)(control & ~(MSI_ENABLE | MSI_USED)));
    pci_write32(&msi->access, msi->at, msi->offset + MSI_ADDRESS, message.address);
    if (msi->wide)
        pci_write32(&msi->access, msi->at, msi->offset + MSI_UPPER, 0);
    pci_write16(&msi->access, msi->at, data, (uint16_t)message.data);
    if (pci_read32(&msi->access, msi->at, msi->offset + MSI_ADDRESS) != message.address ||
        (msi->wide && pci_read32(&msi->access, msi->at, msi->offset + MSI_UPPER) != 0) ||
        pci_read16(&msi->access, msi->at, data) != message.data)
        return STATUS_CORRUPT;
    if (enabled)
        pci_msi_enable(msi, true);
    return STATUS_OK;
}

void pci_msi_enable(struct pci_msi *msi, bool enable)
{
    const uint16_t control = msi_control(msi);
    pci_write16(&msi->access, msi->at, msi->offset + CONTROL,
                (uint16_t)(enable ? control | MSI_ENABLE : control & ~MSI_ENABLE));
}

enum status pci_msi_mask(struct pci_msi *msi, bool mask)
{
    if (!msi->maskable)
        return STATUS_INVALID;
    const unsigned offset = msi->offset + mask_offset(msi->wide);
    const uint32_t bits = pci_read32(&msi->access, msi->at, offset);
    pci_write32(&msi->access, msi->at, offset, mask ? bits | MSI_FIRST : bits & ~MSI_FIRST);
    return STATUS_OK;
}

bool pci_msi_pending(const struct pci_msi *msi)
{
    const unsigned offset = msi->offset + mask_offset(msi->wide) + 4;
    return msi->maskable && (pci_read32(&msi->access, msi->at, offset) & MSI_FIRST) != 0;
}

// ---- MSI-X -------------------------------------------------------------------------------------

unsigned pci_msix_vectors(const struct pci_access *access, const struct pci_function *function)
{
    if (function->msix == 0 || function->msix + MSIX_BYTES > PCI_BYTES)
        return 0;
    return MSIX_SIZE(pci_read16(access, function->address, function->msix + CONTROL));
}

static void msix_control(struct pci_msix *msix, uint16_t set, uint16_t clear)
{
    const uint16_t control = pci_read16(&msix->access, msix->at, msix->offset + CONTROL);
    pci_write16(&msix->access, msix->at, msix->offset + CONTROL,
                (uint16_t)((control & ~clear) | set));
}

// Where `bytes` at a BAR and an offset, packed in one register, are. False if they are not wholly
// in an assigned memory BAR.
static bool locate(const struct pci_function *function, uint32_t packed, uint64_t bytes,
                   uint64_t *address)
{
    const unsigned index = packed & MSIX_BIR;
    const uint64_t offset = packed & ~MSIX_BIR;
    if (index >= PCI_BARS)
        return false;
    const struct pci_bar *bar = &function->bars[index];
    if (bar->state != PCI_BAR_ASSIGNED || bar->io || bytes > bar->size ||
        offset > bar->size - bytes)
        return false;
    *address = bar->address + offset;
    return true;
}

enum status pci_msix_open(struct pci_msix *msix, const struct pci_access *access,
                          const struct pci_function *function)
{
    if (function->msix_vectors == 0)
        return STATUS_INVALID;
    *msix = (struct pci_msix){.access = *access, .at = function->address, .offset = function->msix};
    msix->entries = pci_msix_vectors(access, function);
    msix->table_bytes = (uint64_t)msix->entries * PCI_MSIX_ENTRY_BYTES;
    msix->pending_bytes = align_up(msix->entries, 64) / 8;
    const uint32_t table = pci_read32(access, msix->at, msix->offset + MSIX_TABLE);
    const uint32_t pending = pci_read32(access, msix->at, msix->offset + MSIX_PENDING);
    if (msix->entries != function->msix_vectors ||
        !locate(function, table, msix->table_bytes, &msix->table_address) ||
        !locate(function, pending, msix->pending_bytes, &msix->pending_address) ||
        (msix->table_address < msix->pending_address + msix->pending_bytes &&
         msix->pending_address < msix->table_address + msix->table_bytes))
        return STATUS_CORRUPT;
    msix_control(msix, 0, MSIX_ENABLE);
    return STATUS_OK;
}

static uint32_t entry_read(const struct pci_msix *msix, unsigned entry, unsigned field)
{
    assert(entry < msix->entries);
    return msix->table.read(msix->table.context, entry * PCI_MSIX_ENTRY_BYTES + field, 4);
}

static void entry_write(struct pci_msix *msix, unsigned entry, unsigned field, uint32_t value)
{
    assert(entry < msix->entries);
    msix->table.write(msix->table.context, entry * PCI_MSIX_ENTRY_BYTES + field, 4, value);
}

enum status pci_msix_attach(struct pci_msix *msix, struct memory_access table,
                            struct memory_access pending)
{
    assert(table.length >= msix->table_bytes);
    assert(pending.length >= msix->pending_bytes);
    msix->table = table;
    msix->pending = pending;
    // Some devices show their table only while MSI-X is enabled.
    msix_control(msix, MSIX_ENABLE | MSIX_MASK, 0);
    for (unsigned i = 0; i < msix->entries; i++) {
        pci_msix_mask(msix, i, true);
        if ((entry_read(msix, i, ENTRY_CONTROL) & ENTRY_MASKED) == 0)
            return STATUS_CORRUPT;
    }
    return STATUS_OK;
}

enum status pci_msix_route(struct pci_msix *msix, unsigned entry, unsigned vector, uint32_t apic_id)
{
    struct pci_message message;
    const enum status status = pci_message_make(&message, vector, apic_id);
    if (status != STATUS_OK)
        return status;
    // An entry may only change while it is masked (PCI 3.0, 6.8.2.9).
    pci_msix_mask(msix, entry, true);
    entry_write(msix, entry, ENTRY_ADDRESS, message.address);
    entry_write(msix, entry, ENTRY_UPPER, 0);
    entry_write(msix, entry, ENTRY_DATA, message.data);
    // Reading also pushes the writes to the device before anything that follows.
    return entry_read(msix, entry, ENTRY_ADDRESS) == message.address &&
                   entry_read(msix, entry, ENTRY_UPPER) == 0 &&
                   entry_read(msix, entry, ENTRY_DATA) == message.data
               ? STATUS_OK
               : STATUS_CORRUPT;
}

void pci_msix_mask(struct pci_msix *msix, unsigned entry, bool mask)
{
    // The other bits are reserved and keep what they have.
    const uint32_t control = entry_read(msix, entry, ENTRY_CONTROL);
    entry_write(msix, entry, ENTRY_CONTROL,
                mask ? control | ENTRY_MASKED : control & ~ENTRY_MASKED);
}

void pci_msix_mask_all(struct pci_msix *msix, bool mask)
{
    msix_control(msix, mask ? MSIX_MASK : 0, mask ? 0 : MSIX_MASK);
}

bool pci_msix_pending(const struct pci_msix *msix, unsigned entry)
{
    assert(entry < msix->entries);
    const uint32_t bits = msix->pending.read(msix->pending.context, entry / 32 * 4, 4);
    return (bits >> entry % 32 & 1) != 0;
}

void pci_msix_enable(struct pci_msix *msix, bool enable)
{
    msix_control(msix, enable ? MSIX_ENABLE : 0, enable ? MSIX_MASK : MSIX_ENABLE);
}
