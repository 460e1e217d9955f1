// SPDX-License-Identifier: MIT
// SLUB: settings and what each does, which slabs are used, tuning.
#include <check.h>
#include <signal.h>

#include "run_checks.h"
#include "seed.h"
#include "slub_subject.h"

static struct subject s;

static void open_with(const struct slub_settings *settings)
{
    subject_open(&s, 1, 4u << 20, 1, settings, NULL);
}

static void close_all(void)
{
    subject_close(&s);
}

// ---- settings -----------------------------------------------------------------------------------

static void expect_refused(const struct slub_settings *settings)
{
    ck_assert_int_eq(slub_settings_check(settings), STATUS_INVALID);
}

START_TEST(a_setting_outside_its_range_is_refused)
{
    ck_assert_int_eq(slub_settings_check(&slub_defaults), STATUS_OK);
#define REFUSED(member, value)                                                                     \
    do {                                                                                           \
        struct slub_settings wrong = slub_defaults;                                                \
        wrong.member = value;                                                                      \
        expect_refused(&wrong);                                                                    \
    } while (0)
    REFUSED(per_cpu_objects, 1);
    REFUSED(per_cpu_objects, SLUB_PER_CPU_MOST + 1);
    REFUSED(preload_objects, slub_defaults.per_cpu_objects + 1);
    REFUSED(bulk_objects, 0);
    REFUSED(bulk_objects, slub_defaults.per_cpu_objects + 1);
    REFUSED(release_percent, 0);
    REFUSED(release_percent, 101);
    REFUSED(empty_percent, 101);
    REFUSED(emergency_percent, 0);
    REFUSED(emergency_percent, 101);
    REFUSED(colour_range, PAGE_SIZE + 1);
    REFUSED(class_flags, 1u << 20);
    REFUSED(extra_count, SLUB_EXTRA_MOST + 1);
    REFUSED(class_objects[3], 1);
    REFUSED(class_objects[10], SLUB_PER_CPU_MOST + 1);
#undef REFUSED
    struct slub_settings extra = slub_defaults;
    extra.extra_count = 2;
    const uint32_t wrong[][2] = {{48, 48}, {96, 48}, {48, 64}, {40, 48}, {48, 9000}, {0, 48}};
    for (unsigned i = 0; i < ARRAY_COUNT(wrong); i++) {
        memcpy(extra.extra, wrong[i], sizeof wrong[i]);
        expect_refused(&extra);
    }
    extra.extra[0] = 48;
    extra.extra[1] = 96;
    ck_assert_int_eq(slub_settings_check(&extra), STATUS_OK);
}
END_TEST

static struct slub_statistics numbers_of(unsigned number)
{
    struct slub_statistics n;
    slub_cache_statistics(&s.slub->caches[number], &n);
    return n;
}

START_TEST(bulk_and_preload_are_what_a_miss_moves)
{
    struct slub_settings settings = slub_defaults;
    settings.bulk_objects = 10;
    open_with(&settings);
    slub_allocate(s.slub, 64, 0);
    ck_assert_uint_eq(numbers_of(3).cached, 9);
    close_all();
    settings.preload_objects = 50;
    open_with(&settings);
    for (unsigned i = 0; i < 50; i++)
        slub_allocate(s.slub, 64, 0);
    ck_assert_uint_eq(numbers_of(3).misses, 1); // the first moved 50
    slub_allocate(s.slub, 64, 0);
    ck_assert_uint_eq(numbers_of(3).cached, 9); // the next 10
    close_all();
}
END_TEST

START_TEST(a_full_list_gives_its_release_percentage_back_coldest_first)
{
    struct slub_settings settings = slub_defaults;
    void *objects[41];
    settings.per_cpu_objects = 40;
    settings.bulk_objects = 1;
    settings.release_percent = 30;
    open_with(&settings);
    for (unsigned i = 0; i < 41; i++)
        objects[i] = slub_allocate(s.slub, 64, 0);
    for (unsigned i = 0; i < 40; i++)
        slub_free(s.slub, objects[i]);
    ck_assert_uint_eq(numbers_of(3).cached, 40);
    ck_assert_uint_eq(numbers_of(3).returns, 0);
    slub_free(s.slub, objects[40]);
    ck_assert_uint_eq(numbers_of(3).cached, 40 - 12 + 1);
    ck_assert_uint_eq(numbers_of(3).returns, 1);
    // What was freed last is still there, down to the 13th.
    for (unsigned i = 40; i >= 12; i--)
        ck_assert_ptr_eq(slub_allocate(s.slub, 64, 0), objects[i]);
    ck_assert_uint_eq(numbers_of(3).cached, 0);
    close_all();
}
END_TEST

