// SPDX-License-Identifier: MIT
// Paging, live: this machine's CPUs walk the tables. One set of everything, in memory of its own,
// so that a CPU may stay in the address space when the arena is somebody else's; only the pages
// that are touched lie there.
#include "anonymous.h"
#include "body.h"
#include "compiler.h"
#include "definitions_paging.h"
#include "kernel_map.h"
#include "machine_cpu.h"
#include "platform.h"
#include "string.h"
#include "tlb.h"
#include "traps.h"

#define HIGH       ((uint64_t)0xffff900000000000)
#define TOUCHED_4K (HIGH + PAGE_BYTES_1G) // the same 2 MiB of memory, by pages of 4 KiB
#define TOUCHED_2M (HIGH + 2 * PAGE_BYTES_1G)
#define LAZY       (HIGH + 3 * PAGE_BYTES_1G)
#define TOUCHES    512u
#define LAZY_PAGES 128u
#define MARK       8u   // offset in a frame of 4 KiB: which of those that are touched it is
#define PROVED     64u  // pages, as many as a window of invlpg drops
#define PROOFS     8u   // tries, as a CPU may forget whenever it likes
#define FRAMES     192u // for tables, and for the lazy pages
#define AREAS      4u
#define SHOTS      1u // a window: emulated CPUs that share one of the computer's answer after ms
#define TURNS_MOST                                                                                 \
    20000000u // of a CPU that waits to be shot at, then of who waits for it to be there
#define WAIT_MS 20000u

#define SUITE             paging
#define SUITE_MECHANISM   tlb
#define SUITE_VARIANTS(X) X(live)

#define SUITE_CASES(X, v)                                                                          \
    X(v, map_touch_unmap, 64, true, 40, 64, 0, 2, 60,                                              \
      "a page of 4 KiB mapped, its tables there, written, unmapped and its translation dropped")   \
    X(v, lazy_touch, LAZY_PAGES, true, 40, LAZY_PAGES, 0, 2, 60,                                   \
      "first touch of a page: a fault, its handler, a zeroed frame mapped, and back")              \
    X(v, cr3_reload, 64, true, 1, 64, 0, 2, 60,                                                    \
      "CR3 written: all translations of the address space dropped")                                \
    X(v, cr3_keep, 64, true, 1, 64, 0, 2, 60,                                                      \
      "CR3 written with a PCID: none dropped; only where the CPU has PCIDs")                       \
    X(v, invlpg, 64, true, 1, 64, 0, 2, 60, "the translation of one page dropped, on this CPU")    \
    X(v, shootdown_1, SHOTS, true, 40, SHOTS, 0, 1, 60,                                            \
      "the translation of a page dropped here and on one other CPU, by interrupt")                 \
    X(v, shootdown_all, SHOTS, true, 40, SHOTS, 0, 1, 60,                                          \
      "the translation of a page dropped here and on all other CPUs, by interrupt")                \
    X(v, touch_4k, TOUCHES, true, 2, TOUCHES, 0, 2, 60,                                            \
      "one of 512 places read, each in a page of 4 KiB, no translation known")                     \
    X(v, touch_2m, TOUCHES, true, 2, TOUCHES, 0, 2, 60,                                            \
      "one of the same 512 places read, all in one page of 2 MiB, no translation known")

static const struct page_kind constant = {.rights = PAGE_READ};

struct tlb_live_ops {
    struct variant about;
};

static const struct tlb_live_ops tlb_live_ops = {
    .about = {.name = "live",
              .what = "on this machine's CPUs: the kernel's address spaces and shootdowns",
              .role = VARIANT_PRODUCT}};

static struct paging {
    bool made;
    struct address_space space;
    struct anonymous anonymous;
    struct anonymous_area areas[AREAS];
    uint64_t next, free;                // frames: the next never used, a list of those given back
    uint64_t memory;                    // of the pages that are touched: 2 MiB, aligned to it
    struct address_space_counts before; // at the last `before`
    uint64_t faults_before;
} live;

