// SPDX-License-Identifier: MIT
// Every frame allocator, one body for all of them: what frame.h promises, against a plain table of
// who owns which frame.
#include "frame_subject.h"
#include "run_checks.h"
#include "soak.h"

// Those that check and count: all but bounds.
static const struct frame_ops *checked[ARRAY_COUNT(variants)];
static int checked_count;

// ---- the model: who owns which frame ------------------------------------------------------------

#define SLOTS 300

struct run {
    uintptr_t address;
    uint64_t count; // 0: the slot is empty
};

struct model {
    struct run runs[SLOTS];
    uint64_t allocations, releases, failures, live_frames;
};

static void claim(struct fixture *f, uintptr_t address, uint64_t count, uint16_t who)
{
    const uint64_t first = (address - f->start) / PAGE_SIZE;
    if (address < f->start || first >= f->frames || count > f->frames - first)
        ck_abort_msg("%lu frames at %lx leave the range", (unsigned long)count, address);
    if (address % ((count & (count - 1)) == 0 ? count * PAGE_SIZE : PAGE_SIZE) != 0)
        ck_abort_msg("%lu frames at %lx are not aligned", (unsigned long)count, address);
    for (uint64_t i = first; i < first + count; i++) {
        if (f->owner[i] != 0)
            ck_abort_msg("frame %lu is handed out twice", (unsigned long)i);
        f->owner[i] = who;
    }
    // The user's own: a link in a frame in use would lie at its start.
    for (uint64_t i = 0; f->ops->touches_frames && i < count; i++) {
        unsigned char *const frame = (unsigned char *)address + i * PAGE_SIZE;
        memset(frame, 0xa0 + who % 16, 16);
        frame[PAGE_SIZE - 1] = (unsigned char)(0xa0 + who % 16);
    }
}

static void disclaim(struct fixture *f, uintptr_t address, uint64_t count, uint16_t who)
{
    const uint64_t first = (address - f->start) / PAGE_SIZE;
    const unsigned char *const bytes = (const unsigned char *)address;
    for (uint64_t i = 0; i < count; i++) {
        if (f->owner[first + i] != who) // Check tells itself of every assertion: not one a frame
            ck_abort_msg("frame %lu is not its owner's", (unsigned long)(first + i));
        f->owner[first + i] = 0;
        if (f->ops->touches_frames && (bytes[i * PAGE_SIZE] != 0xa0 + who % 16 ||
                                       bytes[(i + 1) * PAGE_SIZE - 1] != 0xa0 + who % 16))
            ck_abort_msg("frame %lu was written to", (unsigned long)(first + i));
    }
}

static bool allocate(struct fixture *f, struct model *model, unsigned slot, uint64_t count)
{
    struct run *run = &model->runs[slot];
    if (!f->ops->allocate(f->state, count, &run->address)) {
        model->failures++;
        return false;
    }
    claim(f, run->address, count, (uint16_t)(slot + 1));
    run->count = count;
    model->allocations++;
    model->live_frames += count;
    return true;
}

static void release(struct fixture *f, struct model *model, unsigned slot)
{
    struct run *run = &model->runs[slot];
    disclaim(f, run->address, run->count, (uint16_t)(slot + 1));
    if (f->ops->release(f->state, run->address, run->count) != STATUS_OK)
        ck_abort_msg("%lu frames are not taken back", (unsigned long)run->count);
    model->releases++;
    model->live_frames -= run->count;
    run->count = 0;
}

