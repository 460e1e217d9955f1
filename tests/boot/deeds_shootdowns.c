// SPDX-License-Identifier: MIT
// Several CPUs that change what all of them use: storms of shootdowns, a CPU that does not answer,
// memory that comes at the first touch, and many contexts.
#include "deeds_space.h"

// ---- storms
// -------------------------------------------------------------------------------------- Each CPU
// maps and unmaps pages of its own and reads those of all. What it unmapped it spoils at once: who
// finds the spoilt word reads by a translation that should be gone.

#define OWN_PAGES 4u
#define SPOILT    0x5b011edull
#define GUARDS    8u  // rounds between changes of the kernel's own map
#define MASKED    16u // rounds between times with interrupts masked

static struct {
    CACHE_ALIGNED uint32_t done;
    uint64_t rounds;
    uint64_t stale[CPU_MOST], seen[CPU_MOST], failed[CPU_MOST];
} storm;

static uint64_t own_frame(unsigned cpu, unsigned page)
{
    return deeds_frames() + (cpu * OWN_PAGES + page) * PAGE_SIZE;
}

static uint64_t own_address(unsigned cpu, unsigned page)
{
    return DEEDS_HIGH + (cpu * OWN_PAGES + page) * PAGE_SIZE;
}

static void read_all(struct random *random)
{
    const unsigned here = cpu_local()->index;
    for (unsigned i = 0; i < 8; i++) {
        const unsigned cpu = (unsigned)random_below(random, platform_cpu_count());
        const unsigned page = (unsigned)random_below(random, OWN_PAGES);
        uint64_t value = 0;
        if (deeds_try(DEEDS_READ, own_address(cpu, page), &value) != DEEDS_NO_FAULT)
            continue;
        storm.seen[here]++;
        storm.stale[here] += value == SPOILT;
    }
}

static void change_own(struct random *random, bool *mapped)
{
    static const struct page_kind data = {.rights = PAGE_READ | PAGE_WRITE};
    const unsigned here = cpu_local()->index, page = (unsigned)random_below(random, OWN_PAGES);
    volatile uint64_t *word = (volatile uint64_t *)(uintptr_t)own_frame(here, page);
    enum status status;
    if (mapped[page]) {
        status = address_space_unmap_page(&deeds_space, own_address(here, page), PAGE_SIZE, NULL);
        *word = SPOILT;
    } else {
        *word = here;
        status = address_space_map_page(&deeds_space, own_address(here, page),
                                        own_frame(here, page), PAGE_SIZE, data);
    }
    mapped[page] = !mapped[page];
    storm.failed[here] += status != STATUS_OK;
}

// Another kind of change beside it: of the kernel's own map, by a page of this CPU's.
static void guard_own(void)
{
    const unsigned here = cpu_local()->index;
    const uint64_t page = own_frame(CPU_MOST, here);
    storm.failed[here] += kernel_map_guard(page) != STATUS_OK;
    storm.failed[here] += kernel_map_unguard(page) != STATUS_OK;
}

static void stay_masked(void)
{
    const bool on = interrupts_off();
    for (unsigned i = 0; i < 2000; i++)
        cpu_pause();
    interrupts_restore(on);
}

static void shoot(void *argument)
{
    struct random random = random_seeded(cpu_local()->index + 1);
    bool mapped[OWN_PAGES] = {false};
    (void)argument;
    address_space_enter(tlb_spaces(), &deeds_space);
    for (uint64_t i = 0; i < storm.rounds; i++) {
        change_own(&random, mapped);
        read_all(&random);
        if (i % GUARDS == 0)
            guard_own();
        if (i % MASKED == 0)
            stay_masked();
        if (random_below(&random, 32) == 0) {
            address_space_enter(tlb_spaces(), NULL);
            address_space_enter(tlb_spaces(), &deeds_space);
        }
    }
    for (unsigned page = 0; page < OWN_PAGES; page++) {
        if (mapped[page])
            (void)address_space_unmap_page(&deeds_space, own_address(cpu_local()->index, page),
                                           PAGE_SIZE, NULL);
    }
    address_space_enter(tlb_spaces(), NULL);
    __atomic_add_fetch(&storm.done, 1, __ATOMIC_ACQ_REL);
}