static uint8_t frames[FRAMES][PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

// ---- bodies -------------------------------------------------------------------------------------

ALWAYS_INLINE uint64_t map_touch_unmap(const struct tlb_live_ops *ops, struct paging *one,
                                       uint64_t operations)
{
    static const struct page_kind data = {.rights = PAGE_READ | PAGE_WRITE};
    volatile uint64_t *const word = (volatile uint64_t *)HIGH;
    uint64_t sum = 0;
    (void)ops;
    for (uint64_t i = 0; i < operations; i++) {
        if (address_space_map_page(&one->space, HIGH, one->memory, PAGE_BYTES_4K, data) !=
            STATUS_OK)
            return BENCH_FAILED;
        *word = i;
        if (address_space_unmap_page(&one->space, HIGH, PAGE_BYTES_4K, NULL) != STATUS_OK)
            return BENCH_FAILED;
        sum += *(volatile uint64_t *)one->memory; // where it was mapped to
    }
    return sum;
}

ALWAYS_INLINE uint64_t lazy_touch(const struct tlb_live_ops *ops, struct paging *one,
                                  uint64_t operations)
{
    uint64_t zeroed = 0;
    (void)ops;
    (void)one;
    for (uint64_t i = 0; i < operations; i++) {
        volatile uint64_t *const word = (volatile uint64_t *)(LAZY + i * PAGE_SIZE);
        zeroed += *word == 0;
    }
    return zeroed;
}

ALWAYS_INLINE uint64_t cr3_reload(const struct tlb_live_ops *ops, struct paging *one,
                                  uint64_t operations)
{
    (void)ops;
    (void)one;
    for (uint64_t i = 0; i < operations; i++)
        tlb_reload(false);
    return operations;
}

ALWAYS_INLINE uint64_t cr3_keep(const struct tlb_live_ops *ops, struct paging *one,
                                uint64_t operations)
{
    (void)ops;
    (void)one;
    for (uint64_t i = 0; i < operations; i++)
        tlb_reload(true);
    return operations;
}

ALWAYS_INLINE uint64_t invlpg(const struct tlb_live_ops *ops, struct paging *one,
                              uint64_t operations)
{
    (void)ops;
    (void)one;
    for (uint64_t i = 0; i < operations; i++)
        tlb_invalidate_page(TOUCHED_4K + i * PAGE_SIZE);
    return operations;
}

// The CPUs that are to be shot at wait in the space: `before` has seen to it. How many were.
ALWAYS_INLINE uint64_t shootdown_1(const struct tlb_live_ops *ops, struct paging *one,
                                   uint64_t operations)
{
    const uint64_t *const shot = &one->space.all->cpus[cpu_local()->index].counts.cpus_shot;
    const uint64_t already = *shot;
    (void)ops;
    for (uint64_t i = 0; i < operations; i++)
        page_flush_tlb(&one->space, TOUCHED_4K);
    return *shot - already;
}

#define shootdown_all shootdown_1

// In a line of its own each: the places do not fall into the same set of a cache.
ALWAYS_INLINE uint64_t touch(uint64_t base, uint64_t operations)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++)
        sum += *(volatile uint64_t *)(base + i * PAGE_SIZE + i % 64 * CACHE_LINE);
    return sum;
}

ALWAYS_INLINE uint64_t touch_4k(const struct tlb_live_ops *ops, struct paging *one,
                                uint64_t operations)
{
    (void)ops;
    (void)one;
    return touch(TOUCHED_4K, operations);
}

ALWAYS_INLINE uint64_t touch_2m(const struct tlb_live_ops *ops, struct paging *one,
                                uint64_t operations)
{
    (void)ops;
    (void)one;
    return touch(TOUCHED_2M, operations);
}

SUITE_TABLES

// ---- CPUs that are shot at
// -----------------------------------------------------------------------

