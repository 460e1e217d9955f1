// SPDX-License-Identifier: MIT
// kernel/memory/anonymous: by hand, without memory at every point, and against a plain array of
// pages.
#include <check.h>

#include "anonymous.h"
#include "run_checks.h"
#include "seed.h"
#include "simulated_cpus.h"

#define FRAMES 2048u
#define START  ((uint64_t)0xffff900000000000)
#define PAGES  256u // of the range
#define BREAK  192u // first page of the break's part, which goes to the end
#define ROOT   0x5000u
#define AREAS  24u

#define READ    ANONYMOUS_READ
#define WRITE   (ANONYMOUS_READ | ANONYMOUS_WRITE)
#define EXECUTE (ANONYMOUS_READ | ANONYMOUS_EXECUTE)
#define FIXED   ANONYMOUS_FIXED
#define LAZY    ANONYMOUS_LAZY

static struct simulated_memory memory;
static struct address_spaces all;
static struct address_space space;
static struct anonymous anonymous;
static struct anonymous_area areas[AREAS];
static size_t tables_at_start;

static uint64_t at_page(uint64_t page)
{
    return START + page * 4096;
}

static struct anonymous_range range_with(unsigned break_flags)
{
    return (struct anonymous_range){.start = START,
                                    .end = at_page(PAGES),
                                    .break_start = at_page(BREAK),
                                    .break_end = at_page(PAGES),
                                    .break_flags = break_flags};
}

static void begin_with(unsigned break_flags, size_t area_most)
{
    const struct page_limits limits = {.physical_bits = 46};
    simulated_cpus_begin();
    simulated_make(&memory, FRAMES);
    const struct page_memory frames = simulated_page_memory(&memory);
    must(address_spaces_init(&all, &simulated_ops, ROOT, 0, 32) == STATUS_OK);
    must(address_space_init(&space, &all, &frames, limits) == STATUS_OK);
    must(anonymous_init(&anonymous, &space, &frames, range_with(break_flags), areas, area_most) ==
         STATUS_OK);
    address_space_enter(&all, &space);
    tables_at_start = memory.live;
}

static void begin(void)
{
    begin_with(LAZY, AREAS);
}

static void end(void)
{
    address_space_enter(&all, NULL);
    anonymous_destroy(&anonymous);
    must(anonymous_check(&anonymous));
    must(memory.live == tables_at_start); // every frame, every table but the root
    address_space_destroy(&space);
    simulated_unmake(&memory);
}

static struct anonymous_counts counted(void)
{
    struct anonymous_counts counts;
    anonymous_count(&anonymous, &counts);
    ck_assert(anonymous_check(&anonymous));
    return counts;
}

// The page's first word, as a CPU reaches it; NULL if nothing is mapped there.
static uint64_t *word_at(uint64_t address)
{
    uint64_t physical;
    if (!address_space_translate(&space, address, &physical))
        return NULL;
    return (uint64_t *)(void *)(memory.bytes + physical);
}

// ---- by hand
// -------------------------------------------------------------------------------------

START_TEST(lengths_are_rounded_up_and_gaps_filled_from_below)
{
    uint64_t a = 0, b = 0, c = 0, d = 0;
    ck_assert_int_eq(anonymous_map(&anonymous, &a, 1, WRITE, 0), STATUS_OK);
    ck_assert_int_eq(anonymous_map(&anonymous, &b, 3 * 4096 + 1, READ, LAZY), STATUS_OK);
    ck_assert_int_eq(anonymous_map(&anonymous, &c, 4096, WRITE, 0), STATUS_OK);
    ck_assert(a == START && b == at_page(1) && c == at_page(5));
    ck_assert_uint_eq(counted().mapped_bytes, 6 * 4096);
    ck_assert_uint_eq(counted().resident_bytes, 2 * 4096);
    ck_assert_int_eq(anonymous_unmap(&anonymous, b, 4 * 4096), STATUS_OK);
    ck_assert_int_eq(anonymous_map(&anonymous, &d, 5 * 4096, WRITE, LAZY), STATUS_OK);
    ck_assert_uint_eq(d, at_page(6));
    ck_assert_int_eq(anonymous_map(&anonymous, &d, 4 * 4096, WRITE, LAZY), STATUS_OK);
    ck_assert_uint_eq(d, at_page(1));
}
END_TEST

