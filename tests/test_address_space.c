// SPDX-License-Identifier: MIT
// kernel/memory/address_space on simulated CPUs: what they remember is true at any time, and nobody
// is asked who need not be.
#include <check.h>

#include "compiler.h"
#include "run_checks.h"
#include "seed.h"
#include "simulated_cpus.h"

#define FRAMES 4096u
#define SPACES 24u // more than there are numbers, of 16
#define HIGH   ((uint64_t)0xffff900000000000)
#define WINDOW 96u // pages that the random test works on
#define BATCH  8u
#define ROOT   0x5000u

static const struct page_kind DATA = {.rights = PAGE_READ | PAGE_WRITE};
static const struct page_kind CONSTANT = {.rights = PAGE_READ};
static const struct page_limits limits = {.physical_bits = 46, .pages_1g = true};

static struct simulated_memory memory;
static struct page_memory tables;
static struct address_spaces all;
static struct address_space spaces[SPACES];

static void begin(unsigned pcids)
{
    simulated_cpus_begin();
    simulated_make(&memory, FRAMES);
    tables = simulated_page_memory(&memory);
    must(address_spaces_init(&all, &simulated_ops, ROOT, pcids, BATCH) == STATUS_OK);
    for (unsigned i = 0; i < SPACES; i++)
        must(address_space_init(&spaces[i], &all, &tables, limits) == STATUS_OK);
}

static void end(void)
{
    for (unsigned cpu = 0; cpu < SIMULATED_CPUS; cpu++) {
        test_cpu_enter(cpu);
        address_space_enter(&all, NULL);
        must(simulated.cpus[cpu].root == ROOT || simulated.cpus[cpu].loads == 0);
    }
    test_cpu_enter(0);
    for (unsigned i = 0; i < SPACES; i++)
        address_space_destroy(&spaces[i]);
    must(memory.live == 0);
    simulated_unmake(&memory);
}

static void begin_with_pcids(void)
{
    begin(16);
}

static void enter(unsigned cpu, struct address_space *space)
{
    test_cpu_enter(cpu);
    address_space_enter(&all, space);
}

// Every page of the window, on the running CPU.
static void touch(struct address_space *space)
{
    struct page page;
    for (unsigned i = 0; i < WINDOW; i++)
        (void)simulated_access(&space->map, HIGH + i * 4096u, &page);
}

// ---- by hand
// -------------------------------------------------------------------------------------

START_TEST(only_cpus_that_use_a_space_are_told_of_its_changes)
{
    struct address_space_counts counts;
    ck_assert_int_eq(address_space_map(&spaces[0], HIGH, 0x10000, 0x4000, DATA), STATUS_OK);
    enter(1, &spaces[0]);
    enter(2, &spaces[1]);
    enter(3, &spaces[0]);
    enter(4, &spaces[0]);
    enter(4, NULL);
    enter(0, &spaces[0]);
    ck_assert_ptr_eq(address_space_here(&all), &spaces[0]);
    ck_assert_uint_eq(spaces[0].live, 1u << 0 | 1u << 1 | 1u << 3);
    ck_assert_int_eq(address_space_unmap(&spaces[0], HIGH, 0x2000), STATUS_OK);
    ck_assert_uint_eq(simulated.shots_at, 1u << 1 | 1u << 3);
    address_spaces_count(&all, &counts);
    ck_assert_uint_eq(counts.shots_sent, 1);
    ck_assert_uint_eq(counts.cpus_shot, 2);
    ck_assert_uint_eq(counts.shots_received, 2);
    ck_assert_uint_eq(counts.pages_here, 2);
    ck_assert_uint_eq(counts.pages_received, 4);
    ck_assert_uint_eq(counts.flushes_here + counts.flushes_received, 0);
    // Where nobody else is, nobody else is asked.
    simulated.shots_at = 0;
    enter(2, &spaces[1]);
    ck_assert_int_eq(address_space_map(&spaces[1], HIGH, 0x10000, 0x1000, DATA), STATUS_OK);
    ck_assert_int_eq(address_space_unmap(&spaces[1], HIGH, 0x1000), STATUS_OK);
    ck_assert_uint_eq(simulated.shots_at, 0);
}
END_TEST

