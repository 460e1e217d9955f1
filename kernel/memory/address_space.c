// SPDX-License-Identifier: MIT
#include "address_space.h"

#include "assert.h"

#define PAGE_BYTES PAGE_BYTES_4K

static struct address_space_cpu *cpu_here(struct address_spaces *all)
{
    return &all->cpus[cpu_local()->index];
}

static uint64_t bit_here(void)
{
    return (uint64_t)1 << cpu_local()->index;
}

// ---- locks
// ---------------------------------------------------------------------------------------

void address_spaces_acquire(struct address_spaces *all, struct spinlock *lock)
{
    cpu_preempt_disable();
    while (!spinlock_try_acquire(lock)) {
        all->tlb->poll(all->tlb->context);
        cpu_pause();
    }
}

void address_spaces_release(struct spinlock *lock)
{
    spinlock_release(lock);
    cpu_preempt_enable();
}

// ---- what CPUs remember
// --------------------------------------------------------------------------

// Makes this CPU's translations true to the shot. Returns pages dropped one by one, 0 for all of
// them; *done: there was something to do.
static uint64_t apply(struct address_spaces *all, const struct tlb_shot *shot, bool *done)
{
    const struct tlb_ops *tlb = all->tlb;
    struct address_space_slot *slot = &shot->space->slots[cpu_local()->index];
    const uint64_t pages = shot->length / PAGE_BYTES;
    *done = slot->generation < shot->generation; // else the tables were loaded after the change
    if (!*done)
        return 0;
    // No change lies between: it was told to this CPU too, which is live, or came before the load
    // that made it so and took its generation; and the next change waits, as its maker waits for
    // the space's lock, until all who were told of this one have answered. Else pages of the one
    // that was missed would be remembered for ever.
    assert(slot->generation + 1 == shot->generation);
    slot->generation = shot->generation;
    if (pages > 0 && pages <= all->batch) {
        for (uint64_t at = 0; at < shot->length; at += PAGE_BYTES)
            tlb->invalidate_page(tlb->context, shot->address + at);
        return pages;
    }
    tlb->flush(tlb->context, false);
    return 0;
}

void address_space_receive(struct address_spaces *all, const struct tlb_shot *shot)
{
    struct address_space_cpu *cpu = cpu_here(all);
    cpu->counts.shots_received++;
    // Gone over to another space since: its slot tells the older generation when it comes back.
    if (cpu->current != shot->space)
        return;
    bool done;
    const uint64_t pages = apply(all, shot, &done);
    cpu->counts.pages_received += pages;
    cpu->counts.flushes_received += done && pages == 0;
}

static unsigned count_bits(uint64_t bits)
{
    unsigned count = 0;
    for (; bits != 0; bits &= bits - 1)
        count++;
    return count;
}

// The tables have changed; the caller holds the lock.
static void tell(struct address_space *space, uint64_t address, uint64_t length)
{
    struct address_spaces *all = space->all;
    struct address_space_cpu *cpu = cpu_here(all);
    // Sequentially consistent, both: a CPU that enters sets its bit first and reads the generation
    // then. Either it is seen here, or it sees the new generation.
    const struct tlb_shot shot = {.space = space,
                                  .address = address,
                                  .length = length,
                                  .generation =
                                      __atomic_add_fetch(&space->generation, 1, __ATOMIC_SEQ_CST)};
    const uint64_t live = __atomic_load_n(&space->live, __ATOMIC_SEQ_CST);
    if ((live & bit_here()) != 0) {
        bool done;
        const uint64_t pages = apply(all, &shot, &done);
        cpu->counts.pages_here += pages;
        cpu->counts.flushes_here += done && pages == 0;
    }
    const uint64_t others = live & ~bit_here();
    if (others != 0) {
        cpu->counts.shots_sent++;
        cpu->counts.cpus_shot += count_bits(others);
        all->tlb->shootdown(all->tlb->context, others, &shot);
    }
}

void page_flush_tlb(struct address_space *space, uint64_t address)
{
    assert(address % PAGE_BYTES == 0);
    address_spaces_acquire(space->all, &space->lock);
    tell(space, address, PAGE_BYTES);
    address_spaces_release(&space->lock);
}