void paging_storm_deed(void)
{
    uint64_t stale = 0, seen = 0, failed = 0;
    struct address_space_counts counts;
    struct tlb_counts machine;
    storm.rounds = deeds_option("count", 500);
    deeds_space_begin();
    for (unsigned cpu = 1; cpu < platform_cpu_count(); cpu++)
        platform_cpu_start(cpu, shoot, NULL);
    shoot(NULL);
    for (unsigned cpu = 1; cpu < platform_cpu_count(); cpu++)
        platform_cpu_wait(cpu, 60000);
    for (unsigned cpu = 0; cpu < platform_cpu_count(); cpu++) {
        stale += storm.stale[cpu];
        seen += storm.seen[cpu];
        failed += storm.failed[cpu];
    }
    address_spaces_count(tlb_spaces(), &counts);
    tlb_count(&machine);
    deeds_say("storm.cpus", storm.done);
    deeds_say("storm.stale", stale);
    deeds_say("storm.seen", seen);
    deeds_say("storm.failed", failed);
    deeds_say("storm.shots", counts.shots_sent);
    deeds_say("storm.unanswered", counts.cpus_shot - counts.shots_received);
    deeds_say("storm.kernel_shots", machine.kernel_shots);
    deeds_say("storm.answered", machine.answered + machine.answered_poll);
    deeds_say("storm.asked", counts.cpus_shot + machine.kernel_shots * (platform_cpu_count() - 1));
    deeds_say("storm.kicks_more_than_shots",
              machine.kicks > machine.answered + machine.answered_poll);
    address_space_destroy(&deeds_space);
}

// ---- a CPU that does not answer
// ------------------------------------------------------------------

static uint32_t is_masked;

static void stay_masked_for_ever(void *argument)
{
    (void)argument;
    interrupts_off();
    __atomic_store_n(&is_masked, 1, __ATOMIC_RELEASE);
    for (;;)
        cpu_pause();
}

void paging_late_deed(void)
{
    size_t length;
    const uint64_t page = (uintptr_t)platform_arena(&length);
    tlb_init(clocks_tsc_hz(), 200);
    platform_cpu_start(1, stay_masked_for_ever, NULL);
    while (__atomic_load_n(&is_masked, __ATOMIC_ACQUIRE) == 0)
        cpu_pause();
    (void)kernel_map_guard(page);
}

// ---- memory that comes at the first touch
// --------------------------------------------------------

#define LAZY_PAGES 256u
#define LAZY_BASE  (DEEDS_HIGH + ((uint64_t)4 << 30))

static struct anonymous anonymous;
static struct {
    uint64_t address, wrong;
} lazy;

static bool on_lazy_fault(void *context, uint64_t address, struct trap_frame *frame)
{
    return anonymous_fault(context, address, frame->error) == STATUS_OK;
}

static void begin_lazy(void)
{
    static struct anonymous_area areas[8];
    const struct anonymous_range range = {.start = LAZY_BASE,
                                          .end = LAZY_BASE + 2 * LAZY_PAGES * PAGE_SIZE};
    deeds_space_begin();
    if (anonymous_init(&anonymous, &deeds_space, &deeds_space.memory, range, areas,
                       ARRAY_COUNT(areas)) != STATUS_OK ||
        trap_handle_faults(range.start, range.end, on_lazy_fault, &anonymous) != STATUS_OK ||
        anonymous_map(&anonymous, &lazy.address, LAZY_PAGES * PAGE_SIZE,
                      ANONYMOUS_READ | ANONYMOUS_WRITE, ANONYMOUS_LAZY) != STATUS_OK)
        platform_panic("no anonymous memory", __FILE__, __LINE__);
}

// Adds 1 to a word of each page, in an order of its own.
static void touch_all(void *argument)
{
    const uint64_t stride = *(const uint64_t *)argument;
    address_space_enter(tlb_spaces(), &deeds_space);
    for (uint64_t i = 0; i < LAZY_PAGES; i++) {
        const uint64_t page = i * stride % LAZY_PAGES;
        __atomic_add_fetch((uint64_t *)(uintptr_t)(lazy.address + page * PAGE_SIZE), 1,
                           __ATOMIC_RELAXED);
    }
    address_space_enter(tlb_spaces(), NULL);
}