START_TEST(mapping_what_was_not_there_tells_nobody)
{
    struct address_space_counts counts;
    enter(0, &spaces[0]);
    enter(1, &spaces[0]);
    ck_assert_int_eq(address_space_map_page(&spaces[0], HIGH, 0x1000, 4096, DATA), STATUS_OK);
    ck_assert_int_eq(address_space_map(&spaces[0], HIGH + 0x200000, 0x200000, 0x400000, DATA),
                     STATUS_OK);
    address_spaces_count(&all, &counts);
    ck_assert_uint_eq(counts.shots_sent + counts.pages_here + counts.flushes_here, 0);
}
END_TEST

START_TEST(changes_of_more_than_a_batch_drop_all)
{
    struct address_space_counts counts;
    ck_assert_int_eq(address_space_map(&spaces[0], HIGH, 0x10000, 0x40000, DATA), STATUS_OK);
    enter(0, &spaces[0]);
    enter(1, &spaces[0]);
    ck_assert_int_eq(address_space_unmap(&spaces[0], HIGH, BATCH * 4096), STATUS_OK);
    ck_assert_uint_eq(simulated.cpus[0].pages, BATCH);
    ck_assert_uint_eq(simulated.cpus[0].flushes + simulated.cpus[1].flushes, 0);
    ck_assert_int_eq(address_space_unmap(&spaces[0], HIGH + BATCH * 4096, (BATCH + 1) * 4096),
                     STATUS_OK);
    ck_assert_uint_eq(simulated.cpus[0].pages + simulated.cpus[1].pages, 2 * BATCH);
    ck_assert_uint_eq(simulated.cpus[0].flushes, 1);
    ck_assert_uint_eq(simulated.cpus[1].flushes, 1);
    address_spaces_count(&all, &counts);
    ck_assert_uint_eq(counts.flushes_here, 1);
    ck_assert_uint_eq(counts.flushes_received, 1);
}
END_TEST

START_TEST(what_is_known_of_a_space_stays_unless_it_changed_meanwhile)
{
    struct page page;
    ck_assert_int_eq(address_space_map(&spaces[0], HIGH, 0x10000, 0x8000, DATA), STATUS_OK);
    enter(1, &spaces[0]);
    touch(&spaces[0]);
    enter(1, &spaces[1]);
    ck_assert_uint_eq(simulated.cpus[1].kept, 0); // both for the first time
    enter(1, &spaces[0]);
    ck_assert_uint_eq(simulated.cpus[1].kept, 1);
    enter(1, NULL);
    // The CPU is not asked now, but drops all of the space when it comes back.
    ck_assert_int_eq(address_space_unmap(&spaces[0], HIGH, 0x1000), STATUS_OK);
    const uint64_t kept = simulated.cpus[1].kept;
    enter(1, &spaces[0]);
    ck_assert_uint_eq(simulated.cpus[1].kept, kept);
    ck_assert(!simulated_access(&spaces[0].map, HIGH, &page));
    ck_assert(simulated_access(&spaces[0].map, HIGH + 0x1000, &page));
    // Entering what is in use already is nothing.
    const uint64_t loads = simulated.cpus[1].loads;
    enter(1, &spaces[0]);
    ck_assert_uint_eq(simulated.cpus[1].loads, loads);
}
END_TEST