void page_flush_tlb_all(struct address_space *space)
{
    address_spaces_acquire(space->all, &space->lock);
    tell(space, 0, 0);
    address_spaces_release(&space->lock);
}

// ---- which tables a CPU uses
// ---------------------------------------------------------------------

enum status address_spaces_init(struct address_spaces *all, const struct tlb_ops *tlb,
                                uint64_t root, unsigned pcids, uint64_t batch)
{
    if ((pcids != 0 && (pcids < ADDRESS_SPACE_PCIDS_LEAST || pcids > ADDRESS_SPACE_PCIDS_MOST)) ||
        batch == 0)
        return STATUS_INVALID;
    *all = (struct address_spaces){.tlb = tlb, .root = root, .pcids = pcids, .batch = batch};
    for (unsigned i = 0; i < CPU_MOST; i++) {
        all->cpus[i].pcid_generation = 1;
        all->cpus[i].pcid_next = 1;
    }
    return STATUS_OK;
}

// Gives the slot a number that nothing is remembered under, unless it has one still. True if all
// numbers were used up: then everything is to be dropped once the new tables are in use. (Before
// that, the CPU could remember something under the old number still.)
static bool number(struct address_spaces *all, struct address_space_slot *slot)
{
    struct address_space_cpu *cpu = cpu_here(all);
    if (all->pcids == 0 || slot->pcid_generation == cpu->pcid_generation)
        return false;
    const bool over = cpu->pcid_next == all->pcids;
    if (over) {
        cpu->pcid_generation++;
        cpu->pcid_next = 1;
        cpu->counts.recycled++;
    }
    slot->pcid_generation = cpu->pcid_generation;
    slot->pcid = cpu->pcid_next++;
    return over;
}

static void load(struct address_spaces *all, struct address_space *space)
{
    const struct tlb_ops *tlb = all->tlb;
    struct address_space_cpu *cpu = cpu_here(all);
    if (space == NULL) {
        cpu->counts.loads_kept += all->pcids > 0;
        tlb->load(tlb->context, all->root, 0, all->pcids > 0);
        return;
    }
    struct address_space_slot *slot = &space->slots[cpu_local()->index];
    __atomic_fetch_or(&space->live, bit_here(), __ATOMIC_SEQ_CST); // see tell
    const uint64_t generation = __atomic_load_n(&space->generation, __ATOMIC_SEQ_CST);
    const bool known = all->pcids > 0 && slot->pcid_generation == cpu->pcid_generation;
    const bool over = number(all, slot);
    const bool keep = known && slot->generation == generation;
    cpu->counts.loads_kept += keep;
    tlb->load(tlb->context, space->map.root, slot->pcid, keep);
    if (over)
        tlb->flush(tlb->context, true);
    slot->generation = generation;
}

void address_space_enter(struct address_spaces *all, struct address_space *space)
{
    cpu_preempt_disable();
    const struct tlb_ops *tlb = all->tlb;
    // A shot that came between the choice of what to keep and `current` would be taken for one that
    // does not concern this CPU.
    const bool before = tlb->mask(tlb->context);
    struct address_space_cpu *cpu = cpu_here(all);
    struct address_space *const old = cpu->current;
    assert(space == NULL || space->all == all);
    if (old != space) {
        cpu->counts.loads++;
        load(all, space);
        cpu->current = space;
        // Release: whoever sees the bit gone finds this CPU done with those tables.
        if (old != NULL)
            __atomic_fetch_and(&old->live, ~bit_here(), __ATOMIC_RELEASE);
    }
    tlb->unmask(tlb->context, before);
    cpu_preempt_enable();
}

struct address_space *address_space_here(const struct address_spaces *all)
{
    return all->cpus[cpu_local()->index].current;
}

// ---- spaces
// --------------------------------------------------------------------------------------

static uint64_t allocate_table(void *context)
{
    const struct page_memory *memory = &((struct address_space *)context)->memory;
    return memory->allocate(memory->context);
}

static void release_table(void *context, uint64_t table)
{
    const struct page_memory *memory = &((struct address_space *)context)->memory;
    memory->release(memory->context, table);
}