START_TEST(lists_of_large_objects_are_shorter_and_a_class_may_have_its_own_length)
{
    struct slub_settings settings = slub_defaults;
    settings.class_objects[3] = 7;
    settings.bulk_objects = 3;
    open_with(&settings);
    ck_assert_uint_eq(s.slub->caches[3].limit, 7);
    ck_assert_uint_eq(s.slub->caches[4].limit, 64);
    ck_assert_uint_eq(s.slub->caches[8].limit, 16); // 32 KiB of 2048
    ck_assert_uint_eq(s.slub->caches[10].limit, 4);
    close_all();
}
END_TEST

// Fills ten slabs with 2048-byte objects and empties them; how many slabs stay.
static uint64_t empties_with(unsigned percent)
{
    struct slub_settings settings = slub_defaults;
    void *objects[40];
    settings.per_cpu_objects = 2;
    settings.bulk_objects = 1;
    settings.empty_percent = percent;
    open_with(&settings);
    for (unsigned i = 0; i < 40; i++)
        objects[i] = slub_allocate(s.slub, 2048, 0);
    ck_assert_uint_eq(numbers_of(8).slabs, 10);
    slub_free_bulk(s.slub, 40, objects);
    slub_flush(s.slub);
    const uint64_t left = numbers_of(8).empty_slabs;
    ck_assert_uint_eq(numbers_of(8).slabs, left);
    close_all();
    return left;
}

START_TEST(empty_slabs_stay_up_to_their_percentage)
{
    ck_assert_uint_eq(empties_with(0), 0);
    ck_assert_uint_eq(empties_with(100), 10);
    ck_assert_uint_eq(empties_with(10), 1);
    ck_assert_uint_lt(empties_with(50), 10);
    ck_assert_uint_gt(empties_with(50), empties_with(10));
}
END_TEST

START_TEST(an_emergency_gives_its_percentage_of_lists_and_slabs)
{
    static const unsigned percents[] = {1, 25, 50, 100};
    for (unsigned i = 0; i < ARRAY_COUNT(percents); i++) {
        struct slub_settings settings = slub_defaults;
        void *objects[64];
        settings.emergency_percent = percents[i];
        settings.empty_percent = 100;
        open_with(&settings);
        ck_assert_uint_eq(slub_allocate_bulk(s.slub, 64, 64, objects, 0), 64);
        slub_free_bulk(s.slub, 64, objects);
        slub_emergency_shrink(s.slub);
        ck_assert_uint_eq(numbers_of(3).cached, 64 - (64 * percents[i] + 99) / 100);
        close_all();
        open_with(&settings);
        void *blocks[40];
        for (unsigned k = 0; k < 40; k++)
            blocks[k] = slub_allocate(s.slub, 2048, 0);
        slub_free_bulk(s.slub, 40, blocks);
        slub_flush(s.slub);
        const uint64_t empties = numbers_of(8).empty_slabs;
        ck_assert_uint_eq(empties, 10);
        slub_emergency_shrink(s.slub);
        ck_assert_uint_eq(numbers_of(8).empty_slabs, 10 - (10 * percents[i] + 99) / 100);
        close_all();
    }
}
END_TEST

START_TEST(flags_of_the_classes_check_objects_of_any_size)
{
    struct slub_settings settings = slub_defaults;
    settings.class_flags = SLUB_POISON;
    open_with(&settings);
    uint8_t *object = slub_allocate(s.slub, 64, 0);
    slub_free(s.slub, object);
    ck_assert_uint_eq(object[0], 0x6b);
    close_all();
}
END_TEST

// ---- which slabs are used -----------------------------------------------------------------------