START_TEST(shots_after_changes_that_came_while_the_space_was_not_in_use_drop_their_pages_alone)
{
    struct page page;
    ck_assert_int_eq(address_space_map(&spaces[0], HIGH, 0x10000, 0x8000, DATA), STATUS_OK);
    enter(1, &spaces[0]);
    touch(&spaces[0]);
    enter(1, &spaces[1]);
    // Missed: one by one, and all.
    test_cpu_enter(0);
    ck_assert_int_eq(address_space_unmap(&spaces[0], HIGH, 0x1000), STATUS_OK);
    page_flush_tlb_all(&spaces[0]);
    ck_assert_int_eq(address_space_unmap(&spaces[0], HIGH + 0x1000, 0x1000), STATUS_OK);
    enter(1, &spaces[0]);
    touch(&spaces[0]);
    const uint64_t pages = simulated.cpus[1].pages, flushes = simulated.cpus[1].flushes;
    test_cpu_enter(0);
    ck_assert_int_eq(address_space_unmap(&spaces[0], HIGH + 0x2000, 0x1000), STATUS_OK);
    ck_assert_uint_eq(simulated.shots_at, 1u << 1);
    ck_assert_int_eq(address_space_unmap(&spaces[0], HIGH + 0x3000, 0x2000), STATUS_OK);
    ck_assert_uint_eq(simulated.cpus[1].pages, pages + 3);
    ck_assert_uint_eq(simulated.cpus[1].flushes, flushes);
    test_cpu_enter(1);
    for (unsigned i = 0; i < 8; i++)
        ck_assert(simulated_access(&spaces[0].map, HIGH + i * 4096u, &page) == (i >= 5));
}
END_TEST

START_TEST(numbers_that_are_used_up_are_given_again_after_everything_was_dropped)
{
    bool seen[16] = {false};
    test_cpu_enter(2);
    for (unsigned i = 0; i < 15; i++) {
        enter(2, &spaces[i]);
        const unsigned pcid = simulated.cpus[2].pcid;
        ck_assert(pcid > 0 && pcid < 16 && !seen[pcid]);
        seen[pcid] = true;
    }
    ck_assert_uint_eq(simulated.cpus[2].flushes_of_all, 0);
    enter(2, &spaces[15]);
    ck_assert_uint_eq(simulated.cpus[2].flushes_of_all, 1);
    ck_assert_uint_eq(simulated.cpus[2].pcid, 1);
    // One that had a number before gets another one; CPUs number for themselves.
    enter(2, &spaces[0]);
    ck_assert_uint_eq(simulated.cpus[2].pcid, 2);
    enter(3, &spaces[20]);
    ck_assert_uint_eq(simulated.cpus[3].pcid, 1);
    ck_assert_uint_eq(all.cpus[2].counts.recycled, 1);
}
END_TEST

START_TEST(without_numbers_each_load_drops_what_was_known)
{
    end();
    begin(0);
    for (unsigned i = 0; i < 4; i++)
        enter(1, &spaces[i % 2]);
    enter(1, NULL);
    ck_assert_uint_eq(simulated.cpus[1].loads, 5);
    ck_assert_uint_eq(simulated.cpus[1].kept, 0);
    ck_assert_uint_eq(simulated.cpus[1].pcid, 0);
    ck_assert_uint_eq(all.cpus[1].counts.recycled, 0);
}
END_TEST

START_TEST(flushes_reach_all_who_use_the_space)
{
    ck_assert_int_eq(address_space_map(&spaces[0], HIGH, 0x10000, 0x4000, DATA), STATUS_OK);
    enter(1, &spaces[0]);
    enter(0, &spaces[0]);
    page_flush_tlb(&spaces[0], HIGH);
    ck_assert_uint_eq(simulated.cpus[0].pages, 1);
    ck_assert_uint_eq(simulated.cpus[1].pages, 1);
    page_flush_tlb_all(&spaces[0]);
    ck_assert_uint_eq(simulated.cpus[0].flushes, 1);
    ck_assert_uint_eq(simulated.cpus[1].flushes, 1);
}
END_TEST

START_TEST(what_no_space_can_have_is_refused)
{
    struct address_spaces other;
    const struct page_kind global = {.rights = PAGE_READ, .global = true};
    ck_assert_int_eq(address_spaces_init(&other, &simulated_ops, ROOT, 15, 1), STATUS_INVALID);
    ck_assert_int_eq(address_spaces_init(&other, &simulated_ops, ROOT, 4097, 1), STATUS_INVALID);
    ck_assert_int_eq(address_spaces_init(&other, &simulated_ops, ROOT, 16, 0), STATUS_INVALID);
    ck_assert_int_eq(address_space_map(&spaces[0], HIGH, 0x1000, 0x1000, global), STATUS_INVALID);
    ck_assert_int_eq(address_space_map_page(&spaces[0], HIGH, 0x1000, 4096, global),
                     STATUS_INVALID);
    ck_assert_int_eq(address_space_map(&spaces[0], HIGH, 0x1000, 0x1000, DATA), STATUS_OK);
    ck_assert_int_eq(address_space_protect(&spaces[0], HIGH, 0x1000, global), STATUS_INVALID);
}
END_TEST