START_TEST(memory_is_zeroed_and_a_lazy_page_comes_at_its_first_touch)
{
    uint64_t address = 0;
    ck_assert_int_eq(anonymous_map(&anonymous, &address, 8 * 4096, WRITE, LAZY), STATUS_OK);
    ck_assert_ptr_null(word_at(address + 4096));
    ck_assert_int_eq(anonymous_fault(&anonymous, address + 4096 + 123, PAGE_FAULT_WRITE),
                     STATUS_OK);
    ck_assert_ptr_nonnull(word_at(address + 4096));
    for (unsigned i = 0; i < 512; i++)
        ck_assert_uint_eq(word_at(address + 4096)[i], 0);
    ck_assert_ptr_null(word_at(address));
    // Another CPU was there first.
    ck_assert_int_eq(anonymous_fault(&anonymous, address + 4096, PAGE_FAULT_WRITE), STATUS_OK);
    ck_assert_uint_eq(counted().faults, 1);
    ck_assert_uint_eq(counted().faults_late, 1);
    ck_assert_uint_eq(counted().resident_bytes, 4096);
}
END_TEST

START_TEST(faults_that_no_protection_allows_are_refused)
{
    uint64_t constant = 0, none = 0;
    ck_assert_int_eq(anonymous_map(&anonymous, &constant, 4096, READ, LAZY), STATUS_OK);
    ck_assert_int_eq(anonymous_map(&anonymous, &none, 4096, 0, 0), STATUS_OK);
    ck_assert_int_eq(anonymous_fault(&anonymous, constant, PAGE_FAULT_WRITE), STATUS_INVALID);
    ck_assert_int_eq(anonymous_fault(&anonymous, constant, PAGE_FAULT_FETCH), STATUS_INVALID);
    ck_assert_int_eq(anonymous_fault(&anonymous, none, 0), STATUS_INVALID);
    ck_assert_int_eq(anonymous_fault(&anonymous, at_page(7), 0), STATUS_EMPTY);
    ck_assert_int_eq(anonymous_fault(&anonymous, at_page(PAGES), 0), STATUS_EMPTY);
    ck_assert_uint_eq(counted().faults_refused, 5);
    ck_assert_uint_eq(counted().resident_bytes, 0);
    // A reservation becomes memory when it is protected otherwise.
    ck_assert_int_eq(anonymous_protect(&anonymous, none, 4096, WRITE), STATUS_OK);
    ck_assert_int_eq(anonymous_fault(&anonymous, none, PAGE_FAULT_WRITE), STATUS_OK);
}
END_TEST

START_TEST(protection_is_translated_to_the_flags_of_pages)
{
    struct page_kind kind;
    ck_assert_int_eq(anonymous_kind(READ, &kind), STATUS_OK);
    ck_assert_uint_eq(kind.rights, PAGE_READ);
    ck_assert_int_eq(anonymous_kind(ANONYMOUS_WRITE, &kind), STATUS_OK);
    ck_assert_uint_eq(kind.rights, PAGE_READ | PAGE_WRITE);
    ck_assert_int_eq(anonymous_kind(ANONYMOUS_EXECUTE, &kind), STATUS_OK);
    ck_assert_uint_eq(kind.rights, PAGE_READ | PAGE_EXECUTE);
    ck_assert(kind.cache == PAGE_WRITE_BACK && !kind.global);
    ck_assert_int_eq(anonymous_kind(0, &kind), STATUS_EMPTY);
    ck_assert_int_eq(anonymous_kind(WRITE | EXECUTE, &kind), STATUS_INVALID);
    ck_assert_int_eq(anonymous_kind(8, &kind), STATUS_INVALID);
}
END_TEST

