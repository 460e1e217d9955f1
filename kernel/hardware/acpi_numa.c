// SPDX-License-Identifier: MIT
#include "acpi_numa.h"

#include "assert.h"
#include "bytes.h"
#include "compiler.h"

#define TABLE_REVISION 8

// Types of entries and their lengths: ACPI 6.5, 5.2.16.1 to 5.2.16.3.
enum {
    LOCAL_APIC = 0,
    MEMORY = 1,
    LOCAL_X2APIC = 2,
    TYPES,
};
static const uint8_t least[TYPES] = {[LOCAL_APIC] = 16, [MEMORY] = 40, [LOCAL_X2APIC] = 24};

#define AFFINITY_ENABLED     (1u << 0)
#define MEMORY_HOT_PLUGGABLE (1u << 1)

#define NO_NODE NUMA_NODES_MOST

// One affinity entry, whatever its type.
struct affinity {
    uint32_t domain, apic_id;
    uint64_t start, length;
    bool is_memory, hot_pluggable;
};

// What the walks over the table share.
struct survey {
    struct numa *numa;
    struct acpi_domains *domains;
    const struct acpi_cpus *cpus;
    struct acpi_log *log;
    bool placed[CPU_MOST];
    unsigned left_out; // entries of domains for which there is no node
};

// False for an entry that is not enabled or not about CPUs and memory.
static bool read_affinity(const struct acpi_entry *entry, uint8_t revision,
                          struct affinity *affinity)
{
    const uint8_t *bytes = entry->bytes;
    uint32_t flags;
    *affinity = (struct affinity){0};
    switch (entry->type) {
    case LOCAL_APIC: // the domain is scattered: bits 7:0, and 31:8 elsewhere
        affinity->domain =
            bytes[2] | (uint32_t)bytes[9] << 8 | (uint32_t)bytes_u16(bytes + 10) << 16;
        affinity->apic_id = bytes[3];
        flags = bytes_u32(bytes + 4);
        break;
    case MEMORY:
        affinity->is_memory = true;
        affinity->domain = bytes_u32(bytes + 2);
        affinity->start = bytes_u64(bytes + 8);
        affinity->length = bytes_u64(bytes + 16);
        flags = bytes_u32(bytes + 28);
        affinity->hot_pluggable = (flags & MEMORY_HOT_PLUGGABLE) != 0;
        break;
    case LOCAL_X2APIC:
        affinity->domain = bytes_u32(bytes + 4);
        affinity->apic_id = bytes_u32(bytes + 8);
        flags = bytes_u32(bytes + 12);
        break;
    default:
        return false;
    }
    if (revision < 2) // ACPI 2.0: the upper bits were reserved
        affinity->domain &= 0xff;
    return (flags & AFFINITY_ENABLED) != 0;
}

// ---- nodes -------------------------------------------------------------------------------------

static unsigned node_of(const struct acpi_domains *domains, uint32_t domain)
{
    for (unsigned node = 0; node < domains->count; node++) {
        if (domains->domain[node] == domain)
            return node;
    }
    return NO_NODE;
}

static void number_domain(struct survey *survey, const struct affinity *affinity)
{
    struct acpi_domains *domains = survey->domains;
    if (node_of(domains, affinity->domain) != NO_NODE)
        return;
    if (domains->count < NUMA_NODES_MOST)
        domains->domain[domains->count++] = affinity->domain;
    else
        survey->left_out++;
}

static void place_memory(struct survey *survey, const struct affinity *affinity, unsigned node)
{
    const uint64_t start = affinity->start, length = affinity->length;
    if (length == 0)
        return;
    if (length > UINT64_MAX - start) {
        acpi_problem(survey->log, "SRAT: memory at %lx of %lx bytes wraps around", start, length);
        return;
    }
    switch (numa_add_range(survey->numa, start, start + length, node, affinity->hot_pluggable)) {
    case STATUS_OK:
        break;
    case STATUS_DOUBLE:
        acpi_problem(survey->log, "SRAT: memory at %lx of %lx bytes is listed twice", start,
                     length);
        break;
    default: // full: the nodes are all there
        acpi_problem(survey->log, "SRAT: memory at %lx is left out: more than %u ranges", start,
                     NUMA_RANGES_MOST);
        break;
    }
}