static uint64_t *table_at(void *context, uint64_t table)
{
    const struct page_memory *memory = &((struct address_space *)context)->memory;
    return memory->at(memory->context, table);
}

static void invalidate(void *context, uint64_t address, uint64_t length)
{
    tell(context, address, length);
}

enum status address_space_init(struct address_space *space, struct address_spaces *all,
                               const struct page_memory *memory, struct page_limits limits)
{
    *space = (struct address_space){.all = all, .memory = *memory};
    spinlock_init(&space->lock);
    const struct page_memory own = {.context = space,
                                    .allocate = allocate_table,
                                    .release = release_table,
                                    .at = memory->at != NULL ? table_at : NULL,
                                    .direct = memory->direct,
                                    .invalidate = invalidate};
    return page_map_init(&space->map, &own, limits);
}

void address_space_destroy(struct address_space *space)
{
    // Acquire: pairs with the release of the last CPU that left.
    assert(__atomic_load_n(&space->live, __ATOMIC_ACQUIRE) == 0);
    page_map_destroy(&space->map);
}

// ---- changes
// -------------------------------------------------------------------------------------

#define WITH_LOCK(space, type, call)                                                               \
    do {                                                                                           \
        address_spaces_acquire((space)->all, &(space)->lock);                                      \
        const type result = call;                                                                  \
        address_spaces_release(&(space)->lock);                                                    \
        return result;                                                                             \
    } while (0)

enum status address_space_map(struct address_space *space, uint64_t address, uint64_t physical,
                              uint64_t length, struct page_kind kind)
{
    if (kind.global)
        return STATUS_INVALID;
    WITH_LOCK(space, enum status, page_map_map(&space->map, address, physical, length, kind));
}

enum status address_space_map_page(struct address_space *space, uint64_t address, uint64_t physical,
                                   uint64_t bytes, struct page_kind kind)
{
    if (kind.global)
        return STATUS_INVALID;
    WITH_LOCK(space, enum status, page_map_page(&space->map, address, physical, bytes, kind));
}

enum status address_space_unmap_page(struct address_space *space, uint64_t address, uint64_t bytes,
                                     uint64_t *physical)
{
    WITH_LOCK(space, enum status, page_unmap_page(&space->map, address, bytes, physical));
}

enum status address_space_unmap(struct address_space *space, uint64_t address, uint64_t length)
{
    WITH_LOCK(space, enum status, page_map_unmap(&space->map, address, length));
}

enum status address_space_protect(struct address_space *space, uint64_t address, uint64_t length,
                                  struct page_kind kind)
{
    if (kind.global)
        return STATUS_INVALID;
    WITH_LOCK(space, enum status, page_map_protect(&space->map, address, length, kind));
}

enum status address_space_split(struct address_space *space, uint64_t address, uint64_t bytes)
{
    WITH_LOCK(space, enum status, page_map_split(&space->map, address, bytes));
}

enum status address_space_merge(struct address_space *space, uint64_t address, uint64_t bytes)
{
    WITH_LOCK(space, enum status, page_map_merge(&space->map, address, bytes));
}

bool address_space_translate(struct address_space *space, uint64_t address, uint64_t *physical)
{
    WITH_LOCK(space, bool, page_translate(&space->map, address, physical));
}

bool address_space_next(struct address_space *space, uint64_t address, struct page *page)
{
    WITH_LOCK(space, bool, page_map_next(&space->map, address, page));
}

void address_spaces_count(const struct address_spaces *all, struct address_space_counts *counts)
{
    *counts = (struct address_space_counts){0};
    for (unsigned i = 0; i < CPU_MOST; i++) {
        const struct address_space_counts *one = &all->cpus[i].counts;
        counts->pages_here += one->pages_here;
        counts->flushes_here += one->flushes_here;
        counts->shots_sent += one->shots_sent;
        counts->cpus_shot += one->cpus_shot;
        counts->shots_received += one->shots_received;
        counts->pages_received += one->pages_received;
        counts->flushes_received += one->flushes_received;
        counts->loads += one->loads;
        counts->loads_kept += one->loads_kept;
        counts->recycled += one->recycled;
    }
}