static void expect_statistics(const struct fixture *f, const struct model *model)
{
    const struct frame_statistics s = statistics_of(f);
    if (is_floor(f->ops)) { // counts nothing, and must say so
        const struct frame_statistics none = {0};
        ck_assert_mem_eq(&s, &none, sizeof(s));
        return;
    }
    ck_assert_uint_eq(s.present, f->frames);
    ck_assert_uint_eq(s.allocations, model->allocations);
    ck_assert_uint_eq(s.releases, model->releases);
    ck_assert_uint_eq(s.failures, model->failures);
    // A run may have been rounded up to the next power of two.
    ck_assert_uint_le(s.free, f->frames - model->live_frames);
    ck_assert_uint_ge(s.free + 2 * model->live_frames, f->frames);
    ck_assert_uint_le(s.largest_run, s.free);
    ck_assert_uint_le(s.free_runs, s.free);
    ck_assert_uint_ge(s.largest_run * s.free_runs, s.free);
    ck_assert_uint_gt(s.metadata_bytes, 0);
    ck_assert_uint_le(s.metadata_bytes, f->metadata_length + f->ops->state_bytes);
    if (model->live_frames == 0)
        ck_assert_uint_eq(s.free, f->frames);
}

static uint64_t log_uniform(struct random *random, uint64_t highest)
{
    const uint64_t bits = random_below(random, log2_u64(highest) + 1);
    return min_u64(highest, (1ull << bits) + random_below(random, 1ull << bits));
}

static void run_model(struct fixture *f, struct random *random, unsigned operations, uint64_t most)
{
    struct model *model = calloc(1, sizeof(*model));
    for (unsigned i = 0; i < operations; i++) {
        const unsigned slot = (unsigned)random_below(random, SLOTS);
        const uint64_t count = random_below(random, 2) == 0 ? 1 : log_uniform(random, most);
        if (model->runs[slot].count > 0)
            release(f, model, slot);
        else if (!allocate(f, model, slot, count) && count == 1 &&
                 2 * model->live_frames < f->frames)
            ck_abort_msg("a frame was refused while %lu of %lu are in use",
                         (unsigned long)model->live_frames, (unsigned long)f->frames);
        if (i % 1000 == 0) {
            if (!f->ops->check(f->state))
                ck_abort_msg("an invariant is broken after %u operations", i);
            expect_statistics(f, model);
        }
    }
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (model->runs[slot].count > 0)
            release(f, model, slot);
    ck_assert(f->ops->check(f->state));
    expect_statistics(f, model);
    free(model);
}

static unsigned operations(void)
{
    return soaked(40000, 2000000);
}

START_TEST(random_runs_never_overlap_and_every_frame_comes_back)
{
    struct fixture f = range_of(variants[_i], 64 * MIB);
    struct random random = seeded("random runs", f.ops);
    run_model(&f, &random, operations(), min_u64(f.ops->run_longest, 1024));
    discard(&f);
}
END_TEST

START_TEST(random_runs_survive_a_range_that_is_nearly_full)
{
    struct fixture f = range_of(variants[_i], MIB);
    struct random random = seeded("nearly full", f.ops);
    run_model(&f, &random, operations(), 16);
    discard(&f);
}
END_TEST

START_TEST(a_range_that_begins_and_ends_anywhere_works_to_its_last_frame)
{
    struct random random = seeded("odd ranges", variants[_i]);
    for (unsigned i = 0; i < 20; i++) {
        const uint64_t offset = random_below(&random, 700) * PAGE_SIZE;
        const uint64_t length = (1 + random_below(&random, i < 5 ? 4 : 3000)) * PAGE_SIZE;
        if (variants[_i]->metadata_bytes(NOWHERE + offset, length) == 0)
            continue; // too short for this one
        struct fixture f = range_at(variants[_i], offset, length);
        run_model(&f, &random, 3000, 8);
        discard(&f);
    }
}
END_TEST

// ---- exhaustion ---------------------------------------------------------------------------------

static uint64_t allocate_all(struct fixture *f, uintptr_t *frames)
{
    uint64_t count = 0;
    while (f->ops->allocate(f->state, 1, &frames[count])) {
        claim(f, frames[count], 1, 1);
        count++;
    }
    return count;
}

static void release_shuffled(struct fixture *f, uintptr_t *frames, uint64_t count,
                             struct random *random)
{
    for (uint64_t left = count; left > 0; left--) {
        const uint64_t i = random_below(random, left);
        disclaim(f, frames[i], 1, 1);
        ck_assert_int_eq(f->ops->release(f->state, frames[i], 1), STATUS_OK);
        frames[i] = frames[left - 1];
    }
}

