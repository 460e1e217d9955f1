// SPDX-License-Identifier: MIT
// The hybrid frame allocator on one node: small and large runs, requests, statuses, exhaustion.
// Stacks, models, nodes and zones, pressure, and several CPUs have files of their own.
#include "frames_subject.h"
#include "random.h"

#define START (64 * MIB)

static struct frames frames;

static uintptr_t allocate(uint64_t count)
{
    const struct frames_request request = {.count = count};
    uintptr_t address = 1;
    const enum status status = frames_allocate(&frames, &request, &address);
    if (status != STATUS_OK)
        ck_abort_msg("%lu frames: status %d", (unsigned long)count, status);
    return address;
}

static uintptr_t one(void)
{
    uintptr_t address = 1;
    ck_assert_int_eq(frames_allocate_one(&frames, &address), STATUS_OK);
    return address;
}

static enum status ask(uint64_t count)
{
    const struct frames_request request = {.count = count};
    uintptr_t address;
    return frames_allocate(&frames, &request, &address);
}

// ---- the named ones ----------------------------------------------------------------------------

START_TEST(a_frame_is_aligned)
{
    plain_frames(&frames, START, 16 * MIB);
    for (unsigned i = 0; i < 500; i++) {
        const uintptr_t address = i % 2 == 0 ? one() : allocate(1);
        ck_assert_uint_eq(address % PAGE_SIZE, 0);
        ck_assert(address >= START && address < START + 16 * MIB);
    }
}
END_TEST

START_TEST(a_run_is_aligned_to_its_length_if_that_is_a_power_of_two)
{
    plain_frames(&frames, START, 64 * MIB);
    for (uint64_t count = 1; count <= 4096; count++) {
        const uintptr_t address = allocate(count);
        const uint64_t alignment = (count & (count - 1)) == 0 ? count * PAGE_SIZE : PAGE_SIZE;
        if (address % alignment != 0)
            ck_abort_msg("%lu frames at %#lx", (unsigned long)count, (unsigned long)address);
        ck_assert_int_eq(frames_release(&frames, address, count), STATUS_OK);
    }
    expect_all_whole(&frames);
}
END_TEST

START_TEST(counts_are_right_from_the_first_call)
{
    plain_frames(&frames, START, 16 * MIB);
    struct frames_statistics s = statistics_of(&frames);
    ck_assert_uint_eq(s.present, 4096);
    ck_assert_uint_eq(s.free, 4096);
    ck_assert_uint_eq(s.allocations + s.releases + s.failures + s.locks + s.stacked + s.lent, 0);
    const uintptr_t a = one();
    s = statistics_of(&frames);
    ck_assert_uint_eq(s.allocations, 1);
    ck_assert_uint_eq(s.free, 4095);
    ck_assert_uint_eq(s.stacked, 63);
    ck_assert_uint_eq(s.lent, 1);
    ck_assert_uint_eq(s.refills, 1);
    ck_assert_uint_eq(s.locks, 1);
    ck_assert_int_eq(frames_release_one(&frames, a), STATUS_OK);
    const uintptr_t b = allocate(5), c = allocate(700);
    s = statistics_of(&frames);
    ck_assert_uint_eq(s.allocations, 3);
    ck_assert_uint_eq(s.releases, 1);
    ck_assert_uint_eq(s.free, 4096 - 705);
    ck_assert_int_eq(frames_release(&frames, b, 5), STATUS_OK);
    ck_assert_int_eq(frames_release(&frames, c, 700), STATUS_OK);
    ck_assert_int_eq(ask(1 << 20), STATUS_NO_MEMORY);
    s = statistics_of(&frames);
    ck_assert_uint_eq(s.releases, 3);
    ck_assert_uint_eq(s.failures, 1);
    ck_assert_uint_eq(s.free, 4096);
    expect_all_whole(&frames);
}
END_TEST

START_TEST(small_runs_take_no_lock_once_a_chunk_is_lent)
{
    plain_frames(&frames, START, 16 * MIB);
    const uintptr_t first = allocate(2);
    const uint64_t before = statistics_of(&frames).locks;
    for (uint64_t count = 2; count < 500; count++) {
        const uintptr_t address = allocate(count);
        ck_assert_int_eq(frames_release(&frames, address, count), STATUS_OK);
    }
    ck_assert_uint_eq(statistics_of(&frames).locks, before);
    ck_assert_int_eq(frames_release(&frames, first, 2), STATUS_OK);
    expect_all_whole(&frames);
}
END_TEST