void paging_lazy_deed(void)
{
    static uint64_t strides[] = {1, 1, 77, 129};
    const unsigned cpus = (unsigned)min_u64(platform_cpu_count(), ARRAY_COUNT(strides));
    struct anonymous_counts counts, after;
    begin_lazy();
    for (unsigned cpu = 1; cpu < cpus; cpu++)
        platform_cpu_start(cpu, touch_all, &strides[cpu]);
    touch_all(&strides[0]);
    for (unsigned cpu = 1; cpu < cpus; cpu++)
        platform_cpu_wait(cpu, 10000);
    address_space_enter(tlb_spaces(), &deeds_space);
    for (unsigned i = 0; i < LAZY_PAGES; i++) {
        const uint64_t *words = (const uint64_t *)(uintptr_t)(lazy.address + i * PAGE_SIZE);
        lazy.wrong += words[0] != cpus || words[1] != 0 || words[511] != 0;
    }
    anonymous_count(&anonymous, &counts);
    lazy.wrong += anonymous_unmap(&anonymous, lazy.address, LAZY_PAGES * PAGE_SIZE) != STATUS_OK;
    anonymous_count(&anonymous, &after);
    deeds_say("lazy.sound", anonymous_check(&anonymous));
    address_space_enter(tlb_spaces(), NULL);
    uint64_t handled = 0;
    for (unsigned cpu = 0; cpu < cpus; cpu++)
        handled += machine_cpus[cpu].faults_handled;
    deeds_say("lazy.wrong", lazy.wrong);
    deeds_say("lazy.faults", counts.faults);
    deeds_say("lazy.resident", counts.resident_bytes);
    deeds_say("lazy.resident_after", after.resident_bytes);
    deeds_say("lazy.handled_besides", handled - counts.faults - counts.faults_late);
}

// A write behind the area: the handler has nothing to say to it.
void paging_lazy_bad_deed(void)
{
    begin_lazy();
    address_space_enter(tlb_spaces(), &deeds_space);
    *(volatile uint64_t *)(uintptr_t)(lazy.address + LAZY_PAGES * PAGE_SIZE) = 1;
}

// ---- many contexts
// -------------------------------------------------------------------------------

#define SPACES 20u // more than there are numbers

static struct address_spaces few;
static struct address_space many[SPACES];

// The same address is another frame in each; some change while no CPU uses them.
void paging_contexts_deed(void)
{
    static const struct page_kind data = {.rights = PAGE_READ};
    struct random random = random_seeded(deeds_option("seed", 1));
    struct address_space_counts counts;
    uint64_t frame[SPACES], wrong = 0;
    const bool pcid = tlb_features().pcid;
    deeds_space_begin();
    if (address_spaces_init(&few, tlb_machine_ops(), kernel_map_pages()->root,
                            pcid ? ADDRESS_SPACE_PCIDS_LEAST : 0, 32) != STATUS_OK)
        platform_panic("no address spaces", __FILE__, __LINE__);
    for (unsigned i = 0; i < SPACES; i++) {
        frame[i] = i;
        deeds_space_make(&many[i], &few);
        wrong += address_space_map_page(&many[i], DEEDS_HIGH, deeds_frames() + i * PAGE_SIZE,
                                        PAGE_SIZE, data) != STATUS_OK;
    }
    for (uint64_t round = 0; round < deeds_option("count", 2000); round++) {
        // Few of them mostly: some come back before their number is gone.
        const unsigned which = (unsigned)random_below(&random, round % 16 < 8 ? 4 : SPACES);
        const unsigned other = (unsigned)random_below(&random, SPACES);
        uint64_t value = UINT64_MAX;
        address_space_enter(&few, &many[which]);
        wrong += deeds_try(DEEDS_READ, DEEDS_HIGH, &value) != DEEDS_NO_FAULT;
        wrong += value != frame[which];
        if (random_below(&random, 8) == 0) {
            frame[other] = random_below(&random, 100);
            wrong +=
                address_space_unmap_page(&many[other], DEEDS_HIGH, PAGE_SIZE, NULL) != STATUS_OK;
            wrong += address_space_map_page(&many[other], DEEDS_HIGH,
                                            deeds_frames() + frame[other] * PAGE_SIZE, PAGE_SIZE,
                                            data) != STATUS_OK;
        }
    }
    address_space_enter(&few, NULL);
    address_spaces_count(&few, &counts);
    deeds_say("contexts.pcid", pcid);
    deeds_say("contexts.invpcid", tlb_features().invpcid);
    deeds_say("contexts.wrong", wrong);
    deeds_say("contexts.loads", counts.loads);
    deeds_say("contexts.kept", counts.loads_kept);
    deeds_say("contexts.recycled", counts.recycled);
    for (unsigned i = 0; i < SPACES; i++)
        address_space_destroy(&many[i]);
}