static struct {
    CACHE_ALIGNED uint32_t stop, beat; // atomic; the beat changes with each window
    CACHE_ALIGNED uint32_t inside;     // atomic: how many are in the space
    bool started[CPU_MOST];
} targets;

// Stays in the space until it is told to leave, or no window comes for a while: nobody may come to
// tell it.
static void be_a_target(void *argument)
{
    uint32_t seen = 0;
    (void)argument;
    address_space_enter(tlb_spaces(), &live.space);
    __atomic_add_fetch(&targets.inside, 1, __ATOMIC_ACQ_REL);
    for (uint64_t turn = 0; turn < TURNS_MOST; turn++) {
        const uint32_t beat = __atomic_load_n(&targets.beat, __ATOMIC_RELAXED);
        if (__atomic_load_n(&targets.stop, __ATOMIC_ACQUIRE) != 0)
            break;
        turn = beat != seen ? 0 : turn;
        seen = beat;
        cpu_pause();
    }
    __atomic_sub_fetch(&targets.inside, 1, __ATOMIC_ACQ_REL);
    address_space_enter(tlb_spaces(), NULL);
}

static void stop_targets(void)
{
    __atomic_store_n(&targets.stop, 1, __ATOMIC_RELEASE);
    for (unsigned cpu = 1; cpu < platform_cpu_count(); cpu++) {
        if (targets.started[cpu])
            platform_cpu_wait(cpu, WAIT_MS);
        targets.started[cpu] = false;
    }
    __atomic_store_n(&targets.stop, 0, __ATOMIC_RELEASE);
}

// Those that wait already go on.
static void start_targets(unsigned count)
{
    __atomic_add_fetch(&targets.beat, 1, __ATOMIC_RELAXED);
    if (__atomic_load_n(&targets.inside, __ATOMIC_ACQUIRE) == count)
        return;
    stop_targets();
    for (unsigned cpu = 1; cpu <= count; cpu++)
        targets.started[cpu] = platform_cpu_start(cpu, be_a_target, NULL);
    for (uint64_t turn = 0;
         turn < TURNS_MOST && __atomic_load_n(&targets.inside, __ATOMIC_ACQUIRE) < count; turn++)
        cpu_pause();
}

static unsigned targets_of(size_t which)
{
    return which == CASE_shootdown_1     ? 1
           : which == CASE_shootdown_all ? platform_cpu_count() - 1
                                         : 0;
}

static void leave(void)
{
    stop_targets();
    address_space_enter(tlb_spaces(), NULL);
}

// ---- preparation
// ---------------------------------------------------------------------------------

static uint64_t allocate(void *unused)
{
    (void)unused;
    uint64_t frame = live.free;
    if (frame != 0)
        live.free = *(uint64_t *)(uintptr_t)frame;
    else if (live.next < FRAMES)
        frame = (uintptr_t)frames[live.next++];
    else
        return 0;
    memset((void *)(uintptr_t)frame, 0, PAGE_SIZE);
    return frame;
}

static void release(void *unused, uint64_t frame)
{
    (void)unused;
    *(uint64_t *)(uintptr_t)frame = live.free;
    live.free = frame;
}

static bool on_fault(void *unused, uint64_t address, struct trap_frame *frame)
{
    (void)unused;
    return live.made && anonymous_fault(&live.anonymous, address, frame->error) == STATUS_OK;
}

static void unmake(void)
{
    leave();
    if (live.made) {
        anonymous_destroy(&live.anonymous);
        address_space_destroy(&live.space);
    }
    trap_forget_faults(LAZY);
    memset(&live, 0, sizeof(live));
}