START_TEST(a_tail_goes_back_and_is_of_use)
{
    plain_frames(&frames, START, 8 * MIB); // 2048 frames
    const uintptr_t a = allocate(1025);
    ck_assert_uint_eq(statistics_of(&frames).free, 1023);
    const uintptr_t b = allocate(512); // in the tail
    ck_assert_int_eq(ask(512), STATUS_NO_MEMORY);
    const uintptr_t c = allocate(256);
    uintptr_t rest[255];
    for (unsigned i = 0; i < 255; i++)
        rest[i] = one();
    ck_assert_uint_eq(statistics_of(&frames).free, 0);
    ck_assert_int_eq(ask(1), STATUS_NO_MEMORY);
    ck_assert_int_eq(frames_release(&frames, a, 1025), STATUS_OK);
    ck_assert_int_eq(frames_release(&frames, b, 512), STATUS_OK);
    ck_assert_int_eq(frames_release(&frames, c, 256), STATUS_OK);
    for (unsigned i = 0; i < 255; i++)
        ck_assert_int_eq(frames_release_one(&frames, rest[i]), STATUS_OK);
    expect_all_whole(&frames);
}
END_TEST

START_TEST(any_part_of_a_run_can_be_released_and_the_rest_later)
{
    static const uint64_t lengths[] = {3, 64, 200, 511, 512, 1000, 1024, 3000};
    struct random random = seeded_for("parts");
    plain_frames(&frames, START, 64 * MIB);
    for (unsigned i = 0; i < 400; i++) {
        const uint64_t length = lengths[random_below(&random, ARRAY_COUNT(lengths))];
        const uintptr_t run = allocate(length);
        const uint64_t from = random_below(&random, length);
        const uint64_t count = 1 + random_below(&random, length - from);
        const uintptr_t part = run + from * PAGE_SIZE, end = part + count * PAGE_SIZE;
        ck_assert_int_eq(frames_release(&frames, part, count), STATUS_OK);
        ck_assert_int_eq(frames_release(&frames, part, count), STATUS_DOUBLE);
        if (count < length) // still in part in use
            ck_assert_int_eq(frames_release(&frames, run, length), STATUS_DOUBLE);
        ck_assert(frames_check(&frames));
        if (from > 0)
            ck_assert_int_eq(frames_release(&frames, run, from), STATUS_OK);
        if (from + count < length)
            ck_assert_int_eq(frames_release(&frames, end, length - from - count), STATUS_OK);
        ck_assert_uint_eq(statistics_of(&frames).free, 64 * MIB / PAGE_SIZE);
    }
    expect_all_whole(&frames);
}
END_TEST

START_TEST(neighbouring_runs_of_both_levels_can_be_released_at_once)
{
    plain_frames(&frames, START, 8 * MIB);
    const struct frames_request low = {.count = 512, .highest = START + 2 * MIB - 1};
    uintptr_t a;
    ck_assert_int_eq(frames_allocate(&frames, &low, &a), STATUS_OK);
    ck_assert_uint_eq(a, START);
    const struct frames_request next = {.count = 256, .highest = START + 4 * MIB - 1};
    uintptr_t b;
    ck_assert_int_eq(frames_allocate(&frames, &next, &b), STATUS_OK);
    ck_assert_uint_eq(b, START + 2 * MIB); // of the bitmap
    ck_assert_int_eq(frames_release(&frames, a, 512 + 257), STATUS_DOUBLE);
    ck_assert_uint_eq(statistics_of(&frames).free, 2048 - 512 - 256);
    ck_assert_int_eq(frames_release(&frames, a, 512 + 256), STATUS_OK);
    expect_all_whole(&frames);
}
END_TEST

// ---- requests ----------------------------------------------------------------------------------

START_TEST(huge_and_giant_frames_are_whole_and_aligned)
{
    plain_frames(&frames, START, 4 * GIB);
    struct frames_request request = {.count = 3, .flags = FRAMES_HUGE};
    uintptr_t huge, giant;
    ck_assert_int_eq(frames_allocate(&frames, &request, &huge), STATUS_OK);
    ck_assert_uint_eq(huge % (2 * MIB), 0);
    ck_assert_uint_eq(statistics_of(&frames).free, 4 * GIB / PAGE_SIZE - 3 * 512);
    request = (struct frames_request){.count = 1, .flags = FRAMES_GIANT};
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(frames_allocate(&frames, &request, &giant), STATUS_OK);
        ck_assert_uint_eq(giant % GIB, 0);
        ck_assert(huge + 6 * MIB <= giant || giant + GIB <= huge);
        if (i == 0)
            ck_assert_int_eq(frames_release(&frames, giant, 1u << 18), STATUS_OK);
    }
    ck_assert_int_eq(frames_release(&frames, giant, 1u << 18), STATUS_OK);
    ck_assert_int_eq(frames_release(&frames, huge, 3 * 512), STATUS_OK);
    expect_all_whole(&frames);
}
END_TEST