START_TEST(a_shared_low_half_is_seen_and_never_changed)
{
    struct page_map *kernel = &spaces[9].map;
    uint64_t physical = 0;
    ck_assert_int_eq(address_space_map(&spaces[9], 0x400000, 0x400000, 0x400000, DATA), STATUS_OK);
    ck_assert_int_eq(address_space_map(&spaces[0], HIGH, 0x1000, 0x1000, DATA), STATUS_OK);
    ck_assert_int_eq(page_map_share_low(&spaces[0].map, kernel), STATUS_OK);
    ck_assert(address_space_translate(&spaces[0], 0x412345, &physical) && physical == 0x412345);
    ck_assert_int_eq(address_space_map(&spaces[0], 0x1000, 0, 0x1000, DATA), STATUS_FOREIGN);
    ck_assert_int_eq(address_space_map_page(&spaces[0], 0x1000, 0, 4096, DATA), STATUS_FOREIGN);
    ck_assert_int_eq(address_space_unmap(&spaces[0], 0x400000, 0x200000), STATUS_FOREIGN);
    ck_assert_int_eq(address_space_unmap_page(&spaces[0], 0x400000, PAGE_BYTES_2M, NULL),
                     STATUS_FOREIGN);
    ck_assert_int_eq(address_space_protect(&spaces[0], 0x400000, 4096, CONSTANT), STATUS_FOREIGN);
    ck_assert_int_eq(address_space_split(&spaces[0], 0x400000, PAGE_BYTES_4K), STATUS_FOREIGN);
    ck_assert_int_eq(address_space_merge(&spaces[0], 0x400000, PAGE_BYTES_2M), STATUS_FOREIGN);
    // What the other maps later in a part that was there is seen as well.
    ck_assert_int_eq(address_space_map(&spaces[9], 0x800000, 0x800000, 0x1000, DATA), STATUS_OK);
    ck_assert(address_space_translate(&spaces[0], 0x800000, &physical) && physical == 0x800000);
    ck_assert_int_eq(page_map_share_low(&spaces[9].map, &spaces[0].map), STATUS_FULL);
}
END_TEST

// ---- without memory
// ------------------------------------------------------------------------------

// Bytes of pages that are mapped, and a sum over where to.
static uint64_t picture(struct address_space *space)
{
    uint64_t sum = 0, address = 0;
    struct page page;
    while (page_map_next(&space->map, address, &page)) {
        for (uint64_t k = 0; k < page.bytes; k += 4096)
            sum += (page.address + k) * 3 + (page.physical + k) * 7 + page.kind.rights;
        address = page.address + page.bytes;
        if (address == 0)
            break;
    }
    return sum;
}

static enum status try_call(struct address_space *space, unsigned which)
{
    switch (which) {
    case 0:
        return address_space_map_page(space, HIGH + ((uint64_t)1 << 40), 0x1000, 4096, DATA);
    case 1: // over a boundary of root entries
        return address_space_map(space, HIGH + (511ull << 30) + 0x3ff00000, 0x1000, 0x200000, DATA);
    case 2:
        return address_space_split(space, HIGH + (4ull << 30), PAGE_BYTES_4K);
    case 3:
        return address_space_unmap(space, HIGH + (4ull << 30) + 0x1000, 0x1000);
    default:
        return address_space_protect(space, HIGH + (4ull << 30) + 0x3fe00000, 0x7000, CONSTANT);
    }
}