START_TEST(the_fullest_slab_is_filled_first_and_sparse_ones_run_dry)
{
    struct slub_settings settings = slub_defaults;
    void *objects[64 * 4];
    settings.per_cpu_objects = 2;
    settings.bulk_objects = 1;
    open_with(&settings);
    for (unsigned i = 0; i < 64 * 4; i++)
        objects[i] = slub_allocate(s.slub, 64, 0);
    // 60, 30, 3 and 1 objects stay in the four slabs.
    static const unsigned stay[] = {60, 30, 3, 1};
    for (unsigned slab = 0; slab < 4; slab++)
        slub_free_bulk(s.slub, 64 - stay[slab], objects + 64 * slab + stay[slab]);
    slub_flush(s.slub);
    for (unsigned i = 0; i < 4; i++) // the four places of the first
        ck_assert_uint_eq((uintptr_t)slub_allocate(s.slub, 64, 0) >> PAGE_SHIFT,
                          (uintptr_t)objects[0] >> PAGE_SHIFT);
    for (unsigned i = 0; i < 34; i++) // then those of the second
        ck_assert_uint_eq((uintptr_t)slub_allocate(s.slub, 64, 0) >> PAGE_SHIFT,
                          (uintptr_t)objects[64] >> PAGE_SHIFT);
    ck_assert(slub_check(s.slub));
    close_all();
}
END_TEST

START_TEST(an_emergency_gives_objects_of_sparse_slabs_first)
{
    struct slub_settings settings = slub_defaults;
    void *objects[128];
    settings.emergency_percent = 50;
    settings.empty_percent = 0;
    open_with(&settings);
    for (unsigned i = 0; i < 128; i++)
        objects[i] = slub_allocate(s.slub, 64, 0);
    // Of the first slab 4 objects are out, of the second 64; 4 of each are freed, those of the
    // first last: hottest, and kept if only that mattered.
    slub_free_bulk(s.slub, 60, objects + 4);
    slub_flush(s.slub);
    for (unsigned i = 0; i < 4; i++)
        slub_free(s.slub, objects[64 + i]);
    for (unsigned i = 0; i < 4; i++)
        slub_free(s.slub, objects[i]);
    ck_assert_uint_eq(slub_emergency_shrink(s.slub), PAGE_SIZE);
    ck_assert_uint_eq(numbers_of(3).cached, 4);
    ck_assert_uint_eq((uintptr_t)slub_allocate(s.slub, 64, 0) >> PAGE_SHIFT,
                      (uintptr_t)objects[64] >> PAGE_SHIFT);
    close_all();
}
END_TEST

// ---- tuning -------------------------------------------------------------------------------------

// 1000 objects of 48 and 100 of 1040 bytes, 20 at a time; some others.
static void workload(void)
{
    void *objects[20];
    for (unsigned turn = 0; turn < 55; turn++) {
        const size_t size = turn < 50 ? 48 : 1040;
        for (unsigned i = 0; i < 20; i++)
            objects[i] = slub_allocate(s.slub, size, 0);
        slub_free_bulk(s.slub, 20, objects);
        slub_free(s.slub, slub_allocate(s.slub, 512, 0));
    }
}

START_TEST(tuning_proposes_the_classes_that_save_most_and_lists_as_long_as_runs)
{
    struct slub_settings first, second, proposal;
    open_with(NULL);
    slub_record(s.slub, true);
    workload();
    slub_record(s.slub, false);
    // 16 of 64 bytes each, less what 85 of 48 leave over of a page; 1040 in 2048: four of 1365.
    const uint64_t saved = slub_tune(s.slub, 1, &first);
    ck_assert_uint_eq(first.extra_count, 1);
    ck_assert_uint_eq(first.extra[0], 1040);
    const uint64_t more = slub_tune(s.slub, SLUB_EXTRA_MOST, &second);
    ck_assert_uint_gt(more, saved);
    ck_assert_uint_eq(second.extra_count, 2); // nothing else saves anything
    ck_assert_uint_eq(second.extra[0], 48);
    ck_assert_uint_eq(second.extra[1], 1040);
    ck_assert_uint_eq(second.class_objects[3], 32); // runs of 20
    ck_assert_uint_eq(second.class_objects[6], 8);  // runs of one: the least
    ck_assert_uint_eq(second.class_objects[0], 0);  // never asked for
    ck_assert_int_eq(slub_settings_check(&second), STATUS_OK);
    slub_tune(s.slub, SLUB_EXTRA_MOST, &proposal);
    ck_assert_mem_eq(&proposal, &second, sizeof second);
    ck_assert_uint_eq(slub_tune(s.slub, 0, &proposal), 0);
    subject_expect_all_back(&s);
    close_all();
    // With them, these sizes are served by classes of their own.
    open_with(&second);
    ck_assert_uint_eq(s.slub->caches[slub_number(s.slub, 33)].size, 48);
    ck_assert_uint_eq(s.slub->caches[slub_number(s.slub, 49)].size, 64);
    ck_assert_uint_eq(s.slub->caches[slub_number(s.slub, 1040)].size, 1040);
    ck_assert_uint_eq(s.slub->caches[slub_number(s.slub, 1041)].size, 2048);
    workload();
    ck_assert_uint_eq(numbers_of(SLUB_CLASSES).allocations, 1000);
    ck_assert_uint_eq(numbers_of(SLUB_CLASSES + 1).allocations, 100);
    subject_expect_all_back(&s);
    // Tuned again for the same load, nothing is left to save.
    slub_record(s.slub, true);
    workload();
    ck_assert_uint_eq(slub_tune(s.slub, SLUB_EXTRA_MOST, &proposal), 0);
    close_all();
}
END_TEST