START_TEST(a_highest_address_is_kept_by_every_level)
{
    plain_frames(&frames, START + 12 * KIB, 32 * MIB);
    const uintptr_t limits[] = {START + 5 * MIB - 1, START + 9 * MIB + 4095, START + 2 * MIB,
                                START + 16 * KIB - 1};
    for (unsigned i = 0; i < ARRAY_COUNT(limits); i++) {
        uintptr_t got[8192];
        uint64_t counts[8192], n = 0, sum = 0;
        for (uint64_t count = 1024; count > 0; count /= 2) {
            const struct frames_request request = {.count = count, .highest = limits[i]};
            while (frames_allocate(&frames, &request, &got[n]) == STATUS_OK) {
                ck_assert_uint_le(got[n] + count * PAGE_SIZE - 1, limits[i]);
                counts[n++] = count;
                sum += count;
            }
        }
        // Every frame below was found, whichever level had it.
        ck_assert_uint_eq(sum, (limits[i] + 1 - START - 12 * KIB) / PAGE_SIZE);
        while (n-- > 0)
            ck_assert_int_eq(frames_release(&frames, got[n], counts[n]), STATUS_OK);
        expect_all_whole(&frames);
    }
    const struct frames_request below = {.count = 1, .highest = START + 4 * KIB};
    uintptr_t address;
    ck_assert_int_eq(frames_allocate(&frames, &below, &address), STATUS_NO_MEMORY);
}
END_TEST

START_TEST(an_alignment_beyond_the_length_is_kept)
{
    plain_frames(&frames, START, 64 * MIB);
    for (uint64_t alignment = PAGE_SIZE; alignment <= 16 * MIB; alignment *= 2) {
        for (uint64_t count = 1; count < 3000; count = count * 3 + 1) {
            const struct frames_request request = {.count = count, .alignment = alignment};
            uintptr_t address;
            ck_assert_int_eq(frames_allocate(&frames, &request, &address), STATUS_OK);
            ck_assert_uint_eq(address % alignment, 0);
            ck_assert_uint_eq(statistics_of(&frames).free, 64 * MIB / PAGE_SIZE - count);
            ck_assert_int_eq(frames_release(&frames, address, count), STATUS_OK);
        }
    }
    expect_all_whole(&frames);
}
END_TEST

START_TEST(a_request_that_breaks_a_rule_is_refused)
{
    static const struct frames_request invalid[] = {
        {.count = 0},
        {.count = 1, .alignment = 3 * PAGE_SIZE},
        {.count = 1, .zone = FRAMES_ZONES},
        {.count = 1, .flags = FRAMES_HUGE | FRAMES_GIANT},
        {.count = 1, .flags = FRAMES_FLAGS + 1},
        {.count = 1, .node = 1, .flags = FRAMES_ON_NODE},
    };
    static const struct frames_request large[] = {
        {.count = FRAMES_LARGEST + 1},
        {.count = UINT64_MAX},
        {.count = UINT64_MAX / 2, .flags = FRAMES_GIANT},
        {.count = 5, .flags = FRAMES_GIANT},
        {.count = 2049, .flags = FRAMES_HUGE},
        {.count = 1, .alignment = 8 * GIB},
    };
    uintptr_t address = 77;
    plain_frames(&frames, START, 16 * MIB);
    for (unsigned i = 0; i < ARRAY_COUNT(invalid); i++)
        ck_assert_int_eq(frames_allocate(&frames, &invalid[i], &address), STATUS_INVALID);
    for (unsigned i = 0; i < ARRAY_COUNT(large); i++)
        ck_assert_int_eq(frames_allocate(&frames, &large[i], &address), STATUS_TOO_LARGE);
    ck_assert_uint_eq(address, 77);
    ck_assert_uint_eq(statistics_of(&frames).failures, ARRAY_COUNT(large));
    ck_assert_int_eq(frames_allocate_on_node(&frames, 300, 1, &address), STATUS_INVALID);
    expect_all_whole(&frames);
}
END_TEST

// ---- misuse ------------------------------------------------------------------------------------

