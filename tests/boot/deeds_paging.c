// SPDX-License-Identifier: MIT
// Address spaces live: the CPU's own walk through tables that were built is the second opinion
// about them, and what CPUs still remember after a change is looked for.
#include "deeds_space.h"

#define HIGH    DEEDS_HIGH
#define WINDOW  DEEDS_WINDOW
#define PAGES   (WINDOW / PAGE_SIZE)
#define GIANT   ((uint64_t)0xffffa00000000000)
#define GUARDED ((uint64_t)1 << 30) // handled by `on_fault`, from HIGH and from GIANT
#define CODE_AT 64u                 // in each frame: a function that returns the frame's number

// ---- physical memory: the arena --------------------------------------------------------------

#define TABLES 512u

static struct {
    uint64_t next, end, free; // tables
    uint64_t frames;          // of data: WINDOW bytes
    struct spinlock lock;
} pool;

static uint64_t allocate(void *context)
{
    struct address_spaces *all = context;
    address_spaces_acquire(all, &pool.lock);
    uint64_t frame = pool.free;
    if (frame != 0)
        pool.free = *(uint64_t *)(uintptr_t)frame;
    else if (pool.next < pool.end)
        frame = pool.next, pool.next += PAGE_SIZE;
    address_spaces_release(&pool.lock);
    if (frame != 0)
        memset((void *)(uintptr_t)frame, 0, PAGE_SIZE);
    return frame;
}

static void release(void *context, uint64_t frame)
{
    address_spaces_acquire(context, &pool.lock);
    *(uint64_t *)(uintptr_t)frame = pool.free;
    pool.free = frame;
    address_spaces_release(&pool.lock);
}

static const struct page_memory *tables_of(struct address_spaces *all)
{
    static struct page_memory memory;
    memory = (struct page_memory){.context = all, .allocate = allocate, .release = release};
    return &memory;
}

// Frame n has its number in front, and as code: movl $n, %eax; ret.
static void make_frames(void)
{
    size_t length;
    const uint64_t arena = (uintptr_t)platform_arena(&length);
    pool.frames = align_up(arena, PAGE_BYTES_2M);
    pool.next = pool.frames + WINDOW;
    pool.end = pool.next + TABLES * PAGE_SIZE;
    for (uint64_t i = 0; i < PAGES; i++) {
        uint8_t *frame = (uint8_t *)(uintptr_t)(pool.frames + i * PAGE_SIZE);
        *(uint64_t *)(void *)frame = i;
        frame[CODE_AT] = 0xb8;
        memcpy(&frame[CODE_AT + 1], &i, 4);
        frame[CODE_AT + 5] = 0xc3;
    }
}

struct address_space deeds_space;

uint64_t deeds_frames(void)
{
    return pool.frames;
}

void deeds_space_make(struct address_space *one, struct address_spaces *all)
{
    const struct page_limits limits = kernel_map_pages()->limits;
    if (address_space_init(one, all, tables_of(all), limits) != STATUS_OK ||
        page_map_share_low(&one->map, kernel_map_pages()) != STATUS_OK)
        platform_panic("no address space", __FILE__, __LINE__);
}

// ---- accesses that may fault -------------------------------------------------------------------

// Of each CPU: where to go on after a fault, which it is that came then, and where.
static struct {
    CACHE_ALIGNED uint64_t resume, error, address;
} tries[CPU_MOST];

static bool on_fault(void *context, uint64_t address, struct trap_frame *frame)
{
    const unsigned here = cpu_local()->index;
    (void)context;
    if (tries[here].resume == 0)
        return false;
    tries[here].error = frame->error;
    tries[here].address = address;
    if (frame->error & PAGE_FAULT_FETCH)
        frame->rsp += sizeof(uint64_t); // of a call that did not arrive
    frame->rip = tries[here].resume;
    return true;
}

// The error code of the fault, DEEDS_NO_FAULT without one; *value is what was read, or returned.
uint64_t deeds_try(enum deeds_way way, uint64_t address, uint64_t *value)
{
    const unsigned here = cpu_local()->index;
    uint64_t read = *value;
    tries[here].error = DEEDS_NO_FAULT;
    if (way == DEEDS_READ)
        __asm__ volatile("leaq 1f(%%rip), %%rax; movq %%rax, %1; movq (%2), %0; 1:"
                         : "+r"(read), "=m"(tries[here].resume)
                         : "r"(address)
                         : "rax", "memory");
    else if (way == DEEDS_WRITE)
        __asm__ volatile("leaq 1f(%%rip), %%rax; movq %%rax, %1; movq %0, (%2); 1:"
                         : "+r"(read), "=m"(tries[here].resume)
                         : "r"(address)
                         : "rax", "memory");
    else
        __asm__ volatile("leaq 1f(%%rip), %%rax; movq %%rax, %1; call *%2; movl %%eax, %k0; 1:"
                         : "+r"(read), "=m"(tries[here].resume)
                         : "r"(address + CODE_AT)
                         : "rax", "memory", "cc");
    tries[here].resume = 0;
    *value = read;
    return tries[here].error;
}

