// SPDX-License-Identifier: MIT
#include "acpi_devices.h"

#include "assert.h"
#include "bytes.h"

#define TABLE_REVISION 8

// ---- FADT --------------------------------------------------------------------------------------

#define FADT_SCI            46
#define FADT_PM_TIMER       76
#define FADT_PM_TIMER_LEN   91
#define FADT_BOOT_FLAGS     109 // IAPC_BOOT_ARCH, from revision 2 on
#define FADT_FLAGS          112
#define FADT_RESET          116
#define FADT_RESET_VALUE    128
#define FADT_RESET_END      129
#define FADT_X_PM_TIMER     208
#define FADT_X_PM_TIMER_END (FADT_X_PM_TIMER + ACPI_REGISTER_BYTES)

#define BOOT_8042   (1u << 1)
#define BOOT_NO_VGA (1u << 2)
#define BOOT_NO_MSI (1u << 3)

#define FLAG_TIMER_32 (1u << 8)
#define FLAG_RESET    (1u << 10)
#define FLAG_REDUCED  (1u << 20)

#define PM_TIMER_BYTES 4u // the only length it can have
#define PORTS          0x10000u

// From the newer field if it is filled in. ACPI 6.5, 4.8.3.3.
static bool read_pm_timer(struct acpi_fixed *fixed, const struct acpi_bytes *fadt,
                          struct acpi_log *log)
{
    const uint8_t *bytes = fadt->bytes;
    const uint32_t port = bytes_u32(bytes + FADT_PM_TIMER);
    fixed->pm_timer_32 = (bytes_u32(bytes + FADT_FLAGS) & FLAG_TIMER_32) != 0;
    if (fadt->length >= FADT_X_PM_TIMER_END)
        fixed->pm_timer = acpi_register_at(bytes + FADT_X_PM_TIMER);
    if (fixed->pm_timer.space == ACPI_SPACE_PORT || fixed->pm_timer.space == ACPI_SPACE_MEMORY)
        return true;
    fixed->pm_timer = (struct acpi_register){0};
    if (port == 0) // none
        return true;
    if (port > PORTS - PM_TIMER_BYTES || bytes[FADT_PM_TIMER_LEN] != PM_TIMER_BYTES) {
        acpi_problem(log, "FACP: a timer of %u bytes at port %x", bytes[FADT_PM_TIMER_LEN], port);
        return false;
    }
    fixed->pm_timer = (struct acpi_register){.space = ACPI_SPACE_PORT, .bits = 32, .address = port};
    return true;
}

static bool read_reset(struct acpi_fixed *fixed, const struct acpi_bytes *fadt,
                       struct acpi_log *log)
{
    const uint8_t *bytes = fadt->bytes;
    if (fadt->length < FADT_RESET_END || (bytes_u32(bytes + FADT_FLAGS) & FLAG_RESET) == 0)
        return true;
    const struct acpi_register reset = acpi_register_at(bytes + FADT_RESET);
    if (reset.space == ACPI_SPACE_NONE || reset.bits != 8) {
        acpi_problem(log, "FACP: a reset register of %u bits in space %u", reset.bits,
                     bytes[FADT_RESET]);
        return false;
    }
    fixed->reset = reset;
    fixed->reset_value = bytes[FADT_RESET_VALUE];
    return true;
}

bool acpi_fadt_read(struct acpi_devices *devices, const struct acpi_bytes *fadt,
                    struct acpi_log *log)
{
    assert(fadt->length >= ACPI_FADT_LEAST);
    struct acpi_fixed *fixed = &devices->fixed;
    const uint8_t *bytes = fadt->bytes;
    fixed->described = true;
    fixed->sci = bytes_u16(bytes + FADT_SCI);
    fixed->reduced = (bytes_u32(bytes + FADT_FLAGS) & FLAG_REDUCED) != 0;
    fixed->flags_told = bytes[TABLE_REVISION] >= 2;
    if (fixed->flags_told) {
        const uint16_t flags = bytes_u16(bytes + FADT_BOOT_FLAGS);
        fixed->has_8042 = (flags & BOOT_8042) != 0;
        fixed->no_vga = (flags & BOOT_NO_VGA) != 0;
        fixed->no_msi = (flags & BOOT_NO_MSI) != 0;
    }
    const bool timer = read_pm_timer(fixed, fadt, log);
    return read_reset(fixed, fadt, log) && timer;
}

// ---- MCFG --------------------------------------------------------------------------------------

#define MCFG_ENTRY_BYTES 16u
#define BUS_BYTES        ((uint64_t)1 << 20)