START_TEST(all_frames_can_be_had_and_then_none_and_all_again)
{
    struct fixture f = range_of(variants[_i], 4 * MIB);
    struct random random = seeded("exhaustion", f.ops);
    struct model model = {0};
    uintptr_t *frames = malloc((f.frames + 1) * sizeof(*frames));
    uintptr_t none = 0x1234;
    for (unsigned turn = 0; turn < 3; turn++) {
        const uint64_t count = allocate_all(&f, frames);
        if (!is_floor(f.ops)) // which keeps runs apart
            ck_assert_uint_eq(count, f.frames);
        ck_assert(!f.ops->allocate(f.state, 1, &none));
        ck_assert(!is_floor(f.ops) || count >= f.frames / 2);
        ck_assert(f.ops->check(f.state));
        release_shuffled(&f, frames, count, &random);
        model.allocations += count;
        model.releases += count;
        model.failures += 2;
        expect_statistics(&f, &model);
    }
    ck_assert(f.ops->check(f.state));
    free(frames);
    discard(&f);
}
END_TEST

START_TEST(memory_of_single_frames_serves_long_runs_once_they_are_freed)
{
    struct fixture f = range_of(checked[_i], 16 * MIB);
    struct random random = seeded("coalescing", f.ops);
    uintptr_t *frames = malloc((f.frames + 1) * sizeof(*frames)), run;
    for (unsigned turn = 0; turn < 2; turn++) {
        ck_assert(f.ops->allocate(f.state, f.frames / 2, &run));
        claim(&f, run, f.frames / 2, 7);
        ck_assert_uint_gt(allocate_all(&f, frames), 0);
        disclaim(&f, run, f.frames / 2, 7);
        ck_assert_int_eq(f.ops->release(f.state, run, f.frames / 2), STATUS_OK);
        ck_assert(f.ops->allocate(f.state, f.frames / 2, &run));
        ck_assert_int_eq(f.ops->release(f.state, run, f.frames / 2), STATUS_OK);
        release_shuffled(&f, frames, f.frames / 2, &random);
    }
    ck_assert(f.ops->check(f.state));
    free(frames);
    discard(&f);
}
END_TEST

START_TEST(a_run_longer_than_the_range_is_refused_and_counted)
{
    struct fixture f = range_of(checked[_i], 4 * MIB);
    const uint64_t counts[] = {f.frames + 1, 2 * f.frames};
    const uint64_t never[] = {f.ops->run_longest + 1, UINT64_MAX / 2, UINT64_MAX};
    struct model model = {0};
    uintptr_t address;
    for (unsigned i = 0; i < ARRAY_COUNT(counts); i++)
        ck_assert(!f.ops->allocate(f.state, counts[i], &address));
    model.failures = statistics_of(&f).failures;
    ck_assert_uint_eq(model.failures, ARRAY_COUNT(counts));
    for (unsigned i = 0; i < ARRAY_COUNT(never); i++)
        ck_assert(!f.ops->allocate(f.state, never[i], &address));
    model.failures = statistics_of(&f).failures; // these need not be counted
    expect_statistics(&f, &model);
    ck_assert(f.ops->check(f.state));
    discard(&f);
}
END_TEST

START_TEST(statistics_are_right_from_the_first_call)
{
    struct fixture f = range_of(variants[_i], 4 * MIB);
    const struct model none = {0};
    expect_statistics(&f, &none);
    const struct frame_statistics s = statistics_of(&f);
    if (!is_floor(f.ops)) {
        ck_assert_uint_eq(s.free, f.frames);
        ck_assert_uint_eq(s.largest_run, f.frames);
        ck_assert_uint_eq(s.free_runs, 1);
    }
    discard(&f);
}
END_TEST