START_TEST(without_a_recording_there_is_nothing_to_propose)
{
    struct slub_settings proposal;
    open_with(NULL);
    workload();
    ck_assert_uint_eq(slub_tune(s.slub, SLUB_EXTRA_MOST, &proposal), 0);
    ck_assert_mem_eq(&proposal, &slub_defaults, sizeof proposal);
    close_all();
}
END_TEST

START_TEST(setups_that_break_the_rules_are_refused)
{
    open_with(NULL);
    struct slub_pages pages = s.slub->nodes[0].pages;
    struct slub_range range = {.start = (uintptr_t)s.arena, .length = 1u << 20, .pages = pages};
    struct slub_setup setup = {.ranges = &range,
                               .node_count = 1,
                               .cpus = s.cpus,
                               .cpu_count = 1,
                               .depots = s.depots,
                               .metadata = s.metadata,
                               .metadata_bytes = slub_metadata_bytes(&range, 1)};
    ck_assert_int_eq(slub_init(s.slub, &setup), STATUS_OK);
    setup.metadata_bytes--;
    ck_assert_int_eq(slub_init(s.slub, &setup), STATUS_NO_MEMORY);
    setup.metadata_bytes++;
    setup.cpu_count = CPU_MOST + 1;
    ck_assert_int_eq(slub_init(s.slub, &setup), STATUS_INVALID);
    setup.cpu_count = 1;
    setup.cpus = (struct slub_cpu *)((uintptr_t)s.cpus + 8);
    ck_assert_int_eq(slub_init(s.slub, &setup), STATUS_INVALID);
    setup.cpus = s.cpus;
    struct numa numa;
    numa_init(&numa);
    numa.cpu_node[0] = 1; // there is one node
    setup.numa = &numa;
    ck_assert_int_eq(slub_init(s.slub, &setup), STATUS_INVALID);
    range.start += 8;
    ck_assert_uint_eq(slub_metadata_bytes(&range, 1), 0);
    range.start -= 8;
    const struct slub_range twice[] = {range, range};
    ck_assert_uint_eq(slub_metadata_bytes(twice, 2), 0);
    ck_assert_uint_eq(slub_metadata_bytes(&range, 0), 0);
    range.pages.allocate = NULL;
    ck_assert_uint_eq(slub_metadata_bytes(&range, 1), 0);
    close_all();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slub, settings");
    TCase *tests = tcase_create("settings");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_setting_outside_its_range_is_refused);
    tcase_add_test(tests, bulk_and_preload_are_what_a_miss_moves);
    tcase_add_test(tests, a_full_list_gives_its_release_percentage_back_coldest_first);
    tcase_add_test(tests, lists_of_large_objects_are_shorter_and_a_class_may_have_its_own_length);
    tcase_add_test(tests, empty_slabs_stay_up_to_their_percentage);
    tcase_add_test(tests, an_emergency_gives_its_percentage_of_lists_and_slabs);
    tcase_add_test(tests, flags_of_the_classes_check_objects_of_any_size);
    tcase_add_test(tests, the_fullest_slab_is_filled_first_and_sparse_ones_run_dry);
    tcase_add_test(tests, an_emergency_gives_objects_of_sparse_slabs_first);
    tcase_add_test(tests, tuning_proposes_the_classes_that_save_most_and_lists_as_long_as_runs);
    tcase_add_test(tests, without_a_recording_there_is_nothing_to_propose);
    tcase_add_test(tests, setups_that_break_the_rules_are_refused);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