START_TEST(call_that_gets_no_table_the_nth_time_changes_nothing)
{
    for (unsigned which = 0; which < 5; which++) {
        for (unsigned for_good = 0; for_good < 2; for_good++) {
            unsigned failed = 0;
            for (;; failed++) {
                struct address_space *space = &spaces[which];
                ck_assert_int_eq(
                    address_space_map(space, HIGH + (4ull << 30), 4ull << 30, 1ull << 30, DATA),
                    STATUS_OK);
                const uint64_t before = picture(space);
                memory.until_failure = failed;
                memory.for_good = for_good;
                const enum status status = try_call(space, which);
                memory.until_failure = SIZE_MAX;
                if (status == STATUS_OK) {
                    ck_assert_msg(which == 2 || picture(space) != before, "nothing was done");
                } else {
                    ck_assert_int_eq(status, STATUS_NO_MEMORY);
                    ck_assert_msg(picture(space) == before, "call %u, table %u", which, failed);
                }
                ck_assert_uint_eq(memory.live, space->map.tables + SPACES - 1);
                // Whatever was split: all of it goes, and no table stays.
                struct page page;
                while (page_map_next(&space->map, 0, &page))
                    ck_assert_int_eq(address_space_unmap(space, page.address, page.bytes),
                                     STATUS_OK);
                ck_assert_uint_eq(space->map.tables, 1);
                if (status == STATUS_OK)
                    break;
            }
            ck_assert_uint_ge(failed, which == 1 ? 4 : 2);
        }
    }
}
END_TEST

// ---- random
// --------------------------------------------------------------------------------------

// What each CPU remembers of the space it uses is what the tables say.
static void check_known(void)
{
    for (unsigned cpu = 0; cpu < SIMULATED_CPUS; cpu++) {
        const struct simulated_cpu *one = &simulated.cpus[cpu];
        const struct address_space *space = all.cpus[cpu].current;
        for (unsigned i = 0; i < SIMULATED_KNOWN && space != NULL; i++) {
            struct page page;
            if (!one->known[i].valid || one->known[i].pcid != one->pcid)
                continue;
            must(page_map_query(&space->map, one->known[i].page.address, &page));
            must(page.physical + (one->known[i].page.address - page.address) ==
                     one->known[i].page.physical &&
                 page.kind.rights == one->known[i].page.kind.rights);
        }
        must(space == NULL || (space->live >> cpu & 1) == 1);
        must(space == NULL || one->root == space->map.root);
    }
}

static void change(struct random *random, struct address_space *space)
{
    const uint64_t address = HIGH + random_below(random, WINDOW) * 4096;
    const uint64_t most = WINDOW * 4096 - (address - HIGH);
    const uint64_t length = min_u64((1 + random_below(random, 12)) * 4096, most);
    const uint64_t physical = (1 + random_below(random, 1000)) * 4096;
    simulated.shots_at = 0;
    switch (random_below(random, 6)) {
    case 0:
        (void)address_space_map(space, address, physical, length, DATA);
        break;
    case 1:
        (void)address_space_map_page(space, address, physical, 4096, DATA);
        break;
    case 2:
        (void)address_space_unmap(space, address, length);
        break;
    case 3:
        (void)address_space_unmap_page(space, address, 4096, NULL);
        break;
    case 4:
        (void)address_space_protect(space, address, length,
                                    random_below(random, 2) ? DATA : CONSTANT);
        break;
    default:
        if (random_below(random, 8) == 0)
            page_flush_tlb_all(space);
    }
    // Nobody was asked who did not use it.
    must((simulated.shots_at & ~space->live) == 0);
}