START_TEST(free_runs_are_counted_as_they_lie)
{
    struct fixture f = range_of(checked[_i], 4 * MIB);
    uintptr_t *frames = malloc((f.frames + 1) * sizeof(*frames));
    const uint64_t count = allocate_all(&f, frames);
    ck_assert_uint_eq(statistics_of(&f).free_runs, 0);
    // Frees frames 0..2, 64 and 65, and the last one: runs of 3, 2 and 1.
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t frame = (frames[i] - f.start) / PAGE_SIZE;
        if (frame < 3 || frame / 2 == 32 || frame == f.frames - 1)
            ck_assert_int_eq(f.ops->release(f.state, frames[i], 1), STATUS_OK);
    }
    const struct frame_statistics s = statistics_of(&f);
    ck_assert_uint_eq(s.free, 6);
    ck_assert_uint_eq(s.free_runs, 3);
    ck_assert_uint_eq(s.largest_run, 3);
    free(frames);
    discard(&f);
}
END_TEST

// ---- misuse -------------------------------------------------------------------------------------

// The call is refused with that status, and nothing has changed.
static void expect_refused(const struct fixture *f, uintptr_t address, uint64_t count,
                           enum status status)
{
    const struct frame_statistics before = statistics_of(f);
    const enum status given = f->ops->release(f->state, address, count);
    ck_assert_msg(given == status, "%lu frames at start + %lx: status %d, not %d",
                  (unsigned long)count, (unsigned long)(address - f->start), given, status);
    const struct frame_statistics after = statistics_of(f);
    ck_assert_uint_eq(after.free, before.free);
    ck_assert_uint_eq(after.releases, before.releases);
    ck_assert_uint_eq(after.free_runs, before.free_runs);
    ck_assert(f->ops->check(f->state));
}

START_TEST(what_is_freed_twice_is_told)
{
    static const uint64_t counts[] = {1, 2, 3, 64, 100};
    struct fixture f = range_of(checked[_i], 4 * MIB);
    for (unsigned i = 0; i < ARRAY_COUNT(counts); i++) {
        uintptr_t run, others[3];
        for (unsigned k = 0; k < 3; k++)
            ck_assert(f.ops->allocate(f.state, counts[i], &others[k]));
        ck_assert(f.ops->allocate(f.state, counts[i], &run));
        ck_assert_int_eq(f.ops->release(f.state, run, counts[i]), STATUS_OK);
        expect_refused(&f, run, counts[i], STATUS_DOUBLE);
        for (unsigned k = 0; k < 3; k++)
            ck_assert_int_eq(f.ops->release(f.state, others[k], counts[i]), STATUS_OK);
        expect_refused(&f, run, counts[i], STATUS_DOUBLE);
    }
    discard(&f);
}
END_TEST

START_TEST(frames_never_handed_out_are_free_already)
{
    struct fixture f = range_of(checked[_i], 4 * MIB);
    expect_refused(&f, f.start + 2 * MIB, 1, STATUS_DOUBLE);
    expect_refused(&f, f.start + 2 * MIB, 4, STATUS_DOUBLE);
    discard(&f);
}
END_TEST

START_TEST(addresses_from_elsewhere_are_told)
{
    struct fixture f = range_at(checked[_i], MIB, 4 * MIB);
    uintptr_t run;
    ck_assert(f.ops->allocate(f.state, 1, &run));
    expect_refused(&f, f.start - PAGE_SIZE, 1, STATUS_FOREIGN);
    expect_refused(&f, f.start + f.length, 1, STATUS_FOREIGN);
    expect_refused(&f, 0, 1, STATUS_FOREIGN);
    expect_refused(&f, UINTPTR_MAX - PAGE_SIZE + 1, 1, STATUS_FOREIGN);
    discard(&f);
}
END_TEST

START_TEST(addresses_that_begin_no_frame_and_runs_of_nothing_are_told)
{
    struct fixture f = range_of(checked[_i], 4 * MIB);
    uintptr_t run;
    ck_assert(f.ops->allocate(f.state, 4, &run));
    expect_refused(&f, run + 8, 4, STATUS_INVALID);
    expect_refused(&f, run + 8, 1, STATUS_INVALID);
    expect_refused(&f, run, 0, STATUS_INVALID);
    ck_assert_int_eq(f.ops->release(f.state, run, 4), STATUS_OK);
    discard(&f);
}
END_TEST

