// SPDX-License-Identifier: MIT
// Nodes of CPUs and memory from the "system resource affinity table" (SRAT: ACPI 6.5, 5.2.16), and
// their distances from the "system locality information table" (SLIT: 5.2.17).
//
// Firmware numbers its "proximity domains" as it likes, in 32 bits; nodes are 0, 1, ... in the
// order in which the SRAT names enabled ones.
#ifndef ACPI_NUMA_H
#define ACPI_NUMA_H

#include <stdbool.h>
#include <stdint.h>

#include "acpi_cpus.h"
#include "acpi_parts.h"
#include "numa.h"

#define ACPI_SRAT_LEAST 48u // bytes before its entries
#define ACPI_SLIT_LEAST 44u // bytes before its matrix

// The proximity domain of each node.
struct acpi_domains {
    unsigned count;
    uint32_t domain[NUMA_NODES_MOST];
};

// Fills an initialised `numa` from a SRAT of at least ACPI_SRAT_LEAST bytes; numa->cpu_node counts
// CPUs as `cpus` does. False, with a line in the log, if its entries do not hold together: what
// stands before the bad one is kept. What has no entry, or one of too many domains, is on node 0.
bool acpi_srat_read(struct numa *numa, struct acpi_domains *domains, const struct acpi_cpus *cpus,
                    const struct acpi_bytes *srat, struct acpi_log *log);

// Sets the distances of the nodes from a SLIT of at least ACPI_SLIT_LEAST bytes. False, with a line
// in the log, if its size or one of its values cannot be: then the distances stay as they are.
bool acpi_slit_read(struct numa *numa, const struct acpi_domains *domains,
                    const struct acpi_bytes *slit, struct acpi_log *log);

#endif
