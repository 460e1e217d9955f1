// SPDX-License-Identifier: MIT
#include "machine_check.h"

#include "compiler.h"
#include "format.h"

#define MSR_MCG_CAP    0x179u // banks 7:0; bit 8: MCG_CTL exists
#define MSR_MCG_STATUS 0x17au
#define MSR_MCG_CTL    0x17bu
#define MSR_BANK(n)    (0x400u + 4 * (n)) // control; then status, address, miscellaneous

#define CAP_CONTROL ((uint64_t)1 << 8)

#define STATUS_VALID       ((uint64_t)1 << 63)
#define STATUS_OVERFLOW    ((uint64_t)1 << 62)
#define STATUS_UNCORRECTED ((uint64_t)1 << 61)
#define STATUS_ADDRESS     ((uint64_t)1 << 58)
#define STATUS_DAMAGED     ((uint64_t)1 << 57) // the state of the CPU

static unsigned banks_of(const struct msr_access *access)
{
    const uint64_t capabilities = access->read(access->context, MSR_MCG_CAP);
    return (unsigned)min_u64(capabilities & 0xff, MACHINE_CHECK_BANKS_MOST);
}

void machine_check_enable(const struct msr_access *access)
{
    if (access->read(access->context, MSR_MCG_CAP) & CAP_CONTROL)
        access->write(access->context, MSR_MCG_CTL, UINT64_MAX);
    for (unsigned i = 0; i < banks_of(access); i++) {
        access->write(access->context, MSR_BANK(i), UINT64_MAX);
        access->write(access->context, MSR_BANK(i) + 1, 0);
    }
}

void machine_check_read(const struct msr_access *access, struct machine_check *check)
{
    *check = (struct machine_check){.banks = banks_of(access)};
    check->global = access->read(access->context, MSR_MCG_STATUS);
    for (unsigned i = 0; i < check->banks; i++) {
        const uint64_t status = access->read(access->context, MSR_BANK(i) + 1);
        if ((status & STATUS_VALID) == 0)
            continue;
        if (check->found) {
            check->has_more = true;
            continue;
        }
        check->found = true;
        check->bank = i;
        check->status = status;
        check->has_address = (status & STATUS_ADDRESS) != 0;
        // The register exists only where the bit says so: reading it elsewhere may fault.
        if (check->has_address)
            check->address = access->read(access->context, MSR_BANK(i) + 2);
    }
}

size_t machine_check_text(const struct machine_check *check, char *text, size_t capacity)
{
    if (!check->found)
        return format(text, capacity, "machine check: no bank of %u holds an error, global %lx",
                      check->banks, check->global);
    char where[32] = "no address";
    if (check->has_address)
        format(where, sizeof(where), "address %lx", check->address);
    return format(text, capacity, "machine check: bank %u, status %016lx, %s, %s%s%s%s",
                  check->bank, check->status, where,
                  check->status & STATUS_UNCORRECTED ? "uncorrected" : "corrected",
                  check->status & STATUS_DAMAGED ? ", state of the CPU damaged" : "",
                  check->status & STATUS_OVERFLOW ? ", errors lost" : "",
                  check->has_more ? ", more in other banks" : "");
}