START_TEST(ranges_and_metadata_that_break_the_rules_are_refused_at_init)
{
    struct fixture f = range_of(variants[_i], 4 * MIB);
    static const struct {
        uintptr_t start;
        uint64_t length;
    } wrong[] = {{NOWHERE + 8, 4 * MIB},
                 {NOWHERE, 4 * MIB + 8},
                 {NOWHERE, 0},
                 {UINTPTR_MAX - MIB + 1, 2 * MIB}};
    for (unsigned i = 0; i < ARRAY_COUNT(wrong); i++) {
        ck_assert_uint_eq(f.ops->metadata_bytes(wrong[i].start, wrong[i].length), 0);
        ck_assert_int_eq(
            f.ops->init(f.state, wrong[i].start, wrong[i].length, f.metadata, f.metadata_length),
            STATUS_INVALID);
    }
    ck_assert_int_eq(f.ops->init(f.state, f.start, f.length, f.metadata, f.metadata_length - 8),
                     STATUS_NO_MEMORY);
    discard(&f);
}
END_TEST

START_TEST(metadata_is_below_a_hundredth_of_a_large_range)
{
    const struct frame_ops *ops = variants[_i];
    const uint64_t length = 1024 * MIB;
    ck_assert_uint_lt(ops->metadata_bytes(NOWHERE, length) + ops->state_bytes, length / 100);
}
END_TEST

START_TEST(names_fit_row_ids)
{
    const struct frame_ops *ops = variants[_i];
    ck_assert_uint_eq(strspn(ops->about.name, "abcdefghijklmnopqrstuvwxyz0123456789_"),
                      strlen(ops->about.name));
    ck_assert_uint_gt(strlen(ops->about.what), 0);
}
END_TEST

static Suite *frame_suite(void)
{
    Suite *suite = suite_create("frame");
    TCase *all = tcase_create("every allocator"), *products = tcase_create("those that check");
    const int count = (int)ARRAY_COUNT(variants);
    for (int i = 0; i < count; i++) {
        if (!is_floor(variants[i]))
            checked[checked_count++] = variants[i];
    }
    tcase_set_timeout(all, 120);
    tcase_add_loop_test(all, random_runs_never_overlap_and_every_frame_comes_back, 0, count);
    tcase_add_loop_test(all, random_runs_survive_a_range_that_is_nearly_full, 0, count);
    tcase_add_loop_test(all, a_range_that_begins_and_ends_anywhere_works_to_its_last_frame, 0,
                        count);
    tcase_add_loop_test(all, all_frames_can_be_had_and_then_none_and_all_again, 0, count);
    tcase_add_loop_test(all, statistics_are_right_from_the_first_call, 0, count);
    tcase_add_loop_test(all, ranges_and_metadata_that_break_the_rules_are_refused_at_init, 0,
                        count);
    tcase_add_loop_test(all, metadata_is_below_a_hundredth_of_a_large_range, 0, count);
    tcase_add_loop_test(all, names_fit_row_ids, 0, count);
    suite_add_tcase(suite, all);

    tcase_set_timeout(products, 120);
#define CHECKED(test) tcase_add_loop_test(products, test, 0, checked_count)
    CHECKED(memory_of_single_frames_serves_long_runs_once_they_are_freed);
    CHECKED(a_run_longer_than_the_range_is_refused_and_counted);
    CHECKED(free_runs_are_counted_as_they_lie);
    CHECKED(what_is_freed_twice_is_told);
    CHECKED(frames_never_handed_out_are_free_already);
    CHECKED(addresses_from_elsewhere_are_told);
    CHECKED(addresses_that_begin_no_frame_and_runs_of_nothing_are_told);
#undef CHECKED
    suite_add_tcase(suite, products);
    return suite;
}

int main(void)
{
    return run_checks(frame_suite());
}
