// SPDX-License-Identifier: MIT
#include "smi.h"

#include "compiler.h"
#include "string.h"

#define FAMILY_6 6u
// The register came with Nehalem (model 1Ah) and Silvermont. Above that number, but of the designs
// before: the last of Core 2 and the first five Atoms (Intel SDM vol. 4, table 2-1).
#define MODEL_NEHALEM 0x1au
static const uint8_t before_nehalem[] = {0x1c, 0x1d, 0x26, 0x27, 0x35, 0x36};

bool smi_is_counted(const char *vendor, uint32_t signature, bool hypervisor)
{
    const unsigned family = signature >> 8 & 0xf;
    const unsigned model = (signature >> 4 & 0xf) | (signature >> 12 & 0xf0);
    if (hypervisor || !string_equal(vendor, "GenuineIntel") || family != FAMILY_6 ||
        model < MODEL_NEHALEM)
        return false;
    for (unsigned i = 0; i < ARRAY_COUNT(before_nehalem); i++)
        if (model == before_nehalem[i])
            return false;
    return true;
}
