// SPDX-License-Identifier: MIT
// Machine checks: what the CPU's error banks say. Intel SDM vol. 3, 16.3 and 16.8; AMD64 vol.
// 2, 9.3.
#ifndef MACHINE_CHECK_H
#define MACHINE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MACHINE_CHECK_BANKS_MOST 32u

struct msr_access {
    void *context;
    uint64_t (*read)(void *context, uint32_t msr);
    void (*write)(void *context, uint32_t msr, uint64_t value);
};

struct machine_check {
    uint64_t global;            // MCG_STATUS
    unsigned banks;             // of this CPU, at most MACHINE_CHECK_BANKS_MOST
    bool found;                 // a bank holds an error; the rest describes the first one
    bool has_address, has_more; // an address; further banks with errors
    unsigned bank;
    uint64_t status, address;
};

// Lets every bank report and forgets what they hold. On a CPU with both MCE and MCA (CPUID 1, EDX 7
// and 14), before CR4.MCE is set.
void machine_check_enable(const struct msr_access *access);

// Reads what was reported. Changes nothing; bounded; on such a CPU only.
void machine_check_read(const struct msr_access *access, struct machine_check *check);

// "machine check: bank 0, status bd00000000000000, address 1000, uncorrected". Returns the length.
size_t machine_check_text(const struct machine_check *check, char *text, size_t capacity);

#endif
