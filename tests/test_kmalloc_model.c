// SPDX-License-Identifier: MIT
// kmalloc against a plain array, on several handles and CPUs; what krealloc keeps; every short
// sequence of calls; memory that runs out at every place it can.
#include "kmalloc_subject.h"
#include "random.h"
#include "run_checks.h"
#include "seed.h"
#include "soak.h"

static void make_4_mb(void)
{
    make_heap(4u << 20);
}

static void *filled(size_t size, unsigned char pattern)
{
    void *object = kmalloc(&heap, size);
    ck_assert_ptr_nonnull(object);
    return memset(object, pattern, size);
}

// ---- krealloc -----------------------------------------------------------------------------------

START_TEST(krealloc_of_nothing_is_kmalloc_and_of_no_bytes_the_smallest_object)
{
    unsigned char *object = krealloc(&heap, NULL, 100);
    ck_assert_ptr_nonnull(object);
    ck_assert_uint_eq(kmalloc_usable(&heap, object), 128);
    ck_assert_uint_eq(statistics().allocations, 1);
    memset(object, 7, 100);
    object = krealloc(&heap, object, 0);
    ck_assert_ptr_nonnull(object); // still there, to be freed
    ck_assert_uint_eq(kmalloc_usable(&heap, object), 16);
    ck_assert_ptr_eq(krealloc(&heap, object, 0), object);
    kfree(&heap, object);
    ck_assert_ptr_nonnull(object = krealloc(&heap, NULL, 0));
    kfree(&heap, object);
    expect_all_back(1);
}
END_TEST

START_TEST(krealloc_stays_while_the_object_fits_and_uses_a_quarter)
{
    static const size_t sizes[] = {16, 64, 256, 512, 2048, 4096};
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        const size_t has = sizes[i];
        unsigned char *object = filled(has, 9);
        for (size_t size = has; size > has / 4; size--)
            ck_assert_ptr_eq(krealloc(&heap, object, size), object);
        ck_assert_ptr_eq(krealloc(&heap, object, has), object);
        expect_bytes(object, has, 9);
        if (has > 16) {
            unsigned char *moved = krealloc(&heap, object, has / 4);
            ck_assert_ptr_ne(moved, object);
            expect_bytes(moved, has / 4, 9);
            object = moved;
        }
        kfree(&heap, object);
    }
    expect_all_back(1);
}
END_TEST

START_TEST(krealloc_keeps_the_contents_from_every_size_to_every_other)
{
    static const size_t sizes[] = {1,    16,   17,   100,  256,  257,   512,   1000,  2048,
                                   2049, 4096, 4097, 8192, 8193, 20000, 32768, 65537, 300000};
    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++)
        for (unsigned k = 0; k < ARRAY_COUNT(sizes); k++) {
            unsigned char *object = filled(sizes[i], 0x33);
            object = krealloc(&heap, object, sizes[k]);
            ck_assert_ptr_nonnull(object);
            expect_bytes(object, min_u64(sizes[i], sizes[k]), 0x33);
            ck_assert_uint_ge(kmalloc_usable(&heap, object), sizes[k]);
            memset(object, 0x44, sizes[k]);
            kfree(&heap, object);
        }
    expect_all_back(1);
}
END_TEST

START_TEST(a_block_grows_in_place_into_what_is_free_behind_it)
{
    // A block of 64 KiB is the lower half of one of 128 KiB as soon as that was split for it.
    unsigned char *block = filled(65536, 5), *neighbour = kmalloc(&heap, 65536);
    while ((uintptr_t)block % 131072 != 0 || neighbour != block + 65536) {
        block = memset(neighbour, 5, 65536);
        neighbour = kmalloc(&heap, 65536);
        ck_assert_ptr_nonnull(neighbour);
    }
    unsigned char *moved = krealloc(&heap, block, 131072); // it is used: it has to move
    ck_assert_ptr_ne(moved, block);
    expect_bytes(moved, 65536, 5);
    kfree(&heap, moved);
    block = kmalloc(&heap, 65536); // what was left there
    while ((uintptr_t)block % 131072 != 0 || block + 65536 != neighbour)
        ck_assert_ptr_nonnull(block = kmalloc(&heap, 65536));
    memset(block, 6, 65536);
    kfree(&heap, neighbour);
    const struct heap_statistics before = statistics();
    ck_assert_ptr_eq(krealloc(&heap, block, 65537), block);
    ck_assert_uint_eq(kmalloc_usable(&heap, block), 131072);
    expect_bytes(block, 65536, 6);
    ck_assert_uint_eq(statistics().allocations, before.allocations);
    ck_assert_uint_eq(statistics().bytes_allocated - before.bytes_allocated, 65536);
    expect_sound();
    // And gives its tail back in place: what it gave can be had.
    ck_assert_ptr_eq(krealloc(&heap, block, 30000), block);
    ck_assert_uint_eq(kmalloc_usable(&heap, block), 32768);
    ck_assert_uint_eq(statistics().bytes_freed - before.bytes_freed, 98304);
    expect_bytes(block, 30000, 6);
    expect_sound();
}
END_TEST