START_TEST(what_cpus_remember_is_true_after_any_sequence_of_changes_and_loads)
{
    static const unsigned pcids[] = {0, 16, 4096};
    struct random random = seeded_for("address_space");
    end();
    begin(pcids[_i]);
    for (unsigned i = 0; i < 60000; i++) {
        test_cpu_enter((unsigned)random_below(&random, SIMULATED_CPUS));
        const unsigned which = (unsigned)random_below(&random, i / 1000 % 2 == 0 ? 3 : SPACES);
        if (random_below(&random, 3) == 0)
            address_space_enter(&all, random_below(&random, 8) == 0 ? NULL : &spaces[which]);
        else
            change(&random, &spaces[which]);
        struct address_space *here = address_space_here(&all);
        for (unsigned k = 0; k < 4 && here != NULL; k++) {
            struct page page;
            (void)simulated_access(&here->map, HIGH + random_below(&random, WINDOW) * 4096, &page);
        }
        if (i % 4 == 0)
            check_known();
    }
    struct address_space_counts counts;
    address_spaces_count(&all, &counts);
    ck_assert_uint_gt(counts.shots_sent, 1000);
    ck_assert_uint_eq(counts.cpus_shot, counts.shots_received);
    ck_assert(pcids[_i] == 0 ? counts.loads_kept == 0 : counts.loads_kept > 100);
    ck_assert(pcids[_i] == 16 ? counts.recycled > 10 : counts.recycled == 0);
}
END_TEST

// ---- programmer's errors
// -------------------------------------------------------------------------

START_TEST(destroying_a_space_in_use_panics)
{
    enter(1, &spaces[0]);
    address_space_destroy(&spaces[0]);
}
END_TEST

START_TEST(entering_a_space_of_another_machine_panics)
{
    static struct address_spaces other;
    must(address_spaces_init(&other, &simulated_ops, ROOT, 0, 1) == STATUS_OK);
    address_space_enter(&other, &spaces[0]);
}
END_TEST

START_TEST(flushing_half_a_page_panics)
{
    page_flush_tlb(&spaces[0], HIGH + 0x800);
}
END_TEST

START_TEST(a_shot_behind_one_that_never_came_panics)
{
    enter(1, &spaces[0]);
    const struct tlb_shot shot = {.space = &spaces[0],
                                  .address = HIGH,
                                  .length = 4096,
                                  .generation = spaces[0].generation + 2};
    address_space_receive(&all, &shot);
}
END_TEST

START_TEST(shooting_at_oneself_panics)
{
    const struct tlb_shot shot = {.space = &spaces[0]};
    shootdown_send(&simulated.shootdown, 1, &shot);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("address_space");
    TCase *hand = tcase_create("by hand"), *random = tcase_create("random");
    TCase *death = tcase_create("programmer's errors");
    tcase_add_checked_fixture(hand, begin_with_pcids, end);
    tcase_add_test(hand, only_cpus_that_use_a_space_are_told_of_its_changes);
    tcase_add_test(hand, mapping_what_was_not_there_tells_nobody);
    tcase_add_test(hand, changes_of_more_than_a_batch_drop_all);
    tcase_add_test(hand, what_is_known_of_a_space_stays_unless_it_changed_meanwhile);
    tcase_add_test(
        hand, shots_after_changes_that_came_while_the_space_was_not_in_use_drop_their_pages_alone);
    tcase_add_test(hand, numbers_that_are_used_up_are_given_again_after_everything_was_dropped);
    tcase_add_test(hand, without_numbers_each_load_drops_what_was_known);
    tcase_add_test(hand, flushes_reach_all_who_use_the_space);
    tcase_add_test(hand, what_no_space_can_have_is_refused);
    tcase_add_test(hand, a_shared_low_half_is_seen_and_never_changed);
    tcase_add_test(hand, call_that_gets_no_table_the_nth_time_changes_nothing);
    suite_add_tcase(suite, hand);
    tcase_add_checked_fixture(random, begin_with_pcids, end);
    tcase_set_timeout(random, 120);
    tcase_add_loop_test(random, what_cpus_remember_is_true_after_any_sequence_of_changes_and_loads,
                        0, 3);
    suite_add_tcase(suite, random);
    tcase_add_checked_fixture(death, begin_with_pcids, NULL);
    tcase_add_test_raise_signal(death, destroying_a_space_in_use_panics, 6);
    tcase_add_test_raise_signal(death, entering_a_space_of_another_machine_panics, 6);
    tcase_add_test_raise_signal(death, flushing_half_a_page_panics, 6);
    tcase_add_test_raise_signal(death, a_shot_behind_one_that_never_came_panics, 6);
    tcase_add_test_raise_signal(death, shooting_at_oneself_panics, 6);
    suite_add_tcase(suite, death);
    return run_checks(suite);
}