START_TEST(a_part_is_unmapped_and_the_rest_keeps_its_contents)
{
    uint64_t address = 0;
    ck_assert_int_eq(anonymous_map(&anonymous, &address, 6 * 4096, WRITE, 0), STATUS_OK);
    for (unsigned i = 0; i < 6; i++)
        *word_at(address + i * 4096) = i + 1;
    ck_assert_int_eq(anonymous_unmap(&anonymous, address + 2 * 4096, 2 * 4096), STATUS_OK);
    for (unsigned i = 0; i < 6; i++) {
        if (i == 2 || i == 3)
            ck_assert_ptr_null(word_at(address + i * 4096));
        else
            ck_assert_uint_eq(*word_at(address + i * 4096), i + 1);
    }
    ck_assert_uint_eq(counted().areas, 2);
    // Over the hole; then nothing is left.
    ck_assert_int_eq(anonymous_unmap(&anonymous, address, 6 * 4096), STATUS_OK);
    ck_assert_int_eq(anonymous_unmap(&anonymous, address, 6 * 4096), STATUS_EMPTY);
    ck_assert_uint_eq(counted().mapped_bytes + counted().resident_bytes + counted().areas, 0);
}
END_TEST

START_TEST(areas_that_touch_and_are_alike_are_one)
{
    uint64_t one = at_page(4), two = at_page(6), between = at_page(5), other = at_page(7);
    ck_assert_int_eq(anonymous_map(&anonymous, &one, 4096, WRITE, FIXED | LAZY), STATUS_OK);
    ck_assert_int_eq(anonymous_map(&anonymous, &two, 4096, WRITE, FIXED | LAZY), STATUS_OK);
    ck_assert_int_eq(anonymous_map(&anonymous, &other, 4096, READ, FIXED | LAZY), STATUS_OK);
    ck_assert_uint_eq(counted().areas, 3);
    ck_assert_int_eq(anonymous_map(&anonymous, &between, 4096, WRITE, FIXED | LAZY), STATUS_OK);
    ck_assert_uint_eq(counted().areas, 2);
    ck_assert_int_eq(anonymous_protect(&anonymous, one, 4 * 4096, EXECUTE), STATUS_OK);
    ck_assert_uint_eq(counted().areas, 1);
    ck_assert_int_eq(anonymous_protect(&anonymous, one, 5 * 4096, READ), STATUS_EMPTY);
}
END_TEST

START_TEST(the_break_grows_and_shrinks_in_one_piece)
{
    const uint64_t base = at_page(BREAK);
    ck_assert_int_eq(anonymous_break(&anonymous, base + 10), STATUS_OK);
    ck_assert_int_eq(anonymous_break(&anonymous, base + 3 * 4096), STATUS_OK);
    ck_assert_uint_eq(counted().areas, 1);
    ck_assert_uint_eq(counted().mapped_bytes, 3 * 4096);
    ck_assert_int_eq(anonymous_fault(&anonymous, base + 2 * 4096, PAGE_FAULT_WRITE), STATUS_OK);
    ck_assert_int_eq(anonymous_break(&anonymous, base + 4096), STATUS_OK);
    ck_assert_uint_eq(counted().resident_bytes, 0);
    ck_assert_int_eq(anonymous_fault(&anonymous, base + 2 * 4096, PAGE_FAULT_WRITE), STATUS_EMPTY);
    ck_assert_int_eq(anonymous_break(&anonymous, base), STATUS_OK);
    ck_assert_uint_eq(counted().areas, 0);
    ck_assert_int_eq(anonymous_break(&anonymous, base - 1), STATUS_INVALID);
    ck_assert_int_eq(anonymous_break(&anonymous, at_page(PAGES) + 1), STATUS_INVALID);
    ck_assert_int_eq(anonymous_break(&anonymous, at_page(PAGES)), STATUS_OK);
    // It is nobody else's.
    uint64_t address = base;
    ck_assert_int_eq(anonymous_map(&anonymous, &address, 4096, READ, FIXED), STATUS_INVALID);
    ck_assert_int_eq(anonymous_unmap(&anonymous, base, 4096), STATUS_INVALID);
    ck_assert_int_eq(anonymous_protect(&anonymous, base - 4096, 8192, READ), STATUS_INVALID);
}
END_TEST