START_TEST(growth_that_does_not_reach_leaves_all_as_it_was)
{
    drop_heap();
    make_heap(1u << 20);
    // 8 KiB with the next 8 KiB free and used memory behind: 16 KiB would do, 32 do not.
    unsigned char *blocks[128];
    unsigned count = 0, first = 0;
    while ((blocks[count] = kmalloc(&heap, 8192)) != NULL)
        count++;
    for (unsigned i = 0; i < count && first == 0; i++)
        for (unsigned k = 0; k < count; k++)
            if ((uintptr_t)blocks[i] % 32768 == 0 && blocks[k] == blocks[i] + 8192) {
                unsigned char *swap = blocks[k];
                blocks[k] = blocks[count - 1];
                blocks[count - 1] = swap;
                first = i + 1;
                break;
            }
    ck_assert_uint_gt(first, 0);
    unsigned char *block = blocks[first - 1];
    memset(block, 8, 8192);
    kfree(&heap, blocks[--count]);
    ck_assert_ptr_null(krealloc(&heap, block, 32768));
    ck_assert_uint_eq(kmalloc_usable(&heap, block), 8192);
    expect_bytes(block, 8192, 8);
    expect_sound();
    ck_assert_ptr_eq(krealloc(&heap, block, 16384), block);
    expect_sound();
    for (unsigned i = 0; i < count; i++)
        if (blocks[i] != NULL)
            kfree(&heap, blocks[i]);
    expect_all_back(1);
}
END_TEST

START_TEST(krealloc_without_memory_leaves_the_object_and_shrinks_all_the_same)
{
    drop_heap();
    make_heap(64u << 10);
    unsigned char *object = filled(2000, 3);
    while (kmalloc(&heap, 4096) != NULL)
        continue;
    while (kmalloc(&heap, 2048) != NULL)
        continue;
    while (kmalloc(&heap, 16) != NULL)
        continue;
    const uint64_t failures = statistics().failures;
    ck_assert_ptr_null(krealloc(&heap, object, 2049));
    ck_assert_uint_eq(statistics().failures, failures + 1);
    expect_bytes(object, 2000, 3);
    ck_assert_ptr_eq(krealloc(&heap, object, 1), object); // nothing smaller is to be had
    ck_assert_uint_eq(object[0], 3);
    kfree(&heap, object);
    expect_sound();
}
END_TEST

// ---- the model ----------------------------------------------------------------------------------

#define SLOTS   600u
#define HANDLES 3u

struct slot {
    unsigned char *pointer; // NULL: empty
    size_t size;
    unsigned char pattern;
};

struct model {
    struct slot slots[SLOTS];
    void *handles[HANDLES];
    uint64_t allocations, frees, failures;
};

static size_t any_size(struct random *random)
{
    const uint64_t bits = random_below(random, random_below(random, 8) == 0 ? 17 : 13);
    return (1ull << bits) - 1 + random_below(random, (1ull << bits) + 1);
}

static void fill_slot(struct model *m, void *handle, struct slot *slot, struct random *random)
{
    slot->size = any_size(random);
    slot->pattern = (unsigned char)random_u64(random);
    slot->pointer = kmalloc(handle, slot->size);
    m->allocations += slot->pointer != NULL;
    m->failures += slot->pointer == NULL;
    if (slot->pointer != NULL)
        memset(slot->pointer, slot->pattern, slot->size);
}

static void resize_slot(struct model *m, void *handle, struct slot *slot, struct random *random)
{
    const size_t size = any_size(random);
    const struct heap_statistics before = statistics();
    unsigned char *moved = krealloc(handle, slot->pointer, size);
    const struct heap_statistics after = statistics();
    // An object that moved was allocated and freed; one that stayed neither; a shrink may have been
    // refused its smaller object.
    m->allocations += after.allocations - before.allocations;
    m->frees += after.frees - before.frees;
    m->failures += after.failures - before.failures;
    ck_assert_uint_eq(after.allocations - before.allocations, after.frees - before.frees);
    ck_assert(moved != NULL || size > slot->size);
    if (moved == NULL)
        return;
    expect_bytes(moved, min_u64(size, slot->size), slot->pattern);
    *slot = (struct slot){moved, size, slot->pattern};
    memset(moved, slot->pattern, size);
}