static void place(struct survey *survey, const struct affinity *affinity)
{
    const unsigned node = node_of(survey->domains, affinity->domain);
    if (node == NO_NODE)
        return;
    if (affinity->is_memory) {
        place_memory(survey, affinity, node);
        return;
    }
    // Firmware also lists CPUs that are not there.
    const unsigned cpu = acpi_cpu_of(survey->cpus, affinity->apic_id);
    if (cpu < survey->cpus->cpu_count) {
        survey->numa->cpu_node[cpu] = (uint8_t)node;
        survey->placed[cpu] = true;
    }
}

// ---- SRAT --------------------------------------------------------------------------------------

// Calls `take` for each enabled entry; returns how the walk ended, `*at` where.
static enum acpi_step walk(const struct acpi_bytes *srat, struct survey *survey, uint32_t *at,
                           void (*take)(struct survey *survey, const struct affinity *affinity))
{
    struct acpi_entry entry;
    struct affinity affinity;
    enum acpi_step step;
    *at = ACPI_SRAT_LEAST;
    while ((step = acpi_next(srat, at, least, TYPES, &entry)) == ACPI_STEP_ENTRY) {
        if (read_affinity(&entry, srat->bytes[TABLE_REVISION], &affinity))
            take(survey, &affinity);
    }
    return step;
}

bool acpi_srat_read(struct numa *numa, struct acpi_domains *domains, const struct acpi_cpus *cpus,
                    const struct acpi_bytes *srat, struct acpi_log *log)
{
    assert(srat->length >= ACPI_SRAT_LEAST);
    struct survey survey = {.numa = numa, .domains = domains, .cpus = cpus, .log = log};
    uint32_t at;
    unsigned homeless = 0;
    domains->count = 0;
    // Twice: how many nodes there are is known only after the last entry.
    const enum acpi_step step = walk(srat, &survey, &at, number_domain);
    if (step == ACPI_STEP_BROKEN)
        acpi_problem(log, "SRAT: the entry at byte %u is broken: no more of it is read", at);
    if (survey.left_out > 0)
        acpi_problem(log, "SRAT: %u entries are left out: there are more than %u nodes",
                     survey.left_out, NUMA_NODES_MOST);
    if (domains->count == 0)
        return step != ACPI_STEP_BROKEN;
    numa_set_nodes(numa, domains->count);
    walk(srat, &survey, &at, place);
    for (unsigned cpu = 0; cpu < cpus->enabled_count; cpu++)
        homeless += cpus->described && !survey.placed[cpu];
    if (homeless > 0)
        acpi_problem(log, "SRAT: %u CPUs have no node: they are counted to node 0", homeless);
    return step != ACPI_STEP_BROKEN;
}

// ---- SLIT --------------------------------------------------------------------------------------

// A row of the matrix is all distances from one domain.
static uint8_t distance(const struct acpi_bytes *slit, uint64_t localities, uint32_t from,
                        uint32_t to)
{
    return slit->bytes[ACPI_SLIT_LEAST + from * localities + to];
}

bool acpi_slit_read(struct numa *numa, const struct acpi_domains *domains,
                    const struct acpi_bytes *slit, struct acpi_log *log)
{
    assert(slit->length >= ACPI_SLIT_LEAST);
    const uint64_t localities = bytes_u64(slit->bytes + ACPI_HEADER_BYTES);
    // Bounded first: the square of a larger number may wrap around.
    if (localities > slit->length || localities * localities != slit->length - ACPI_SLIT_LEAST) {
        acpi_problem(log, "SLIT: %lu localities do not fit %u bytes", localities, slit->length);
        return false;
    }
    for (unsigned from = 0; from < domains->count; from++) {
        if (domains->domain[from] >= localities) {
            acpi_problem(log, "SLIT: no distances of domain %u", domains->domain[from]);
            return false;
        }
    }
    for (unsigned from = 0; from < domains->count; from++) {
        for (unsigned to = 0; to < domains->count; to++) {
            const uint8_t value =
                distance(slit, localities, domains->domain[from], domains->domain[to]);
            if (from == to ? value != NUMA_DISTANCE_LOCAL : value < NUMA_DISTANCE_LOCAL) {
                acpi_problem(log, "SLIT: the distance from domain %u to %u is %u",
                             domains->domain[from], domains->domain[to], value);
                return false;
            }
        }
    }
    for (unsigned from = 0; from < domains->count; from++) {
        for (unsigned to = 0; to < domains->count; to++)
            numa->distance[from][to] =
                distance(slit, localities, domains->domain[from], domains->domain[to]);
    }
    return true;
}