START_TEST(what_is_no_request_is_refused)
{
    uint64_t address = START;
    ck_assert_int_eq(anonymous_map(&anonymous, &address, 0, READ, 0), STATUS_INVALID);
    ck_assert_int_eq(anonymous_map(&anonymous, &address, UINT64_MAX, READ, 0), STATUS_INVALID);
    ck_assert_int_eq(anonymous_map(&anonymous, &address, 4096, WRITE | EXECUTE, 0), STATUS_INVALID);
    ck_assert_int_eq(anonymous_map(&anonymous, &address, 4096, READ, 4), STATUS_INVALID);
    address = START + 1;
    ck_assert_int_eq(anonymous_map(&anonymous, &address, 4096, READ, FIXED), STATUS_INVALID);
    address = START - 4096;
    ck_assert_int_eq(anonymous_map(&anonymous, &address, 4096, READ, FIXED), STATUS_INVALID);
    address = 0;
    ck_assert_int_eq(anonymous_map(&anonymous, &address, (BREAK + 1) * 4096, READ, LAZY),
                     STATUS_FULL);
    ck_assert_int_eq(anonymous_map(&anonymous, &address, BREAK * 4096, READ, LAZY), STATUS_OK);
    ck_assert_int_eq(anonymous_map(&anonymous, &address, 4096, READ, LAZY), STATUS_FULL);
    ck_assert_int_eq(anonymous_map(&anonymous, &address, 4096, READ, FIXED), STATUS_FULL);
    ck_assert_int_eq(anonymous_protect(&anonymous, START, 4096, 0), STATUS_INVALID);
    ck_assert_int_eq(anonymous_protect(&anonymous, START, 0, READ), STATUS_INVALID);
    ck_assert_int_eq(anonymous_unmap(&anonymous, START + 8, 4096), STATUS_INVALID);
}
END_TEST

START_TEST(ranges_that_are_none_are_refused)
{
    struct anonymous other;
    const struct page_memory frames = simulated_page_memory(&memory);
    const struct anonymous_range good = range_with(0);
    struct anonymous_range bad[6] = {good, good, good, good, good, good};
    bad[0].end = bad[0].start;
    bad[1].start += 8;
    bad[2].start = 0x1000; // over the hole
    bad[3].break_end += 4096;
    bad[4].break_flags = FIXED;
    bad[5].break_start = bad[5].break_end + 4096;
    for (unsigned i = 0; i < 6; i++)
        ck_assert_int_eq(anonymous_init(&other, &space, &frames, bad[i], areas, AREAS),
                         STATUS_INVALID);
    ck_assert_int_eq(anonymous_init(&other, &space, &frames, good, areas, 0), STATUS_INVALID);
}
END_TEST

// ---- without memory
// ------------------------------------------------------------------------------

static uint64_t frames_mapped(void)
{
    uint64_t sum = 0, address = START;
    struct page page;
    while (page_map_next(&space.map, address, &page) && page.address < at_page(PAGES)) {
        sum += page.address * 3 + page.physical * 5 + page.kind.rights;
        address = page.address + 4096;
    }
    return sum;
}

static enum status try_call(unsigned which)
{
    uint64_t address = at_page(20);
    switch (which) {
    case 0:
        return anonymous_map(&anonymous, &address, 9 * 4096, WRITE, FIXED);
    case 1:
        return anonymous_break(&anonymous, at_page(BREAK + 7));
    default:
        return anonymous_fault(&anonymous, at_page(3), PAGE_FAULT_WRITE);
    }
}

START_TEST(call_that_gets_no_frame_the_nth_time_is_undone)
{
    for (unsigned for_good = 0; for_good < 2; for_good++) {
        unsigned failed = 0;
        for (;; failed++) {
            end();
            begin_with(0, AREAS);
            uint64_t lazy = START, eager = at_page(30);
            ck_assert_int_eq(anonymous_map(&anonymous, &lazy, 5 * 4096, WRITE, FIXED | LAZY),
                             STATUS_OK);
            if (_i == 1) // tables are there: only frames are missing
                ck_assert_int_eq(anonymous_map(&anonymous, &eager, 4096, WRITE, FIXED), STATUS_OK);
            const struct anonymous_counts before = counted();
            const uint64_t mapped = frames_mapped(), live = memory.live;
            memory.until_failure = failed;
            memory.for_good = for_good;
            const enum status status = try_call((unsigned)_i);
            memory.until_failure = SIZE_MAX;
            memory.for_good = false;
            const struct anonymous_counts after = counted();
            if (status == STATUS_OK) {
                ck_assert_uint_gt(after.resident_bytes, before.resident_bytes);
                break;
            }
            ck_assert_int_eq(status, STATUS_NO_MEMORY);
            ck_assert_uint_eq(after.resident_bytes, before.resident_bytes);
            ck_assert_uint_eq(after.mapped_bytes, before.mapped_bytes);
            ck_assert_uint_eq(after.areas, before.areas);
            ck_assert_uint_eq(frames_mapped(), mapped);
            ck_assert_uint_eq(memory.live, live);
        }
        // Frames, and the tables on the way where there were none.
        ck_assert_uint_eq(failed, _i == 0 ? 9 + 3 : _i == 1 ? 7 : 1 + 3);
    }
}
END_TEST