START_TEST(misuse_is_a_status_and_changes_nothing)
{
    plain_frames(&frames, START + 4 * KIB, 16 * MIB);
    const uintptr_t a = one(), b = allocate(9), c = allocate(600);
    const struct frames_statistics before = statistics_of(&frames);
    const struct {
        uintptr_t address;
        uint64_t count;
        enum status status;
    } bad[] = {
        {a + 1, 1, STATUS_INVALID},
        {a + 8, 1, STATUS_INVALID},
        {b + 2048, 2, STATUS_INVALID},
        {a, 0, STATUS_INVALID},
        {0, 1, STATUS_FOREIGN},
        {START, 1, STATUS_FOREIGN}, // in front, in the same chunk
        {START + 16 * MIB + 4 * KIB, 1, STATUS_FOREIGN},
        {START + 3, 1, STATUS_FOREIGN},
        {UINTPTR_MAX - 4095, 1, STATUS_FOREIGN},
        {b, 1ull << 52, STATUS_FOREIGN},
        {START + 16 * MIB, 2, STATUS_FOREIGN}, // half of it
        {b, 10, STATUS_DOUBLE},
        {b + 9 * PAGE_SIZE, 1, STATUS_DOUBLE},
        {c, 601, STATUS_DOUBLE},
        {c + 600 * PAGE_SIZE, 1, STATUS_DOUBLE},
    };
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        const enum status status = bad[i].count == 1
                                       ? frames_release_one(&frames, bad[i].address)
                                       : frames_release(&frames, bad[i].address, bad[i].count);
        if (status != bad[i].status)
            ck_abort_msg("case %u: status %d", i, status);
    }
    ck_assert(frames_check(&frames));
    const struct frames_statistics after = statistics_of(&frames);
    ck_assert_uint_eq(after.free, before.free);
    ck_assert_uint_eq(after.releases, before.releases);
    ck_assert_int_eq(frames_release_one(&frames, a), STATUS_OK);
    ck_assert_int_eq(frames_release(&frames, b, 9), STATUS_OK);
    ck_assert_int_eq(frames_release(&frames, c, 600), STATUS_OK);
    expect_all_whole(&frames);
}
END_TEST

START_TEST(a_single_frame_of_no_whole_chunk_is_caught_too)
{
    uintptr_t got[100];
    plain_frames(&frames, START, 400 * KIB); // the buddy's all the time
    for (unsigned i = 0; i < 100; i++)
        got[i] = one();
    for (unsigned i = 0; i < 100; i++) { // both ways back
        const enum status status =
            i % 2 == 0 ? frames_release(&frames, got[i], 1) : frames_release_one(&frames, got[i]);
        ck_assert_int_eq(status, STATUS_OK);
        ck_assert_int_eq(frames_release_one(&frames, got[i]), STATUS_DOUBLE);
        ck_assert_int_eq(frames_release(&frames, got[i], 1), STATUS_DOUBLE);
        ck_assert(frames_check(&frames));
    }
    expect_all_whole(&frames);
}
END_TEST

// ---- exhaustion --------------------------------------------------------------------------------

START_TEST(every_frame_of_odd_ranges_is_handed_out_once_and_comes_back)
{
    static const struct {
        uintptr_t start;
        uint64_t length;
    } ranges[] = {{START, 4 * KIB},
                  {START + 4 * KIB, 636 * KIB},
                  {START, 2 * MIB},
                  {START + 2 * MIB - 4 * KIB, 8 * KIB},
                  {START + 20 * KIB, 7 * MIB},
                  {START + 1 * MIB, 4 * MIB + 12 * KIB}};
    static uintptr_t got[2048];
    for (unsigned i = 0; i < ARRAY_COUNT(ranges); i++) {
        const uint64_t count = ranges[i].length / PAGE_SIZE;
        plain_frames(&frames, ranges[i].start, ranges[i].length);
        for (unsigned turn = 0; turn < 3; turn++) {
            bool seen[2048] = {false};
            for (uint64_t n = 0; n < count; n++) {
                got[n] = turn == 1 ? allocate(1) : one();
                const uint64_t at = (got[n] - ranges[i].start) / PAGE_SIZE;
                ck_assert(at < count && !seen[at]);
                seen[at] = true;
            }
            uintptr_t address;
            ck_assert_int_eq(frames_allocate_one(&frames, &address), STATUS_NO_MEMORY);
            ck_assert_uint_eq(statistics_of(&frames).free, 0);
            for (uint64_t n = 0; n < count; n++) {
                const uint64_t k = turn == 2 ? count - 1 - n : n;
                ck_assert_int_eq(frames_release_one(&frames, got[k]), STATUS_OK);
            }
            ck_assert(frames_check(&frames));
        }
        expect_all_whole(&frames);
    }
}
END_TEST