bool acpi_mcfg_read(struct acpi_devices *devices, const struct acpi_bytes *mcfg,
                    struct acpi_log *log)
{
    assert(mcfg->length >= ACPI_MCFG_LEAST);
    bool right = (mcfg->length - ACPI_MCFG_LEAST) % MCFG_ENTRY_BYTES == 0;
    if (!right)
        acpi_problem(log, "MCFG: its last entry is cut off");
    for (uint32_t at = ACPI_MCFG_LEAST; mcfg->length - at >= MCFG_ENTRY_BYTES;
         at += MCFG_ENTRY_BYTES) {
        const uint8_t *bytes = mcfg->bytes + at;
        const struct acpi_pci_segment segment = {bytes_u64(bytes), bytes_u16(bytes + 8), bytes[10],
                                                 bytes[11]};
        if (segment.base == 0 || segment.base % BUS_BYTES != 0 ||
            segment.base > UINT64_MAX - 256 * BUS_BYTES || segment.first_bus > segment.last_bus) {
            acpi_problem(log, "MCFG: buses %u to %u of segment %u at %lx", segment.first_bus,
                         segment.last_bus, segment.segment, segment.base);
            right = false;
        } else if (devices->segment_count == ACPI_PCI_SEGMENTS_MOST) {
            acpi_problem(log, "MCFG: there are more than %u segments", ACPI_PCI_SEGMENTS_MOST);
            return false;
        } else {
            devices->segments[devices->segment_count++] = segment;
        }
    }
    return right;
}

// ---- HPET, SPCR, DBG2 --------------------------------------------------------------------------

#define HPET_ID        36
#define HPET_REGISTERS 40
#define HPET_NUMBER    52
#define HPET_ALIGNMENT 1024u // 2.3.1: the registers fill 1 KiB

bool acpi_hpet_read(struct acpi_devices *devices, const struct acpi_bytes *hpet,
                    struct acpi_log *log)
{
    assert(hpet->length >= ACPI_HPET_LEAST);
    const struct acpi_register registers = acpi_register_at(hpet->bytes + HPET_REGISTERS);
    if (registers.space != ACPI_SPACE_MEMORY || registers.address % HPET_ALIGNMENT != 0) {
        acpi_problem(log, "HPET: registers at %lx in space %u",
                     bytes_u64(hpet->bytes + HPET_REGISTERS + 4), hpet->bytes[HPET_REGISTERS]);
        return false;
    }
    devices->hpet = (struct acpi_hpet){registers.address, bytes_u32(hpet->bytes + HPET_ID),
                                       hpet->bytes[HPET_NUMBER]};
    return true;
}

#define SPCR_INTERFACE 36
#define SPCR_REGISTERS 40

bool acpi_spcr_read(struct acpi_devices *devices, const struct acpi_bytes *spcr,
                    struct acpi_log *log)
{
    assert(spcr->length >= ACPI_SPCR_LEAST);
    const struct acpi_register registers = acpi_register_at(spcr->bytes + SPCR_REGISTERS);
    (void)log; // an address of 0 says that there is no console
    devices->serial = (struct acpi_serial){spcr->bytes[SPCR_INTERFACE], registers};
    return true;
}

#define DBG2_FIRST           36 // where the entries begin
#define DBG2_COUNT           40
#define DBG2_ENTRY_BYTES     22u
#define DBG2_ENTRY_LENGTH    1 // of 16 bits, behind the revision
#define DBG2_ENTRY_ADDRESSES 3
#define DBG2_ENTRY_KIND      12
#define DBG2_ENTRY_SUBKIND   14
#define DBG2_ENTRY_REGISTER  18
#define DBG2_SERIAL          0x8000u
#define DBG2_ENTRIES_MOST    64u

// The port of an entry that lies in the table. False: its first address does not lie in it.
static bool take_debug_port(struct acpi_debug_ports *debug, const uint8_t *entry, uint32_t length)
{
    const uint32_t at = bytes_u16(entry + DBG2_ENTRY_REGISTER);
    if (bytes_u16(entry + DBG2_ENTRY_KIND) != DBG2_SERIAL || entry[DBG2_ENTRY_ADDRESSES] == 0)
        return true;
    if (at < DBG2_ENTRY_BYTES || at > length || length - at < ACPI_REGISTER_BYTES)
        return false;
    if (debug->count < ACPI_DEBUG_PORTS_MOST)
        debug->ports[debug->count++] = (struct acpi_serial){bytes_u16(entry + DBG2_ENTRY_SUBKIND),
                                                            acpi_register_at(entry + at)};
    return true;
}

bool acpi_dbg2_read(struct acpi_devices *devices, const struct acpi_bytes *dbg2,
                    struct acpi_log *log)
{
    assert(dbg2->length >= ACPI_DBG2_LEAST);
    uint32_t at = bytes_u32(dbg2->bytes + DBG2_FIRST);
    const uint32_t count = bytes_u32(dbg2->bytes + DBG2_COUNT);
    bool right = count <= DBG2_ENTRIES_MOST;
    for (uint32_t i = 0; i < count && right; i++) {
        const bool inside =
            at >= ACPI_DBG2_LEAST && at <= dbg2->length && dbg2->length - at >= DBG2_ENTRY_BYTES;
        const uint32_t length = inside ? bytes_u16(dbg2->bytes + at + DBG2_ENTRY_LENGTH) : 0;
        right = length >= DBG2_ENTRY_BYTES && length <= dbg2->length - at &&
                take_debug_port(&devices->debug, dbg2->bytes + at, length);
        at += length;
    }
    if (!right)
        acpi_problem(log, "DBG2: entries do not fit into it");
    return right;
}