uint64_t deeds_fault_address(void)
{
    return tries[cpu_local()->index].address;
}

void deeds_space_begin(void)
{
    make_frames();
    deeds_space_make(&deeds_space, tlb_spaces());
    trap_handle_faults(HIGH, HIGH + GUARDED, on_fault, NULL);
    trap_handle_faults(GIANT, GIANT + GUARDED, on_fault, NULL);
}

// ---- random operations, walked by the CPU ------------------------------------------------------

static struct {
    uint64_t frame; // number
    unsigned rights;
} model[PAGES]; // rights 0: not mapped

static uint64_t wrong, accesses, faults;

// One access to page `page` of the window, on the running CPU.
static void look(enum deeds_way way, uint64_t page)
{
    const unsigned rights = model[page].rights;
    uint64_t value = way == DEEDS_WRITE ? model[page].frame : UINT64_MAX;
    const uint64_t kind = way == DEEDS_WRITE     ? PAGE_FAULT_WRITE
                          : way == DEEDS_EXECUTE ? PAGE_FAULT_FETCH
                                                 : 0;
    const unsigned needed[] = {PAGE_READ, PAGE_WRITE, PAGE_EXECUTE};
    const uint64_t expected = rights == 0            ? kind
                              : rights & needed[way] ? DEEDS_NO_FAULT
                                                     : kind | PAGE_FAULT_PRESENT;
    const uint64_t error = deeds_try(way, HIGH + page * PAGE_SIZE, &value);
    const uint64_t at = HIGH + page * PAGE_SIZE + (way == DEEDS_EXECUTE ? CODE_AT : 0);
    const bool right = error == expected &&
                       (error != DEEDS_NO_FAULT
                            ? deeds_fault_address() == at
                            : way == DEEDS_WRITE || (uint32_t)value == (uint32_t)model[page].frame);
    __atomic_add_fetch(&accesses, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&faults, error != DEEDS_NO_FAULT, __ATOMIC_RELAXED);
    __atomic_add_fetch(&wrong, !right, __ATOMIC_RELAXED);
}

// CPU 1 looks where it is told to: 0 is nothing to do, else 1 + way + 4 * page.
#define ORDER_END UINT64_MAX
static CACHE_ALIGNED uint64_t order;

static void look_as_told(void *argument)
{
    (void)argument;
    address_space_enter(tlb_spaces(), &deeds_space);
    for (;;) {
        const uint64_t told = __atomic_load_n(&order, __ATOMIC_ACQUIRE);
        if (told == ORDER_END)
            break;
        if (told != 0) {
            look((enum deeds_way)((told - 1) % 4), (told - 1) / 4);
            __atomic_store_n(&order, 0, __ATOMIC_RELEASE);
        }
        cpu_pause();
    }
    address_space_enter(tlb_spaces(), NULL);
}

static void look_there(bool other, enum deeds_way way, uint64_t page)
{
    if (!other) {
        look(way, page);
        return;
    }
    __atomic_store_n(&order, 1 + way + 4 * page, __ATOMIC_RELEASE);
    while (__atomic_load_n(&order, __ATOMIC_ACQUIRE) != 0)
        cpu_pause();
}

static bool all_are(uint64_t first, uint64_t count, bool mapped)
{
    for (uint64_t i = first; i < first + count; i++) {
        if ((model[i].rights != 0) != mapped)
            return false;
    }
    return true;
}

static uint64_t refused; // changes; what they must answer is known

static void change(struct random *random, uint64_t first, uint64_t count)
{
    static const unsigned all_rights[] = {PAGE_READ, PAGE_READ | PAGE_WRITE,
                                          PAGE_READ | PAGE_EXECUTE};
    const uint64_t address = HIGH + first * PAGE_SIZE, length = count * PAGE_SIZE;
    const struct page_kind kind = {.rights = all_rights[random_below(random, 3)]};
    enum status status, expected = STATUS_OK;
    switch (random_below(random, 6)) {
    case 0:
    case 1: {
        // In step mostly: by a page of 2 MiB where there is room.
        uint64_t frame = random_below(random, 2) ? first : random_below(random, PAGES - count + 1);
        expected = all_are(first, count, false) ? STATUS_OK : STATUS_FULL;
        status =
            address_space_map(&deeds_space, address, pool.frames + frame * PAGE_SIZE, length, kind);
        for (uint64_t i = 0; i < count && status == STATUS_OK; i++) {
            model[first + i].frame = frame + i;
            model[first + i].rights = kind.rights;
        }
        break;
    }
    case 2:
        expected = all_are(first, count, true) ? STATUS_OK : STATUS_EMPTY;
        status = address_space_unmap(&deeds_space, address, length);
        for (uint64_t i = 0; i < count && status == STATUS_OK; i++)
            model[first + i].rights = 0;
        break;
    case 3:
        expected = all_are(first, count, true) ? STATUS_OK : STATUS_EMPTY;
        status = address_space_protect(&deeds_space, address, length, kind);
        for (uint64_t i = 0; i < count && status == STATUS_OK; i++)
            model[first + i].rights = kind.rights;
        break;
    case 4:
        expected = all_are(first, 1, true) ? STATUS_OK : STATUS_EMPTY;
        status = address_space_split(&deeds_space, address, PAGE_BYTES_4K);
        break;
    default:
        // Whether it can be one page is the tables' own affair: nothing may look different after
        // it.
        status = expected = STATUS_OK;
        (void)address_space_merge(&deeds_space, address & ~(PAGE_BYTES_2M - 1), PAGE_BYTES_2M);
    }
    refused += status != STATUS_OK;
    wrong += status != expected;
}