START_TEST(metadata_is_below_one_percent_and_its_size_is_told)
{
    const struct frames_config config = plain_config(CPU_MOST);
    static const uint64_t lengths[] = {16 * MIB, 64 * MIB, GIB, 1000 * MIB, 3 * GIB, 64 * GIB};
    for (unsigned i = 0; i < ARRAY_COUNT(lengths); i++) {
        // The worst origin: the largest block begins far in front.
        const struct frames_range range = {.start = 64 * GIB - 4 * KIB, .length = lengths[i]};
        const size_t bytes = frames_metadata_bytes(&config, &range, 1);
        ck_assert_uint_gt(bytes, 0);
        ck_assert_uint_lt((bytes + sizeof(struct frames)) * 100, lengths[i]);
    }
    plain_frames(&frames, START, 64 * MIB);
    const struct frames_config two = plain_config(2);
    const struct frames_range range = {.start = START, .length = 64 * MIB};
    ck_assert_uint_eq(statistics_of(&frames).metadata_bytes,
                      frames_metadata_bytes(&two, &range, 1) + sizeof(frames));
}
END_TEST

START_TEST(a_bad_configuration_or_too_little_metadata_is_refused)
{
    const struct frames_config good = plain_config(1);
    const struct frames_range range = {.start = START, .length = MIB};
    const struct frames_range crossed[] = {{.start = START, .length = MIB},
                                           {.start = START + MIB / 2, .length = MIB}};
    const struct frames_range empty = {.start = START + 1, .length = 8000};
    const struct frames_range wraps = {.start = START, .length = UINT64_MAX};
    struct frames_config bad[8];
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        bad[i] = good;
    bad[0].numa = NULL;
    bad[1].cpus = 0;
    bad[2].cpus = CPU_MOST + 1;
    bad[3].lend_order = 8;
    bad[4].lend_order = 14;
    bad[5].dma_end = 100;
    bad[6].marks = (struct frames_marks){.low = 1, .min = 2};
    bad[7].dma_end = 16 * MIB, bad[7].high_start = 8 * MIB;
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
        ck_assert_uint_eq(frames_metadata_bytes(&bad[i], &range, 1), 0);
    ck_assert_uint_eq(frames_metadata_bytes(&good, crossed, 2), 0);
    ck_assert_uint_eq(frames_metadata_bytes(&good, &empty, 1), 0);
    ck_assert_uint_eq(frames_metadata_bytes(&good, &wraps, 1), 0);
    ck_assert_uint_eq(frames_metadata_bytes(&good, &range, 0), 0);
    const size_t bytes = frames_metadata_bytes(&good, &range, 1);
    char *metadata = aligned_alloc(CACHE_LINE, bytes);
    memset(&frames, 0, sizeof frames);
    ck_assert_int_eq(frames_init(&frames, &good, &range, 1, metadata, bytes - 1), STATUS_NO_MEMORY);
    ck_assert_int_eq(frames_init(&frames, &good, &range, 1, metadata + 8, bytes), STATUS_INVALID);
    ck_assert_int_eq(frames_init(&frames, &bad[0], &range, 1, metadata, bytes), STATUS_INVALID);
    ck_assert_uint_eq(statistics_of(&frames).present, 0);
    ck_assert_int_eq(frames_init(&frames, &good, &range, 1, metadata, bytes), STATUS_OK);
    free(metadata);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("frames");
    TCase *tests = tcase_create("frames");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, NULL, subject_tear_down);
    tcase_add_test(tests, a_frame_is_aligned);
    tcase_add_test(tests, a_run_is_aligned_to_its_length_if_that_is_a_power_of_two);
    tcase_add_test(tests, counts_are_right_from_the_first_call);
    tcase_add_test(tests, small_runs_take_no_lock_once_a_chunk_is_lent);
    tcase_add_test(tests, a_tail_goes_back_and_is_of_use);
    tcase_add_test(tests, any_part_of_a_run_can_be_released_and_the_rest_later);
    tcase_add_test(tests, neighbouring_runs_of_both_levels_can_be_released_at_once);
    tcase_add_test(tests, huge_and_giant_frames_are_whole_and_aligned);
    tcase_add_test(tests, a_highest_address_is_kept_by_every_level);
    tcase_add_test(tests, an_alignment_beyond_the_length_is_kept);
    tcase_add_test(tests, a_request_that_breaks_a_rule_is_refused);
    tcase_add_test(tests, misuse_is_a_status_and_changes_nothing);
    tcase_add_test(tests, a_single_frame_of_no_whole_chunk_is_caught_too);
    tcase_add_test(tests, every_frame_of_odd_ranges_is_handed_out_once_and_comes_back);
    tcase_add_test(tests, metadata_is_below_one_percent_and_its_size_is_told);
    tcase_add_test(tests, a_bad_configuration_or_too_little_metadata_is_refused);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