static bool make(void *memory)
{
    static const struct page_memory of_tables = {.allocate = allocate, .release = release};
    const uint64_t lazy_end = LAZY + LAZY_PAGES * PAGE_SIZE, physical = (uintptr_t)memory;
    const struct anonymous_range range = {.start = LAZY, .end = lazy_end};
    live.memory = physical;
    if (address_space_init(&live.space, tlb_spaces(), &of_tables, kernel_map_pages()->limits) !=
        STATUS_OK)
        return false;
    live.made = page_map_share_low(&live.space.map, kernel_map_pages()) == STATUS_OK &&
                anonymous_init(&live.anonymous, &live.space, &of_tables, range, live.areas,
                               AREAS) == STATUS_OK;
    // Beside the page that comes and goes: its tables stay.
    live.made = live.made && address_space_map_page(&live.space, HIGH + PAGE_SIZE, physical,
                                                    PAGE_BYTES_4K, constant) == STATUS_OK;
    for (uint64_t at = 0; at < PAGE_BYTES_2M && live.made; at += PAGE_SIZE)
        live.made = address_space_map_page(&live.space, TOUCHED_4K + at, physical + at,
                                           PAGE_BYTES_4K, constant) == STATUS_OK;
    return live.made && address_space_map_page(&live.space, TOUCHED_2M, physical, PAGE_BYTES_2M,
                                               constant) == STATUS_OK;
}

static void *prepare(size_t which, const void *ops, void *memory, size_t length, uint64_t seed)
{
    (void)which;
    (void)ops;
    (void)seed;
    unmake();
    if (length < PAGE_BYTES_2M || (uintptr_t)memory % PAGE_BYTES_2M != 0 || !make(memory) ||
        trap_handle_faults(LAZY, LAZY + LAZY_PAGES * PAGE_SIZE, on_fault, NULL) != STATUS_OK)
        return NULL;
    for (uint64_t i = 0; i < TOUCHES; i++) {
        *(uint64_t *)((uintptr_t)memory + i * PAGE_SIZE + i % 64 * CACHE_LINE) = i;
        *(uint64_t *)((uintptr_t)memory + i * PAGE_SIZE + MARK) = i;
    }
    return &live;
}

static void before(size_t which, const void *ops, void *unused, uint64_t operations)
{
    uint64_t address = LAZY;
    (void)ops;
    (void)unused;
    (void)operations;
    address_space_enter(tlb_spaces(), &live.space);
    start_targets(targets_of(which));
    if (which == CASE_lazy_touch) {
        (void)anonymous_unmap(&live.anonymous, LAZY, LAZY_PAGES * PAGE_SIZE);
        (void)anonymous_map(&live.anonymous, &address, LAZY_PAGES * PAGE_SIZE,
                            ANONYMOUS_READ | ANONYMOUS_WRITE, ANONYMOUS_LAZY);
    }
    address_spaces_count(tlb_spaces(), &live.before);
    live.faults_before = live.anonymous.counts.faults;
    tlb_drop_all();
}

static uint64_t expected(size_t which, const void *unused, uint64_t operations)
{
    (void)unused;
    if (which == CASE_map_touch_unmap || which == CASE_touch_4k || which == CASE_touch_2m)
        return operations * (operations - 1) / 2;
    return targets_of(which) > 0 ? targets_of(which) * operations : operations;
}

static bool applies(size_t which, const void *ops)
{
    (void)ops;
    if (which == CASE_shootdown_1 || which == CASE_shootdown_all)
        return platform_cpu_count() > 1;
    return which != CASE_cr3_keep || tlb_features().pcid;
}

// No TLB misses among them: the counters of platform.h have none.
static void counters(size_t which, const void *ops, const void *unused,
                     const struct bench_counters *out)
{
    struct address_space_counts now;
    (void)ops;
    (void)unused;
    address_spaces_count(tlb_spaces(), &now);
    leave();
    if (which == CASE_lazy_touch)
        out->emit(out->context, "faults", live.anonymous.counts.faults - live.faults_before, 1,
                  "count");
    if (which == CASE_map_touch_unmap)
        out->emit(out->context, "pages_dropped", now.pages_here - live.before.pages_here, 1,
                  "count");
    if (which == CASE_shootdown_1 || which == CASE_shootdown_all) {
        out->emit(out->context, "cpus_shot", now.cpus_shot - live.before.cpus_shot, 1, "count");
        out->emit(out->context, "shots_received", now.shots_received - live.before.shots_received,
                  1, "count");
        out->emit(out->context, "pages_dropped_there",
                  now.pages_received - live.before.pages_received, 1, "count");
    }
    out->emit(out->context, "tables", live.space.map.tables, 1, "count");
}