// ---- random
// --------------------------------------------------------------------------------------

struct model_page {
    bool mapped, lazy, resident;
    unsigned protection;
    uint64_t stamp;
};
static struct model_page model[PAGES];
static uint64_t model_break;

static bool model_parts(size_t page) // whether an area ends in front of `page`
{
    const struct model_page *one = &model[page - 1], *next = one + 1;
    return !one->mapped || !next->mapped || one->protection != next->protection ||
           one->lazy != next->lazy || page == BREAK;
}

static size_t model_areas(void)
{
    size_t count = 0;
    for (size_t i = 0; i < PAGES; i++)
        count += model[i].mapped && (i == 0 || model_parts(i));
    return count;
}

// Areas more that a range needs to have its ends for itself.
static size_t model_cuts(size_t first, size_t count)
{
    size_t cuts = 0;
    cuts += first > 0 && model[first].mapped && !model_parts(first);
    cuts += first + count < PAGES && model[first + count - 1].mapped && !model_parts(first + count);
    return cuts;
}

static unsigned model_mapped(size_t first, size_t count)
{
    unsigned mapped = 0;
    for (size_t i = first; i < first + count; i++)
        mapped += model[i].mapped;
    return mapped;
}

static void check_pages(void)
{
    uint64_t mapped = 0, resident = 0;
    for (size_t i = 0; i < PAGES; i++) {
        struct page page;
        const bool there = page_map_query(&space.map, at_page(i), &page);
        must(there == model[i].resident);
        mapped += model[i].mapped * 4096u;
        resident += there * 4096u;
        if (there) {
            must(*word_at(at_page(i)) == model[i].stamp);
            must(page.kind.rights == model[i].protection);
        }
    }
    const struct anonymous_counts counts = counted();
    must(counts.mapped_bytes == mapped && counts.resident_bytes == resident);
    must(counts.areas == model_areas());
}

static void fill_model(size_t first, size_t count, unsigned protection, bool lazy)
{
    for (size_t i = first; i < first + count; i++)
        model[i] = (struct model_page){.mapped = true,
                                       .lazy = lazy || protection == 0,
                                       .resident = !lazy && protection != 0,
                                       .protection = protection};
}

static void random_map(struct random *random, unsigned protection)
{
    const bool fixed = random_below(random, 2), lazy = random_below(random, 2);
    const size_t count = 1 + random_below(random, 12), wanted = random_below(random, BREAK - 12);
    uint64_t address = fixed ? at_page(wanted) : 0;
    size_t first = wanted;
    if (!fixed) {
        for (first = 0; first + count <= BREAK && model_mapped(first, count) > 0;)
            first++;
    }
    const bool room = first + count <= BREAK && model_mapped(first, count) == 0;
    struct model_page before[PAGES];
    memcpy(before, model, sizeof(model));
    if (room)
        fill_model(first, count, protection, lazy);
    const bool full = !room || model_areas() > anonymous.area_most;
    const enum status status =
        anonymous_map(&anonymous, &address, count * 4096 - random_below(random, 4096), protection,
                      (fixed ? FIXED : 0) | (lazy ? LAZY : 0));
    must(status == (full ? STATUS_FULL : STATUS_OK));
    must(status != STATUS_OK || address == at_page(first));
    if (full)
        memcpy(model, before, sizeof(model));
}

static void random_change(struct random *random, bool unmap, unsigned protection)
{
    const size_t first = random_below(random, BREAK - 12), count = 1 + random_below(random, 12);
    const unsigned mapped = model_mapped(first, count);
    const bool full = model_areas() + model_cuts(first, count) > anonymous.area_most;
    const bool empty = unmap ? mapped == 0 : mapped < count;
    const enum status status =
        unmap ? anonymous_unmap(&anonymous, at_page(first), count * 4096)
              : anonymous_protect(&anonymous, at_page(first), count * 4096, protection);
    must(status == (empty ? STATUS_EMPTY : full ? STATUS_FULL : STATUS_OK));
    for (size_t i = first; i < first + count && status == STATUS_OK; i++) {
        if (unmap)
            model[i] = (struct model_page){0};
        else
            model[i].protection = protection;
    }
}