// A page of 1 GiB over the arena: the same frames through it, also when it is cut into smaller
// ones.
static void giant_page(void)
{
    const uint64_t physical = pool.frames & ~(PAGE_BYTES_1G - 1);
    const uint64_t at = GIANT + (pool.frames - physical);
    const struct page_kind constant = {.rights = PAGE_READ};
    uint64_t value = 0;
    enum status status =
        address_space_map_page(&deeds_space, GIANT, physical, PAGE_BYTES_1G, constant);
    wrong += deeds_try(DEEDS_READ, at + 5 * PAGE_SIZE, &value) != DEEDS_NO_FAULT || value != 5;
    wrong += deeds_try(DEEDS_WRITE, at, &value) != (PAGE_FAULT_WRITE | PAGE_FAULT_PRESENT);
    status |= address_space_unmap(&deeds_space, at + 5 * PAGE_SIZE, PAGE_SIZE);
    wrong += deeds_try(DEEDS_READ, at + 5 * PAGE_SIZE, &value) != 0;
    wrong += deeds_try(DEEDS_READ, at + 6 * PAGE_SIZE, &value) != DEEDS_NO_FAULT || value != 6;
    status |= address_space_map_page(&deeds_space, at + 5 * PAGE_SIZE, pool.frames + 5 * PAGE_SIZE,
                                     PAGE_SIZE, constant);
    status |= address_space_merge(&deeds_space, GIANT, PAGE_BYTES_1G);
    wrong += deeds_try(DEEDS_READ, at + 5 * PAGE_SIZE, &value) != DEEDS_NO_FAULT || value != 5;
    status |= address_space_unmap_page(&deeds_space, GIANT, PAGE_BYTES_1G, NULL);
    wrong += deeds_try(DEEDS_READ, at + 6 * PAGE_SIZE, &value) != 0;
    wrong += status != STATUS_OK;
}

// count= random operations, seed= of them; each looked at from this CPU and, where there is one,
// from CPU 1, before and after it.
void paging_walk_deed(void)
{
    struct random random = random_seeded(deeds_option("seed", 1));
    const uint64_t count = deeds_option("count", 3000);
    const bool other = platform_cpu_count() > 1;
    deeds_space_begin();
    if (other)
        platform_cpu_start(1, look_as_told, NULL);
    address_space_enter(tlb_spaces(), &deeds_space);
    for (uint64_t i = 0; i < count; i++) {
        const bool large = random_below(&random, 3) == 0;
        uint64_t first = random_below(&random, PAGES), pages = 1 + random_below(&random, 40);
        if (large) {
            first &= ~(uint64_t)511;
            pages = 512;
        }
        pages = min_u64(pages, PAGES - first);
        for (unsigned k = 0; k < 6; k++)
            look_there(other && k % 2, DEEDS_READ, first + random_below(&random, pages));
        change(&random, first, pages);
        for (unsigned k = 0; k < 12; k++)
            look_there(other && k % 2, (enum deeds_way)(k / 2 % 3),
                       first + random_below(&random, pages));
        look_there(false, DEEDS_READ, random_below(&random, PAGES));
    }
    if (kernel_map_pages()->limits.pages_1g)
        giant_page();
    deeds_say("walk.pages_1g", kernel_map_pages()->limits.pages_1g);
    address_space_enter(tlb_spaces(), NULL);
    __atomic_store_n(&order, ORDER_END, __ATOMIC_RELEASE);
    if (other)
        platform_cpu_wait(1, 10000);
    struct address_space_counts counts;
    address_spaces_count(tlb_spaces(), &counts);
    address_space_destroy(&deeds_space);
    deeds_say("walk.wrong", wrong);
    deeds_say("walk.accesses", accesses);
    deeds_say("walk.faults", faults);
    deeds_say("walk.refused", refused);
    deeds_say("walk.handled", machine_cpus[0].faults_handled + machine_cpus[1].faults_handled);
    deeds_say("walk.shots", counts.shots_sent);
    deeds_say("walk.received", counts.shots_received);
}