// ---- what a window did
// ---------------------------------------------------------------------------

static void tell_nobody(void *unused, uint64_t address, uint64_t length)
{
    (void)unused;
    (void)address;
    (void)length;
}

// Lets pages that are neighbours change places in the tables, or takes that back, and leaves what
// CPUs remember as it is.
static bool exchange(bool back)
{
    struct page_map quiet = live.space.map; // no table comes or goes: other pages use it
    bool done = true;
    quiet.memory.invalidate = tell_nobody;
    for (uint64_t i = 0; i < PROVED && done; i++) {
        const uint64_t page = TOUCHED_4K + i * PAGE_SIZE;
        const uint64_t physical = live.memory + (back ? i : i ^ 1) * PAGE_SIZE;
        done = page_unmap_page(&quiet, page, PAGE_BYTES_4K, NULL) == STATUS_OK &&
               page_map_page(&quiet, page, physical, PAGE_BYTES_4K, constant) == STATUS_OK;
    }
    return done;
}

// How many of the pages this CPU still takes for what they were before the exchange.
static unsigned remembered(void)
{
    unsigned count = 0;
    for (uint64_t i = 0; i < PROVED; i++)
        count += *(volatile uint64_t *)(TOUCHED_4K + i * PAGE_SIZE + MARK) == i;
    return count;
}

// Runs the measured body on pages that this CPU remembers wrongly; says how many it did before and
// does after it.
static bool try_body(size_t which, unsigned *before_it, unsigned *after_it)
{
    tlb_drop_all();
    bool done = remembered() == PROVED && exchange(false);
    *before_it = remembered();
    done = done && bodies[which](&live, PROVED) == PROVED;
    *after_it = remembered();
    done = exchange(true) && done;
    tlb_drop_all();
    return done;
}

// Whether the body drops what it says, down to the last page, and nothing where it is to keep all.
// A CPU may forget by itself, so half of the pages are enough to tell, and another try is allowed.
static bool drops_as_said(size_t which)
{
    const bool keeps = which == CASE_cr3_keep;
    bool proved = false;
    address_space_enter(tlb_spaces(), &live.space);
    for (unsigned i = 0; i < PROOFS && !proved; i++) {
        unsigned before_it, after_it;
        if (!try_body(which, &before_it, &after_it) || (!keeps && after_it > 0))
            break;
        proved = before_it >= PROVED / 2 && (!keeps || after_it >= PROVED / 2);
    }
    address_space_enter(tlb_spaces(), NULL);
    return proved;
}

// Whether each CPU that was shot at since the last `before` dropped the page.
static bool all_received(void)
{
    struct address_space_counts now;
    address_spaces_count(tlb_spaces(), &now);
    const uint64_t shot = now.cpus_shot - live.before.cpus_shot;
    return shot > 0 && now.shots_received - live.before.shots_received == shot &&
           now.pages_received - live.before.pages_received == shot;
}

static bool check(size_t which, const void *ops, const void *unused)
{
    (void)ops;
    (void)unused;
    leave();
    if (targets_of(which) > 0 && !all_received())
        return false;
    if ((which == CASE_cr3_reload || which == CASE_cr3_keep || which == CASE_invlpg) &&
        !drops_as_said(which))
        return false;
    return anonymous_check(&live.anonymous);
}

const struct bench_suite paging_suite = {
    SUITE_MEMBERS, // of the tables
    .what = "paging on this machine's CPUs: faults, translations dropped here and elsewhere",
    .applies = applies,
    .prepare = prepare,
    .before = before,
    .expected = expected,
    .counters = counters,
    .check = check,
};
