// SPDX-License-Identifier: MIT
// What firmware says of itself and of the machine in SMBIOS tables (DMTF DSP0134, 3.6): makers,
// versions, memory. Serial numbers and ids are not read: reports travel.
//
// Nothing in them is trusted: all is bounded, text is printable ASCII and cut, and what does not
// hold together ends the reading; what came before is kept. Everything is copied. One thread.
#ifndef SMBIOS_H
#define SMBIOS_H

#include <stdbool.h>
#include <stdint.h>

#include "boot_info.h"

#define SMBIOS_TEXT_BYTES      64u
#define SMBIOS_STRUCTURES_MOST 4096u
#define SMBIOS_BYTES_MOST      (1u << 20) // of all structures

// Texts are empty where they are not told.
struct smbios_info {
    uint64_t entry; // where it was found; 0: there is none, and all else is empty
    unsigned structures;
    bool broken; // the reading ended before the tables did
    char firmware_maker[SMBIOS_TEXT_BYTES], firmware_version[SMBIOS_TEXT_BYTES],
        firmware_date[SMBIOS_TEXT_BYTES];
    char system_maker[SMBIOS_TEXT_BYTES], system_product[SMBIOS_TEXT_BYTES];
    char board_maker[SMBIOS_TEXT_BYTES], board_product[SMBIOS_TEXT_BYTES];
    unsigned memory_devices; // that are there
    uint64_t memory_mib;     // of those that tell their size
    unsigned memory_speed;   // the lowest that is told, megatransfers a second; 0: none is
    bool memory_rated;       // it is what a device could do: what that is set to is not told
};

// `told` is where firmware says the entry point is, 0 if it does not: then it is searched for where
// a BIOS puts it.
void smbios_read(struct smbios_info *info, struct boot_memory memory, uint64_t told);

#endif
