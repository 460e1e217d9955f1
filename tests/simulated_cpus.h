// SPDX-License-Identifier: MIT
// CPUs of tests, played one after the other by one thread: what each remembers of page tables, by
// PCID, until it is told to drop it. A shot at another CPU is answered at once, on that CPU.
#ifndef SIMULATED_CPUS_H
#define SIMULATED_CPUS_H

#include "address_space.h"
#include "shootdown.h"
#include "simulated_memory.h"
#include "test_platform.h"

#define SIMULATED_CPUS  8u
#define SIMULATED_KNOWN 64u // translations that a CPU remembers

struct simulated_cpu {
    uint64_t root;
    unsigned pcid;
    struct {
        bool valid;
        unsigned pcid;
        struct page page;
    } known[SIMULATED_KNOWN];
    uint64_t pages, flushes, flushes_of_all, loads, kept; // what it was told to do
};

static struct {
    struct simulated_cpu cpus[SIMULATED_CPUS];
    struct shootdown shootdown;
    uint64_t shots_at; // CPUs that the last shot was at
} simulated;

static inline struct simulated_cpu *simulated_cpu_here(void)
{
    return &simulated.cpus[cpu_local()->index];
}

static inline void simulated_invalidate_page(void *context, uint64_t address)
{
    struct simulated_cpu *cpu = simulated_cpu_here();
    (void)context;
    cpu->pages++;
    for (unsigned i = 0; i < SIMULATED_KNOWN; i++) {
        const struct page *page = &cpu->known[i].page;
        if (cpu->known[i].pcid == cpu->pcid && address - page->address < page->bytes)
            cpu->known[i].valid = false;
    }
}

static inline void simulated_drop(struct simulated_cpu *cpu, bool everything)
{
    for (unsigned i = 0; i < SIMULATED_KNOWN; i++) {
        if (everything || cpu->known[i].pcid == cpu->pcid)
            cpu->known[i].valid = false;
    }
}

static inline void simulated_flush(void *context, bool everything)
{
    struct simulated_cpu *cpu = simulated_cpu_here();
    (void)context;
    cpu->flushes += !everything;
    cpu->flushes_of_all += everything;
    simulated_drop(cpu, everything);
}

static inline void simulated_load(void *context, uint64_t root, unsigned pcid, bool keep)
{
    struct simulated_cpu *cpu = simulated_cpu_here();
    (void)context;
    cpu->loads++;
    cpu->kept += keep;
    cpu->root = root;
    cpu->pcid = pcid;
    if (!keep)
        simulated_drop(cpu, false);
}

static inline void simulated_shootdown(void *context, uint64_t cpus, const struct tlb_shot *shot)
{
    (void)context;
    simulated.shots_at = cpus;
    shootdown_send(&simulated.shootdown, cpus, shot);
}

static inline void simulated_nothing(void *context)
{
    (void)context;
}

static inline bool simulated_mask(void *context)
{
    (void)context;
    return true;
}

static inline void simulated_unmask(void *context, bool before)
{
    (void)context;
    must(before);
}

static const struct tlb_ops simulated_ops = {.invalidate_page = simulated_invalidate_page,
                                             .flush = simulated_flush,
                                             .load = simulated_load,
                                             .shootdown = simulated_shootdown,
                                             .poll = simulated_nothing,
                                             .mask = simulated_mask,
                                             .unmask = simulated_unmask};

static inline void simulated_kick(void *context, unsigned cpu)
{
    const unsigned here = cpu_local()->index;
    (void)context;
    test_cpu_enter(cpu);
    must(shootdown_answer(&simulated.shootdown) == 1);
    test_cpu_enter(here);
}

static inline void simulated_receive(void *context, const struct tlb_shot *shot)
{
    (void)context;
    address_space_receive(shot->space->all, shot);
}

static inline bool simulated_wait(void *context, uint64_t *since)
{
    (void)context;
    (void)since;
    return false; // everybody has answered at once
}

static inline void simulated_late(void *context, unsigned cpu)
{
    (void)context;
    ck_abort_msg("CPU %u has not answered", cpu);
}

static inline void simulated_cpus_begin(void)
{
    static const struct shootdown_ops ops = {.kick = simulated_kick,
                                             .receive = simulated_receive,
                                             .wait = simulated_wait,
                                             .late = simulated_late};
    memset(&simulated, 0, sizeof(simulated));
    shootdown_init(&simulated.shootdown, &ops);
    test_cpu_enter(0);
}

// What the running CPU takes `address` for: what it remembers under its PCID, else what the tables
// say, which it remembers then.
static inline bool simulated_access(const struct page_map *map, uint64_t address, struct page *page)
{
    struct simulated_cpu *cpu = simulated_cpu_here();
    must(cpu->root == map->root);
    for (unsigned i = 0; i < SIMULATED_KNOWN; i++) {
        if (cpu->known[i].valid && cpu->known[i].pcid == cpu->pcid &&
            address - cpu->known[i].page.address < cpu->known[i].page.bytes) {
            *page = cpu->known[i].page;
            return true;
        }
    }
    if (!page_map_query(map, address, page))
        return false;
    const unsigned slot = (unsigned)(address / 4096 * 7 + cpu->pcid) % SIMULATED_KNOWN;
    cpu->known[slot].valid = true;
    cpu->known[slot].pcid = cpu->pcid;
    cpu->known[slot].page = *page;
    return true;
}

#endif