static void random_break(struct random *random)
{
    const uint64_t to = random_below(random, PAGES - BREAK + 1);
    struct model_page before[PAGES];
    memcpy(before, model, sizeof(model));
    if (to > model_break)
        fill_model(BREAK + model_break, to - model_break, WRITE, true);
    for (uint64_t i = to; i < model_break; i++)
        model[BREAK + i] = (struct model_page){0};
    const bool full = model_areas() > anonymous.area_most ||
                      (to < model_break && to > 0 && model_areas() == anonymous.area_most);
    const enum status status = anonymous_break(&anonymous, at_page(BREAK + to));
    must(status == (full ? STATUS_FULL : STATUS_OK));
    if (full)
        memcpy(model, before, sizeof(model));
    else
        model_break = to;
}

static void random_touch(struct random *random)
{
    static const uint64_t errors[] = {0, PAGE_FAULT_WRITE, PAGE_FAULT_FETCH};
    const size_t page = random_below(random, PAGES);
    const unsigned way = (unsigned)random_below(random, 3);
    struct model_page *one = &model[page];
    const unsigned needed = way == 0 ? READ : way == 1 ? WRITE : EXECUTE;
    const bool allowed = one->mapped && (one->protection & needed) == needed;
    const enum status status = anonymous_fault(&anonymous, at_page(page) + 8, errors[way]);
    must(status == (!one->mapped ? STATUS_EMPTY : allowed ? STATUS_OK : STATUS_INVALID));
    one->resident = one->resident || allowed;
    if (one->resident && one->protection == WRITE)
        *word_at(at_page(page)) = one->stamp = random_u64(random);
}

START_TEST(any_sequence_of_calls_gives_what_a_plain_array_gives)
{
    static const unsigned protections[] = {READ, WRITE, WRITE, EXECUTE, 0};
    struct random random = seeded_for("anonymous model");
    end();
    begin_with(LAZY, _i == 0 ? AREAS : 6);
    memset(model, 0, sizeof(model));
    model_break = 0;
    for (unsigned i = 0; i < 40000; i++) {
        const unsigned protection = protections[random_below(&random, 5)];
        switch (random_below(&random, 8)) {
        case 0:
        case 1:
            random_map(&random, protection);
            break;
        case 2:
        case 3:
            random_change(&random, true, 0);
            break;
        case 4:
            random_change(&random, false, protection != 0 ? protection : READ);
            break;
        case 5:
            random_break(&random);
            break;
        default:
            random_touch(&random);
        }
        if (i % 8 == 0)
            check_pages();
    }
    check_pages();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("anonymous");
    TCase *hand = tcase_create("by hand"), *random = tcase_create("random");
    tcase_add_checked_fixture(hand, begin, end);
    tcase_add_test(hand, lengths_are_rounded_up_and_gaps_filled_from_below);
    tcase_add_test(hand, memory_is_zeroed_and_a_lazy_page_comes_at_its_first_touch);
    tcase_add_test(hand, faults_that_no_protection_allows_are_refused);
    tcase_add_test(hand, protection_is_translated_to_the_flags_of_pages);
    tcase_add_test(hand, a_part_is_unmapped_and_the_rest_keeps_its_contents);
    tcase_add_test(hand, areas_that_touch_and_are_alike_are_one);
    tcase_add_test(hand, the_break_grows_and_shrinks_in_one_piece);
    tcase_add_test(hand, what_is_no_request_is_refused);
    tcase_add_test(hand, ranges_that_are_none_are_refused);
    tcase_add_loop_test(hand, call_that_gets_no_frame_the_nth_time_is_undone, 0, 3);
    suite_add_tcase(suite, hand);
    tcase_add_checked_fixture(random, begin, end);
    tcase_set_timeout(random, 120);
    tcase_add_loop_test(random, any_sequence_of_calls_gives_what_a_plain_array_gives, 0, 2);
    suite_add_tcase(suite, random);
    return run_checks(suite);
}