static void free_slot(struct model *m, void *handle, struct slot *slot)
{
    expect_bytes(slot->pointer, slot->size, slot->pattern);
    kfree(handle, slot->pointer);
    slot->pointer = NULL;
    m->frees++;
}

static void expect_counts(const struct model *m)
{
    const struct heap_statistics s = statistics();
    expect_sound();
    ck_assert_uint_eq(s.allocations, m->allocations);
    ck_assert_uint_eq(s.frees, m->frees);
    ck_assert_uint_eq(s.failures, m->failures);
}

static void run_model(size_t length, unsigned operations)
{
    static struct heap_kmalloc_thread further[HANDLES];
    struct random random = seeded_for("kmalloc");
    struct model *m = calloc(1, sizeof *m);
    drop_heap();
    make_heap(length);
    m->handles[0] = &heap;
    for (unsigned i = 1; i < HANDLES; i++)
        m->handles[i] = heap_kmalloc_join(&heap, &further[i]);
    for (unsigned i = 0; i < operations; i++) {
        struct slot *slot = &m->slots[random_below(&random, SLOTS)];
        void *handle = m->handles[random_below(&random, HANDLES)];
        if (random_below(&random, 50) == 0)
            test_cpu_enter((unsigned)random_below(&random, HANDLES));
        if (slot->pointer == NULL)
            fill_slot(m, handle, slot, &random);
        else if (random_below(&random, 3) == 0)
            resize_slot(m, handle, slot, &random);
        else
            free_slot(m, handle, slot);
        if (i % 2000 == 0)
            expect_counts(m);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        if (m->slots[i].pointer != NULL)
            free_slot(m, m->handles[i % HANDLES], &m->slots[i]);
    for (unsigned i = 1; i < HANDLES; i++)
        heap_kmalloc_leave(m->handles[i]);
    expect_counts(m);
    expect_all_back(HANDLES);
    free(m);
}

START_TEST(random_calls_on_several_handles_and_cpus_keep_contents_and_counts)
{
    run_model(16u << 20, is_soak() ? 10000000 : 100000);
}
END_TEST

START_TEST(random_calls_survive_a_heap_that_is_nearly_full)
{
    run_model(512u << 10, is_soak() ? 1000000 : 50000);
}
END_TEST

// ---- all short sequences ------------------------------------------------------------------------

enum { STEPS = 8 };
static const size_t step_sizes[5] = {16, 2048, 4096, 8192, 32768};

// Each digit is a call: an allocation of one of five sizes, or to free the oldest or the newest
// object, or to double the newest one.
static void play(unsigned sequence, unsigned length)
{
    struct slot live[8];
    unsigned count = 0;
    for (unsigned i = 0; i < length; i++, sequence /= STEPS) {
        const unsigned step = sequence % STEPS;
        if (step < 5) {
            unsigned char *object = kmalloc(&heap, step_sizes[step]);
            if (object == NULL)
                continue;
            live[count++] = (struct slot){object, step_sizes[step], (unsigned char)(i + 1)};
            memset(object, (int)(i + 1), step_sizes[step]);
        } else if (count > 0 && step == 7) {
            struct slot *newest = &live[count - 1];
            unsigned char *larger = krealloc(&heap, newest->pointer, 2 * newest->size);
            if (larger == NULL)
                continue;
            expect_bytes(larger, newest->size, newest->pattern);
            *newest = (struct slot){larger, 2 * newest->size, newest->pattern};
            memset(larger, newest->pattern, newest->size);
        } else if (count > 0) {
            const unsigned which = step == 5 ? 0 : count - 1;
            expect_bytes(live[which].pointer, live[which].size, live[which].pattern);
            kfree(&heap, live[which].pointer);
            for (unsigned k = which + 1; k < count; k++)
                live[k - 1] = live[k];
            count--;
        }
    }
    expect_sound();
    while (count-- > 0) {
        expect_bytes(live[count].pointer, live[count].size, live[count].pattern);
        kfree(&heap, live[count].pointer);
    }
    expect_all_back(1);
}

START_TEST(every_short_sequence_of_calls_on_a_tiny_heap_gives_all_memory_back)
{
    const unsigned length = is_soak() ? 6 : 4;
    unsigned sequences = 1;
    for (unsigned i = 0; i < length; i++)
        sequences *= STEPS;
    drop_heap();
    make_heap(64u << 10);
    for (unsigned sequence = 0; sequence < sequences; sequence++) {
        ck_assert_int_eq(heap_kmalloc_init(&heap, memory, 64u << 10), STATUS_OK);
        play(sequence, length);
    }
}
END_TEST

// ---- the Nth page is missing --------------------------------------------------------------------

static void *held[1024]; // pages nobody else can have
static unsigned held_count;

static void hold_all_but(unsigned pages)
{
    held_count = 0;
    for (void *page; (page = kmalloc(&heap, 4096)) != NULL;)
        held[held_count++] = page;
    for (unsigned i = 0; i < pages; i++)
        kfree(&heap, held[--held_count]);
    heap_kmalloc_trim(&heap);
}

// Calls of every kind, each of which may need pages. `once`: who is refused gets memory and is
// asked again. Returns how many were refused.
static unsigned scenario(bool once)
{
    static const size_t sizes[] = {16, 64, 256, 512, 2048, 4096, 8192, 16384, 100, 5000};
    struct slot live[3 * ARRAY_COUNT(sizes)] = {0};
    unsigned refused = 0;
    for (unsigned i = 0; i < ARRAY_COUNT(live); i++) {
        const size_t size = sizes[i % ARRAY_COUNT(sizes)];
        struct slot *before = i > 0 ? &live[i - 1] : NULL;
        unsigned char *object;
        for (unsigned turn = 0; turn < 2; turn++) {
            // Every third call resizes the object before.
            const bool resizes = i % 3 == 2 && before->pointer != NULL;
            object = resizes ? krealloc(&heap, before->pointer, before->size + size)
                             : kmalloc(&heap, size);
            if (object != NULL && resizes) {
                expect_bytes(object, before->size, before->pattern);
                before->pointer = NULL;
            }
            if (object != NULL || !once)
                break;
            refused += turn == 0;
            while (held_count > 0)
                kfree(&heap, held[--held_count]);
        }
        if (once)
            ck_assert_ptr_nonnull(object);
        else
            refused += object == NULL;
        expect_sound();
        live[i] = (struct slot){object, object == NULL ? 0 : size, (unsigned char)(i + 1)};
        if (object != NULL)
            memset(object, (int)(i + 1), size);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(live); i++)
        if (live[i].pointer != NULL) {
            expect_bytes(live[i].pointer, live[i].size, live[i].pattern);
            kfree(&heap, live[i].pointer);
        }
    return refused;
}

START_TEST(memory_that_ends_at_the_nth_page_refuses_and_breaks_nothing)
{
    const bool once = _i == 1;
    unsigned most = 0, last = 1;
    for (unsigned pages = 0; last > 0; pages++) {
        drop_heap();
        make_heap(1u << 20);
        hold_all_but(pages);
        last = scenario(once);
        most = last > most ? last : most;
        while (held_count > 0)
            kfree(&heap, held[--held_count]);
        expect_all_back(1);
        ck_assert_uint_lt(pages, 240);
    }
    ck_assert_uint_gt(most, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kmalloc_model");
    TCase *tests = tcase_create("krealloc, models, exhaustion");
    tcase_set_timeout(tests, is_soak() ? 1200 : 60);
    tcase_add_checked_fixture(tests, make_4_mb, drop_heap);
    tcase_add_test(tests, krealloc_of_nothing_is_kmalloc_and_of_no_bytes_the_smallest_object);
    tcase_add_test(tests, krealloc_stays_while_the_object_fits_and_uses_a_quarter);
    tcase_add_test(tests, krealloc_keeps_the_contents_from_every_size_to_every_other);
    tcase_add_test(tests, a_block_grows_in_place_into_what_is_free_behind_it);
    tcase_add_test(tests, growth_that_does_not_reach_leaves_all_as_it_was);
    tcase_add_test(tests, krealloc_without_memory_leaves_the_object_and_shrinks_all_the_same);
    tcase_add_test(tests, random_calls_on_several_handles_and_cpus_keep_contents_and_counts);
    tcase_add_test(tests, random_calls_survive_a_heap_that_is_nearly_full);
    tcase_add_test(tests, every_short_sequence_of_calls_on_a_tiny_heap_gives_all_memory_back);
    tcase_add_loop_test(tests, memory_that_ends_at_the_nth_page_refuses_and_breaks_nothing, 0, 2);
    suite_add_tcase(suite, tests);
    return run_checks(suite);
}
